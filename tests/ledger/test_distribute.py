"""Sharing a payment among the holders of a loan: exact, never off by a unit, and nothing left at the end."""

from datetime import UTC, datetime
from fractions import Fraction
from random import Random

import pytest
from bourse.errors import Refused
from bourse.ledger.actions import Distribute
from bourse.ledger.distribute import distribution, share
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def payment(amount: int = 11_000, **terms: object) -> Distribute:
    given_: dict[str, object] = {"flavor_id": "usd", "amount": amount, "source": "processing", "over_flavor_id": "loan1", "fee": (1, 100)}
    return Distribute(**(given_ | terms))  # type: ignore[arg-type]


def test_the_guides_figures_are_those_of_its_own_rule_and_a_cent_fairer_by_ours() -> None:
    holdings = {"investor1": 3_666, "investor2": 7_334}
    seed = distribution(payment(rule="seed_floor"), holdings, {}, {})
    assert (seed.pays, seed.retires, seed.fee) == ({"investor1": 3_629, "investor2": 7_260}, {"investor1": 3_666, "investor2": 7_334}, 111)
    ours = distribution(payment(), holdings, {}, {})
    assert (ours.pays, ours.fee) == ({"investor1": 3_629, "investor2": 7_261}, 110)


def test_of_every_way_to_split_a_loan_in_two_nothing_is_left_after_the_last_payment() -> None:
    """All 10,999 splits of 11,000, the 683 among them that the guide's rule never closes."""
    for first in range(1, 11_000):
        held = {"a": first, "b": 11_000 - first}
        owed: dict[str, Fraction] = {}
        for amount in (3_667, 3_667, 3_666):
            shares = distribution(payment(amount), held, {}, owed)
            owed = shares.owed_retired
            held = {holder: tokens - shares.retires.get(holder, 0) for holder, tokens in held.items()}
            assert sum(shares.retires.values()) == amount
        assert held == {"a": 0, "b": 0}


def test_over_a_life_of_payments_nobody_is_off_by_a_unit_and_the_platform_takes_its_fee_and_no_more() -> None:
    random = Random(7)
    for holders in (3, 60, 200):
        held = {f"i{number}": random.randrange(1, 500) for number in range(holders)}
        whole = sum(held.values())
        owed: dict[str, Fraction] = {}
        paid = dict.fromkeys(held, 0)
        exact = dict.fromkeys(held, Fraction())
        for _ in range(360):
            amount = random.randrange(1, 50_000)
            shares = distribution(payment(amount, retire=False), held, owed, {})
            owed = shares.owed_paid
            assert shares.fee == int(Fraction(amount, 100) + Fraction(1, 2))
            assert sum(shares.pays.values()) + shares.fee == amount
            for holder, tokens in held.items():
                paid[holder] += shares.pays[holder]
                exact[holder] += Fraction((amount - shares.fee) * tokens, whole)
                assert abs(exact[holder] - paid[holder]) < 1


@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**6), min_size=1, max_size=12).filter(any), st.integers(1, 6), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_shares_are_whole_fair_and_sum_to_the_pool_also_when_holdings_change(pool: int, tokens: list[int], rounds: int, random: Random) -> None:
    held = {f"i{number}": one for number, one in enumerate(tokens)}
    owed: dict[str, Fraction] = {}
    for _ in range(rounds):
        shares, after = share(pool, held, owed)
        assert sum(shares.values()) == pool
        assert all(one >= 0 for one in shares.values())
        assert set(shares) == {holder for holder, one in held.items() if one}
        assert all(abs(debt) < 1 and debt.denominator <= 10**13 for debt in after.values())
        assert sum(after.values()) == sum(owed.get(holder, Fraction()) for holder in after)
        owed = {**owed, **after}
        held = {holder: random.randrange(1, 1_000) if one else 0 for holder, one in held.items()}


def test_a_cent_to_three_holders_goes_to_one_and_the_next_to_another() -> None:
    held = {"a": 1, "b": 1, "c": 1}
    owed: dict[str, Fraction] = {}
    given_to = []
    for _ in range(3):
        shares, owed = share(1, held, owed)
        given_to += [holder for holder, part in shares.items() if part]
    assert given_to == ["a", "b", "c"]


def test_what_cannot_be_distributed_is_refused() -> None:
    with pytest.raises(Refused, match="NOTHING_TO_DISTRIBUTE"):
        distribution(payment(retire=False), {"a": 0}, {}, {})
    with pytest.raises(Refused, match="DISTRIBUTION_TOO_LARGE"):
        distribution(payment(11_001), {"a": 11_000}, {}, {})
