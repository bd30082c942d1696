"""Nouns of trading: a portfolio with its buckets, what a plan is made of, what it decides, and what an investor sees."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from bourse.message import Facts
from bourse.money import split
from bourse.parties.model import Name, Slug
from bourse.trading.events import Criterion

SHARE_UNITS: Final = 10_000
"""Shares are percent with at most four decimals, so a share is a whole number of ten-thousandths of a percent."""
Share = Annotated[Decimal, Field(gt=0, le=100, max_digits=7, decimal_places=4)]
Amount = Annotated[int, Field(gt=0, le=10**15)]
"""Minor units of the portfolio's currency."""


class PortfolioStatus(StrEnum):
    """Only an active portfolio has live buy offers."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    CLOSED = "closed"


class Bucket(Facts):
    """A part of a portfolio: which loans, and how much of the whole."""

    bucket_id: Slug
    target_share: Share
    """Percent of the portfolio's target volume."""
    criteria: tuple[Criterion, ...] = Field(default=(), max_length=40)
    """All must match; an absent criterion matches every value."""


class PortfolioTerms(Facts):
    """What the investor wants. A change is a new version; old ones stay readable."""

    name: Name
    product_id: Slug
    currency: str
    target_volume: Amount
    """Minor units of principal the full portfolio holds."""
    keep_uninvested: Annotated[int, Field(ge=0, le=10**15)] = 0
    """Minor units of cash never offered."""
    per_loan_max: Amount
    per_borrower_max: Amount | None = None
    per_originator_max: Amount | None = None
    buckets: tuple[Bucket, ...] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _the_structure_is_whole(self) -> "PortfolioTerms":
        total = sum(bucket.target_share for bucket in self.buckets)
        if total != 100:
            raise ValueError(f"the buckets' target_share sum to {total}, not to 100")
        if len({bucket.bucket_id for bucket in self.buckets}) != len(self.buckets):
            raise ValueError("two buckets have the same bucket_id")
        return self

    def bucket_volumes(self) -> list[int]:
        """The target volume of each bucket, in their order; they sum to the portfolio's."""
        return split(self.target_volume, [int(bucket.target_share * SHARE_UNITS) for bucket in self.buckets])


class Portfolio(Facts):
    """An investor's portfolio as it is now."""

    portfolio_id: Slug
    investor_id: Slug
    status: PortfolioStatus = PortfolioStatus.DRAFT
    version: int = 1
    terms: PortfolioTerms


class BucketFacts(Facts):
    """What the ledger says of a bucket: settled principal, and all that was ever settled."""

    principal: int = 0
    settled_total: int = 0


class PlanFacts(Facts):
    """All that a plan depends on, read in one transaction."""

    portfolio: Portfolio
    investor_active: bool
    buy_ratio: Decimal
    lot_min: int
    step_percent: Decimal
    single_bucket_at_once: bool
    cash: int
    """Minor units of the investor's cash in the portfolio's currency."""
    cash_of_others: int
    """Minor units that live offers of his other portfolios in this currency may still take."""
    buckets: tuple[BucketFacts, ...]
    """In the order of the portfolio's buckets."""


Waiting = Literal["full", "cap", "cash", "lot", "not_active"]


class PlannedBucket(Facts):
    """What a plan decides for one bucket, and what holds it back."""

    bucket_id: str
    target: int
    principal: int
    cap: int
    volume: int
    cost: int
    """The most cash the volume can take."""
    waits_for: Waiting | None = None
    """Why the volume is not more: the bucket is full, runs ahead of another (cap), or cash, lot or status do not allow it."""


class BucketView(Facts):
    """A bucket as its investor sees it. Deviation is exposure minus share of the whole exposure."""

    bucket_id: str
    target: int
    exposure: int
    offered: int
    fill_percent: Decimal
    deviation_percent: Decimal
    """Of the portfolio's target volume."""
    waits_for: Waiting | None


class PortfolioView(Facts):
    """A portfolio as its investor sees it; deviation_bound_percent is what no bucket's deviation exceeds while buying."""

    portfolio: Portfolio
    exposure: int
    deviation_bound_percent: Decimal
    buckets: tuple[BucketView, ...]


class Cash(Facts):
    """Cash in one currency: reserved is what live buy offers may take, available is the rest."""

    currency: str
    available: int
    reserved: int


class Position(Facts):
    """The investor's claims on one loan in one bucket."""

    portfolio_id: str
    bucket_id: str
    originator_id: str
    loan_id: str
    currency: str
    principal: int
    loan_status: str


class Home(Facts):
    """All that an investor's first screen shows, read at one moment."""

    cash: tuple[Cash, ...]
    portfolios: tuple[PortfolioView, ...]
    positions: tuple[Position, ...]
    positions_total: int
    """How many there are; `positions` holds the largest of them."""
