"""What is killed, when, and how it comes back: processes that this stack started, by their ids, while they hold messages.

A strike goes by how many messages a function has handled, not by seconds, and by a message being in its hands at that moment. Workers stand still
while they are looked at, so that none does its work in the time that a look takes: how fast the machine is decides nothing.

- A worker is killed where it stands. The emulator starts another for the next message.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
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
_GO_ON_SECONDS: Final = 0.03
"""How long all go on between two looks: far less than a batch of messages takes."""
_LAST_PERCENT: Final = 70
"""Later there may be no message left that a function could hold."""
_IDLE_SECONDS: Final = 5.0
_IDLE_LOOK_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 180
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
            if strike := self._strike_one(left, before):
                left.remove(strike)
                self.struck.append(strike)
            if time.monotonic() - looked > _IDLE_LOOK_SECONDS:
                looked = time.monotonic()
                moved = moved if self._is_done(sent) else looked
            time.sleep(_GO_ON_SECONDS)  # this is when they work; a queue tells nobody that a message was taken
        return left

    def _strike_one(self, left: Sequence[Strike], before: Mapping[str, int]) -> Strike | None:
        """The first that is due, done and mended; None when none is."""
        with self._standing_still({one.function for one in left}) as pids:
            for strike in left:
                if self._holds_a_message(strike.function, pids[strike.function]):
                    reached, whole = handled(self.world, [strike.function])[strike.function] - before[strike.function], self.expected[strike.function]
                    if reached >= whole * strike.percent // 100:
                        self._blow(strike, pids[strike.function])
                        break
            else:
                return None
        self.tell(f"killed {strike} ({reached} of about {whole})")
        self._mend(strike)
        return strike

    @contextmanager
    def _standing_still(self, functions: Iterable[str]) -> Iterator[dict[str, list[int]]]:
        """Function -> its workers, which do nothing meanwhile; who was not killed goes on."""
        pids = {name: workers(self.world.home, self.world.stack.functions[name]) for name in functions}
        _signal(chain(*pids.values()), signal.SIGSTOP)
        try:
            yield pids
        finally:
            _signal(chain(*pids.values()), signal.SIGCONT)

    def _blow(self, strike: Strike, pids: Sequence[int]) -> None:
        match strike.victim:
            case "worker":
                _signal(pids, signal.SIGKILL)
            case "database":
                postgres.stop(self.world.home.postgres, crash=True)
            case "emulator":
                kill_the_emulator(self.world)

    def _mend(self, strike: Strike) -> None:
        """What does not come back by itself is started again, once it was missed. The emulator starts another worker."""
        match strike.victim:
            case "database":
                restart_the_database(self.world)
            case "emulator":
                start_the_emulator(self.world)
                self._fired = fired(self.world)

    def schedules_that_stopped(self) -> list[str]:
        """Functions that run by the clock and did not run again within two minutes, once the emulator was started again; waits for those that do."""
        give_up = time.monotonic() + _SCHEDULE_SECONDS
        while stopped := [name for name, times in fired(self.world).items() if self._fired and times <= self._fired[name]]:
            if time.monotonic() > give_up:
                return stopped
            time.sleep(1)  # nobody tells when a schedule fires; its log can only be read again
        return []

    def _holds_a_message(self, function: str, pids: Sequence[int]) -> bool:
        """In the hands of these workers: one whose worker was killed is out, too, until it is delivered again."""
        name = "ApproximateNumberOfMessagesNotVisible"
        url = self.world.stack.queues[HEARS[function]]
        return bool(pids) and int(self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]) > 0

    def _is_done(self, sent: Iterable[Upload]) -> bool:
        return not waiting(self.world.stack, self._sqs) and all(self.world.market.status(one)["state"] == "processed" for one in sent)

    @cached_property
    def _sqs(self) -> Any:
        return client("sqs", self.world.stack.aws_endpoint)


def restart_the_database(world: World) -> None:
    """See that an API without its database says so as it must, and start PostgreSQL again on the same files and port."""
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
    # A schedule may start a function meanwhile; it takes far longer to do anything than this comes round.
    if not emulator.gone(pid, _STOP_SECONDS, lambda: kill_workers(world.home)):
        os.kill(pid, signal.SIGKILL)
        raise AssertionError("the emulator did not write down what is in its stores")


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
    kill_workers(home)
    emulator.stop(home, at_once=True)
    down(home)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
