"""Names and texts are in the order of their octets in whatever language the database was made: in memory and in PostgreSQL alike."""

import os
from collections.abc import Iterator

import pytest
from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.aurora_seal import AuroraSeals
from bourse.ledger.aurora_templates import AuroraTemplates
from bourse.ledger.books import Books, DeclaredSum, Question
from bourse.ledger.feeds import Feed
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_templates import MemoryTemplates
from bourse.ledger.templates import Template, Templates

from infra.local import postgres as local_postgres
from tests.ledger.books_builders import CLOCK, T, issue, opened, post
from tests.ledger.journal_builders import exported, in_memory, in_postgresql, restored
from tests.ledger.keys_builders import registered

TEXTS = ("b", "a", "B", "A", "_", "Z", "z", "é", "e", "f", "10", "9", "a-b", "ab", "a_b", "ß", "\U0001f4a5", "\uffff", "")
NAMES = ("b", "a", "B", "A", "Z", "z", "e", "f", "10", "9", "a-b", "ab", "a_b", "a.c")
_OTHERS = "select collname from pg_collation where collprovider = 'i' and collname in ('en-x-icu', 'en-US-x-icu', 'und-x-icu')"


@pytest.fixture
def elsewhere(postgres: local_postgres.Server) -> Iterator[Database]:
    """A database that orders texts as a language does."""
    name = f"bourse_language_{os.getpid()}"
    if not postgres.run(_OTHERS):
        pytest.skip("this server was built without ICU")
    postgres.run("create database {} template template0 locale_provider icu icu_locale 'en-US'", name)
    migrate(postgres.dsn(name))
    postgres.let_in("bourse_app")
    database = Database(postgres.dsn(name, "bourse_app"))
    yield database
    database.close()
    postgres.run("drop database {} with (force)", name)


def fill(books: Books, templates: Templates) -> None:
    opened(books, *NAMES)
    books.declare_sum(T, DeclaredSum("kept", group_by=("tags.n", "account_id")))
    post(books, *(issue(number, NAMES[number % len(NAMES)], token_tags={"n": text}, action_tags={"n": text}) for number, text in enumerate(TEXTS, 1)))
    post(books, issue(9, "a", token_tags={"n": 7}), issue(9, "a", token_tags={"n": True}), issue(9, "a", token_tags={"n": {"b": 1}}), issue(9, "a"), id="more")
    registered(books, *NAMES)
    for name in NAMES:
        books.open_feed(T, Feed(name, "actions"))
        books.declare_sum(T, DeclaredSum(f"of-{name}"))
        templates.save(T, Template(name, 1, {}, {"actions": [{"type": "release_hold", "hold_id": "h"}]}))


def orders(books: Books, templates: Templates) -> dict[str, list[object]]:
    """Everything that is told in an order of names or texts, lists in pages."""
    told: dict[str, list[object]] = {
        "tokens": [list(one.group.values()) for one in books.sum_tokens(T, Question(group_by=("tags.n", "account_id")))],
        "actions": [list(one.group.values()) for one in books.sum_actions(T, Question(group_by=("tags.n",)))],
        "kept": [list(one.group.values()) for one in books.read_sum(T, "kept")],
        "sums": [one.name for one in books.declared_sums(T)],
        "feeds": [one.feed_id for one in books.feeds(T)],
        "keys": [],
        "templates": [],
    }
    for name, listed in (("keys", books.keys.listed), ("templates", templates.templates)):
        cursor = None
        while True:
            found, cursor = listed(T, cursor=cursor, limit=3)  # type: ignore[operator]
            told[name] += [getattr(one, f"{name[:-1]}_id") for one in found]
            if cursor is None:
                break
    return told


def test_every_order_is_of_octets_whatever_the_databases_language(elsewhere: Database) -> None:
    memory = MemoryBooks(CLOCK)
    stores: list[tuple[Books, Templates]] = [(memory, MemoryTemplates(memory)), (AuroraBooks(elsewhere), AuroraTemplates(elsewhere))]
    for books, templates in stores:
        fill(books, templates)
    first, second = (orders(*one) for one in stores)
    assert second == first
    assert second["keys"] == second["templates"] == second["feeds"] == sorted(NAMES, key=str.encode)
    assert [one for one in second["actions"] if isinstance(one, list) and isinstance(one[0], str)] == [[text] for text in sorted(TEXTS, key=str.encode)]
    assert [type(one[0]) for one in second["tokens"][-4:] if isinstance(one, list)] == [int, bool, dict, type(None)]
    with elsewhere.transaction(T) as cursor:
        languages = cursor.execute("select 'a' < 'B', 'a' < 'B' collate \"C\"").fetchone()
    assert languages == (True, False), "the database itself orders otherwise"


def test_books_are_carried_and_checked_whatever_the_databases_language(elsewhere: Database) -> None:
    made, into = in_memory(), in_postgresql(elsewhere)
    fill(made.books, made.templates)
    made.seals.seal(T, 1_000)
    assert restored(into, exported(made)).state == made.journal.state_hash(T)
    assert exported(into) == exported(made)
    post(into.books, issue(1, "a"), id="next")
    AuroraSeals(elsewhere).seal(T, 1_000)
    assert list(AuroraChecker(elsewhere).differences(T)) == []
