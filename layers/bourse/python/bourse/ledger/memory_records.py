"""The records of the general ledger in memory: read from the lists of a `MemoryBooks`, with the same promise as PostgreSQL's."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, TypeVar

from bourse.errors import NotFound, Refused
from bourse.ledger.actions import PostedTransaction
from bourse.ledger.books import Question
from bourse.ledger.cursors import check_limit, cursor_of, decode_cursor
from bourse.ledger.journal import Entry, TransactionTold
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_found import moves_of
from bourse.ledger.memory_index import Index
from bourse.ledger.memory_state import Ledger, Move
from bourse.ledger.records import (
    HoldState,
    Interval,
    Place,
    Statement,
    StatementEntry,
    StatementTotal,
    check_interval,
    hold_state,
    number_of,
    place_of,
    with_balances,
)

T = TypeVar("T")
_Placed = tuple[Move, StatementEntry]


class MemoryRecords:
    """A `Records`."""

    def __init__(self, books: MemoryBooks) -> None:
        self._books: Final = books
        self._of: Final = books._of

    def transaction(self, tenant_id: str, txn_id: str, *, cursor: str | None = None, limit: int = 100) -> tuple[PostedTransaction, str | None]:
        check_limit(limit)
        after = number_of(decode_cursor(cursor, 1)[0]) if cursor else 0
        [whole] = self._books.transactions(tenant_id, Question("id = $1", (txn_id,))).items or [_found({}, "transaction", txn_id)]
        left = [one for one in moves_of(self._of(tenant_id), txn_id) if one.seq > after]
        shown = replace(whole, actions=tuple(one.shown for one in left[:limit]))
        return shown, cursor_of(str(left[limit - 1].seq)) if len(left) > limit else None

    def hold(self, tenant_id: str, hold_id: str, at: datetime) -> HoldState:
        ledger = self._of(tenant_id)
        hold = _found(ledger.holds, "hold", hold_id)
        done: Counter[str] = Counter()
        by_hold = ledger.indexes.setdefault(("holds", ()), Index(ledger.journal, _holds_in))
        for one in (each for told in by_hold.of(hold_id) for each in told.holds if each.hold_id == hold_id):
            done[one.type] += abs(one.amount)
        state = hold_state(over=hold.over, expired=hold.expired, expires_at=hold.expires_at, at=at)
        amounts = (done["reserve"], done["post"], done["release"] + done["expire"], sum(hold.left.values()))
        return HoldState(hold_id, hold.account_id, hold.flavor_id, state, hold.expires_at, *amounts)

    def statement(
        self,
        tenant_id: str,
        account_id: str,
        interval: Interval,
        *,
        flavor_id: str | None = None,
        known_at: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Statement:
        check_interval(interval)
        check_limit(limit)
        ledger = self._of(tenant_id)
        _found(ledger.accounts, "account", account_id)
        if flavor_id is not None and flavor_id not in ledger.flavors:
            raise Refused("FLAVOR_UNKNOWN", f"there is no flavor {flavor_id}", "flavor_id")
        place = place_of(cursor) if cursor else Place("", interval.since, 0, 0, str(ledger.numbers))
        recorded = number_of(place.recorded)
        entries = _entries(ledger, account_id, flavor_id)
        placed = sorted((one for one in entries if one[1].effective_at < interval.until and _is_known(one[0], known_at, recorded)), key=_order)
        totals = _totals(placed, interval, flavor_id)
        before = {one.flavor_id: one.opening for one in totals}
        at = (place.flavor_id, place.effective_at, place.number, place.seq)
        if cursor:
            before[place.flavor_id] = sum(entry.amount for move, entry in placed if entry.flavor_id == place.flavor_id and _order((move, entry)) <= at)
        found = [one for one in placed if one[1].effective_at >= interval.since and _order(one) > at]
        more = Place(*_order(found[limit - 1]), place.recorded).cursor() if len(found) > limit else None
        return Statement(account_id, totals, with_balances([entry for _, entry in found[:limit]], before), more)


def _found(known: Mapping[str, T], noun: str, name: str) -> T:
    if name not in known:
        raise NotFound(f"{noun.upper()}_UNKNOWN", f"there is no {noun} {name}", f"{'txn' if noun == 'transaction' else noun}_id")
    return known[name]


def _holds_in(told: Entry) -> set[str]:
    return {one.hold_id for one in told.holds} if isinstance(told, TransactionTold) else set()


def _entries(ledger: Ledger, account_id: str, flavor_id: str | None) -> Iterator[_Placed]:
    for move in (one for lot in ledger.lots_of(account_id, flavor_id) for one in lot.moves):
        one = move.shown
        for here, there, sign in ((one.destination, one.source, 1), (one.source, one.destination, -1)):
            if here == account_id != there:
                entry = StatementEntry(
                    one.flavor_id,
                    one.effective_at,
                    one.recorded_at,
                    one.txn_id,
                    move.number,
                    one.action_no,
                    ledger.transactions[move.number - 1][0].kind,
                    one.type,
                    sign * one.amount,
                    0,
                    there,
                    one.action_tags,
                )
                yield move, entry


def _order(placed: _Placed) -> tuple[str, datetime, int, int]:
    move, entry = placed
    return entry.flavor_id, entry.effective_at, move.number, move.seq


def _is_known(move: Move, known_at: datetime | None, recorded: int) -> bool:
    return move.number <= recorded and (known_at is None or move.shown.recorded_at <= known_at)


def _totals(placed: Iterable[_Placed], interval: Interval, flavor_id: str | None) -> list[StatementTotal]:
    opening: Counter[str] = Counter()
    closing: Counter[str] = Counter()
    moved: set[str] = {flavor_id} if flavor_id is not None else set()
    for _, entry in placed:
        closing[entry.flavor_id] += entry.amount
        if entry.effective_at < interval.since:
            opening[entry.flavor_id] += entry.amount
        else:
            moved.add(entry.flavor_id)
    return [StatementTotal(one, opening[one], closing[one]) for one in sorted({*moved, *closing}) if one in moved or closing[one]]
