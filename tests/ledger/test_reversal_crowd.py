"""Reversals by many at once, killed in the middle, and in random histories in which memory and PostgreSQL are each other's oracle."""

from collections import Counter
from itertools import count
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused, Unavailable
from bourse.ledger.actions import Account, Action, Distribute, Expect, Reverse
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books, Question
from bourse.ledger.memory_books import MemoryBooks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import CLOCK, T, held, issue, opened, picture, post
from tests.ledger.killing import deaths
from tests.ledger.test_books_crowd import crowd
from tests.ledger.test_books_histories import ACCOUNTS, Step, Told, actions, alike, amounts, day, open_all, play

_tenants = count(1)


@pytest.fixture
def books(database: Database) -> AuroraBooks:
    made = AuroraBooks(database)
    opened(made, "ann", "ben", "cat", Account("fees", floor=None, hot=True), flavors=("usd", "loan"))
    return made


def test_of_eight_who_reverse_each_transaction_one_does(fresh_database: FreshDatabase, books: AuroraBooks) -> None:
    """Formance's test of reverts, on lots with versions and on lots without: tokens go from the world to fees, where nothing has a floor."""
    for number in range(30):
        post(books, issue(5, "ann"), issue(3, "fees"), id=f"i{number}")

    def work(mine: AuroraBooks, number: int) -> list[str]:
        found = []
        for turn in range(30):
            name = f"i{(turn + 4 * number) % 30}"
            while True:
                try:
                    post(mine, Reverse(name, amounts=((turn % 2, None),)), id=f"{name}.{number}")
                    found.append(f"{name}.{turn % 2}")
                except Refused as refused:
                    found += [] if refused.code == "REVERSED_BEFORE" else [refused.code]
                except Unavailable:
                    continue
                break
        return found

    done = Counter(name for answer in crowd(fresh_database.app_dsn, work) for name in answer)
    assert set(done.values()) == {1}
    assert held(books, "ann") == 150 - 5 * sum(name.endswith(".0") for name in done)
    assert held(books, "fees") == 90 - 3 * sum(name.endswith(".1") for name in done)
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        assert owner.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone() == (0,)


def test_parts_taken_by_many_at_once_are_never_more_than_the_whole(fresh_database: FreshDatabase, books: AuroraBooks) -> None:
    post(books, issue(100, "fees"), id="i")

    def work(mine: AuroraBooks, number: int) -> int:
        taken = 0
        for turn in range(5):
            try:
                post(mine, Reverse("i", amounts=((0, 9),)), id=f"p{number}.{turn}")
                taken += 1
            except (Refused, Unavailable):
                continue
        return taken

    taken = sum(crowd(fresh_database.app_dsn, work, 4))
    assert 0 < taken <= 11
    assert held(books, "fees") == 100 - 9 * taken


def test_a_reversal_killed_at_any_statement_leaves_all_or_nothing(fresh_database: FreshDatabase, books: AuroraBooks) -> None:
    post(books, issue(3, "ann", "loan"), issue(4, "ben", "loan"), issue(10, "cat"))
    post(books, Distribute("usd", 5, "cat", "loan"), id="wrong")
    before, killed = picture(books), 0
    for _ in deaths(fresh_database.app_dsn, lambda mine: post(mine, Reverse("wrong"), id="victim")):
        killed += 1
        assert picture(books) == before
        assert _debts(fresh_database) != {"0"}
    assert killed >= 8
    assert (held(books, "cat"), held(books, "ann", "loan")) == (10, 3)
    assert _debts(fresh_database) == {"0"}


def _debts(fresh_database: FreshDatabase) -> set[Any]:
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        return {row[0] for row in owner.execute("select owed from books.owed")}


def test_distributions_their_reversals_and_guarded_postings_do_not_wait_crosswise(fresh_database: FreshDatabase, books: AuroraBooks) -> None:
    """A guarded posting is alone in its tenant and then waits for the distributions before it: they must not be waiting for it."""
    post(books, issue(30, "ann", "loan"), issue(40, "ben", "loan"), issue(1_000, "cat"))

    def work(mine: AuroraBooks, number: int) -> int:
        unavailable = 0
        for turn in range(12):
            guard = (Expect("account_id = 'nobody'", amount=0),) if number % 2 else ()
            try:
                post(mine, Distribute("usd", 5, "cat", "loan", retire=False), id=f"d{number}.{turn}", expect=guard)
                post(mine, Reverse(f"d{number}.{turn}"), id=f"r{number}.{turn}", expect=guard)
            except Unavailable:
                unavailable += 1
        return unavailable

    crowd(fresh_database.app_dsn, work, 4)
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        assert owner.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone() == (0,)


# Random histories

_FUNDED: Step = (
    [[issue(50, name, flavor, token_tags={"n": number}) for number, name in enumerate(ACCOUNTS) for flavor in ("usd", "loan")]],
    0,
    0,
    False,
)


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """A history in which every other step takes back something that may have been posted."""
    history = [_FUNDED]
    for place in range(1, draw(st.integers(2, 12))):
        name = st.builds(lambda earlier: f"{earlier}.0", st.integers(0, place - 1))
        if draw(st.booleans()):
            history.append(([draw(st.lists(actions(), min_size=1, max_size=3))], draw(st.integers(0, 3)), draw(st.integers(0, 5)), False))
        else:
            history.append(([draw(st.lists(reverses(name), min_size=1, max_size=2))], draw(st.integers(2, 4)), draw(st.integers(0, 5)), False))
    return history


def reverses(name: st.SearchStrategy[str]) -> st.SearchStrategy[Action]:
    return st.one_of(
        st.builds(Reverse, name),
        st.builds(lambda one, n, d: Reverse(one, part=(min(n, d), d)), name, st.integers(1, 4), st.integers(1, 4)),
        st.builds(lambda one, place, amount: Reverse(one, amounts=((place, amount),)), name, st.integers(0, 2), st.one_of(st.none(), amounts)),
    )


@given(history=histories())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_and_postgresql_reverse_alike(database: Database, history: list[Step]) -> None:
    alike(database, f"r{next(_tenants)}", history)


@given(history=histories(), names=st.lists(st.integers(0, 11).map(lambda place: f"{place}.0"), max_size=6))
@settings(max_examples=150, deadline=None)
def test_reversed_parts_never_exceed_and_a_reversal_of_a_reversal_restores_the_books(history: list[Step], names: list[str]) -> None:
    books: Books = MemoryBooks(CLOCK)
    open_all(books, T)
    play(books, T, history)
    for place, name in enumerate(names):
        before = books.tokens(T, Question(), limit=1_000).items
        try:
            post(books, Reverse(name), id=f"back{place}", at=day(6), now=day(6))
        except Refused:
            continue
        post(books, Reverse(f"back{place}"), id=f"again{place}", at=day(6), now=day(6))
        assert [(one.account_id, one.tags, one.amount) for one in books.tokens(T, Question(), limit=1_000).items] == [
            (one.account_id, one.tags, one.amount) for one in before
        ]
    told = Told(list(books.actions(T, Question(), limit=1_000).items))
    for number in range(7):
        for (account, _, lot_tags), amount in told.stands(day(number)).items():
            assert account not in ACCOUNTS or amount >= (-40 if account == "line" and lot_tags == "[]" else 0)
