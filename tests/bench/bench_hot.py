"""Ten hot platform accounts beside ten thousand accounts met alike: `python -m tests.bench.bench_hot`.

Hot: every transfer goes to or from one of ten platform accounts. Uniform: it goes between any two people. One transfer a transaction, each connection a
process of its own; durable settings, and once more with a commit that takes 2 ms, as over a network (commit_delay, with commit_siblings = 0).
Rounds are interleaved, so a busy neighbour slows both.
"""

import random
import shutil
import statistics
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.ledger.actions import Account, Flavor, Issue, Transaction, Transfer
from bourse.ledger.aurora_books import AuroraBooks
from rich.console import Console
from rich.table import Table

from infra.local import postgres as local_postgres

PEOPLE, PLATFORM, SECONDS, ROUNDS = 10_000, 10, 3.0, 5
T, AT = "t1", datetime(2026, 1, 5, 9, tzinfo=UTC)
TAGS = {"source": "bank"}
GOAL = 0.9


def connection(dsn: str, hot: bool, seed: int) -> float:
    """Transfers per second of one connection."""
    rnd = random.Random(seed)
    with closing(Database(dsn)) as database:
        books = AuroraBooks(database)
        moves = tuple(Transfer("USD", 1, f"a{number}", f"a{number - 1}", token_tags=TAGS) for number in range(1, PEOPLE))
        books.post(T, [Transaction(f"warm{seed}", moves, AT)], AT, dry_run=True)  # names every account
        for number in range(50):
            books.post(T, [_transfer(rnd, f"warm{seed}.{number}", hot=hot)], AT)
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            books.post(T, [_transfer(rnd, f"b{seed}.{done}", hot=hot)], AT)
            done += 1
        return done / (time.perf_counter() - began)


def _transfer(rnd: random.Random, name: str, *, hot: bool) -> Transaction:
    source, destination = (f"a{number}" for number in rnd.sample(range(PEOPLE), 2))
    if hot:
        platform = f"platform{rnd.randrange(PLATFORM)}"
        source, destination = (platform, destination) if rnd.random() < 0.5 else (source, platform)
    move = Transfer("USD", rnd.randrange(1, 100), source, destination, token_tags={} if destination.startswith("platform") else TAGS)
    return Transaction(name, (move,), AT, correlation_id="bench")


def together(dsn: str, connections: int, *, hot: bool) -> float:
    with get_context("spawn").Pool(connections) as pool:
        return sum(pool.map(partial(connection, dsn, hot), [random.getrandbits(40) for _ in range(connections)]))


def prepare(server: local_postgres.Server) -> str:
    server.run("create database {}", "hot")
    migrate(server.dsn("hot"))
    server.let_in("bourse_app")
    with closing(Database(server.dsn("hot", "bourse_app"))) as database:
        books = AuroraBooks(database)
        books.open_flavor(T, Flavor("USD"))
        for number in range(PLATFORM):
            books.open_account(T, Account(f"platform{number}", floor=None, hot=True))
        for number in range(PEOPLE):
            books.open_account(T, Account(f"a{number}"))
        for begin in range(0, PEOPLE, 1_000):
            books.post(T, [Transaction(f"open{n}", (Issue("USD", 10**9, f"a{n}", TAGS),), AT) for n in range(begin, begin + 1_000)], AT)
    return server.dsn("hot", "bourse_app")


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="bourse-bench-"))
    server = local_postgres.start(home)
    table = Table("transfers per second", "connections", "uniform", "ten hot accounts", "ratio", "goal")
    try:
        dsn = prepare(server)
        for commit in ("this disk's commit", "a commit of 2 ms"):
            if commit.endswith("2 ms"):
                server.run("alter system set commit_delay = 2000")
                server.run("alter system set commit_siblings = 0")
                server.run("select pg_reload_conf()")
            for connections in (1, 4, 8):
                rounds = [(together(dsn, connections, hot=False), together(dsn, connections, hot=True)) for _ in range(ROUNDS)]
                uniform, hot = (statistics.median(one) for one in zip(*rounds, strict=True))
                ratio = statistics.median(one[1] / one[0] for one in rounds)
                table.add_row(commit, str(connections), f"{uniform:,.0f}", f"{hot:,.0f}", f"{ratio:.2f}", f">= {GOAL}")
    finally:
        local_postgres.stop(home)
        shutil.rmtree(home, ignore_errors=True)
    Console(width=110).print(table)
    print(f"Medians of {ROUNDS} interleaved rounds of {SECONDS:.0f} s; fsync and synchronous_commit on; {PEOPLE:,} people, {PLATFORM} platform accounts.")


if __name__ == "__main__":
    main()
