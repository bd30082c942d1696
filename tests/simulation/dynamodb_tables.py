"""Tables of the simulation's DynamoDB: items by their keys, in the order of their sort keys, and every write there was."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.simulation.dynamodb_expressions import Malformed, number

Item = dict[str, Any]
Key = tuple[str, str]
LAST: Final = chr(0x10FFFF)
"""Comes after every sort key."""
_KEY_OCTETS_MAX: Final = (2_048, 1_024)
_NOTHING: Final[Mapping[str, Any]] = {}


class Table:
    """The items of a table by their keys. `written` is each write there was: the key, the item before, and after it."""

    def __init__(self, name: str, keys: tuple[str, ...] = ("pk", "sk")) -> None:
        self.name: Final = name
        self.keys: Final = keys
        self.items: Final[dict[Key, Item]] = {}
        self.written: Final[list[tuple[Key, Item | None, Item | None]]] = []
        self._order: Final[dict[str, list[str]]] = {}

    def key_of(self, given: Mapping[str, Any], *, whole: bool) -> Key:
        """The key in an item, or, when it is the `whole`, the key that was given. Raises Malformed."""
        if whole and len(given) != len(self.keys):
            raise Malformed("The provided key element does not match the schema")
        key = []
        for name, most in zip(self.keys, _KEY_OCTETS_MAX, strict=False):
            value = given.get(name, _NOTHING).get("S")
            if not value or len(value) * 4 > most < len(value.encode()):
                raise Malformed(f"One or more parameter values are not valid: the key {name} is {value!r:.50}")
            key.append(value)
        return (key[0], key[1] if len(key) == 2 else "")

    def named(self, key: Key) -> Item:
        return {name: {"S": value} for name, value in zip(self.keys, key, strict=False)}

    def write(self, key: Key, item: Item | None) -> None:
        before = self.items.get(key)
        self.written.append((key, before, item))
        if item is None:
            if before is not None:
                del self.items[key]
                self._order[key[0]].remove(key[1])
            return
        if before is None:
            insort(self._order.setdefault(key[0], []), key[1])
        self.items[key] = item

    def between(self, pk: str, first: str, last: str) -> Sequence[Key]:
        """The keys of a partition from `first` to `last`, in order of their UTF-8 octets, which is that of their characters."""
        order = self._order.get(pk, [])
        return [(pk, sk) for sk in order[bisect_left(order, first) : bisect_right(order, last)]]

    def earlier(self, writes: int) -> dict[Key, Item | None]:
        """What was before the last so many writes, where they changed it."""
        return {key: before for key, before, _ in reversed(self.written[-writes:])}


def kept(item: Item) -> Item:
    """An item as it is kept: numbers without leading zeros, octets as octets."""
    return {name: _kept_value(value) for name, value in item.items()}


def _kept_value(value: Item) -> Item:
    if len(value) != 1:
        raise Malformed("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
    [(kind, held)] = value.items()
    if kind == "B" and isinstance(held, bytes):
        return value
    if isinstance(held, str) and kind in {"S", "N"}:
        return value if kind == "S" else {"N": str(number(held))}
    raise AssertionError(f"the simulation's DynamoDB does not know {kind} of {type(held).__name__}")


def octets_of(item: Mapping[str, Any]) -> int:
    """The size of an item: names, and values by their type (a number about half an octet a digit)."""
    total = 0
    for name, value in item.items():
        [(kind, held)] = value.items()
        total += len(name) + (len(held) if kind == "B" or held.isascii() else len(held.encode())) if kind != "N" else len(name) + len(held) // 2 + 2
    return total
