"""The guide's queries on ten million lots: `python -m tests.bench.bench_ledger_queries [--rows 10000000] [--keep FOLDER]`.

The books are filled by SQL: loans of twelve installments, each held by twenty of 20,000 investors; two loans a borrower; their cash; and a year of
repayments with a fee each, a twentieth as many as there are lots. The queries go through the adapter as a function's do: a filter that is parsed, one
transaction of the tenant, on the role functions have. The lots are in the server's memory, those
of a loan beside each other, as a sale writes them. Client and server share this machine.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import AsOf, Question
from rich.console import Console
from rich.table import Table

from infra.local import postgres as local_postgres

T, YEAR = "t1", datetime(2025, 1, 1, tzinfo=UTC)
HOLDERS, INSTALLMENTS, INVESTORS = 20, 12, 20_000
GOAL_MS = 2.0
_FILL = """
    select set_config('app.tenant', 't1', false), setseed(0.5);
    insert into books.flavor (tenant_id, flavor_id, tags) values ('t1', 'usd', '{"type": "currency"}');
    insert into books.flavor (tenant_id, flavor_id, tags)
    select 't1', 'loan' || n, jsonb_build_object('type', 'loan', 'loan_id', n::text, 'borrower_id', 'b' || n / 2, 'issue_date',
      to_char(date '2024-07-01' + (n %% 365)::int, 'YYYY-MM-DD"T00:00:00Z"')) from generate_series(1, %(loans)s) n;
    insert into books.account (tenant_id, account_id, tags)
    select 't1', 'i' || n, '{"type": "investor"}' from generate_series(1, %(investors)s) n;
    insert into books.account (tenant_id, account_id, tags) values ('t1', 'processing', '{"type": "company"}'), ('t1', 'lending', '{"type": "company"}');
    insert into books.account (tenant_id, account_id, floor, hot) values ('t1', 'world', null, true);
    insert into books.tagset (tenant_id, tags, digest)
    select 't1', t.tags, decode(md5(t.tags::text), 'hex') from generate_series(0, 35) month, generate_series(1, %(installments)s) installment,
      lateral (select jsonb_build_object('installment', installment,
        'due_date', to_char(date '2024-07-01' + make_interval(months => month), 'YYYY-MM-DD"T00:00:00Z"')) as tags) t;
    insert into books.tagset (tenant_id, tags, digest) select 't1', t::jsonb, decode(md5(t), 'hex') from unnest(array[
      '{"type": "company_fee"}', '{"type": "loan_payment"}']) t;
    create temp table numbered as select tagset_no, (tags ->> 'installment')::int as installment,
      row_number() over (partition by tags ->> 'installment' order by tags ->> 'due_date') - 1 as month from books.tagset where tags ? 'installment';
    create temp table investor as select account_no, row_number() over (order by account_no) - 1 as n from books.account where account_id like 'i%%';
    create index on numbered (installment, month);
    create index on investor (n);
    analyze numbered;
    analyze investor;
    insert into books.lot (tenant_id, account_no, flavor_no, tagset_no, slot, amount, floor, version, latest_at)
    select 't1', i.account_no, f.flavor_no, t.tagset_no, 0, 1 + (random() * 1000)::int, 0, 1, '2025-01-01'
    from books.flavor f cross join generate_series(0, %(holders)s - 1) h cross join generate_series(1, %(installments)s) g
    join investor i on i.n = (f.flavor_no * 7919 + h * 1009) %% %(investors)s
    join numbered t on t.installment = g and t.month = (f.flavor_no %% 24 + g) %% 36
    where f.flavor_id <> 'usd' order by f.flavor_no, h, g;
    insert into books.lot (tenant_id, account_no, flavor_no, tagset_no, slot, amount, floor, version, latest_at)
    select 't1', account_no, flavor_no, 0, 0, 100000, 0, 1, '2025-01-01' from books.account, books.flavor
    where account_id like 'i%%' and flavor_id = 'usd';
    insert into books.lot (tenant_id, account_no, flavor_no, tagset_no, slot, amount, floor, version, latest_at)
    select 't1', account_no, flavor_no, 0, s, case account_id when 'world' then -1000000000000 else 1000000000 end,
      case account_id when 'world' then null else 0 end, 1, '2025-01-01' from books.account, books.flavor, generate_series(0, 15) s
    where account_id in ('processing', 'world') and flavor_id = 'usd' and (s = 0 or account_id = 'world');
    create temp table at as select n, timestamptz '2025-01-01' + n * interval '365 days' / %(payments)s as at from generate_series(1, %(payments)s) n;
    insert into books.txn (txn_no, tenant_id, txn_id, kind, digest, effective_at, correlation_id, tags)
    select nextval('books.txn_no'), 't1', 'pay' || n, 'transaction', '\\x00', at, '', '{}' from at;
    insert into books.move (txn_no, seq, action_no, type, src, dst, amount, tagset_no, effective_at, tenant_id)
    select x.txn_no, part, part - 1, case part when 1 then 't' else 'r' end, case part when 1 then i.lot_no else p.lot_no end,
      case part when 1 then p.lot_no else w.lot_no end, case part when 1 then 11000 else 110 end,
      case part when 1 then payment.tagset_no else fee.tagset_no end, x.effective_at, 't1'
    from books.txn x join (select l.lot_no, v.n from books.lot l join investor v using (account_no) where l.tagset_no = 0) i on i.n = x.txn_no %% %(investors)s,
      generate_series(1, 2) part,
      (select lot_no from books.lot join books.account using (account_no) where account_id = 'processing') p,
      (select min(lot_no) as lot_no from books.lot join books.account using (account_no) where account_id = 'world') w,
      (select tagset_no from books.tagset where tags ->> 'type' = 'loan_payment') payment,
      (select tagset_no from books.tagset where tags ->> 'type' = 'company_fee') fee
    order by x.txn_no, part"""


Params = Callable[[random.Random], tuple[Any, ...]]


@dataclass(frozen=True)
class Asked:
    """A query of the guide: how it reads, and one asking."""

    name: str
    ask: Callable[[AuroraBooks, random.Random], Any]
    goal: bool = True
    times: int = 300


def _sums(
    text: str, params: Callable[[random.Random], tuple[Any, ...]], *group_by: str, as_of: AsOf | None = None
) -> Callable[[AuroraBooks, random.Random], Any]:
    return lambda books, rnd: books.sum_tokens(T, Question(text, params(rnd), group_by), as_of or AsOf())


def _window(days: int) -> Callable[[random.Random], tuple[str, ...]]:
    def params(rnd: random.Random) -> tuple[str, ...]:
        begin = YEAR + timedelta(days=rnd.randrange(0, 365 - days), hours=rnd.randrange(24))
        return "company_fee", begin.isoformat(), (begin + timedelta(days=days)).isoformat()

    return params


def queries(loans: int, investors: int) -> list[Asked]:
    """The guide's, each with other parameters at each asking."""
    fees = "tags.type=$1 AND type='retire' AND flavor_id='usd' AND timestamp >= $2 AND timestamp < $3"

    def investor(rnd: random.Random) -> str:
        return f"i{rnd.randrange(1, investors + 1)}"

    def fees_of(days: int) -> Callable[[AuroraBooks, random.Random], Any]:
        return lambda books, rnd: books.sum_actions(T, Question(fees, _window(days)(rnd)))

    cash = "accountTags.type=$1 AND flavorTags.type=$2"
    return [
        Asked("what an investor owns, by loan", _sums("accountId=$1 AND flavorTags.type='loan'", lambda rnd: (investor(rnd),), "flavorId")),
        Asked(
            "what a borrower owes, by loan and due date",
            _sums("flavorTags.borrower_id=$1", lambda rnd: (f"b{rnd.randrange(1, loans // 2)}",), "flavorId", "tags.due_date"),
        ),
        Asked("an investor's cash", _sums("accountId=$1 AND flavorTags.type='currency'", lambda rnd: (investor(rnd),), "accountId", "flavorId")),
        Asked("fees of a day", fees_of(1)),
        Asked("an investor's cash as of a day", _sums("accountId=$1 AND flavorId='usd'", lambda rnd: (investor(rnd),), as_of=AsOf(YEAR + timedelta(days=99)))),
        Asked("fees of 30 days", fees_of(30), goal=False, times=20),
        Asked("the cash of each investor", _sums(cash, lambda _: ("investor", "currency"), "accountId", "flavorId"), goal=False, times=5),
        Asked("all cash of investors", _sums(cash, lambda _: ("investor", "currency")), goal=False, times=5),
    ]


def fill(server: local_postgres.Server, rows: int) -> None:
    """Books with that many lots."""
    server.run("create database {}", "queries")
    migrate(server.dsn("queries"))
    server.let_in("bourse_app")
    with psycopg.connect(server.dsn("queries"), autocommit=True) as owner:
        owner.execute("set work_mem = '256MB'; set maintenance_work_mem = '1GB'; set synchronous_commit = off")
        sizes = {"loans": loans_of(rows), "investors": investors_of(rows), "holders": HOLDERS, "installments": INSTALLMENTS, "payments": max(100, rows // 20)}
        for statement in psycopg.ClientCursor(owner).mogrify(_FILL, sizes).split(";\n"):
            owner.execute(statement)
        owner.execute("vacuum analyze")


def loans_of(rows: int) -> int:
    return max(4, rows // (HOLDERS * INSTALLMENTS))


def investors_of(rows: int) -> int:
    return min(INVESTORS, max(HOLDERS, loans_of(rows) * HOLDERS * INSTALLMENTS // 500))


def measure(books: AuroraBooks, asked: Asked) -> tuple[float, float]:
    """p50 and p99 in milliseconds, after ten to warm up."""
    rnd, taken = random.Random(7), []
    for number in range(asked.times + min(10, asked.times)):
        began = time.perf_counter()
        asked.ask(books, rnd)
        if number >= min(10, asked.times):
            taken.append((time.perf_counter() - began) * 1_000)
    return statistics.median(taken), sorted(taken)[int(len(taken) * 0.99)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--keep", type=Path, help="a folder to keep the server's data in, or to find it filled")
    arguments = parser.parse_args()
    home = arguments.keep or Path(tempfile.mkdtemp(prefix="bourse-bench-"))
    filled = (home / "data").exists()
    server = local_postgres.start(home)
    table = Table("query", "p50 ms", "p99 ms", "goal")
    try:
        began = time.perf_counter()
        if not filled:
            server.run("alter system set shared_buffers = '4GB'")
            server.run("alter system set max_wal_size = '8GB'")
            local_postgres.stop(home)
            server = local_postgres.start(home)
            fill(server, arguments.rows)
            print(f"filled in {time.perf_counter() - began:.0f} s")
        with psycopg.connect(server.dsn("queries")) as owner:
            row = owner.execute("select reltuples::bigint, pg_total_relation_size(oid) from pg_class where oid = 'books.lot'::regclass").fetchone()
            assert row is not None
            owner.execute("set enable_seqscan = off; set enable_bitmapscan = off")
            owner.execute("select sum(amount) from books.lot where account_no > 0")  # in the order of an index, so that the pages stay in memory
        with closing(Database(server.dsn("queries", "bourse_app"))) as database:
            for asked in queries(loans_of(arguments.rows), investors_of(arguments.rows)):
                p50, p99 = measure(AuroraBooks(database), asked)
                table.add_row(asked.name, f"{p50:.2f}", f"{p99:.2f}", f"<= {GOAL_MS}" if asked.goal else "")
    finally:
        local_postgres.stop(home)
        if not arguments.keep:
            shutil.rmtree(home, ignore_errors=True)
    Console(width=110).print(table)
    print(f"{row[0]:,} lots ({row[1] / 2**30:.1f} GiB with indexes), {max(100, arguments.rows // 10):,} moves; shared_buffers 4 GB.")


if __name__ == "__main__":
    main()
