"""What books in memory have beside their journal, to be carried with it: the order of spending, feeds and declared sums."""

from collections.abc import Iterator

from bourse.ledger.carry_beside import FeedStands, SpendingOrder, SumDeclared
from bourse.ledger.feeds import WHOLE, Position
from bourse.ledger.lots import Lot
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_state import Ledger


def beside(books: MemoryBooks, tenant_id: str) -> Iterator[SpendingOrder | FeedStands | SumDeclared]:
    """All of it, in its order."""
    ledger = books._of(tenant_id)
    yield from _orders(ledger)
    yield from feeds_of(books, tenant_id)
    yield from map(SumDeclared, books.declared_sums(tenant_id))


def _orders(ledger: Ledger) -> Iterator[SpendingOrder]:
    lots: dict[tuple[str, str], list[Lot]] = {}
    for lot in sorted(ledger.lots.values(), key=lambda lot: lot.opened):
        if lot.amount > 0:
            lots.setdefault((lot.account_id, lot.flavor_id), []).append(lot)
    for (account, flavor), ordered in sorted(lots.items()):
        if len(ordered) > 1:
            yield SpendingOrder(account, flavor, tuple(lot.tags for lot in ordered))


def feeds_of(books: MemoryBooks, tenant_id: str) -> Iterator[FeedStands]:
    """The feeds, each with the last transaction its consumer has."""
    ledger = books._of(tenant_id)
    for feed, (order, number, seq) in books._feeds_of(tenant_id).stands():
        if 0 < number <= ledger.numbers and 0 < seq < len(ledger.moves_of(number)):
            yield FeedStands(feed, ledger.transactions[number - 1][0].txn_id, seq)
        else:
            last = min(order if number else order - 1, ledger.numbers)
            yield FeedStands(feed, ledger.transactions[last - 1][0].txn_id if last > 0 else None)


def position(ledger: Ledger, stands: FeedStands) -> Position:
    """Where that is in these books. Raises KeyError for a transaction that was not told."""
    number = 0 if stands.after is None else ledger.posted[stands.after][1].sequence_number
    return (number, number, stands.seq or WHOLE) if number else (0, 0, 0)
