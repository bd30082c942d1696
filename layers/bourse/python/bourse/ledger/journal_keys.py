"""What the journal tells of keys: versions of public keys, revocations, the default quorum, and the signatures that postings stood on. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

from bourse.ledger.json_text import jsonb_text, known_time, time_or_none, time_or_null, time_text
from bourse.ledger.keys import Algorithm

_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class KeyTold:
    """A version of a key was registered; those before it sign until `previous_until`, which the first version has not."""

    key_id: str
    version: int
    algorithm: Algorithm
    public_key: bytes
    valid_from: datetime
    previous_until: datetime | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class RevocationTold:
    """From `revoked_at` on this version of a key and all before it sign nothing."""

    key_id: str
    version: int
    revoked_at: datetime
    reason: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class DefaultTold:
    """The keys of all accounts and flavors that name none, from now on."""

    key_ids: tuple[str, ...]
    quorum: int | None
    since: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class SignatureTold:
    """A signature a posting stood on. `posting` is the posting's first new transaction, `signed` are those it covers as they were signed.

    The tenant is in the bytes that were signed, so a signature proves nothing in the books of another.
    """

    tenant_id: str
    posting: str
    place: int
    key_id: str
    version: int
    scope: Literal["transaction", "batch"]
    digest: bytes
    signature: bytes
    signed: tuple[str, ...]
    accepted_at: datetime


KeyEntry = KeyTold | RevocationTold | DefaultTold | SignatureTold


def key_line(entry: KeyEntry) -> str:
    """The one line of an entry about keys."""
    match entry:
        case KeyTold():
            return (
                f'{{"entry":"key","key_id":"{entry.key_id}","version":{entry.version},"algorithm":"{entry.algorithm}",'
                f'"public_key":"{entry.public_key.hex()}","valid_from":"{time_text(entry.valid_from)}",'
                f'"previous_until":{time_or_null(entry.previous_until)},"recorded_at":"{time_text(entry.recorded_at)}"}}'
            )
        case RevocationTold():
            return (
                f'{{"entry":"revocation","key_id":"{entry.key_id}","version":{entry.version},"revoked_at":"{time_text(entry.revoked_at)}",'
                f'"reason":{jsonb_text(entry.reason)},"recorded_at":"{time_text(entry.recorded_at)}"}}'
            )
        case DefaultTold():
            return (
                f'{{"entry":"default","keys":[{_names(entry.key_ids)}],"quorum":{jsonb_text(entry.quorum)},"since":"{time_text(entry.since)}",'
                f'"recorded_at":"{time_text(entry.recorded_at)}"}}'
            )
        case SignatureTold():
            return (
                f'{{"entry":"signature","tenant_id":{jsonb_text(entry.tenant_id)},"posting":"{entry.posting}","place":{entry.place},'
                f'"key_id":"{entry.key_id}","version":{entry.version},"scope":"{entry.scope}","digest":"{entry.digest.hex()}",'
                f'"signature":"{entry.signature.hex()}","signed":[{_names(entry.signed)}],"accepted_at":"{time_text(entry.accepted_at)}"}}'
            )


def _names(names: tuple[str, ...]) -> str:
    return ",".join(f'"{name}"' for name in names)


def is_whole(entry: KeyEntry) -> bool:
    """Whether numbers and words are what they must be."""
    match entry:
        case KeyTold():
            first = entry.version == 1
            return _is_number(entry.version) and entry.algorithm in get_args(Algorithm) and bool(entry.public_key) and (entry.previous_until is None) == first
        case RevocationTold():
            return _is_number(entry.version) and isinstance(entry.reason, str)
        case DefaultTold():
            return entry.quorum is None or (_is_number(entry.quorum) and entry.quorum <= len(entry.key_ids))
        case SignatureTold():
            numbers = _is_number(entry.version) and _is_number(entry.place)
            covers = bool(entry.signed) and (entry.scope == "batch" or (entry.scope == "transaction" and len(entry.signed) == 1))
            return numbers and covers and isinstance(entry.tenant_id, str) and len(entry.digest) == _DIGEST_BYTES


def _is_number(one: object) -> bool:
    return type(one) is int and one > 0


def _key(said: dict[str, Any]) -> KeyTold:
    times = {"valid_from": known_time(said["valid_from"]), "previous_until": time_or_none(said["previous_until"])}
    return KeyTold(**{**said, **times, "public_key": bytes.fromhex(said["public_key"]), "recorded_at": known_time(said["recorded_at"])})


def _revocation(said: dict[str, Any]) -> RevocationTold:
    return RevocationTold(**{**said, "revoked_at": known_time(said["revoked_at"]), "recorded_at": known_time(said["recorded_at"])})


def _signature(said: dict[str, Any]) -> SignatureTold:
    octets = {name: bytes.fromhex(said[name]) for name in ("digest", "signature")}
    return SignatureTold(**{**said, **octets, "signed": tuple(said["signed"]), "accepted_at": known_time(said["accepted_at"])})


KEY_ENTRIES: Final[Mapping[str, Any]] = {
    "key": _key,
    "revocation": _revocation,
    "default": lambda said: DefaultTold(tuple(said["keys"]), said["quorum"], known_time(said["since"]), known_time(said["recorded_at"])),
    "signature": _signature,
}
"""Each kind of entry, made of what its line says."""
