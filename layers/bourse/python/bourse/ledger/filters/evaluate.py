"""Asks an object in memory what a filter asks: the meaning of the language, and the oracle of what is asked of the database."""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bourse.ledger.filters.bind import Bound, Field, Group, Known, Negation, Test, Tree, Value, Within
from bourse.ledger.filters.times import text_of, time_of

Object = Mapping[str, Any]
"""Field -> value: texts, whole numbers, times with their zone, tags as mappings, and the parts of a scope as a list of objects."""
_OPS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matches(bound: Bound, found: Object) -> bool:
    """Whether the object is one of those the filter asks for."""
    return bound.tree is None or _ask(bound.tree, found)


def value_at(found: Object, root: str, below: Sequence[str]) -> Any:
    """The value of a path as sums are grouped by it, None where it is missing. A time is its text in UTC, to the microsecond."""
    value = _at(found, root, below)
    return text_of(value) if isinstance(value, datetime) else value


def _ask(tree: Tree, found: Object) -> bool:
    match tree:
        case Group():
            return all(_ask(part, found) for part in tree.parts) if tree.all else any(_ask(part, found) for part in tree.parts)
        case Negation():
            return not _ask(tree.inner, found)
        case Within():
            return any(_ask(tree.inner, part) for part in found.get(tree.scope, ()))
        case Known():
            return _at(found, tree.field.root, tree.field.below) is not None
        case Test():
            left, right = _side(tree.left, found), _side(tree.right, found)
            # Of one type both, which in Python True and 1 are not.
            return left is not None and type(left) is type(right) and _OPS[tree.op](left, right)


def _side(side: Field | Value, found: Object) -> Any:
    """The value of a side in the comparison's type; None where it is missing or of another."""
    if isinstance(side, Value):
        return _octets(side.value)
    value = _at(found, side.root, side.below)
    match side.type:
        case "time":
            return value if isinstance(value, datetime) else time_of(value)
        case "number":
            return value if isinstance(value, int) and not isinstance(value, bool) else None
        case "truth":
            return value if isinstance(value, bool) else None
        case "text":
            return _octets(value) if isinstance(value, str) else None
        case "any":
            return _octets(value) if isinstance(value, str | int) else None


def _octets(value: Any) -> Any:
    """Texts are ordered by their octets, whatever a database's language is."""
    return value.encode() if isinstance(value, str) else value


def _at(found: Object, root: str, below: Sequence[str]) -> Any:
    value: Any = found.get(root)
    for name in below:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
