"""Annuity schedules in whole minor units: what a loan should owe after each installment. The demo's books are made of it."""

from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Final

_MONTHS_PER_YEAR: Final = 12
_PERCENT: Final = 100


@cache
def outstanding_after(principal_minor: int, rate_percent: Decimal, term_months: int) -> tuple[int, ...]:
    """Outstanding principal, in minor units, after 0, 1, ... `term_months` installments of an annuity; the last is 0.

    `rate_percent` is per year. Each month's interest is rounded half up to the minor unit, as lenders do.
    """
    monthly = rate_percent / (_PERCENT * _MONTHS_PER_YEAR)
    installment = _whole(principal_minor * monthly / (1 - (1 + monthly) ** -term_months)) if monthly else -(-principal_minor // term_months)
    balances = [principal_minor]
    for _ in range(term_months - 1):
        interest = _whole(balances[-1] * monthly)
        balances.append(max(0, balances[-1] - (installment - interest)))
    return (*balances, 0)


@cache
def interest_after(principal_minor: int, rate_percent: Decimal, term_months: int) -> tuple[int, ...]:
    """Interest paid in total, in minor units, after 0, 1, ... `term_months` installments."""
    monthly = rate_percent / (_PERCENT * _MONTHS_PER_YEAR)
    paid = [0]
    for balance in outstanding_after(principal_minor, rate_percent, term_months)[:-1]:
        paid.append(paid[-1] + _whole(balance * monthly))
    return tuple(paid)


def _whole(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_HALF_UP))
