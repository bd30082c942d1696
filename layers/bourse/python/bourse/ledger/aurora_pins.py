"""What everything a filter finds must have: the accounts, flavors and tag sets it names, so that a read begins there and not with every row.

Pins are necessary, not sufficient: the whole filter is still asked of what they leave. Only what holds under every AND, and in every branch of an OR,
is a pin; below a NOT there is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal, LiteralString

from bourse.ledger.filters import Bound, Sql
from bourse.ledger.filters.bind import Field, Group, Negation, Test, Tree, Value, Within

Target = Literal["account", "flavor", "tagset", "txn"]


@dataclass(frozen=True, slots=True)
class Pin:
    """The target is one of those with these names, or with one of these terms (see `books.term`)."""

    target: Target
    by: Literal["name", "term"]
    values: frozenset[Any]


_NAMES: Final[dict[str, dict[str, Target]]] = {"tokens": {"account_id": "account", "flavor_id": "flavor"}, "actions": {"id": "txn"}}
_TAGS: Final[dict[str, dict[tuple[str, ...], Target]]] = {
    "tokens": {("account_tags",): "account", ("flavor_tags",): "flavor", ("tags",): "tagset"},
    "actions": {("tags",): "tagset", ("snapshot", "action_tags"): "tagset"},
}
"""Kind -> where its tags lie -> whose they are now. Other snapshots are of what tags were, and say nothing of what they are."""


def pins_of(bound: Bound) -> list[Pin]:
    """The pins of a filter, in its order."""
    return _pins(bound.tree, bound.kind) if bound.tree is not None else []


def _pins(tree: Tree, kind: str) -> list[Pin]:
    match tree:
        case Group(all=True):
            return [pin for part in tree.parts for pin in _pins(part, kind)]
        case Group():
            first, *others = [{(pin.target, pin.by): pin for pin in reversed(_pins(part, kind))} for part in tree.parts]
            shared = [key for key in first if all(key in other for other in others)]
            return [Pin(*key, frozenset().union(first[key].values, *(other[key].values for other in others))) for key in shared]
        case Test(op="="):
            return _equal(tree, kind)
        case Negation() | Within() | _:
            return []


def _equal(test: Test, kind: str) -> list[Pin]:
    field = next((side for side in (test.left, test.right) if isinstance(side, Field)), None)
    value = next((side for side in (test.left, test.right) if isinstance(side, Value)), None)
    if field is None or value is None or isinstance(value.value, datetime):
        return []
    path = (field.root, *field.below)
    if not field.below:
        named = _NAMES.get(kind, {}).get(field.root)
        text = str(value.value).rpartition("/")[0] if named == "txn" else value.value
        return [Pin(named, "name", frozenset([text]))] if named else []
    for where, target in _TAGS.get(kind, {}).items():
        if path[: len(where)] == where and len(path) > len(where):
            return [Pin(target, "term", frozenset([term_of(path[len(where) :], value.value)]))]
    return []


def term_of(path: Sequence[str], value: str | int | bool) -> int:
    """As `books.terms_of` hashes a value of tags by its path."""
    type_, text = ("boolean", str(value).lower()) if isinstance(value, bool) else ("number", str(value)) if isinstance(value, int) else ("string", value)
    hashed = sha256(f"{''.join(f'/{name}' for name in path)}={type_}:{text}".encode()).digest()
    return int.from_bytes(hashed[:8], "big", signed=True)


_LOTS: Final[Mapping[tuple[Target, str], LiteralString]] = {
    ("account", "name"): " and l.account_no in (select account_no from books.account where account_id = any(%s))",
    ("flavor", "name"): " and l.flavor_no in (select flavor_no from books.flavor where flavor_id = any(%s))",
    ("account", "term"): " and l.account_no in (select no from books.term where what = 'a' and term = any(%s::bigint[]))",
    ("flavor", "term"): " and l.flavor_no in (select no from books.term where what = 'f' and term = any(%s::bigint[]))",
    ("tagset", "term"): " and l.tagset_no in (select no from books.term where what = 't' and term = any(%s::bigint[]))",
}
_MOVES: Final[Mapping[tuple[Target, str], LiteralString]] = {
    ("tagset", "term"): " and m.tagset_no <> 0 and m.tagset_no in (select no from books.term where what = 't' and term = any(%s::bigint[]))",
    ("txn", "name"): " and x.txn_id = any(%s)",
}


def lots_with(pins: Sequence[Pin]) -> Sql:
    """The pins as conditions on lots `l`."""
    return _with(pins, _LOTS)


def moves_with(pins: Sequence[Pin]) -> Sql:
    """The pins as conditions on moves `m` and their transactions `x`."""
    return _with(pins, _MOVES)


def _with(pins: Sequence[Pin], conditions: Mapping[tuple[Target, str], LiteralString]) -> Sql:
    made = Sql("")
    for pin in pins:
        if (text := conditions.get((pin.target, pin.by))) is not None:
            made.text += text
            made.params.append(sorted(pin.values))
    return made


def roots_of(bound: Bound) -> frozenset[str]:
    """The fields a filter asks of."""
    return frozenset(_roots(bound.tree)) if bound.tree is not None else frozenset()


def _roots(tree: Tree) -> set[str]:
    match tree:
        case Group():
            return {root for part in tree.parts for root in _roots(part)}
        case Negation() | Within():
            return _roots(tree.inner)
        case Test():
            return {side.root for side in (tree.left, tree.right) if isinstance(side, Field)}
        case _:
            return {tree.field.root}
