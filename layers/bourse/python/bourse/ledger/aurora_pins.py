"""What everything a filter finds must have: the accounts, flavors and tag sets it names, so that a read begins there and not with every row.

Pins are necessary, not sufficient: the whole filter is still asked of what they leave. Only what holds under every AND, and in every branch of an OR,
is a pin; below a NOT there is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal, LiteralString, TypeVar

from bourse.ledger.filters import Bound, Sql
from bourse.ledger.filters.bind import Field, Group, Negation, Test, Tree, Value, Within

if TYPE_CHECKING:
    from bourse.aws.reading import Reader

Target = Literal["account", "source", "destination", "flavor", "tagset", "txn", "type"]


Side = TypeVar("Side", Field, Value)


@dataclass(frozen=True, slots=True)
class Pin:
    """The target is one of those with these names, or with one of these terms (see `books.term`)."""

    target: Target
    by: Literal["name", "term"]
    values: frozenset[Any]


_NAMES: Final[dict[str, dict[str, Target]]] = {
    "tokens": {"account_id": "account", "flavor_id": "flavor"},
    "actions": {
        "id": "txn",
        "transaction_id": "txn",
        "source_account_id": "source",
        "destination_account_id": "destination",
        "flavor_id": "flavor",
        "type": "type",
    },
}
_TAGS: Final[dict[str, dict[tuple[str, ...], Target]]] = {
    "tokens": {("account_tags",): "account", ("flavor_tags",): "flavor", ("tags",): "tagset"},
    "actions": {("tags",): "tagset", ("snapshot", "action_tags"): "tagset"},
}
"""Kind -> where its tags lie -> whose they are now. Other snapshots are of what tags were, and say nothing of what they are."""


def pins_of(bound: Bound) -> tuple[list[Pin], Bound]:
    """The pins of a filter, in its order, and what is still to be asked of what they leave: all but equality with a name, which a pin is in full."""
    pins: list[Pin] = []
    rest: list[Tree] = []
    for part in _conjuncts(bound.tree) if bound.tree is not None else ():
        found = _pins(part, bound.kind)
        pins += found
        if not _is_in_full(part, found):
            rest.append(part)
    return pins, Bound(bound.kind, Group(True, tuple(rest)) if rest else None)


def _conjuncts(tree: Tree) -> list[Tree]:
    return [one for part in tree.parts for one in _conjuncts(part)] if isinstance(tree, Group) and tree.all else [tree]


def _is_in_full(part: Tree, found: Sequence[Pin]) -> bool:
    """Whether a part says no more than its pin: a name is equal, or one of some."""
    tests = part.parts if isinstance(part, Group) else (part,)
    fields = [_side_of(one, Field) if isinstance(one, Test) else None for one in tests]
    return len(found) == 1 and found[0].by == "name" and all(one is not None and one.root != "id" for one in fields)


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


def _side_of(test: Test, kind: type[Side]) -> Side | None:
    if isinstance(test.left, kind):
        return test.left
    return test.right if isinstance(test.right, kind) else None


def _equal(test: Test, kind: str) -> list[Pin]:
    field, value = _side_of(test, Field), _side_of(test, Value)
    if field is None or value is None or isinstance(value.value, datetime):
        return []
    if not field.below:
        named = _NAMES.get(kind, {}).get(field.root)
        text: Any = str(value.value).rpartition("/")[0] if field.root == "id" else value.value
        return [Pin(named, "name", frozenset([text]))] if named else []
    path = (field.root, *field.below)
    for where, target in _TAGS.get(kind, {}).items():
        if path[: len(where)] == where and len(path) > len(where):
            return [Pin(target, "term", frozenset([term_of(path[len(where) :], value.value)]))]
    return []


def term_of(path: Sequence[str], value: str | int | bool) -> int:
    """As `books.terms_of` hashes a value of tags by its path."""
    type_, text = ("boolean", str(value).lower()) if isinstance(value, bool) else ("number", str(value)) if isinstance(value, int) else ("string", value)
    hashed = sha256(f"{''.join(f'/{name}' for name in path)}={type_}:{text}".encode()).digest()
    return int.from_bytes(hashed[:8], "big", signed=True)


_REMEMBERED_MAX: Final = 20_000
_FEW: Final = 64
_ONE_MORE: Final[LiteralString] = "65"
"""Up to so many, and one more to know, are looked up before they are asked for, so that the plan is made for these and not for any."""
_LOTS: Final[Mapping[Target, LiteralString]] = {"account": " and l.account_no", "flavor": " and l.flavor_no", "tagset": " and l.tagset_no"}
_MOVES: Final[Mapping[Target, LiteralString]] = {
    "source": " and s.account_no",
    "destination": " and d.account_no",
    "flavor": " and s.flavor_no",
    "tagset": " and m.tagset_no <> 0 and m.tagset_no",
    "txn": " and m.txn_no",
    "type": " and m.type",
}
_NAMED: Final[Mapping[Target, LiteralString]] = {
    "account": "array(select account_no from books.account where account_id = any(%s))",
    "source": "array(select account_no from books.account where account_id = any(%s))",
    "destination": "array(select account_no from books.account where account_id = any(%s))",
    "flavor": "array(select flavor_no from books.flavor where flavor_id = any(%s))",
    "txn": "array(select txn_no from books.txn where txn_id = any(%s))",
    "type": "array(select left(type, 1) from unnest(%s::text[]) type where type in ('issue', 'transfer', 'retire'))",
}
_ACCOUNT: Final[LiteralString] = " and l.account_no = (select account_no from books.account where account_id = %s)"
_ONE_OF: Final[Mapping[Target, LiteralString]] = {"account": " = %s::bigint", "type": ' = %s::"char"'}
_ANY_OF: Final[Mapping[Target, LiteralString]] = {"account": " = any(%s::bigint[])", "type": ' = any(%s::"char"[])'}
_TERMED: Final[Mapping[Target, LiteralString]] = {
    "account": "select no from books.term where what = 'a' and term = any(%s::bigint[])",
    "flavor": "select no from books.term where what = 'f' and term = any(%s::bigint[])",
    "tagset": "select no from books.term where what = 't' and term = any(%s::bigint[])",
}


PinNumbers = dict[Pin, list[Any] | None]
"""What a tenant's pins are in numbers: those of names, which never change, and None for tags that too many have. Only of what was committed."""


class Pinned:
    """What one environment knows of the pins of its tenants."""

    def __init__(self) -> None:
        self._known: Final[dict[str, PinNumbers]] = {}

    def of(self, tenant_id: str) -> PinNumbers:
        known = self._known.setdefault(tenant_id, {})
        if len(known) > _REMEMBERED_MAX:
            known.clear()
        return known


def lots_with(cursor: "Reader", pins: Sequence[Pin], known: PinNumbers) -> Sql:
    """The pins as conditions on lots `l`. Of a named account the plan needs no number: it has about as many lots as others."""
    inner = [pin for pin in pins if pin.target == "account" and pin.by == "name" and pin not in known]
    others = [pin for pin in pins if pin not in inner]
    numbers = pin_numbers(cursor, others, known)
    made = _with(others, numbers, _LOTS, named=bool(inner))
    for pin in inner:
        made.text += " and l.account_no = any(" + _NAMED["account"] + ")" if len(pin.values) > 1 else _ACCOUNT
        made.params.append(sorted(pin.values) if len(pin.values) > 1 else next(iter(pin.values)))
    return made


def moves_with(cursor: "Reader", pins: Sequence[Pin], known: PinNumbers) -> Sql:
    """The pins as conditions on moves `m` and the lots `s` and `d` they are between."""
    return _with(pins, pin_numbers(cursor, pins, known), _MOVES)


def moves_by(pins: Sequence[Pin], numbers: PinNumbers) -> Sql:
    """`moves_with` for some of the pins whose numbers are looked up already."""
    return _with(pins, numbers, _MOVES)


def pin_numbers(cursor: "Reader", pins: Sequence[Pin], known: PinNumbers) -> PinNumbers:
    """Each pin's numbers, None for too many; those that are not known are looked up together."""
    found = {pin: known[pin] for pin in pins if pin in known}
    unknown = [pin for pin in pins if pin not in found]
    if unknown:
        sources: list[LiteralString] = [
            _NAMED[pin.target] if pin.by == "name" else "array(" + _TERMED[pin.target] + " limit " + _ONE_MORE + ")" for pin in unknown
        ]
        row = cursor.execute("select " + ", ".join(sources), [sorted(pin.values) for pin in unknown]).fetchone()
        assert row is not None, "a select of values has a row"
        for pin, numbers in zip(unknown, row, strict=True):
            few = pin.by == "name" or len(numbers) <= _FEW
            found[pin] = numbers if few else None
            if len(pin.values) == 1 and (not few or pin.by == "name") and numbers:
                known[pin] = found[pin]
    return found


def _with(pins: Sequence[Pin], found: PinNumbers, columns: Mapping[Target, LiteralString], *, named: bool = False) -> Sql:
    """What there are few of is asked for by number; of many only where nothing is named, because it costs a look-up for each row."""
    made = Sql("")
    named = named or any(numbers is not None for numbers in found.values())
    for pin in pins:
        numbers = found[pin]
        if numbers is not None:
            one, of = (numbers[0], _ONE_OF) if len(numbers) == 1 else (numbers, _ANY_OF)  # what is equal to one number, the planner counts once
            made.text += columns[pin.target] + of.get(pin.target, of["account"])
            made.params.append(one)
        elif not named:
            made.text += columns[pin.target] + " in (" + _TERMED[pin.target] + ")"
            made.params.append(sorted(pin.values))
    return made


def split_by_fields(bound: Bound, fields: frozenset[str]) -> tuple[Bound, Bound]:
    """A filter in two: what it asks of these fields alone, and the rest."""
    parts = _conjuncts(bound.tree) if bound.tree is not None else []
    halves = [[part for part in parts if (_roots(part) <= fields) is inner] for inner in (True, False)]
    inner, outer = (Bound(bound.kind, Group(True, tuple(half)) if half else None) for half in halves)
    return inner, outer


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
