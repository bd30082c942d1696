"""Planning's numbers: `python -m tests.bench.bench_planning` (about 20 s): the gap analyzer alone, and whole plans on PostgreSQL.

A PostgreSQL of its own with fsync on; client and server share this machine. Plans: portfolios of an investor each, ten buckets, a
journal of settled bids behind them, a first plan, then plans that find nothing changed, and the home of an investor.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.clock import FixedClock
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.transfers import deposit
from bourse.money import Money
from bourse.parties.aurora import AuroraParties
from bourse.parties.model import Investor
from bourse.trading.aurora import AuroraPlans, AuroraPortfolios
from bourse.trading.events import BalancesChanged
from bourse.trading.gap import plan
from bourse.trading.model import Portfolio, PortfolioStatus
from bourse.trading.plan_purchases import plan_purchases
from bourse.trading.portfolios import home

from infra.local import postgres as local_postgres
from tests.trading.builders import PRODUCT, facts, terms

PORTFOLIOS, BIDS_EACH, SHARES = 200, 2_000, ("10",) * 10
T, CLOCK = "t1", FixedClock(datetime(2026, 1, 5, 9, tzinfo=UTC))
# One bid in a hundred came back unpaid, as after a withdrawal.
_BIDS = """
    insert into ledger.bid (tenant_id, bid_id, outcome, reason, offer_id, loan_id, originator_id, investor_id, portfolio_id, bucket_id,
      currency, principal, sell_amount, buy_amount, correlation_id, decided_at)
    select 't1', 'bid_' || p || '_' || n, case when n %% 100 = 0 then 'returned' else 'settled' end, case when n %% 100 = 0 then 'insufficient_cash' end,
      'off_' || n, 'L' || n, 'acme', 'i' || p, 'p' || p, 'b' || n %% 10, 'USD', 100, 99, 101, 'c', now()
    from generate_series(0, %s) p, generate_series(1, %s) n"""


def row(name: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    p95 = ordered[int(len(ordered) * 0.95)]
    print(f"{name:44}{len(ordered):>7}{len(ordered) / sum(ordered):>10,.0f}{statistics.median(ordered) * 1000:>9.2f}{p95 * 1000:>9.2f}")


def timed(times: int, does: Callable[[int], object]) -> list[float]:
    took = []
    for number in range(times):
        began = time.perf_counter()
        does(number)
        took.append(time.perf_counter() - began)
    return took


def prepare(database: Database, owner: Database) -> None:
    parties, portfolios, ledger = AuroraParties(database), AuroraPortfolios(database), AuroraLedger(database)
    parties.publish_product(T, "consumer", PRODUCT, "op", CLOCK.now())
    for number in range(PORTFOLIOS):
        investor = f"i{number}"
        parties.add_investor(T, Investor(investor_id=investor, name=investor), "op", CLOCK.now())
        one = Portfolio(portfolio_id=f"p{number}", investor_id=investor, status=PortfolioStatus.ACTIVE, terms=terms(*SHARES, volume=10**8))
        portfolios.add(T, one, CLOCK.now())
        deposit(T, investor, Money(10**8, "USD"), "wire", investor, ledger=ledger, clock=CLOCK, window_seconds=30)
    with owner.transaction(T) as cursor:
        cursor.execute(_BIDS, [PORTFOLIOS - 1, BIDS_EACH])


def cause(number: int, portfolio: int) -> BalancesChanged:
    return BalancesChanged(message_id=f"msg_{number}", tenant_id=T, correlation_id="c", portfolio_id=f"p{portfolio}", window=number)


def main() -> None:
    print(f"{'':44}{'runs':>7}{'per s':>10}{'p50 ms':>9}{'p95 ms':>9}")
    given = facts(*SHARES, volume=10**8, ratio="1.0025", lot=2_500, principals=[number * 10**5 for number in range(10)])
    row("gap analyzer, 10 buckets", timed(2_000, lambda _: plan(given)))
    short = given.model_copy(update={"cash": 12_345, "buy_ratio": Decimal("1.0025")})
    row("gap analyzer, 10 buckets, cash for two lots", timed(2_000, lambda _: plan(short)))
    directory = Path(tempfile.mkdtemp(prefix="bourse-bench-"))
    server = local_postgres.start(directory)
    try:
        server.run("create database {}", "bench")
        migrate(server.dsn("bench"))
        server.let_in("bourse_app")
        with closing(Database(server.dsn("bench", "bourse_app"))) as database, closing(Database(server.dsn("bench"))) as owner:
            prepare(database, owner)
            plans, portfolios = AuroraPlans(database), AuroraPortfolios(database)
            row(f"first plans ({BIDS_EACH:,} bids behind each)", timed(PORTFOLIOS, lambda n: plan_purchases(cause(n, n), plans=plans, clock=CLOCK)))
            again = timed(PORTFOLIOS, lambda n: plan_purchases(cause(PORTFOLIOS + n, n), plans=plans, clock=CLOCK))
            row("plans that find nothing changed", again)
            row("plans heard a second time", timed(PORTFOLIOS, lambda n: plan_purchases(cause(n, n), plans=plans, clock=CLOCK)))
            row("an investor's home", timed(PORTFOLIOS, lambda n: home(T, f"i{n}", portfolios=portfolios)))
    finally:
        local_postgres.stop(directory)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
