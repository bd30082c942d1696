"""What is killed, when, and how it comes back: processes that this stack started, by their ids, while they hold messages.

A strike goes by how many messages a function has handled, not by seconds, and by a message being in its hands at that moment.

- A worker is stopped, looked at (is its message still out?), and killed. The emulator starts another for the next message.
- PostgreSQL stops as in a crash: sessions end where they are, nothing is written down, the next start recovers from its log.
- The emulator goes with all it runs. First its poller takes no more, and every function is killed where it is; so nothing gets to its end any
  more, and what the emulator writes down when it is told to stop (it keeps nothing otherwise) is what its queues, tables and buckets held at that
  moment: messages that were in a function's hands still hidden, and nobody who would ever delete them, as the poller that took them goes with the
  process. On AWS too these stores outlive whoever consumes from them.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from bourse.flow import FLOW, Every, Queue

from demo.api import ApiError
from demo.market import Upload
from demo.watch import waiting
from infra.local import emulator, postgres
from infra.local.down import down
from infra.local.lines import counted, lines_of
from infra.local.stack import Home, client
from tests.local.builders import World, kill_workers, workers

HEARS: Final = {hop.function: hop.source.name for hop in FLOW if isinstance(hop.source, Queue)}
"""Function -> the queue it hears."""
_OF_THE_DATABASE: Final = ("settle_investments", "plan_purchases", "assess_assets")
Victim = Literal["worker", "database", "emulator"]
Tell = Callable[[str], object]
_LOOK_SECONDS: Final = 0.03
_LAST_PERCENT: Final = 70
"""Later there may be no message left that a function could hold."""
_IDLE_SECONDS: Final = 5.0
_IDLE_LOOK_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 180
_STOPPING_SECONDS: Final = 0.1
"""A tenth of what a function takes to start and be heard of."""
_SCHEDULE_SECONDS: Final = 120
_UNAVAILABLE: Final = 503


@dataclass(frozen=True, slots=True)
class Strike:
    """Who is killed, and when: once `function` holds a message and has handled `percent` of those it handles in the undisturbed run of this file."""

    victim: Victim
    function: str
    percent: int

    def __str__(self) -> str:
        what = {"worker": f"the worker of {self.function}", "database": "PostgreSQL", "emulator": "the emulator with its queue consumer"}[self.victim]
        return f"{what}, when {self.function} held a message, after {self.percent} % of its messages"


def drawn(seed: int, round_no: int, files: int) -> list[list[Strike]]:
    """For each file what is killed while it is on its way: every function's worker and the emulator once, the database twice, in all files together."""
    draw = Random(f"{seed}:{round_no}")
    strikes = [Strike("worker", function, draw.randrange(_LAST_PERCENT)) for function in HEARS]
    strikes += [Strike("database", draw.choice(_OF_THE_DATABASE), draw.randrange(_LAST_PERCENT)) for _ in range(2)]
    strikes += [Strike("emulator", draw.choice(list(HEARS)[1:]), draw.randrange(_LAST_PERCENT))]
    of_file: list[list[Strike]] = [[] for _ in range(files)]
    for strike in strikes:
        of_file[draw.randrange(files)].append(strike)
    return of_file


def handled(world: World, functions: Iterable[str] = HEARS) -> Counter[str]:
    """Function -> messages it has handled on this stack, as its log says."""
    return Counter({function: counted(lines_of(world.stack, [function]))["messages_heard"] for function in functions})


def fired(world: World) -> Counter[str]:
    """Function that runs by the clock -> how often it ran on this stack, as its log says."""
    return Counter({hop.function: len(lines_of(world.stack, [hop.function])) for hop in FLOW if isinstance(hop.source, Every)})


@dataclass
class Storm:
    """Strikes a stack while files are on their way."""

    world: World
    expected: Counter[str]
    """Function -> messages it handles of these files in the undisturbed run."""
    tell: Tell
    struck: list[Strike] = field(default_factory=list)
    _fired: Counter[str] = field(default_factory=Counter)
    """Function that runs by the clock -> how often it had when the emulator was last started again."""

    def rage(self, strikes: Sequence[Strike], sent: Sequence[Upload]) -> list[Strike]:
        """Strike when each is due, until all have struck or nothing moves any more; those that never had an opportunity."""
        before = handled(self.world)
        left = list(strikes)
        moved = looked = time.monotonic()
        while left and time.monotonic() - moved < _IDLE_SECONDS:
            working = {function for function in {one.function for one in left} if self._holds_a_message(function)}
            for strike in [one for one in left if one.function in working]:
                reached, whole = handled(self.world, [strike.function])[strike.function] - before[strike.function], self.expected[strike.function]
                if reached >= whole * strike.percent // 100 and self._do(strike):
                    left.remove(strike)
                    self.struck.append(strike)
                    self.tell(f"killed {strike} ({reached} of about {whole})")
                    break  # who held a message before it may hold none any more
            if time.monotonic() - looked > _IDLE_LOOK_SECONDS:
                looked = time.monotonic()
                moved = moved if self._is_done(sent) else looked
            time.sleep(_LOOK_SECONDS)
        return left

    def _do(self, strike: Strike) -> bool:
        match strike.victim:
            case "worker":
                return self._kill_a_worker(strike.function)
            case "database":
                crash_the_database(self.world)
            case "emulator":
                kill_the_emulator(self.world)
                start_the_emulator(self.world)
                self._fired = fired(self.world)
        return True

    def schedules_that_stopped(self) -> list[str]:
        """Functions that run by the clock and did not run again within two minutes, once the emulator was started again; waits for those that do."""
        give_up = time.monotonic() + _SCHEDULE_SECONDS
        while stopped := [name for name, times in fired(self.world).items() if self._fired and times <= self._fired[name]]:
            if time.monotonic() > give_up:
                return stopped
            time.sleep(1)
        return []

    def _kill_a_worker(self, function: str) -> bool:
        """False when it had done its work in the moment between the look and the blow; it goes on then."""
        pids = workers(self.world.home, self.world.stack.functions[function])
        _signal(pids, signal.SIGSTOP)
        if pids and self._holds_a_message(function):
            _signal(pids, signal.SIGKILL)
            return True
        _signal(pids, signal.SIGCONT)
        return False

    def _holds_a_message(self, function: str) -> bool:
        name = "ApproximateNumberOfMessagesNotVisible"
        url = self.world.stack.queues[HEARS[function]]
        return int(self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]) > 0

    def _is_done(self, sent: Iterable[Upload]) -> bool:
        return not waiting(self.world.stack, self._sqs) and all(self.world.market.status(one)["state"] == "processed" for one in sent)

    @cached_property
    def _sqs(self) -> Any:
        return client("sqs", self.world.stack.aws_endpoint)


def crash_the_database(world: World) -> None:
    """Stop PostgreSQL as a crash does, see that an API says so as it must, and start it again on the same files and port."""
    postgres.stop(world.home.postgres, crash=True)
    with pytest.raises(ApiError) as refused:
        world.market.totals()
    assert refused.value.status == _UNAVAILABLE, f"an API without its database answers {refused.value}"
    postgres.start(world.home.postgres, durable=False, binaries=postgres.find_binaries(), port=urlsplit(world.stack.postgres).port)
    assert [row["total"] for row in world.market.trial_balance()] in ([0], [0, 0]), "the first question after the crash is answered"


def kill_the_emulator(world: World) -> None:
    """Kill every function, and whatever is started until the emulator has written down what is in its stores and is gone."""
    pid = emulator.running(world.home)
    assert pid is not None, "there is an emulator to kill"
    _poll(world, polls=False)
    kill_workers(world.home)
    os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + _STOP_SECONDS
    while emulator.command_of(pid):
        kill_workers(world.home)  # a schedule may start one; it takes far longer to do anything than this loop to come round
        if time.monotonic() > give_up:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError("the emulator did not write down what is in its stores")
        time.sleep(_STOPPING_SECONDS)
        emulator.reap(pid)


def start_the_emulator(world: World) -> None:
    """Start it again, on the same port, with what it had written down."""
    emulator.start(world.home, urlsplit(world.stack.aws_endpoint).port or 0, lasting=True)
    _poll(world, polls=True)


def _poll(world: World, *, polls: bool) -> None:
    """Whether the emulator takes messages from the queues: else it would start a function for each while it stops, only to see it killed."""
    functions = client("lambda", world.stack.aws_endpoint)
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=polls)


def end(home: Home) -> None:
    """Stop a stack for good, without waiting for what it would write down."""
    _signal([*workers(home), *filter(None, [emulator.running(home)])], signal.SIGKILL)
    down(home)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
