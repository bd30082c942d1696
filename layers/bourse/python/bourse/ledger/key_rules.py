"""What can be said of a key before anything is looked up. Pure."""

from dataclasses import replace
from datetime import datetime

from bourse.errors import Refused
from bourse.ledger.check import check_name
from bourse.ledger.keys import Key
from bourse.ledger.signing import canonical_public_key


def checked_key(key: Key) -> Key:
    """The key with its public key in the one form. Raises Refused NAME_INVALID, KEY_INVALID, TIME_INVALID."""
    check_name(key.key_id, "key_id")
    checked_time(key.valid_from, "valid_from")
    return replace(key, public_key=canonical_public_key(key.algorithm, key.public_key))


def checked_time(at: datetime, where: str) -> None:
    """Raises Refused TIME_INVALID."""
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise Refused("TIME_INVALID", "a time has a time zone", where)
