"""What one signature by `operations` adds to a posted batch of 1,000 transfers, against durable settings: python -m tests.bench.bench_signatures."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.ledger.actions import Account, Flavor, Issue, Transaction, Transfer
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.authority import Warrant, verified
from bourse.ledger.keys import Key, sign_batch
from bourse.ledger.signing import Ed25519Signer
from rich.console import Console
from rich.table import Table

from infra.local import postgres as local_postgres

T, AT, BATCH, ACCOUNTS, ROUNDS = "t1", datetime(2026, 1, 5, 9, tzinfo=UTC), 1_000, 1_000, 40
OPERATIONS = Ed25519Signer.from_secret("operations", "bench".ljust(32, "."))
_numbers = count(1)


def batch(prefix: str) -> list[Transaction]:
    """Transfers between accounts whose names begin with `prefix`."""
    pairs = ((number, f"{prefix}{number % ACCOUNTS}", f"{prefix}{(number + 1) % ACCOUNTS}") for number in range(BATCH))
    return [Transaction(f"b{next(_numbers)}", (Transfer("usd", number + 1, source, destination),), AT) for number, source, destination in pairs]


def opened(database: Database) -> AuroraBooks:
    """Accounts that name no keys (`free`) and that name `operations` (`keyed`)."""
    books = AuroraBooks(database)
    books.keys.open_key(T, Key(OPERATIONS.key_id, OPERATIONS.algorithm, OPERATIONS.public_key(), AT))
    books.open_flavor(T, Flavor("usd"))
    for prefix, key_ids in (("free", ()), ("keyed", ("operations",))):
        for number in range(ACCOUNTS):
            books.open_account(T, Account(f"{prefix}{number}", key_ids=key_ids))
        books.post(T, [Transaction(f"open{prefix}{number}", (Issue("usd", 10**9, f"{prefix}{number}"),), AT) for number in range(ACCOUNTS)], AT)
    return books


def microseconds(does: Callable[[list[Transaction]], object], prefix: str) -> int:
    """The median over the rounds; the batches are made before the clock runs."""
    times = []
    for _ in range(ROUNDS):
        made = batch(prefix)
        begun = time.perf_counter_ns()
        does(made)
        times.append((time.perf_counter_ns() - begun) // 1_000)
    return statistics.median_low(times)


def measure(books: AuroraBooks) -> list[tuple[str, int]]:
    def signing(made: list[Transaction]) -> object:
        return sign_batch(OPERATIONS, T, made)

    def verifying(made: list[Transaction]) -> Callable[[], Warrant]:
        one = sign_batch(OPERATIONS, T, made)  # digests are made once for a transaction, and posting needs them with or without keys
        return lambda: verified(books.keys, T, made, [one], AT)

    def post(made: list[Transaction]) -> object:
        return books.post(T, made, AT)

    def post_signed(made: list[Transaction]) -> object:
        return books.post(T, made, AT, signatures=[sign_batch(OPERATIONS, T, made)])

    checks, requires = [], []
    account = Account("any", key_ids=("operations",))
    for _ in range(ROUNDS):
        made = batch("keyed")
        check = verifying(made)
        begun = time.perf_counter_ns()
        warrant = check()
        between = time.perf_counter_ns()
        warrant.require(made, lambda _: account, lambda _: Flavor("usd"))
        checks.append((between - begun) // 1_000)
        requires.append((time.perf_counter_ns() - between) // 1_000)
    return [
        ("digests and one signature made, Ed25519 in memory", microseconds(signing, "keyed")),
        ("the signature verified", statistics.median_low(checks)),
        ("every action held against the quorum it needs", statistics.median_low(requires)),
        ("posted, accounts without keys", microseconds(post, "free")),
        ("signed and posted, accounts with the key", microseconds(post_signed, "keyed")),
    ]


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="bourse-bench-"))
    server = local_postgres.start(home)
    try:
        server.run("create database {}", "bench")
        migrate(server.dsn("bench"))
        server.let_in("bourse_app")
        with closing(Database(server.dsn("bench", "bourse_app"))) as database:
            rows = measure(opened(database))
    finally:
        local_postgres.stop(home)
        shutil.rmtree(home, ignore_errors=True)
    table = Table(title=f"a batch of {BATCH:,} transfers with one signature by `operations`, us (median of {ROUNDS})")
    table.add_column("what")
    table.add_column("us", justify="right")
    for what, value in rows:
        table.add_row(what, f"{value:,}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
