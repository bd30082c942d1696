"""The store's own refusals: rows of another tenant, changes of facts, overdrafts, overselling, postings that do not add up."""

from typing import Any, LiteralString

import orjson
import psycopg
import pytest

from tests.ledger.builders import NOON, TENANT, AuroraKeeper, bid, chunk, pay_in, settle

TABLES = ("account", "loan", "balance", "txn", "move", "bid", "bucket_total")
VIEWS = ("investor_cash", "bucket_position", "position", "trial_balance")
JOURNAL = ("account", "txn", "move", "bid")


@pytest.fixture
def books(aurora: AuroraKeeper) -> AuroraKeeper:
    """Two tenants with a purchase each."""
    for tenant_id in (TENANT, "t2"):
        pay_in(aurora.ledger, "ivy", 5000, tenant_id=tenant_id)
        settle(aurora.ledger, chunk(bid(1), bid(2, investor_id="sam"), tenant_id=tenant_id))
    return aurora


def count(dsn: str, table: str, tenant_id: str | None) -> int:
    with psycopg.connect(dsn) as connection:
        if tenant_id:
            connection.execute("select set_config('app.tenant', %s, true)", [tenant_id])
        row = connection.execute(f"select count(*)::int from ledger.{table}").fetchone()
        assert row is not None
        return row[0]


@pytest.mark.parametrize("table", [*TABLES, *VIEWS])
def test_without_a_tenant_there_are_no_rows_and_with_one_there_are_its_own(books: AuroraKeeper, table: str) -> None:
    assert count(books.app_dsn, table, None) == 0
    assert count(books.app_dsn, table, "t3") == 0
    assert count(books.app_dsn, table, TENANT) == count(books.app_dsn, table, "t2") > 0
    assert count(books.owner_dsn, table, None) == 2 * count(books.app_dsn, table, TENANT)  # the owner here is a superuser


def _run(dsn: str, tenant_id: str, statement: LiteralString, values: Any = None) -> int:
    with psycopg.connect(dsn) as connection:
        connection.execute("select set_config('app.tenant', %s, true)", [tenant_id])
        return connection.execute(statement, values).rowcount


@pytest.mark.parametrize("table", JOURNAL)
@pytest.mark.parametrize("change", ["update ledger.{} set tenant_id = tenant_id", "delete from ledger.{}", "truncate ledger.{}"])
def test_the_role_of_the_functions_may_not_change_what_is_journal(books: AuroraKeeper, table: str, change: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _run(books.app_dsn, TENANT, change.format(table))


@pytest.mark.parametrize("table", JOURNAL)
@pytest.mark.parametrize("change", ["update ledger.{} set tenant_id = tenant_id", "delete from ledger.{}", "truncate ledger.{} cascade"])
def test_nobody_may_change_what_is_journal(books: AuroraKeeper, table: str, change: str) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="facts are only added"):
        _run(books.owner_dsn, TENANT, change.format(table))


@pytest.mark.parametrize("table", ["balance", "loan", "bucket_total"])
def test_what_follows_from_the_journal_is_never_deleted_by_a_function(books: AuroraKeeper, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _run(books.app_dsn, TENANT, "delete from ledger.{}".format(table))  # noqa: UP032


def test_a_row_of_another_tenant_is_neither_written_nor_changed(books: AuroraKeeper) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        _run(books.app_dsn, TENANT, "insert into ledger.account values ('t2', 'cash/eve', 'investor_cash', 'eve')")
    assert _run(books.app_dsn, TENANT, "update ledger.balance set amount = amount + 1 where tenant_id = 't2'") == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        _post(books, [["x", 0, "world", "cash/ivy", "EUR", 1, None]], books_of="t2")


@pytest.mark.parametrize("account", ["cash/ivy", "proceeds/acme", "claims/ivy-pension/safe"])
def test_the_store_itself_refuses_an_overdraft(books: AuroraKeeper, account: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="no_overdraft"):
        _run(books.app_dsn, TENANT, "update ledger.balance set amount = -1 where account_id = %s", [account])


def test_the_store_itself_refuses_to_sell_more_of_a_loan_than_was_offered(books: AuroraKeeper) -> None:
    move = ["x", 0, "loans/acme", "claims/ivy-pension/safe", "loan/acme/L1"]
    _post(books, [["x1", 0, *move[2:], 500, -1500]])
    with pytest.raises(psycopg.errors.CheckViolation, match="no_overdraft"):
        _post(books, [["x2", 0, *move[2:], 1, -1500]])


@pytest.mark.parametrize(
    ("moves", "refusal"),
    [
        ([["x", 0, "cash/ivy", "cash/ivy", "EUR", 5, None]], psycopg.errors.CheckViolation),
        ([["x", 0, "world", "cash/ivy", "EUR", 0, None]], psycopg.errors.CheckViolation),
        ([["x", 0, "world", "cash/ivy", "EUR", -5, None]], psycopg.errors.CheckViolation),
        ([["x", 0, "world", "cash/nobody", "EUR", 5, None]], psycopg.errors.ForeignKeyViolation),
        ([["x", 0, "nowhere", "cash/ivy", "EUR", 5, None]], psycopg.errors.ForeignKeyViolation),
        ([["x", 0, "world", "cash/ivy", "EUR", 5, None], ["x", 1, "cash/ivy", "proceeds/acme", "EUR", 10**6, None]], psycopg.errors.CheckViolation),
        ([["x", 0, "world", "cash/ivy", "EUR", 2**63 - 1, None]], psycopg.errors.NumericValueOutOfRange),
    ],
    ids=["to itself", "nothing", "less than nothing", "to nobody", "from nowhere", "more than there is", "more than fits"],
)
def test_a_posting_that_is_wrong_is_refused_whole(books: AuroraKeeper, moves: list[list[Any]], refusal: type[Exception]) -> None:
    before = books.balances(), books.by_journal()
    with pytest.raises(refusal):
        _post(books, moves)
    assert (books.balances(), books.by_journal()) == before


def test_a_transaction_id_is_posted_once_for_ever(books: AuroraKeeper) -> None:
    _post(books, [["x", 0, "world", "cash/ivy", "EUR", 5, None]])
    with pytest.raises(psycopg.errors.UniqueViolation):
        _post(books, [["x", 0, "world", "cash/ivy", "EUR", 5, None]])


def _post(keeper: AuroraKeeper, moves: list[list[Any]], books_of: str = TENANT) -> None:
    txns = [[txn_id, "test", NOON.isoformat(), "c", "p", {}] for txn_id in sorted({move[0] for move in moves})]
    posting = orjson.dumps({"accounts": [], "txns": txns, "moves": moves}).decode()
    _run(keeper.app_dsn, TENANT, "select ledger.post(%s, %s)", [books_of, posting])


def test_the_views_other_domains_read_show_cash_buckets_and_positions(books: AuroraKeeper) -> None:
    pay_in(books.ledger, "sam", 1010)
    settle(books.ledger, chunk(bid(3, investor_id="sam", bucket_id="bold"), number=3))
    books.ledger.close_loans(TENANT, "acme", [])
    rows = books.rows
    assert sorted(rows("select investor_id, currency, available from ledger.investor_cash where tenant_id = 't1'")) == [("ivy", "EUR", 3990), ("sam", "EUR", 0)]
    buckets = rows("select portfolio_id, bucket_id, principal, settled_total from ledger.bucket_position where tenant_id = 't1'")
    assert sorted(buckets) == [("ivy-pension", "safe", 1000, 1000), ("sam-pension", "bold", 1000, 1000)]
    columns = "investor_id, portfolio_id, bucket_id, originator_id, loan_id, currency, principal, loan_status"
    assert sorted(rows(f"select {columns} from ledger.position where tenant_id = 't1'")) == [
        ("ivy", "ivy-pension", "safe", "acme", "L1", "EUR", 1000, "active"),
        ("sam", "sam-pension", "bold", "acme", "L1", "EUR", 1000, "active"),
    ]
