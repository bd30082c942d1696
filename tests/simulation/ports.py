"""A port of the simulated world: the in-memory adapter, with a cut point before and after each call."""

from collections.abc import Callable, Iterator
from typing import Any

Cut = Callable[[str, bool], None]
"""Called with the name of the call, and whether its effect has happened. It may raise, and it may let the world go on."""


class Port:
    """Passes every call on to what it stands for. What a call answers bit by bit is cut at each bit."""

    def __init__(self, name: str, target: Any, cut: Cut, watch: Callable[[str, tuple[Any, ...]], None]) -> None:
        self._name, self._target, self._cut, self._watch = name, target, cut, watch

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._target, method)
        if not callable(found):
            return found
        name, cut, watch = f"{self._name}.{method}", self._cut, self._watch

        def call(*args: Any, **kwargs: Any) -> Any:
            watch(name, args)
            cut(name, False)
            answer = found(*args, **kwargs)
            if isinstance(answer, Iterator):
                return _bit_by_bit(answer, name, cut)
            cut(name, True)
            return answer

        self.__dict__[method] = call
        return call


def _bit_by_bit(answer: Iterator[Any], name: str, cut: Cut) -> Iterator[Any]:
    for one in answer:
        cut(name, True)
        yield one
