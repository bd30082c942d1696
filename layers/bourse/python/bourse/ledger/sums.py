"""Materialised sums: a question about tokens that was declared under a name, whose answer is kept up to date by whoever posts. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bourse.errors import Refused
from bourse.ledger.books import DeclaredSum
from bourse.ledger.check import check_name
from bourse.ledger.filters import bind, parse, path_of
from bourse.ledger.filters.bind import Field, Group, Known, Negation, Test, Tree, Value
from bourse.ledger.filters.times import TIME_PATTERN

GROUPS_MAX: Final = 8
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_JSON_TYPES: Final = {"text": ["string"], "number": ["number"], "truth": ["boolean"], "any": ["string", "number", "boolean"]}


def check_sum(declared: DeclaredSum) -> list[Any]:
    """The filter as `books.asks` reads it (migrations/0052_materialised_sums.sql). Raises Refused NAME_INVALID, FILTER_INVALID, FILTER_PARAMS,
    GROUP_BY_INVALID, SUM_INVALID."""
    check_name(declared.name, "name")
    tree = bind(parse(declared.filter), "tokens", declared.params).tree
    paths = [path_of(path, "tokens") for path in declared.group_by]
    if len(paths) > GROUPS_MAX:
        raise Refused("GROUP_BY_INVALID", f"a sum has at most {GROUPS_MAX} groups", "group_by")
    if "amount" in {root for root, _ in paths}:
        raise Refused("SUM_INVALID", "a materialised sum is not grouped by the amount", "group_by")
    if "amount" in set(_roots(tree)):
        raise Refused("SUM_INVALID", "which tokens are in a materialised sum does not depend on the amount", "filter")
    return written(tree)


def unknown_sum(name: str) -> Refused:
    return Refused("SUM_UNKNOWN", f"there is no sum {name}", "name")


def _roots(tree: Tree | None) -> Iterator[str]:
    match tree:
        case Group():
            for part in tree.parts:
                yield from _roots(part)
        case Negation():
            yield from _roots(tree.inner)
        case Known():
            yield tree.field.root
        case Test():
            yield from (side.root for side in (tree.left, tree.right) if isinstance(side, Field))


def written(tree: Tree | None) -> list[Any]:
    """A filter's tree as JSON."""
    match tree:
        case None:
            return ["all", []]
        case Group():
            return ["all" if tree.all else "any", [written(part) for part in tree.parts]]
        case Negation():
            return ["not", written(tree.inner)]
        case Known():
            return ["known", [tree.field.root, *tree.field.below]]
        case Test():
            return [tree.op, _side(tree.left), _side(tree.right)]
        case _:
            raise AssertionError("tokens have no parts")


def _side(side: Field | Value) -> dict[str, Any]:
    if isinstance(side, Value):
        return {"value": (side.value - _EPOCH) // timedelta(microseconds=1) if isinstance(side.value, datetime) else side.value}
    found: dict[str, Any] = {"path": [side.root, *side.below]}
    return {**found, "type": "time", "pattern": f"^({TIME_PATTERN})$"} if side.type == "time" else {**found, "types": _JSON_TYPES[side.type]}
