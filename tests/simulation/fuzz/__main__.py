"""The long run: python -m tests.simulation.fuzz --target bson|filters|apis --minutes N [--seed N].

Coverage-guided where atheris is there (pip install --require-hashes -r requirements/fuzz.txt) and the target has no database; else from random seeds.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from tests.simulation.fuzz.choices import Choices

Target = Callable[[Random], str]
"""Makes an input of these choices and checks what has to be so of it: what came of it. Raises when it is not so."""
SLICE = 8
"""Requests of each kind to an operation, each time round."""


class Run:
    """Inputs tried, what came of them, and each fault once with what shows it."""

    def __init__(self, target: str, minutes: float) -> None:
        self.target, self.seconds, self.started = target, minutes * 60, time.monotonic()
        self.tried = 0
        self.outcomes: Counter[str] = Counter()
        self.faults: dict[str, str] = {}

    @property
    def over(self) -> bool:
        return time.monotonic() - self.started >= self.seconds

    def one(self, check: Target, random: Random, name: str) -> None:
        self.tried += 1
        try:
            self.outcomes[check(random)] += 1
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            self.faults.setdefault(f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}", f"{name}: {str(error)[:500]}")

    def told(self, how: str) -> int:
        passed = time.monotonic() - self.started
        print(f"{self.target}, {how}: {self.tried:,} runs in {passed:,.0f} s, {self.tried / passed:,.0f} runs/s")
        for outcome, count in self.outcomes.most_common():
            print(f"  {count:>10,}  {outcome}")
        print(f"{len(self.faults)} faults" + "".join(f"\n  {fault}\n    {shown}" for fault, shown in self.faults.items()))
        return 1 if self.faults else 0


def by_seed(run: Run, check: Target, seed: int) -> int:
    while not run.over:
        run.one(check, Random(seed), f"seed {seed}")
        seed += 1
    return run.told("by seed")


def by_coverage(run: Run, made: Callable[[], Target]) -> NoReturn:
    """libFuzzer chooses the octets that the generator's choices are read from. It has no end of its own that says anything, so the process ends here."""
    import atheris

    with atheris.instrument_imports(include=["bourse"]):
        check = made()
    run.started = time.monotonic()

    def tried(octets: bytes) -> None:
        run.one(check, Choices(octets), octets.hex()[:400])
        if run.over:
            code = run.told("by coverage")
            sys.stdout.flush()
            os._exit(code)

    with tempfile.TemporaryDirectory() as corpus:
        for seed in range(64):
            (Path(corpus) / str(seed)).write_bytes(Random(seed).randbytes(512))
        atheris.Setup([sys.argv[0], corpus, "-max_len=4096", "-verbosity=0", "-rss_limit_mb=4096", f"-artifact_prefix={corpus}/"], tried)
        atheris.Fuzz()
    raise AssertionError("libFuzzer ended by itself")


def bson_target() -> Target:
    """A record, or every tenth time a file."""
    from bourse.assets.frames import RECORD_BYTES_MAX
    from bourse.assets.record import Loan, RecordReader

    from tests.assets.intake_builders import NOON, ORIGINATOR
    from tests.simulation.fuzz.bson_door import GOOD, check_file, check_record, file, record

    trained = RecordReader(ORIGINATOR, NOON)
    for octets in GOOD * 2:
        trained.read(octets)

    def check(random: Random) -> str:
        if random.random() < 0.1:
            return f"file {check_file(*file(random))}"
        octets = record(random)
        if len(octets) > RECORD_BYTES_MAX:
            return "not looked at"
        found = check_record(octets, trained)
        return "taken" if isinstance(found, Loan) else found[0]

    return check


@contextmanager
def database() -> Iterator[Any]:
    """A PostgreSQL of this run's own, migrated."""
    from bourse.aws.migrate import migrate
    from bourse.aws.postgres import Database

    from infra.local import postgres

    with tempfile.TemporaryDirectory() as name:
        server = postgres.start(Path(name), durable=False)
        try:
            server.run("create database {}", "fuzz")
            migrate(server.dsn("fuzz"))
            server.let_in("bourse_app")
            opened = Database(server.dsn("fuzz", "bourse_app"))
            yield opened
            opened.close()
        finally:
            postgres.stop(Path(name))


def filters_target(stores: Any = ()) -> Target:
    """A filter: what it is, its SQL, and what these books answer."""
    from tests.simulation.fuzz.filter_texts import asked, check

    return lambda random: check(asked(random), stores)


def filters(run: Run, seed: int, *, coverage: bool) -> int:
    """By coverage without a database: what a filter is, and its SQL; by seed, what the books in memory and in PostgreSQL answer."""
    if coverage:
        by_coverage(run, filters_target)
    from bourse.ledger.aurora_books import AuroraBooks
    from bourse.ledger.memory_books import MemoryBooks

    from tests.ledger.books_builders import CLOCK
    from tests.simulation.fuzz.filter_texts import books_with_something

    with database() as opened:
        return by_seed(run, filters_target([books_with_something(MemoryBooks(CLOCK)), books_with_something(AuroraBooks(opened))]), seed)


def apis(run: Run) -> int:
    """Every operation of each API again and again, in one world that fills."""
    from tests.functions.api import Apis
    from tests.simulation.fuzz.api_requests import ask, document_of, tags_of
    from tests.simulation.fuzz.api_world import NAMES, market

    logging.disable()  # a line for each request
    while not run.over:
        for audience in Apis().apis:
            with database() as opened, market(opened, audience, on_aws=audience == "originator") as made:
                for tag in tags_of(document_of(made, audience)):
                    ran = ask(made, audience, tag, NAMES, examples=SLICE, random=True)
                    run.tried += ran.requests
                    run.outcomes.update({f"{audience} {status}": count for status, count in ran.answers.items()})
                    run.faults |= {f"{operation}: {fault}": shown for (operation, fault), shown in ran.faults.items()}
    return run.told("of their documents")


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.simulation.fuzz", description=__doc__)
    asked.add_argument("--target", choices=["bson", "filters", "apis"], required=True)
    asked.add_argument("--minutes", type=float, default=1)
    asked.add_argument("--seed", type=int, help="random choices from this seed on, without coverage")
    given = asked.parse_args()
    run = Run(given.target, given.minutes)
    coverage = given.seed is None and find_spec("atheris") is not None
    seed = given.seed if given.seed is not None else time.time_ns()
    if given.target == "apis":
        return apis(run)
    if given.target == "filters":
        return filters(run, seed, coverage=coverage)
    if coverage:
        by_coverage(run, bson_target)
    return by_seed(run, bson_target(), seed)


if __name__ == "__main__":
    raise SystemExit(main())
