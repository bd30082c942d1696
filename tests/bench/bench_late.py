"""A posting at an earlier time than a million others of its lot, beside one at the end: `python -m tests.bench.bench_late [--moves 1000000]`.

The later moves are inserted by SQL: ann gets and gives a cent a second. Durable settings; client and server share this machine.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.ledger.actions import Account, Action, Flavor, Issue, Retire, Spending, Transaction, Transfer
from bourse.ledger.aurora_books import AuroraBooks
from rich.console import Console
from rich.table import Table

from infra.local import postgres as local_postgres

T, AT, POSTINGS, WARM = "t1", datetime(2026, 1, 5, 9, tzinfo=UTC), 400, 50
_LIFE = """
    with had as (select l.lot_no, a.account_id from books.lot l join books.account a using (account_no)),
      txns as (
        insert into books.txn (txn_no, tenant_id, txn_id, kind, digest, effective_at, correlation_id, tags)
        select 10000000 + n, 't1', 'life' || n, 'transaction', '\\x00', %(at)s + n * interval '1 second', '', '{}' from generate_series(1, %(moves)s) n),
      moves as (
        insert into books.move (txn_no, seq, action_no, type, src, dst, amount, tagset_no, effective_at, tenant_id)
        select 10000000 + n, 1, 0, 't', case n %% 2 when 1 then b.lot_no else a.lot_no end, case n %% 2 when 1 then a.lot_no else b.lot_no end, 1, 0,
          %(at)s + n * interval '1 second', 't1'
        from generate_series(1, %(moves)s) n, had a, had b where a.account_id = 'ann' and b.account_id = 'ben' order by n)
    update books.lot set latest_at = %(at)s + %(moves)s * interval '1 second', version = version + %(moves)s where lot_no in (select lot_no from had)"""


def prepare(server: local_postgres.Server, moves: int) -> str:
    """Books in which ann and ben have had that many moves since AT."""
    server.run("create database {}", "late")
    migrate(server.dsn("late"))
    server.let_in("bourse_app")
    with closing(Database(server.dsn("late", "bourse_app"))) as database:
        books = AuroraBooks(database)
        books.open_flavor(T, Flavor("USD"))
        for name in ("ann", "ben", "cat"):
            books.open_account(T, Account(name))
        books.post(T, [Transaction("open", (Issue("USD", 10**9, "ann"), Issue("USD", 10**9, "ben")), AT)], AT)
    with psycopg.connect(server.dsn("late"), autocommit=True) as owner:
        owner.execute(_LIFE, {"at": AT, "moves": moves + moves % 2})
        owner.execute("vacuum analyze")
    return server.dsn("late", "bourse_app")


def compared_ms(books: AuroraBooks, name: str, action: Action, end: datetime, rnd: random.Random) -> tuple[float, float]:
    """The median times of a posting at the end and of one before the others, in milliseconds; the two take turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(-WARM, POSTINGS):
        early = end - timedelta(microseconds=rnd.randrange(1, int((end - AT).total_seconds()) * 1_000_000))
        for kind, at in enumerate((end + timedelta(seconds=number + WARM), early)):
            one = Transaction(f"{name}.{kind}.{number + WARM}", (action,), at, correlation_id="bench")
            began = time.perf_counter()
            books.post(T, [one], AT)
            if number >= 0:
                taken[kind].append((time.perf_counter() - began) * 1_000)
    return statistics.median(taken[0]), statistics.median(taken[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=1_000_000)
    moves = parser.parse_args().moves
    rnd = random.Random(1)
    end = AT + timedelta(seconds=moves)
    home = Path(tempfile.mkdtemp(prefix="bourse-bench-"))
    server = local_postgres.start(home)
    table = Table("posting", "p50 ms at the end", "p50 ms before the others", "ratio", "goal")
    try:
        with closing(Database(prepare(server, moves))) as database:
            books = AuroraBooks(database)
            began = time.perf_counter()
            books.post(T, [Transaction("first", (Transfer("USD", 1, "ann", "cat"),), AT)], AT)
            first = time.perf_counter() - began
            plain = Transfer("USD", 1, "ann", "cat")
            shapes: dict[str, Action] = {
                "spent by ann, any tokens": plain,
                "received by ann": Issue("USD", 1, "ann"),
                "spent by ann and ben received": Transfer("USD", 1, "ann", "ben"),
                "spent by filter": Retire("USD", 1, "ann", Spending("amount > 0")),
            }
            for name, action in shapes.items():
                last, early = compared_ms(books, name.replace(" ", "-").replace(",", ""), action, end, rnd)
                table.add_row(name, f"{last:.2f}", f"{early:.2f}", f"{early / last:.2f}", "< 5")
    finally:
        local_postgres.stop(home)
        shutil.rmtree(home, ignore_errors=True)
    Console(width=110).print(table)
    print(f"{moves:,} moves of ann's lot; the first late posting, which sums them up in steps of 65,536, took {first:.1f} s. fsync and synchronous_commit on.")


if __name__ == "__main__":
    main()
