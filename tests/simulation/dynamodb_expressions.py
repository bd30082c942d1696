"""DynamoDB's expressions, as far as our adapters write them: read once, kept, and answered about any item.

A name or value that is used and not given, or given and not used, is refused as DynamoDB refuses it; what is no part of this grammar is an
AssertionError that names it, so that whoever writes something new teaches it to the simulation.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

Item = Mapping[str, Any]
Holds = Callable[[Item, Item, Item], bool]
"""Of an item, the names behind `#name` and the values behind `:value`."""
Tree = tuple[Any, ...]
_TOKEN: Final = re.compile(r"\s*([#:]?[A-Za-z_]\w*|<=|>=|[=<>(),]|\S)")
_NONE: Final = frozenset[str]()
seen: Final[set[str]] = set()
"""Every attribute that was named without a `#`: none may be a word that DynamoDB keeps for itself."""


class Malformed(Exception):
    """DynamoDB refuses the request: ValidationException, with this text."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition or filter. `tree` is what was read: (operator, attribute, values...) or ("and" | "or", one, other)."""

    tree: Tree
    names: frozenset[str]
    values: frozenset[str]
    holds: Holds


@dataclass(frozen=True, slots=True)
class Change:
    """SET of an update: attribute -> value, as they are named in the expression."""

    sets: tuple[tuple[str, str], ...]
    names: frozenset[str]
    values: frozenset[str]


@cache
def condition(text: str) -> Condition:
    """A condition, key condition or filter: = < <= > >= between begins_with attribute_exists attribute_not_exists, and, or, brackets."""
    tokens = _Tokens(text)
    tree = _either(tokens)
    tokens.end()
    return Condition(tree, tokens.names, tokens.values, _holds(tree))


@cache
def change(text: str) -> Change:
    """SET name = :value, ..."""
    tokens, sets = _Tokens(text), []
    tokens.expect("set")
    while True:
        name = tokens.attribute()
        tokens.expect("=")
        sets.append((name, tokens.value()))
        if not tokens.next_is(","):
            break
    tokens.end()
    return Change(tuple(sets), tokens.names, tokens.values)


@cache
def projection(text: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """The attributes of a projection, and which of them are `#names`."""
    tokens = _Tokens(text)
    attributes = [tokens.attribute()]
    while tokens.next_is(","):
        attributes.append(tokens.attribute())
    tokens.end()
    return tuple(attributes), tokens.names


def check_use(names: Mapping[str, Any] | None, values: Mapping[str, Any] | None, *used: Condition | Change | None, shown: frozenset[str] = _NONE) -> None:
    """Every name and value that is given is used, and the other way round. Raises Malformed."""
    wanted_names, wanted_values = shown, _NONE
    for one in used:
        if one is not None:
            wanted_names, wanted_values = wanted_names | one.names, wanted_values | one.values
    for what, given, wanted in (("Names", names, wanted_names), ("Values", values, wanted_values)):
        if given is None:
            if wanted:
                raise Malformed(f"ExpressionAttribute{what}: none is given, used {sorted(wanted)}")
        elif not given or given.keys() != wanted:
            raise Malformed(f"ExpressionAttribute{what}: given {sorted(given)}, used {sorted(wanted)}")


def number(text: str) -> int:
    """An N. Our numbers are whole, of at most 38 digits."""
    assert text.lstrip("-").isdigit(), f"the simulation's DynamoDB knows whole numbers only, not {text!r}"
    return int(text)


class _Tokens:
    """A text, word by word, and which names and values were met."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words: Iterator[str] = (found.group(1) for found in _TOKEN.finditer(text))
        self.names, self.values = frozenset[str](), frozenset[str]()
        self._next: str | None = next(self._words, None)

    def take(self) -> str:
        word = self._next
        assert word is not None, f"this expression ends too early: {self._text!r}"
        self._next = next(self._words, None)
        return word

    def next_is(self, wanted: str) -> bool:
        """Take the next word if it is this one."""
        if self._next is None or self._next.lower() != wanted:
            return False
        self.take()
        return True

    def expect(self, wanted: str) -> None:
        assert self.next_is(wanted), f"the simulation's DynamoDB expected {wanted!r} before {self._next!r} in {self._text!r}"

    def attribute(self) -> str:
        word = self.take()
        assert word[0] == "#" or word[0].isalpha() or word[0] == "_", f"the simulation's DynamoDB does not know {word!r} in {self._text!r}"
        if word[0] == "#":
            self.names |= {word}
        else:
            seen.add(word)
        return word

    def value(self) -> str:
        word = self.take()
        assert word[0] == ":", f"the simulation's DynamoDB wants a value, not {word!r} in {self._text!r}"
        self.values |= {word}
        return word

    def end(self) -> None:
        assert self._next is None, f"the simulation's DynamoDB does not know {self._next!r} in {self._text!r}"


def _either(tokens: _Tokens) -> Tree:
    tree = _both(tokens)
    while tokens.next_is("or"):
        tree = ("or", tree, _both(tokens))
    return tree


def _both(tokens: _Tokens) -> Tree:
    tree = _single(tokens)
    while tokens.next_is("and"):
        tree = ("and", tree, _single(tokens))
    return tree


def _single(tokens: _Tokens) -> Tree:
    if tokens.next_is("("):
        tree = _either(tokens)
        tokens.expect(")")
        return tree
    for function in ("attribute_exists", "attribute_not_exists", "begins_with"):
        if tokens.next_is(function):
            tokens.expect("(")
            name, values = tokens.attribute(), []
            if function == "begins_with":
                tokens.expect(",")
                values.append(tokens.value())
            tokens.expect(")")
            return (function, name, *values)
    name = tokens.attribute()
    if tokens.next_is("between"):
        lowest = tokens.value()
        tokens.expect("and")
        return ("between", name, lowest, tokens.value())
    operator = tokens.take()
    assert operator in _COMPARES, f"the simulation's DynamoDB does not know {operator!r} in {tokens._text!r}"
    return (operator, name, tokens.value())


_COMPARES: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": lambda one, other: one == other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def _holds(tree: Tree) -> Holds:
    operator, *of = tree
    if operator in {"and", "or"}:
        one, other = _holds(of[0]), _holds(of[1])
        if operator == "and":
            return lambda item, names, values: one(item, names, values) and other(item, names, values)
        return lambda item, names, values: one(item, names, values) or other(item, names, values)
    name = of[0]
    if operator in {"attribute_exists", "attribute_not_exists"}:
        wanted = operator == "attribute_exists"
        return lambda item, names, values: (names.get(name, name) in item) is wanted
    return lambda item, names, values: _compared(operator, item.get(names.get(name, name)), [values[one] for one in of[1:]])


def _compared(operator: str, held: Any, values: list[Any]) -> bool:
    """What is not there, or of another type, compares with nothing."""
    if held is None or any(held.keys() != value.keys() for value in values):
        return False
    [(kind, one)] = held.items()
    [others] = [[value[kind] for value in values]]
    if kind == "N":
        one, others = number(one), [number(other) for other in others]
    if operator == "begins_with":
        return bool(one.startswith(others[0]))
    if operator == "between":
        return bool(others[0] <= one <= others[1])
    return _COMPARES[operator](one, others[0])
