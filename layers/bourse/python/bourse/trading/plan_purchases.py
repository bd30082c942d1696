"""BalancesChanged -> the gap analysis of one portfolio -> BuyOffersPlaced, if anything changed."""

from collections.abc import Sequence

from bourse.assets.events import book_of
from bourse.clock import Clock
from bourse.ids import derive
from bourse.message import Outcome, message_id
from bourse.trading.events import BalancesChanged, BuyOffer, BuyOffersPlaced, buy_offer_id_of
from bourse.trading.gap import plan
from bourse.trading.model import PlanFacts, PlannedBucket
from bourse.trading.store import PlanStore


def plan_purchases(changed: BalancesChanged, *, plans: PlanStore, clock: Clock) -> Outcome:
    """Plan the portfolio from its balances as they are now. Doing it again says what was said the first time."""
    at = clock.now()

    def say(facts: PlanFacts, buckets: Sequence[PlannedBucket], versions: Sequence[int]) -> BuyOffersPlaced | None:
        offers = tuple(_offer(changed.tenant_id, facts, bucket, version) for bucket, version in zip(buckets, versions, strict=True))
        if not offers:
            return None
        return BuyOffersPlaced(
            message_id=message_id(BuyOffersPlaced.kind, changed.tenant_id, facts.portfolio.portfolio_id, changed.message_id),
            tenant_id=changed.tenant_id,
            correlation_id=changed.correlation_id,
            book_id=book_of(changed.tenant_id, facts.portfolio.terms.currency),
            said_at=at,
            offers=offers,
        )

    said = plans.plan(changed, at, plan, say)
    return Outcome(said, {"plans": 1, "buy_offers_placed": sum(len(message.offers) for message in said)})


def digest(facts: PlanFacts, bucket: PlannedBucket) -> str:
    """Changes when the bucket's offer has to be said again.

    The book holds back an offer whose bid could not be paid until its next version. Each bid that returned so, and other cash,
    is a reason to try again. Both stand still when nothing is settled, returned, deposited or withdrawn, so planning comes to
    an end. An offer of nothing is an offer of nothing, whatever else it says.
    """
    if not bucket.volume:
        return derive("plan", 0)
    number = _number(facts, bucket.bucket_id)
    held, terms = facts.buckets[number], facts.portfolio.terms
    what = (bucket.volume, held.settled_total, held.returned, facts.cash, facts.buy_ratio, terms.product_id)
    limits = (terms.per_loan_max, terms.per_borrower_max, terms.per_originator_max)
    return derive("plan", *map(str, (*what, *limits)), *(criterion.model_dump_json() for criterion in terms.buckets[number].criteria))


def _offer(tenant_id: str, facts: PlanFacts, bucket: PlannedBucket, version: int) -> BuyOffer:
    """The offer of a bucket. A dropped one's says nothing but that it leaves: what it published stays settled or on its way."""
    portfolio, terms = facts.portfolio, facts.portfolio.terms
    dropped = bucket.bucket_id in facts.dropped
    number = 0 if dropped else _number(facts, bucket.bucket_id)
    return BuyOffer(
        offer_id=buy_offer_id_of(tenant_id, portfolio.portfolio_id, bucket.bucket_id),
        version=version,
        portfolio_id=portfolio.portfolio_id,
        bucket_id=bucket.bucket_id,
        investor_id=portfolio.investor_id,
        product_id=terms.product_id,
        criteria=() if dropped else terms.buckets[number].criteria,
        volume=bucket.volume,
        settled_total=0 if dropped else facts.buckets[number].settled_total,
        per_loan_max=terms.per_loan_max,
        per_borrower_max=terms.per_borrower_max,
        per_originator_max=terms.per_originator_max,
        buy_ratio=facts.buy_ratio,
    )


def _number(facts: PlanFacts, bucket_id: str) -> int:
    return next(number for number, bucket in enumerate(facts.portfolio.terms.buckets) if bucket.bucket_id == bucket_id)
