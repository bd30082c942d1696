"""What a transaction's digest stands on: the usual ones are written at once, and come to what the general way writes, whatever is in them."""

from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from bourse.errors import Refused
from bourse.ledger.actions import ANY, WORLD, Expect, Issue, Retire, Spending, Transaction, Transfer, _written, canonical
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NAMES = st.sampled_from(["a", "cash/i-1", "EUR", WORLD, "", 'quote"', "back\\slash", "é", "line\n", "loan:a@b+c=d.e_f"]) | st.text(max_size=3) | st.just(7)
VALUES = st.sampled_from([1, -5, True, None, "x", 'q"', "é", {}, {"b": 1, "a": {"z": "y"}}, 1.5, [1], 2**70])
TAGS = st.just({}) | st.dictionaries(st.sampled_from(["b", "a", "loan_id", "é", 'q"']), VALUES, max_size=3) | st.just(MappingProxyType({"b": 1, "a": 2}))
AMOUNTS = st.sampled_from([1, 0, -3, 2**63, 2**70, True, 1.0, None, "5"])
TRANSFERS = st.builds(
    Transfer, NAMES, AMOUNTS, NAMES, NAMES, st.sampled_from([ANY, Spending(), Spending("a=$1", (1,))]), TAGS, st.sampled_from([False, True, (), ("a",)]), TAGS
)
ISSUES = st.builds(Issue, NAMES, AMOUNTS, NAMES, TAGS, TAGS, NAMES, st.sampled_from([None, 0, -7, -(2**70), False, "0"]))
RETIRES = st.builds(Retire, NAMES, AMOUNTS, NAMES)
TIMES = st.sampled_from([NOON, NOON.astimezone(timezone(timedelta(hours=5, minutes=45))), NOON + timedelta(microseconds=1)])
TRANSACTIONS = st.builds(
    Transaction,
    NAMES,
    st.lists(TRANSFERS | ISSUES | RETIRES, max_size=3).map(tuple),
    TIMES,
    NAMES,
    TAGS,
    st.just("caused by"),
    st.sampled_from([(), (Expect("a=1", amount=3),)]),
)


def general(one: Transaction) -> Any:
    """The canonical form, or the code of its refusal."""
    try:
        return canonical(one.document())
    except Refused as refused:
        return refused.code


def at_once(one: Transaction) -> Any:
    try:
        return _written(one)
    except Refused as refused:
        return refused.code


@given(TRANSACTIONS)
def test_what_is_written_at_once_is_what_the_general_way_writes(one: Transaction) -> None:
    assert at_once(one) in (None, general(one))


@pytest.mark.parametrize(
    "action",
    [
        Transfer("EUR", 5, "cash/a", "cash/b"),
        Transfer("EUR", 5, "cash/a", "cash/b", token_tags={"b": 1, "a": "é"}, action_tags={"type": "fee"}),
        Issue("EUR", 5, "cash/a"),
        Issue("loan/o/l", 2**63 - 1, "claims/p/b", {"loan_id": "l"}, {"type": "claim"}, "loans/o", -100),
    ],
)
def test_the_usual_ones_are_written_at_once(action: Transfer | Issue) -> None:
    one = Transaction("purchase.1", (action, action), NOON, "purchase", {"bid_id": "b", "at": "ü"}, "c")
    assert _written(one) == canonical(one.document())
