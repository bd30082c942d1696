"""The functions of the marketplace as they are deployed: their very handlers, each environment with caches of its own."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

from bourse import flow

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
PORTS = STANDS | OTHERS
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


class Code:
    """The marketplace's code: its modules by their names, and the handlers of its functions."""

    builtins: Any = __builtins__
    """What its handlers are run with: the import that finds its modules."""

    def module(self, name: str) -> Any:
        return __import__(name, None, None, ["*"])

    def handler(self, function: str) -> CodeType | None:
        """What is run in a new environment; None where there is no such function."""
        return _code(function)


OURS = Code()


CHANGED: dict[Path, str] = {}
"""Handlers that are not as in the tree: where these worlds themselves are of a changed copy of the code."""


@cache
def _code(function: str) -> CodeType:
    path = FUNCTIONS / function / "handler.py"
    return compile(CHANGED.get(path) or path.read_text(), str(path), "exec")


@cache
def _modules(code: Code) -> dict[tuple[str, str], Any]:
    """The modules that handlers name, as far as the code has them."""
    found = {}
    for module, name in [*STANDS, *OTHERS]:
        with suppress(ModuleNotFoundError):
            if hasattr(named := code.module(module), name):
                found[module, name] = named
    return found


def cold(function: str, port_of: PortOf, code: Code = OURS) -> Callable[[Any, Any], Any]:
    """The handler of a new environment: the function's module is run anew, with the world's ports behind the names of the adapters."""
    handles = code.handler(function)
    assert handles is not None, f"there is no function {function}"
    before: dict[tuple[str, str], Any] = {}
    for (module, name), named in _modules(code).items():
        if name in handles.co_names:
            before[module, name] = getattr(named, name)
            opens = _opener(port_of, PORTS[module, name])
            setattr(named, name, opens if (module, name) in OTHERS else Stand(opens))
    try:
        namespace: dict[str, Any] = {"__name__": f"functions.{function}.handler", "__builtins__": code.builtins}
        exec(handles, namespace)
    finally:
        for (module, name), was in before.items():
            setattr(_modules(code)[module, name], name, was)
    handler: Callable[[Any, Any], Any] = namespace["handler"]
    return handler


def _opener(port_of: PortOf, name: str) -> Callable[[], Any]:
    return lambda: port_of(name)


@contextmanager
def deployed(clock: Any, sqs: Any, code: Code = OURS) -> Iterator[None]:
    """The surroundings every environment finds: settings, the time, and the one client that handlers make themselves."""
    queues, secrets, times = code.module("bourse.aws.sqs"), code.module("bourse.aws.secrets"), code.module("bourse.clock").SystemClock
    settings = {f"QUEUE_{queue.name.upper()}_URL": queue.name for queue in flow.queues()} | {"BUCKET_UPLOADS": "uploads", "COLLECT_SECONDS": "30"}
    was = {name: os.environ.get(name) for name in settings}
    books, items = code.module("bourse.matching.match_offers"), code.module("bourse.aws.items")
    client, secret, now, snapshot, sleeps = queues.client, secrets.secret, times.now, books.SNAPSHOT_ENTRIES, items.time
    os.environ.update(settings)
    books.SNAPSHOT_ENTRIES = SNAPSHOT_ENTRIES
    queues.client, secrets.secret = lambda _name: sqs, lambda _name: "a secret of at least 32 octets, as text"
    times.now = lambda _self: clock.now()
    items.time = _Pauses(clock)
    try:
        yield
    finally:
        queues.client, secrets.secret, times.now, books.SNAPSHOT_ENTRIES, items.time = client, secret, now, snapshot, sleeps
        for name, value in was.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def reports_to(heard: Callable[[Any], None], code: Code = OURS) -> Iterator[None]:
    """Instead of a line in a log, each invocation's report comes here."""
    report = code.module("bourse.aws.report").Report
    was = report.write

    def write(self: Any, *, failed: bool = False) -> None:
        heard(self)

    report.write = write
    try:
        yield
    finally:
        report.write = was
