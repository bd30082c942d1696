"""The lending guide as it is written, with its exact figures: issue a loan, deposit, sell, pay, withdraw; portfolio, borrower, cash, fees."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from bourse.aws.postgres import Database
from bourse.ledger.actions import Account, Action, Distribute, Flavor, Spending
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books, Question
from bourse.ledger.memory_books import MemoryBooks

from tests.ledger.books_builders import CLOCK, T, held, issue, opened, post, retire, transfer

DUE = ("2018-01-01T00:00:00Z", "2018-02-01T00:00:00Z", "2018-03-01T00:00:00Z")
PAID_AT = datetime(2018, 1, 1, 12, tzinfo=UTC)
TYPES = {"alice": "borrower", "investor1": "investor", "investor2": "investor", "processing": "company", "lending": "company"}


@pytest.fixture(params=["memory", "aurora"])
def books(request: pytest.FixtureRequest) -> Iterator[Books]:
    loan1 = Flavor("loan1", {"type": "loan", "loan_id": "1", "borrower_id": "alice", "issue_date": "2017-12-01T00:00:00Z"})
    accounts = [Account(name, {"type": type_}) for name, type_ in TYPES.items()]
    database = None
    made: Books = MemoryBooks(CLOCK)
    if request.param == "aurora":
        database = Database(request.getfixturevalue("fresh_database").app_dsn)
        made = AuroraBooks(database)
    opened(made, *accounts, flavors=(Flavor("usd", {"type": "currency"}), loan1))
    yield made
    if database:
        database.close()


def at(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def lend_and_sell(books: Books) -> None:
    """The first three shapes of the guide."""
    made: list[Action] = [issue(30_000, "alice", action_tags={"type": "distribute_loan_amount"})]
    made.append(retire(30_000, "alice", action_tags={"type": "receive_loan_amount", "system": "wire", "wire_transaction_id": "11111"}))
    made += [issue(11_000, "lending", "loan1", token_tags={"installment": n, "due_date": due}) for n, due in enumerate(DUE, 1)]
    post(books, *made, at=at(2017, 12, 1))
    for number in (1, 2):
        post(books, issue(100_000, f"investor{number}", action_tags={"type": "deposit"}), at=at(2017, 12, 2))
    for investor, price, part in (("investor1", 10_100, 3_666), ("investor2", 20_200, 7_334)):
        sale: list[Action] = [retire(price, investor, action_tags={"type": "loan_purchase_proceeds"})]
        for number, due in enumerate(DUE, 1):
            tags = {"due_date": due, "installment": number}
            sale.append(transfer(part, "lending", investor, "loan1", where="tags.due_date=$1", params=(due,), token_tags=tags))
        post(books, *sale, at=at(2017, 12, 3))


def pay(books: Books, rule: Literal["deficit", "seed_floor"]) -> None:
    """The fourth: alice pays the first installment, in one action instead of a sum and a transaction that may not fit it any more."""
    shared = Distribute(
        "usd", 11_000, "processing", "loan1", over=Spending("tags.installment=$1", (1,)), fee=(1, 100), rule=rule, action_tags={"type": "company_fee"}
    )
    post(books, issue(11_000, "alice"), transfer(11_000, "alice", "processing", action_tags={"type": "loan_payment"}), shared, at=PAID_AT)


def sums(books: Books, text: str, params: tuple[Any, ...], *group_by: str) -> list[tuple[Any, ...]]:
    return sorted((*row.group.values(), row.amount) for row in books.sum_tokens(T, Question(text, params, group_by)))


@pytest.mark.parametrize(("rule", "cash", "fee"), [("seed_floor", (93_529, 87_060), 111), ("deficit", (93_529, 87_061), 110)])
def test_the_guide_ends_in_its_figures(books: Books, rule: Literal["deficit", "seed_floor"], cash: tuple[int, int], fee: int) -> None:
    lend_and_sell(books)
    pay(books, rule)
    assert (held(books, "investor1"), held(books, "investor2")) == cash
    assert [held(books, one, "loan1") for one in ("lending", "investor1", "investor2")] == [0, 7_332, 14_668]
    window = Question("tags.type=$1 AND type='retire' AND flavor_id='usd' AND timestamp >= $2 AND timestamp < $3", ("company_fee", DUE[0], DUE[1]))
    assert [row.amount for row in books.sum_actions(T, window)] == [fee]
    post(books, retire(5_000, "investor1", action_tags={"type": "investor_withdrawal"}), at=at(2018, 1, 2))
    assert held(books, "investor1") == 88_529


def test_the_guides_four_queries(books: Books) -> None:
    lend_and_sell(books)
    pay(books, "seed_floor")
    assert sums(books, "accountId=$1 AND flavorTags.type=$2", ("investor1", "loan"), "flavorId") == [("loan1", 7_332)]
    assert sums(books, "flavorTags.borrower_id=$1", ("alice",), "flavorId", "tags.due_date") == [("loan1", DUE[1], 11_000), ("loan1", DUE[2], 11_000)]
    cash = sums(books, "accountTags.type=$1 AND flavorTags.type=$2", ("investor", "currency"), "accountId", "flavorId")
    assert cash == [("investor1", "usd", 93_529), ("investor2", "usd", 87_060)]
    paid = books.sum_actions(T, Question("tags.type=$1 AND timestamp >= $2 AND timestamp < $3", ("loan_payment", DUE[0], DUE[1])))
    assert [row.amount for row in paid] == [11_000]


def test_when_the_last_installment_is_paid_the_loan_is_gone(books: Books) -> None:
    lend_and_sell(books)
    for number in (1, 2, 3):
        over = Spending("tags.installment=$1", (number,))
        post(books, issue(11_000, "processing"), Distribute("usd", 11_000, "processing", "loan1", over=over, fee=(1, 100)), at=at(2018, number, 1))
    assert sums(books, "flavor_id='loan1'", ()) == [(0,)]
    assert held(books, "processing") == 0
