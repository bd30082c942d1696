"""Many transactions in one call, twice and killed in the middle."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused, Unavailable
from bourse.ledger.actions import Posted, Transaction
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books, Question
from bourse.ledger.bulk import post_all, post_each
from bourse.ledger.keys import Signature
from bourse.ledger.memory_books import MemoryBooks

from tests.ledger.books_builders import CLOCK, DAY, T, held, issue, opened, retire, transfer, txn


@pytest.fixture(params=["memory", "aurora"])
def books(request: pytest.FixtureRequest) -> Iterator[Books]:
    database = Database(request.getfixturevalue("fresh_database").app_dsn) if request.param == "aurora" else None
    yield opened(AuroraBooks(database) if database else MemoryBooks(CLOCK), "ann", "ben")
    if database:
        database.close()


class Dies:
    """Books that are killed at one of their postings: before it, or after it and before it is told."""

    def __init__(self, books: Books, at: int, *, after: bool) -> None:
        self._books, self._left, self._after = books, at, after

    def post(
        self, tenant_id: str, transactions: Sequence[Transaction], at: datetime, *, signatures: Sequence[Signature] = (), dry_run: bool = False
    ) -> tuple[Posted, ...]:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Unavailable("killed")
        posted = self._books.post(tenant_id, transactions, at, signatures=signatures, dry_run=dry_run)
        if self._left == 0:
            raise Unavailable("killed")
        return posted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._books, name)


ASKED = [txn(issue(10, "ann"), id="a"), txn(retire(99, "ann"), id="poor"), txn(transfer(4, "ann", "ben"), id="b"), txn(issue(1, "nobody"), id="c")]


def outcome(results: Sequence[Posted | Refused]) -> list[str]:
    return ["posted" if isinstance(one, Posted) else one.code for one in results]


@pytest.mark.parametrize("wrong", range(6))
def test_a_refusal_of_all_names_the_transaction_at_fault(books: Books, wrong: int) -> None:
    asked = [txn(issue(10, "ann"), transfer(5, "ann", "ben")) for _ in range(6)]
    asked[wrong] = txn(issue(1, "ann"), retire(1_000, "ben"))
    with pytest.raises(Refused) as caught:
        post_all(T, asked, DAY, books=books)
    assert (caught.value.code, caught.value.field) == ("INSUFFICIENT_FUNDS", f"transactions.{wrong}.actions.1.amount")
    assert books.actions(T, Question()).items == []


def test_a_conflict_of_all_stays_one(books: Books) -> None:
    books.post(T, [txn(issue(1, "ann"), id="once")], DAY)
    with pytest.raises(Conflict) as caught:
        post_all(T, [txn(issue(1, "ann")), txn(issue(2, "ann"), id="once")], DAY, books=books)
    assert caught.value.field == "transactions.1.actions.0.amount"


def test_what_each_says_is_what_it_says_alone_and_again(books: Books) -> None:
    wanted = ["posted", "INSUFFICIENT_FUNDS", "posted", "ACCOUNT_UNKNOWN"]
    first, again = (post_each(T, ASKED, DAY, books=books) for _ in range(2))
    assert outcome(first) == outcome(again) == wanted
    assert [one.before for one in again if isinstance(one, Posted)] == [True, True]
    assert (held(books, "ann"), held(books, "ben")) == (6, 4)


def test_a_refusal_before_it_came_here_stays_in_its_place(books: Books) -> None:
    early = Refused("AMOUNT_INVALID", "no", "actions.0.amount")
    results = post_each(T, [ASKED[0], early, ASKED[2]], DAY, books=books)
    assert (results[1], outcome(results)) == (early, ["posted", "AMOUNT_INVALID", "posted"])


def test_a_dry_run_of_each_leaves_nothing(books: Books) -> None:
    assert outcome(post_each(T, ASKED[:1], DAY, books=books, dry_run=True)) == ["posted"]
    assert books.actions(T, Question()).items == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 6))
def test_killed_at_any_posting_and_done_again_each_is_posted_once(books: Books, at: int, after: bool) -> None:
    """The first posting tries all at once; then comes each by itself."""
    dying: Any = Dies(books, at, after=after)
    try:
        post_each(T, ASKED, DAY, books=dying)
    except Unavailable:
        pass
    except Refused as refused:
        raise AssertionError(refused.code) from refused
    assert outcome(post_each(T, ASKED, DAY, books=books)) == ["posted", "INSUFFICIENT_FUNDS", "posted", "ACCOUNT_UNKNOWN"]
    assert (held(books, "ann"), held(books, "ben")) == (6, 4)
