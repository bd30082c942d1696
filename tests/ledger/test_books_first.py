"""What is done first in a tenant, and nothing at all: `world` is there from the beginning, an empty posting is answered; on both stores.
And a guarded posting numbers what it needs before it holds anything."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict
from bourse.ledger.actions import WORLD, Account, Expect, Posted, Transaction
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books, Question
from bourse.ledger.lots import tagset_digest

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, issue, opened, post, transfer, txn


def world(books: Books) -> Account:
    [found] = books.accounts(T, Question("id = $1", (WORLD,))).items
    return found


@pytest.mark.parametrize("asked", [Account(WORLD), Account(WORLD, floor=None), Account(WORLD, {"a": "b"}, floor=None, hot=True)])
def test_world_is_opened_by_itself_and_nobody_opens_it_otherwise(empty_books: Books, asked: Account) -> None:
    with pytest.raises(Conflict, match="ACCOUNT_DIFFERS"):
        empty_books.open_account(T, asked)
    assert world(empty_books) == Account(WORLD, floor=None, hot=True)
    opened(empty_books, "ann")
    post(empty_books, issue(5, "ann"))


def test_world_opened_as_it_is_changes_nothing(empty_books: Books) -> None:
    empty_books.open_account(T, Account(WORLD, floor=None, hot=True))
    assert world(empty_books) == Account(WORLD, floor=None, hot=True)


def test_world_can_be_tagged_before_anybody_has_used_it(empty_books: Books) -> None:
    empty_books.tag_account(T, WORLD, {"type": "outside"})
    assert world(empty_books) == Account(WORLD, {"type": "outside"}, floor=None, hot=True)
    opened(empty_books, "ann")
    post(empty_books, issue(5, "ann"))
    [found] = empty_books.actions(T, Question("snapshot.source_account_tags.type = 'outside'")).items
    assert found.amount == 5


@pytest.mark.parametrize("dry_run", [False, True])
def test_nothing_is_posted_by_an_empty_posting(empty_books: Books, dry_run: bool) -> None:
    assert empty_books.post(T, [], DAY, dry_run=dry_run) == ()


# Order of waiting


def ordered(*names: str) -> list[dict[str, str]]:
    """Sets of tags in the order they are numbered in."""
    return sorted(({"of": name} for name in names), key=tagset_digest)


def _guard() -> tuple[Expect, ...]:
    return (Expect("account_id = 'nobody'", amount=0),)


def _told(first: dict[str, str], second: dict[str, str]) -> list[Transaction]:
    """The second transaction numbers what comes first in the order."""
    return [txn(issue(1, "ann", token_tags=second), expect=_guard()), txn(issue(1, "ann", token_tags=first))]


def _carried(first: dict[str, str], second: dict[str, str]) -> list[Transaction]:
    """The same, with tags that nobody writes: the tokens carry them."""
    carries = transfer(1, "ann", "ben", where="tags.x = 1 AND tags.of = $1", params=(first["of"],), carry_tags=("of",))
    return [txn(issue(1, "ann", token_tags=second), expect=_guard()), txn(carries)]


@pytest.mark.parametrize("made", [_told, _carried])
def test_a_guarded_posting_holds_nothing_while_it_waits_for_who_numbers_tags(
    fresh_database: FreshDatabase, made: Callable[[dict[str, str], dict[str, str]], list[Transaction]]
) -> None:
    first, second = ordered("one", "other")
    with closing(Database(fresh_database.app_dsn)) as database, psycopg.connect(fresh_database.migrated_dsn) as other, ThreadPoolExecutor(1) as pool:
        books = opened(AuroraBooks(database), "ann", "ben")
        post(books, issue(1, "ann", token_tags={**first, "x": 1}))
        _insert(other, first)
        waiting = pool.submit(lambda: books.post(T, made(first, second), DAY))
        fresh_database.until_somebody_waits()
        _insert(other, second)  # had the posting numbered this one before it waits, neither could go on
        other.commit()
        found: tuple[Posted, ...] = waiting.result(timeout=60)
        assert [one.before for one in found] == [False, False]
        with psycopg.connect(fresh_database.migrated_dsn) as owner:
            assert owner.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone() == (0,)


def _insert(connection: Any, tags: dict[str, str]) -> None:
    connection.execute("select set_config('app.tenant', %s, true)", [T])
    connection.execute(
        "insert into books.tagset (tenant_id, digest, tags) values (%s, %s, %s) on conflict do nothing",
        [T, tagset_digest(tags), psycopg.types.json.Jsonb(tags)],
    )
