"""Money: exact, of one currency, and split without loss."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from bourse.errors import Refused
from bourse.money import MINOR_MAX, Money, ceil_share, exponent, floor_share, from_minor, split, to_minor
from hypothesis import given
from hypothesis import strategies as st

amounts = st.integers(min_value=0, max_value=MINOR_MAX)
weights = st.lists(st.integers(min_value=0, max_value=10**12), min_size=1, max_size=60).filter(any)
ratios = st.decimals(min_value=Decimal(0), max_value=Decimal(2), places=6, allow_nan=False)


@given(amounts, weights)
def test_the_parts_of_a_split_sum_to_the_amount(amount: int, weights: list[int]) -> None:
    assert sum(split(amount, weights)) == amount


@given(amounts, weights)
def test_each_part_is_within_one_unit_of_its_exact_share(amount: int, weights: list[int]) -> None:
    total = sum(weights)
    for part, weight in zip(split(amount, weights), weights, strict=True):
        assert abs(part - Fraction(amount * weight, total)) < 1


@given(amounts, weights)
def test_who_has_no_weight_gets_nothing(amount: int, weights: list[int]) -> None:
    assert all(part == 0 for part, weight in zip(split(amount, weights), weights, strict=True) if weight == 0)


@given(amounts, weights)
def test_a_larger_weight_never_gets_less(amount: int, weights: list[int]) -> None:
    by_weight = sorted(zip(weights, split(amount, weights), strict=True))
    assert all(low[1] <= high[1] for low, high in pairwise(by_weight) if low[0] < high[0])


@given(amounts, ratios)
def test_a_share_is_rounded_from_the_exact_product(amount: int, ratio: Decimal) -> None:
    exact = Fraction(amount) * Fraction(ratio)
    assert floor_share(amount, ratio) == exact.__floor__()
    assert ceil_share(amount, ratio) == exact.__ceil__()


@given(st.integers(min_value=-MINOR_MAX, max_value=MINOR_MAX), st.sampled_from(["USD", "JPY", "KWD"]))
def test_minor_units_survive_the_way_to_decimals_and_back(minor: int, currency: str) -> None:
    assert to_minor(from_minor(minor, currency), currency) == minor


@pytest.mark.parametrize(("currency", "decimals"), [("USD", 2), ("EUR", 2), ("JPY", 0), ("BHD", 3), ("KWD", 3)])
def test_the_decimals_are_those_of_iso_4217(currency: str, decimals: int) -> None:
    assert exponent(currency) == decimals


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("10.005", "USD", "MONEY_PRECISION"),
        ("0.1", "JPY", "MONEY_PRECISION"),
        ("NaN", "USD", "MONEY_RANGE"),
        ("Infinity", "USD", "MONEY_RANGE"),
        ("1E+6144", "USD", "MONEY_RANGE"),
        ("92233720368547758.08", "USD", "MONEY_RANGE"),
        ("1", "usd", "CURRENCY_UNKNOWN"),
        ("1", "XXX", "CURRENCY_UNKNOWN"),
    ],
)
def test_an_amount_that_cannot_be_booked_exactly_is_refused(amount: str, currency: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        to_minor(Decimal(amount), currency)
    assert refused.value.code == code


def test_two_currencies_do_not_add_up() -> None:
    with pytest.raises(Refused, match="CURRENCY_MISMATCH"):
        _ = Money(1, "USD") + Money(1, "EUR")


def test_money_reads_as_people_write_it() -> None:
    assert str(Money(123456, "USD")) == "1,234.56 USD"
    assert str(Money(-5, "USD") + Money(5, "USD")) == "0.00 USD"
    assert str(-Money(1234, "JPY")) == "-1,234 JPY"
