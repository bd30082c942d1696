"""The promise of the records, kept in memory and in PostgreSQL alike: transactions by id, holds, statements."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.errors import NotFound
from bourse.ledger.actions import Account, Flavor, PostHold, ReleaseHold, Reserve, Reverse
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_records import AuroraRecords
from bourse.ledger.books import Books, Question
from bourse.ledger.cursors import cursor_of
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_records import MemoryRecords
from bourse.ledger.records import Interval, Records, Statement

from tests.ledger.books_builders import CLOCK, DAY, T, day, held, issue, opened, post, refused, retire, transfer

LONG = Interval(day(-100), day(100))
ARABIC_ONE = "\N{ARABIC-INDIC DIGIT ONE}"


@dataclass
class World:
    """Books and their records."""

    books: Books
    records: Records


@pytest.fixture(params=["memory", "aurora"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Books with dollars and a loan, and ann, ben and cat who may hold them."""
    if request.param == "memory":
        books = MemoryBooks(CLOCK)
        made, database = World(books, MemoryRecords(books)), None
    else:
        database = Database(request.getfixturevalue("fresh_database").app_dsn)
        made = World(AuroraBooks(database), AuroraRecords(database))
    opened(made.books, "ann", "ben", Account("cat", {"type": "investor"}), flavors=("usd", Flavor("loan", {"type": "loan"})))
    yield made
    if database:
        database.close()


# Transactions


def test_a_transaction_is_told_with_its_actions_in_their_order(world: World) -> None:
    actions = (issue(10, "ann"), transfer(4, "ann", "ben"), retire(1, "ben"))
    posted = post(world.books, *actions, id="one", at=day(2), kind="sale", tags={"deal": 7}, correlation_id="c-1")
    found, more = world.records.transaction(T, "one", limit=2)
    assert (found.sequence_number, found.recorded_at) == (posted.sequence_number, posted.recorded_at)
    assert (found.kind, found.effective_at, found.correlation_id, found.tags) == ("sale", day(2), "c-1", {"deal": 7})
    rest, end = world.records.transaction(T, "one", cursor=more, limit=2)
    assert [(one.type, one.amount, one.source, one.destination) for one in (*found.actions, *rest.actions)] == [
        ("issue", 10, "world", "ann"),
        ("transfer", 4, "ann", "ben"),
        ("retire", 1, "ben", "world"),
    ]
    assert (len(found.actions), end) == (2, None)
    assert [replace(found, actions=(*found.actions, *rest.actions))] == world.books.transactions(T, Question("id = 'one'")).items
    with pytest.raises(NotFound, match="TRANSACTION_UNKNOWN"):
        world.records.transaction(T, "nothing")


def test_a_transaction_names_whom_it_reverses_and_who_reversed_it(world: World) -> None:
    post(world.books, issue(10, "ann"), id="one")
    post(world.books, Reverse("one"), id="two")
    assert world.records.transaction(T, "one")[0].reversed_by == ("two",)
    assert world.records.transaction(T, "two")[0].reverses == ("one",)


@pytest.mark.parametrize("cursor", ["x", "AAAA", "bnVsbA", "é", "[" * 100, *map(cursor_of, ("9" * 30, "-1", "1_0", ARABIC_ONE)), cursor_of("a", "b")])
def test_a_cursor_that_was_made_up_is_refused(world: World, cursor: str) -> None:
    for read in (
        lambda: world.records.transaction(T, "one", cursor=cursor),
        lambda: world.records.statement(T, "ann", LONG, cursor=cursor),
    ):
        assert refused(read)[0] == "CURSOR_INVALID"


@pytest.mark.parametrize("parts", [("9" * 30, "1"), ("1", "9" * 12), ("1_0", "1"), ("1", "-1"), (ARABIC_ONE, "1")])
def test_a_cursor_of_actions_with_numbers_no_store_has_is_refused(world: World, parts: tuple[str, str]) -> None:
    assert refused(lambda: world.books.actions(T, Question(), cursor=cursor_of(*parts)))[0] == "CURSOR_INVALID"


# Holds


def test_a_hold_says_what_became_of_what_it_reserved(world: World) -> None:
    post(world.books, issue(100, "ann"), Reserve("h", "usd", 60, "ann", expires_at=day(9)), Reserve("i", "usd", 5, "ann"))

    def told(hold_id: str, at: int = 0) -> tuple[Any, ...]:
        one = world.records.hold(T, hold_id, day(at))
        assert one.reserved == one.posted + one.released + one.left
        return one.account_id, one.flavor_id, one.state, one.expires_at, one.reserved, one.posted, one.released, one.left

    assert told("h") == ("ann", "usd", "open", day(9), 60, 0, 0, 60)
    post(world.books, PostHold("h", "ben", amount=20, keep_rest=True))
    assert told("h") == ("ann", "usd", "open", day(9), 60, 20, 0, 40)
    assert told("h", 9)[2:3] == ("expired",)
    post(world.books, PostHold("h", "ben", amount=30))
    assert told("h", 9) == ("ann", "usd", "over", day(9), 60, 50, 10, 0)
    post(world.books, ReleaseHold("i"))
    assert told("i") == ("ann", "usd", "over", None, 5, 0, 5, 0)
    with pytest.raises(NotFound, match="HOLD_UNKNOWN"):
        world.records.hold(T, "other", DAY)


def test_a_hold_that_expired_has_given_back(world: World) -> None:
    post(world.books, issue(100, "ann"), Reserve("h", "usd", 60, "ann", expires_at=day(1)))
    post(world.books, retire(100, "ann"), now=day(2))
    one = world.records.hold(T, "h", day(2))
    assert (one.state, one.reserved, one.released, one.left) == ("expired", 60, 60, 0)


# Statements


def told(statement: Statement) -> tuple[list[tuple[str, int, int]], list[tuple[str, int, int]]]:
    return [(one.flavor_id, one.opening, one.closing) for one in statement.totals], [(one.flavor_id, one.amount, one.balance) for one in statement.entries]


def test_a_statement_opens_shows_every_entry_with_the_balance_after_it_and_closes(world: World) -> None:
    post(world.books, issue(100, "ann"), issue(7, "ann", "loan", token_tags={"installment": 1}), at=day(0))
    post(world.books, transfer(30, "ann", "ben", action_tags={"type": "rent"}), at=day(2))
    post(world.books, issue(5, "ann"), at=day(3))
    assert told(world.records.statement(T, "ann", Interval(day(1), day(3)))) == ([("loan", 7, 7), ("usd", 100, 70)], [("usd", -30, 70)])
    assert told(world.records.statement(T, "ann", Interval(day(0), day(4)))) == (
        [("loan", 0, 7), ("usd", 0, 75)],
        [("loan", 7, 7), ("usd", 100, 100), ("usd", -30, 70), ("usd", 5, 75)],
    )
    [entry] = world.records.statement(T, "ben", Interval(day(2), day(3)), flavor_id="usd").entries
    assert (entry.kind, entry.type, entry.other_account_id, entry.tags, entry.effective_at) == ("transaction", "transfer", "ann", {"type": "rent"}, day(2))


def test_of_one_flavor_the_others_are_not_told(world: World) -> None:
    post(world.books, issue(100, "ann"), issue(7, "ann", "loan"), at=day(0))
    assert told(world.records.statement(T, "ann", LONG, flavor_id="loan")) == ([("loan", 0, 7)], [("loan", 7, 7)])
    assert told(world.records.statement(T, "ben", LONG, flavor_id="loan")) == ([("loan", 0, 0)], [])
    assert told(world.records.statement(T, "ben", LONG)) == ([], [])


def test_tokens_that_only_change_their_tags_are_no_entry(world: World) -> None:
    post(world.books, issue(10, "ann", token_tags={"n": 1}))
    post(world.books, transfer(10, "ann", "ann", token_tags={"n": 2}))
    assert told(world.records.statement(T, "ann", LONG)) == ([("usd", 0, 10)], [("usd", 10, 10)])


def test_one_statement_closes_where_the_next_opens_and_every_entry_is_in_one_of_them(world: World) -> None:
    chance = Random(11)
    post(world.books, issue(10_000, "ann"), at=day(0))
    for _ in range(40):
        post(world.books, transfer(chance.randint(1, 9), "ann", "ben"), at=day(0) + timedelta(hours=chance.randint(0, 240)))
    edges = [day(0) + timedelta(hours=hours) for hours in (0, 3, 24, 24, 100, 240, 241)]
    parts = [world.records.statement(T, "ann", Interval(since, until), flavor_id="usd") for since, until in pairwise(edges)]
    assert [one.totals[0].closing for one in parts[:-1]] == [one.totals[0].opening for one in parts[1:]]
    whole = world.records.statement(T, "ann", Interval(edges[0], edges[-1]), flavor_id="usd")
    assert [entry for part in parts for entry in part.entries] == list(whole.entries)
    assert len(whole.entries) == 41
    assert whole.totals[0].closing == held(world.books, "ann")


def test_pages_of_a_statement_go_on_where_the_last_one_ended_though_others_post_into_the_past(world: World) -> None:
    for number in range(5):
        post(world.books, issue(10, "ann"), issue(1, "ann", "loan"), at=day(number))
    whole = world.records.statement(T, "ann", LONG)
    entries: list[Any] = []
    cursor = None
    for _ in range(20):
        page = world.records.statement(T, "ann", LONG, cursor=cursor, limit=3)
        assert page.totals == whole.totals
        entries += page.entries
        post(world.books, issue(1_000, "ann"), issue(1_000, "ann", "loan"), at=day(0))
        cursor = page.cursor
        if cursor is None:
            break
    assert entries == list(whole.entries)
    assert [one.balance for one in entries] == [1, 2, 3, 4, 5, 10, 20, 30, 40, 50]


def test_a_full_last_page_of_a_statement_has_no_page_after_it(world: World) -> None:
    for number in range(4):
        post(world.books, issue(10, "ann"), at=day(number))
    first = world.records.statement(T, "ann", LONG, limit=2)
    assert world.records.statement(T, "ann", LONG, limit=2, cursor=first.cursor).cursor is None


def test_a_statement_as_it_was_known_leaves_out_what_was_recorded_later(world: World) -> None:
    known = post(world.books, issue(100, "ann"), at=day(0)).recorded_at
    before = world.records.statement(T, "ann", LONG, known_at=known - timedelta(microseconds=1))
    assert told(before) == ([], [])
    assert told(world.records.statement(T, "ann", LONG, known_at=known)) == ([("usd", 0, 100)], [("usd", 100, 100)])


def test_a_statement_of_nobody_or_of_an_interval_that_is_none_is_refused(world: World) -> None:
    with pytest.raises(NotFound, match="ACCOUNT_UNKNOWN"):
        world.records.statement(T, "nobody", LONG)
    assert refused(lambda: world.records.statement(T, "ann", Interval(day(1), day(0)))) == ("INTERVAL_INVALID", "to")
    assert refused(lambda: world.records.statement(T, "ann", LONG, flavor_id="gold")) == ("FLAVOR_UNKNOWN", "flavor_id")
    assert refused(lambda: world.records.statement(T, "ann", LONG, limit=0)) == ("LIMIT_INVALID", "limit")
    made_up = cursor_of("usd", "2026-01-01T00:00:00Z", "1", "1", "9:1:5,'")
    assert refused(lambda: world.records.statement(T, "ann", LONG, cursor=made_up))[0] == "CURSOR_INVALID"


@pytest.mark.parametrize("recorded", ["9:1:", "1:1:7", "1:5:2,2,9", "0:0:", "9" * 18 + ":1:", ""])
def test_a_cursor_with_a_snapshot_that_never_was_breaks_nothing(world: World, recorded: str) -> None:
    post(world.books, issue(10, "ann"))
    cursor = cursor_of("usd", "2026-01-01T00:00:00Z", "1", "1", recorded)
    assert refused(lambda: world.records.statement(T, "ann", LONG, cursor=cursor))[0] == "CURSOR_INVALID"
    assert told(world.records.statement(T, "ann", LONG)) == ([("usd", 0, 10)], [("usd", 10, 10)])


# Tenants


def test_one_tenants_records_are_nobody_elses(world: World) -> None:
    post(world.books, issue(10, "ann"), Reserve("h", "usd", 1, "ann"), id="mine")
    for read in (
        lambda: world.records.transaction("t2", "mine"),
        lambda: world.records.hold("t2", "h", DAY),
        lambda: world.records.statement("t2", "ann", LONG),
    ):
        with pytest.raises(NotFound):
            read()
