"""An investor with portfolios, cash and settled bids, kept in memory or in PostgreSQL: what the tests of planning and explaining run on."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bourse.aws.postgres import Database
from bourse.clock import FixedClock
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.settle_investments import settle_investments
from bourse.ledger.transfers import deposit
from bourse.matching.events import Bid, BidsPublished
from bourse.message import Message, decode, message_id
from bourse.money import Money
from bourse.parties.aurora import AuroraParties
from bourse.parties.model import Investor, InvestorStatus, ProductTerms
from bourse.trading.aurora import AuroraPlans, AuroraPortfolios
from bourse.trading.events import BalancesChanged, BuyOffersPlaced, buy_offer_id_of
from bourse.trading.memory import MemoryTrading, Surroundings
from bourse.trading.model import BucketFacts, PortfolioStatus, PortfolioTerms
from bourse.trading.plan_purchases import plan_purchases
from bourse.trading.portfolios import change_status, create_portfolio

from tests.trading.builders import PRODUCT, terms

CLOCK = FixedClock(datetime(2026, 1, 5, 9, tzinfo=UTC))
T = "t1"


@dataclass
class World:
    """One of the two keepers, and how money gets in, bids are settled and investors are stopped."""

    portfolios: Any
    plans: Any
    give: Callable[[str, int], object]
    stop: Callable[[str], object]
    settle: Callable[[str, int], object]
    """Ada's portfolio `income` buys for this bucket so many minor units, at par."""
    said: Callable[[], list[Message]]
    """What commands said and nobody sent yet, deposits left out."""

    def create(self, portfolio_id: str = "income", investor_id: str = "ada", asked: PortfolioTerms | None = None) -> None:
        create_portfolio(T, investor_id, portfolio_id, asked or terms("75", "25"), PRODUCT, portfolios=self.portfolios, clock=CLOCK)

    def become(self, status: PortfolioStatus, portfolio_id: str = "income") -> None:
        change_status(T, "ada", portfolio_id, status, portfolios=self.portfolios, clock=CLOCK, window_seconds=30)

    def plan(self, window: int, portfolio_id: str = "income") -> BuyOffersPlaced | None:
        said = self.say(window, portfolio_id)
        return said[0] if said else None

    def say(self, window: int, portfolio_id: str = "income") -> tuple[BuyOffersPlaced, ...]:
        cause = BalancesChanged(message_id=f"msg_{portfolio_id}_{window}", tenant_id=T, correlation_id="c", portfolio_id=portfolio_id, window=window)
        return plan_purchases(cause, plans=self.plans, clock=CLOCK).says


def memory_world() -> World:
    cash: dict[str, int] = {}
    stopped: set[str] = set()
    held: dict[tuple[str, str], BucketFacts] = {}
    around = Surroundings(
        product=lambda product_id: PRODUCT if product_id == "consumer" else None,
        active=lambda investor: investor not in stopped,
        cash=lambda investor, _: cash.get(investor, 0),
        bucket=lambda portfolio_id, bucket_id: held.get((portfolio_id, bucket_id), BucketFacts()),
    )
    trading = MemoryTrading(around)

    def give(investor: str, amount: int) -> None:
        cash[investor] = cash.get(investor, 0) + amount

    def bought(bucket_id: str, principal: int) -> None:
        before = held.get(("income", bucket_id), BucketFacts())
        give("ada", -principal)
        held["income", bucket_id] = BucketFacts(principal=before.principal + principal, settled_total=before.settled_total + principal)

    return World(trading, trading, give, stopped.add, bought, lambda: trading.outbox)


def aurora_world(database: Database) -> World:
    parties, ledger = AuroraParties(database), AuroraLedger(database)
    parties.publish_product(T, "consumer", ProductTerms.model_validate(PRODUCT.model_dump()), "op", CLOCK.now())
    for investor in ("ada", "ben"):
        parties.add_investor(T, Investor(investor_id=investor, name=investor), "op", CLOCK.now())
    given: list[int] = []

    def give(investor: str, amount: int) -> None:
        given.append(amount)
        deposit(T, investor, Money(amount, "USD"), "wire", str(len(given)), ledger=ledger, clock=CLOCK, window_seconds=30)

    stop = lambda investor: parties.set_status(T, investor, InvestorStatus.BLOCKED, "op", CLOCK.now())  # noqa: E731  one line for both worlds

    def said() -> list[Message]:
        with database.transaction(T) as cursor:
            rows = cursor.execute("select body from foundation.outbox where body like '%portfolio/%'").fetchall()
        return [decode(row[0], BalancesChanged) for row in rows]

    numbers = itertools.count(1)
    bought = lambda bucket_id, principal: settle(database, next(numbers), principal, bucket_id)  # noqa: E731  as above
    return World(AuroraPortfolios(database), AuroraPlans(database), give, stop, bought, said)


def settle(database: Database, number: int, principal: int, bucket_id: str = "b0", portfolio_id: str = "income") -> None:
    one = Bid(
        bid_id=f"bid_{number}",
        offer_id=f"off_{number}",
        offer_version=1,
        loan_id=f"L{number}",
        originator_id="acme",
        buy_offer_id=buy_offer_id_of(T, portfolio_id, bucket_id),
        buy_offer_version=1,
        portfolio_id=portfolio_id,
        bucket_id=bucket_id,
        investor_id="ada",
        product_id="consumer",
        principal=principal,
        sell_amount=principal,
        buy_amount=principal,
        completes=False,
    )
    head = {"message_id": message_id("test", number), "tenant_id": T, "correlation_id": "c", "book_id": "t1/USD/loan", "said_at": CLOCK.now()}
    published = BidsPublished(**head, currency="USD", originator_id="acme", book_version=number, bids=(one,))
    settle_investments(published, ledger=AuroraLedger(database), window_seconds=30, clock=CLOCK)
