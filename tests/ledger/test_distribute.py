"""Sharing a payment among the holders of a loan: exact, never off by a unit, and nothing left at the end."""

from datetime import UTC, datetime
from fractions import Fraction
from random import Random

import pytest
from bourse.errors import Refused
from bourse.ledger.actions import Distribute
from bourse.ledger.distribute import GRID, distribution, share, share_floor
from hypothesis import given, settings
from hypothesis import strategies as st

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def payment(amount: int = 11_000, **terms: object) -> Distribute:
    given_: dict[str, object] = {"flavor_id": "usd", "amount": amount, "source": "processing", "over_flavor_id": "loan1", "fee": (1, 100)}
    return Distribute(**(given_ | terms))


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


Sharings = list[tuple[int, dict[str, int]]]


def sharings(holdings_max: int = 10**6) -> st.SearchStrategy[Sharings]:
    """Pools with the holdings they meet: holders come, go, and hold nothing at times."""
    held = st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(0, holdings_max), min_size=1).filter(lambda one: any(one.values()))
    return st.lists(st.tuples(st.integers(0, 10**6), held), min_size=1, max_size=12)


@given(sharings())
@settings(max_examples=200, deadline=None)
def test_shares_are_whole_and_sum_to_the_pool_and_debts_to_zero_whoever_comes_and_goes(rounds: Sharings) -> None:
    owed: dict[str, Fraction] = {}
    for pool, held in rounds:
        shares, after = share(pool, held, owed)
        owed |= after
        assert sum(shares.values()) == pool
        assert set(shares) == set(after) == {holder for holder, tokens in held.items() if tokens}
        whole = sum(held.values())
        assert all(part - pool * held[holder] // whole in (0, 1) for holder, part in shares.items())
        assert sum(owed.values()) == 0
        assert all(GRID % debt.denominator == 0 for debt in owed.values())


@given(sharings(10**4))
@settings(max_examples=200, deadline=None)
def test_the_units_left_go_to_those_whom_exact_fractions_owe_most(rounds: Sharings) -> None:
    owed: dict[str, Fraction] = {}
    exact: dict[str, Fraction] = {}
    for number, (pool, held) in enumerate(rounds, 1):
        shares, after = share(pool, held, owed)
        owed |= after
        whole, off = sum(held.values()), Fraction(number, GRID)
        due = {holder: exact.get(holder, Fraction()) + Fraction(pool * held[holder] % whole, whole) for holder in shares}
        favoured = {holder for holder, part in shares.items() if part > pool * held[holder] // whole}
        assert all(due[one] >= due[other] - 2 * off for one in favoured for other in due.keys() - favoured)
        exact |= {holder: debt - (holder in favoured) for holder, debt in due.items()}
        assert all(abs(owed[holder] - debt) <= off for holder, debt in exact.items())


@given(st.integers(0, 10**6), st.dictionaries(st.text(max_size=3), st.integers(0, 10**4), min_size=1, max_size=30).filter(lambda one: any(one.values())))
@settings(max_examples=200, deadline=None)
def test_a_first_sharing_is_that_of_the_largest_remainders_ties_to_the_first_id(pool: int, held: dict[str, int]) -> None:
    whole = sum(held.values())
    exact = {holder: Fraction(pool * tokens, whole) for holder, tokens in held.items() if tokens}
    left = pool - sum(int(part) for part in exact.values())
    favoured = sorted(exact, key=lambda holder: (int(exact[holder]) - exact[holder], holder))[:left]
    assert share(pool, held, {})[0] == {holder: int(part) + (holder in favoured) for holder, part in exact.items()}
    assert share_floor(pool, held) == ({holder: int(part) for holder, part in exact.items()}, left)


def test_no_rule_keeps_everybody_within_a_unit_when_holders_sell_out_as_they_are_served() -> None:
    """One unit to four, to the three who got none, to the two left, to the last: 1/4 + 1/3 + 1/2 + 1 is due to him, and he has 1."""
    owed: dict[str, Fraction] = {}
    held = dict.fromkeys("abcd", 1)
    while held:
        shares, after = share(1, held, owed)
        owed |= after
        held = {holder: 1 for holder in held if not shares[holder]}
    assert abs(max(owed.values()) - Fraction(13, 12)) < Fraction(4, GRID)


def test_nor_do_holders_who_stay_always_remain_within_a_unit() -> None:
    held = {"a": 225, "b": 25, "c": 37, "d": 13}
    owed: dict[str, Fraction] = {}
    for pool in (75, 100, 12):
        _, owed = share(pool, held, owed)
    assert abs(owed["c"] - (Fraction(1, 4) + Fraction(1, 3) + Fraction(12, 25))) < Fraction(3, GRID)


def test_instalments_with_sales_between_them_keep_everybody_within_a_unit_and_end_at_nothing() -> None:
    """Lives of 60 instalments among up to 50 investors: a part of the claims changes hands before each payment."""
    random = Random(11)
    for _ in range(10):
        held = {f"i{number}": random.randrange(1, 40_000) for number in range(50)}
        paid: dict[str, Fraction] = {}
        retired: dict[str, Fraction] = {}
        for remaining in range(60, 0, -1):
            seller, buyer = random.sample(sorted(held), 2)
            sold = random.randrange(held[seller] + 1)
            held[seller] -= sold
            held[buyer] += sold
            amount = sum(held.values()) // remaining
            shares = distribution(payment(amount), held, paid, retired)
            paid |= shares.owed_paid
            retired |= shares.owed_retired
            held = {holder: tokens - shares.retires.get(holder, 0) for holder, tokens in held.items()}
            assert min(held.values()) >= 0
            assert sum(shares.retires.values()) == amount == shares.fee + sum(shares.pays.values())
            assert all(abs(debt) < 1 for debt in (*paid.values(), *retired.values()))
        assert not any(held.values())


@given(st.integers(1, 10**6), st.integers(0, 300).flatmap(lambda top: st.tuples(st.integers(0, top), st.integers(max(top, 1), 300))))
def test_the_fee_is_the_rate_of_the_amount_rounded_half_up_and_never_more(amount: int, rate: tuple[int, int]) -> None:
    shares = distribution(payment(amount, fee=rate, retire=False), {"a": 1, "b": 2}, {}, {})
    assert shares.fee == (Fraction(*rate) * amount + Fraction(1, 2)).__floor__()
    assert shares.fee + sum(shares.pays.values()) == amount


def test_eleven_hundred_holders_of_ten_cents_are_paid_to_the_cent_over_and_over() -> None:
    held = {f"i{number:04}": 10 for number in range(1_100)}
    owed: dict[str, Fraction] = {}
    paid = dict.fromkeys(held, 0)
    for number in range(1, 41):
        shares = distribution(payment(11_000, retire=False), held, owed, {})
        owed = shares.owed_paid
        assert shares.fee == 110
        paid = {holder: cents + shares.pays[holder] for holder, cents in paid.items()}
        assert all(abs(cents - Fraction(number * 99, 10)) < 1 for cents in paid.values())
    assert set(paid.values()) == {396}


def test_rounding_down_counts_what_is_left_and_whole_numbers_close_the_683_holdings_that_floats_do_not() -> None:
    assert share_floor(10, {"a": 1, "b": 1, "c": 1, "d": 0}) == ({"a": 3, "b": 3, "c": 3}, 1)
    lost = [tokens for tokens in range(1, 11_000) if int(tokens / 11_000 * 11_000) != tokens]
    assert (len(lost), lost[:4]) == (683, [1, 2, 4, 8]), "the holdings that shares in floating point never close"
    for first in range(1, 11_000):
        held = {"a": first, "b": 11_000 - first}
        assert distribution(payment(rule="seed_floor"), held, {}, {}).retires == held


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
