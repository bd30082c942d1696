"""What a borrower still owes and when: from the originator's schedule, else from principal, rate and term. Whole minor units. Pure."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Final

from bourse.assessment.model import Installment
from bourse.assets.model import LoanRecord

TERM_MONTHS_MAX: Final = 1_200
"""A hundred years: what claims to run longer is forecast as if it ended then."""
RATE_MAX: Final = Decimal(1_000)
"""Percent per year: what claims more, or less than nothing, is forecast at the bound."""
_PERCENT_MONTHS: Final = 1_200  # percent per year -> share per month


def remaining_installments(loan: LoanRecord, as_of: date) -> tuple[Installment, ...]:
    """The installments that repay the outstanding principal, after `as_of`; their principal sums to it exactly.

    What is overdue is expected within a month. Empty when nothing is outstanding.
    """
    if loan.outstanding_principal_minor == 0:
        return ()
    if loan.schedule:
        return _of_schedule(loan, as_of)
    return tuple(_of_terms(loan, as_of))


def _of_schedule(loan: LoanRecord, as_of: date) -> tuple[Installment, ...]:
    """Payments go to the oldest installment first, so what is outstanding is the end of the schedule.

    The installment that is paid in part counts with the part that is left, of its interest too; principal beyond the schedule
    falls due with its last installment.
    """
    left = loan.outstanding_principal_minor
    rows: list[Installment] = []
    for row in sorted(loan.schedule or (), key=lambda row: row.due_on, reverse=True):
        taken, ahead = min(left, row.principal_minor), row.due_on > as_of
        if taken == 0 and (row.principal_minor or not ahead):
            continue
        interest = row.interest_minor * taken // row.principal_minor if row.principal_minor else row.interest_minor
        due_on = row.due_on if ahead else add_months(as_of, 1)
        rows.append(Installment(_months_until(as_of, due_on), due_on, taken, interest))
        left -= taken
    if left and rows:
        rows[0] = rows[0]._replace(principal=rows[0].principal + left)
    elif left:
        rows = [Installment(1, add_months(as_of, 1), left, 0)]
    rows.reverse()  # oldest first also among those that are overdue together
    return tuple(sorted(rows, key=lambda row: row.due_on))


def _of_terms(loan: LoanRecord, as_of: date) -> Iterator[Installment]:
    """The loan's own monthly payment, rounded once, until nothing is left: the last installment closes to 0, at the latest with the term."""
    balance = loan.outstanding_principal_minor
    rate = min(max(loan.interest_rate, Decimal(0)), RATE_MAX) / _PERCENT_MONTHS
    term = max(1, min(loan.term_months, TERM_MONTHS_MAX))
    payment = monthly_payment(max(loan.principal_minor, balance), rate, term)
    numerator, denominator = rate.as_integer_ratio()
    due = _due_days(loan.next_due_on or loan.issued_on or as_of, as_of, term)
    for number in range(term):
        interest = (2 * balance * numerator + denominator) // (2 * denominator)
        last = number == term - 1 or payment >= balance + interest
        principal = balance if last else max(0, payment - interest)
        yield Installment(*due[number], principal, interest)
        balance -= principal
        if last:
            return


def monthly_payment(principal: int, rate: Decimal, months: int) -> int:
    """The equal payment that repays `principal` minor units in `months` at `rate` per month, to the nearest minor unit, at least 1."""
    with localcontext(prec=40):
        exact = principal * rate / (1 - (1 + rate) ** -months) if rate else Decimal(principal) / months
        return max(1, int(exact.to_integral_value()))


@lru_cache(maxsize=1024)  # the loans of a file share a few days of the month
def _due_days(anchor: date, as_of: date, months: int) -> tuple[tuple[int, date], ...]:
    """(months until then, day) of monthly due days after `as_of`: from the anchor on where it lies ahead, else on its day of the month."""
    begun = max(0, (as_of.year - anchor.year) * 12 + as_of.month - anchor.month)
    first = begun if add_months(anchor, begun) > as_of else begun + 1
    days = (add_months(anchor, number) for number in range(first, first + months))
    return tuple((_months_until(as_of, day), day) for day in days)


def add_months(day: date, months: int) -> date:
    """The same day so many months later, or the last of that month where there is no such day; never beyond the calendar."""
    years, month = divmod(day.month - 1 + months, 12)
    year = min(day.year + years, date.max.year)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _months_until(as_of: date, due_on: date) -> int:
    """Months begun until then, at least 1."""
    months = (due_on.year - as_of.year) * 12 + due_on.month - as_of.month
    return max(1, months + (due_on.day > as_of.day))
