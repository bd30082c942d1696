"""How long a check of a million transactions takes, and what a sealing costs: the books are made by plain SQL, not by posting.

python -m tests.bench.bench_checker

One connection, so one core computes at a time; the client only hashes blocks. Where other work shares the machine, seconds by the clock
are more than those a core computed, so both are printed: the latter is what server and client used. TRANSACTIONS=100000 makes fewer; SIGNED=1 has a
default that every transaction asks, and a signature for every 5,000.
"""

import os
import resource
import shutil
import tempfile
import time
from contextlib import closing
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg
from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.ledger.actions import canonical
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.aurora_seal import AuroraSeals
from bourse.ledger.keys import batch_digest, message
from bourse.ledger.seal import ENTRIES_MAX
from bourse.ledger.signing import Ed25519Signer
from rich.console import Console
from rich.table import Table

from infra.local import postgres as local_postgres

T, ACCOUNTS, TRANSACTIONS = "t1", 10_000, int(os.environ.get("TRANSACTIONS", "1000000"))
# As if 5,000 had been posted by one call each time. The first 4 * ACCOUNTS transactions fill the lots of the accounts, four each, the others
# move from one to another.
_MAKE = (
    "insert into books.flavor (tenant_id, flavor_id) values ('t1', 'usd')",
    "insert into books.chain (tenant_id) values ('t1')",
    "insert into books.account (tenant_id, account_id, floor, hot) values ('t1', 'world', null, true)",
    "insert into books.account (tenant_id, account_id) select 't1', 'a' || n from generate_series(1, {accounts}) n",
    """insert into books.tags_told (tenant_id, what, no, since_no, tags)
       select 't1', 'f', flavor_no, nextval('books.txn_no'), tags from books.flavor
       union all select 't1', 'a', account_no, nextval('books.txn_no'), tags from books.account where account_id <> 'world'""",
    "insert into books.term (tenant_id, what, term, no) select tenant_id, 't', books.terms_of(tags), tagset_no from books.tagset",
    """insert into books.lot (tenant_id, account_no, flavor_no, tagset_no, slot, floor)
       select 't1', a.account_no, f.flavor_no, g, 0, a.floor from books.account a, books.flavor f, generate_series(0, 3) g
       where a.account_id <> 'world' or g = 0 order by a.account_no, g""",
    """insert into books.txn (txn_no, tenant_id, txn_id, kind, digest, effective_at, correlation_id, tags, xid)
       select nextval('books.txn_no'), 't1', 'txn_' || n, 'transaction', decode(md5(n::text), 'hex'), timestamptz '2026-01-05T09:00Z' + n * interval '1 second',
         'bench', '{{}}', n / 5000 from generate_series(1, {transactions}) n""",
    """insert into books.move (txn_no, seq, action_no, type, src, dst, amount, tagset_no, effective_at, tenant_id)
       select x.txn_no, 1, 0, case when n <= 4 * {accounts} then 'i' else 't' end::"char",
         case when n <= 4 * {accounts} then 1 else 2 + n * 7919 % (4 * {accounts}) end,
         case when n <= 4 * {accounts} then 1 + n else 2 + (n * 7919 + n % 9973 + 1) % (4 * {accounts}) end,
         case when n <= 4 * {accounts} then 1000000 else 1 + n % 50 end, n % 4, x.effective_at, 't1'
       from (select *, row_number() over (order by txn_no) as n from books.txn) x""",
    """update books.lot l set amount = m.amount, latest_at = m.at, opened_no = coalesce(m.risen << 20, 0)
       from (select lot_no, sum(change) as amount, max(effective_at) as at, max(risen) as risen from (
         select src as lot_no, -amount as change, effective_at, null as risen from books.move
         union all select dst, amount, effective_at, txn_no from books.move) m group by lot_no) m where m.lot_no = l.lot_no""",
)
_KEY = """
    insert into books.key (tenant_id, key_id, version, algorithm, public_key, valid_from, xid) values ('t1', 'k', 1, 'ed25519', %s, '2026-01-01Z', 1)"""
_DEFAULT = "insert into books.default_quorum (tenant_id, key_ids, since, told_at, xid) values ('t1', '{k}', '2026-01-01Z', '2026-01-01Z', 1)"
_POSTINGS = """
    select xid, min(txn_no), array_agg(txn_no order by txn_no), array_agg(digest order by txn_no) from books.txn group by xid order by xid"""
_SIGNATURE = """
    insert into books.signature (posting_no, place, tenant_id, key_id, version, scope, digest, signature, txn_nos, accepted_at, xid)
    values (%s, 1, 't1', 'k', 1, 'batch', %s, %s, %s, '2026-01-05Z', %s)"""


def sign(owner: "psycopg.Connection[Any]") -> None:
    """One signature over each 5,000, and a default that asks for it."""
    signer = Ed25519Signer.from_secret("k", "k" * 40)
    owner.execute(_KEY, [signer.public_key()])
    owner.execute(_DEFAULT)
    for xid, first, numbers, digests in owner.execute(_POSTINGS).fetchall():
        digest = batch_digest(digests)
        owner.execute(_SIGNATURE, [first, digest, signer.sign(message(T, "batch", digest)), numbers, xid])


def make(dsn: str) -> None:
    """The books, as their owner whom no trigger stops."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("set session_replication_role = 'replica'")
        for tags in ({"n": 1}, {"n": 2}, {"n": 3}):
            text = canonical(tags)
            owner.execute("insert into books.tagset (tenant_id, tags, digest) values (%s, %s, %s)", [T, text.decode(), blake2b(text, digest_size=16).digest()])
        for statement in _MAKE:
            owner.execute(statement.format(accounts=ACCOUNTS, transactions=TRANSACTIONS))
        if os.environ.get("SIGNED"):
            sign(owner)
        owner.execute("vacuum analyze")


def seal(database: Database) -> tuple[int, int]:
    """Entries and blocks."""
    entries, blocks, seals = 0, 0, AuroraSeals(database)
    while sealed := seals.seal(T, ENTRIES_MAX):
        entries, blocks = entries + sealed.entries, blocks + 1
    return entries, blocks


def computed(home: Path) -> Decimal:
    """CPU seconds of this process, and of the server's processes that have ended."""
    postmaster = (home / "data/postmaster.pid").read_text().split()[0]
    ticks = sum(int(one) for one in Path(f"/proc/{postmaster}/stat").read_text().rsplit(")", 1)[1].split()[13:15])
    return Decimal(ticks) / os.sysconf("SC_CLK_TCK") + Decimal(time.process_time())


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="bourse-bench-"))
    server = local_postgres.start(home)
    try:
        server.run("create database {}", "ours")
        migrate(server.dsn("ours"))
        server.let_in("bourse_app")
        make(server.dsn("ours"))
        table = Table(f"{TRANSACTIONS:,} transactions", "seconds", "us each", "goal")
        with closing(Database(server.dsn("ours", "bourse_app"))) as database:
            began = time.perf_counter()
            entries, blocks = seal(database)
            took = time.perf_counter() - began
            table.add_row(f"sealed: {entries:,} entries in {blocks} blocks", f"{took:.1f}", f"{took * 1e6 / entries:.1f}", "")
            parts: dict[str, float] = {}
            before, cpu, began = peak_mb(), computed(home), time.perf_counter()
            differences = list(AuroraChecker(database).differences(T, progress=lambda part, _: parts.update({part: parts.get(part, time.perf_counter())})))
            ended = time.perf_counter()
            time.sleep(1)  # until the server has counted what its process used
            cpu = computed(home) - cpu
        times = [*parts.values(), ended]
        for place, part in enumerate(parts):
            table.add_row(f"checked: {part}", f"{times[place + 1] - times[place]:.1f}", f"{(times[place + 1] - times[place]) * 1e6 / TRANSACTIONS:.1f}", "")
        table.add_row("checked in all", f"{ended - began:.1f}", f"{(ended - began) * 1e6 / TRANSACTIONS:.1f}", "< 60 s")
        table.add_row("computed by server and client in all", f"{cpu:.1f}", f"{cpu * 1_000_000 / TRANSACTIONS:.1f}", "< 60 s")
    finally:
        local_postgres.stop(home)
        shutil.rmtree(home, ignore_errors=True)
    Console(width=110).print(table)
    print(f"{len(differences)} differences; the client's memory grew by {peak_mb() - before} MB.")


if __name__ == "__main__":
    main()
