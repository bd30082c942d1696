"""A filter as a condition of SQL: fixed fragments chosen by its tree, and parameters for everything somebody wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString, TypeGuard

import orjson

from bourse.ledger.filters.bind import Bound, Field, Group, Known, Negation, Test, Tree, Value, Within
from bourse.ledger.filters.fields import TIME_ROOTS
from bourse.ledger.filters.groups import Grouping, Having
from bourse.ledger.filters.times import TIME_PATTERN

Columns = Mapping[str, LiteralString]
"""Root field -> the expression that gives it: text, bigint, timestamptz or jsonb. A scope -> a query with {} for its inner condition."""
_OPS: Final[dict[str, LiteralString]] = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_VALUES: Final[dict[str, LiteralString]] = {"text": "%s::text", "number": "%s::bigint", "truth": "%s::boolean", "time": "%s::timestamptz"}
_TAGS: Final[dict[str, LiteralString]] = {
    "text": "case when jsonb_typeof({json}) = 'string' then {text} end",
    "number": "case when jsonb_typeof({json}) = 'number' then ({text})::numeric end",
    "truth": "case when jsonb_typeof({json}) = 'boolean' then ({text})::boolean end",
    "time": "case when jsonb_typeof({json}) = 'string' and {text} ~ '^(" + TIME_PATTERN + ")$' then books.as_time({text}) end",
    "any": "case when jsonb_typeof({json}) in ('string', 'number', 'boolean') then {json} end",
}
"""Type -> how a tag of it is read: null where the tag is missing or of another type."""


_BUCKETS: Final[dict[str, LiteralString]] = {"day": "'YYYY-MM-DD'", "week": """'IYYY-"W"IW'""", "month": "'YYYY-MM'", "year": "'YYYY'"}


@dataclass(slots=True)
class Sql:
    """A condition and its parameters, in the order of their %s."""

    text: LiteralString
    params: list[Any] = field(default_factory=list)


def condition(bound: Bound, columns: Columns, inner: Mapping[str, Columns] | None = None) -> Sql:
    """The condition: true for the objects that match, false or null for all others; `true` where the filter asks nothing. `inner`: scope -> its columns."""
    made = Sql("true")
    if bound.tree is not None:
        made.text = _Writer(columns, inner or {}, made.params).tree(bound.tree)
    return made


def group_value(grouping: Grouping, columns: Columns) -> Sql:
    """The value to group by, as jsonb; null where it is missing. A time is its text in UTC, to the microsecond."""
    root, below, bucket = grouping
    column = columns[root]
    if bucket:
        time = _TAGS["time"].replace("{json}", _json(column, below)).replace("{text}", _text(column, below)) if below else column
        return Sql("to_jsonb(to_char((" + time + ") at time zone 'UTC', " + _BUCKETS[bucket] + "))", [*below] * (3 if below else 0))
    if root in TIME_ROOTS:
        return Sql("to_jsonb(to_char((" + column + """) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))""")
    if not below:
        return Sql("to_jsonb(" + column + ")")
    return Sql("nullif(" + _json(column, below) + ", 'null')", [*below])


def having_condition(having: Sequence[Having], measures: Mapping[str, LiteralString]) -> Sql:
    """The condition on groups; `measures` says how each is counted. Empty where every group is told."""
    made = Sql("")
    for of, op, value in having:
        made.text += (" and " if made.text else " having ") + measures[of] + " " + _OPS[op] + " %s::numeric"
        made.params.append(value)
    return made


class _Writer:
    """A comparison is null where something is missing. That is as good as false for AND, OR and WHERE, and leaves the comparison bare, as an index
    needs it; only NOT has to make it false first."""

    def __init__(self, columns: Columns, inner: Mapping[str, Columns], params: list[Any]) -> None:
        self._columns: Final = columns
        self._inner: Final = inner
        self._params: Final = params

    def tree(self, tree: Tree) -> LiteralString:
        match tree:
            case Group():
                return self._group(tree)
            case Negation():
                return "(not coalesce(" + self.tree(tree.inner) + ", false))"
            case Within():
                before, after = self._columns[tree.scope].split("{}")
                return before + _Writer(self._inner[tree.scope], {}, self._params).tree(tree.inner) + after
            case Known():
                return self._there(tree.field)
            case Test():
                return self._test(tree)

    def _group(self, group: Group) -> LiteralString:
        """A tag's name is a parameter each time it is written, and a statement has at most 65,535: of a list of times, the tag is written once."""
        times = [] if group.all else [one for one in group.parts if _is_of(one, group.parts[0])]
        if len(times) < 2:
            word: LiteralString = " and " if group.all else " or "
            return "(" + word.join([self.tree(part) for part in group.parts]) + ")"
        rest = [part for part in group.parts if not _is_of(part, group.parts[0])]
        made: LiteralString = "(" + self._side(times[0].left) + " = any(%s::timestamptz[])"
        self._params.append([one.right.value for one in times if isinstance(one.right, Value)])
        for part in rest:
            made += " or " + self.tree(part)
        return made + ")"

    def _test(self, test: Test) -> LiteralString:
        """Equality of a tag with a value is containment, and of a column with a value plain equality: an index answers either."""
        sides = (test.left, test.right)
        tag = next((one for one in sides if isinstance(one, Field) and one.below), None)
        value = next((one for one in sides if isinstance(one, Value)), None)
        if test.op == "=" and tag is not None and value is not None and value.type != "time":
            wanted: Any = value.value
            for name in reversed(tag.below):
                wanted = {name: wanted}
            self._params.append(orjson.dumps(wanted).decode())
            return "((" + self._columns[tag.root] + ") @> %s::jsonb)"
        ordered = test.left.type == "text" and (value is None or test.op not in {"=", "!="})
        octets: LiteralString = ' collate "C"' if ordered else ""
        return "(" + self._side(test.left) + octets + " " + _OPS[test.op] + " " + self._side(test.right) + octets + self._same(test) + ")"

    def _side(self, side: Field | Value) -> LiteralString:
        if isinstance(side, Value):
            self._params.append(side.value)
            return _VALUES[side.type]
        column = self._columns[side.root]
        if not side.below:
            return "(" + column + ")"
        parts = {"json": _json(column, side.below), "text": _text(column, side.below)}
        read = _TAGS[side.type]
        self._params.extend([*side.below] * (read.count("{json}") + read.count("{text}")))
        return "(" + read.replace("{json}", parts["json"]).replace("{text}", parts["text"]) + ")"

    def _same(self, test: Test) -> LiteralString:
        """What is unlike only by its type is not unlike: of two types, nothing is said."""
        if test.left.type != "any" or test.op == "=":
            return ""
        made: LiteralString = ""
        for word, side in ((" and jsonb_typeof(", test.left), (" = jsonb_typeof(", test.right)):
            assert isinstance(side, Field), "a value has a type"
            self._params.extend(side.below)
            made += word + _json(self._columns[side.root], side.below) + ")"
        return made

    def _there(self, found: Field) -> LiteralString:
        column = self._columns[found.root]
        if not found.below:
            return "((" + column + ") is not null)"
        self._params.extend(found.below)
        return "(jsonb_typeof(" + _json(column, found.below) + ") <> 'null')"


def _is_of(tree: Tree, first: Tree) -> TypeGuard[Test]:
    """Whether it asks if the field that the first test is of is this time."""
    return (
        isinstance(tree, Test)
        and isinstance(first, Test)
        and tree.op == "="
        and tree.left == first.left
        and isinstance(tree.right, Value)
        and isinstance(tree.left, Field)
        and tree.left.type == "time"
    )


def _json(column: LiteralString, below: tuple[str, ...]) -> LiteralString:
    """By name after name: `#>` would take a name of digits for a place in a list."""
    arrows: LiteralString = "".join([" -> %s::text" for _ in below])
    return "((" + column + ")" + arrows + ")"


def _text(column: LiteralString, below: tuple[str, ...]) -> LiteralString:
    arrows: LiteralString = "".join([" -> %s::text" for _ in below[:-1]])
    return "((" + column + ")" + arrows + " ->> %s::text)"
