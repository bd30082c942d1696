"""Why a portfolio buys what it buys: its last plan in words and figures, for the investor who asks why nothing is bought. Pure but for one read."""

from datetime import UTC
from fractions import Fraction
from typing import Final

from bourse.errors import NotFound
from bourse.money import Money
from bourse.trading.gap import deviation_bound, is_full, step_of
from bourse.trading.model import (
    BucketExplained,
    BucketFacts,
    BucketView,
    LastPlan,
    Limit,
    LiveOffer,
    PlanExplained,
    PlannedBucket,
    PortfolioExplained,
    PortfolioFacts,
    PortfolioStatus,
)
from bourse.trading.portfolios import brought_up, percent, view
from bourse.trading.store import PortfolioStore

_OF_WAITING: Final[dict[str, Limit]] = {"full": "full", "cap": "structure", "cash": "cash", "lot": "lot"}


def explain_portfolio(tenant_id: str, investor_id: str, portfolio_id: str, *, portfolios: PortfolioStore) -> PortfolioExplained:
    """The investor's portfolio with its last plan explained. Raises NotFound when there is none, or it is somebody else's."""
    facts = portfolios.facts(tenant_id, portfolio_id)
    if facts is None or facts.portfolio.investor_id != investor_id:
        raise NotFound("PORTFOLIO_UNKNOWN", f"there is no portfolio {portfolio_id}", "portfolio_id")
    return explain(facts)


def explain(facts: PortfolioFacts) -> PortfolioExplained:
    """What is kept of a portfolio, explained."""
    portfolio, product, plan = facts.portfolio, facts.product, facts.plan
    principals = {bucket.bucket_id: held.principal for bucket, held in zip(portfolio.terms.buckets, facts.buckets, strict=True)}
    planned = brought_up(portfolio, plan.buckets if plan else (), principals)
    seen = view(portfolio, planned, deviation_bound(portfolio.terms.bucket_volumes(), product.lot_min, product.step_percent))
    offers = {offer.bucket_id: offer for offer in facts.offers}
    buckets = [_Bucket(facts, bucket, offers.get(bucket.bucket_id), held) for bucket, held in zip(seen.buckets, facts.buckets, strict=True)]
    return PortfolioExplained(
        portfolio=portfolio,
        exposure=seen.exposure,
        deviation_bound_percent=seen.deviation_bound_percent,
        versions=facts.versions,
        plan=_plan(plan) if plan else None,
        buckets=tuple(bucket.explained() for bucket in buckets),
    )


def _plan(plan: LastPlan) -> PlanExplained:
    facts = plan.facts
    return PlanExplained(
        planned_at=plan.planned_at,
        terms_version=facts.portfolio.version,
        cash=facts.cash,
        cash_of_others=facts.cash_of_others,
        cash_free=_free(plan),
        buy_ratio=facts.buy_ratio,
        lot_min=facts.lot_min,
        step_percent=facts.step_percent,
    )


def _free(plan: LastPlan) -> int:
    return max(0, plan.facts.cash - plan.facts.cash_of_others - plan.facts.portfolio.terms.keep_uninvested)


class _Bucket:
    """One bucket, and the sentence about it."""

    def __init__(self, facts: PortfolioFacts, seen: BucketView, offer: LiveOffer | None, held: BucketFacts) -> None:
        self.portfolio = facts.portfolio
        self.seen = seen
        self.offer = offer if offer and offer.volume else None
        self.held = held
        current = facts.plan if facts.plan and facts.plan.facts.portfolio == facts.portfolio else None
        """The last plan, when it was made of the portfolio as it is now."""
        self.plan = current
        self.planned = next((bucket for bucket in current.buckets if bucket.bucket_id == seen.bucket_id), None) if current else None
        self.limit = self._limit()
        self.slowest = self._slowest() if self.limit in {"structure", "lot"} else None

    def explained(self) -> BucketExplained:
        settled, returned = self._since()
        waits = bool(self.offer and self.planned and not settled and self.limit not in {"status", "investor"})
        figures = {
            "offered": self.offer.volume if self.offer else 0,
            "offer_version": self.offer.version if self.offer else None,
            "cost_max": self.offer.cost if self.offer else 0,
            "cap": self.planned.cap if self.planned else None,
            "limited_by": self.limit,
            "held_back_by": self.slowest.bucket_id if self.slowest else None,
            "settled_since": settled,
            "returned_since": returned,
            "waits_for_supply": waits,
            "why": " ".join(sentence for sentence in (self._sentence(), self._happened(settled, returned, waits)) if sentence),
        }
        return BucketExplained(**{**self.seen.model_dump(), **figures})

    def _limit(self) -> Limit:
        if self.portfolio.status is not PortfolioStatus.ACTIVE:
            return "status"
        if self.plan is None or self.planned is None:
            return "unplanned"
        if not self.plan.facts.investor_active:
            return "investor"
        if self.planned.waits_for in _OF_WAITING:
            return _OF_WAITING[self.planned.waits_for]
        return "target" if self.planned.cap >= self.planned.target else "structure"

    def _slowest(self) -> PlannedBucket | None:
        """The bucket whose fill bounds this one's: the least full of the others that can still buy."""
        assert self.plan is not None
        lot = self.plan.facts.lot_min
        others = [one for one in self.plan.buckets if one.target and one.bucket_id != self.seen.bucket_id and not is_full(one.target, one.principal, lot)]
        return min(others, key=_fill, default=None)

    def _since(self) -> tuple[int, int]:
        """Principal settled and bids returned since the plan."""
        if self.plan is None:
            return 0, 0
        names = [bucket.bucket_id for bucket in self.portfolio.terms.buckets]
        then = self.plan.facts.buckets[names.index(self.seen.bucket_id)]
        return self.held.settled_total - then.settled_total, self.held.returned - then.returned

    def _sentence(self) -> str:
        if self.limit == "status":
            return f"The portfolio is {self.portfolio.status}: only an active one buys."
        if self.plan is None or self.planned is None:
            return "The plan of its present terms is not made yet; that takes about a minute."
        facts, planned, offered = self.plan.facts, self.planned, self._money(self.offer.volume if self.offer else 0)
        match self.limit:
            case "investor":
                return "Its investor may not buy at present; the operator can tell why."
            case "full":
                return f"It lacks {self._money(planned.target - planned.principal)}, which is less than the smallest lot of {self._money(facts.lot_min)}."
            case "cash":
                begin = f"It asks for {offered} and would for more." if self.offer else "It asks for nothing."
                kept = self._money(facts.portfolio.terms.keep_uninvested)
                others = f"offers of other portfolios may take {self._money(facts.cash_of_others)}, {kept} stay uninvested"
                return f"{begin} Of {self._money(facts.cash)} of cash {self._money(_free(self.plan))} are free for this portfolio: {others}."
            case "lot":
                room = self._money(max(0, planned.cap - planned.principal))
                return f"It may hold {self._money(planned.cap)} now{self._until()}: {room} more, less than the smallest lot of {self._money(facts.lot_min)}."
            case "structure":
                begin = f"It asks for {offered}" if self.offer else "It asks for nothing"
                return f"{begin}: it holds {self._money(planned.principal)} and may hold {self._money(planned.cap)}{self._until()}."
            case _:
                return f"It asks for {offered}, all that it lacks."

    def _until(self) -> str:
        assert self.plan is not None
        facts = self.plan.facts
        step = f"{percent(step_of(self.seen.target, facts.lot_min, facts.step_percent)).normalize():f} %"
        if self.slowest is None:
            return f", for a bucket buys {step} of its volume at a time"
        filled = f"{percent(_fill(self.slowest)).normalize():f} %"
        return f", {step} more of its volume than the slowest of the others, which is {self.slowest.bucket_id} with {filled}"

    def _happened(self, settled: int, returned: int, waits: bool) -> str:
        if self.plan is None or self.planned is None or not (self.offer or settled or returned):
            return ""
        unpaid = f" {returned} of its bids came back unpaid." if returned else ""
        since = f"since the plan of {self.plan.planned_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        if not waits:
            return (f"{self._money(settled)} were settled {since}." if settled else "") + unpaid
        return f"Nothing was settled {since}: no loan on sale meets its criteria and the portfolio's limits, or its bids are on their way.{unpaid}"

    def _money(self, minor: int) -> str:
        return str(Money(minor, self.portfolio.terms.currency))


def _fill(bucket: PlannedBucket) -> Fraction:
    return Fraction(bucket.principal, bucket.target)
