"""The static types of a filter: one type for a path, the same on both sides of a comparison, known before anything is asked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from bourse.ledger.filters.fields import KINDS, SCOPES, Type, snake, split
from bourse.ledger.filters.parse import Among, Both, Compare, Constant, Exists, Filter, Node, Not, Operand, Path, Placeholder, Scope, invalid

Key = tuple[str, ...]
"""A tag's path: its root field and the names below it."""


def check(found: Filter, kind: str) -> Mapping[int, Type]:
    """What a filter's parameters must be, as far as the filter says: n of $n -> its type, `text` for a time. So a filter can be kept before it has
    any. Raises Refused FILTER_INVALID with the place, for a field the kind does not have and for types that do not fit."""
    wanted: dict[int, Type] = {}
    if found.node is not None:
        _check(found.node, kind, wanted)
    return wanted


def _check(node: Node, kind: str, wanted: dict[int, Type]) -> None:
    types = Types(node, kind, lambda _: None)
    for pair in pairs(node):
        type_ = types.of(*pair)
        for side in pair[1:3]:
            if isinstance(side, Placeholder) and type_ is not None:
                before = wanted.setdefault(side.number, "text" if type_ == "time" else type_)
                if before != ("text" if type_ == "time" else type_):
                    raise invalid(f"${side.number} is used as {before} and as {type_}", pair[3])
    for scope in _scopes(node):
        _check(scope.inner, scope_kind(scope, kind), wanted)


def scope_kind(scope: Scope, kind: str) -> str:
    """The kind of the parts a scope asks. Raises Refused FILTER_INVALID where the kind has no such parts."""
    inner = SCOPES.get((kind, snake(scope.name)))
    if inner is None:
        raise invalid(f"{kind} have no {scope.name[:60]}(...)", scope.place)
    return inner


class Types:
    """The types of the paths in a condition, its scopes left out: they ask other objects. `given` says the type of a parameter, None while it has no value.

    A tag has the type of what it is compared with, also by way of other tags: in `tags.a = tags.b AND tags.b = 1` both are numbers."""

    def __init__(self, node: Node, kind: str, given: Callable[[Placeholder], Type | None]) -> None:
        self._kind: Final = kind
        self._given: Final = given
        self._like: dict[Key, Key] = {}
        self._types: dict[Key, Type] = {}
        self._objects: dict[Key, Path] = {}
        self._keys: dict[tuple[str, ...], Key] = {}
        for path in _paths(node):
            self._meet(path)
        for _op, left, right, place in pairs(node):
            self._learn(left, right, place)
        for op, left, right, place in pairs(node):
            self.of(op, left, right, place)

    def key(self, path: Path) -> Key:
        """Where a path leads. Raises Refused FILTER_INVALID for a field the kind does not have."""
        if (key := self._keys.get(path.names)) is None:
            try:
                root, below = split(path.names, self._kind)
            except ValueError as wrong:
                raise invalid(str(wrong), path.place) from None
            key = self._keys[path.names] = (root, *below)
        return key

    def of(self, op: str, left: Operand, right: Operand, place: int) -> Type | None:
        """The type of a comparison; None where two tags, or placeholders without values, are compared and nothing says what they are."""
        type_ = self._pair(left, right, place)
        for side in (left, right):
            if type_ is None and isinstance(side, Path):
                type_ = self._types.get(self._root(self.key(side)))
        if type_ is None and op not in {"=", "!="} and isinstance(left, Path) and isinstance(right, Path):
            raise invalid("which comes first depends on their type: compare one of them with a value, or write :time", place)
        if type_ == "truth" and op not in {"=", "!="}:
            raise invalid("truths are equal or not, and nothing is between them", place)
        return type_

    def _meet(self, path: Path) -> None:
        key = self.key(path)
        type_ = KINDS[self._kind][key[0]]
        if path.time and type_ not in {"tags", "time"}:
            raise invalid(f"{path.names[0]} is no time", path.place)
        for length in range(2, len(key)):
            self._objects.setdefault(key[:length], path)

    def _learn(self, left: Operand, right: Operand, place: int) -> None:
        type_ = self._pair(left, right, place)
        tags = [self.key(side) for side in (left, right) if isinstance(side, Path) and self._is_tag(side)]
        for key in tags:
            if (inside := self._objects.get(key)) is not None:
                raise invalid(f"{'.'.join(key)} is compared, and {'.'.join(inside.names)} is inside it", inside.place)
        if len(tags) == 2:
            self._join(tags[0], tags[1], place)
        for key in tags:
            if type_ is not None:
                self._be(key, type_, place)

    def _pair(self, left: Operand, right: Operand, place: int) -> Type | None:
        """What the two sides say by themselves: a field, a `:time`, a value. A text beside a time is one."""
        said = {type_ for side in (left, right) if isinstance(side, Path) and (type_ := self._said(side))}
        values = {type_ for side in (left, right) if not isinstance(side, Path) and (type_ := self._value(side))}
        if said == {"time"} and values <= {"text"}:
            return "time"
        if len(said | values) > 1:
            raise invalid(f"{' and '.join(sorted(said | values))} cannot be compared", place)
        return next(iter(said | values), None)

    def _said(self, path: Path) -> Type | None:
        type_ = KINDS[self._kind][self.key(path)[0]]
        if type_ != "tags":
            return type_
        return "time" if path.time else None

    def _value(self, side: Constant | Placeholder) -> Type | None:
        return self._given(side) if isinstance(side, Placeholder) else type_of(side.value)

    def _is_tag(self, path: Path) -> bool:
        return KINDS[self._kind][self.key(path)[0]] == "tags"

    def _root(self, key: Key) -> Key:
        while key in self._like:
            key = self._like[key]
        return key

    def _join(self, one: Key, other: Key, place: int) -> None:
        one, other = self._root(one), self._root(other)
        if one != other:
            self._like[one] = other
            if (type_ := self._types.pop(one, None)) is not None:
                self._be(other, type_, place)

    def _be(self, key: Key, type_: Type, place: int) -> None:
        before = self._types.setdefault(self._root(key), type_)
        if before != type_:
            raise invalid(f"{'.'.join(key)} is used as {before} and as {type_}", place)


def type_of(value: str | int | bool) -> Type:
    if isinstance(value, bool):
        return "truth"
    return "number" if isinstance(value, int) else "text"


def pairs(node: Node) -> Iterator[tuple[str, Operand, Operand, int]]:
    """What is compared with what and where, its scopes left out."""
    match node:
        case Compare():
            yield node.op, node.left, node.right, node.place
        case Among():
            yield from (("=", node.operand, item, node.place) for item in node.items)
        case _:
            for part in _parts(node):
                yield from pairs(part)


def _paths(node: Node) -> Iterator[Path]:
    sides: Sequence[Operand] = ()
    match node:
        case Compare():
            sides = (node.left, node.right)
        case Among():
            sides = (node.operand, *node.items)
        case Exists():
            sides = (node.path,)
    yield from (side for side in sides if isinstance(side, Path))
    for part in _parts(node):
        yield from _paths(part)


def _scopes(node: Node) -> Iterator[Scope]:
    if isinstance(node, Scope):
        yield node
    for part in _parts(node):
        yield from _scopes(part)


def _parts(node: Node) -> Sequence[Node]:
    if isinstance(node, Both):
        return node.parts
    return (node.inner,) if isinstance(node, Not) else ()
