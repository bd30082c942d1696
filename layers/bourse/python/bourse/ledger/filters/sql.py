"""A filter as a condition of SQL: fixed fragments chosen by its tree, and parameters for everything somebody wrote."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

import orjson

from bourse.ledger.filters.bind import Bound, Field, Group, Known, Negation, Test, Tree, Value, Within

Columns = Mapping[str, LiteralString]
"""Root field -> the expression that gives it: text, bigint, timestamptz or jsonb. A scope -> a query with {} for its inner condition."""
_OPS: Final[dict[str, LiteralString]] = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_READ: Final[dict[str, tuple[LiteralString, LiteralString]]] = {
    "text": ("string", '(#) collate "C"'),
    "number": ("number", "(#)::numeric"),
    "truth": ("boolean", "(#)::boolean"),
    "time": ("string", "books.as_time(#)"),
}
"""Type -> what jsonb calls it, and how its text is read."""


@dataclass(slots=True)
class Sql:
    """A condition and its parameters, in the order of their %s."""

    text: LiteralString
    params: list[Any] = field(default_factory=list)


def condition(bound: Bound, columns: Columns, inner: Mapping[str, Columns] | None = None) -> Sql:
    """The condition; `true` where the filter asks nothing. `inner`: scope -> its columns."""
    made = Sql("true")
    if bound.tree is not None:
        made.text = _Writer(columns, inner or {}, made.params).tree(bound.tree)
    return made


class _Writer:
    def __init__(self, columns: Columns, inner: Mapping[str, Columns], params: list[Any]) -> None:
        self._columns: Final = columns
        self._inner: Final = inner
        self._params: Final = params

    def tree(self, tree: Tree) -> LiteralString:
        match tree:
            case Group():
                word: LiteralString = " and " if tree.all else " or "
                return "(" + word.join([self.tree(part) for part in tree.parts]) + ")"
            case Negation():
                return "(not " + self.tree(tree.inner) + ")"
            case Within():
                before, after = self._columns[tree.scope].split("{}")
                return before + _Writer(self._inner[tree.scope], {}, self._params).tree(tree.inner) + after
            case Known():
                return "(" + self._there(tree.field) + ")"
            case Test():
                return self._test(tree)

    def _test(self, test: Test) -> LiteralString:
        """Equality of a tag with a value is containment, which an index of tags answers; what is missing makes it false, never null."""
        sides = (test.left, test.right)
        tag = next((one for one in sides if isinstance(one, Field) and one.below), None)
        value = next((one for one in sides if isinstance(one, Value)), None)
        if test.op == "=" and tag is not None and value is not None and value.type != "time":
            wanted: Any = value.value
            for name in reversed(tag.below):
                wanted = {name: wanted}
            self._params.append(orjson.dumps(wanted).decode())
            return "coalesce(" + self._columns[tag.root] + " @> %s::jsonb, false)"
        left = self._side(test.left)
        right = self._side(test.right)
        return "coalesce(" + left + " " + _OPS[test.op] + " " + right + ", false)"

    def _side(self, side: Field | Value) -> LiteralString:
        if isinstance(side, Value):
            self._params.append(side.value)
            casts: dict[str, LiteralString] = {"text": '%s::text collate "C"', "number": "%s::numeric", "truth": "%s::boolean", "time": "%s::timestamptz"}
            return casts[side.type]
        column = self._columns[side.root]
        if not side.below:
            return column + (' collate "C"' if side.type == "text" else "")
        kind, read = _READ[side.type]
        path = list(side.below)
        self._params.extend((path, path))
        return "case when jsonb_typeof(" + column + " #> %s::text[]) = '" + kind + "' then " + read.replace("#", column + " #>> %s::text[]") + " end"

    def _there(self, found: Field) -> LiteralString:
        column = self._columns[found.root]
        if not found.below:
            return column + " is not null"
        self._params.append(list(found.below))
        return "coalesce(jsonb_typeof(" + column + " #> %s::text[]), 'null') <> 'null'"


def group_value(root: str, below: tuple[str, ...], columns: Columns) -> Sql:
    """The value of a path to group by, as jsonb; null where it is missing."""
    column = columns[root]
    if not below:
        return Sql("to_jsonb(" + column + ")")
    return Sql("nullif(" + column + " #> %s::text[], 'null')", [list(below)])
