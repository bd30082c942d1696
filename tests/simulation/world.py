"""A simulated world: the whole marketplace in one process, driven by one seed.

At each step one thing happens that may happen: S3 tells of an object, a function hears a batch of its queue, a schedule fires, somebody asks for
something, or time passes. Every call of a port is a cut point, where the faults of the seed strike. The same seed is the same world, step by step.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from random import Random
from typing import Any, Self
from urllib.parse import quote_plus

from aws_lambda_powertools.event_handler.api_gateway import BaseRouter
from bourse import flow
from bourse.aws.report import Report
from bourse.clock import FixedClock
from bourse.errors import BourseError, Refused, Unavailable

from infra.sizes import visibility_seconds
from tests.simulation import people as peoples
from tests.simulation.deeds import Deed, deeds_of
from tests.simulation.deployments import Deployment
from tests.simulation.desks import Desk, Https, UseCases
from tests.simulation.environments import OURS, Code, Context, deployed, reports_to
from tests.simulation.faults import Crash, Options
from tests.simulation.outbox import OutboxDatabase
from tests.simulation.ports import Port
from tests.simulation.promises import Broken, Promises
from tests.simulation.sqs import Fifo, SqsClient
from tests.simulation.stores import Stores
from tests.simulation.tables import Tables, small

RECEIVES_MAX = 5
HTTPS_EVERY = 48
"""In one of so many worlds people ask by HTTP: to start the APIs takes as long as three other worlds."""
MEMORY_EVERY = 8
"""One world in so many keeps in memory what is kept in DynamoDB elsewhere: there a call of a port is one effect."""
DEPTH_MAX = 2
QUIET_STEPS = 2_000
SCHEDULES = {hop.function: hop.source.minutes for hop in flow.FLOW if isinstance(hop.source, flow.Every)}
HEARERS = {hop.source.name: hop.function for hop in flow.FLOW if isinstance(hop.source, flow.Queue)}
BUCKETS = {hop.source.bucket: hop.function for hop in flow.FLOW if isinstance(hop.source, flow.ObjectCreated)}
_MAY_FAIL = frozenset({"Unavailable"})


@dataclass(slots=True)
class Environment:
    """A warm function. While it runs, a second invocation needs another one."""

    handler: Callable[[Any, Any], Any]
    code: Code
    busy: bool = False


class World:
    """One world, from its seed to its end. `kill_at` crashes the environment at that cut point and nowhere else; `old` is deployed when it begins."""

    def __init__(self, seed: int, options: Options | None = None, *, kill_at: int | None = None, steps: int = 150, old: Code | None = None) -> None:
        self.random = Random(seed)
        drawn = Options.drawn(self.random)
        self.seed, self.options, self.kill_at, self.steps_wanted = seed, options if options is not None else drawn, kill_at, steps
        self.clock = FixedClock(peoples.MORNING)
        self.people = peoples.drawn(seed)
        self.tables = Tables(self.people) if on_tables(seed) else None
        self.stores = Stores(self.clock, self.people, self.tables)
        self.points: Counter[tuple[str, str, bool]] = Counter()
        self.faults: Counter[str] = Counter()
        self.cuts = self.steps = self.depth = self.heard = self.redriven = 0
        self.function, self.tenants = "", frozenset[str]()
        self.running = OURS
        self.quiet = False
        self._rates, self._aim = self.options.rates(), self.options.aim
        self._before = [fault for fault in ("crash_before", "refused", "slow") if fault in self._rates]
        self._after = [fault for fault in ("lingers", "unanswered", "crash_after") if fault in self._rates]
        self._trace = blake2b(digest_size=16)
        self.log: list[str] | None = None
        self._ports: dict[str, Any] = {name: Port(name, target, self.cut, self._watch) for name, target in self.stores.ports.items()}
        self._ports |= self.tables.ports(self) if self.tables else {}
        self._ports["database"] = OutboxDatabase(self.stores.outbox, self.clock, self.cut)
        self.dead = {name: Fifo(f"{name}-dlq", visibility_seconds=30) for name in HEARERS}
        self.queues = {
            queue.name: Fifo(
                queue.name,
                visibility_seconds=visibility_seconds(HEARERS[queue.name], local=False),
                receive_max=RECEIVES_MAX,
                dead=self.dead[queue.name],
                delay_seconds=30 if queue.collect else 0,
            )
            for queue in flow.queues()
        }
        self.sqs = SqsClient(self.queues, self.clock.now, partial=self._not_taken, cut=self._cut_send)
        self._warm: dict[str, list[Environment]] = {}
        self._told: list[tuple[datetime, str]] = []
        self.deployment = Deployment(self, old)
        self._due = {function: self.clock.now() for function in SCHEDULES}
        self.desk: Desk = Https(self) if seed % HTTPS_EVERY == 0 else UseCases(self)
        self.deeds: list[Deed] = deeds_of(self)
        self.files: dict[str, tuple[peoples.File, str]] = {}
        self.promises = Promises(self)

    # --- running

    def run(self) -> Self:
        """The faults' time, and then the quiet in which everything must come to its end. Raises Broken."""
        items = small(OURS, *self.deployment.others()) if self.tables else nullcontext()
        with deployed(self.clock, self.sqs), reports_to(self.reported), self.deployment.surroundings(), items:
            try:
                self._run()
            except AssertionError as error:
                raise Broken(f"an assertion of ours: {error}") from error
        return self

    def _run(self) -> None:
        while self.steps < self.steps_wanted and (self.steps % 8 or not self.at_rest()):
            self.step()
        self.quiet = True
        self.note("quiet", "")
        until = self.steps + QUIET_STEPS
        while not self.at_rest():
            if self.steps > until:
                raise Broken(f"still busy after {QUIET_STEPS:,} quiet steps: {self.unrest()}")
            self.step()
        self.promises.at_the_end()

    def step(self) -> None:
        """One thing happens."""
        self.steps += 1
        self.deployment.begin_if_due(flow.functions())
        may = self._may_happen()
        if may:
            does, what = may[self.random.randrange(len(may))]
            does(what)
            self._pass(timedelta(milliseconds=self.random.randrange(1, 2_000)))
        else:
            self._idle()
        if self._strikes("pause"):
            self._pass(timedelta(minutes=self.random.randrange(5, 30)))
        if self.tables and self._strikes("head_lost"):
            self.tables.lose_a_head(self.random)
        self.promises.after_step()

    def at_rest(self) -> bool:
        """Asked after each step, so what is soonest known comes first."""
        queues = (*self.queues.values(), *self.dead.values())
        return not (
            self._told
            or self.stores.outbox.rows
            or any(not deed.done for deed in self.deeds)
            or any(not queue.is_empty() for queue in queues)
            or any(not slot.closed for slot in self.stores.uploads.slots.values())
            or self.unrest()
        )

    def unrest(self) -> list[str]:
        """What is still to be done."""
        busy = [name for name, queue in {**self.queues, **{f"{name}-dlq": queue for name, queue in self.dead.items()}}.items() if not queue.is_empty()]
        slots = [f"{slot.ref.upload_id} {slot.state}" for slot in self.stores.uploads.slots.values() if not slot.closed]
        asked = [deed.name for deed in self.deeds if not deed.done]
        unsealed = [tenant for tenant, ledger in self.stores.ledger.books._ledgers.items() if ledger.flavors and not _sealed(ledger)]
        deploys = [] if self.deployment.done() else ["deployment"]
        return busy + slots + asked + unsealed + deploys + (["outbox"] if self.stores.outbox.rows else []) + [key for _, key in self._told]

    def _may_happen(self) -> list[tuple[Callable[[Any], None], Any]]:
        now = self.clock.now()
        may: list[tuple[Callable[[Any], None], Any]] = [(self._tell, told) for told in self._told if told[0] <= now]
        may += [(self._hear, name) for name, queue in self.queues.items() if queue.available(now)]
        may += [(self._fire, function) for function, at in self._due.items() if at <= now]
        may += [(self._do, deed) for deed in self.deeds if not deed.done and deed.may_begin()]
        if self.quiet and self.deployment.done():
            may += [(self._redrive, name) for name, queue in self.dead.items() if not queue.is_empty()]
        return may

    def _idle(self) -> None:
        """Nothing may happen now: some time passes, or all until something may, with one turn of the schedules where there were many."""
        now = self.clock.now()
        later = [at for queue in self.queues.values() if (at := queue.wakes_at()) and at > now] + [at for at, _ in self._told if at > now]
        later += self.deployment.next_turn()
        some = timedelta(seconds=self.random.randrange(5, 90))
        self._pass(max(some, min(later) - now) if later and self.random.random() < 0.5 else some)

    def _pass(self, time: timedelta) -> None:
        self.clock.at += time

    # --- what happens

    def _tell(self, told: tuple[datetime, str]) -> None:
        """S3 calls the function, which may fail: then it is told again later, as S3 does twice."""
        self._told.remove(told)
        key = told[1]
        event = {
            "Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "uploads"}, "object": {"key": quote_plus(key)}}}]
        }
        self.note("told", key)
        if self._invoke(BUCKETS["uploads"], event, frozenset({key.split("/")[0]})) is None and not self.quiet and self.random.random() < 0.8:
            self._told.append((self.clock.now() + timedelta(minutes=1), key))

    def _hear(self, name: str) -> None:
        queue = self.queues[name]
        groups = list(queue.available(self.clock.now()))
        self.random.shuffle(groups)
        records = queue.receive(self.clock.now(), most=self.random.randrange(1, 11), groups=groups)
        if not records:
            return
        self.heard += len(records)
        self.note("hears", f"{name} {len(records)}")
        tenants = frozenset(record["attributes"]["MessageGroupId"].split("/")[0] for record in records)
        answer = self._invoke(HEARERS[name], {"Records": records}, tenants)
        if answer is None or self._strikes("lost_delete"):
            return
        failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
        queue.delete([record["receiptHandle"] for record in records if record["messageId"] not in failed], self.clock.now())

    def _fire(self, function: str) -> None:
        self._due[function] = self.clock.now() + SCHEDULES[function] * timedelta(seconds=self.random.randrange(60, 240))  # late, or one left out
        self.note("fires", function)
        self._invoke(function, {}, None)

    def _redrive(self, name: str) -> None:
        self.note("redrives", name)
        self.redriven += len(self.queues[name].redrive(self.clock.now()))

    def _do(self, deed: Deed) -> None:
        """Somebody asks for something, and asks again until he is answered; now and then once more."""
        self.note("does", deed.name)
        (was, whose), self.function, self.tenants = (self.function, self.tenants), "people", frozenset()
        try:
            deed.do()
        except Crash:
            self.faults["crash"] += 1
        except Unavailable:
            pass
        except Refused as refused:
            if refused.code != "PORTFOLIO_VERSION":  # he is told to read again, and does
                raise Broken(f"{deed.name} was answered {refused}") from refused
        else:
            deed.done = not self._strikes("impatient")
        finally:
            self.function, self.tenants = was, whose

    def put(self, key: str, file: peoples.File, octets: bytes) -> None:
        """An object is written, and S3 will tell of it: once, twice, late, or never, when only the sweep finds it."""
        arrival = self.stores.objects.put(key, octets)
        self.files.setdefault(key, (file, arrival.etag))
        late = timedelta(minutes=self.random.randrange(1, 15)) if self._strikes("told_late") else timedelta(seconds=1)
        if not self._strikes("told_never"):
            self._told.append((self.clock.now() + late, key))
        if self._strikes("told_twice"):
            self._told.append((self.clock.now() + timedelta(seconds=self.random.randrange(600)), key))

    def _invoke(self, function: str, event: Any, tenants: frozenset[str] | None) -> Any:
        """What the function answers; None when it failed or died."""
        environment = self._environment(function)
        left_ms = self.random.randrange(3_000) if self._strikes("short_of_time") else 60_000
        (was, whose, code), self.function, self.tenants = (self.function, self.tenants, self.running), function, tenants or frozenset()
        environment.busy, self.running = True, environment.code
        self.deployment.runs(environment.code)
        try:
            return environment.handler(event, Context(function, left_ms))
        except Crash:
            self.faults["crash"] += 1
            self._warm[function].remove(environment)
        except BourseError as error:
            if type(error).__name__ not in _MAY_FAIL:
                raise Broken(f"{function} failed with {error}") from error
        finally:
            environment.busy = False
            self.function, self.tenants, self.running = was, whose, code
        return None

    def request(self, function: str, asked: Any, tenant_id: str) -> Any:
        """What an API answers. Raises Crash when its environment dies under the request."""
        environment = self._environment(function)
        (was, whose, code), self.function, self.tenants = (self.function, self.tenants, self.running), function, frozenset({tenant_id})
        environment.busy, self.running = True, environment.code
        self.deployment.runs(environment.code)
        running = {name: vars(BaseRouter).get(name) for name in ("current_event", "lambda_context")}
        try:
            return environment.handler(asked, Context(function, 20_000))
        except Crash:
            self._warm[function].remove(environment)
            raise
        finally:
            for name, value in running.items():  # powertools keeps them in its class, which environments share only here
                setattr(BaseRouter, name, value)
            environment.busy = False
            self.function, self.tenants, self.running = was, whose, code

    def _environment(self, function: str) -> Environment:
        warm = self._warm.setdefault(function, [])
        free = [one for one in warm if not one.busy and self.deployment.keeps(function, one.code)]
        if not free or self._strikes("cold_start") or self.deployment.starts_one():
            code = self.deployment.code_of(function)
            warm.append(Environment(self.deployment.environment(function, code), code))
            return warm[-1]
        return free[self.random.randrange(len(free))]

    # --- faults

    def port(self, name: str) -> Any:
        return self._ports[name]

    def cut(self, name: str, after: bool) -> None:
        """A cut point: the faults of this world strike here, or time goes on."""
        self.points[self.function, name, after] += 1
        if self.quiet:
            return
        self.cuts += 1
        if self.cuts == self.kill_at:
            raise Crash(name)
        for fault in self._after if after else self._before:
            if self._strikes(fault):
                _STRIKES[fault](self, name)

    def go_on(self) -> None:
        """The rest of the world goes on while a call is under way."""
        if self.depth < DEPTH_MAX:
            self.depth += 1
            try:
                if self._strikes("outlived"):
                    self._pass(timedelta(minutes=self.random.randrange(6, 20)))
                for _ in range(self.random.randrange(1, 6)):
                    self.step()
            finally:
                self.depth -= 1

    def _strikes(self, fault: str) -> bool:
        rate = self._rates.get(fault)
        if rate is None or self.quiet or (self._aim and self._aim != self.function) or self.random.random() >= rate:
            return False
        self.faults[fault] += 1
        return True

    def _not_taken(self, entries: list[dict[str, Any]]) -> set[str]:
        lost = {entry["Id"] for entry in entries if self.random.random() < 0.3} if self._strikes("partial_send") else set()
        for entry in entries:
            if entry["Id"] not in lost and '"kind":"bids_published' in entry["MessageBody"][:100]:
                self.promises.hear(entry["MessageBody"])
        return lost

    def _cut_send(self, moment: str) -> None:
        self.cut("queue.send", moment.startswith("after"))

    def _watch(self, name: str, args: tuple[Any, ...]) -> None:
        """No function touches what belongs to another tenant than its messages."""
        whose = args[0] if args else None
        tenant_id = whose if isinstance(whose, str) and whose in self.stores.tenant_ids else getattr(whose, "tenant_id", None)
        if tenant_id and self.tenants and tenant_id not in self.tenants:
            raise Broken(f"{self.function} asked {name} of tenant {tenant_id} while hearing {sorted(self.tenants)}")

    # --- the trace

    def note(self, what: str, of: str) -> None:
        line = f"{self.steps} {what} {of}"
        self._trace.update(line.encode())
        if self.log is not None:
            self.log.append(f"{'  ' * self.depth}{line}")

    def trace(self) -> str:
        """The same for the same seed."""
        return self._trace.hexdigest()

    def reported(self, report: Report) -> None:
        self.promises.nothing_personal_is_logged(report._facts | report._counts)
        error = report._facts.get("error")
        if error and not error.startswith(tuple(_MAY_FAIL)) and not self.deployment.excuses(self.running, error):
            raise Broken(f"{self.function} failed with {error}")


def on_tables(seed: int) -> bool:
    """Whether the adapters of DynamoDB stand in this world, on tables of its own."""
    return seed % MEMORY_EVERY != 1


def _sealed(ledger: Any) -> bool:
    return bool(ledger.blocks) and ledger.blocks[-1][0] == len(ledger.journal)


def _crash(_world: World, name: str) -> None:
    raise Crash(name)


def _refuse(_world: World, name: str) -> None:
    raise Unavailable(f"{name} was throttled, or did not answer")


_STRIKES: dict[str, Callable[[World, str], None]] = {
    "crash_before": _crash,
    "refused": _refuse,
    "slow": lambda world, _: world.go_on(),
    "lingers": lambda world, _: world.go_on(),
    "unanswered": _refuse,
    "crash_after": _crash,
}
