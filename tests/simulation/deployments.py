"""A deployment in the middle of everything: from a drawn moment on one function after the other turns to the new code, and some deployments are taken back.

Until its moment a function starts the old code, from then on the new; environments that are warm go on for a while. So both versions run at the
same time, hear what the other has said, and read what it has stored. One that is taken back is done again later: in the end all is new.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.crossing import Across
from tests.simulation.environments import OURS, Code, cold, deployed, reports_to
from tests.simulation.versions import across, as_it_was, heard_across

if TYPE_CHECKING:
    from tests.simulation.world import World

LINGERS = timedelta(minutes=5)
"""So long, at most, an environment is still asked after its function has turned."""
STEPS = (20, 90)
"""A deployment begins within so many steps."""
SECONDS = (10, 60, 600)
"""It takes so long to turn all functions, or to take that back."""
_UNKNOWN = "Refused: MESSAGE_UNKNOWN: "


class Deployment:
    """Which code a function starts now. `old` is None in a world of one version."""

    def __init__(self, world: "World", old: Code | None) -> None:
        self.old = old
        self._world, self._random = world, Random(f"deployment {world.seed}")
        self._begins = self._random.randrange(self._random.choice(STEPS))
        self._spread = self._random.choice(SECONDS)
        self._turns: dict[str, list[tuple[datetime, Code]]] | None = None
        self._over = datetime.min
        self.taken_back = self._random.random() < 0.4
        self.invoked: Counter[str] = Counter()
        """How often each version ran, where there are two."""
        self.snapshot_entries = self._random.choice((1, 2, 3, 8))

    def surroundings(self) -> AbstractContextManager[Any]:
        """What environments of both versions find; snapshots of books are kept so often that each version meets those of the other."""
        world, stack = self._world, ExitStack()
        if self.old is not None:
            stack.enter_context(deployed(world.clock, Across(world.sqs, OURS.module, self.old.module), self.old))
            stack.enter_context(reports_to(world.reported, self.old))
            for code in (OURS, self.old):
                stack.enter_context(_set(code.module("bourse.matching.match_offers"), "SNAPSHOT_ENTRIES", self.snapshot_entries))
        return stack

    def others(self) -> tuple[Code, ...]:
        return () if self.old is None else (self.old,)

    def begin_if_due(self, functions: Iterable[str]) -> None:
        """The deployment begins at its step, or when the time of the faults is over."""
        world = self._world
        if self.old is None or self._turns is not None or (world.steps < self._begins and not world.quiet):
            return
        world.note("deploys", "and takes it back" if self.taken_back else "")
        world.faults["deploy"] += 1
        world.faults["taken_back"] += self.taken_back
        self._turns = self._drawn(world.clock.now(), tuple(functions))
        self._over = max(turns[-1][0] for turns in self._turns.values()) + LINGERS

    def _drawn(self, now: datetime, functions: tuple[str, ...]) -> dict[str, list[tuple[datetime, Code]]]:
        """When each function turns to which code, in this order. Taken back is what had turned by then, and all is done again later."""
        assert self.old is not None, "there is another version"
        turns: dict[str, list[tuple[datetime, Code]]] = {function: [(now + self._some(), OURS)] for function in functions}
        if self.taken_back:
            broken_off = now + self._random.choice((1, 3)) * self._some()
            turns = {function: [(at, code), (broken_off + self._some(), self.old)] if at <= broken_off else [] for function, [(at, code)] in turns.items()}
            resumed = broken_off + self._random.choice((1, 10)) * timedelta(seconds=self._spread)
            turns = {function: [*before, (resumed + self._some(), OURS)] for function, before in turns.items()}
        return turns

    def done(self) -> bool:
        return self.old is None or (self._turns is not None and self._world.clock.now() >= self._over)

    def next_turn(self) -> list[datetime]:
        """When the world changes by itself, if it does."""
        now = self._world.clock.now()
        turns = [at for ats in (self._turns or {}).values() for at, _ in ats if at > now]
        return [*turns, self._over] if not self.done() and self._turns is not None else turns

    def code_of(self, function: str) -> Code:
        """What is started now. A function that the old version has not is the new one's from the beginning."""
        if self.old is None or self.old.handler(function) is None:
            return OURS
        return self._last(function)[1]

    def keeps(self, function: str, code: Code) -> bool:
        """Whether a warm environment is still asked."""
        if self.old is None or code is self.code_of(function):
            return True
        return self._world.clock.now() < self._last(function)[0] + LINGERS

    def starts_one(self) -> bool:
        """Whether a new environment is asked though there is a warm one: while both versions run, that is so more often."""
        return self.old is not None and self._turns is not None and not self.done() and self._random.random() < 0.2

    def runs(self, code: Code) -> None:
        if self.old is not None:
            self.invoked["new" if code is OURS else "old"] += 1

    def environment(self, function: str, code: Code) -> Any:
        """The handler of a new environment of this code."""
        port_of = self._world.port
        if code is OURS:
            return cold(function, port_of)
        crossing = across(lambda name: as_it_was(name, port_of(name), code), OURS, code)
        own = self._world.tables.ports(self._world, code) if self._world.tables else {}
        return heard_across(cold(function, lambda name: own.get(name) or crossing(name), code), OURS, code)

    def use_case(self, function: str, module: str, name: str) -> Callable[..., Any]:
        """What an API does when it is asked, of the code it starts now."""
        code = self.code_of(function)
        ours: Callable[..., Any] = getattr(OURS.module(module), name)
        return ours if code is OURS else Across(getattr(code.module(module), name), code.module, OURS.module)

    def excuses(self, code: Code, error: str) -> bool:
        """Whether the old code was told something that only the new one knows: it comes back, and is heard by the new code in the end."""
        if code is OURS or not error.startswith(_UNKNOWN):  # begun before the deployment was over, it may end after it
            return False
        kind = error.removeprefix(_UNKNOWN).partition(" ")[0]
        return kind in OURS.module("bourse.flow").messages() and kind not in code.module("bourse.flow").messages()

    def _last(self, function: str) -> tuple[datetime, Code]:
        assert self.old is not None, "there is another version"
        now = self._world.clock.now()
        past = [turn for turn in (self._turns or {}).get(function, ()) if turn[0] <= now]
        return past[-1] if past else (now, self.old)

    def _some(self) -> timedelta:
        return timedelta(seconds=self._random.randrange(self._spread))


def _set(module: Any, name: str, value: Any) -> AbstractContextManager[Any]:
    was, stack = getattr(module, name), ExitStack()
    stack.callback(setattr, module, name, was)
    setattr(module, name, value)
    return stack
