"""Nouns of assessment: what a loan is expected to pay and when, how risky it is, and the terms its offer is made at."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson


class Installment(NamedTuple):
    """What a borrower still owes on one day, in minor units. `months` counts from the day of the assessment, at least 1."""

    months: int
    due_on: date
    principal: int
    interest: int


@dataclass(frozen=True, slots=True)
class CashFlow:
    """What is expected of one installment, in minor units: paid by those who still pay, or recovered from those who do not."""

    due_on: date
    principal_minor: int
    interest_minor: int
    recovery_minor: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a loan is expected to pay. Expected principal, recoveries and loss sum to the outstanding principal exactly."""

    model_version: str
    expected_return: Decimal
    """Percent per year of the principal expected to be outstanding: interest less loss. Nominal, at par, before any fee."""
    expected_loss: Decimal
    """Percent per year of the principal expected to be outstanding."""
    expected_loss_minor: int
    """Minor units over the loan's life."""
    cash_flow: tuple[CashFlow, ...]
    pd: Decimal | None = None
    """Probability of default within a year, in [0, 1), where the model tells."""
    lgd: Decimal | None = None
    """Share of the principal lost when a borrower defaults, in [0, 1], where the model tells."""


@dataclass(frozen=True, slots=True)
class RiskClass:
    """Our class of a loan, beside the originator's grade, and the model or table version that gave it."""

    risk_class: str
    model_version: str


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is known of a loan by name: words, and exact numbers. What is not known is missing, and matches no condition."""

    labels: dict[str, str]
    numbers: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Assessment:
    """What we thought of one version of a loan: a pure function of the version, the day, and the models' versions."""

    loan_id: str
    version: int
    upload_seq: int
    assessed_at: datetime
    grade: str | None
    """The originator's."""
    risk_class: str
    """Ours."""
    currency: str
    forecast: Forecast
    class_model_version: str

    @property
    def model_version(self) -> str:
        """Both models' versions: another version of either makes another assessment."""
        return f"{self.forecast.model_version}+{self.class_model_version}"

    def as_json(self) -> bytes:
        """The facts as they are stored and shown; exact numbers are text."""
        return orjson.dumps(self, default=_text)


@dataclass(frozen=True, slots=True)
class OriginatorTerms:
    """What an originator's loans are sold at: his product's latest version, and whether he may sell at all."""

    product_id: str
    active: bool
    sell_ratio: Decimal
    """Price ratio the originator gets; 1 is par."""
    lot_min: int
    """Minor units."""
    offer_days: int
    """How long an all-or-nothing offer may hold reservations."""
    days_past_due_max: int | None = None
    """A loan later than this is not for sale; None: lateness does not matter."""
    currencies: frozenset[str] | None = None
    """Currencies the product is offered in; None: any."""


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)
