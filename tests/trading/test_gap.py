"""The gap analyzer: buckets fill side by side, and no bucket ever runs ahead further than is promised."""

from decimal import Decimal
from fractions import Fraction

import pytest
from bourse.trading.gap import cost_max, deviation_bound, plan
from bourse.trading.model import PlanFacts, PortfolioStatus
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.builders import facts


def volumes(given_facts: PlanFacts) -> list[int]:
    return [bucket.volume for bucket in plan(given_facts)]


def test_the_first_offers_are_ten_percent_of_each_bucket() -> None:
    assert volumes(facts("75", "25")) == [7_500, 2_500]


def test_a_full_first_step_raises_the_bucket_that_is_behind_and_holds_the_one_ahead() -> None:
    planned = plan(facts("75", "25", principals=[7_500, 0]))
    assert [(bucket.cap, bucket.volume, bucket.waits_for) for bucket in planned] == [(7_500, 0, "cap"), (5_000, 5_000, None)]


def test_without_supply_for_one_bucket_the_others_stop() -> None:
    assert volumes(facts("75", "25", principals=[7_500, 0])) == [0, 5_000]
    assert volumes(facts("50", "30", "20", principals=[5_000, 3_000, 0])) == [0, 0, 4_000]


def test_a_repayment_lowers_what_the_others_may_buy() -> None:
    before = volumes(facts("50", "50", principals=[10_000, 9_000]))
    after = volumes(facts("50", "50", principals=[10_000, 4_000]))
    assert before == [4_000, 6_000]
    assert after == [0, 11_000]


def test_a_target_below_the_exposure_buys_nothing() -> None:
    assert volumes(facts("50", "50", volume=10_000, principals=[9_000, 9_000])) == [0, 0]


def test_too_little_cash_is_shared_in_the_same_proportion() -> None:
    planned = volumes(facts("75", "25", cash=1_000))
    assert sum(planned) <= 1_000
    assert planned[0] == pytest.approx(3 * planned[1], rel=0.02)


def test_cash_for_less_than_a_lot_in_each_bucket_goes_to_the_least_full_ones() -> None:
    planned = plan(facts("50", "30", "20", lot=500, cash=1_100, principals=[5_000, 0, 0]))
    assert [(bucket.volume, bucket.waits_for) for bucket in planned] == [(0, "cap"), (1_100, "cash"), (0, "cash")]
    assert [bucket.volume for bucket in plan(facts("50", "50", lot=500, cash=600))] == [600, 0]
    assert [bucket.volume for bucket in plan(facts("50", "50", lot=500, cash=499))] == [0, 0]


def test_cash_others_may_take_and_cash_to_keep_is_not_offered() -> None:
    assert volumes(facts("75", "25", cash=10_000, others=4_000, keep_uninvested=6_000)) == [0, 0]


def test_a_gap_smaller_than_a_lot_waits_for_more() -> None:
    planned = plan(facts("75", "25", principals=[7_490, 2_500], lot=25))
    assert planned[0].volume == 7_510
    assert plan(facts("75", "25", principals=[7_490, 0], lot=25))[0].waits_for == "lot"


def test_a_bucket_that_lacks_less_than_a_lot_counts_as_full_for_the_others() -> None:
    planned = plan(facts("95", "5", lot=2_500, principals=[40_000, 2_600]))
    assert [(bucket.cap, bucket.waits_for) for bucket in planned] == [(95_000, None), (4_605, "full")]


def test_a_bucket_that_is_smaller_than_a_lot_by_now_was_never_filled_and_holds_the_others() -> None:
    """Its product's lot was raised since: nobody may run ahead of what it holds, and its investor is told why."""
    planned = plan(facts("99", "1", lot=2_500))
    assert [(bucket.volume, bucket.waits_for) for bucket in planned] == [(9_900, None), (0, "lot")]


def test_a_dropped_bucket_is_planned_to_nothing() -> None:
    planned = plan(facts("75", "25").model_copy(update={"dropped": ("old",)}))
    assert [(bucket.bucket_id, bucket.volume, bucket.cost) for bucket in planned][2:] == [("old", 0, 0)]


def test_a_bucket_too_small_for_the_step_steps_by_a_lot() -> None:
    planned = plan(facts("99", "1", lot=250))
    assert planned[1].volume == 250


def test_one_bucket_alone_fills_in_steps_or_at_once_as_the_product_says() -> None:
    assert volumes(facts("100")) == [10_000]
    assert volumes(facts("100", principals=[10_000])) == [10_000]
    assert volumes(facts("100", at_once=True)) == [100_000]


def test_a_paused_portfolio_and_a_blocked_investor_buy_nothing() -> None:
    assert volumes(facts("75", "25", status=PortfolioStatus.PAUSED)) == [0, 0]
    assert volumes(facts("75", "25", investor_active=False)) == [0, 0]


def test_shares_with_an_odd_rest_still_sum_to_the_target() -> None:
    assert sum(bucket.target for bucket in plan(facts("33.33", "33.33", "33.34", volume=100_001))) == 100_001


def test_the_bound_is_the_published_formula() -> None:
    assert deviation_bound([75_000, 25_000], 1, Decimal(10)) == Fraction(1875, 100_000)
    assert deviation_bound([50_000, 50_000], 1, Decimal(10)) == Fraction(1, 40)
    assert deviation_bound([10_000] * 10, 1, Decimal(10)) == Fraction(9, 1000)


structures = st.sampled_from([("75", "25"), ("50", "50"), ("50", "30", "20"), ("10",) * 10, ("33.33", "33.33", "33.34"), ("99", "1"), ("100",)])


@settings(max_examples=150, deadline=None)
@given(structures, st.integers(min_value=50_000, max_value=10**7), st.sampled_from([1, 25, 500]), st.data())
def test_the_structure_is_never_violated_whatever_fills_settles_and_returns_in_whatever_order(
    shares: tuple[str, ...], volume: int, lot: int, data: st.DataObject
) -> None:
    """Bids are published at random against the live volumes, settle or return at random, and plans come at random between.

    A plan looks at settled principal only, so a bid that returns was never a reason for another bucket to move on.
    """
    settled, flying = [0] * len(shares), [0] * len(shares)
    live = [0] * len(shares)
    planned_settled = [0] * len(shares)
    targets = [bucket.target for bucket in plan(facts(*shares, volume=volume, lot=lot))]
    bound = deviation_bound(targets, lot, Decimal(10)) * volume
    for _ in range(30):
        what = data.draw(st.sampled_from(["plan", "publish", "publish", "settle", "return"]))
        number = data.draw(st.integers(min_value=0, max_value=len(shares) - 1))
        if what == "plan":
            live = volumes(facts(*shares, volume=volume, lot=lot, principals=settled))
            planned_settled = list(settled)
        elif what == "publish":
            room = live[number] - (flying[number] + settled[number] - planned_settled[number])
            flying[number] += data.draw(st.integers(min_value=0, max_value=max(0, room)))
        elif what == "settle":
            moved = data.draw(st.integers(min_value=0, max_value=flying[number]))
            flying[number], settled[number] = flying[number] - moved, settled[number] + moved
        else:
            flying[number] -= data.draw(st.integers(min_value=0, max_value=flying[number]))
        exposure = [one + other for one, other in zip(settled, flying, strict=True)]
        assert all(one <= target for one, target in zip(exposure, targets, strict=True))
        deviations = [Fraction(one) - Fraction(target, volume) * sum(exposure) for one, target in zip(exposure, targets, strict=True)]
        assert all(abs(one) <= bound for one in deviations)


@settings(max_examples=100, deadline=None)
@given(structures, st.integers(min_value=50_000, max_value=10**7), st.data())
def test_while_buying_no_bucket_deviates_by_more_than_the_bound(shares: tuple[str, ...], volume: int, data: st.DataObject) -> None:
    """Random partial fills in any order, settled at once; the deviation is checked after each."""
    held = [0] * len(shares)
    targets = [bucket.target for bucket in plan(facts(*shares, volume=volume))]
    bound = deviation_bound(targets, 1, Decimal(10)) * volume
    for _ in range(25):
        for number, live in enumerate(volumes(facts(*shares, volume=volume, principals=held))):
            held[number] += data.draw(st.integers(min_value=0, max_value=live))
            whole = sum(held)
            deviations = [Fraction(one) - Fraction(target, volume) * whole for one, target in zip(held, targets, strict=True)]
            assert all(abs(one) <= bound for one in deviations)
            assert bound <= Fraction(volume, 40)


@given(structures, st.integers(min_value=50_000, max_value=10**7))
def test_with_ample_supply_a_portfolio_ends_exactly_full_in_ten_cycles(shares: tuple[str, ...], volume: int) -> None:
    held = [0] * len(shares)
    cycles = 0
    while any(live := volumes(facts(*shares, volume=volume, principals=held))):
        held = [one + more for one, more in zip(held, live, strict=True)]
        cycles += 1
    assert sum(held) == volume
    assert 10 <= cycles <= 12


@given(st.integers(min_value=0, max_value=10**9), st.decimals(min_value="0.9", max_value="1.1", places=4), st.sampled_from([1, 7, 2500]), st.data())
def test_what_is_planned_never_costs_more_than_the_cash_there_is(cash: int, ratio: Decimal, lot: int, data: st.DataObject) -> None:
    planned = plan(facts("60", "40", volume=10**9, cash=cash, ratio=str(ratio), lot=lot))
    assert sum(bucket.cost for bucket in planned) <= cash
    for bucket in planned:
        paid, rest = 0, bucket.volume
        while rest >= lot and paid < 10**12:
            bid = data.draw(st.integers(min_value=lot, max_value=rest)) if rest < 5 * lot else rest - rest // 2
            paid, rest = paid + -(-bid * ratio.as_integer_ratio()[0] // ratio.as_integer_ratio()[1]), rest - bid
        assert paid <= bucket.cost


@given(
    st.integers(min_value=-1_000, max_value=200_000),
    st.decimals(min_value="0.01", max_value="2", places=4),
    st.sampled_from([1, 7, 2_500]),
    st.lists(st.integers(min_value=0, max_value=30_000), min_size=3, max_size=3),
)
def test_little_cash_never_buys_more_than_the_caps_allow_or_less_than_a_lot(cash: int, ratio: Decimal, lot: int, held: list[int]) -> None:
    given_facts = facts("50", "30", "20", cash=cash, ratio=str(ratio), lot=lot, principals=held)
    planned = plan(given_facts)
    assert planned == plan(given_facts)
    assert sum(bucket.cost for bucket in planned) <= max(0, cash)
    for bucket in planned:
        assert bucket.volume == 0 or lot <= bucket.volume <= bucket.cap - bucket.principal


@given(st.integers(min_value=0, max_value=10**9), st.decimals(min_value="0.9", max_value="1.1", places=6), st.integers(min_value=1, max_value=10**6))
def test_the_most_a_volume_can_cost_grows_with_it(volume: int, ratio: Decimal, lot: int) -> None:
    assert cost_max(volume, ratio, lot) <= cost_max(volume + 1, ratio, lot)
