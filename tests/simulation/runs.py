"""Many worlds one after the other: what was run, and what was found."""

import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Self

from tests.simulation.coverage import possible
from tests.simulation.environments import Code
from tests.simulation.promises import Broken
from tests.simulation.upgrades import upgrade_of, worlds
from tests.simulation.world import World

_SELDOM = (50_000, 10, 10)


@dataclass
class Summary:
    """Counts over all worlds. `points` are the cut points that were passed: function, call, and whether before or after it."""

    seeds: int = 0
    steps: int = 0
    cuts: int = 0
    messages: int = 0
    faultless: int = 0
    cpu_seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    evaluated: Counter[str] = field(default_factory=Counter)
    points: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    """How often the old and the new code ran, in worlds that have both."""
    broken: list[tuple[int, int, str, str]] = field(default_factory=list)
    """Seed, steps, the faults that were on, and the promise that did not hold."""

    def add(self, world: World, broken: Broken | None) -> None:
        self.seeds += 1
        self.steps += world.steps
        self.cuts += world.cuts
        self.messages += world.heard
        self.faultless += str(world.options) == "no faults"
        self.faults += world.faults
        self.evaluated += world.promises.evaluated
        self.points += world.points
        self.outcomes += world.stores.reasons()
        self.versions += world.deployment.invoked
        if broken is not None:
            self.broken.append((world.seed, world.steps, str(world.options), str(broken)))

    def __iadd__(self, other: "Summary") -> Self:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        return self

    def calls(self) -> set[tuple[str, str]]:
        """The cut points that were passed: function and call."""
        return {(function, call) for function, call, _ in self.points}

    def lines(self) -> Iterator[str]:
        """The summary as lines of Markdown."""
        rate = self.seeds / self.cpu_seconds * 60 if self.cpu_seconds else 0
        yield f"- {self.seeds:,} seeds ({self.faultless:,} without faults), {rate:,.0f} a minute of one core."
        yield f"- {self.steps:,} steps, {self.messages:,} messages heard."
        could, passed = possible(), self.calls()
        yield f"- {len(passed):,} of {len(could):,} calls of ports that functions could make were cut, before and after, {sum(self.points.values()):,} times."
        yield f"- Not made by any: {', '.join(f'{function}: {call}' for function, call in sorted(could - passed)) or 'none'}."
        yield f"- Faults: {', '.join(f'{name} {count:,}' for name, count in sorted(self.faults.items()))}."
        yield f"- Promises looked at: {', '.join(f'{name} {count:,}' for name, count in sorted(self.evaluated.items()))}."
        yield f"- Bids: {', '.join(f'{name} {count:,}' for name, count in sorted(self.outcomes.items()))}."
        if self.versions:
            yield f"- Side by side: the old code ran {self.versions['old']:,} times, the new {self.versions['new']:,}."
        yield f"- Broken: {len(self.broken):,}."
        for seed, steps, options, promise in self.broken:
            yield f"  - seed {seed}, step {steps}, {options}: {promise}"


def simulate(
    seeds: Iterable[int],
    told: Callable[[Summary], None] = lambda _: None,
    *,
    until: float | None = None,
    old: Code | None = None,
    upgrades: bool = False,
) -> Summary:
    """Run these worlds, until this moment of the process's CPU time where one is given. A world that breaks is noted, and the next is run.

    Where there is an `old` version, ours is deployed over it in the middle of each world; with `upgrades` a planted one in some.
    """
    summary, began = Summary(), time.process_time()
    with silence(), seldom_collected():
        for seed in seeds:
            if upgrades and (upgrade := upgrade_of(seed)):
                summary += worlds(upgrade, [seed])
            else:
                world, broken = World(seed, old=old), None
                try:
                    world.run()
                except Broken as found:
                    broken = found
                summary.add(world, broken)
            summary.cpu_seconds = time.process_time() - began
            told(summary)
            if until is not None and time.process_time() >= until:
                break
    return summary


@contextmanager
def silence() -> Iterator[None]:
    """What functions log is not read here."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """A world is thrown away whole: to look for garbage in the middle of it, and in what was imported, finds nothing."""
    before = gc.get_threshold()
    if before == _SELDOM:  # a world within a run of worlds
        yield
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
