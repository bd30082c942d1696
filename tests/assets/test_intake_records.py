"""What an originator may write in a record, and what it becomes."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from bson.binary import Binary, UuidRepresentation
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from tests.assets.intake_builders import FULL, NOON, ORIGINATOR, loan
from tests.assets.record_builders import facts, read


def test_a_full_record_becomes_canonical_json() -> None:
    loan = read(FULL)
    assert (loan.loan_id, loan.updated_at) == ("L-1", NOON - timedelta(hours=2))
    assert orjson.loads(loan.document) == {
        "borrower": {"birth_year": 1990, "employment": "employed", "id": "B-1", "income_month_minor": 250_000},
        "callback_url": "https://acme.example/offers",
        "country": "ES",
        "currency": "EUR",
        "days_past_due": 0,
        "extras": {"score": 17.25, "sub_grade": "C2"},
        "grade": "C",
        "interest_rate": "12.99",
        "issued_on": "2025-06-01",
        "loan_id": "L-1",
        "next_due_on": "2026-02-01",
        "outstanding_principal_minor": 1_150_055,
        "partial_sale": True,
        "principal_minor": 1_200_000,
        "schedule": [
            {"due_on": "2026-02-01", "interest_minor": 12_449, "principal_minor": 30_010},
            {"due_on": "2026-03-01", "interest_minor": 12_124, "principal_minor": 30_335},
        ],
        "sellable_share": "90",
        "status": "active",
        "term_months": 36,
    }


def test_only_the_required_fields_are_needed() -> None:
    assert set(facts(loan(updated_at=...))) == {
        "loan_id",
        "status",
        "currency",
        "principal_minor",
        "outstanding_principal_minor",
        "interest_rate",
        "term_months",
    }


def test_the_order_of_fields_is_not_content() -> None:
    assert read(dict(reversed(FULL.items()))) == read(FULL)


def test_updated_at_is_not_content() -> None:
    assert read(FULL | {"updated_at": NOON}).document == read(FULL).document


def test_null_is_absent() -> None:
    nulls = {"grade": None, "country": None, "schedule": None, "borrower": None, "sub_grade": None, "updated_at": None}
    assert facts(loan(**nulls)) == facts(loan(updated_at=...))


@pytest.mark.parametrize(
    ("written", "minor"),
    [
        (Decimal128("1250.00"), 125_000),
        (Decimal128("1250"), 125_000),
        (Decimal128("1250.5000000"), 125_050),
        (Decimal128("1.25E+3"), 125_000),
        (Decimal128("0.01"), 1),
        (Decimal128("9999999999999.99"), 999_999_999_999_999),
        ("1250.00", 125_000),
        ("1250", 125_000),
        ("0001.5", 150),
        (1250.5, 125_050),
        (1250.0, 125_000),
        (0.1, 10),
        (1.15, 115),
    ],
)
def test_money_is_a_decimal_a_text_or_a_double_that_is_exact_in_its_shortest_form(written: Any, minor: int) -> None:
    assert facts(loan(principal=written))["principal_minor"] == minor


@pytest.mark.parametrize("written", [125_000, Int64(125_000)])
def test_money_is_whole_minor_units_in_a_field_that_says_so(written: int) -> None:
    assert facts(loan(principal=..., principal_minor=written))["principal_minor"] == 125_000


@pytest.mark.parametrize(("currency", "written", "minor"), [("JPY", "125000", 125_000), ("KWD", "1.005", 1_005), ("EUR", "1.05", 105)])
def test_minor_units_are_those_of_the_currency(currency: str, written: str, minor: int) -> None:
    assert facts(loan(currency=currency, principal=Decimal128(written), outstanding_principal="0"))["principal_minor"] == minor


@pytest.mark.parametrize("zero", [Decimal128("0"), Decimal128("-0.00"), Decimal128("0E-6176"), Decimal128("0E+6000"), "0", "-0.0", 0.0, -0.0])
def test_zero_is_zero_however_it_is_written(zero: Any) -> None:
    assert facts(loan(outstanding_principal=zero))["outstanding_principal_minor"] == 0


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (Decimal128("12.990"), "12.99"),
        (Decimal128("0.05"), "0.05"),
        (Decimal128("100"), "100"),
        (Decimal128("1E+2"), "100"),
        (Decimal128("-0"), "0"),
        ("12.99", "12.99"),
        (12.99, "12.99"),
        (12, "12"),
        (Int64(7), "7"),
    ],
)
def test_rates_have_one_canonical_form(written: Any, canonical: str) -> None:
    assert facts(loan(interest_rate=written))["interest_rate"] == canonical


@pytest.mark.parametrize("written", ["2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)])
def test_a_day_is_text_or_midnight(written: Any) -> None:
    assert facts(loan(issued_on=written))["issued_on"] == "2026-01-31"


@pytest.mark.parametrize(
    "written",
    [datetime(2026, 1, 31, 8, 15, tzinfo=UTC), "2026-01-31T08:15:00Z", "2026-01-31T10:15:00+02:00", "2026-01-31T08:15Z", "2026-01-31T08:15:00.000Z"],
)
def test_a_time_is_a_date_or_text_with_its_offset(written: Any) -> None:
    assert read(loan(updated_at=written)).updated_at == datetime(2026, 1, 31, 8, 15, tzinfo=UTC)


def test_unknown_fields_are_kept_as_words_and_numbers() -> None:
    some = UUID("12345678-1234-5678-1234-567812345678")
    extras = {
        "zip": "01234",
        "score": Decimal128("0.730"),
        "big": Decimal128("12345678901234567890.123456789"),
        "points": 12,
        "many": Int64(2**53 + 1),
        "share": 0.25,
        "whole": 5.0,
        "ok": True,
        "at": datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC),
        "until": datetime(9999, 12, 31, tzinfo=UTC),
        "oid": ObjectId("65a000000000000000000001"),
        "blob": b"\1\2",
        "uuid": Binary.from_uuid(some, UuidRepresentation.STANDARD),
        "nested": {"a": [1, None, {"b": "x"}], "gone": None},
        "nothing": None,
    }
    kept = facts(loan(**extras))["extras"]
    assert kept == {
        "zip": "01234",
        "score": 0.73,
        "big": 12345678901234567890.123456789,
        "points": 12,
        "many": 2**53 + 1,
        "share": 0.25,
        "whole": 5,
        "ok": True,
        "at": "2026-01-02T03:04:05.678Z",
        "until": "9999-12-31T00:00:00Z",
        "oid": "65a000000000000000000001",
        "blob": "AQI=",
        "uuid": str(some),
        "nested": {"a": [1, None, {"b": "x"}]},
    }
    assert b'"big":12345678901234567890.123456789' in read(loan(**extras)).document
    assert b'"score":0.73' in read(loan(**extras)).document


def test_the_same_number_is_the_same_content_in_whatever_type() -> None:
    assert read(loan(score=5)).document == read(loan(score=5.0)).document == read(loan(score=Decimal128("5.00"))).document


def test_unknown_fields_of_the_borrower_and_of_rows_are_kept_under_their_parent() -> None:
    rows = [{"due_on": "2026-02-01", "principal": "1", "interest": "2", "fee": Decimal128("0.50")}, {"due_on": "2026-03-01", "principal": "1", "interest": "2"}]
    canonical = facts(loan(borrower={"id": "B", "region": "north"}, schedule=rows))
    assert canonical["extras"] == {"borrower": {"region": "north"}, "schedule": [{"fee": 0.5}, {}]}
    assert canonical["borrower"] == {"id": "B"}
    assert canonical["schedule"][1] == {"due_on": "2026-03-01", "principal_minor": 100, "interest_minor": 200}


def test_rows_may_write_their_money_each_in_its_way() -> None:
    rows = [
        {"due_on": "2026-02-01", "principal": "1.5", "interest_minor": 7},
        {"principal_minor": Int64(150), "interest": Decimal128("0.07"), "due_on": datetime(2026, 3, 1, tzinfo=UTC)},
    ]
    schedule = facts(loan(schedule=rows))["schedule"]
    assert [(row["due_on"], row["principal_minor"], row["interest_minor"]) for row in schedule] == [("2026-02-01", 150, 7), ("2026-03-01", 150, 7)]


@pytest.mark.parametrize("rows", [0, 1, 36, 600])
def test_a_schedule_may_have_up_to_six_hundred_rows(rows: int) -> None:
    schedule = [{"due_on": "2026-02-01", "principal_minor": number, "interest_minor": 1} for number in range(rows)]
    assert [row["principal_minor"] for row in facts(loan(schedule=schedule))["schedule"]] == list(range(rows))


def test_names_are_stored_verbatim_whatever_they_look_like() -> None:
    for word in ("=cmd|' /C calc'!A0", "\u202egnirts", "zero\u200bwidth", "🏦", "Zürich", "\n{}", ""):
        assert facts(loan(grade=word, note=word))["grade"] == word
        assert facts(loan(grade=word, note=word))["extras"]["note"] == word


def test_a_record_that_names_its_own_originator_is_taken() -> None:
    assert read(loan(originator_id=ORIGINATOR)) == read(loan())


def test_money_is_exact_for_every_amount_of_cents_a_double_can_hold_shortly() -> None:
    for cents in (*range(2000), 10**9 + 1, 12_345_678_901_234):
        amount = Decimal(cents) / 100
        assert facts(loan(outstanding_principal=float(amount)))["outstanding_principal_minor"] == cents
