"""Nouns of trading: a portfolio with its buckets, what a plan is made of, what it decides, and what an investor sees."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from bourse.lifecycle import Lifecycle
from bourse.message import Facts
from bourse.money import split
from bourse.parties.model import Name, ProductTerms, Slug
from bourse.trading.events import Criterion

SHARE_UNITS: Final = 10_000
"""Shares are percent with at most four decimals, so a share is a whole number of ten-thousandths of a percent."""
Share = Annotated[Decimal, Field(gt=0, le=100, max_digits=7, decimal_places=4)]
Amount = Annotated[int, Field(gt=0, le=10**15, strict=True)]
"""Minor units of the portfolio's currency: a whole number, and no text, truth value or float that could be read as one."""
Rest = Annotated[int, Field(ge=0, le=10**15, strict=True)]
"""Minor units that may be none."""
LABELS_MAX: Final = 2_000
"""Words in all criteria of a portfolio, so that its offers fit into a message."""
_LABEL_CHARACTERS_MAX: Final = 100
_NUMBERS_OF: Final = {"between": 2, "gte": 1, "lte": 1}


class PortfolioStatus(StrEnum):
    """Only an active portfolio has live buy offers."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    CLOSED = "closed"


PORTFOLIO: Final = Lifecycle(
    "Portfolio",
    begins=(PortfolioStatus.DRAFT,),
    steps=(
        (PortfolioStatus.DRAFT, PortfolioStatus.ACTIVE, "its investor activates it"),
        (PortfolioStatus.DRAFT, PortfolioStatus.CLOSED, "its investor closes it"),
        (PortfolioStatus.ACTIVE, PortfolioStatus.PAUSED, "its investor pauses it"),
        (PortfolioStatus.ACTIVE, PortfolioStatus.CLOSED, "its investor closes it"),
        (PortfolioStatus.PAUSED, PortfolioStatus.ACTIVE, "its investor activates it again"),
        (PortfolioStatus.PAUSED, PortfolioStatus.CLOSED, "its investor closes it"),
    ),
)


class Bucket(Facts):
    """A part of a portfolio: which loans, and how much of the whole."""

    bucket_id: Slug
    target_share: Share
    """Percent of the portfolio's target volume."""
    criteria: tuple[Criterion, ...] = Field(default=(), max_length=40)
    """All must match; an absent criterion matches every value."""

    @field_validator("criteria")
    @classmethod
    def _criteria_can_match(cls, criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        for one in criteria:
            if problem := _nonsense(one):
                raise ValueError(f"criterion on {one.field[:_LABEL_CHARACTERS_MAX]!r}: {problem}")
        return criteria


class PortfolioTerms(Facts):
    """What the investor wants. A change is a new version; old ones stay readable."""

    name: Name
    product_id: Slug
    currency: str
    target_volume: Amount
    """Minor units of principal the full portfolio holds."""
    keep_uninvested: Rest = 0
    """Minor units of cash never offered."""
    per_loan_max: Amount
    per_borrower_max: Amount | None = None
    per_originator_max: Amount | None = None
    buckets: tuple[Bucket, ...] = Field(min_length=1, max_length=50)

    @field_validator("buckets")
    @classmethod
    def _the_structure_is_whole(cls, buckets: tuple[Bucket, ...]) -> tuple[Bucket, ...]:
        total = sum(bucket.target_share for bucket in buckets)
        if total != 100:
            raise ValueError(f"the buckets' target_share sum to {total}, not to 100")
        if len({bucket.bucket_id for bucket in buckets}) != len(buckets):
            raise ValueError("two buckets have the same bucket_id")
        if sum(len(one.labels) for bucket in buckets for one in bucket.criteria) > LABELS_MAX:
            raise ValueError(f"the criteria of a portfolio name at most {LABELS_MAX} words")
        return buckets

    def bucket_volumes(self) -> list[int]:
        """The target volume of each bucket, in their order; they sum to the portfolio's."""
        return split(self.target_volume, [int(bucket.target_share * SHARE_UNITS) for bucket in self.buckets])


def _nonsense(one: Criterion) -> str | None:
    """Why no loan could ever match, or None. A bucket that can buy nothing would hold up all others."""
    if not 0 < len(one.field) <= _LABEL_CHARACTERS_MAX:
        return f"a field's name has 1 to {_LABEL_CHARACTERS_MAX} characters"
    if one.op in _NUMBERS_OF:
        if one.labels or len(one.numbers) != _NUMBERS_OF[one.op]:
            return f"{one.op} takes {_NUMBERS_OF[one.op]} number(s) and no words"
        return "min is above max" if one.op == "between" and one.numbers[0] > one.numbers[1] else None
    if one.numbers or not one.labels:
        return f"{one.op} takes one word or more, and no numbers"
    return None if all(0 < len(label) <= _LABEL_CHARACTERS_MAX for label in one.labels) else f"a word has 1 to {_LABEL_CHARACTERS_MAX} characters"


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
    returned: int = 0
    """How many of its bids ever came back unpaid: with each the book holds the bucket's offer until its next version."""


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
    dropped: tuple[str, ...] = ()
    """Buckets that earlier terms had and these have not, and that still have an offer: it has to leave the book."""


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


class LastPlan(Facts):
    """The latest plan of a portfolio: when it was made, of what, and what it decided."""

    planned_at: datetime
    facts: PlanFacts
    buckets: tuple[PlannedBucket, ...]


class LiveOffer(Facts):
    """What the book was last told of a bucket. Volume 0 is no offer; cost is the most cash the volume can take."""

    bucket_id: str
    version: int
    volume: int
    cost: int


class TermsVersion(Facts):
    """A version of a portfolio's terms, and when it was made."""

    version: int
    recorded_at: datetime


class PortfolioFacts(Facts):
    """All that is kept of a portfolio, read at one moment."""

    portfolio: Portfolio
    product: ProductTerms
    versions: tuple[TermsVersion, ...]
    """Oldest first."""
    buckets: tuple[BucketFacts, ...]
    """In the order of the portfolio's buckets."""
    plan: LastPlan | None = None
    offers: tuple[LiveOffer, ...] = ()


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
    why: str
    """The same as a sentence for people."""


class PortfolioView(Facts):
    """A portfolio as its investor sees it; deviation_bound_percent is what no bucket's deviation exceeds while buying."""

    portfolio: Portfolio
    exposure: int
    deviation_bound_percent: Decimal
    buckets: tuple[BucketView, ...]


class Cash(Facts):
    """Cash in one currency: reserved is what holds and live buy offers may take, available is the rest."""

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


Limit = Literal["status", "unplanned", "investor", "full", "structure", "cash", "lot", "target"]


class BucketExplained(BucketView):
    """A bucket with its live offer, what limits that, and since when it waits. Amounts are minor units of principal.

    `why` has the figures. `limited_by` says what the offer could not be larger for: the portfolio's status, a plan that is not
    made yet, an investor who may not buy, a full bucket, the structure (it may not run further ahead of `held_back_by`), cash,
    the smallest lot, or nothing but its target.
    """

    offer_version: int | None = None
    cost_max: int = 0
    """Minor units of cash the offer can take."""
    cap: int | None = None
    """The most the bucket may hold until the others catch up, as planned."""
    limited_by: Limit
    held_back_by: str | None = None
    """The bucket that has to catch up first."""
    settled_since: int = 0
    """Bought since the plan was made."""
    returned_since: int = 0
    """How many bids came back unpaid since then."""
    waits_for_supply: bool = False
    """There is an offer, and nothing was settled since the plan."""


class PlanExplained(Facts):
    """What the last plan was made of. Minor units of cash, as they were then; free is what this portfolio could spend."""

    planned_at: datetime
    terms_version: int
    cash: int
    cash_of_others: int
    cash_free: int
    buy_ratio: Decimal
    lot_min: int
    step_percent: Decimal


class PortfolioExplained(PortfolioView):
    """A portfolio with every version of its terms, its last plan, and why each bucket buys what it buys."""

    versions: tuple[TermsVersion, ...]
    plan: PlanExplained | None
    buckets: tuple[BucketExplained, ...]
