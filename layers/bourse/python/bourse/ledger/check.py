"""What can be said of transactions before anything is looked up: amounts, names, tags, orders, sizes. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from bourse.errors import Conflict, Refused
from bourse.ledger.account_names import check_pattern
from bourse.ledger.actions import (
    ACTIONS_MAX,
    AMOUNT_MAX,
    NAME_MAX,
    TAGS_BYTES_MAX,
    Account,
    Action,
    Distribute,
    Expect,
    Flavor,
    Issue,
    PostHold,
    ReleaseHold,
    Reserve,
    Reverse,
    Spending,
    Tags,
    Transaction,
    Transfer,
    canonical,
)
from bourse.ledger.keys import KEYS_MAX
from bourse.ledger.lots import order_path

NAME_PATTERN: Final = rf"[A-Za-z0-9][A-Za-z0-9._:/@+=-]{{0,{NAME_MAX - 1}}}"
NAME: Final = re.compile(NAME_PATTERN)
TAGS_DEPTH_MAX: Final = 8
_SHORT, _FEW = 200, 10
_CORRELATION_MAX: Final = 1_000
"""It comes from whatever caused the posting, and its length is no reason to refuse money."""
_NAMES: Final = ("flavor_id", "over_flavor_id", "source", "destination", "fee_destination", "retire_to", "hold_id", "txn_id")
_TAGS: Final = ("token_tags", "action_tags", "fee_tags")
_PATTERNS: Final = ("pay_to", "advance_from")


def check(transactions: Sequence[Transaction]) -> list[Transaction]:
    """The transactions, each id once. Raises Refused with the place in the transaction, Conflict for an id with two requests."""
    found: dict[str, Transaction] = {}
    actions = 0
    for transaction in transactions:
        check_transaction(transaction)
        actions += len(transaction.actions)
        if (earlier := found.setdefault(transaction.txn_id, transaction)) is not transaction and earlier.digest() != transaction.digest():
            raise Conflict("TRANSACTION_DIFFERS", f"two requests have the id {transaction.txn_id}", "txn_id")
    if actions > ACTIONS_MAX:
        raise Refused("TOO_MANY_ACTIONS", f"a posting may have {ACTIONS_MAX} actions", "actions")
    _check_reversed(found)
    return list(found.values())


def _check_reversed(found: Mapping[str, Transaction]) -> None:
    """What a posting makes, a later one may reverse. Raises Refused TRANSACTION_UNKNOWN."""
    for transaction in found.values():
        for number, action in enumerate(transaction.actions):
            if isinstance(action, Reverse) and action.txn_id in found:
                raise Refused("TRANSACTION_UNKNOWN", f"{action.txn_id} is of the same posting", f"actions.{number}.txn_id")


def check_transaction(transaction: Transaction) -> None:
    """Raises Refused with the field at fault."""
    check_name(transaction.txn_id, "txn_id")
    check_time(transaction.effective_at, "effective_at")
    check_text(transaction.kind, "kind")
    check_text(transaction.correlation_id, "correlation_id", _CORRELATION_MAX)
    check_tags(transaction.tags, "tags")
    if not transaction.actions:
        raise Refused("NO_ACTIONS", "a transaction has at least one action", "actions")
    if len(transaction.actions) > ACTIONS_MAX:
        raise Refused("TOO_MANY_ACTIONS", f"a transaction may have {ACTIONS_MAX} actions", "actions")
    for number, action in enumerate(transaction.actions):
        _check_action(action, f"actions.{number}")
    for number, guard in enumerate(transaction.expect):
        _check_guard(guard, f"expect.{number}")


def check_text(value: Any, where: str, length_max: int = NAME_MAX) -> None:
    """Raises Refused NAME_INVALID for what is no text that a database keeps."""
    if not isinstance(value, str) or len(value) > length_max or not value.isprintable():
        raise Refused("NAME_INVALID", f"a text of at most {length_max} printable characters", where)


def _check_action(action: Action, where: str) -> None:
    for name in action.__dataclass_fields__:
        value = getattr(action, name)
        if name in _NAMES:
            check_name(value, f"{where}.{name}")
        elif name in _TAGS and value:
            check_tags(value, f"{where}.{name}")
        elif name in _PATTERNS and value != "":
            check_pattern(value, f"{where}.{name}")
        elif isinstance(value, Spending) and value.order not in {"fifo", "lifo", "pro_rata"}:
            try:
                order_path(value.order)
            except Refused as refused:
                raise Refused(refused.code, refused.detail, f"{where}.order") from None
    if isinstance(action, Reverse):
        _check_reverse(action, where)
    elif not isinstance(action, ReleaseHold) and not (isinstance(action, PostHold) and action.amount is None):
        check_amount(action.amount, f"{where}.amount")
    _check_terms(action, where)


def _check_terms(action: Action, where: str) -> None:
    """What only one kind of action has."""
    if isinstance(action, Issue) and action.source_floor is not None:
        check_floor(action.source_floor, f"{where}.source_floor")
    if isinstance(action, Reserve) and action.expires_at is not None:
        check_time(action.expires_at, f"{where}.expires_at")
    if isinstance(action, Transfer | PostHold) and not _is_carry(action.carry_tags):
        raise Refused("TAGS_INVALID", "the tags that are carried are all, none, or those whose names are given", f"{where}.carry_tags")
    if isinstance(action, Distribute):
        _check_fee(action.fee, f"{where}.fee")
        if action.rule not in {"deficit", "seed_floor", "par"}:
            raise Refused("RULE_INVALID", "the rule is deficit, seed_floor or par", f"{where}.rule")
        if action.rule == "par" and (action.fee[0] or not action.retire):
            raise Refused("RULE_INVALID", "what is paid at par is retired, and there is no fee of it", f"{where}.rule")
        if action.out_of is not None:
            check_amount(action.out_of, f"{where}.out_of")
            check_name(action.rest_to, f"{where}.rest_to")
        elif action.rest_to is not None:
            raise Refused("OUT_OF_INVALID", "what nobody holds goes to an account where it is said out of how many tokens", f"{where}.out_of")


def _is_carry(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, tuple) and all(isinstance(one, str) for one in value))


def _check_guard(guard: Expect, where: str) -> None:
    for name, wanted in (("amount", guard.amount), ("count", guard.count)):
        if wanted is not None and (type(wanted) is not int or wanted < 0):
            raise Refused("AMOUNT_INVALID", "what is expected is a whole number not below 0", f"{where}.{name}")


def check_time(value: Any, where: str) -> None:
    """Raises Refused TIME_INVALID."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise Refused("TIME_INVALID", "a time has a time zone", where)


def check_floor(floor: Any, where: str) -> None:
    """Raises Refused FLOOR_INVALID."""
    if type(floor) is not int or not -AMOUNT_MAX <= floor <= 0:
        raise Refused("FLOOR_INVALID", "a floor is a whole number not above 0, or none", where)


def check_flavor(flavor: Flavor) -> None:
    """Raises Refused NAME_INVALID, TAGS_INVALID, QUORUM_INVALID."""
    check_name(flavor.flavor_id, "flavor_id")
    check_tags(flavor.tags, "tags")
    check_quorum(flavor.key_ids, flavor.quorum)


def check_quorum(key_ids: Sequence[str], quorum: int | None) -> None:
    """Raises Refused NAME_INVALID, QUORUM_INVALID. Whether there are these keys is the register's to say."""
    for number, key_id in enumerate(key_ids):
        check_name(key_id, f"key_ids.{number}")
    if len(key_ids) > KEYS_MAX or len(set(key_ids)) != len(key_ids):
        raise Refused("QUORUM_INVALID", f"at most {KEYS_MAX} keys are named, each once", "key_ids")
    if quorum is not None and (type(quorum) is not int or not 1 <= quorum <= len(key_ids)):
        raise Refused("QUORUM_INVALID", "a quorum is a whole number from 1 to the number of keys", "quorum")


def check_account(account: Account) -> None:
    """Raises Refused NAME_INVALID, TAGS_INVALID, FLOOR_INVALID, QUORUM_INVALID."""
    check_name(account.account_id, "account_id")
    check_tags(account.tags, "tags")
    check_quorum(account.key_ids, account.quorum)
    if account.floor is not None:
        check_floor(account.floor, "floor")
    if account.hot and account.floor is not None:
        raise Refused("FLOOR_INVALID", "a hot account has no floor", "floor")


def check_amount(amount: Any, where: str) -> None:
    """Raises Refused AMOUNT_INVALID for what is not a whole number in (0, 2^63)."""
    if type(amount) is not int or not 0 < amount <= AMOUNT_MAX:
        raise Refused("AMOUNT_INVALID", "an amount is a whole number above 0 and below 2^63", where)


def check_name(name: Any, where: str) -> None:
    """Raises Refused NAME_INVALID."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Refused("NAME_INVALID", f"a name has 1 to {NAME_MAX} letters, digits or . _ : / @ + = - and begins with a letter or digit", where)


def check_tags(tags: Any, where: str) -> None:
    """Raises Refused TAGS_INVALID for what is not a JSON object without fractions, is too deep or too large."""
    if not isinstance(tags, Mapping) or not _is_plain(dict(tags), TAGS_DEPTH_MAX) or len(canonical(dict(tags))) > TAGS_BYTES_MAX:
        raise Refused(
            "TAGS_INVALID", f"tags are a JSON object of at most {TAGS_BYTES_MAX} bytes: texts, whole numbers, truths, objects and lists of them", where
        )


def is_flat(tags: Tags) -> bool:
    """True for tags that need no closer look: nothing in them but short texts without NUL, whole numbers and truths."""
    for name, value in tags.items():
        kind = type(value)
        if kind is str:
            if len(value) > _SHORT or "\0" in value:
                return False
        elif kind is int:
            if not -AMOUNT_MAX <= value <= AMOUNT_MAX:
                return False
        elif kind is not bool:
            return False
        if type(name) is not str or not 0 < len(name) <= _SHORT or "\0" in name:
            return False
    return len(tags) <= _FEW


def _is_plain(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(isinstance(name, str) and name and "\0" not in name and _is_plain(one, depth - 1) for name, one in value.items())
    if isinstance(value, list | tuple):
        return depth > 0 and all(_is_plain(one, depth - 1) for one in value)
    if isinstance(value, str):
        return "\0" not in value and (value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value))
    return value is None or isinstance(value, bool) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def _check_fee(fee: Any, where: str) -> None:
    whole = isinstance(fee, tuple | list) and len(fee) == 2 and all(type(part) is int for part in fee)
    if not whole or not 0 <= fee[0] <= fee[1] or fee[1] < 1:
        raise Refused("FEE_INVALID", "the fee is two whole numbers: a part of the amount between 0 and 1", where)


def _check_reverse(action: Reverse, where: str) -> None:
    if action.part is not None:
        whole = isinstance(action.part, tuple | list) and len(action.part) == 2 and all(type(one) is int and one <= AMOUNT_MAX for one in action.part)
        if not whole or not 0 < action.part[0] <= action.part[1] or action.amounts:
            raise Refused("REVERSAL_INVALID", "a part is two whole numbers, above 0 and not above 1, and stands alone", f"{where}.part")
    places = []
    for one in action.amounts:
        if not isinstance(one, tuple | list) or len(one) != 2 or type(one[0]) is not int:
            raise Refused("REVERSAL_INVALID", "amounts are pairs of an action's place and how much of it", f"{where}.amounts")
        places.append(one[0])
        if one[1] is not None:
            check_amount(one[1], f"{where}.amounts")
    if len(set(places)) < len(places):
        raise Refused("REVERSAL_INVALID", "each action is named once", f"{where}.amounts")


def differ(one: Any, other: Any) -> bool:
    """Whether two nouns say different things: 1 and true are equal to Python, and to nobody who asks for them."""
    return canonical(asdict(one)) != canonical(asdict(other))
