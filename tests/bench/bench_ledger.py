"""The general ledger beside pgledger, on the same PostgreSQL in the same run, durable settings; client and server share this machine.

PGLEDGER=/path/to/a/checkout/of/pgr0ss/pgledger python -m tests.bench.bench_ledger

pgledger is fetched by whoever runs this (github.com/pgr0ss/pgledger, with its vendored pgsql-ulid) and not shipped; without it our
figures are printed alone. Ours go through the adapter as functions do, with idempotency, checks of every lot, and tagged lots on;
a transfer of pgledger's has no id, no tags and no lots, so a batch of its is also put beside one transaction of as many transfers, which is what its call
is. `bare` is the least that could be called a ledger, bare.sql: what this machine does at the most, however it is asked. Each connection is a process of
its own. What is to be moved is drawn before the clock begins, for all; making it into what each ledger takes is in the time.
"""

import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg
from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.ledger.actions import Account, Flavor, Issue, Transaction, Transfer
from bourse.ledger.aurora_books import AuroraBooks
from rich.console import Console
from rich.table import Table

from infra.local import postgres as local_postgres
from tests.bench import by_pgbench

ACCOUNTS, SECONDS, ROUNDS = 10_000, 3.0, 3
T, AT = "t1", datetime(2026, 1, 5, 9, tzinfo=UTC)
TAGS = {"source": "bank"}
_TAGS_TEXT = orjson.dumps(TAGS).decode()
READY = {1: 15_000, 20: 6_000, 1_000: 120_000}
"""How many are drawn before the clock begins, by how many go in a call: more than are posted."""
_START: list[Any] = []
"""In a process of several, the barrier at which all begin."""
Work = Callable[[str, int, int, float], float]
_BARE = Path(__file__).with_name("bare.sql")
_PGLEDGER = ("vendor/scoville-pgsql-ulid/ulid-to-uuid.sql", "vendor/scoville-pgsql-ulid/uuid-to-ulid.sql", "pgledger.sql")
_BATCH = """
    select count(*) from pgledger_create_transfers(event_at => null::timestamptz, transfer_requests => array(
      select row(f, t, m)::transfer_request from unnest(%s::text[], %s::text[], %s::numeric[]) u(f, t, m)))"""


Pick = tuple[int, int, int, str]
"""From which account to which, how much, and an id."""


def _pick(rnd: random.Random, seed: int) -> Pick:
    source, destination = rnd.sample(range(ACCOUNTS), 2)
    return source, destination, rnd.randrange(1, 100), f"b{seed}.{rnd.getrandbits(80):020x}"


def _ready(draw: Callable[[], Any], count: int) -> Iterator[Any]:
    """So many that are drawn now, and after them as many as are asked for."""
    drawn = [draw() for _ in range(count)]
    return chain(drawn, iter(draw, None))


def _meet_at(barrier: Any) -> None:
    _START.append(barrier)


def _begin() -> None:
    """Wait until all connections are ready."""
    for barrier in _START:
        barrier.wait()


def ours(dsn: str, seed: int, batch: int, seconds: float) -> float:
    """Transfers per second of one connection."""
    return _of_one(dsn, seed, batch, seconds, _transfers)


def ours_at_once(dsn: str, seed: int, batch: int, seconds: float) -> float:
    """As `ours`, but the transfers of a batch are one transaction."""
    return _of_one(dsn, seed, batch, seconds, _at_once)


def _of_one(dsn: str, seed: int, batch: int, seconds: float, make: Callable[[Iterator[Pick], int], list[Transaction]]) -> float:
    rnd = random.Random(seed)
    picks = _ready(lambda: _pick(rnd, seed), READY[batch])
    with closing(Database(dsn)) as database:
        books = AuroraBooks(database)
        _warm(books, seed)
        _begin()
        return _posted(books, lambda: make(picks, batch), seconds)


def _posted(books: AuroraBooks, make: Callable[[], list[Transaction]], seconds: float) -> float:
    """Actions per second: batches by `post_batches`, which makes the next one ready while the database works on the last; single ones one by one."""
    began = time.perf_counter()

    def batches() -> Iterator[list[Transaction]]:
        while time.perf_counter() - began < seconds:
            done.append(make())
            yield done[-1]

    done: list[list[Transaction]] = []
    actions = 0
    one = make()
    if len(one) > 1 or len(one[0].actions) > 1:
        for _ in books.post_batches(T, batches(), AT):
            actions += sum(len(posted.actions) for posted in done.pop(0))
    else:
        while time.perf_counter() - began < seconds:
            books.post(T, make(), AT)
            actions += 1
    return actions / (time.perf_counter() - began)


def _warm(books: AuroraBooks, seed: int) -> None:
    """A dry run that names every account: a function that has worked for a while knows the numbers of those it meets."""
    moves = tuple(Transfer("USD", 1, f"a{number}", f"a{number - 1}", token_tags=TAGS) for number in range(1, ACCOUNTS))
    books.post(T, [Transaction(f"warm{seed}", moves, AT)], AT, dry_run=True)


def _transfers(picks: Iterator[Pick], batch: int) -> list[Transaction]:
    return [
        Transaction(name, (Transfer("USD", amount, f"a{source}", f"a{destination}", token_tags=TAGS),), AT, correlation_id="bench")
        for source, destination, amount, name in islice(picks, batch)
    ]


def _at_once(picks: Iterator[Pick], batch: int) -> list[Transaction]:
    made = _transfers(picks, batch)
    return [Transaction(made[0].txn_id, tuple(one.actions[0] for one in made), AT, correlation_id="bench")]


def theirs(dsn: str, seed: int, batch: int, seconds: float) -> float:
    rnd = random.Random(seed)
    picks = _ready(lambda: _pick(rnd, seed), READY[batch])
    with psycopg.connect(dsn, autocommit=True) as connection:
        accounts = [row[0] for row in connection.execute("select id from pgledger_accounts order by id")]
        _begin()
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            moves = [(accounts[source], accounts[destination], amount) for source, destination, amount, _ in islice(picks, batch)]
            if batch == 1:
                connection.execute("select pgledger_create_transfer(%s, %s, %s)", moves[0])
            else:
                connection.execute(_BATCH, [list(column) for column in zip(*moves, strict=True)])
            done += batch
        return done / (time.perf_counter() - began)


def bare(dsn: str, seed: int, batch: int, seconds: float) -> float:
    rnd = random.Random(seed)
    picks = _ready(lambda: _pick(rnd, seed), READY[batch])
    with psycopg.connect(dsn, autocommit=True) as connection:
        _begin()
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            moves = [(str(UUID(int=rnd.getrandbits(128))), source, destination, amount) for source, destination, amount, _ in islice(picks, batch)]
            if batch == 1:
                name, *move = moves[0]
                connection.execute("select public.post_one(%s, %s, %s, %s, %s, %s)", [name, AT, _TAGS_TEXT, *move])
            else:
                names, *columns = (list(column) for column in zip(*moves, strict=True))
                connection.execute("select public.post(%s::uuid[], %s, %s, %s, %s, %s)", [names, AT, _TAGS_TEXT, *columns])
            done += batch
        return done / (time.perf_counter() - began)


def our_repayments(dsn: str, seed: int, calls: int, seconds: float) -> float:
    """Moves per second of one connection: each transaction is a borrower's payment to 5 to 50 investors and a fee, `calls` of them posted together."""
    rnd = random.Random(seed)
    with closing(Database(dsn)) as database:
        books = AuroraBooks(database)
        payments = _ready(lambda: _payment(rnd, seed), READY[calls])
        _warm(books, seed)
        _begin()
        return _posted(books, lambda: [_repayment(*payment) for payment in islice(payments, calls)], seconds)


def _repayment(borrower: int, parts: list[tuple[int, int]], name: str) -> Transaction:
    pays = tuple([Transfer("USD", amount, f"a{borrower}", f"a{one}", token_tags=TAGS) for one, amount in parts])
    fee = Transfer("USD", 1, f"a{borrower}", "fee")
    return Transaction(name, (*pays, fee), AT, "repayment", correlation_id="bench")


def their_repayments(dsn: str, seed: int, calls: int, seconds: float) -> float:
    rnd = random.Random(seed)
    with psycopg.connect(dsn, autocommit=True) as connection:
        *accounts, fee = [row[0] for row in connection.execute("select id from pgledger_accounts order by created_at, id")]
        payments = _ready(lambda: _payment(rnd, seed), READY[calls])
        _begin()
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            rows = []
            for borrower, parts, _ in islice(payments, calls):
                rows += [(accounts[borrower], accounts[one], amount) for one, amount in parts]
                rows.append((accounts[borrower], fee, 1))
            connection.execute(_BATCH, [list(column) for column in zip(*rows, strict=True)])
            done += len(rows)
        return done / (time.perf_counter() - began)


def _payment(rnd: random.Random, seed: int) -> tuple[int, list[tuple[int, int]], str]:
    """A borrower, how much each of 5 to 50 investors gets, and an id."""
    borrower, *investors = rnd.sample(range(ACCOUNTS), 1 + rnd.randrange(5, 51))
    return borrower, [(one, rnd.randrange(1, 100)) for one in investors], f"r{seed}.{rnd.getrandbits(80):020x}"


def copied(dsn: str, _seed: int, batch: int, seconds: float) -> float:
    """Transfers per second that COPY writes: the rows of our postings into tables with the same indexes, and nothing else."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        heads = connection.execute("select * from books.txn order by txn_no limit %s", [batch]).fetchall()
        moves = connection.execute("select * from books.move order by txn_no, seq limit %s", [batch]).fetchall()
        for table in ("txn", "move"):
            connection.execute(psycopg.sql.SQL("drop table if exists public.{}").format(psycopg.sql.Identifier(f"{table}_copied")))
            names = [psycopg.sql.Identifier(one) for one in (f"{table}_copied", table)]
            connection.execute(psycopg.sql.SQL("create table public.{} (like books.{} including all)").format(*names))
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            done += batch
            with connection.transaction(), connection.cursor() as cursor:
                with cursor.copy("copy public.txn_copied from stdin") as copy:
                    for row in heads:
                        copy.write_row((row[0] + done, row[1], f"{row[2]}.{done}", *_texts(row[3:])))
                with cursor.copy("copy public.move_copied from stdin") as copy:
                    for row in moves:
                        copy.write_row((row[0] + done, *_texts(row[1:])))
        return done / (time.perf_counter() - began)


def _texts(row: tuple[Any, ...]) -> list[Any]:
    return [orjson.dumps(one).decode() if isinstance(one, dict) else one for one in row]


def together(work: Work, dsn: str, connections: int, batch: int) -> float:
    """Transfers per second of several connections, each in a process of its own; all begin when all are ready."""
    context = get_context("spawn")
    barrier = context.Barrier(connections)
    with context.Pool(connections, _meet_at, (barrier,)) as pool:
        return sum(pool.starmap(work, [(dsn, random.getrandbits(40), batch, SECONDS) for _ in range(connections)], chunksize=1))


def started(home: Path) -> local_postgres.Server:
    """A durable server with the memory that one has in earnest, Aurora by default: what is read often fits into its buffers, and checkpoints are rare."""
    server = local_postgres.start(home)
    for setting in ("shared_buffers = '3GB'", "max_wal_size = '8GB'", "checkpoint_timeout = '15min'"):
        server.run(f"alter system set {setting}")
    local_postgres.stop(home)
    return local_postgres.start(home)


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
        books.open_account(T, Account("fee", floor=None, hot=True))
        for begin in range(0, ACCOUNTS, 1_000):
            books.post(T, [Transaction(f"open{n}", (Issue("USD", 10**9, f"a{n}", TAGS),), AT) for n in range(begin, begin + 1_000)], AT)
    made: dict[str, tuple[Work, str]] = {"ours": (ours, server.dsn("ours", "bourse_app"))}
    server.run("create database {}", "bare")
    with psycopg.connect(server.dsn("bare"), autocommit=True) as connection:
        connection.execute(_BARE.read_text())
        connection.execute("insert into public.balance select n, 1000000000, 0 from generate_series(0, %s) n", [ACCOUNTS])
    made["bare"] = (bare, server.dsn("bare"))
    if folder:
        server.run("create database {}", "pgledger")
        with psycopg.connect(server.dsn("pgledger"), autocommit=True) as connection:
            for name in _PGLEDGER:
                connection.execute((folder / name).read_text())
            connection.execute("select count(*) from generate_series(1, %s) n, pgledger_create_account('a' || n, 'USD', true, true)", [ACCOUNTS])
            connection.execute("select pgledger_create_account('fee', 'USD', true, true)")
        made["pgledger"] = (theirs, server.dsn("pgledger"))
    for _, dsn in list(made.values()):
        with psycopg.connect(server.dsn(dsn.rsplit("/", 1)[1]), autocommit=True) as connection:
            connection.execute("vacuum analyze")
    return made


def _row(table: Table, what: tuple[str, int, int], rounds: list[dict[str, float]], goal: str) -> None:
    """A line of the table: medians, and the median of each round's own ratio."""
    name, connections, batch = what
    medians = [f"{statistics.median(one[ledger] for one in rounds):,.0f}" if ledger in rounds[0] else "" for ledger in ("bare", "pgledger", "ours")]
    ratio = f"{statistics.median(one['ours'] / one['pgledger'] for one in rounds):.2f}" if "pgledger" in rounds[0] else ""
    table.add_row(name, str(connections), f"{batch:,}", *medians, ratio, goal)


def _repayments(asked: dict[str, tuple[Work, str]], table: Table) -> None:
    works: dict[str, Work] = {"ours": our_repayments, "pgledger": their_repayments}
    rounds = [{name: together(works[name], dsn, 1, 20) for name, (_, dsn) in asked.items() if name in works} for _ in range(ROUNDS)]
    _row(table, ("moves of repayments to 5-50 investors and a fee", 1, 20), rounds, ">= 10")


def _by_pgbench(server: local_postgres.Server, asked: dict[str, tuple[Work, str]], table: Table) -> None:
    scripts = {name: by_pgbench.prepare(server.dsn(dsn.rsplit("/", 1)[1]), name) for name, (_, dsn) in asked.items()}
    for connections in (1, 4, 8):
        rounds = [{name: by_pgbench.rate(dsn, scripts[name], connections, SECONDS) for name, (_, dsn) in asked.items()} for _ in range(ROUNDS)]
        _row(table, ("one transfer a transaction, asked by pgbench", connections, 1), rounds, ">= 2.5")


def main() -> None:
    folder = Path(os.environ["PGLEDGER"]) if os.environ.get("PGLEDGER") else None
    home = Path(tempfile.mkdtemp(prefix="bourse-bench-"))
    table = Table("transfers per second", "connections", "per call", "bare", "pgledger", "ours", "ratio", "goal")
    server = started(home)
    try:
        asked = prepare(server, folder)
        for batch, connections, goal in ((1, 1, 2.5), (1, 4, 2.5), (1, 8, 2.5), (1_000, 1, 5.0), (1_000, 4, 8.0)):
            rounds = [{name: together(work, dsn, connections, batch) for name, (work, dsn) in asked.items()} for _ in range(ROUNDS)]
            _row(table, ("one transfer a transaction", connections, batch), rounds, f">= {goal}")
        for connections in (1, 4):
            works = asked | {"ours": (ours_at_once, asked["ours"][1])}
            rounds = [{name: together(work, dsn, connections, 1_000) for name, (work, dsn) in works.items()} for _ in range(ROUNDS)]
            _row(table, ("one transaction of 1,000 transfers", connections, 1_000), rounds, ">= 5" if connections == 1 else ">= 8")
        _repayments(asked, table)
        if by_pgbench.available():
            _by_pgbench(server, asked, table)
        ratios = []
        for _ in range(ROUNDS):
            ours_now = together(ours, asked["ours"][1], 1, 1_000)
            raw = together(copied, server.dsn("ours"), 1, 1_000)
            ratios.append((ours_now / raw, raw))
        print(f"batches beside COPY of the same rows into the same indexes: {statistics.median(one for one, _ in ratios):.2f} of")
        print(f"{statistics.median(raw for _, raw in ratios):,.0f} transfers/s, goal >= 0.4. TigerBeetle on such a machine, measured once: 45,000 batched")
        print("transfers/s through its Python client, without lots, tags or texts; it says of itself that a core could do a million.")
    finally:
        local_postgres.stop(home)
        shutil.rmtree(home, ignore_errors=True)
    Console(width=130).print(table)
    print(f"Medians of {ROUNDS} interleaved rounds of {SECONDS:.0f} s; fsync and synchronous_commit on; 3 GB of buffers; {ACCOUNTS:,} accounts;")
    print("each connection a process.")


if __name__ == "__main__":
    main()
