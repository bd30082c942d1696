"""Nouns of the parties: originators, investors, products with versioned terms, and personal rates."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints, model_validator

from bourse.message import Facts

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
"""An id the caller gives: lower-case letters, digits and hyphens."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Ratio = Annotated[Decimal, Field(gt=0, le=2, max_digits=10, decimal_places=8)]
"""A price ratio; 1 is par."""

PRODUCT_UNKNOWN: Final = "PRODUCT_UNKNOWN"


class OriginatorStatus(StrEnum):
    """An originator may sell while active."""

    ONBOARDING = "onboarding"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    TERMINATED = "terminated"


class InvestorStatus(StrEnum):
    """An investor may buy while active."""

    ONBOARDING = "onboarding"
    ACTIVE = "active"
    BLOCKED = "blocked"
    CLOSED = "closed"


class Originator(Facts):
    """A lender that sells loans, at the terms of one product."""

    originator_id: Slug
    name: Name
    status: OriginatorStatus = OriginatorStatus.ACTIVE
    product_id: Slug


class Investor(Facts):
    """Somebody who buys shares of loans."""

    investor_id: Slug
    name: Name
    status: InvestorStatus = InvestorStatus.ACTIVE


class ProductTerms(Facts):
    """What a product is. Business people change it by publishing the next version."""

    currencies: tuple[str, ...] = Field(min_length=1)
    sell_ratio: Ratio
    """What the originator gets for one unit of principal."""
    buy_ratio: Ratio
    """What the investor pays for one unit of principal; the difference is our fee."""
    lot_min: int = Field(default=25_00, ge=1, le=10**12)
    """Minor units: no bid is smaller."""
    step_percent: Annotated[Decimal, Field(gt=0, le=100, max_digits=7, decimal_places=4)] = Decimal(10)
    """How far one bucket may run ahead of the others."""
    offer_days: int = Field(default=30, ge=1, le=3650)
    """After so many days an all-or-nothing offer gives up its reservations."""
    days_past_due_max: int | None = Field(default=30, ge=0)
    """A loan later than this is not offered; None offers all."""
    single_bucket_at_once: bool = False
    """A portfolio of one bucket: False fills it in steps too, True offers the whole volume."""

    @model_validator(mode="after")
    def _the_fee_is_never_negative(self) -> "ProductTerms":
        if self.buy_ratio < self.sell_ratio:
            raise ValueError("buy_ratio is below sell_ratio: the fee would be negative")
        return self


class Product(Facts):
    """One version of a product."""

    product_id: Slug
    version: int
    terms: ProductTerms


class PersonalRate(Facts):
    """What one investor pays for one product instead of the product's buy ratio."""

    investor_id: Slug
    product_id: Slug
    buy_ratio: Ratio
