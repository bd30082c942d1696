"""Every pair of old and new status, and what follows from it: the business reads this table."""

from itertools import product

import pytest
from bourse.assets.diff import ROUTES, Step, changed_fields
from bourse.assets.events import AssetsVersioned, LoansClosed, OffersWithdrawn
from bourse.assets.model import LoanStatus

from tests.assets.version_builders import Stage, chunk, loan

SALE = {AssetsVersioned}
STOP = {OffersWithdrawn, LoansClosed}
TABLE = [
    # before        now          counts as    what is said
    (None, "active", "created", SALE),
    (None, "repaid", "created", STOP),
    (None, "withdrawn", "created", STOP),
    (None, "defaulted", "created", STOP),
    ("active", "active", "changed", SALE),
    ("active", "repaid", "withdrawn", STOP),
    ("active", "withdrawn", "withdrawn", STOP),
    ("active", "defaulted", "withdrawn", STOP),
    ("repaid", "active", "changed", SALE),
    ("repaid", "repaid", "changed", STOP),
    ("repaid", "withdrawn", "changed", STOP),
    ("repaid", "defaulted", "changed", STOP),
    ("withdrawn", "active", "changed", SALE),
    ("withdrawn", "repaid", "changed", STOP),
    ("withdrawn", "withdrawn", "changed", STOP),
    ("withdrawn", "defaulted", "changed", STOP),
    ("defaulted", "active", "changed", SALE),
    ("defaulted", "repaid", "changed", STOP),
    ("defaulted", "withdrawn", "changed", STOP),
    ("defaulted", "defaulted", "changed", STOP),
]


@pytest.mark.parametrize(("before", "now", "counts_as", "says"), TABLE)
def test_every_status_pair_counts_and_says_what_the_table_says(before: str | None, now: str, counts_as: str, says: set[type]) -> None:
    stage = Stage()
    if before:
        stage.hear(chunk(loan(status=before)))
    outcome = stage.hear(chunk(loan(status=now, grade="A"), seq=2))
    assert outcome.counts == {f"records_{counts_as}": 1}
    assert {type(message) for message in outcome.says} == says


def test_the_table_has_every_pair() -> None:
    pairs = set(product([None, *LoanStatus], LoanStatus))
    assert set(ROUTES) == pairs
    assert {(before and LoanStatus(before), LoanStatus(now)) for before, now, _, _ in TABLE} == pairs
    assert {step for _, steps in ROUTES.values() for step in steps} == set(Step)


@pytest.mark.parametrize(
    ("before", "now", "names"),
    [
        ({"a": 1}, {"a": 1}, ()),
        ({"a": 1}, {}, ("a",)),
        ({"a": 1}, {"a": True}, ("a",)),
        ({"a": 1}, {"a": 1.0}, ("a",)),
        ({"schedule": [{"due_on": "2026-01-01"}]}, {"schedule": [{"due_on": "2026-01-02"}]}, ("schedule",)),
        ({}, {"borrower": {"id": "B", "birth_year": 1990}}, ("borrower.birth_year", "borrower.id")),
        ({"extras": {"deep": {"a": 1, "b": 2}}}, {"extras": {"deep": {"b": 2, "a": 1}}}, ()),
        ({"extras": {"deep": {"a": 1}}}, {"extras": {"deep": {"a": 2}}}, ("extras.deep",)),
        ({"extras": {"x": None}}, {"extras": {}}, ()),
    ],
)
def test_a_diff_names_the_fields_that_differ(before: dict[str, object], now: dict[str, object], names: tuple[str, ...]) -> None:
    assert changed_fields(before, now) == names
