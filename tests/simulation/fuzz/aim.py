"""Names of things that are there, put into a request that was made up: without them it meets nobody at the door."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

Names = Mapping[str, Sequence[Any]]
"""Field or parameter -> values that mean something in the world that is asked."""


def aimed(value: Any, names: Names, chance: Random) -> Any:
    """The same value, in which every second field of these names has one of its values of the type that it had."""
    if isinstance(value, list):
        return [aimed(one, names, chance) for one in value]
    if isinstance(value, dict):
        return {name: _one(name, held, names, chance) for name, held in value.items()}
    return value


def _one(name: str, held: Any, names: Names, chance: Random) -> Any:
    fitting = [one for one in names.get(name, ()) if type(one) is type(held)]
    return chance.choice(fitting) if fitting and chance.random() < 0.5 else aimed(held, names, chance)
