"""Trading kept in dicts: for tests and the simulation. What the ledger and the parties know is given to it by functions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bourse.errors import Conflict
from bourse.message import Message
from bourse.parties.model import ProductTerms
from bourse.trading.events import BalancesChanged, BuyOffersPlaced
from bourse.trading.gap import deviation_bound
from bourse.trading.model import (
    BucketFacts,
    Cash,
    Home,
    LastPlan,
    LiveOffer,
    PlanFacts,
    PlannedBucket,
    Portfolio,
    PortfolioFacts,
    PortfolioStatus,
    PortfolioView,
    TermsVersion,
)
from bourse.trading.plan_purchases import digest
from bourse.trading.portfolios import brought_up, view
from bourse.trading.store import Decide, Say


@dataclass
class Surroundings:
    """What lies outside trading, each as a function of its key; the defaults are an empty world."""

    product: Callable[[str], ProductTerms | None]
    active: Callable[[str], bool] = lambda _investor: True
    rate: Callable[[str, str], object] = lambda _investor, _product: None
    cash: Callable[[str, str], int] = lambda _investor, _currency: 0
    bucket: Callable[[str, str], BucketFacts] = lambda _portfolio, _bucket: BucketFacts()


@dataclass
class _Offer:
    version: int
    volume: int
    cost: int
    digest: str


@dataclass
class MemoryTrading:
    """A `PortfolioStore` and a `PlanStore`."""

    around: Surroundings
    outbox: list[Message] = field(default_factory=list)
    _kept: dict[tuple[str, str], list[Portfolio]] = field(default_factory=dict)
    _offers: dict[tuple[str, str, str], _Offer] = field(default_factory=dict)
    _plans: dict[tuple[str, str, str], tuple[BuyOffersPlaced, ...]] = field(default_factory=dict)
    _last: dict[tuple[str, str], LastPlan] = field(default_factory=dict)
    _recorded: dict[tuple[str, str], list[TermsVersion]] = field(default_factory=dict)

    def add(self, tenant_id: str, portfolio: Portfolio, at: datetime) -> Portfolio:
        self._recorded.setdefault((tenant_id, portfolio.portfolio_id), [TermsVersion(version=portfolio.version, recorded_at=at)])
        return self._kept.setdefault((tenant_id, portfolio.portfolio_id), [portfolio])[-1]

    def change(self, tenant_id: str, was: Portfolio, becomes: Portfolio, at: datetime, says: Sequence[Message]) -> None:
        if self.portfolio(tenant_id, was.portfolio_id) != was:
            raise Conflict("PORTFOLIO_VERSION", "the portfolio was changed by somebody else: read it again")
        versions = self._kept[tenant_id, was.portfolio_id]
        if becomes.version == was.version:
            versions.pop()
        else:
            self._recorded[tenant_id, was.portfolio_id].append(TermsVersion(version=becomes.version, recorded_at=at))
        versions.append(becomes)
        self.outbox.extend(says)

    def portfolio(self, tenant_id: str, portfolio_id: str) -> Portfolio | None:
        versions = self._kept.get((tenant_id, portfolio_id))
        return versions[-1] if versions else None

    def portfolios(self, tenant_id: str, investor_id: str) -> Sequence[Portfolio]:
        latest = [versions[-1] for key, versions in sorted(self._kept.items()) if key[0] == tenant_id]
        return [portfolio for portfolio in latest if portfolio.investor_id == investor_id]

    def versions(self, tenant_id: str, portfolio_id: str) -> Sequence[Portfolio]:
        versions = self._kept.get((tenant_id, portfolio_id), [])
        return [one.model_copy(update={"status": versions[-1].status}) for one in versions]

    def facts(self, tenant_id: str, portfolio_id: str) -> PortfolioFacts | None:
        if (portfolio := self.portfolio(tenant_id, portfolio_id)) is None:
            return None
        key = (tenant_id, portfolio_id)
        product = self.around.product(portfolio.terms.product_id)
        assert product is not None, "a portfolio's product stays known"
        offers = [(bucket_id, offer) for (*of, bucket_id), offer in sorted(self._offers.items(), key=lambda pair: pair[0]) if tuple(of) == key]
        return PortfolioFacts(
            portfolio=portfolio,
            product=product,
            versions=tuple(self._recorded[key]),
            buckets=tuple(self.around.bucket(portfolio_id, bucket.bucket_id) for bucket in portfolio.terms.buckets),
            plan=self._last.get(key),
            offers=tuple(LiveOffer(bucket_id=name, version=offer.version, volume=offer.volume, cost=offer.cost) for name, offer in offers),
        )

    def home(self, tenant_id: str, investor_id: str, positions_max: int) -> Home:  # noqa: ARG002  positions are the ledger's
        portfolios = self.portfolios(tenant_id, investor_id)
        cash = []
        for currency in sorted({portfolio.terms.currency for portfolio in portfolios}):
            whole = self.around.cash(investor_id, currency)
            reserved = min(whole, self._live_cost(tenant_id, investor_id, currency, but=""))
            cash.append(Cash(currency=currency, available=whole - reserved, reserved=reserved))
        return Home(cash=tuple(cash), portfolios=tuple(self._view(tenant_id, one) for one in portfolios), positions=(), positions_total=0)

    def plan(self, cause: BalancesChanged, at: datetime, decide: Decide, say: Say) -> tuple[BuyOffersPlaced, ...]:
        key = (cause.tenant_id, cause.portfolio_id, cause.message_id)
        if key not in self._plans:
            portfolio = self.portfolio(cause.tenant_id, cause.portfolio_id)
            facts = self._facts(cause.tenant_id, portfolio) if portfolio else None
            if facts is None:
                return ()
            says = [self._make(cause.tenant_id, facts, at, decide, say)]
            for other in self._waiting(cause.tenant_id, facts.portfolio):
                waiting = self._facts(cause.tenant_id, other)
                assert waiting is not None, "a portfolio that was planned has a product"
                says.append(self._make(cause.tenant_id, waiting, at, decide, say))
            self._plans[key] = tuple(one for one in says if one)
        return self._plans[key]

    def _make(self, tenant_id: str, facts: PlanFacts, at: datetime, decide: Decide, say: Say) -> BuyOffersPlaced | None:
        key = (tenant_id, facts.portfolio.portfolio_id)
        planned = decide(facts)
        changed = [bucket for bucket in planned if self._differs(key, bucket, digest(facts, bucket))]
        versions = []
        for bucket in changed:
            before = self._offers.get((*key, bucket.bucket_id))
            versions.append(before.version + 1 if before else 1)
            self._offers[*key, bucket.bucket_id] = _Offer(versions[-1], bucket.volume, bucket.cost, digest(facts, bucket))
        self._last[key] = LastPlan(planned_at=at, facts=facts, buckets=planned)
        return say(facts, changed, versions)

    def _waiting(self, tenant_id: str, portfolio: Portfolio) -> list[Portfolio]:
        """The investor's other active portfolios of the currency whose last plan waits for cash."""
        mine = [one for one in self.portfolios(tenant_id, portfolio.investor_id) if one.portfolio_id != portfolio.portfolio_id]
        alike = [one for one in mine if one.status is PortfolioStatus.ACTIVE and one.terms.currency == portfolio.terms.currency]
        return [one for one in alike if any(bucket.waits_for == "cash" for bucket in self._planned(tenant_id, one.portfolio_id))]

    def _planned(self, tenant_id: str, portfolio_id: str) -> tuple[PlannedBucket, ...]:
        last = self._last.get((tenant_id, portfolio_id))
        return last.buckets if last else ()

    def _differs(self, key: tuple[str, str], bucket: PlannedBucket, mark: str) -> bool:
        before = self._offers.get((*key, bucket.bucket_id))
        return before.digest != mark if before else bucket.volume > 0

    def _facts(self, tenant_id: str, portfolio: Portfolio) -> PlanFacts | None:
        terms = portfolio.terms
        if (product := self.around.product(terms.product_id)) is None:
            return None
        return PlanFacts(
            portfolio=portfolio,
            investor_active=self.around.active(portfolio.investor_id),
            buy_ratio=self.around.rate(portfolio.investor_id, terms.product_id) or product.buy_ratio,
            lot_min=product.lot_min,
            step_percent=product.step_percent,
            single_bucket_at_once=product.single_bucket_at_once,
            cash=self.around.cash(portfolio.investor_id, terms.currency),
            cash_of_others=self._live_cost(tenant_id, portfolio.investor_id, terms.currency, but=portfolio.portfolio_id),
            buckets=tuple(self.around.bucket(portfolio.portfolio_id, bucket.bucket_id) for bucket in terms.buckets),
            dropped=self._dropped(tenant_id, portfolio),
        )

    def _dropped(self, tenant_id: str, portfolio: Portfolio) -> tuple[str, ...]:
        live = {key[2] for key, offer in self._offers.items() if key[:2] == (tenant_id, portfolio.portfolio_id) and offer.volume > 0}
        return tuple(sorted(live - {bucket.bucket_id for bucket in portfolio.terms.buckets}))

    def _live_cost(self, tenant_id: str, investor_id: str, currency: str, but: str) -> int:
        mine = {one.portfolio_id for one in self.portfolios(tenant_id, investor_id) if one.terms.currency == currency and one.portfolio_id != but}
        return sum(offer.cost for key, offer in self._offers.items() if key[0] == tenant_id and key[1] in mine)

    def _view(self, tenant_id: str, portfolio: Portfolio) -> PortfolioView:
        terms, portfolio_id = portfolio.terms, portfolio.portfolio_id
        principals = {bucket.bucket_id: self.around.bucket(portfolio_id, bucket.bucket_id).principal for bucket in terms.buckets}
        now = brought_up(portfolio, self._planned(tenant_id, portfolio_id), principals)
        product = self.around.product(terms.product_id)
        assert product is not None, "a portfolio's product stays known"
        return view(portfolio, now, deviation_bound(terms.bucket_volumes(), product.lot_min, product.step_percent))
