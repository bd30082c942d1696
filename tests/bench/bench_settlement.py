"""The ledger's numbers: `python -m tests.bench.bench_settlement [--chunks N]` (about half a minute): bids settled per second in chunks of 200.

A PostgreSQL of its own with fsync on; client and server share this machine. Each chunk: 200 bids on 40 loans of one originator,
by investors chosen at random, some of whom run out of cash, in one transaction. Then the same chunks heard again. The CPU
columns (server process and client thread, microseconds a bid) hold also on a busy machine, where the rates do not.
"""

import argparse
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.ledger.aurora import AuroraLedger
from bourse.matching.events import BidsPublished

from infra.local import postgres as local_postgres
from infra.local.arguments import positive
from tests.ledger.builders import NOON, bid, chunk, pay_in, settle

CHUNK, INVESTORS = 200, 500


def chunks(count: int, tenant_id: str, originator_id: str, chance: random.Random) -> list[BidsPublished]:
    made = []
    for number in range(count):
        bids = []
        for n in range(CHUNK):
            investor, principal = f"investor-{chance.randrange(INVESTORS)}", chance.randrange(1_000, 20_000)
            facts = {"loan_id": f"L{number * 40 + n % 40}", "originator_id": originator_id, "investor_id": investor, "risk_class": chance.choice("ABC")}
            amounts = {"principal": principal, "sell_amount": principal * 98 // 100, "buy_amount": principal * 101 // 100}
            bids.append(bid(f"{originator_id}-{number}-{n}", **facts, **amounts, bucket_id=chance.choice(("safe", "bold")), offer_volume=10**9))
        made.append(chunk(*bids, number=f"{originator_id}-{number}", tenant_id=tenant_id))
    return made


@dataclass
class Took:
    """Seconds of each chunk, and seconds of CPU of the server's process and of this thread for all of them."""

    chunks: list[float]
    server: float
    client: float


def run(dsn: str, work: list[BidsPublished], barrier: threading.Barrier) -> Took:
    """Settle the chunks on a connection of its own."""
    with closing(Database(dsn)) as database:
        with database.transaction("t1") as cursor:
            pid = cursor.connection.info.backend_pid
        ledger, took = AuroraLedger(database), Took([], 0.0, 0.0)
        barrier.wait()
        server, client = _cpu(pid), time.thread_time()
        for published in work:
            began = time.perf_counter()
            settle(ledger, published)
            took.chunks.append(time.perf_counter() - began)
        took.server, took.client = _cpu(pid) - server, time.thread_time() - client
    return took


def _cpu(pid: int) -> float:
    """User and system seconds of a process, on Linux; elsewhere zero."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description="The marketplace's ledger's numbers: bids settled per second.")
    parser.add_argument("--chunks", type=positive, default=50, metavar="N", help="chunks of 200 bids; 50 unless said")
    count = parser.parse_args().chunks
    home = Path(tempfile.mkdtemp(prefix="bourse-bench-"))
    server = local_postgres.start(home)
    try:
        server.run("create database {}", "bench")
        migrate(server.dsn("bench"))
        server.let_in("bourse_app")
        dsn, chance = server.dsn("bench", "bourse_app"), random.Random(7)
        print(f"{'':28}{'chunks':>7}{'bids/s':>9}{'p50 ms':>8}{'p95 ms':>8}{'server us':>12}{'client us':>12}")
        for writers in (1, 4):
            tenant_id = f"t{writers}"
            ledger = AuroraLedger(Database(dsn))
            for n in range(INVESTORS):
                pay_in(ledger, f"investor-{n}", 100_000_000 if n % 20 else 100_000, tenant_id=tenant_id)
            work = [chunks(count // writers, tenant_id, f"originator-{n}", chance) for n in range(writers)]
            for title in (f"{writers} writers, new bids", f"{writers} writers, heard again"):
                _measure(title, dsn, work)
            assert all(row.total == 0 for row in ledger.trial_balance(tenant_id, NOON))
    finally:
        local_postgres.stop(home)
        shutil.rmtree(home, ignore_errors=True)


def _measure(title: str, dsn: str, work: list[list[BidsPublished]]) -> None:
    barrier = threading.Barrier(len(work))
    began = time.perf_counter()
    with ThreadPoolExecutor(len(work)) as pool:
        took = list(pool.map(lambda mine: run(dsn, mine, barrier), work))
    times = sorted(seconds * 1000 for one in took for seconds in one.chunks)
    bids = len(times) * CHUNK
    rate, server, client = bids / (time.perf_counter() - began), sum(one.server for one in took), sum(one.client for one in took)
    p50, p95 = statistics.median(times), times[int(len(times) * 0.95)]
    print(f"{title:28}{len(times):>7}{rate:>9,.0f}{p50:>8.1f}{p95:>8.1f}{server / bids * 1e6:>12.0f}{client / bids * 1e6:>12.0f}", flush=True)


if __name__ == "__main__":
    main()
