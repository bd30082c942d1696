"""Finds the items of a list that only grows by their keys."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Index(Generic[T]):
    """What the list has under each key: read on to its end when it is asked, so that whoever asks nothing pays nothing."""

    def __init__(self, items: Sequence[T], keys_of: Callable[[T], Iterable[Hashable]]) -> None:
        self._items: Final = items
        self._keys_of: Final = keys_of
        self._read = 0
        self._found: Final[dict[Hashable, list[T]]] = {}

    def of(self, key: Hashable) -> list[T]:
        """In the order of the list."""
        for place in range(self._read, len(self._items)):
            keys = list(self._keys_of(self._items[place]))
            self._read = place + 1
            for one in keys:
                self._found.setdefault(one, []).append(self._items[place])
        return self._found.get(key, [])
