"""What a loan is expected to pay: its installments x those who still pay x what is recovered of the others. Exact, and pure."""

from datetime import date
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Final

from bourse.assessment.model import CashFlow, Forecast, Installment
from bourse.assessment.schedule import remaining_installments
from bourse.assessment.tables import Rate
from bourse.assets.model import LoanRecord

_SCALE: Final = 10**12
_FOUR_PLACES: Final = Decimal("0.0001")
_YEAR_PERCENT: Final = 12 * 100


def forecast(loan: LoanRecord, as_of: date, rate: Rate, model_version: str) -> Forecast | None:
    """The forecast of one loan at a default and a loss rate; None when nothing is outstanding.

    Each month a share of what is outstanding defaults, constant and such that `rate.pd` of it has defaulted after a year; of
    that, 1 - `rate.lgd` is recovered on the next due day, and the rest is lost.
    """
    installments = remaining_installments(loan, as_of)
    if not installments:
        return None
    flows: list[CashFlow] = []
    paying = scheduled = loan.outstanding_principal_minor
    loss_total = interest_total = principal_months = at = 0
    lost_share, lost_of = rate.lgd.as_integer_ratio()
    for row in installments:
        principal_months += paying * (row.months - at)
        defaulted = paying * _default_share(rate.pd, row.months - at) // _SCALE
        lost = defaulted * lost_share // lost_of
        paying -= defaulted
        flow = _flow(row, paying, scheduled, defaulted - lost)
        flows.append(flow)
        paying -= flow.principal_minor
        scheduled -= row.principal
        at, loss_total, interest_total = row.months, loss_total + lost, interest_total + flow.interest_minor
    return Forecast(
        model_version=model_version,
        expected_return=_percent_per_year(interest_total - loss_total, principal_months),
        expected_loss=_percent_per_year(loss_total, principal_months),
        expected_loss_minor=loss_total,
        cash_flow=tuple(flows),
        pd=rate.pd,
        lgd=rate.lgd,
    )


def _flow(row: Installment, paying: int, scheduled: int, recovery: int) -> CashFlow:
    """Those who still pay owe `paying` of the `scheduled` principal; they pay that share of the installment, and the last one closes."""
    principal = paying if row.principal == scheduled else paying * row.principal // scheduled
    interest = row.interest * paying // scheduled if scheduled else 0
    return CashFlow(row.due_on, principal, interest, recovery)


@lru_cache(maxsize=4096)
def _default_share(pd: Decimal, months: int) -> int:
    """The share, in 1/_SCALE, that defaults within so many months when `pd` defaults within twelve."""
    with localcontext(prec=30):
        return int((1 - (1 - pd) ** (Decimal(months) / 12)) * _SCALE)


def _percent_per_year(amount: int, principal_months: int) -> Decimal:
    """Amount over principal x months, as percent per year with four decimals; 0 where there was no principal."""
    if principal_months == 0:
        return Decimal(0).quantize(_FOUR_PLACES)
    return (Decimal(amount * _YEAR_PERCENT) / principal_months).quantize(_FOUR_PLACES)
