"""The functions of the marketplace as they are deployed: their very handlers, each environment with caches of its own."""

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

from bourse import flow
from bourse.aws import items, secrets
from bourse.aws import sqs as queues
from bourse.clock import SystemClock
from bourse.matching import match_offers

FUNCTIONS = Path(__file__).resolve().parents[2] / "functions"
STANDS = {
    ("bourse.assets.dynamodb_uploads", "DynamoUploads"): "uploads",
    ("bourse.assets.s3", "S3Objects"): "objects",
    ("bourse.assets.dynamodb_versions", "DynamoVersions"): "versions",
    ("bourse.assets.dynamodb_versions", "DynamoChunks"): "chunks",
    ("bourse.assessment.dynamodb", "DynamoAssessments"): "assessments",
    ("bourse.assessment.aurora", "AuroraTerms"): "terms",
    ("bourse.assessment.aurora", "AuroraTables"): "tables",
    ("bourse.matching.dynamodb", "DynamoBooks"): "books",
    ("bourse.matching.dynamodb", "DynamoOffers"): "offers",
    ("bourse.ledger.aurora", "AuroraLedger"): "ledger",
    ("bourse.ledger.aurora_seal", "AuroraSeals"): "seals",
    ("bourse.trading.aurora", "AuroraPlans"): "plans",
    ("bourse.trading.aurora", "AuroraPortfolios"): "portfolios",
    ("bourse.parties.aurora", "AuroraParties"): "parties",
    ("bourse.aws.postgres", "Database"): "database",
}
"""The adapters that handlers name -> the port of the world they get instead."""
OTHERS = {("bourse.assessment.http", "forecaster_from_env"): "forecaster", ("bourse.assessment.http", "classifier_from_env"): "classifier"}
SNAPSHOT_ENTRIES = 4
"""A book in these worlds hears some ten messages: it has snapshots, and goes on from them."""
PortOf = Callable[[str], Any]


class Stand:
    """In place of an adapter's class: however it is made, it is the world's port."""

    def __init__(self, port: Callable[[], Any]) -> None:
        self._port = port

    def __call__(self, *_args: Any) -> Any:
        return self._port()

    from_env = signing = __call__


class _Pauses:
    """In place of `time`, where a batch read waits for what was left unprocessed: the world's time passes."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def sleep(self, seconds: float) -> None:
        self._clock.at += timedelta(seconds=seconds)


class Context:
    """What Lambda tells an invocation of itself."""

    aws_request_id = "r"

    def __init__(self, function: str, left_ms: int) -> None:
        self.function_name, self._left_ms = function, left_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._left_ms


@cache
def _code(function: str) -> CodeType:
    path = FUNCTIONS / function / "handler.py"
    return compile(path.read_text(), str(path), "exec")


@cache
def _modules() -> dict[tuple[str, str], Any]:
    return {(module, name): importlib.import_module(module) for module, name in [*STANDS, *OTHERS]}


def cold(function: str, port_of: PortOf) -> Callable[[Any, Any], Any]:
    """The handler of a new environment: the function's module is run anew, with the world's ports behind the names of the adapters."""
    modules, before = _modules(), {}
    for (module, name), port in (STANDS | OTHERS).items():
        before[module, name] = getattr(modules[module, name], name)
        opens = _opener(port_of, port)
        setattr(modules[module, name], name, opens if (module, name) in OTHERS else Stand(opens))
    try:
        namespace: dict[str, Any] = {"__name__": f"functions.{function}.handler"}
        exec(_code(function), namespace)
    finally:
        for (module, name), was in before.items():
            setattr(modules[module, name], name, was)
    handler: Callable[[Any, Any], Any] = namespace["handler"]
    return handler


def _opener(port_of: PortOf, name: str) -> Callable[[], Any]:
    return lambda: port_of(name)


@contextmanager
def deployed(clock: Any, sqs: Any) -> Iterator[None]:
    """The surroundings every environment finds: settings, the time, and the one client that handlers make themselves."""
    settings = {f"QUEUE_{queue.name.upper()}_URL": queue.name for queue in flow.queues()} | {"BUCKET_UPLOADS": "uploads", "COLLECT_SECONDS": "30"}
    was = {name: os.environ.get(name) for name in settings}
    client, secret, now, snapshot, sleeps = queues.client, secrets.secret, SystemClock.now, match_offers.SNAPSHOT_ENTRIES, items.time
    os.environ.update(settings)
    match_offers.SNAPSHOT_ENTRIES = SNAPSHOT_ENTRIES
    queues.client, secrets.secret = lambda _name: sqs, lambda _name: "a secret of at least 32 octets, as text"
    SystemClock.now = lambda _self: clock.now()
    items.time = _Pauses(clock)
    try:
        yield
    finally:
        queues.client, secrets.secret, SystemClock.now, match_offers.SNAPSHOT_ENTRIES, items.time = client, secret, now, snapshot, sleeps
        for name, value in was.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def reports_to(heard: Callable[[Any], None]) -> Iterator[None]:
    """Instead of a line in a log, each invocation's report comes here."""
    from bourse.aws.report import Report

    was = Report.write

    def write(self: Any, *, failed: bool = False) -> None:
        heard(self)

    Report.write = write
    try:
        yield
    finally:
        Report.write = was
