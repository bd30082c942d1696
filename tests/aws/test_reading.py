"""Transactions that only read: one snapshot, the tenant's rows, and statements that are prepared but planned at each asking."""

import signal
from typing import Any, LiteralString

import psycopg
import pytest
from bourse.aws.postgres import Database, say
from bourse.aws.reading import Reading
from bourse.errors import Unavailable
from bourse.trading.events import BalancesChanged

_WAITING: LiteralString = "select message_id from foundation.outbox where message_id like %s order by 1"
_PREPARED: LiteralString = "select count(*), sum(generic_plans) from pg_prepared_statements where strpos(statement, %s) > 0"


def _say(database: Database, number: int, tenant_id: str = "t1") -> None:
    with database.transaction(tenant_id) as cursor:
        say(cursor, [BalancesChanged(message_id=f"msg_{number}", tenant_id=tenant_id, correlation_id="c", portfolio_id="por_1", window=1)])


def _waiting(reading: Reading) -> list[str]:
    return [row[0] for row in reading.last(_WAITING, ["msg%"])]


def test_all_statements_see_what_was_committed_when_the_first_began(database: Database, app_dsn: str) -> None:
    _say(database, 1)
    other = Database(app_dsn)

    def ask(reading: Reading) -> tuple[list[Any], list[str]]:
        first = reading.execute(_WAITING, ["msg%"]).fetchall()
        _say(other, 2)
        return first, _waiting(reading)

    assert database.read("t1", ask) == ([("msg_1",)], ["msg_1"])
    assert database.read("t1", _waiting) == ["msg_1", "msg_2"]
    other.close()


def test_a_tenant_reads_its_own_rows_and_nothing_of_it_stays_on_the_connection(database: Database) -> None:
    _say(database, 1, "t1")
    _say(database, 2, "t2")
    assert [database.read(tenant_id, _waiting) for tenant_id in ("t1", "t2", "t1")] == [["msg_1"], ["msg_2"], ["msg_1"]]
    with database.transaction("t3") as cursor:
        assert cursor.execute("select current_setting('plan_cache_mode'), current_setting('transaction_read_only')").fetchone() == ("auto", "off")
        connection = cursor.connection
    assert connection.execute("select count(*) from foundation.outbox").fetchone() == (0,)
    connection.rollback()


@pytest.mark.parametrize("ends", [True, False])
def test_what_reads_is_over_with_its_last_statement_or_with_what_asks(database: Database, ends: bool) -> None:
    connections = []

    def ask(reading: Reading) -> Any:
        connections.append(reading._connection)
        return (reading.last if ends else reading.execute)("select %s::int + 1, %s::text, null", [1, "'; \\ ü"]).fetchone()

    for _ in range(2):
        assert database.read("t1", ask) == (2, "'; \\ ü", None)
        assert connections[-1].pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_nothing_is_written(database: Database) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        database.read("t1", lambda reading: reading.last("delete from foundation.outbox returning message_id"))


def test_what_fails_raises_what_a_cursor_would_and_leaves_the_connection_as_it_was(database: Database) -> None:
    for _ in range(2):
        with pytest.raises(psycopg.errors.DivisionByZero):
            database.read("t1", lambda reading: reading.last("select 1 / %s::int", [0]))
        with pytest.raises(psycopg.errors.UndefinedTable):
            database.read("t1", lambda reading: reading.execute("select * from nowhere"))
        with pytest.raises(psycopg.DataError):
            database.read("t1", lambda reading: reading.last("select %s::text", ["\0"]))
        with pytest.raises(RuntimeError, match="asked enough"):
            database.read("t1", _gives_up)
        assert database.read("t1", lambda reading: reading.last("select 6 / %s::int", [3]).fetchall()) == [(2,)]


def _gives_up(reading: Reading) -> None:
    reading.execute("select 1")
    raise RuntimeError("asked enough")


def test_a_connection_that_died_idle_is_replaced_and_one_that_dies_while_read_is_tried_once_more(database: Database, migrated_dsn: str) -> None:
    _say(database, 1)
    killed = []

    def ask(reading: Reading, times: int) -> list[str]:
        row = reading.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        if len(killed) < times:
            killed.append(row[0])
            _kill(migrated_dsn, row[0])
        return _waiting(reading)

    with database.transaction("t1") as cursor:
        pid = cursor.connection.info.backend_pid
    _kill(migrated_dsn, pid)
    assert database.read("t1", _waiting) == ["msg_1"]
    assert database.read("t1", lambda reading: ask(reading, 1)) == ["msg_1"]
    killed.clear()
    with pytest.raises(Unavailable):
        database.read("t1", lambda reading: ask(reading, 2))
    assert database.read("t1", _waiting) == ["msg_1"]


def test_who_is_interrupted_while_waiting_leaves_nothing_half_read(database: Database) -> None:
    def interrupt(*_: object) -> None:
        raise InterruptedError("waited enough")

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(InterruptedError, match="waited enough"):
            database.read("t1", lambda reading: reading.last("select pg_sleep(60)"))
    finally:
        signal.signal(signal.SIGALRM, before)
    _say(database, 1)
    assert database.read("t1", _waiting) == ["msg_1"]


def test_a_database_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        Database("postgresql://nobody@127.0.0.1:1/none").read("t1", _waiting)


def test_statements_are_prepared_once_planned_at_each_asking_and_given_up_when_there_are_many(database: Database) -> None:
    for _ in range(12):
        database.read("t1", _waiting)
    assert database.read("t1", lambda reading: reading.last(_PREPARED, ["message_id like"]).fetchone()) == (1, 0)
    for number in range(150):
        text: LiteralString = "select " + "1 + " * number + "%s::int"
        for _ in range(2):
            assert database.read("t1", lambda reading, text=text: reading.last(text, [5]).fetchone()) == (number + 5,)  # type: ignore[misc]
    assert database.read("t1", lambda reading: reading.last(_PREPARED, ["1 + 1 + "]).fetchone()) == (96, 0)
    assert database.read("t1", _waiting) == []


def _kill(dsn: str, pid: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as other:
        assert other.execute("select pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)
