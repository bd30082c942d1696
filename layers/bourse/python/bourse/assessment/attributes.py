"""What is known of a loan, by name: the attributes tables and buy criteria ask for. Words and numbers are kept apart. Pure."""

from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeVar

from bourse.assessment.model import Attributes, Forecast
from bourse.assets.model import LoanRecord
from bourse.money import from_minor

EXTRAS_MAX: Final = 64
LABEL_CHARS_MAX: Final = 200
_NUMBER_DIGITS_MAX: Final = 30
_OURS: Final = ("risk_class", "originator")  # said of an offer by us, never by a record
V = TypeVar("V")


def attributes_of(loan: LoanRecord, as_of: date, forecast: Forecast | None = None) -> Attributes:
    """Labels `grade`, `country`, `employment`, `status`, `currency`, `partial_sale`; numbers `interest_rate`, `term_months`,
    `principal`, `outstanding_principal`, `income_month` (in whole currency units), `age`, `days_past_due`, `expected_return`,
    `expected_loss`; and every unknown field of the record that is a word, a truth value or a number, unless it has one of these names.

    `age` is the year of `as_of` less the year of birth: the age the borrower reaches in that year, because no day of birth is known.
    """
    borrower = loan.borrower
    labels = {
        "grade": loan.grade,
        "country": loan.country,
        "employment": borrower.employment if borrower else None,
        "status": loan.status.value,
        "currency": loan.currency,
        "partial_sale": _truth(loan.partial_sale is not False),
    }
    numbers = {
        "interest_rate": loan.interest_rate,
        "term_months": Decimal(loan.term_months),
        "principal": from_minor(loan.principal_minor, loan.currency),
        "outstanding_principal": from_minor(loan.outstanding_principal_minor, loan.currency),
        "income_month": _money(borrower.income_month_minor if borrower else None, loan.currency),
        "age": Decimal(as_of.year - borrower.birth_year) if borrower and borrower.birth_year is not None else None,
        "days_past_due": Decimal(loan.days_past_due) if loan.days_past_due is not None else None,
        "expected_return": forecast.expected_return if forecast else None,
        "expected_loss": forecast.expected_loss if forecast else None,
    }
    known = Attributes(_present(labels), _present(numbers))
    _add_extras(known, loan.extras or {}, {*labels, *numbers, *_OURS})
    return known


def _add_extras(known: Attributes, extras: dict[str, Any], taken: set[str]) -> None:
    for name, value in sorted(extras.items())[:EXTRAS_MAX]:
        if name in taken or len(name) > LABEL_CHARS_MAX:
            continue
        if isinstance(value, bool):
            known.labels[name] = _truth(value)
        elif isinstance(value, str) and len(value) <= LABEL_CHARS_MAX:
            known.labels[name] = value
        elif isinstance(value, (int, Decimal)) and (number := _number(value)) is not None:
            known.numbers[name] = number


def _number(value: int | Decimal) -> Decimal | None:
    number = Decimal(value)
    _, digits, exponent = number.as_tuple()
    small = isinstance(exponent, int) and len(digits) <= _NUMBER_DIGITS_MAX and abs(exponent) <= _NUMBER_DIGITS_MAX
    return number if small else None


def _present(named: dict[str, V | None]) -> dict[str, V]:
    return {name: value for name, value in named.items() if value is not None}


def _money(minor: int | None, currency: str) -> Decimal | None:
    return None if minor is None else from_minor(minor, currency)


def _truth(value: bool) -> str:
    return "true" if value else "false"
