"""What is posted at an earlier time: checked at every later instant, the same with and without summaries of long histories.

Stretches of two moves stand for those of 64, so that a history of fifty moves has all the shapes that one of millions has.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count, pairwise
from random import Random
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused, Unavailable
from bourse.ledger.actions import Account, Action, Flavor, Reserve
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import AsOf, Books, Question
from bourse.ledger.memory_books import MemoryBooks
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import CLOCK, DAY, T, day, held, issue, opened, picture, post, retire, transfer, txn
from tests.ledger.killing import deaths, kill_at
from tests.ledger.test_books_crowd import crowd

_tenants = count(1)
_MOVES = """
    select lot, at, sum(change)::bigint, count(*) from (
      select dst as lot, effective_at as at, amount as change from books.move union all select src, effective_at, -amount from books.move) m
    group by lot, at order by lot, at"""
_STRETCHES = """
    select lot_no, level, nullif(begins_at, '-infinity'), ends_at, net::bigint, low::bigint, low_at, parts
    from books.stretch order by lot_no, level, begins_at"""


@pytest.fixture
def small(fresh_database: FreshDatabase) -> FreshDatabase:
    """A database whose stretches sum up two moves each."""
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        owner.execute("create or replace function books.stretch_size() returns int language sql immutable as 'select 2'")
    return fresh_database


@pytest.fixture
def database(small: FreshDatabase) -> Iterator[Database]:
    made = Database(small.app_dsn)
    yield made
    made.close()


Step = tuple[Action, int, bool]
"""An action, the hour it happened, and whether two of it are posted in one call."""
hours = st.one_of(st.integers(0, 5).map(lambda n: n * 40), st.integers(0, 240))
amounts = st.integers(1, 9)
steps: st.SearchStrategy[Step] = st.tuples(
    st.one_of(
        st.builds(issue, amounts, st.sampled_from(["ann", "ben"])),
        st.builds(issue, amounts, st.just("ann")),
        st.builds(transfer, amounts, st.just("ann"), st.just("ben")),
        st.builds(lambda a: transfer(a, "ann", "ben", where="amount > 0"), amounts),
        st.builds(retire, amounts, st.sampled_from(["ann", "ben", "line"])),
    ),
    hours,
    st.integers(0, 5).map(lambda n: n == 0),
)


def play(books: Books, tenant: str, history: list[Step]) -> list[Any]:
    answers: list[Any] = []
    for place, (action, hour, twice) in enumerate(history):
        asked = [txn(action, id=f"{place}.{number}", at=DAY + timedelta(hours=hour - number)) for number in range(1 + twice)]
        try:
            answers.append([one.before for one in books.post(tenant, asked, DAY)])
        except Refused as refused:
            answers.append((refused.code, refused.field))
    return answers


def opened_for(books: Books, tenant: str) -> Books:
    books.open_flavor(tenant, Flavor("usd"))
    for name in ("ann", "ben"):
        books.open_account(tenant, Account(name))
    books.open_account(tenant, Account("line", floor=-20))
    return books


@given(history=st.lists(steps, min_size=30, max_size=90))
@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck))
def test_with_and_without_stretches_the_books_answer_alike(small: FreshDatabase, database: Database, history: list[Step]) -> None:
    tenant = f"t{next(_tenants)}"
    one, other = opened_for(MemoryBooks(CLOCK), tenant), opened_for(AuroraBooks(database), tenant)
    assert play(other, tenant, history) == play(one, tenant, history)
    for hour in range(-1, 242, 9):
        as_of = AsOf(DAY + timedelta(hours=hour))
        assert other.tokens(tenant, Question(), as_of).items == one.tokens(tenant, Question(), as_of).items
    with psycopg.connect(small.migrated_dsn) as owner:
        _check_stretches(owner, tenant)
        _check_lowest(owner, tenant, Random(len(history)))


def _check_stretches(owner: psycopg.Connection[Any], tenant: str) -> None:
    """Each stretch is what its moves add up to; those of a level follow one another without a gap, until where the lot is summed up."""
    owner.execute("select set_config('app.tenant', %s, false)", [tenant])
    moves = owner.execute(_MOVES).fetchall()
    summed = dict(owner.execute("select lot_no, summed_until from books.lot where summed_until > '-infinity'").fetchall())
    rows = owner.execute(_STRETCHES).fetchall()
    for lot_no, until in summed.items():
        for level in (1, 2):
            mine = [row for row in rows if row[:2] == (lot_no, level)]
            assert mine, "what is summed up has stretches"
            assert mine[0][2] is None, "the first begins before everything"
            assert mine[-1][3] == until
            assert all(one[3] == other[2] for one, other in pairwise(mine))
    for lot_no, level, begins, ends, net, low, low_at, parts in rows:
        inside = [(at, change, moved) for lot, at, change, moved in moves if lot == lot_no and (begins is None or at >= begins) and at < ends]
        stood = [(sum(change for _, change, _ in inside[: n + 1]), inside[n][0]) for n in range(len(inside))]
        assert (net, (low, low_at)) == (sum(change for _, change, _ in inside), min(stood))
        leaves = [row for row in rows if row[:2] == (lot_no, 1) and (begins is None or (row[2] or DAY) >= begins) and row[3] <= ends]
        assert parts == (sum(moved for _, _, moved in inside) if level == 1 else len(leaves))


def _check_lowest(owner: psycopg.Connection[Any], tenant: str, random: Random) -> None:
    moves = owner.execute(_MOVES).fetchall()
    for lot_no, *_ in owner.execute("select lot_no from books.lot").fetchall():
        mine = [(at, change) for lot, at, change, _ in moves if lot == lot_no]
        for _ in range(20):
            since, until = sorted(DAY + timedelta(hours=random.randrange(-5, 250)) for _ in range(2))
            row = owner.execute("select total::bigint, at from books.lowest(%s, %s, %s)", [lot_no, since, until]).fetchone()
            instants = sorted({since, *(at for at, _ in mine if since < at < until)})
            stood = [(sum(change for when, change in mine if when <= at), at) for at in instants]
            assert row == (min(stood) if since < until else (None, None)), (since, until)
            if since < until:
                bar = random.randint(min(stood)[0], max(stood)[0]) + 1
                first = owner.execute("select books.first_below(%s, %s, %s, %s)", [lot_no, since, until, bar]).fetchone()
                assert first == (next(at for total, at in stood if total < bar),)


def later_life(books: Books, moves: int) -> Books:
    """Ann gets 50 on the first day, and then a dollar comes and goes every hour."""
    opened(books, "ann", "ben")
    post(books, issue(50, "ann"))
    made: list[Any] = []
    for hour in range(1, moves):
        action = issue(1, "ann") if hour % 2 else transfer(1, "ann", "ben")
        made.append(txn(action, at=DAY + timedelta(hours=hour)))
    for place in range(0, len(made), 500):
        books.post(T, made[place : place + 500], DAY)
    return books


def test_the_lowest_later_instant_is_what_may_be_spent_earlier(database: Database) -> None:
    books = later_life(AuroraBooks(database), 200)
    post(books, retire(45, "ann"), at=DAY + timedelta(hours=200))
    post(books, issue(100, "ann"), at=DAY + timedelta(hours=201))
    with pytest.raises(Refused, match="would leave less than 0 at 2026-01-13T17:00:00") as caught:
        post(books, retire(7, "ann"), at=DAY + timedelta(hours=90))
    assert caught.value.code == "BACKDATED"
    post(books, retire(6, "ann"), at=DAY + timedelta(hours=90))
    assert held(books, "ann") == 100
    assert held(books, "ann", as_of=AsOf(DAY + timedelta(hours=200))) == 0


def test_what_came_before_what_is_summed_up_can_be_spent_there(database: Database) -> None:
    books = later_life(AuroraBooks(database), 100)
    post(books, retire(1, "ann"), at=day(1))
    post(books, issue(1_000, "ann"), at=day(-3))
    post(books, retire(1_000, "ann"), at=day(-2))
    assert held(books, "ann") == held(books, "ann", as_of=AsOf(day(30)))
    assert held(books, "ann", as_of=AsOf(day(-2))) == 0
    with pytest.raises(Refused, match="at 2026-01-02"):
        post(books, Reserve("h", "usd", 1, "ann"), transfer(1, "ann", "ben", where="amount > 0"), at=day(-3))


def test_twice_is_once_also_at_an_earlier_time(database: Database) -> None:
    books = later_life(AuroraBooks(database), 100)
    first = post(books, retire(3, "ann"), id="late", at=day(1))
    seen = picture(books)
    again = post(books, retire(3, "ann"), id="late", at=day(1))
    assert (again.sequence_number, again.before) == (first.sequence_number, True)
    assert picture(books) == seen


def test_a_dry_run_at_an_earlier_time_changes_nothing(small: FreshDatabase, database: Database) -> None:
    books = later_life(AuroraBooks(database), 100)
    post(books, retire(1, "ann"), at=day(1))
    with psycopg.connect(small.migrated_dsn) as owner:
        owner.execute("select set_config('app.tenant', 't1', false)")
        before = owner.execute(_STRETCHES).fetchall()
        books.post(T, [txn(retire(1, "ann"), at=day(1))], DAY, dry_run=True)
        assert owner.execute(_STRETCHES).fetchall() == before


def test_a_writer_killed_while_he_sums_up_leaves_all_or_nothing(small: FreshDatabase, database: Database) -> None:
    books = later_life(AuroraBooks(database), 300)
    before, killed = picture(books), 0
    for _ in deaths(small.app_dsn, lambda mine: post(mine, retire(5, "ann"), id="victim", at=day(2)), _kill_at):
        killed += 1
        assert picture(books) == before
        with psycopg.connect(small.migrated_dsn) as owner:
            _check_stretches(owner, T)
    assert killed >= 4
    assert held(books, "ann") == 50 + 1 - 5


def _kill_at(point: int, patched: pytest.MonkeyPatch) -> None:
    """A history is read in small steps, and a call of a function counts as a statement, and dies as one."""
    patched.setattr("bourse.ledger.aurora_posting._STEP_MOVES", 40)
    kill_at(point, patched)
    original = Database.call

    def call(self: Database, *arguments: Any, **more: Any) -> str:
        with self.transaction(T) as cursor:
            cursor.execute("select 1")
        return original(self, *arguments, **more)

    patched.setattr(Database, "call", call)


def test_a_crowd_that_posts_at_all_times_overdraws_no_instant(small: FreshDatabase, database: Database) -> None:
    books = opened(AuroraBooks(database), "ann", "ben", "cat")
    post(books, *(issue(300, name) for name in ("ann", "ben", "cat")))

    def work(mine: AuroraBooks, number: int) -> int:
        random, done = Random(number), 0
        for turn in range(60):
            source, destination = random.sample(["ann", "ben", "cat"], 2)
            where = "amount > 0" if turn % 4 == 0 else ""
            actions = [transfer(random.randrange(1, 60), source, destination, where=where)]
            try:
                post(mine, *actions, id=f"{number}.{turn}", at=DAY + timedelta(hours=random.randrange(0, 500)))
                done += 1
            except (Refused, Unavailable):
                continue
        return done

    assert sum(crowd(small.app_dsn, work)) > 100
    with psycopg.connect(small.migrated_dsn) as owner:
        assert owner.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone() == (0,)
        _check_stretches(owner, T)
        assert owner.execute("select count(*) from books.stretch").fetchone() != (0,)
        stood: Counter[int] = Counter()
        open_ended = {row[0] for row in owner.execute("select lot_no from books.lot where floor is null").fetchall()}
        by_instant: list[tuple[datetime, int, int]] = sorted((at, lot, change) for lot, at, change, _ in owner.execute(_MOVES).fetchall())
        for _, lot, change in by_instant:
            stood[lot] += change
            assert stood[lot] >= 0 or lot in open_ended
    assert sum(held(books, name) for name in ("ann", "ben", "cat")) == 900


def test_a_call_whose_own_moves_are_the_long_history_is_decided_all_the_same(database: Database) -> None:
    books = opened(AuroraBooks(database), "ann", "ben")
    post(books, issue(100, "ann"), issue(1, "ann"), at=day(50))
    made = [txn(issue(1, "ann") if hour % 2 else transfer(1, "ann", "ben"), at=DAY + timedelta(hours=hour)) for hour in range(1, 100)]
    assert len(books.post(T, made, DAY)) == 99
    assert (held(books, "ann"), held(books, "ben")) == (102, 49)
