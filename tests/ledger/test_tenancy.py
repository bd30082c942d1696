"""The store's own refusals: rows of another tenant, changes of facts, overdrafts, overselling, postings that do not add up."""

from itertools import count
from typing import Any, LiteralString

import psycopg
import pytest
from bourse.errors import Conflict, Refused
from bourse.ledger.actions import Action, Issue, Reserve, Retire, Transaction, Transfer
from bourse.ledger.aurora_books import AuroraBooks

from tests.ledger.builders import NOON, TENANT, AuroraKeeper, bid, chunk, closed, pay_in, settle

MONEY = ("books.account", "books.flavor", "books.tagset", "books.lot", "books.txn", "books.move")
TABLES = ("ledger.loan", "ledger.bid", "ledger.bucket_total")
VIEWS = ("ledger.investor_cash", "ledger.bucket_position", "ledger.position", "ledger.trial_balance")
JOURNAL = ("books.tagset", "books.tags_told", "books.txn", "books.move", "ledger.bid")
LOAN = "loan/acme/L1"
_numbers = count(1)


@pytest.fixture
def books(aurora: AuroraKeeper) -> AuroraKeeper:
    """Two tenants with a purchase each."""
    for tenant_id in (TENANT, "t2"):
        pay_in(aurora.ledger, "ivy", 5000, tenant_id=tenant_id)
        settle(aurora.ledger, chunk(bid(1), bid(2, investor_id="sam"), tenant_id=tenant_id))
    return aurora


def rows_in(dsn: str, table: str, tenant_id: str | None) -> int:
    with psycopg.connect(dsn) as connection:
        if tenant_id:
            connection.execute("select set_config('app.tenant', %s, true)", [tenant_id])
        row = connection.execute(f"select count(*)::int from {table}").fetchone()
        assert row is not None
        return row[0]


@pytest.mark.parametrize("table", [*MONEY, *TABLES, *VIEWS])
def test_without_a_tenant_there_are_no_rows_and_with_one_there_are_its_own(books: AuroraKeeper, table: str) -> None:
    assert rows_in(books.app_dsn, table, None) == 0
    assert rows_in(books.app_dsn, table, "t3") == 0
    assert rows_in(books.app_dsn, table, TENANT) == rows_in(books.app_dsn, table, "t2") > 0
    assert rows_in(books.owner_dsn, table, None) == 2 * rows_in(books.app_dsn, table, TENANT)  # the owner here is a superuser


def _run(dsn: str, tenant_id: str, statement: LiteralString, values: Any = None) -> int:
    with psycopg.connect(dsn) as connection:
        connection.execute("select set_config('app.tenant', %s, true)", [tenant_id])
        return connection.execute(statement, values).rowcount


@pytest.mark.parametrize("table", JOURNAL)
@pytest.mark.parametrize("change", ["update {} set tenant_id = tenant_id", "delete from {}", "truncate {}"])
def test_the_role_of_the_functions_may_not_change_what_is_journal(books: AuroraKeeper, table: str, change: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _run(books.app_dsn, TENANT, change.format(table))


@pytest.mark.parametrize("table", JOURNAL)
@pytest.mark.parametrize("change", ["update {} set tenant_id = tenant_id", "delete from {}", "truncate {} cascade"])
def test_nobody_may_change_what_is_journal(books: AuroraKeeper, table: str, change: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="facts are only added"):
        _run(books.owner_dsn, TENANT, change.format(table))


@pytest.mark.parametrize("table", ["books.lot", "books.account", "books.flavor", "ledger.loan", "ledger.bucket_total"])
def test_what_follows_from_the_journal_is_never_deleted_by_a_function(books: AuroraKeeper, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _run(books.app_dsn, TENANT, f"delete from {table}")


def test_a_row_of_another_tenant_is_neither_written_nor_changed(books: AuroraKeeper) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        _run(books.app_dsn, TENANT, "insert into books.account (tenant_id, account_id) values ('t2', 'cash/eve')")
    assert _run(books.app_dsn, TENANT, "update books.lot set amount = amount + 1 where tenant_id = 't2'") == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        _run(books.app_dsn, TENANT, "insert into ledger.bucket_total values ('t2', 'p', 'b', 'eve', 1)")


@pytest.mark.parametrize("account", ["cash/ivy", "proceeds/acme", "claims/ivy-pension/safe"])
def test_the_store_itself_refuses_an_overdraft(books: AuroraKeeper, account: str) -> None:
    overdraw = "update books.lot set amount = -1 where account_no in (select account_no from books.account where account_id = %s)"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match='policy "overdraft"'):
        _run(books.app_dsn, TENANT, overdraw, [account])


def test_the_books_themselves_refuse_to_sell_more_of_a_loan_than_was_offered(books: AuroraKeeper) -> None:
    def sell(amount: int) -> Issue:
        return Issue(LOAN, amount, "claims/ivy-pension/safe", source="loans/acme", source_floor=-1500)

    _post(books, sell(500))
    with pytest.raises(Refused, match="INSUFFICIENT_FUNDS"):
        _post(books, sell(1))


@pytest.mark.parametrize(
    ("actions", "code"),
    [
        ([Transfer("EUR", 5, "cash/ivy", "cash/ivy")], "SAME_ACCOUNT"),
        ([Issue("EUR", 0, "cash/ivy")], "AMOUNT_INVALID"),
        ([Issue("EUR", -5, "cash/ivy")], "AMOUNT_INVALID"),
        ([Issue("EUR", 5.0, "cash/ivy")], "AMOUNT_INVALID"),
        ([Issue("EUR", 5, "cash/nobody")], "ACCOUNT_UNKNOWN"),
        ([Transfer("EUR", 5, "nowhere", "cash/ivy")], "ACCOUNT_UNKNOWN"),
        ([Transfer("USD", 5, "cash/ivy", "cash/sam")], "FLAVOR_UNKNOWN"),
        ([Transfer(LOAN, 5, "cash/ivy", "cash/sam")], "INSUFFICIENT_FUNDS"),
        ([Issue("EUR", 5, "cash/ivy"), Transfer("EUR", 10**6, "cash/ivy", "proceeds/acme")], "INSUFFICIENT_FUNDS"),
    ],
    ids=["to itself", "nothing", "less than nothing", "a float", "to nobody", "from nowhere", "another currency", "a loan for cash", "more than there is"],
)
def test_a_posting_that_is_wrong_is_refused_whole(books: AuroraKeeper, actions: list[Action], code: str) -> None:
    before = books.balances(), books.by_journal()
    with pytest.raises(Refused, match=code):
        _post(books, *actions)
    assert (books.balances(), books.by_journal()) == before


def test_a_transaction_id_is_posted_once_for_ever(books: AuroraKeeper) -> None:
    _post(books, Issue("EUR", 5, "cash/ivy"), txn_id="x")
    _post(books, Issue("EUR", 5, "cash/ivy"), txn_id="x")
    assert books.balances()["cash/ivy", "EUR"] == 3995
    with pytest.raises(Conflict, match="TRANSACTION_DIFFERS"):
        _post(books, Issue("EUR", 6, "cash/ivy"), txn_id="x")


def _post(keeper: AuroraKeeper, *actions: Action, txn_id: str | None = None) -> None:
    made = Transaction(txn_id or f"txn-{next(_numbers)}", actions, NOON)
    AuroraBooks(keeper.database).post(TENANT, [made], NOON)


def test_the_views_other_domains_read_show_cash_buckets_and_positions(books: AuroraKeeper) -> None:
    pay_in(books.ledger, "sam", 1010)
    settle(books.ledger, chunk(bid(3, investor_id="sam", bucket_id="bold", offer_version=2), bid(4, offer_version=2, loan_id="L2"), number=3))
    settle(books.ledger, chunk(bid(5, offer_version=2), number=5))
    books.ledger.close_loans(TENANT, "acme", [closed("L2", 2)])
    _post(books, Reserve("h1", "EUR", 970, "cash/ivy"))
    rows = books.rows
    cash = rows("select account_id, investor_id, currency, available, reserved from ledger.investor_cash where tenant_id = 't1'")
    assert sorted(cash) == [("cash/ivy", "ivy", "EUR", 1000, 970), ("cash/sam", "sam", "EUR", 0, 0)]
    buckets = rows("select portfolio_id, bucket_id, principal, settled_total from ledger.bucket_position where tenant_id = 't1'")
    assert sorted(buckets) == [("ivy-pension", "safe", 3000, 3000), ("sam-pension", "bold", 1000, 1000)]
    columns = "investor_id, portfolio_id, bucket_id, originator_id, loan_id, currency, principal, loan_status"
    assert sorted(rows(f"select {columns} from ledger.position where tenant_id = 't1'")) == [
        ("ivy", "ivy-pension", "safe", "acme", "L1", "EUR", 2000, "active"),
        ("ivy", "ivy-pension", "safe", "acme", "L2", "EUR", 1000, "repaid"),
        ("sam", "sam-pension", "bold", "acme", "L1", "EUR", 1000, "active"),
    ]
    balance = rows("select currency, what, total::int, volume::int, held::int, flavors::int from ledger.trial_balance where tenant_id = 't1'")
    assert sorted(balance) == [("EUR", "cash", 0, 6010, 970, 1), ("EUR", "claims", 0, 4000, 0, 2)]


def test_what_is_retired_leaves_the_bucket_but_not_what_it_ever_settled(books: AuroraKeeper) -> None:
    _post(books, Retire(LOAN, 400, "claims/ivy-pension/safe", destination="loans/acme"))
    assert books.rows("select principal, settled_total from ledger.bucket_position where tenant_id = 't1'") == [(600, 1000)]
