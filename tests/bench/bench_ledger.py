"""The general ledger beside pgledger, on the same PostgreSQL in the same run, durable settings; client and server share this machine.

PGLEDGER=/path/to/a/checkout/of/pgr0ss/pgledger python -m tests.bench.bench_ledger

pgledger is fetched by whoever runs this (github.com/pgr0ss/pgledger, with its vendored pgsql-ulid) and not shipped; without it our
figures are printed alone. Ours go through the adapter as functions do, with idempotency, checks of every lot, and tagged lots on;
a transfer of pgledger's has no id, no tags and no lots. Each connection is a process of its own.
"""

import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.ledger.actions import Account, Flavor, Issue, Transaction, Transfer
from bourse.ledger.aurora_books import AuroraBooks
from rich.console import Console
from rich.table import Table

from infra.local import postgres as local_postgres

ACCOUNTS, SECONDS, ROUNDS = 10_000, 3.0, 3
T, AT = "t1", datetime(2026, 1, 5, 9, tzinfo=UTC)
TAGS = {"source": "bank"}
Work = Callable[[str, int, int, float], float]
_PGLEDGER = ("vendor/scoville-pgsql-ulid/ulid-to-uuid.sql", "vendor/scoville-pgsql-ulid/uuid-to-ulid.sql", "pgledger.sql")
_BATCH = """
    select count(*) from pgledger_create_transfers(event_at => null::timestamptz, transfer_requests => array(
      select row(f, t, m)::transfer_request from unnest(%s::text[], %s::text[], %s::numeric[]) u(f, t, m)))"""


def ours(dsn: str, seed: int, batch: int, seconds: float) -> float:
    """Transfers per second of one connection."""
    rnd = random.Random(seed)
    with closing(Database(dsn)) as database:
        books = AuroraBooks(database)
        _warm(books, seed)
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            books.post(T, _transfers(rnd, seed, batch), AT)
            done += batch
        return done / (time.perf_counter() - began)


def _warm(books: AuroraBooks, seed: int) -> None:
    """A dry run that names every account: a function that has worked for a while knows the numbers of those it meets."""
    moves = tuple(Transfer("USD", 1, f"a{number}", f"a{number - 1}", token_tags=TAGS) for number in range(1, ACCOUNTS))
    books.post(T, [Transaction(f"warm{seed}", moves, AT)], AT, dry_run=True)


def _transfers(rnd: random.Random, seed: int, batch: int) -> list[Transaction]:
    made = []
    for _ in range(batch):
        source, destination = rnd.sample(range(ACCOUNTS), 2)
        move = Transfer("USD", rnd.randrange(1, 100), f"a{source}", f"a{destination}", token_tags=TAGS)
        made.append(Transaction(f"b{seed}.{rnd.getrandbits(80):020x}", (move,), AT, correlation_id="bench"))
    return made


def theirs(dsn: str, seed: int, batch: int, seconds: float) -> float:
    rnd = random.Random(seed)
    with psycopg.connect(dsn, autocommit=True) as connection:
        accounts = [row[0] for row in connection.execute("select id from pgledger_accounts order by id")]
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            pairs = [rnd.sample(accounts, 2) for _ in range(batch)]
            if batch == 1:
                connection.execute("select pgledger_create_transfer(%s, %s, %s)", [*pairs[0], rnd.randrange(1, 100)])
            else:
                connection.execute(_BATCH, [[one for one, _ in pairs], [one for _, one in pairs], [rnd.randrange(1, 100) for _ in pairs]])
            done += batch
        return done / (time.perf_counter() - began)


def together(work: Work, dsn: str, connections: int, batch: int) -> float:
    """Transfers per second of several connections, each in a process of its own."""
    with get_context("spawn").Pool(connections) as pool:
        return sum(pool.starmap(work, [(dsn, random.getrandbits(40), batch, SECONDS) for _ in range(connections)]))


def prepare(server: local_postgres.Server, folder: Path | None) -> dict[str, tuple[Work, str]]:
    """Both ledgers with their accounts; name -> how it is asked, and where."""
    server.run("create database {}", "ours")
    migrate(server.dsn("ours"))
    server.let_in("bourse_app")
    with closing(Database(server.dsn("ours", "bourse_app"))) as database:
        books = AuroraBooks(database)
        books.open_flavor(T, Flavor("USD"))
        for number in range(ACCOUNTS):
            books.open_account(T, Account(f"a{number}"))
        for begin in range(0, ACCOUNTS, 1_000):
            books.post(T, [Transaction(f"open{n}", (Issue("USD", 10**9, f"a{n}", TAGS),), AT) for n in range(begin, begin + 1_000)], AT)
    made: dict[str, tuple[Work, str]] = {"ours": (ours, server.dsn("ours", "bourse_app"))}
    if folder:
        server.run("create database {}", "pgledger")
        with psycopg.connect(server.dsn("pgledger"), autocommit=True) as connection:
            for name in _PGLEDGER:
                connection.execute((folder / name).read_text())  # type: ignore[arg-type]
            connection.execute("select count(*) from generate_series(1, %s) n, pgledger_create_account('a' || n, 'USD', true, true)", [ACCOUNTS])
        made["pgledger"] = (theirs, server.dsn("pgledger"))
    for _, dsn in list(made.values()):
        with psycopg.connect(server.dsn(dsn.rsplit("/", 1)[1]), autocommit=True) as connection:
            connection.execute("vacuum analyze")
    return made


def main() -> None:
    folder = Path(os.environ["PGLEDGER"]) if os.environ.get("PGLEDGER") else None
    home = Path(tempfile.mkdtemp(prefix="bourse-bench-"))
    table = Table("transfers per second", "connections", "per call", *(("pgledger",) if folder else ()), "ours", *(("ratio", "goal") if folder else ()))
    server = local_postgres.start(home)
    try:
        asked = prepare(server, folder)
        for batch, connections, goal in ((1, 1, 2.5), (1, 4, 2.5), (1, 8, 2.5), (1_000, 1, 5.0), (1_000, 4, 8.0)):
            rounds: list[dict[str, Any]] = [{name: together(work, dsn, connections, batch) for name, (work, dsn) in asked.items()} for _ in range(ROUNDS)]
            median = {name: statistics.median(one[name] for one in rounds) for name in asked}
            compared = [f"{median['pgledger']:,.0f}"] if folder else []
            ratio = [f"{statistics.median(one['ours'] / one['pgledger'] for one in rounds):.2f}", f">= {goal}"] if folder else []
            table.add_row("one transfer a transaction", str(connections), f"{batch:,}", *compared, f"{median['ours']:,.0f}", *ratio)
    finally:
        local_postgres.stop(home)
        shutil.rmtree(home, ignore_errors=True)
    Console(width=110).print(table)
    print(f"Medians of {ROUNDS} interleaved rounds of {SECONDS:.0f} s; fsync and synchronous_commit on; {ACCOUNTS:,} accounts, each connection a process.")


if __name__ == "__main__":
    main()
