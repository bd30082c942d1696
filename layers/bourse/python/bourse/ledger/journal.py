"""The journal of the books in lines of canonical JSON: what a chain hashes, an export writes and an import reads. Pure.

An entry is what was written once and never changed. Its line has the octets `books.lines` (migrations/0053_chain.sql and
0058_all_in_the_chain.sql) makes of it in PostgreSQL: names instead of numbers, times in UTC, and JSON objects as jsonb writes them
(json_text.py). So a line, and with it a chain, is the same in every store. What is told of keys is in journal_keys.py, what of templates in
journal_templates.py, what of refusals in journal_refusals.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from hashlib import sha256
from itertools import chain
from typing import Any, Final, NamedTuple

from bourse.errors import Refused
from bourse.ledger.actions import AMOUNT_MAX, Account, Distribute, Flavor, MoveType, Reverse, Tags, Transaction, action_document, canonical
from bourse.ledger.execute import Executed
from bourse.ledger.journal_keys import KEY_ENTRIES, DefaultTold, KeyEntry, KeyTold, RevocationTold, SignatureTold, is_whole, key_line
from bourse.ledger.journal_refusals import RefusalTold, is_whole_refusal, refusal_line, refusal_told
from bourse.ledger.journal_templates import TemplateTold, is_whole_template, template_line, template_told
from bourse.ledger.json_text import exact_json, jsonb_text, known_time, time_or_none, time_or_null, time_text

GENESIS: Final = bytes(32)
"""What the first block has for the hash of the one before it."""


class MoveTold(NamedTuple):
    """Tokens that went from a lot to a lot; type issue, transfer or retire."""

    action_no: int
    type: MoveType
    flavor_id: str
    amount: int
    source: str
    source_tags: Tags
    destination: str
    destination_tags: Tags
    action_tags: Tags


class HoldTold(NamedTuple):
    """Tokens of a lot that a hold began (> 0) or ceased (< 0) to reserve; type reserve, post, release or expire."""

    action_no: int
    type: str
    hold_id: str
    expires_at: datetime | None
    account_id: str
    flavor_id: str
    tags: Tags
    amount: int


class ReversalTold(NamedTuple):
    """An action that took something back: the `part_no`-th time of that transaction, the part of it where one was named, and
    `moves`: (place in this journal, place of the reversed move in its own, amount)."""

    action_no: int
    txn_id: str
    part_no: int
    part: tuple[int, int] | None
    moves: tuple[tuple[int, int, int], ...]


class OwedTold(NamedTuple):
    """By how much an action changed what rounding left a holder owed."""

    action_no: int
    over_flavor_id: str
    flavor_id: str
    account_id: str
    change: Fraction


@dataclass(frozen=True, slots=True)
class TransactionTold:
    """A transaction as it was posted. `asked` are actions with what they were decided by: (place, action as JSON)."""

    txn_id: str
    kind: str
    digest: bytes
    effective_at: datetime
    recorded_at: datetime
    correlation_id: str
    tags: Tags
    moves: tuple[MoveTold, ...]
    holds: tuple[HoldTold, ...] = ()
    asked: tuple[tuple[int, Mapping[str, Any]], ...] = ()
    reversals: tuple[ReversalTold, ...] = ()
    owed: tuple[OwedTold, ...] = ()


@dataclass(frozen=True, slots=True)
class FlavorTold:
    """A flavor was opened, or all its tags replaced."""

    flavor_id: str
    tags: Tags
    key_ids: tuple[str, ...] = ()
    quorum: int | None = None


@dataclass(frozen=True, slots=True)
class AccountTold:
    """An account was opened, or all its tags replaced."""

    account_id: str
    floor: int | None
    hot: bool
    tags: Tags
    key_ids: tuple[str, ...] = ()
    quorum: int | None = None


@dataclass(frozen=True, slots=True)
class FloorTold:
    """An issue set how low its source may stand in a flavor."""

    account_id: str
    flavor_id: str
    floor: int


@dataclass(frozen=True, slots=True)
class AccountClosed:
    """Nothing moves into or out of the account any more."""

    account_id: str


Entry = TransactionTold | FlavorTold | AccountTold | FloorTold | AccountClosed | KeyEntry | TemplateTold | RefusalTold


def asked_of(transaction: Transaction) -> list[tuple[int, dict[str, Any]]]:
    """The actions that say more than their moves, with their places: what had a filter, what shared, what took back."""
    return [
        (action_no, action_document(action))
        for action_no, action in enumerate(transaction.actions)
        if isinstance(action, Distribute | Reverse) or (hasattr(action, "spending") and action.spending.filter)
    ]


def account_told(account: Account) -> AccountTold:
    """The entry of an account as it is told now."""
    return AccountTold(account.account_id, account.floor, account.hot, account.tags, account.key_ids, account.quorum)


def flavor_told(flavor: Flavor) -> FlavorTold:
    """The entry of a flavor as it is told now."""
    return FlavorTold(flavor.flavor_id, flavor.tags, flavor.key_ids, flavor.quorum)


def told_of(done: Executed, recorded_at: datetime) -> TransactionTold:
    """The entry of a transaction that was executed and is posted now."""
    asked: Transaction = done.transaction
    return TransactionTold(
        asked.txn_id,
        asked.kind,
        asked.digest(),
        asked.effective_at,
        recorded_at,
        asked.correlation_id,
        asked.tags,
        tuple(
            MoveTold(
                one.action_no,
                one.type,
                one.src.flavor_id,
                one.amount,
                one.src.account_id,
                one.src.tags,
                one.dst.account_id,
                one.dst.tags,
                one.action_tags,
            )
            for one in done.moves
        ),
        tuple(
            HoldTold(one.action_no, one.type, one.hold.hold_id, one.hold.expires_at, one.lot.account_id, one.lot.flavor_id, one.lot.tags, one.amount)
            for one in done.hold_moves
        ),
        tuple((action_no, exact_json(canonical(document))) for action_no, document in asked_of(asked)),
        tuple(ReversalTold(one.action_no, one.reversed.txn_id, one.part_no, one.part, tuple(one.moves)) for one in done.reversals),
        _owed_of(done),
    )


def _owed_of(done: Executed) -> tuple[OwedTold, ...]:
    changes: dict[tuple[int, str, str, str], Fraction] = {}
    for action_no, one in done.owed:
        changes[action_no, *one.key] = changes.get((action_no, *one.key), Fraction(0)) + one.change
    return tuple(OwedTold(*key, change) for key, change in sorted(changes.items()) if change)


# Lines


def line_of(entry: Entry) -> str:
    """The one line an entry is written as."""
    match entry:
        case TransactionTold():
            return _transaction_line(entry)
        case FlavorTold():
            return f'{{"entry":"flavor","flavor_id":"{entry.flavor_id}",{_keys_text(entry)},"tags":{jsonb_text(entry.tags)}}}'
        case AccountTold():
            floor, hot = jsonb_text(entry.floor), jsonb_text(entry.hot)
            terms = f'"floor":{floor},"hot":{hot},{_keys_text(entry)}'
            return f'{{"entry":"account","account_id":"{entry.account_id}",{terms},"tags":{jsonb_text(entry.tags)}}}'
        case FloorTold():
            return f'{{"entry":"floor","account_id":"{entry.account_id}","flavor_id":"{entry.flavor_id}","floor":{entry.floor}}}'
        case AccountClosed():
            return f'{{"entry":"closed","account_id":"{entry.account_id}"}}'
        case KeyTold() | RevocationTold() | DefaultTold() | SignatureTold():
            return key_line(entry)
        case TemplateTold():
            return template_line(entry)
        case RefusalTold():
            return refusal_line(entry)


def _keys_text(entry: AccountTold | FlavorTold) -> str:
    keys = ",".join(f'"{key_id}"' for key_id in entry.key_ids)
    return f'"keys":[{keys}],"quorum":{jsonb_text(entry.quorum)}'


def _transaction_line(entry: TransactionTold) -> str:
    moves = ",".join(
        f'[{one.action_no},"{one.type}","{one.flavor_id}",{one.amount},"{one.source}",{jsonb_text(one.source_tags)},'
        f'"{one.destination}",{jsonb_text(one.destination_tags)},{jsonb_text(one.action_tags)}]'
        for one in entry.moves
    )
    holds = ",".join(
        f'[{one.action_no},"{one.type}","{one.hold_id}",{time_or_null(one.expires_at)},"{one.account_id}","{one.flavor_id}",'
        f"{jsonb_text(one.tags)},{one.amount}]"
        for one in entry.holds
    )
    asked = ",".join(f"[{action_no},{jsonb_text(document)}]" for action_no, document in entry.asked)
    reversals = ",".join(
        f'[{one.action_no},"{one.txn_id}",{one.part_no},{_part_text(one.part)},[{",".join(f"[{seq},{of_seq},{some}]" for seq, of_seq, some in one.moves)}]]'
        for one in entry.reversals
    )
    owed = ",".join(f'[{one.action_no},"{one.over_flavor_id}","{one.flavor_id}","{one.account_id}","{one.change}"]' for one in entry.owed)
    return (
        f'{{"entry":"transaction","txn_id":"{entry.txn_id}","kind":{jsonb_text(entry.kind)},"digest":"{entry.digest.hex()}",'
        f'"effective_at":"{time_text(entry.effective_at)}","recorded_at":"{time_text(entry.recorded_at)}",'
        f'"correlation_id":{jsonb_text(entry.correlation_id)},"tags":{jsonb_text(entry.tags)},"moves":[{moves}],"holds":[{holds}],"asked":[{asked}],'
        f'"reversals":[{reversals}],"owed":[{owed}]}}'
    )


def _part_text(part: tuple[int, int] | None) -> str:
    return "null" if part is None else f"[{part[0]},{part[1]}]"


def entry_of(line: str) -> Entry:
    """The entry a line says. Raises Refused LINE_INVALID for what no entry is written as."""
    try:
        said = exact_json(line)
        entry: Entry = _ENTRIES[said.pop("entry")](said)
        whole = _is_whole(entry)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused("LINE_INVALID", "this is no entry of a journal") from None
    if not whole or line_of(entry) != line:
        raise Refused("LINE_INVALID", "this entry is not written the canonical way")
    return entry


def _transaction(said: dict[str, Any]) -> TransactionTold:
    moves = tuple(MoveTold(*one) for one in said.pop("moves"))
    holds = tuple(HoldTold._make([*one[:3], time_or_none(one[3]), *one[4:]]) for one in said.pop("holds"))
    asked = tuple((action_no, document) for action_no, document in said.pop("asked"))
    reversals = tuple(
        ReversalTold(action_no, txn_id, part_no, None if part is None else (part[0], part[1]), tuple((one[0], one[1], one[2]) for one in moved))
        for action_no, txn_id, part_no, part, moved in said.pop("reversals")
    )
    owed = tuple(OwedTold._make([*one[:4], Fraction(one[4])]) for one in said.pop("owed"))
    times = {name: known_time(said.pop(name)) for name in ("effective_at", "recorded_at")}
    return TransactionTold(**{**said, **times, "digest": bytes.fromhex(said["digest"])}, moves=moves, holds=holds, asked=asked, reversals=reversals, owed=owed)


def _is_whole(entry: Entry) -> bool:
    """Whether numbers, types and tags are what they must be; names are, when the line is written the same again and a store knows them."""
    if not all(isinstance(tags, Mapping) for tags in _tags_in(entry)):
        return False
    match entry:
        case TransactionTold():
            amounts = [abs(one) if type(one) is int else 0 for one in (*(move.amount for move in entry.moves), *(held.amount for held in entry.holds))]
            types = {one.type for one in entry.moves} <= _MOVE_TYPES and {one.type for one in entry.holds} <= _HOLD_TYPES
            positive = all(one.amount > 0 for one in entry.moves) and all((one.amount > 0) == (one.type == "reserve") for one in entry.holds)
            counts = all(type(one) is int and one > 0 for told in entry.reversals for one in (told.part_no, *(told.part or ()), *chain(*told.moves)))
            return counts and types and positive and len(entry.digest) == 32 and all(0 < amount <= AMOUNT_MAX for amount in amounts)
        case AccountTold():
            return isinstance(entry.hot, bool) and (entry.floor is None or type(entry.floor) is int)
        case FloorTold():
            return type(entry.floor) is int
        case KeyTold() | RevocationTold() | DefaultTold() | SignatureTold():
            return is_whole(entry)
        case TemplateTold():
            return is_whole_template(entry)
        case RefusalTold():
            return is_whole_refusal(entry)
    return True


def _tags_in(entry: Entry) -> Iterator[Any]:
    match entry:
        case TransactionTold():
            yield entry.tags
            for move in entry.moves:
                yield from (move.source_tags, move.destination_tags, move.action_tags)
            yield from (held.tags for held in entry.holds)
            yield from (document for _, document in entry.asked)
        case AccountTold() | FlavorTold():
            yield entry.tags


_MOVE_TYPES: Final = frozenset({"issue", "transfer", "retire"})
_HOLD_TYPES: Final = frozenset({"reserve", "post", "release", "expire"})
_ENTRIES: Final[Mapping[str, Any]] = {
    "transaction": _transaction,
    "flavor": lambda said: FlavorTold(key_ids=tuple(said.pop("keys")), **said),
    "account": lambda said: AccountTold(key_ids=tuple(said.pop("keys")), **said),
    "floor": lambda said: FloorTold(**said),
    "closed": lambda said: AccountClosed(**said),
    **KEY_ENTRIES,
    "template": template_told,
    "refusal": refusal_told,
}


# Hashes


def leaf(line: str) -> bytes:
    """The hash of an entry: what its block has of it."""
    return sha256(line.encode()).digest()


def block_hash(previous: bytes, block_no: int, leaves: bytes) -> bytes:
    """The hash of a block: of the one before it, its number, and the hashes of its entries one after the other."""
    return sha256(previous + block_no.to_bytes(8, "big") + leaves).digest()


def hash_of_lines(lines: Iterable[str]) -> str:
    """What two stores in the same state both have, in hex: the hash of the lines of the state in the order of their octets."""
    hashed = sha256()
    for line in lines:
        hashed.update(line.encode() + b"\n")
    return hashed.hexdigest()
