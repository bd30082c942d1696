"""A small market of the real use cases on memory: queues that repeat and mix what is said, a book, a ledger and portfolios."""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

from bourse import flow
from bourse.assessment.events import SellOffer, SellOffersPlaced
from bourse.assets.events import book_of
from bourse.clock import FixedClock
from bourse.ledger.events import BidsReturned
from bourse.ledger.loan_payments import LoanPayment, distribute_payment
from bourse.ledger.memory import MemoryLedger
from bourse.ledger.model import cash_of, claims_of
from bourse.ledger.settle_investments import settle_investments
from bourse.ledger.transfers import deposit, withdraw
from bourse.matching.events import Bid, BidsPublished
from bourse.matching.match_offers import Shelf, match_offers
from bourse.matching.memory import MemoryBooks, MemoryOffers
from bourse.message import Message, Outcome
from bourse.money import Money
from bourse.parties.model import ProductTerms
from bourse.trading.events import BalancesChanged, BuyOffersPlaced
from bourse.trading.gap import deviation_bound
from bourse.trading.memory import MemoryTrading, Surroundings
from bourse.trading.model import BucketFacts, Portfolio, PortfolioStatus, PortfolioTerms
from bourse.trading.plan_purchases import plan_purchases
from bourse.trading.portfolios import change_status, change_terms, create_portfolio

T, USD, WINDOW = "t1", "USD", 30
MORNING = datetime(2026, 1, 5, 9, tzinfo=UTC)
UNPAID = ("insufficient_cash", "investor_blocked")


@dataclass
class Market:
    """Everything an investor's money passes through. `random` mixes and repeats messages; the same seed is the same market."""

    product: ProductTerms
    random: Random
    clock: FixedClock = field(default_factory=lambda: FixedClock(MORNING))
    blocked: set[str] = field(default_factory=set)
    published: dict[str, Bid] = field(default_factory=dict)
    decided: dict[str, str | None] = field(default_factory=dict)
    plans_said: list[BuyOffersPlaced] = field(default_factory=list)
    heard: int = 0

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(inactive=lambda investor: investor in self.blocked, portfolios=self._active)
        around = Surroundings(
            product=lambda _: self.product,
            active=lambda investor: investor not in self.blocked,
            cash=lambda investor, _: self.cash(investor),
            bucket=self.bucket,
        )
        self.trading = MemoryTrading(around)
        self._books, self._offers, self._shelf = MemoryBooks(), MemoryOffers(), Shelf()
        self._waiting: dict[tuple[str, str], deque[tuple[Message, datetime]]] = defaultdict(deque)
        self._said: set[str] = set()
        self._numbers = iter(range(1, 10**6))

    # --- what people do

    def deposit(self, investor: str, amount: int) -> None:
        deposit(T, investor, Money(amount, USD), "wire", str(next(self._numbers)), ledger=self.ledger, clock=self.clock, window_seconds=WINDOW)
        self._flush()

    def withdraw(self, investor: str, amount: int) -> None:
        withdraw(T, investor, Money(amount, USD), "wire", str(next(self._numbers)), ledger=self.ledger, clock=self.clock, window_seconds=WINDOW)
        self._flush()

    def open(self, portfolio_id: str, terms: PortfolioTerms, investor: str = "ada") -> None:
        create_portfolio(T, investor, portfolio_id, terms, self.product, portfolios=self.trading, clock=self.clock)
        self.become(portfolio_id, PortfolioStatus.ACTIVE, investor)

    def become(self, portfolio_id: str, status: PortfolioStatus, investor: str = "ada") -> None:
        change_status(T, investor, portfolio_id, status, portfolios=self.trading, clock=self.clock, window_seconds=WINDOW)
        self._flush()

    def change(self, portfolio_id: str, terms: PortfolioTerms, investor: str = "ada") -> None:
        change_terms(T, investor, portfolio_id, terms, self.product, portfolios=self.trading, clock=self.clock, window_seconds=WINDOW)
        self._flush()

    def offer(self, grade: str, volume: int, *, whole: bool = False) -> None:
        number = next(self._numbers)
        one = SellOffer(
            offer_id=f"s{number}",
            version=1,
            loan_id=f"loan-{number}",
            originator_id="acme",
            product_id="consumer",
            volume=volume,
            partial_sale=not whole,
            lot_min=self.product.lot_min,
            sell_ratio=self.product.sell_ratio,
            labels={"grade": grade},
            numbers={},
        )
        head = {"message_id": f"msg_{number}", "tenant_id": T, "correlation_id": "c", "book_id": book_of(T, USD), "said_at": self.clock.now()}
        self.say([SellOffersPlaced(**head, offers=(one,))])

    def repay(self, loan_id: str, principal: int) -> None:
        number, now = str(next(self._numbers)), self.clock.now()
        payment = LoanPayment("wire", number, "acme", loan_id, USD, principal, principal, 0, 0, now)
        distribute_payment(T, payment, ledger=self.ledger, clock=self.clock, window_seconds=WINDOW)
        self._flush()

    def nudge(self, portfolio_id: str) -> None:
        """Have the portfolio planned, whatever happened."""
        number = next(self._numbers)
        self.say([BalancesChanged(message_id=f"msg_{number}", tenant_id=T, correlation_id="c", portfolio_id=portfolio_id, window=number)])

    # --- how facts travel

    def say(self, messages: Sequence[Message]) -> None:
        for message in messages:
            queue = flow.queue_hearing(type(message))
            if message.message_id not in self._said:
                self._said.add(message.message_id)
                delay = timedelta(seconds=WINDOW if queue.collect else 0)
                self._waiting[queue.name, message.group()].append((message, self.clock.now() + delay))

    def step(self) -> bool:
        """Let one message be heard, now and then twice; False when none waits."""
        groups = [key for key, messages in self._waiting.items() if messages]
        if not groups:
            return False
        ready = [key for key in groups if self._waiting[key][0][1] <= self.clock.now()]
        if not ready:
            self.clock.at = min(self._waiting[key][0][1] for key in groups)
            return True
        messages = self._waiting[self.random.choice(sorted(ready))]
        self.say(self._hear(messages[0][0]).says)
        if self.random.random() > 0.15:
            messages.popleft()
        self.clock.at += timedelta(milliseconds=self.random.randrange(3000))
        self.heard += 1
        return True

    def run(self, steps_max: int = 5_000) -> None:
        """Until everybody is done. A market that never rests fails here."""
        for _ in range(steps_max):
            if not self.step():
                return
        raise AssertionError(f"still busy after {steps_max} messages")

    def _hear(self, message: Message) -> Outcome:
        match message:
            case BalancesChanged():
                outcome = plan_purchases(message, plans=self.trading, clock=self.clock)
                self.plans_said += [said for said in outcome.says if isinstance(said, BuyOffersPlaced)]
                return outcome
            case BidsPublished():
                outcome = settle_investments(message, ledger=self.ledger, window_seconds=WINDOW, clock=self.clock)
                returned = {bid.bid_id: bid.reason for said in outcome.says if isinstance(said, BidsReturned) for bid in said.bids}
                self.decided |= {bid.bid_id: returned.get(bid.bid_id) for bid in message.bids}
                return outcome
            case _:
                listed: Any = message
                outcome = match_offers(listed, books=self._books, offers=self._offers, shelf=self._shelf, clock=self.clock)
                self.published |= {bid.bid_id: bid for said in outcome.says if isinstance(said, BidsPublished) for bid in said.bids}
                return outcome

    def _flush(self) -> None:
        self.say([*self.ledger.outbox, *self.trading.outbox])
        self.ledger.outbox.clear()
        self.trading.outbox.clear()

    def _active(self, investor: str) -> list[str]:
        return [one.portfolio_id for one in self.trading.portfolios(T, investor) if one.status is PortfolioStatus.ACTIVE]

    # --- what can be seen

    def cash(self, investor: str = "ada") -> int:
        return sum(lot.amount for lot in self.ledger.books.lots_of(T, cash_of(investor), USD))

    def bucket(self, portfolio_id: str, bucket_id: str) -> BucketFacts:
        """What the ledger's views say of a bucket."""
        bids = [bid for bid in self.published.values() if (bid.portfolio_id, bid.bucket_id) == (portfolio_id, bucket_id) and bid.bid_id in self.decided]
        settled = sum(bid.principal for bid in bids if self.decided[bid.bid_id] is None)
        claims = claims_of(portfolio_id, bucket_id)
        held = sum(lot.amount for _, lot in self.ledger.books.lots(T) if lot.account_id == claims)
        return BucketFacts(principal=held, settled_total=settled, returned=sum(1 for bid in bids if self.decided[bid.bid_id] in UNPAID))

    def exposures(self, portfolio_id: str) -> list[int]:
        """Settled and in-flight principal of each bucket."""
        portfolio = self.portfolio(portfolio_id)
        bids = [bid for bid in self.published.values() if bid.portfolio_id == portfolio_id and self.decided.get(bid.bid_id) is None]
        return [sum(bid.principal for bid in bids if bid.bucket_id == bucket.bucket_id) for bucket in portfolio.terms.buckets]

    def portfolio(self, portfolio_id: str) -> Portfolio:
        found = self.trading.portfolio(T, portfolio_id)
        assert found is not None
        return found

    def reasons(self) -> list[str]:
        """Why bids returned."""
        return [reason for reason in self.decided.values() if reason]

    def assert_structure(self, portfolio_id: str) -> None:
        """No bucket deviates by more than the bound of the portfolio's volume, bids in flight included, and none is over its target."""
        terms = self.portfolio(portfolio_id).terms
        held, targets, whole = self.exposures(portfolio_id), terms.bucket_volumes(), terms.target_volume
        bound = deviation_bound(targets, self.product.lot_min, Decimal(self.product.step_percent)) * whole
        assert all(one <= target for one, target in zip(held, targets, strict=True))
        assert all(abs(one - Fraction(target, whole) * sum(held)) <= bound for one, target in zip(held, targets, strict=True))
