"""What an investor may ask for: whole structures, criteria that some loan can match, and no more words than a message carries."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from bourse.clock import FixedClock
from bourse.errors import Refused
from bourse.message import BODY_BYTES_MAX, encode
from bourse.trading.events import BuyOffer, BuyOffersPlaced, Criterion
from bourse.trading.memory import MemoryTrading, Surroundings
from bourse.trading.model import LABELS_MAX, Bucket, PortfolioTerms
from bourse.trading.portfolios import create_portfolio
from pydantic import ValidationError

from tests.trading.builders import PRODUCT, terms

T, CLOCK = "t1", FixedClock(datetime(2026, 1, 5, 9, tzinfo=UTC))


def asked(*criteria: dict[str, Any]) -> Bucket:
    return Bucket(bucket_id="b", target_share=Decimal(100), criteria=tuple(Criterion(**one) for one in criteria))


def test_the_portfolio_of_the_requirements_can_be_asked_for_exactly() -> None:
    """75 % good score, Spain only, age 28-35, high income; 25 % low score and nothing else."""
    good = (
        Criterion(field="grade", op="in", labels=("A", "B")),
        Criterion(field="country", op="in", labels=("ES",)),
        Criterion(field="age", op="between", numbers=(Decimal(28), Decimal(35))),
        Criterion(field="income_month", op="gte", numbers=(Decimal(4_000),)),
    )
    low = (Criterion(field="grade", op="in", labels=("F", "G")),)
    buckets = (Bucket(bucket_id="good", target_share=Decimal(75), criteria=good), Bucket(bucket_id="low", target_share=Decimal(25), criteria=low))
    whole = PortfolioTerms.model_validate(terms().model_dump() | {"buckets": buckets})
    assert whole.bucket_volumes() == [75_000, 25_000]
    assert [len(bucket.criteria) for bucket in whole.buckets] == [4, 1]


@pytest.mark.parametrize(
    "criterion",
    [
        {"field": "grade", "op": "in"},
        {"field": "grade", "op": "in", "labels": ("",)},
        {"field": "grade", "op": "in", "labels": ("x" * 101,)},
        {"field": "grade", "op": "not_in"},
        {"field": "grade", "op": "in", "labels": ("A",), "numbers": (1,)},
        {"field": "age", "op": "between", "numbers": (35, 28)},
        {"field": "age", "op": "between", "numbers": (28,)},
        {"field": "age", "op": "gte"},
        {"field": "age", "op": "lte", "numbers": (1, 2)},
        {"field": "age", "op": "gte", "numbers": (1,), "labels": ("A",)},
        {"field": "", "op": "gte", "numbers": (1,)},
        {"field": "x" * 101, "op": "gte", "numbers": (1,)},
    ],
)
def test_a_criterion_that_no_loan_could_match_is_refused_for_it_would_hold_up_the_whole_portfolio(criterion: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        asked(criterion)
    assert refused.value.errors()[0]["loc"] == ("criteria",)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_bound_is_a_finite_number(number: str) -> None:
    with pytest.raises(ValidationError):
        asked({"field": "age", "op": "gte", "numbers": (number,)})


@pytest.mark.parametrize("shares", [("99",), ("75", "26"), ("33.33", "33.33", "33.33")])
def test_shares_that_are_not_a_hundred_name_the_field_at_fault(shares: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as refused:
        terms(*shares)
    assert refused.value.errors()[0]["loc"] == ("buckets",)


def test_two_buckets_of_one_id_are_refused() -> None:
    with pytest.raises(ValidationError, match="same bucket_id"):
        PortfolioTerms.model_validate(terms().model_dump() | {"buckets": [Bucket(bucket_id="b", target_share=Decimal(50))] * 2})


def test_the_largest_portfolio_one_may_ask_for_fits_into_a_message() -> None:
    words = tuple(f"{number:0100d}" for number in range(LABELS_MAX))
    one = BuyOffer(
        offer_id="o",
        version=1,
        portfolio_id="p",
        bucket_id="b",
        investor_id="i",
        product_id="consumer",
        criteria=(Criterion(field="x" * 100, op="in", labels=words),),
        volume=1,
        settled_total=0,
        per_loan_max=1,
        buy_ratio=Decimal(1),
    )
    head = {"message_id": "m", "tenant_id": T, "correlation_id": "c", "book_id": "t1/USD/loan", "said_at": CLOCK.now()}
    assert len(encode(BuyOffersPlaced(**head, offers=(one,)))) < BODY_BYTES_MAX
    buckets = [asked({"field": "x", "op": "in", "labels": (*words, "more")})]
    with pytest.raises(ValidationError, match="words"):
        PortfolioTerms.model_validate(terms().model_dump() | {"buckets": buckets})


@pytest.mark.parametrize("limit", ["per_loan_max", "per_borrower_max", "per_originator_max"])
def test_a_limit_below_the_smallest_lot_could_never_be_bought_within(limit: str) -> None:
    low, product = terms().model_copy(update={limit: 24}), PRODUCT.model_copy(update={"lot_min": 25})
    with pytest.raises(Refused) as refused:
        create_portfolio(T, "ada", "income", low, product, portfolios=MemoryTrading(Surroundings(lambda _: product)), clock=CLOCK)
    assert (refused.value.code, refused.value.field) == ("LOT_TOO_LARGE", limit)
