"""A filter with its parameters, its types checked for a kind of object: what can be asked of an object or of the database."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from bourse.errors import Refused
from bourse.ledger.filters.parse import Among, Both, Compare, Constant, Exists, Filter, Node, Not, Operand, Path, Placeholder, Scope

Type = Literal["text", "number", "truth", "time"]
Root = Literal["text", "number", "truth", "time", "tags"]
_ACTION: Final[dict[str, Root]] = {
    "id": "text",
    "transaction_id": "text",
    "timestamp": "time",
    "recorded_at": "time",
    "type": "text",
    "amount": "number",
    "flavor_id": "text",
    "source_account_id": "text",
    "destination_account_id": "text",
    "tags": "tags",
    "snapshot": "tags",
}
KINDS: Final[dict[str, dict[str, Root]]] = {
    "tokens": {"account_id": "text", "account_tags": "tags", "flavor_id": "text", "flavor_tags": "tags", "tags": "tags", "amount": "number"},
    "actions": _ACTION,
    "transactions": {
        "id": "text",
        "timestamp": "time",
        "recorded_at": "time",
        "sequence_number": "number",
        "kind": "text",
        "tags": "tags",
    },
    "accounts": {"id": "text", "tags": "tags"},
    "flavors": {"id": "text", "tags": "tags"},
}
"""Kind of object -> its fields."""
SCOPES: Final = {("transactions", "actions"): "actions"}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")


@dataclass(frozen=True, slots=True)
class Field:
    """A path of the object: its root field, and the names below it where that is tags. `type` is that of what it is compared with."""

    root: str
    below: tuple[str, ...]
    type: Type


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
    """The field is there."""

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
    if len(params) != found.placeholders:
        raise Refused("FILTER_PARAMS", f"the filter has {found.placeholders} placeholders and {len(params)} parameters came", "params")
    if any(not isinstance(one, str | int) or (isinstance(one, int) and not -(2**63) <= one < 2**63) or "\0" in str(one) for one in params):
        raise Refused("FILTER_PARAMS", "a parameter is a text, a whole number or a truth", "params")
    return Bound(kind, _Binder(kind, params, {}).tree(found.node) if found.node else None)


class _Binder:
    def __init__(self, kind: str, params: Sequence[Any], types: dict[tuple[str, ...], Type]) -> None:
        self._kind = kind
        self._params = params
        self._types = types

    def tree(self, node: Node) -> Tree:
        match node:
            case Both():
                return Group(node.all, tuple(self.tree(part) for part in node.parts))
            case Not():
                return Negation(self.tree(node.inner))
            case Scope():
                if (inner := SCOPES.get((self._kind, snake(node.name)))) is None:
                    raise _invalid(f"{self._kind} have no {node.name}(...)")
                return Within(snake(node.name), _Binder(inner, self._params, {}).tree(node.inner))
            case Exists():
                return Known(self._field(node.path, "text"))
            case Among():
                tests = tuple(self._test("=", node.operand, item) for item in node.items)
                return tests[0] if len(tests) == 1 else Group(False, tests)
            case Compare():
                return self._test(node.op, node.left, node.right)

    def _test(self, op: str, left: Operand, right: Operand) -> Test:
        one, other = (self._value(operand) if not isinstance(operand, Path) else operand for operand in (left, right))
        if not isinstance(one, Path) and not isinstance(other, Path):
            raise _invalid("a comparison names at least one field")
        type_ = self._type_of(one, other)
        if type_ == "truth" and op not in {"=", "!="}:
            raise _invalid("truths are equal or not, and nothing is between them")
        return Test(op, *(self._field(side, type_) if isinstance(side, Path) else _as(side, type_) for side in (one, other)))

    def _value(self, operand: Constant | Placeholder | Path) -> Value:
        assert not isinstance(operand, Path), "paths are no values"
        value = operand.value if isinstance(operand, Constant) else self._params[operand.number - 1]
        return Value(value, "truth" if isinstance(value, bool) else "number" if isinstance(value, int) else "text")

    def _type_of(self, one: Path | Value, other: Path | Value) -> Type:
        declared = [self._declared(side) for side in (one, other) if isinstance(side, Path)]
        known = {type_ for type_ in declared if type_}
        given = {side.type for side in (one, other) if isinstance(side, Value)}
        if known == {"time"} and given <= {"text"}:
            return "time"
        if len(known | given) > 1:
            raise _invalid(f"{' and '.join(sorted(known | given))} cannot be compared")
        for type_ in known | given:
            return type_
        return "text"

    def _declared(self, path: Path) -> Type | None:
        root, _below = self._split(path)
        type_ = KINDS[self._kind][root]
        if type_ != "tags":
            return type_
        return "time" if path.time else None

    def _field(self, path: Path, type_: Type) -> Field:
        root, below = self._split(path)
        if KINDS[self._kind][root] == "tags":
            before = self._types.setdefault((root, *below), type_)
            if before != type_:
                raise _invalid(f"{'.'.join(path.names)} is used as {before} and as {type_}")
        return Field(root, below, type_)

    def _split(self, path: Path) -> tuple[str, tuple[str, ...]]:
        return split(path.names, self._kind)


def split(names: Sequence[str], kind: str) -> tuple[str, tuple[str, ...]]:
    """The root field and the names below it. Raises Refused FILTER_INVALID for a field the kind does not have."""
    root, below = snake(names[0]), tuple(names[1:])
    type_ = KINDS[kind].get(root)
    if type_ is None:
        raise _invalid(f"{kind} have no field {names[0]}: they have {', '.join(KINDS[kind])}")
    if (type_ == "tags") != bool(below):
        raise _invalid(f"{names[0]} {'has tags: name one after a dot' if type_ == 'tags' else 'has nothing below it'}")
    if root == "snapshot":
        below = (snake(below[0]), *below[1:])
    return root, below


def path_of(text: str, kind: str) -> tuple[str, tuple[str, ...]]:
    """A path to group by; a whole `tags` too. Raises Refused GROUP_BY_INVALID."""
    names = text.split(".")
    try:
        if len(names) == 1 and KINDS[kind].get(snake(text)) == "tags":
            return snake(text), ()
        return split(names, kind)
    except Refused as refused:
        raise Refused("GROUP_BY_INVALID", refused.detail, "group_by") from None


def snake(name: str) -> str:
    """accountId and account_id are the same field."""
    return _CAMEL.sub(lambda found: f"_{found[1].lower()}", name)


def time_of(text: Any) -> datetime | None:
    """The time of an RFC 3339 text with its offset, in UTC; None for anything else."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _as(value: Value, type_: Type) -> Value:
    if type_ != "time":
        return value
    if (time := time_of(value.value)) is None:
        raise _invalid("a time is written 2018-01-01T00:00:00Z, or with its offset")
    return Value(time, "time")


def _invalid(why: str) -> Refused:
    return Refused("FILTER_INVALID", why, "filter")


Object = Mapping[str, Any]
