"""What sealing takes from posting: the same postings without and with a sealer that keeps up with them, in one run on one server.

python -m tests.bench.bench_seal

Durable settings; client, sealer and server share this machine, so what the sealer's hashing takes of the cores is in the ratio.
Each connection is a process of its own, the sealer too; it seals once a second whatever there is, where the schedule does once a minute.
"""

import random
import shutil
import statistics
import tempfile
import time
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import psycopg
from bourse.aws.postgres import Database
from bourse.ledger.aurora_seal import AuroraSeals
from bourse.ledger.seal import ENTRIES_MAX
from rich.console import Console
from rich.table import Table

from infra.local import postgres as local_postgres
from tests.bench.bench_ledger import SECONDS, T, ours, prepare, started

ROUNDS = 5
_POSTED = "select count(*) from books.txn"
_SEALED = "select coalesce(sum(cardinality(numbers)), 0), coalesce(max(block_no), 0) from books.block"


def seal_until(dsn: str, over: Event, every: float) -> None:
    """Seal all there is once in `every` seconds, as `seal_ledger` does once a minute."""
    with closing(Database(dsn)) as database:
        seals = AuroraSeals(database)
        while not over.wait(every):
            seals.tenants()  # as a run begins
            while (sealed := seals.seal(T, ENTRIES_MAX)) and sealed.entries >= ENTRIES_MAX:
                pass


def postings(dsn: str, connections: int, batch: int, *, sealed: bool) -> float:
    """Transfers per second of all connections."""
    context = get_context("spawn")
    over = context.Event()
    sealer = context.Process(target=seal_until, args=(dsn, over, 1.0))
    if sealed:
        sealer.start()
    try:
        with context.Pool(connections) as pool:
            return sum(pool.starmap(ours, [(dsn, random.getrandbits(40), batch, SECONDS) for _ in range(connections)]))
    finally:
        over.set()
        if sealed:
            sealer.join()


def seal_rest(dsn: str) -> tuple[int, float]:
    """Seal what is left; how many entries, and microseconds for each."""
    entries, began = 0, time.perf_counter()
    with closing(Database(dsn)) as database:
        seals = AuroraSeals(database)
        seals.tenants()
        while sealed := seals.seal(T, ENTRIES_MAX):
            entries += sealed.entries
    return entries, (time.perf_counter() - began) * 1e6 / max(1, entries)


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="bourse-bench-"))
    table = Table("transfers per second", "connections", "per call", "unsealed", "sealed meanwhile", "ratio", "goal")
    server = started(home)
    try:
        _, dsn = prepare(server, None)["ours"]
        seal_rest(dsn)
        costs: list[Any] = []
        for batch, connections in ((1, 1), (1, 4), (1_000, 1), (1_000, 4)):
            rounds = []
            for _ in range(ROUNDS):
                unsealed_now = postings(dsn, connections, batch, sealed=False)
                costs.append(seal_rest(dsn))  # so that the sealer has to keep up with what is posted beside it, and with nothing else
                rounds.append([unsealed_now, postings(dsn, connections, batch, sealed=True)])
                costs.append(seal_rest(dsn))
            unsealed, sealed = (statistics.median(one[place] for one in rounds) for place in (0, 1))
            ratio = statistics.median(one[1] / one[0] for one in rounds)
            table.add_row("a transfer a transaction", str(connections), f"{batch:,}", f"{unsealed:,.0f}", f"{sealed:,.0f}", f"{ratio:.2f}", ">= 0.80")
        with psycopg.connect(server.dsn("ours")) as owner:
            [posted], [sealed_of_all, blocks] = owner.execute(_POSTED).fetchone() or (0,), owner.execute(_SEALED).fetchone() or (0, 0)
    finally:
        local_postgres.stop(home)
        shutil.rmtree(home, ignore_errors=True)
    Console(width=110).print(table)
    alone = statistics.median(cost for entries, cost in costs if entries > 1_000)
    print(f"Medians of {ROUNDS} interleaved rounds of {SECONDS:.0f} s. Of {posted:,} transactions all {sealed_of_all:,} entries came into {blocks} blocks,")
    print(f"with nothing else running {alone:.0f} us an entry.")


if __name__ == "__main__":
    main()
