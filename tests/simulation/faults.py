"""What can go wrong in a simulated world, drawn from its seed: which faults are on, and how often each strikes."""

from dataclasses import dataclass, fields
from random import Random
from typing import Any

from bourse.flow import FLOW, Queue

_RATES = (0.002, 0.01, 0.03, 0.1)
_OFTEN = 0.3
_AIMED = 0.1
"""Part of the worlds in which all faults are aimed at one function."""
_HEARERS = tuple(dict.fromkeys(hop.function for hop in FLOW if isinstance(hop.source, Queue)))
_OF_CALLS = ("crash_before", "crash_after", "refused", "unanswered", "lingers", "stale", "conflict", "unprocessed", "torn", "retried")

OF_TABLES = ("stale", "conflict", "unprocessed", "torn", "retried", "head_lost")


class Crash(BaseException):
    """The environment that runs a function dies here. Not an Exception: nothing of ours survives to catch it."""


@dataclass(frozen=True)
class Options:
    """How often each fault strikes where it may: a probability, 0 where it is off.

    Of a call to a port (a store, a queue, an assessor): `crash_before` and `crash_after` kill the environment without and with the effect;
    `refused` is a throttle, nothing happened; `unanswered` is a time-out after the effect, so whether it happened is unknown; `slow`
    lets the rest of the world go on before it, `lingers` after it: a second environment, other messages, time.
    """

    crash_before: float = 0.0
    crash_after: float = 0.0
    refused: float = 0.0
    unanswered: float = 0.0
    slow: float = 0.0
    lingers: float = 0.0
    outlived: float = 0.0
    """A call that is slow or lingers takes longer than its messages stay hidden: they are heard by another environment meanwhile."""
    partial_send: float = 0.0
    """A batch is sent, and some of its messages are not taken."""
    told_twice: float = 0.0
    """S3 tells of an object more than once."""
    told_late: float = 0.0
    """S3 tells of it after minutes."""
    told_never: float = 0.0
    lost_delete: float = 0.0
    """A batch was done, and its deletion never arrives: all of it is heard again."""
    cold_start: float = 0.0
    """An invocation meets a new environment, and leaves the warm ones with their caches."""
    short_of_time: float = 0.0
    """An invocation has hardly any time left."""
    pause: float = 0.0
    """Nothing happens for minutes, and what queues remember of ids is gone."""
    impatient: float = 0.0
    """Somebody asks for the same thing again though it was answered."""
    overwritten: float = 0.0
    """An originator writes another object over the one he uploaded."""
    unread: float = 0.0
    """A file ends in the middle of a record."""
    stale: float = 0.0
    """A read of a table that may be old is: its items are as they were some writes ago."""
    conflict: float = 0.0
    """A write of a table meets a transaction under way."""
    unprocessed: float = 0.0
    """A read of many items leaves some for later."""
    torn: float = 0.0
    """A read of many items reads some of them, and the others after the rest of the world went on."""
    head_lost: float = 0.0
    """A loan's head is gone from the table of the pipeline, as after a restore: its versions are the truth."""
    retried: float = 0.0
    """A single write is done and not answered, and the client does it again, later, as boto3 does."""

    aim: str = ""
    """The one function that faults strike, and no other: very often, so that moments come which are too rare elsewhere."""

    @classmethod
    def drawn(cls, random: Random) -> "Options":
        """Swarm: each fault is on in about half of the worlds, seldom or often; one world in ten has none, and one in ten a few, all aimed at one function."""
        if random.random() < 0.1:
            return cls()
        drawn: dict[str, Any] = {name: _rate(random) for name in FAULTS if name not in OF_TABLES}
        aside = Random(str(drawn))  # worlds without tables stay what they were
        if Random(f"aim {drawn}").random() < _AIMED:
            aim, often = aside.choice(_HEARERS), dict[str, Any]({aside.choice(_OF_CALLS): _OFTEN})
            return cls(aim=aim, slow=_OFTEN, outlived=_OFTEN, **often)
        return cls(**drawn | {"outlived": 5 * drawn["outlived"]} | {name: _rate(aside) for name in OF_TABLES})

    def __str__(self) -> str:
        return ", ".join(f"{one.name} {getattr(self, one.name)}" for one in fields(self) if getattr(self, one.name)) or "no faults"

    def rates(self) -> dict[str, float]:
        """How often those strike that are on."""
        return {name: rate for name in FAULTS if (rate := getattr(self, name))}


FAULTS = tuple(one.name for one in fields(Options) if one.name != "aim")


def _rate(random: Random) -> float:
    return random.choice(_RATES) if random.random() < 0.5 else 0.0
