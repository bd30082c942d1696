"""Any question asked of books in PostgreSQL is answered as those in memory answer it, however its filter is shaped: reads begin with what a filter names,
and must not forget what it does not.
"""

from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.actions import Account, Flavor, PostedMove, Spending, Transfer, canonical
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_pins import pins_of, term_of
from bourse.ledger.books import AsOf, Books, Question
from bourse.ledger.filters import bind, parse
from bourse.ledger.memory_books import MemoryBooks
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from infra.local.postgres import Server
from tests.conftest import TEMPLATE, FreshDatabase
from tests.ledger.books_builders import CLOCK, DAY, T, day, issue, opened, picture, retire, transfer, txn

NAMES = ("ann", "ben", "cat", "fund", "world")
TAGS: tuple[dict[str, Any], ...] = ({}, {"n": 1}, {"n": 2}, {"n": "1"}, {"n": True}, {"deep": {"n": 1}}, {"deep": {"n": 2}, "n": 1}, {"n": [1]}, {"n": None})
KINDS: tuple[dict[str, Any], ...] = ({}, {"kind": "fee"}, {"kind": "pay", "n": 1}, {"a/b": "x=string:y"})
Both = list[tuple[Books, Books]]


def live(one: Books, others: list[AuroraBooks], seed: int) -> None:
    """The same random life in memory and in PostgreSQL, there by several writers, so that hot accounts stand in several slots."""
    random = Random(seed)
    people = [Account(name, {"type": random.choice(["investor", "company"]), "vip": random.choice([True, False])}) for name in NAMES[:3]]
    flavors = (Flavor("usd", {"type": "currency"}), Flavor("loan1", {"type": "loan", "of": "ben"}), Flavor("loan2", {"type": "loan", "of": "cat"}))
    for books in (one, others[0]):
        opened(books, *people, Account("fund", {"type": "company"}, floor=None, hot=True), flavors=flavors)
    for number in range(60):
        flavor, tags, kind, at = random.choice(["usd", "usd", "loan1", "loan2"]), random.choice(TAGS), random.choice(KINDS), day(random.randrange(5))
        source, destination = random.sample(NAMES[:4], 2)
        made: list[Any] = [issue(random.randrange(1, 50), destination, flavor, token_tags=tags, action_tags=kind)]
        if random.random() < 0.6 and number % 5:
            carry = random.choice([True, False])
            made.append(Transfer(flavor, random.randrange(1, 20), source, destination, Spending(), tags, carry, kind))
        if random.random() < 0.3 and number % 5:
            made.append(retire(random.randrange(1, 10), destination, flavor, action_tags=kind))
        asked = [txn(*made, id=f"t{seed}/{number}", at=at)]
        answers = [_tried(partial(books.post, T, asked, DAY)) for books in (one, others[number % len(others)])]
        assert isinstance(answers[0], str) == isinstance(answers[1], str)
        if number % 20 == 10:
            for books in (one, others[0]):
                books.tag_account(T, "ann", {"type": "partner", "since": number})
                books.tag_flavor(T, "loan1", {"type": "loan", "of": "nobody"})
            for mine in others:
                mine._names.forget()


def _tried(does: Callable[[], Any]) -> Any:
    try:
        return does()
    except Refused as refused:
        return refused.code


@pytest.fixture(scope="module")
def both(postgres: Server) -> Iterator[Both]:
    """Three lives, each in both kinds of books."""
    made: Both = []
    opened_: list[Database] = []
    for seed in range(3):
        name = f"questions_{seed}"
        postgres.run("create database {} template {} strategy file_copy", name, TEMPLATE)
        writers = []
        for slot in (0, 3, 9):
            database = Database(postgres.dsn(name, "bourse_app"))
            opened_.append(database)
            writer = AuroraBooks(database)
            writer._slot = slot
            writers.append(writer)
        memory = MemoryBooks(CLOCK)
        live(memory, writers, seed)
        made.append((memory, writers[1]))
    yield made
    for database in opened_:
        database.close()
    for seed in range(3):
        postgres.run("drop database {} with (force)", f"questions_{seed}")


TOKEN_TESTS = [
    *(f"account_id = '{name}'" for name in (*NAMES, "nobody")),
    "account_id IN ('ann', 'fund', 'nobody')",
    "account_id NOT IN ('ann', 'ben')",
    "account_id != 'ann'",
    "account_id < 'c'",
    "account_tags.type = 'partner'",
    "account_tags.type IN ('investor', 'company')",
    "account_tags.vip",
    "account_tags.vip = FALSE",
    "account_tags.since = 50",
    "flavor_id = 'usd'",
    "flavor_id IN ('loan1', 'loan2')",
    "flavor_tags.type = 'loan'",
    "flavor_tags.of = 'nobody'",
    "flavor_tags.of != 'cat'",
    "tags.n = 1",
    "tags.n IN (1, 2)",
    "tags.n != 1",
    "tags.n > 0",
    "EXISTS(tags.n)",
    "tags.deep.n = 1",
    "tags.deep.n >= 2",
    "amount > 20",
    "amount = 7",
    "account_id = flavor_tags.of",
    "'ann' = account_id",
]
ACTION_TESTS = [
    "id = 't0/5/0'",
    "id = 't1/10/0'",
    "id = '7'",
    "transaction_id = 't2/15'",
    "transaction_id > 't'",
    "type = 'issue'",
    "type != 'issue'",
    "amount >= 10",
    "flavor_id = 'usd'",
    "flavor_id IN ('loan1', 'usd')",
    "source_account_id = 'world'",
    "source_account_id = 'fund'",
    "destination_account_id = 'ann'",
    "destination_account_id != 'ann'",
    "tags.kind = 'fee'",
    "tags.kind IN ('fee', 'pay')",
    "tags.kind != 'fee'",
    "EXISTS(tags.kind)",
    "tags.n = 1",
    "snapshot.action_tags.kind = 'pay'",
    "snapshot.sourceAccountTags.type = 'partner'",
    "snapshot.source_account_tags.type = 'company'",
    "snapshot.flavor_tags.of = 'ben'",
    "snapshot.token_tags.n = 2",
    "timestamp >= '2026-01-06T09:00:00Z'",
    "timestamp < '2026-01-08T00:00:00+01:00'",
    "timestamp = '2026-01-05T09:00:00Z'",
]


def shaped(tests: list[str]) -> st.SearchStrategy[str]:
    """Filters of these comparisons, in any shape."""
    leaf = st.sampled_from(tests)

    def shapes(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        both = st.builds(lambda a, b: f"({a} AND {b})", inner, inner)
        either = st.builds(lambda a, b: f"({a} OR {b})", inner, inner)
        return st.one_of(both, both, either, st.builds(lambda a: f"NOT ({a})", inner))

    return st.one_of(st.just(""), st.recursive(leaf, shapes, max_leaves=6))


def answered(does: Callable[[], Any]) -> Any:
    try:
        return does()
    except Refused as refused:
        return refused.code, refused.detail


def sums(rows: Any) -> Any:
    return sorted(str((dict(row.group), row.amount, row.count, row.min, row.max)) for row in rows) if isinstance(rows, list) else rows


def tokens(page: Any) -> Any:
    """Of an account and flavor the lots in any order: texts of tags have another in PostgreSQL than in Python."""
    return sorted((one.account_id, one.flavor_id, canonical(dict(one.tags)), one.amount, one.held) for one in page.items) if hasattr(page, "items") else page


def shown(moves: Any) -> Any:
    def one(move: PostedMove) -> Any:
        return (move.txn_id, move.action_no, move.type, move.flavor_id, move.amount, move.source, move.destination, dict(move.source_tags),
                dict(move.token_tags), dict(move.action_tags), move.effective_at)  # fmt: skip

    return [one(move) for move in moves.items] if hasattr(moves, "items") else moves


TOKEN_GROUPS = st.lists(st.sampled_from(["account_id", "flavor_id", "tags.n", "account_tags.type", "flavor_tags.of"]), max_size=3, unique=True).map(tuple)
ACTION_GROUPS = st.lists(
    st.sampled_from(["type", "flavor_id", "source_account_id", "tags.kind", "timestamp", "day(timestamp)", "week(timestamp)"]), max_size=2, unique=True
).map(tuple)
TIMES = st.one_of(st.just(AsOf()), st.integers(-1, 6).map(lambda n: AsOf(day(n))))
QUIET = settings(max_examples=120, deadline=None, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck))


@QUIET
@given(shaped(TOKEN_TESTS), TOKEN_GROUPS, TIMES)
def test_every_question_about_tokens_is_answered_as_in_memory(both: Both, text: str, groups: tuple[str, ...], as_of: AsOf) -> None:
    for memory, aurora in both:
        first, second = (answered(partial(books.tokens, T, Question(text), as_of, limit=1_000)) for books in (memory, aurora))
        assert tokens(second) == tokens(first)
        one, other = (answered(partial(books.sum_tokens, T, Question(text, (), groups), as_of)) for books in (memory, aurora))
        assert sums(other) == sums(one)


@QUIET
@given(shaped(ACTION_TESTS), ACTION_GROUPS)
def test_every_question_about_actions_is_answered_as_in_memory(both: Both, text: str, groups: tuple[str, ...]) -> None:
    for memory, aurora in both:
        first, second = (answered(partial(books.actions, T, Question(text), limit=1_000)) for books in (memory, aurora))
        assert shown(second) == shown(first)
        one, other = (answered(partial(books.sum_actions, T, Question(text, (), groups))) for books in (memory, aurora))
        assert sums(other) == sums(one)


def test_every_comparison_of_these_finds_something_somewhere(both: Both) -> None:
    """So that the two tests above compare more than nothing with nothing."""
    for tests, ask in ((TOKEN_TESTS, "sum_tokens"), (ACTION_TESTS, "sum_actions")):
        found = [text for text in tests if any(getattr(memory, ask)(T, Question(text))[0].amount for memory, _ in both)]
        assert set(tests) - set(found) <= {"account_id = 'nobody'", "account_id = 'world'", "id = '7'"}


def test_a_page_follows_a_page(both: Both) -> None:
    for memory, aurora in both:
        for books in (memory, aurora):
            found, cursor = [], None
            while True:
                page = books.actions(T, Question("tags.kind = 'fee' OR source_account_id = 'world'"), cursor=cursor, limit=7)
                found += shown(page)
                if (cursor := page.cursor) is None:
                    break
            assert found == shown(books.actions(T, Question("tags.kind = 'fee' OR source_account_id = 'world'"), limit=1_000))


def test_reading_changes_nothing(both: Both) -> None:
    _, aurora = both[0]
    assert picture(aurora) == picture(aurora)


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("account_id = 'ann' AND tags.n = 1", [("account", "name", {"ann"}), ("tagset", "term", {term_of(["n"], 1)})]),
        ("account_id = 'ann' OR account_id = 'ben'", [("account", "name", {"ann", "ben"})]),
        ("account_id = 'ann' OR tags.n = 1", []),
        ("(account_id = 'ann' AND tags.n = 1) OR account_id = 'ben'", [("account", "name", {"ann", "ben"})]),
        ("NOT account_id = 'ann'", []),
        ("flavor_tags.type = 'loan' AND amount > 5", [("flavor", "term", {term_of(["type"], "loan")})]),
        ("account_id != 'ann' AND EXISTS(tags.n)", []),
    ],
)
def test_what_a_filter_pins(text: str, pinned: list[tuple[str, str, set[Any]]]) -> None:
    assert [(pin.target, pin.by, set(pin.values)) for pin in pins_of(bind(parse(text), "tokens"))[0]] == pinned


@pytest.mark.parametrize(
    ("path", "value"),
    [(["n"], 1), (["n"], -(2**63)), (["n"], True), (["n"], False), (["a", "b"], "x"), (["é/="], "'\\\"\n\u2028𝄞"), (["n"], ""), (["n"], 2**62)],
)
def test_a_term_is_the_same_in_python_and_in_the_database(fresh_database: FreshDatabase, path: list[str], value: Any) -> None:
    tags: Any = value
    for name in reversed(path):
        tags = {name: tags}
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        rows = owner.execute("select books.terms_of(%s)", [psycopg.types.json.Jsonb(tags)]).fetchall()
    assert rows == [(term_of(path, value),)]


def test_the_terms_of_replaced_tags_are_gone(fresh_database: FreshDatabase) -> None:
    database = Database(fresh_database.app_dsn)
    books = opened(AuroraBooks(database), Account("ann", {"type": "investor", "deep": {"n": 1}}))
    books.post(T, [txn(issue(5, "ann"))], DAY)
    books.tag_account(T, "ann", {"type": "company"})
    assert [books.sum_tokens(T, Question(f"account_tags.type = '{one}'"))[0].amount for one in ("investor", "company")] == [0, 5]
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        owner.execute("select set_config('app.tenant', 't1', false)")
        assert owner.execute("select term from books.term where what = 'a'").fetchall() == [(term_of(["type"], "company"),)]
    books.post(T, [txn(transfer(5, "ann", "world"))], DAY)
    database.close()
