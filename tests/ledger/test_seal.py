"""Sealing: every entry of a journal comes into one block, once, whoever posts and seals meanwhile."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.clock import FixedClock
from bourse.errors import Unavailable
from bourse.ledger.actions import Account, Flavor, Reserve
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_seal import AuroraSeals
from bourse.ledger.journal import GENESIS, block_hash, leaf
from bourse.ledger.seal import Sealed, seal_ledger

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, day, issue, opened, post, retire, transfer, txn

CLOCK = FixedClock(DAY)


@pytest.fixture
def books(database: Database) -> AuroraBooks:
    made = AuroraBooks(database)
    opened(made, "ann", "ben", Account("loans", floor=None), flavors=("usd", "loan"))
    return made


@pytest.fixture
def seals(database: Database) -> AuroraSeals:
    return AuroraSeals(database)


@pytest.fixture
def owner(migrated_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        yield connection


def lines(owner: psycopg.Connection[Any], tenant: str = T) -> list[tuple[int, str]]:
    numbers = [row[0] for row in owner.execute("select no from books.entry where tenant_id = %s order by xid, no", [tenant])]
    told = owner.execute("select no, line from books.lines(%s) order by xid, no", [numbers]).fetchall()
    assert [number for number, _ in told] == numbers, "every entry has its line"
    return told


def blocks(owner: psycopg.Connection[Any], tenant: str = T) -> Sequence[tuple[Any, ...]]:
    return owner.execute("select block_no, numbers, hashes, previous, hash from books.block where tenant_id = %s order by block_no", [tenant]).fetchall()


def check_chain(owner: psycopg.Connection[Any], tenant: str = T) -> list[int]:
    """The numbers of all sealed entries, after the chain was computed again from the lines of the journal."""
    told, previous, numbers = dict(lines(owner, tenant)), GENESIS, []
    for place, (block_no, sealed, hashes, before, hash_) in enumerate(blocks(owner, tenant), 1):
        assert (block_no, before) == (place, previous)
        assert hashes == b"".join(leaf(told[number]) for number in sealed)
        previous = block_hash(before, block_no, hashes)
        assert hash_ == previous
        numbers += sealed
    assert len(numbers) == len(set(numbers)), "an entry is sealed once"
    return numbers


def seal_all(seals: AuroraSeals, most: int = 1_000) -> list[Sealed]:
    made: list[Sealed] = []
    while sealed := seals.seal(T, most):
        made.append(sealed)
    return made


def a_history(books: AuroraBooks) -> None:
    post(books, issue(100, "ann", token_tags={"n": 1, "due": 'a "day"\n'}), issue(500, "ben", "loan", source="loans", source_floor=-600))
    post(books, transfer(30, "ann", "ben", where="tags.n = $1", params=(1,), carry_tags=True), Reserve("h", "usd", 10, "ann", expires_at=day(1)))
    books.tag_account(T, "ann", {"type": "investör", "grade": None, "deep": {"b": [1, True], "aa": {}}})
    books.tag_flavor(T, "loan", {"x": "\x7f\u2028"})
    post(books, retire(5, "ben"), kind='k"ind', correlation_id="c\\d", tags={"t": "ü"})
    books.open_account(T, Account("gone"))
    books.close_account(T, "gone")


def test_all_that_was_told_is_sealed_and_sealing_again_seals_nothing(books: AuroraBooks, seals: AuroraSeals, owner: psycopg.Connection[Any]) -> None:
    a_history(books)
    [sealed] = seal_all(seals)
    assert sealed.entries == len(lines(owner)) == 5 + 3 + 2 + 1 + 1 + 1  # opened, transactions, tags, floor, opened, closed
    assert check_chain(owner) == [number for number, _ in lines(owner)]
    assert blocks(owner)[0][4] == sealed.hash
    assert seal_all(seals) == []
    books.close_account(T, "gone")
    assert seal_all(seals) == [], "closed again nothing is told"
    post(books, issue(1, "ann"))
    assert [(one.block_no, one.entries) for one in seal_all(seals)] == [(2, 1)]
    assert len(check_chain(owner)) == len(lines(owner))


def test_blocks_are_of_the_size_asked_for_and_what_one_call_wrote_stays_together(
    books: AuroraBooks, seals: AuroraSeals, owner: psycopg.Connection[Any]
) -> None:
    seal_all(seals)
    for _ in range(3):
        post(books, issue(1, "ann"))
    books.post(T, [txn(issue(1, "ann")) for _ in range(5)], DAY)
    post(books, issue(1, "ann"))
    assert [one.entries for one in seal_all(seals, 2)] == [2, 6, 1]
    check_chain(owner)


def test_what_is_being_written_holds_back_all_that_began_after_it(
    fresh_database: FreshDatabase, books: AuroraBooks, seals: AuroraSeals, owner: psycopg.Connection[Any]
) -> None:
    """A transaction that began early and commits late is sealed before those that overtook it: none of them is sealed until it is there."""
    seal_all(seals)
    with psycopg.connect(fresh_database.app_dsn) as slow:
        slow.execute("select set_config('app.tenant', %s, true)", [T])
        slow.execute(
            "insert into books.tags_told (tenant_id, what, no, since_no, tags) select %s, 'a', account_no, nextval('books.txn_no'), '{}' from books.account",
            [T],
        )
        post(books, issue(1, "ann"))
        assert seal_all(seals) == []
    assert [one.entries for one in seal_all(seals)] == [len(check_chain(owner)) - 5]
    assert check_chain(owner) == [number for number, _ in lines(owner)]


def test_posters_and_sealers_at_once_leave_one_chain_without_a_gap(
    fresh_database: FreshDatabase, books: AuroraBooks, seals: AuroraSeals, owner: psycopg.Connection[Any]
) -> None:
    posted = Event()

    def poster(number: int) -> None:
        database = Database(fresh_database.app_dsn)
        mine = AuroraBooks(database)
        for turn in range(40):
            mine.post(T, [txn(issue(1, "ann"), transfer(1, "ann", "ben"), id=f"p{number}.{turn}.{one}") for one in range(1 + turn % 3)], DAY)
        database.close()

    def sealer(number: int) -> int:
        database, entries = Database(fresh_database.app_dsn), 0
        while not posted.is_set():
            if sealed := AuroraSeals(database).seal(T, 3 + number * 10):
                entries += sealed.entries
        database.close()
        return entries

    with ThreadPoolExecutor(7) as pool:
        sealing = [pool.submit(sealer, number) for number in range(3)]
        for one in [pool.submit(poster, number) for number in range(4)]:
            one.result()
        posted.set()
        entries = sum(one.result() for one in sealing)
    entries += sum(one.entries for one in seal_all(seals))
    assert entries == len(lines(owner)) > 300
    assert check_chain(owner) == [number for number, _ in lines(owner)]
    assert owner.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone() == (0,)


class Dies(Exception):
    """The function is killed here."""


@pytest.mark.parametrize("killed_at", ["update of books.chain", "insert into books.block"])
def test_a_sealer_killed_at_any_write_leaves_nothing_and_the_next_seals_the_same(
    books: AuroraBooks, seals: AuroraSeals, owner: psycopg.Connection[Any], killed_at: str
) -> None:
    a_history(books)
    table = killed_at.rsplit(" ", 1)[1]
    owner.execute(
        "create function public.die() returns trigger language plpgsql as $$ begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$"
    )
    owner.execute(f"create trigger die after {killed_at.split(maxsplit=1)[0]} on {table} for each row execute function public.die()")
    with pytest.raises(Unavailable):
        seals.seal(T, 1_000)
    assert blocks(owner) == []
    owner.execute(f"drop trigger die on {table}")
    seal_all(seals)
    assert check_chain(owner) == [number for number, _ in lines(owner)]


def test_the_schedule_seals_every_tenants_journal_and_none_sees_anothers(
    books: AuroraBooks, database: Database, seals: AuroraSeals, owner: psycopg.Connection[Any]
) -> None:
    post(books, issue(1, "ann"))
    books.open_flavor("t2", Flavor("usd"))
    assert seals.tenants() == [T, "t2"]
    assert seal_ledger(seals=seals, clock=CLOCK).counts == {"ledger_blocks": 2, "ledger_entries_sealed": 7}
    assert seal_ledger(seals=seals, clock=CLOCK).counts == {"ledger_blocks": 0, "ledger_entries_sealed": 0}
    assert [len(check_chain(owner, tenant)) for tenant in (T, "t2")] == [6, 1]
    with database.transaction("t2") as cursor:
        assert cursor.execute("select count(*) from books.block").fetchone() == (1,)
    with database.transaction("*") as cursor:
        assert cursor.execute(
            "select (select count(*) from books.block), (select count(*) from books.entry), (select count(*) from books.chain)"
        ).fetchone() == (0, 0, 2)


def test_a_tenant_that_cannot_be_sealed_keeps_no_other_from_it_and_a_block_that_is_not_full_is_the_last_of_a_run() -> None:
    left = {"b": 3, "c": 1}

    class Broken:
        def tenants(self) -> list[str]:
            return ["a", "b", "c"]

        def seal(self, tenant_id: str, entries_max: int) -> Sealed | None:
            if tenant_id == "a":
                raise Unavailable("no")
            left[tenant_id] -= 1
            return Sealed(1, entries_max if left[tenant_id] else entries_max - 1, GENESIS)

    with pytest.raises(Unavailable, match="1 tenants"):
        seal_ledger(seals=Broken(), clock=CLOCK)
    assert left == {"b": 0, "c": 0}


@pytest.mark.parametrize("statement", ["update books.block set hash = previous", "delete from books.block", "truncate books.block", "delete from books.told"])
def test_a_block_is_never_changed_not_even_by_the_owner(books: AuroraBooks, seals: AuroraSeals, owner: psycopg.Connection[Any], statement: str) -> None:
    a_history(books)
    seal_all(seals)
    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(statement)


def test_a_run_takes_note_of_what_lies_where_so_that_the_next_reads_only_what_came_since(
    books: AuroraBooks, seals: AuroraSeals, owner: psycopg.Connection[Any]
) -> None:
    books.post(T, [txn(issue(1, "ann"), id=f"many-{number}") for number in range(3_000)], DAY)
    seals.tenants()
    assert owner.execute("select brin_summarize_new_values('books.txn_as_it_came')").fetchone() == (0,), "nothing was left to take note of"
