"""A filter with its parameters, its types checked for a kind of object: what can be asked of an object or of the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal

from bourse.errors import Refused
from bourse.ledger.filters.fields import Type, half_characters, snake
from bourse.ledger.filters.parse import Among, Both, Compare, Constant, Exists, Filter, Node, Not, Operand, Path, Placeholder, Scope, invalid
from bourse.ledger.filters.times import time_of
from bourse.ledger.filters.types import Types, scope_kind, type_of

PARAM_LENGTH_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Field:
    """A path of the object: its root field, and the names below it where that is tags. `type` is that of the comparison; `any` where nothing says
    it, then both sides are equal when they are the same text, number or truth."""

    root: str
    below: tuple[str, ...]
    type: Type | Literal["any"]


@dataclass(frozen=True, slots=True)
class Value:
    """A value to compare with; a time is one with its offset."""

    value: str | int | bool | datetime
    type: Type


@dataclass(frozen=True, slots=True)
class Test:
    """Fields and values of one type, compared. Whatever is missing or of another type makes it false."""

    op: str
    left: Field | Value
    right: Field | Value


@dataclass(frozen=True, slots=True)
class Known:
    """The field is there, and not null."""

    field: Field


@dataclass(frozen=True, slots=True)
class Within:
    """One of the object's parts matches."""

    scope: str
    inner: "Tree"


@dataclass(frozen=True, slots=True)
class Negation:
    inner: "Tree"


@dataclass(frozen=True, slots=True)
class Group:
    all: bool
    parts: tuple["Tree", ...]


Tree = Test | Known | Within | Negation | Group


@dataclass(frozen=True, slots=True)
class Bound:
    """What a filter asks of a kind of object; `tree` None asks nothing."""

    kind: str
    tree: Tree | None


def bind(found: Filter, kind: str, params: Sequence[Any] = ()) -> Bound:
    """Give a filter its parameters. Raises Refused FILTER_PARAMS for a wrong number or type of them, FILTER_INVALID for an unknown field
    or for types that do not fit."""
    if not isinstance(params, list | tuple):
        raise Refused("FILTER_PARAMS", "parameters are a list", "params")
    if len(params) != found.placeholders:
        raise Refused("FILTER_PARAMS", f"the filter has {found.placeholders} placeholders and {len(params)} parameters came", "params")
    for number, one in enumerate(params, 1):
        if not _is_param(one):
            raise Refused("FILTER_PARAMS", f"${number} is no text of at most {PARAM_LENGTH_MAX} characters, whole number of 64 bits or truth", "params")
    if found.node is None:
        return Bound(kind, None)
    return Bound(kind, _Binder(_types(found, kind, tuple(type_of(one) for one in params)), kind, params).tree(found.node))


@lru_cache(maxsize=256)
def _types(found: Filter, kind: str, given: tuple[Type, ...]) -> Types:
    """A filter is asked again and again with other parameters of the same types."""
    assert found.node is not None, "what matches everything compares nothing"
    return Types(found.node, kind, lambda one: given[one.number - 1])


def _is_param(one: Any) -> bool:
    if isinstance(one, str):
        return len(one) <= PARAM_LENGTH_MAX and "\0" not in one and not half_characters(one)
    return isinstance(one, int) and -(2**63) <= one < 2**63


class _Binder:
    def __init__(self, types: Types, kind: str, params: Sequence[Any]) -> None:
        self._kind: Final = kind
        self._params: Final = params
        self._types: Final = types

    def tree(self, node: Node) -> Tree:
        match node:
            case Both():
                return Group(node.all, tuple(self.tree(part) for part in node.parts))
            case Not():
                return Negation(self.tree(node.inner))
            case Scope():
                kind, params = scope_kind(node, self._kind), self._params
                inner = _Binder(Types(node.inner, kind, lambda one: type_of(params[one.number - 1])), kind, params)
                return Within(snake(node.name), inner.tree(node.inner))
            case Exists():
                return Known(self._field(node.path, "any"))
            case Among():
                tests = tuple(self._test("=", node.operand, item, node.place) for item in node.items)
                return tests[0] if len(tests) == 1 else Group(False, tests)
            case Compare():
                return self._test(node.op, node.left, node.right, node.place)

    def _test(self, op: str, left: Operand, right: Operand, place: int) -> Test:
        type_ = self._types.of(op, left, right, place) or "any"
        return Test(op, self._side(left, type_, place), self._side(right, type_, place))

    def _side(self, side: Operand, type_: Type | Literal["any"], place: int) -> Field | Value:
        if isinstance(side, Path):
            return self._field(side, type_)
        assert type_ != "any", "a value has a type"
        value = side.value if isinstance(side, Constant) else self._params[side.number - 1]
        return Value(_time(value, side, place) if type_ == "time" else value, type_)

    def _field(self, path: Path, type_: Type | Literal["any"]) -> Field:
        root, *below = self._types.key(path)
        return Field(root, tuple(below), type_)


def _time(value: Any, side: Constant | Placeholder, place: int) -> datetime:
    if (time := time_of(value)) is not None:
        return time
    why = "a time is written 2018-01-01T00:00:00Z, or with its offset"
    if isinstance(side, Placeholder):
        raise Refused("FILTER_PARAMS", f"${side.number}: {why}", "params")
    raise invalid(why, place)
