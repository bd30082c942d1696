"""Cursors while very many are writing: short, valid, and showing the same snapshot; beyond what any cursor holds, an error that passes."""

import shutil
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.errors import Unavailable
from bourse.ledger.actions import Account
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_records import AuroraRecords
from bourse.ledger.books import Question
from bourse.ledger.cursors import CURSOR_MAX
from bourse.ledger.records import Interval
from bourse.ledger.snapshots import packed, unpacked
from hypothesis import given
from hypothesis import strategies as st

from infra.local import postgres as local_postgres
from tests.ledger.books_builders import T, day, issue, opened, post

WRITERS = 2_400
"""Prepared transactions: they have an id and are running, and need no connection."""


@pytest.fixture(scope="module")
def crowded() -> Iterator[local_postgres.Server]:
    """A server of its own that lets so many transactions be prepared."""
    home = Path(tempfile.mkdtemp(prefix="bourse-crowded-"))
    server = local_postgres.start(home, durable=False, binaries=local_postgres.find_binaries())
    try:
        server.run("alter system set max_prepared_transactions = 2500")
        local_postgres.stop(home)
        server = local_postgres.start(home, durable=False, binaries=local_postgres.find_binaries())
        server.run("create database {}", "crowded")
        migrate(server.dsn("crowded"))
        server.let_in("bourse_app")
        yield server
    finally:
        local_postgres.stop(home)
        shutil.rmtree(home)


@pytest.fixture
def database(crowded: local_postgres.Server) -> Iterator[Database]:
    made = Database(crowded.dsn("crowded", "bourse_app"))
    yield made
    made.close()


def writing(dsn: str, first: int, last: int) -> None:
    """From `first` to `last` transactions are being written."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for number in range(first, last):
            connection.execute(f"begin; select pg_current_xact_id(); prepare transaction 'w{number}'")  # type: ignore[arg-type]


def test_however_many_are_writing_a_cursor_is_short_and_shows_its_moment_or_says_that_it_cannot(crowded: local_postgres.Server, database: Database) -> None:
    books, records, dsn = AuroraBooks(database), AuroraRecords(database), crowded.dsn("crowded")
    opened(books, "ann")
    for number in range(1, 6):
        post(books, issue(number, "ann", token_tags={"n": number}), id=f"t{number}")
    writing(dsn, 0, 1_000)
    post(books, issue(6, "ann", token_tags={"n": 6}), id="t6")
    writing(dsn, 1_000, 2_000)
    books.open_account(T, Account("ben"))  # a snapshot lists who writes until the last that was done
    interval = Interval(day(-1), day(9))
    firsts = {kind: getattr(books, kind)(T, Question(), limit=2).cursor for kind in ("transactions", "actions", "tokens")}
    statement = records.statement(T, "ann", interval, limit=2)
    assert all(cursor is not None and len(cursor) <= CURSOR_MAX for cursor in (*firsts.values(), statement.cursor))
    post(books, issue(90, "ann", token_tags={"n": 90}), id="later")
    for kind, cursor in firsts.items():
        left, place = [], cursor
        while place is not None:
            page = getattr(books, kind)(T, Question(), cursor=place, limit=2)
            left += [one.amount if kind != "transactions" else one.actions[0].amount for one in page.items]
            place = page.cursor
            assert place is None or len(place) <= CURSOR_MAX
        assert left == ([3, 4, 5, 6] if kind == "tokens" else [4, 3, 2, 1]), "what came later is in no page"
    assert [one.amount for one in records.statement(T, "ann", interval, cursor=statement.cursor, limit=9).entries] == [3, 4, 5, 6]
    writing(dsn, 2_000, WRITERS)
    post(books, issue(91, "ann", token_tags={"n": 91}), id="latest")
    for kind, begun in firsts.items():
        with pytest.raises(Unavailable, match="try again"):
            getattr(books, kind)(T, Question(), limit=2)
        assert len(getattr(books, kind)(T, Question(), limit=100).items) == 8, "all of it in one page needs no cursor"
        assert getattr(books, kind)(T, Question(), cursor=begun, limit=100).items, "a walk that has begun goes on"
    with psycopg.connect(dsn, autocommit=True) as connection:
        for (name,) in connection.execute("select gid from pg_prepared_xacts").fetchall():
            connection.execute(f"rollback prepared '{name}'")
    assert books.transactions(T, Question(), limit=2).cursor is not None, "when they are done it goes on"


@given(st.integers(1, 10**17), st.lists(st.integers(0, 10**6), max_size=50), st.integers(0, 10**6))
def test_any_snapshot_is_packed_and_unpacked_alike(lowest: int, distances: list[int], more: int) -> None:
    listed = [lowest + sum(distances[:number]) + number for number in range(1, len(distances) + 1)]
    snapshot = f"{lowest}:{(listed or [lowest])[-1] + 1 + more}:{','.join(map(str, listed))}"
    assert unpacked(packed(snapshot)) == snapshot
    assert len(packed(snapshot)) <= max(len(snapshot), 60)
    assert all(one < other for one, other in pairwise(listed))


@pytest.mark.parametrize("text", ["", "5", "1:9:~", "1:9:~!", "1:9:~gA", "1:9:~gAA", "1:9:~A=", "x:9:~AQ", "1:9:~" + "_" * 40, "1:9:~AQ~", "1:9:2,1"])
def test_what_is_not_packed_as_it_is_here_stays_as_it_is(text: str) -> None:
    assert unpacked(text) == text


def test_what_is_packed_is_as_the_page_says() -> None:
    assert packed(snapshot := "100:180:103,104,171") == "100:180:~AwFD"
    assert unpacked("100:180:~AwFD") == snapshot
