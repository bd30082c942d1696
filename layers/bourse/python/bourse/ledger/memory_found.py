"""What filters find in books in memory: begun with what everything that matches must have, so that of the others nothing is looked at.

Actions and transactions never change, so lists of those with a name or tag are made when one is first asked for, and grow as the journal does.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from bourse.ledger.actions import Posted, PostedTransaction, Token, Transaction, canonical
from bourse.ledger.books import NOW, AsOf, Page, Question
from bourse.ledger.feeds import WHOLE
from bourse.ledger.filters import Bound, bind, matches, parse, value_at
from bourse.ledger.filters.bind import Field, Group, Test, Tree, Value
from bourse.ledger.journal import TransactionTold
from bourse.ledger.memory_index import Index
from bourse.ledger.memory_lists import Told, seen_by, snapshot_at
from bourse.ledger.memory_state import Ledger, LotKey, Move, StoredLot
from bourse.ledger.paging import Asking

T = TypeVar("T")
Numbered = tuple[Transaction, Posted]
Path = tuple[str, tuple[str, ...]]
"""A root field, and the names below it."""
_parsed: Final = lru_cache(maxsize=256)(parse)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """Those that may match, oldest first, and how to tell: whether one does, where it stands, and what is shown of it."""

    items: Sequence[T]
    fits: Callable[[T], bool]
    place_of: Callable[[T], Any]
    shown: Callable[[T], Any]


def walked(asked: Asking[Any], found: Found[Any], numbers: int) -> Page[Any]:
    """The page that is asked for, newest first, of those up to the transaction of this number."""
    seen, items, place_of = seen_by(asked, numbers), found.items, found.place_of
    end = bisect_right(items, (seen, WHOLE), key=place_of)
    walk = range(end - 1, -1, -1)
    if asked.place:
        at = tuple(int(part) for part in asked.place.key)
        back = range(bisect_right(items, at, key=place_of), end)
        walk = back if asked.back else range(min(end, bisect_left(items, at, key=place_of)) - 1, -1, -1)
    matching = (items[place] for place in walk if found.fits(items[place]))
    rows = [(tuple(map(str, place_of(one))), found.shown(one)) for one in islice(matching, asked.limit + 1)]
    return asked.page(rows, snapshot_at(seen))


def found_tokens(ledger: Ledger, question: Question, as_of: AsOf, seen: int) -> list[Token]:
    """Those of the transactions up to number `seen`."""
    bound = bind(_parsed(question.filter), "tokens", question.params)
    named = _named(bound)
    lots = ledger.lots_of(named.get(("account_id", ())), named.get(("flavor_id", ())))
    now = as_of == NOW and seen == ledger.numbers
    later = _held_later(ledger, seen) if as_of == NOW else {}
    found = []
    for lot in lots:
        amount = lot.amount if now else _amount(lot, as_of, seen)
        if amount > 0:
            one = Token(lot.account_id, lot.flavor_id, lot.tags, amount, lot.held - later.get(lot.key, 0) if as_of == NOW else 0)
            if matches(bound, token_object(ledger, one)):
                found.append(one)
    return found


def _held_later(ledger: Ledger, seen: int) -> dict[LotKey, int]:
    """What transactions after number `seen` did to what is held."""
    held: dict[LotKey, int] = {}
    for told in reversed(ledger.journal) if seen < ledger.numbers else ():
        if isinstance(told, TransactionTold):
            if ledger.posted[told.txn_id][1].sequence_number <= seen:
                break
            for one in told.holds:
                key = one.account_id, one.flavor_id, canonical(dict(one.tags))
                held[key] = held.get(key, 0) + one.amount
    return held


def _amount(lot: StoredLot, as_of: AsOf, seen: int) -> int:
    """What it had as of these times, as far as transactions up to number `seen` tell."""
    known, moves = as_of.known_at, lot.moves
    if as_of.effective_at is not None:
        moves = moves[: bisect_right(moves, as_of.effective_at, key=lambda one: one.shown.effective_at)]
    return sum(lot.change(one) for one in moves if one.number <= seen and (known is None or one.shown.recorded_at <= known))


def token_object(ledger: Ledger, one: Token) -> dict[str, Any]:
    tags = {"account_tags": ledger.accounts[one.account_id].tags, "flavor_tags": ledger.flavors[one.flavor_id].tags, "tags": one.tags}
    return {"account_id": one.account_id, "flavor_id": one.flavor_id, "amount": one.amount, **tags}


def found_moves(ledger: Ledger, question: Question) -> Found[Move]:
    bound = bind(_parsed(question.filter), "actions", question.params)
    named = _named(bound)
    if (txn_id := named.get(("transaction_id", ()))) is not None:
        moves: Sequence[Move] = moves_of(ledger, txn_id)
    else:
        moves = _fewest(ledger, "actions", named, ledger.moves, action_object)
    return Found(moves, lambda one: matches(bound, action_object(one)), lambda one: (one.number, one.seq), lambda one: one.shown)


def moves_of(ledger: Ledger, txn_id: str) -> list[Move]:
    """What a transaction moved; nothing if it is not there."""
    return ledger.moves_of(ledger.posted[txn_id][1].sequence_number) if txn_id in ledger.posted else []


def action_object(one: Move) -> dict[str, Any]:
    shown = one.shown
    return {
        "id": f"{shown.txn_id}/{shown.action_no}",
        "transaction_id": shown.txn_id,
        "timestamp": shown.effective_at,
        "recorded_at": shown.recorded_at,
        "type": shown.type,
        "amount": shown.amount,
        "flavor_id": shown.flavor_id,
        "source_account_id": shown.source,
        "destination_account_id": shown.destination,
        "tags": shown.action_tags,
        "snapshot": one.snapshot,
    }


def found_transactions(ledger: Ledger, question: Question) -> Found[Numbered]:
    bound = bind(_parsed(question.filter), "transactions", question.params)
    named = _named(bound)
    if (txn_id := named.get(("id", ()))) is not None:
        posted: Sequence[Numbered] = [ledger.posted[txn_id]] if txn_id in ledger.posted else []
    else:
        posted = _fewest(ledger, "transactions", named, ledger.transactions, _head)
    return Found(
        posted,
        lambda one: matches(bound, _transaction_object(ledger, one)),
        lambda one: (one[1].sequence_number,),
        lambda one: shown_transaction(ledger, one),
    )


def _head(one: Numbered) -> dict[str, Any]:
    asked, posted = one
    return {
        "id": asked.txn_id,
        "timestamp": asked.effective_at,
        "recorded_at": posted.recorded_at,
        "sequence_number": posted.sequence_number,
        "kind": asked.kind,
        "tags": asked.tags,
    }


def _transaction_object(ledger: Ledger, one: Numbered) -> dict[str, Any]:
    return {**_head(one), "actions": [action_object(move) for move in ledger.moves_of(one[1].sequence_number)]}


def shown_transaction(ledger: Ledger, one: Numbered) -> PostedTransaction:
    """A transaction with its actions, and what was reversed of it so far."""
    (asked, posted), kept = one, ledger.reversals
    number = posted.sequence_number
    return PostedTransaction(
        asked.txn_id,
        number,
        asked.kind,
        asked.effective_at,
        posted.recorded_at,
        dict(asked.tags),
        asked.correlation_id,
        tuple(move.shown for move in ledger.moves_of(number)),
        tuple(kept.of.get(number, ())),
        tuple(name for name, _ in kept.parts.get(number, ())),
    )


def told_since(ledger: Ledger, kind: str, number: int) -> Iterator[Told]:
    """The journal from the transaction of this number on, oldest first."""
    if kind == "actions":
        for place in range(ledger.start(max(number, 1)), len(ledger.moves)):
            one = ledger.moves[place]
            yield (one.number, one.number, one.seq), action_object(one), one.shown
        return
    for place in range(max(number, 1) - 1, ledger.numbers):
        found = ledger.transactions[place]
        yield (place + 1, place + 1, WHOLE), _transaction_object(ledger, found), shown_transaction(ledger, found)


def _named(bound: Bound) -> dict[Path, str]:
    """The texts that some fields must have for anything to match."""
    return dict(found for part in _conjuncts(bound.tree) if isinstance(part, Test) and (found := _equal(part)) is not None)


def _conjuncts(tree: Tree | None) -> Iterator[Tree]:
    if isinstance(tree, Group) and tree.all:
        for part in tree.parts:
            yield from _conjuncts(part)
    elif tree is not None:
        yield tree


def _equal(test: Test) -> tuple[Path, str] | None:
    for field, value in ((test.left, test.right), (test.right, test.left)):
        if test.op == "=" and isinstance(field, Field) and isinstance(value, Value) and value.type == "text" and isinstance(value.value, str):
            return (field.root, field.below), value.value
    return None


def _fewest(ledger: Ledger, kind: str, named: Mapping[Path, str], every: Sequence[T], object_of: Callable[[T], Mapping[str, Any]]) -> Sequence[T]:
    """The shortest of the lists of those that have one of these texts."""

    def having(path: Path) -> Index[T]:
        return ledger.indexes.setdefault((kind, path), Index(every, lambda one: [value] if isinstance(value := value_at(object_of(one), *path), str) else []))

    return min((having(path).of(text) for path, text in named.items()), key=len, default=every)
