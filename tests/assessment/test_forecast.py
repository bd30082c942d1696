"""What a loan is expected to pay: schedules to the cent, expected amounts that sum exactly, and the yearly percentages."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bourse.assessment.forecast import forecast
from bourse.assessment.schedule import RATE_MAX, TERM_MONTHS_MAX, add_months, monthly_payment, remaining_installments
from bourse.assessment.tables import Rate
from hypothesis import given
from hypothesis import strategies as st

from tests.assessment.builders import loan

TODAY = date(2026, 1, 31)


def rate(pd: str = "0", lgd: str = "0") -> Rate:
    return Rate(pd=Decimal(pd), lgd=Decimal(lgd))


def fresh(principal: int, months: int, percent: str = "0", **facts: Any) -> Any:
    return loan(principal_minor=principal, outstanding_principal_minor=principal, term_months=months, interest_rate=percent, **facts)


def test_a_loan_without_interest_is_repaid_in_equal_parts_and_the_last_closes() -> None:
    assert [row.principal for row in remaining_installments(fresh(1000, 3), TODAY)] == [333, 333, 334]


def test_an_annuity_is_rounded_once_and_its_last_installment_closes_to_zero() -> None:
    rows = remaining_installments(fresh(1_200_000, 36, "12.99"), TODAY)
    assert monthly_payment(1_200_000, Decimal("12.99") / 1200, 36) == 40_427
    assert {row.principal + row.interest for row in rows[:-1]} == {40_427}
    assert (rows[0].principal, rows[0].interest) == (27_437, 12_990)
    assert len(rows) == 36
    assert sum(row.principal for row in rows) == 1_200_000


def test_a_loan_repaid_in_part_keeps_its_payment_and_ends_earlier() -> None:
    half = loan(principal_minor=1_200_000, outstanding_principal_minor=600_000, interest_rate="12.99", term_months=36)
    rows = remaining_installments(half, TODAY)
    assert {row.principal + row.interest for row in rows[:-1]} == {40_427}
    assert len(rows) == 17
    assert sum(row.principal for row in rows) == 600_000


def test_a_balance_above_the_principal_is_repaid_within_the_term() -> None:
    rows = remaining_installments(loan(principal_minor=100_000, outstanding_principal_minor=130_000, term_months=12), TODAY)
    assert len(rows) == 12
    assert sum(row.principal for row in rows) == 130_000


@pytest.mark.parametrize(
    ("facts", "first", "third"),
    [
        ({"next_due_on": "2026-02-10"}, date(2026, 2, 10), date(2026, 4, 10)),
        ({"issued_on": "2024-08-31"}, date(2026, 2, 28), date(2026, 4, 30)),
        ({"issued_on": "2024-08-15"}, date(2026, 2, 15), date(2026, 4, 15)),
        ({"next_due_on": "2015-09-01"}, date(2026, 2, 1), date(2026, 4, 1)),
        ({}, date(2026, 2, 28), date(2026, 4, 30)),
    ],
)
def test_due_days_lie_ahead_and_keep_their_day_of_the_month(facts: dict[str, Any], first: date, third: date) -> None:
    rows = remaining_installments(fresh(1000, 3, **facts), TODAY)
    assert (rows[0].due_on, rows[2].due_on) == (first, third)


def test_the_same_day_of_a_shorter_month_is_its_last() -> None:
    assert add_months(date(2024, 1, 31), 1) == date(2024, 2, 29)
    assert add_months(date(2024, 1, 31), 13) == date(2025, 2, 28)
    assert add_months(date(9999, 12, 31), 5) == date(9999, 5, 31)


def row(due_on: str, principal: int, interest: int) -> dict[str, Any]:
    return {"due_on": due_on, "principal_minor": principal, "interest_minor": interest}


SCHEDULE = [row("2025-12-15", 100, 12), row("2026-01-15", 100, 9), row("2026-02-15", 100, 6), row("2026-03-15", 100, 3)]


@pytest.mark.parametrize(
    ("outstanding", "expected"),
    [
        (200, [("2026-02-15", 100, 6), ("2026-03-15", 100, 3)]),
        (150, [("2026-02-15", 50, 3), ("2026-03-15", 100, 3)]),
        (300, [("2026-02-15", 100, 6), ("2026-02-28", 100, 9), ("2026-03-15", 100, 3)]),
        (450, [("2026-02-15", 100, 6), ("2026-02-28", 100, 12), ("2026-02-28", 100, 9), ("2026-03-15", 150, 3)]),
        (0, []),
    ],
    ids=["as planned", "paid in part", "one overdue", "more than planned", "nothing"],
)
def test_a_given_schedule_is_followed_from_its_end(outstanding: int, expected: list[Any]) -> None:
    rows = remaining_installments(loan(outstanding_principal_minor=outstanding, schedule=SCHEDULE), TODAY)
    assert [(str(one.due_on), one.principal, one.interest) for one in rows] == expected


def test_interest_before_a_single_repayment_is_expected_too() -> None:
    bullet = [row("2026-01-15", 0, 5), row("2026-02-15", 0, 5), row("2026-03-15", 0, 5), row("2026-04-15", 1000, 5)]
    rows = remaining_installments(loan(outstanding_principal_minor=1000, schedule=bullet), TODAY)
    assert [(one.principal, one.interest) for one in rows] == [(0, 5), (0, 5), (1000, 5)]


def test_without_defaults_the_expected_return_is_the_rate_and_the_flows_are_the_schedule() -> None:
    one = fresh(1_200_000, 36, "12.99")
    found = forecast(one, TODAY, rate(), "m1")
    assert found is not None
    assert abs(found.expected_return - Decimal("12.99")) < Decimal("0.001")
    assert (found.expected_loss, found.expected_loss_minor) == (0, 0)
    assert [(flow.principal_minor, flow.interest_minor) for flow in found.cash_flow] == [
        (due.principal, due.interest) for due in remaining_installments(one, TODAY)
    ]


def test_defaults_cost_what_probability_and_loss_say() -> None:
    one = fresh(1_200_000, 36, "12.99")
    found = forecast(one, TODAY, rate("0.069", "0.6"), "m1")
    assert found is not None
    monthly = 1 - (1 - Decimal("0.069")) ** (Decimal(1) / 12)
    balance, paying, loss = Decimal(1_200_000), Decimal(1), Decimal(0)
    for due in remaining_installments(one, TODAY):
        loss += paying * monthly * balance * Decimal("0.6")
        paying *= 1 - monthly
        balance -= due.principal
    assert abs(found.expected_loss_minor - loss) < 36
    assert abs(found.expected_loss - 1200 * monthly * Decimal("0.6")) < Decimal("0.01")
    assert abs(found.expected_return - (Decimal("12.99") * (1 - monthly) - found.expected_loss)) < Decimal("0.01")
    assert (str(found.pd), str(found.lgd), found.model_version) == ("0.069", "0.6", "m1")


def test_a_year_of_months_defaults_as_much_as_the_year() -> None:
    bullet = [row(str(add_months(date(2026, 1, 31), 12)), 1_000_000, 0)]
    found = forecast(loan(outstanding_principal_minor=1_000_000, schedule=bullet), TODAY, rate("0.1", "1"), "m1")
    assert found is not None
    assert found.expected_loss_minor in (99_999, 100_000)
    assert abs(found.expected_loss - 10) < Decimal("0.001")


def test_nothing_outstanding_has_no_forecast() -> None:
    assert forecast(loan(outstanding_principal_minor=0), TODAY, rate(), "m1") is None


DUE_DAYS = st.dates(date(2020, 1, 1), date(9999, 12, 31)).map(str)
RECORDS = st.builds(
    loan,
    principal_minor=st.integers(0, 2**63 - 1) | st.integers(0, 10**7),
    outstanding_principal_minor=st.integers(1, 2**63 - 1) | st.integers(1, 10**7),
    interest_rate=st.decimals(-50, 2_000, places=3),
    term_months=st.integers(-5, 480),
    issued_on=st.dates(date(1990, 1, 1), date(2030, 1, 1)) | st.none(),
    next_due_on=st.dates(date(1990, 1, 1), date(9999, 12, 31)) | st.none(),
    schedule=st.none() | st.lists(st.builds(row, DUE_DAYS, st.integers(0, 10**9), st.integers(0, 10**9)), max_size=20),
)


@given(record=RECORDS, pd=st.decimals(0, Decimal("0.9999"), places=4), lgd=st.decimals(0, 1, places=3), today=st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_expected_principal_recoveries_and_loss_are_the_outstanding_principal_to_the_minor_unit(record: Any, pd: Any, lgd: Any, today: date) -> None:
    found = forecast(record, today, Rate(pd=pd, lgd=lgd), "m1")
    assert found is not None
    total = sum(flow.principal_minor + flow.recovery_minor for flow in found.cash_flow) + found.expected_loss_minor
    assert total == record.outstanding_principal_minor
    assert all(0 <= amount < 2**63 for flow in found.cash_flow for amount in (flow.principal_minor, flow.interest_minor, flow.recovery_minor))
    assert all(flow.due_on > today for flow in found.cash_flow)
    assert 0 <= found.expected_loss <= 100 * 12
    assert forecast(record, today, Rate(pd=pd, lgd=lgd), "m1") == found


def test_a_claim_to_run_for_ever_or_at_any_rate_is_forecast_at_the_bound() -> None:
    endless = forecast(fresh(10**9, 2**31, "1e30"), TODAY, rate("0.1", "0.5"), "m1")
    assert endless is not None
    assert len(endless.cash_flow) <= TERM_MONTHS_MAX
    assert endless.expected_return <= RATE_MAX


def test_a_forecast_moves_with_the_day_and_not_with_the_time() -> None:
    one = fresh(1_000_000, 24, "8", next_due_on="2026-03-01")
    found = [forecast(one, TODAY + timedelta(days=days), rate("0.05", "0.6"), "m1") for days in (0, 1)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].cash_flow[0].due_on == found[1].cash_flow[0].due_on
