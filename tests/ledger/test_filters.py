"""The filter language: what it means, that the database means the same, and that nothing anybody writes becomes SQL."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import bourse
import orjson
import psycopg
import pytest
from bourse.errors import Refused
from bourse.ledger.filters import bind, condition, matches, parse
from bourse.ledger.filters.parse import DEPTH_MAX, LENGTH_MAX, TERMS_MAX
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.local import postgres as local_postgres
from tests.conftest import TEMPLATE

TOKEN: dict[str, Any] = {
    "account_id": "ann",
    "account_tags": {"type": "investor", "age": 30},
    "flavor_id": "loan1",
    "flavor_tags": {"type": "loan", "borrower_id": "alice"},
    "tags": {
        "installment": 2,
        "due_date": "2018-02-01T00:00:00Z",
        "local": "2018-02-01T01:00:00+02:00",
        "paid": True,
        "test-action": "x",
        "deep": {"a": {"b": 1}},
    },
    "amount": 100,
}


def asks(text: str, *params: Any, kind: str = "tokens", of: dict[str, Any] | None = None) -> bool:
    return matches(bind(parse(text), kind, params), TOKEN if of is None else of)


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("", ()),
        ("flavorId=$1 AND tags.installment=$2", ("loan1", 2)),
        ("accountId=$1 AND flavorTags.type=$2", ("ann", "loan")),
        ("flavor_tags.borrower_id = 'alice'", ()),
        ("tags.test-action = 'x'", ()),
        ("tags.deep.a.b = 1", ()),
        ("tags.paid = TRUE AND NOT tags.paid = FALSE", ()),
        ("tags.paid AND (tags.paid) AND NOT tags.none", ()),
        ("(tags.deep).a.b = (1) AND 1 = 1 AND 'a' < 'b'", ()),
        ("tags.OR = 1 OR tags.test-action = 'x'", ()),
        ("tags.due_date = tags.due_date AND tags.due_date = '2018-02-01T00:00:00Z'", ()),
        ("amount >= 100 AND amount < 0x65", ()),
        ("tags.due_date:time >= '2018-02-01T01:00:00+01:00'", ()),
        ("$1 <= tags.due_date:time", ("2018-02-01T00:00:00Z",)),
        ("tags.local:time < tags.due_date:time", ()),
        ("tags.installment IN (1, 2) AND account_id NOT IN ('ben', 'cat')", ()),
        ("EXISTS(tags.paid) AND NOT EXISTS(tags.none)", ()),
        ("NOT tags.none = 'x' AND NOT tags.none != 'x'", ()),
        ("account_id = 'nobody' OR (account_id = 'ann' AND amount = 100)", ()),
        ("account_id = 'nobody' OR amount = 100 AND flavor_id = 'loan1'", ()),
    ],
)
def test_what_a_filter_asks_for_is_found(text: str, params: tuple[Any, ...]) -> None:
    assert asks(text, *params)


@pytest.mark.parametrize(
    "text", ["tags.installment = '2'", "tags.paid = 'true'", "tags.none = 'x'", "tags.none != 'x'", "tags.deep = 'x'", "account_id = 'Ann'"]
)
def test_what_is_missing_or_of_another_type_is_not_found(text: str) -> None:
    assert not asks(text)


def test_a_filter_keeps_every_value_of_its_or() -> None:
    """Formance #1186: of an $or only the last value was asked for."""
    assert [asks("account_id = $1 OR account_id = $2 OR account_id = $3", *names) for names in (("ann", "b", "c"), ("a", "ann", "c"), ("a", "b", "ann"))] == [
        True
    ] * 3


def test_a_times_offset_counts() -> None:
    """Formance #1398: the offset was dropped, so 01:00+02:00 was taken for 01:00Z."""
    assert asks("tags.local:time = '2018-01-31T23:00:00Z'")
    assert not asks("tags.local:time = '2018-02-01T01:00:00Z'")


@pytest.mark.parametrize(
    "text",
    [
        "=", "a", "tags", "tags.", "tags.x =", "= 1", "tags.x == 1", "tags.x = 1 AND", "AND tags.x = 1", "(tags.x = 1", "tags.x = 1)", "NOT",
        "tags.x = 'y", 'tags.x = "y"', "tags.x LIKE 'y'", "tags.x = 1.5", "tags.x = 01", "tags.x = 9223372036854775808", "tags.x = $0", "tags.x = $99999999",
        "tags.x IN ()", "tags.x IN 1", "nothing = 1", "tags.x = 1 OR tags.x = 'a'", "amount = 'x'", "account_id = 1", "1 = 'a'", "(tags.x = 1) = TRUE",
        "amount", "tags.x:time = 1",
        "tags.x < TRUE",
        "account_id.x = 1", "tags.due:date = 'x'", "actions(type = 'issue')", "tags.x = null", "tags.x = 1 tags.y = 2", "tags.t:time = 'tomorrow'",
        "tags.x = 1; drop table books.move", "tags.x = 'a\0'", "tags.x = '\ud800'", "timestamp > '2018-01-01T00:00:00Z'",
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused_with_the_place_or_the_reason(text: str) -> None:
    with pytest.raises(Refused, match=r"FILTER_INVALID|FILTER_PARAMS"):
        asks(text)


def test_the_number_and_kind_of_parameters_must_fit() -> None:
    for params in ((), (1, 2), (1.5,), (None,), ("a\0",), (2**63,)):
        with pytest.raises(Refused, match="FILTER_PARAMS"):
            bind(parse("tags.x = $1"), "tokens", params)


@pytest.mark.parametrize(
    "text",
    [
        "(" * (DEPTH_MAX + 2) + "amount = 1" + ")" * (DEPTH_MAX + 2),
        "NOT " * 2_000 + "amount = 1",
        " OR ".join(["amount = 1"] * (TERMS_MAX + 1)),
        "amount = 1" + " " * LENGTH_MAX,
        "a" * 1_000_000,
    ],
)
def test_a_filter_has_a_size(text: str) -> None:
    with pytest.raises(Refused, match="FILTER_INVALID"):
        parse(text)


def test_hostile_text_raises_nothing_else() -> None:
    """20,000 here; a million were tried when this was written."""
    random = Random(3)
    words = [
        "tags.x",
        "=",
        "!=",
        "<",
        "(",
        ")",
        "AND",
        "OR",
        "NOT",
        "IN",
        "$1",
        "'a'",
        "1",
        "account_id",
        "amount",
        ",",
        ".",
        ":time",
        "EXISTS",
        "'",
        "%s",
        "--",
        "\\",
        "é",
        ";",
    ]
    for _ in range(20_000):
        text = random.choice((" ", "")).join(random.choice(words) for _ in range(random.randrange(12)))
        with suppress(Refused):
            bind(parse(text), "tokens", (1,) if "$1" in text else ())


# The database


@pytest.fixture(scope="module")
def connection(postgres: local_postgres.Server) -> Iterator[psycopg.Connection[Any]]:
    """A database of this module's own, with a table of tokens."""
    name = f"bourse_filters_{os.getpid()}"
    postgres.run("create database {} template {} strategy file_copy", name, TEMPLATE)
    with psycopg.connect(postgres.dsn(name), autocommit=True) as made:
        made.execute("create table token (n int, account_id text, account_tags jsonb, flavor_id text, flavor_tags jsonb, tags jsonb, amount bigint)")
        yield made
    postgres.run("drop database {} with (force)", name)


COLUMNS: Any = {name: name for name in ("account_id", "account_tags", "flavor_id", "flavor_tags", "tags", "amount")}
VALUES = st.one_of(
    st.sampled_from(["a", "b", "", "2018-02-01T00:00:00Z", "2018-02-01T02:00:00+02:00", "2018-13-01T00:00:00Z", "é'\"\\%s$1", "null"]),
    st.integers(-3, 3),
    st.booleans(),
    st.none(),
)
TAGS = st.dictionaries(
    st.sampled_from(["x", "y", "t-1"]),
    st.one_of(VALUES, st.dictionaries(st.sampled_from(["x", "y"]), VALUES, max_size=2), st.lists(VALUES, max_size=2)),
    max_size=3,
)
TOKENS = st.fixed_dictionaries(
    {
        "account_id": st.sampled_from(["ann", "ben", "É"]),
        "account_tags": TAGS,
        "flavor_id": st.sampled_from(["usd", "loan"]),
        "flavor_tags": TAGS,
        "tags": TAGS,
        "amount": st.integers(1, 4),
    }
)
PATHS = st.sampled_from(["tags.x", "tags.y", "tags.t-1", "tags.x.y", "account_tags.x", "flavorTags.y"])


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[str, list[Any]]:
    shape = draw(st.integers(0, 5))
    path = draw(PATHS)
    if shape == 0:
        return f"EXISTS({path})", []
    if shape == 1:
        return f"account_id {draw(st.sampled_from(['=', '!=', '<', '>=']))} $1", [draw(st.sampled_from(["ann", "ben", "É"]))]
    if shape == 2:
        return f"amount {draw(st.sampled_from(['=', '!=', '<', '<=', '>']))} $1", [draw(st.integers(0, 5))]
    if shape == 3:
        return f"{path}:time {draw(st.sampled_from(['=', '!=', '<', '>=']))} $1", [draw(st.sampled_from(["2018-02-01T00:00:00Z", "2018-02-01T01:00:00+02:00"]))]
    if shape == 4:
        return f"{path} = {draw(PATHS)}", []
    value = draw(st.one_of(st.sampled_from(["a", "b", "", "é'\"\\%s$1"]), st.integers(-3, 3), st.booleans()))
    ops = ["=", "!="] if isinstance(value, bool) else ["=", "!=", "<", "<=", ">", ">="]
    return f"{path} {draw(st.sampled_from(ops))} $1", [value]


@st.composite
def filters(draw: st.DrawFn, depth: int = 2) -> tuple[str, list[Any]]:
    if depth == 0 or draw(st.booleans()):
        text, params = draw(comparisons())
        return (f"NOT {text}" if draw(st.booleans()) else text), params
    (one, first), (other, second) = draw(filters(depth - 1)), draw(filters(depth - 1))
    for number in range(len(second), 0, -1):
        other = other.replace(f"${number}", f"${number + len(first)}")
    return f"({one} {draw(st.sampled_from(['AND', 'OR']))} {other})", first + second


@given(filters(), st.lists(TOKENS, min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_the_database_finds_what_the_meaning_says(connection: psycopg.Connection[Any], asked: tuple[str, list[Any]], tokens: list[dict[str, Any]]) -> None:
    """TigerBeetle #2544 among it: several conditions together drop no row."""
    text, params = asked
    try:
        bound = bind(parse(text), "tokens", params)
    except Refused:
        return  # one path is used with two types
    sql = condition(bound, COLUMNS)
    with connection.transaction(force_rollback=True):
        for number, token in enumerate(tokens):
            row = [number, *(orjson.dumps(token[name]).decode() if name.endswith("tags") else token[name] for name in COLUMNS)]
            connection.execute("insert into token values (%s, %s, %s, %s, %s, %s, %s)", row)
        found = [row[0] for row in connection.execute("select n from token where " + sql.text + " order by n", sql.params)]
    assert found == [number for number, token in enumerate(tokens) if matches(bound, token)]


@pytest.mark.parametrize("evil", ["'; drop table token; --", "%s", "%(x)s", "$1", "\\", '"', "a' or '1'='1", "/*", "é"])
def test_nothing_anybody_writes_becomes_sql(connection: psycopg.Connection[Any], evil: str) -> None:
    """Formance #1349. The text of a condition is the same whatever the filter's words and parameters are."""
    plain = condition(bind(parse("tags.x = $1 AND account_id != $2 AND tags.y < $3"), "tokens", ("a", "b", "c")), COLUMNS)
    hostile = condition(bind(parse("tags.x = $1 AND account_id != $2 AND tags.y < $3"), "tokens", (evil, evil, evil)), COLUMNS)
    quoted = evil.replace("'", "''")
    literal = condition(bind(parse(f"tags.x = '{quoted}' AND account_id != '{quoted}' AND tags.y < '{quoted}'"), "tokens"), COLUMNS)
    assert plain.text == hostile.text == literal.text
    assert connection.execute("select count(*) from token where " + hostile.text, hostile.params).fetchone() == (0,)


def test_every_example_of_the_readme_is_a_filter() -> None:
    text = (Path(bourse.__file__).parent / "ledger/filters/README.md").read_text()
    cells = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    examples = [one for cell in cells for one in re.findall(r"`([^`]+)`", cell) if any(sign in one for sign in "=<>(") and one != "( )"]
    assert len(examples) > 8
    for example in examples:
        found = parse(example)
        bind(found, "actions" if "timestamp" in example else "tokens", ("2018-01-01T00:00:00Z",) * found.placeholders)
