"""What a posting to books in memory does is counted: it does not grow with the books around it, nor with what its own lots have been through.

Counted are calls of functions, and what is visited of the books' own lists and dicts, where one call can copy or look through all of it.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import pytest
from bourse.clock import FixedClock
from bourse.errors import Refused
from bourse.ledger.actions import Account, Action, Distribute, PostHold, ReleaseHold, Reserve, Reverse
from bourse.ledger.books import AsOf, Question
from bourse.ledger.feeds import Feed
from bourse.ledger.memory import MemoryLedger
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_lots import MemoryLots
from bourse.ledger.memory_records import MemoryRecords
from bourse.ledger.records import Interval

from tests.ledger.books_builders import CLOCK, DAY, T, day, issue, opened, post, retire, transfer, txn
from tests.ledger.builders import NOON, TENANT, bid, chunk, pay_in, pay_out, settle
from tests.ledger.flow_builders import bounce, failed, paid, repay, request, status

FEW, MANY = 10, 400
HALVINGS = 100
"""What looking up a place by halves may cost more, in calls, among so many more; one call for each of them would be more than that."""


class Counted(NamedTuple):
    """What was done."""

    calls: int
    visited: int


def alike(few: Counted, many: Counted) -> bool:
    return few.visited == many.visited and many.calls <= few.calls + HALVINGS


class Visits:
    """How many items of the books were looked at."""

    def __init__(self) -> None:
        self.count = 0

    def each(self, items: Iterable[Any]) -> Iterator[Any]:
        for one in items:
            self.count += 1
            yield one


class WatchedList(list[Any]):
    """A list that says what is visited of it."""

    visits: Visits

    def __iter__(self) -> Iterator[Any]:
        return self.visits.each(super().__iter__())

    def __reversed__(self) -> Iterator[Any]:
        return self.visits.each(super().__reversed__())

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        self.visits.count += len(found) if isinstance(place, slice) else 0
        return found

    def copy(self) -> Any:
        return list(self)


class WatchedDict(dict[Any, Any]):
    """A dict that says what is visited of it."""

    visits: Visits

    def __iter__(self) -> Iterator[Any]:
        return self.visits.each(super().__iter__())

    def keys(self) -> Any:
        return list(self)

    def values(self) -> Any:
        return list(self.visits.each(super().values()))

    def items(self) -> Any:
        return list(self.visits.each(super().items()))

    def copy(self) -> Any:
        return dict(self)


def watched(value: Any, visits: Visits) -> Any:
    """The list or dict, and the dicts in it, counting what is visited of it."""
    if not isinstance(value, list | dict):
        return value
    found = WatchedList(value) if isinstance(value, list) else WatchedDict({name: watched(one, visits) for name, one in value.items()})
    found.visits = visits
    return found


def watch(books: MemoryBooks, tenant_id: str) -> Visits:
    """Whatever is visited of the books from now on. Pairs of account and flavor stay the same dict, however they are found."""
    ledger, visits = books._of(tenant_id), Visits()
    for name in ("accounts", "flavors", "lots", "holds", "expiring", "owed", "posted", "transactions", "refused", "moves", "starts", "journal", "of_account"):
        setattr(ledger, name, watched(getattr(ledger, name), visits))
    of_flavor: dict[str, Any] = {}
    for account, flavors in dict.items(ledger.of_account):
        for flavor, mine in dict.items(flavors):
            of_flavor.setdefault(flavor, {})[account] = mine
    ledger.of_flavor = watched({}, visits)
    for flavor, accounts in of_flavor.items():
        kept = ledger.of_flavor[flavor] = watched({}, visits)
        for account, mine in accounts.items():
            kept[account] = mine
    for lot in dict.values(ledger.lots):
        lot.moves = watched(lot.moves, visits)
    ledger.indexes.clear()
    return visits


def counted(does: Callable[[], object], visits: Visits) -> Counted:
    calls, before = 0, visits.count

    def count(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    old = sys.getprofile()
    sys.setprofile(count)
    try:
        does()
    finally:
        sys.setprofile(old)
    return Counted(calls, visits.count - before)


def around(many: int) -> MemoryBooks:
    """Books in which so many others have lots, tags, holds that expire, floors, shares that are owed and a past; ann, ben and the line have a few."""
    books = MemoryBooks(CLOCK)
    lenders = [Account("loans", floor=None), Account("owed/ben", floor=None)]
    opened(books, "ann", "ben", "cat", Account("line", floor=-500), *lenders, flavors=("usd", "loan", "other"))
    for number in range(many):
        name = f"other-{number}"
        opened(books, name, flavors=(f"flavor-{number}",))
        post(books, issue(100, name), issue(50, name, token_tags={"n": number}), id=f"in-{number}")
        post(books, Reserve(f"hold-{number}", "usd", 5, name, expires_at=day(1)), Reserve(f"kept-{number}", "usd", 5, name), id=f"held-{number}")
        post(books, transfer(7, name, f"other-{number // 2}" if number else "cat", order="lifo"), id=f"out-{number}", at=day(3))
        post(books, Reverse(f"out-{number}", (1, 7)), id=f"back-{number}", at=day(3))
    post(books, issue(100_000, "ann"), issue(10_000, "ann", token_tags={"n": 1}), issue(500, "ben"), id="subjects")
    post(books, issue(7, "ben", "loan", source="loans"), issue(5, "cat", "loan", source="loans"), id="loans")
    post(books, issue(2, "other-1", "other", source="loans"), issue(3, "other-2", "other", source="loans"), id="others")
    post(books, Distribute("usd", 41, "ann", "other", retire=False), id="other-share")
    return books


def late(number: int) -> datetime:
    return DAY + timedelta(seconds=number)


POSTINGS: dict[str, Callable[[int], list[Action]]] = {
    "transfer": lambda _: [transfer(1, "ann", "ben")],
    "filtered": lambda _: [transfer(1, "ann", "ben", where="tags.n = 1 AND account_id = 'ann'")],
    "pro rata": lambda _: [transfer(3, "ann", "ben", order="pro_rata")],
    "a new lot that goes": lambda _: [transfer(2, "ann", "ben", token_tags={"x": "y"}), retire(2, "ben", where="tags.x = 'y'")],
    "issue with floor": lambda n: [issue(1, "cat", "loan", source="loans", source_floor=-1000 - n)],
    "credit line": lambda _: [transfer(1, "line", "ann")],
    "hold": lambda n: [Reserve(f"h{n}", "usd", 3, "ann", expires_at=day(9)), PostHold(f"h{n}", "ben", 1, keep_rest=True), ReleaseHold(f"h{n}")],
    "distribution": lambda _: [Distribute("usd", 7, "ann", "loan", retire=False)],
    "reversal": lambda n: [Reverse(f"p{n - 1}", advance_from="owed/{account_id}")] if n % 2 else [transfer(1, "ann", "ben")],
}


@pytest.mark.parametrize("kind", POSTINGS)
def test_a_posting_costs_the_same_with_more_books_around_it(kind: str) -> None:
    few, many = _costs(kind, around(FEW)), _costs(kind, around(MANY))
    assert all(map(alike, few, many)), (few, many)


def _costs(kind: str, books: MemoryBooks) -> list[Counted]:
    visits = watch(books, T)
    return [_cost(kind, n, books, visits, f"p{n}") for n in range(4)][2:]


def _cost(kind: str, n: int, books: MemoryBooks, visits: Visits, txn_id: str) -> Counted:
    made = [txn(*POSTINGS[kind](n), id=txn_id, at=late(n))]
    return counted(lambda: books.post(T, made, DAY), visits)


def test_a_posting_costs_the_same_after_many_on_the_same_lots() -> None:
    books = around(3)
    visits = watch(books, T)
    for place, kind in enumerate(sorted(POSTINGS.keys() - {"reversal"})):
        costs = [_cost(kind, place * MANY + n, books, visits, f"p{place}-{n}") for n in range(MANY)]
        assert alike(max(costs[FEW : FEW + 10]), max(costs[-10:])), kind


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_refused_costs_the_same_with_more_books_around_it(dry_run: bool) -> None:
    def costs(books: MemoryBooks) -> list[Counted]:
        visits = watch(books, T)

        def refused(number: int) -> None:
            made = [txn(transfer(1, "ann", "ben"), id=f"a{number}", at=late(1)), txn(transfer(10**6, "ann", "ben"), id=f"b{number}", at=late(1))]
            with pytest.raises(Refused):
                books.post(T, made, DAY, dry_run=dry_run)

        return [counted(partial(refused, n), visits) for n in range(3)][1:]

    few, many = costs(around(FEW)), costs(around(MANY))
    assert all(map(alike, few, many)), (few, many)


def test_what_happened_before_others_looks_at_those_only() -> None:
    def costs(before: int) -> Counted:
        books = around(3)
        for number in range(before):
            post(books, transfer(1, "ann", "ben"), at=late(number))
        post(books, transfer(1, "ann", "ben"), at=late(before + 2))
        visits = watch(books, T)
        post(books, transfer(1, "ann", "ben"), at=late(before + 1))
        return counted(lambda: post(books, transfer(1, "ann", "ben"), at=late(before + 1)), visits)

    few, many = costs(FEW), costs(MANY)
    assert alike(few, many)


READS: dict[str, Callable[[MemoryBooks], object]] = {
    "an account's tokens": lambda books: books.tokens(T, Question("account_id = 'ben'")),
    "as of a time": lambda books: books.sum_tokens(T, Question("account_id = $1 AND flavor_id = 'usd'", ("ben",)), AsOf(DAY)),
    "as known": lambda books: books.sum_tokens(T, Question("flavor_id = 'loan'"), AsOf(DAY, DAY)),
    "a transaction": lambda books: books.transactions(T, Question("id = 'loans'")),
    "its actions": lambda books: books.sum_actions(T, Question("transaction_id = 'loans'")),
    "the newest": lambda books: books.actions(T, Question(), limit=2),
    "the newest transactions": lambda books: books.transactions(T, Question("kind = 'transaction'"), limit=2),
    "a feed": lambda books: books.feed_page(T, "f", limit=2),
    "a statement": lambda books: MemoryRecords(books).statement(T, "ben", Interval(DAY, day(9))),
    "one transaction": lambda books: MemoryRecords(books).transaction(T, "loans"),
    "a hold": lambda books: MemoryRecords(books).hold(T, "mine", DAY),
}


@pytest.mark.parametrize("what", READS)
def test_reading_what_is_named_costs_the_same_with_more_books_around_it(what: str) -> None:
    def costs(many: int) -> Counted:
        books = around(many)
        books.open_feed(T, Feed("f", "actions"))
        post(books, Reserve("mine", "usd", 1, "ben"), transfer(1, "ann", "cat"), id="mine")
        visits = watch(books, T)
        READS[what](books)
        return counted(lambda: READS[what](books), visits)

    few, many = costs(FEW), costs(MANY)
    assert alike(few, many)


def market(many: int) -> MemoryLedger:
    """A marketplace in which so many other investors have paid in, bought a loan and requested a withdrawal that is over."""
    ledger = MemoryLedger(books=MemoryLots(FixedClock(NOON)))
    for number in range(many):
        investor = f"other{number}"
        pay_in(ledger, investor, 50_000)
        settle(ledger, chunk(bid(f"o{number}", investor_id=investor, loan_id=f"other{number}"), number=f"o{number}"))
        request(ledger, 10, f"o{number}", investor_id=investor, hour=0, expires_at=NOON + timedelta(minutes=1))
        paid(ledger, f"o{number}", f"o{number}", hour=0)
    pay_in(ledger, "ivy", 50_000)
    settle(ledger, chunk(bid("first"), number="first"))
    return ledger


def flow(ledger: MemoryLedger, n: int) -> dict[str, Callable[[], object]]:
    """The marketplace's flows, of an investor of ours."""
    return {
        "bids": lambda: settle(ledger, chunk(bid(f"s{n}"), bid(f"t{n}", principal=10**6, buy_amount=10**9), number=n)),
        "the same bids": lambda: settle(ledger, chunk(bid(f"s{n}"), bid(f"t{n}", principal=10**6, buy_amount=10**9), number=n)),
        "deposit": lambda: pay_in(ledger, "ivy", 5000, f"d{n}"),
        "withdrawal": lambda: pay_out(ledger, "ivy", 5, f"w{n}"),
        "request": lambda: request(ledger, 10, f"r{n}", hour=0),
        "payment of it": lambda: paid(ledger, f"p{n}", f"r{n}", hour=0),
        "another request": lambda: request(ledger, 10, f"f{n}", hour=0),
        "failure of it": lambda: failed(ledger, f"f{n}", hour=0),
        "how it stands": lambda: status(ledger, f"f{n}", hour=0),
        "distribution": lambda: repay(ledger, f"q{n}", interest=3, principal=1, fee=1, hour=0),
        "taken back": lambda: bounce(ledger, "deposit", f"d{n}", hour=0),
        "bids of a loan": lambda: ledger.bids_of_loan(TENANT, "acme", "L1")[:1],
        "statement": lambda: ledger.statement(TENANT, "ivy", "EUR", NOON - timedelta(days=1), NOON),
        "totals": lambda: ledger.totals(TENANT),
    }


def test_the_flows_of_the_marketplace_cost_the_same_with_more_of_it_around() -> None:
    def costs(many: int) -> dict[str, Counted]:
        ledger = market(many)
        visits = watch(ledger.books, TENANT)
        for does in flow(ledger, 0).values():
            does()
        return {name: counted(does, visits) for name, does in flow(ledger, 1).items()}

    few, many = costs(FEW), costs(MANY)
    assert {name: (few[name], one) for name, one in many.items() if not alike(few[name], one)} == {}


def test_holds_that_are_over_are_looked_at_no_more() -> None:
    def costs(many: int) -> Counted:
        books = around(3)
        for number in range(many):
            post(books, Reserve(f"soon-{number}", "usd", 1, "ann", expires_at=late(number + 1)))
        visits = watch(books, T)
        post(books, transfer(1, "ann", "ben"), now=day(1), at=day(1))
        return counted(lambda: post(books, transfer(1, "ann", "ben"), now=day(1), at=day(1)), visits)

    few, many = costs(FEW), costs(MANY)
    assert alike(few, many), (few, many)
