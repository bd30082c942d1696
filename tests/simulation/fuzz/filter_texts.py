"""Filters made by their grammar, and nearly: what they mean is asked of books in memory and in PostgreSQL, which say the same or refuse alike."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson
from bourse.errors import Refused
from bourse.ledger.actions import Account, Flavor, Issue, Retire, Spending, Transaction, Transfer
from bourse.ledger.books import Books, Question
from bourse.ledger.filters import KINDS, Bound, bind, condition, parse
from bourse.ledger.filters.bind import Field, Group, Known, Negation, Test, Tree, Value, Within
from bourse.ledger.filters.parse import TERMS_MAX

from tests.simulation.fuzz.bson_door import steps

T = "t1"
DAY = datetime(2026, 1, 5, 9, tzinfo=UTC)
REFUSALS = {"FILTER_INVALID", "FILTER_PARAMS"}
WORD = "zq"
"""Every text and tag that somebody writes has this in it, and no SQL of ours."""
STEPS_FREE, STEPS_PER_CHARACTER = 200, 80
_TEXTS = ["zqa", "zqb", "zq", "zq'; drop table books.lot; --", "zq%s", "zq\\", 'zq"', "zqÉ", "zq\u0301", "zq💥", "zq$1"]
_TIMES = ["2018-02-01T00:00:00Z", "2018-02-01T01:00:00+01:00", "2018-02-30T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999+00:00"]
_NUMBERS = ["0", "1", "-1", "10", "0xA", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "007", "1.5", "1e3"]
_TAGS = [("zqx", "text"), ("zqy", "text"), ("zqx.zqy", "text"), ("zqÉ", "text"), ("zq-t", "truth"), ("zqx.zq0", "truth"), ("zqn", "number"), ("zqwhen", "time")]
_ODD: list[Any] = [1.0, None, [], {}, b"zq", 2**63, "zq\0", "\ud800", "x" * 10_001, [1], float("nan")]
_JUNK = [
    "(",
    ")",
    "'",
    '"',
    "=",
    "==",
    "<>",
    "!",
    "!=",
    "AND",
    "OR",
    "NOT",
    "IN",
    "EXISTS",
    ".",
    ":",
    ":time",
    ",",
    "$0",
    "$2",
    ";",
    "--",
    "\0",
    "\u00a0",
    "\u2028",
]
_STORES_OWN = {"recorded_at", "sequence_number"}
"""What each store says by its own clock and count: not asked for, and not compared."""
_SIGNS = ["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True)
class Asked:
    """A filter of a kind of object, with its parameters."""

    kind: str
    text: str
    params: tuple[Any, ...]


def books_with_something(books: Books) -> Books:
    """Books in which tags have every type, and some are missing."""
    for number, one in enumerate(({}, {"zqx": "zqa", "zqn": 1}, {"zqx": {"zqy": "zqb", "zq0": True}, "zq-t": True})):
        books.open_account(T, Account(f"zq{number}", one, floor=0))
        books.open_flavor(T, Flavor(f"zqf{number}", one))
    lots: list[dict[str, Any]] = [
        {},
        {"zqx": "zqa", "zqy": "zqb", "zqn": 1, "zqwhen": _TIMES[0]},
        {"zqx": 1, "zqy": "1", "zqn": 10, "zqwhen": _TIMES[1], "zq-t": False},
        {"zqx": {"zqy": "zqa"}, "zqn": "10", "zqwhen": "2018-02-30T00:00:00Z", "zqÉ": "zqÉ"},
        {"zqx": ["zqa", 1], "zq-t": True, "zqn": -(2**63), "zqwhen": 1},
    ]
    made = [
        Transaction(
            f"zqt{number}",
            (Issue(f"zqf{number % 3}", 10 + number, f"zq{number % 2}", token_tags=tags, action_tags=lots[-number]),),
            DAY.replace(day=1 + number),
            tags=lots[(number + 1) % 5],
        )
        for number, tags in enumerate(lots)
    ]
    made.append(Transaction("zqt9", (Transfer("zqf0", 3, "zq0", "zq2", Spending()), Retire("zqf1", 2, "zq1", Spending())), DAY, kind="zqkind"))
    for transaction in made:
        books.post(T, [transaction], DAY)
    return books


def asked(random: Random) -> Asked:
    """A filter by the grammar; every third has something wrong with it."""
    kind = random.choice(list(KINDS))
    params: list[Any] = []
    text = _shape(kind, params, random)
    if random.random() < 0.3:
        text = _spoiled(text, random)
    if random.random() < 0.1:
        params = [random.choice(_ODD) if random.random() < 0.5 else one for one in params] + random.choice([[], [], [1], ["zqa"]])
    return Asked(kind, text, tuple(params))


def _shape(kind: str, params: list[Any], random: Random) -> str:
    shape = random.random()
    if shape < 0.03:
        depth = random.choice([10, 49, 50, 51, 300])
        return "(" * depth + _test(kind, params, random) + ")" * depth
    if shape < 0.05:
        return "NOT " * random.choice([10, 50, 51, 2_000]) + _test(kind, params, random)
    if shape < 0.07:
        return " OR ".join([_test(kind, [], random, plain=True)] * random.choice([20, 60, TERMS_MAX, TERMS_MAX + 1]))
    if shape < 0.11:
        return _long_list(kind, params, random)
    return _tree(kind, params, random, 3)


def _long_list(kind: str, params: list[Any], random: Random) -> str:
    path, type_ = _path(kind, random)
    path += ".zq" * random.choice([0, 0, 16]) if "." in path else ""
    params.append({"text": "zqa", "number": 1, "truth": True, "time": _TIMES[0]}[type_])
    return f"{_timed(path, type_)} IN ({','.join([f'${len(params)}'] * random.choice([2, 100, 1_000, 2_000, 3_300]))})"


def _tree(kind: str, params: list[Any], random: Random, depth: int) -> str:
    if depth == 0 or random.random() < 0.4:
        text = _test(kind, params, random)
    elif kind == "transactions" and random.random() < 0.4:
        text = f"actions({_tree('actions', params, random, depth - 1)})"
    else:
        word = random.choice([" AND ", " OR "])
        text = word.join(_tree(kind, params, random, depth - 1) for _ in range(random.randint(2, 3)))
        text = f"({text})" if random.random() < 0.7 else text
    return f"NOT {text}" if random.random() < 0.2 else text


def _test(kind: str, params: list[Any], random: Random, *, plain: bool = False) -> str:
    path, type_ = _path(kind, random)
    side = _timed(path, type_)
    signs = _SIGNS[:2] if type_ == "truth" else _SIGNS
    match random.randrange(7):
        case 0:
            return f"EXISTS({path})"
        case 1 if type_ == "truth":
            return path
        case 2 | 3 if not plain:
            items = ", ".join(_value(type_, params, random) for _ in range(random.randint(1, 4)))
            return f"{side} {random.choice(['IN', 'NOT IN'])} ({items})"
        case 4:
            other, of = _path(kind, random)
            return f"{side} {random.choice(signs)} {_timed(other, of)}"
        case _:
            right = _value(type_, [] if plain else params, random, plain=plain)
            return f"{right}{random.choice(signs)}{side}" if random.random() < 0.2 else f"{side} {random.choice(signs)} {right}"


def _timed(path: str, type_: str) -> str:
    return path + ":time" if type_ == "time" and "." in path else path


def _path(kind: str, random: Random) -> tuple[str, str]:
    """A path, and the type its values mostly have."""
    root, type_ = random.choice([one for one in KINDS[kind].items() if one[0] not in _STORES_OWN])
    if type_ == "tags":
        below, of = random.choice(_TAGS)
        root += f".{random.choice(['token_tags', 'flavorTags'])}.{below}" if root == "snapshot" else f".{below}"
        return (root if random.random() < 0.95 else root + ".zq" * random.choice([5, 18, 19, 20])), of
    return (root if random.random() < 0.9 else "".join(part.title() if place else part for place, part in enumerate(root.split("_")))), type_


def _value(type_: str, params: list[Any], random: Random, *, plain: bool = False) -> str:
    type_ = type_ if random.random() < 0.95 else random.choice(["text", "number", "truth", "time"])
    value: Any = {
        "text": random.choice(_TEXTS),
        "number": random.randint(-2, 12),
        "truth": random.random() < 0.5,
        "time": random.choice(_TIMES if random.random() < 0.05 else _TIMES[:2]),
    }[type_]
    if not plain and random.random() < 0.5:
        params.append(value)
        return f"${len(params)}"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int):
        return str(value) if random.random() < 0.9 else random.choice(_NUMBERS)
    return "'" + str(value).replace("'", "''") + "'"


def _spoiled(text: str, random: Random) -> str:
    parts = text.split(" ")
    at = random.randrange(len(parts))
    match random.randrange(5):
        case 0:
            parts.insert(at, random.choice(_JUNK))
        case 1:
            del parts[at]
        case 2:
            parts[at] = random.choice(_JUNK)
        case 3:
            parts.insert(at, parts[random.randrange(len(parts))])
        case _:
            place = random.randint(0, len(text))
            return text[:place] + random.choice([*_JUNK, *_TEXTS]) + text[place + random.randint(0, 3) :]
    return random.choice([" ", "  ", "\t"]).join(parts)


# What has to be so


def check(one: Asked, stores: Sequence[Books]) -> str:
    """All stores answer alike, or refuse it alike as no filter; the text of its SQL depends on its shape alone. Returns the code, or what was found."""
    taken = steps(lambda: _code(lambda: parse(one.text)))
    assert taken <= STEPS_FREE + STEPS_PER_CHARACTER * min(len(one.text), 10_000), f"{taken} steps for {len(one.text)} characters"
    refused = _code(lambda: _check_sql(one))
    assert refused in {None, *REFUSALS}
    answers = [_answer(one, books) for books in stores]
    assert all(answer == answers[0] for answer in answers), answers
    assert not stores or (answers[0] == refused if refused else isinstance(answers[0], list)), (refused, answers)
    return refused or ("something" if answers and answers[0] else "nothing")


def _code(does: Any) -> str | None:
    try:
        does()
    except Refused as refused:
        return refused.code
    return None


def _answer(one: Asked, books: Books) -> Any:
    try:
        found = getattr(books, one.kind)(T, Question(one.text, one.params), limit=1_000)
    except Refused as refused:
        return refused.code
    return [orjson.dumps(_compared(asdict(item)), option=orjson.OPT_SORT_KEYS) for item in found.items]


def _compared(value: Any) -> Any:
    """Without what is a store's own."""
    if isinstance(value, dict):
        return {name: _compared(held) for name, held in value.items() if name not in _STORES_OWN}
    return [_compared(held) for held in value] if isinstance(value, list | tuple) else value


def _check_sql(one: Asked) -> None:
    bound = bind(parse(one.text), one.kind, one.params)
    inner = {"actions": dict.fromkeys(KINDS["actions"], "c")}
    columns = dict.fromkeys(KINDS[one.kind], "c") | {"actions": "exists (select {})"}
    made = condition(bound, columns, inner)
    assert WORD not in made.text
    assert made.text.count("%s") == len(made.params)
    other = Bound(bound.kind, bound.tree and _other(bound.tree))
    assert condition(other, columns, inner).text == made.text


def _other(tree: Tree) -> Tree:
    """A tree of the same shape in other words."""
    match tree:
        case Group():
            return replace(tree, parts=tuple(_other(part) for part in tree.parts))
        case Negation() | Within():
            return replace(tree, inner=_other(tree.inner))
        case Known():
            return Known(_other_side(tree.field))
        case Test():
            return Test(tree.op, _other_side(tree.left), _other_side(tree.right))


def _other_side(side: Any) -> Any:
    if isinstance(side, Field):
        return replace(side, below=tuple(f"other{place}" for place, _ in enumerate(side.below)))
    others: dict[str, Any] = {"text": "other", "number": 77, "truth": True, "time": DAY}
    return Value(others[side.type], side.type)
