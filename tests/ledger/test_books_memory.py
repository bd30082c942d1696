"""The posting functions hold no memory from call to call: a connection that has posted a hundred thousand transactions is as small as after the first."""

from datetime import timedelta

import psycopg
from bourse.aws.postgres import Database
from bourse.ledger.actions import Account
from bourse.ledger.aurora_books import AuroraBooks

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, held, issue, opened, post, retire, transfer, txn

PER_CALL, WARM, CALLS = 1_000, 50, 60
_MAY_SEE = """
    grant select on pg_backend_memory_contexts to bourse_app;
    grant execute on function pg_get_backend_memory_contexts() to bourse_app"""


def memory_bytes(database: Database) -> int:
    """All memory contexts of this connection's server process."""
    with database.transaction(T) as cursor:
        row = cursor.execute("select sum(total_bytes)::bigint from pg_backend_memory_contexts").fetchone()
    assert row is not None
    return int(row[0])


def _to(names: list[str], number: int, call: int) -> str:
    return "fees" if number % 10 == 0 else names[(number + 1 + call % 49) % 50]


def test_posting_a_hundred_thousand_transactions_takes_no_memory(fresh_database: FreshDatabase) -> None:
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        owner.execute(_MAY_SEE)
        # Small stretches, so that every function there is has been called, and keeps its plans, when the measuring begins.
        owner.execute("create or replace function books.stretch_size() returns int language sql immutable as 'select 2'")
    database = Database(fresh_database.app_dsn)
    names = [f"a{number}" for number in range(50)]
    books = opened(AuroraBooks(database), *names, Account("fees", floor=None, hot=True))
    post(books, *(issue(10**9, name) for name in names))
    before = 0
    for call in range(WARM + CALLS):
        if call == WARM:
            before = memory_bytes(database)
        at = DAY + timedelta(minutes=call)
        books.post(T, [txn(transfer(1 + n % 7, names[n % 50], _to(names, n, call)), at=at) for n in range(PER_CALL)], DAY)
        post(books, transfer(1, names[0], "fees"), at=at)
        post(books, retire(1, names[1]), at=DAY)  # earlier than all others: looks back
        post(books, retire(1, names[2], where="amount > 0"), at=at)
    assert memory_bytes(database) <= before + 65_536
    assert sum(held(books, name) for name in names) + held(books, "fees") == 50 * 10**9 - 2 * (WARM + CALLS)
    with database.transaction(T) as cursor:
        assert (cursor.execute("select count(*) from books.txn").fetchone() or (0,))[0] > 100_000
    database.close()
