"""Investors in a real market, book and ledger included: structure and cash hold at every moment, and everything comes to rest."""

from decimal import Decimal
from random import Random

import pytest
from bourse.parties.model import ProductTerms
from bourse.trading.model import PortfolioStatus
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.trading.builders import terms
from tests.trading.market import Market

PRODUCT = ProductTerms(currencies=("USD",), sell_ratio=Decimal("0.995"), buy_ratio=Decimal("1.005"), lot_min=25)
ACTIVE, PAUSED, CLOSED = PortfolioStatus.ACTIVE, PortfolioStatus.PAUSED, PortfolioStatus.CLOSED


def market(seed: int = 1, lot: int = 25) -> Market:
    return Market(PRODUCT.model_copy(update={"lot_min": lot}), Random(seed))


def rest_and_be_sure(one: Market, *portfolio_ids: str) -> None:
    """Run until nothing moves; then planning everybody once more must not move anything, or somebody was forgotten."""
    one.run()
    bids = len(one.published)
    for portfolio_id in portfolio_ids:
        one.nudge(portfolio_id)
    one.run()
    assert len(one.published) == bids, "somebody could have bought and was not told"


def test_with_ample_supply_a_portfolio_fills_in_ten_cycles_and_trading_comes_to_rest() -> None:
    one = market()
    one.deposit("ada", 150_000)
    one.open("income", terms("75", "25"))
    for _ in range(300):
        one.offer(one.random.choice("AB"), 1_000)
    rest_and_be_sure(one, "income")
    assert one.exposures("income") == [75_000, 25_000]
    assert 10 <= len(one.plans_said) <= 20
    assert one.reasons() == []


@pytest.mark.parametrize("volume", [700, 1_030, 25, 99_999])
def test_loans_of_odd_sizes_leave_each_bucket_less_than_a_lot_short(volume: int) -> None:
    one, whole = market(lot=25), min(100_000, 800 * volume)
    one.deposit("ada", 2 * whole)
    one.open("income", terms("75", "25", volume=whole))
    for _ in range(max(4, 2 * whole // volume)):
        for grade in "AB":
            one.offer(grade, volume)
    one.run(60_000)
    held = one.exposures("income")
    assert 0 <= whole * 3 // 4 - held[0] < 25
    assert 0 <= whole // 4 - held[1] < 25


def test_a_bucket_that_lacks_less_than_a_lot_does_not_hold_up_the_other() -> None:
    one = market(lot=2_500)
    one.deposit("ada", 150_000)
    one.open("income", terms("95", "5"))
    one.offer("B", 2_600)  # 2,400 of 5,000 are left, and no bid is that small
    for _ in range(10):
        one.offer("A", 20_000)
    rest_and_be_sure(one, "income")
    assert one.exposures("income") == [95_000, 2_600]
    one.assert_structure("income")


def test_without_supply_for_one_bucket_the_other_stops_and_goes_on_when_supply_comes() -> None:
    one = market()
    one.deposit("ada", 150_000)
    one.open("income", terms("75", "25"))
    for _ in range(100):
        one.offer("A", 1_000)
    rest_and_be_sure(one, "income")
    assert one.exposures("income") == [7_500, 0]
    for _ in range(30):
        one.offer("B", 1_000)
    rest_and_be_sure(one, "income")
    assert one.exposures("income") == [75_000, 25_000]


def test_a_bid_that_could_not_be_paid_is_tried_again_with_the_cash_there_is() -> None:
    """The withdrawal is planned before the bid returns, so the plan that follows the return finds no other cash, and must still speak."""
    one = market()
    one.deposit("ada", 10_050)
    one.open("income", terms("100", volume=100_000))
    one.run()
    one.offer("A", 9_000)
    while not one.published:
        one.step()
    one.withdraw("ada", 5_000)
    published = one._waiting.pop(("settlements", "t1/acme"))  # the settlement is late
    one.run()
    one._waiting["settlements", "t1/acme"] = published
    rest_and_be_sure(one, "income")
    assert one.reasons() == ["insufficient_cash"]
    assert one.exposures("income")[0] > 4_900
    assert 0 <= one.cash() < 100


def test_a_blocked_investor_buys_nothing_and_buys_again_when_he_may() -> None:
    one = market()
    one.deposit("ada", 150_000)
    one.open("income", terms("75", "25"))
    one.run()
    one.blocked.add("ada")
    one.offer("A", 1_000)
    one.run()
    assert one.exposures("income") == [0, 0]
    assert one.reasons() == ["investor_blocked"]
    one.blocked.clear()
    one.nudge("income")
    one.run()
    assert one.exposures("income") == [1_000, 0]


def test_a_paused_portfolio_buys_nothing_and_goes_on_where_it_was() -> None:
    one = market()
    one.deposit("ada", 150_000)
    one.open("income", terms("75", "25"))
    one.run()
    one.become("income", PAUSED)
    one.run()
    for grade in "AB" * 150:
        one.offer(grade, 1_000)
    one.run()
    assert one.exposures("income") == [0, 0]
    one.become("income", ACTIVE)
    rest_and_be_sure(one, "income")
    assert one.exposures("income") == [75_000, 25_000]


def test_a_bucket_that_the_terms_drop_leaves_the_book() -> None:
    one = market()
    one.deposit("ada", 150_000)
    one.open("income", terms("50", "30", "20"))
    one.run()
    one.change("income", terms("60", "40"))
    one.run()
    one.offer("C", 1_000)
    one.run()
    assert [bid.bucket_id for bid in one.published.values()] == []
    one.offer("A", 1_000)
    one.run()
    assert [bid.bucket_id for bid in one.published.values()] == ["b0"]


def test_two_portfolios_never_overdraw_their_cash_and_what_one_gives_back_the_other_gets() -> None:
    one = market()
    one.deposit("ada", 12_000)
    one.open("income", terms("75", "25"))
    one.open("growth", terms("75", "25"))
    one.run()
    for _ in range(100):
        one.offer("B", 1_000)
    one.run()
    assert one.reasons() == []
    one.become("income", CLOSED)
    one.become("growth", PAUSED)
    one.run()
    one.become("growth", ACTIVE)
    for _ in range(30):
        one.offer("A", 1_000)
    rest_and_be_sure(one, "income", "growth")
    assert one.reasons() == []
    assert 0 <= one.cash() < 300
    assert sum(one.exposures("growth")) > 6_000


def test_closing_one_portfolio_wakes_the_other_that_waits_for_cash() -> None:
    one = market()
    one.deposit("ada", 10_050)
    one.open("income", terms("75", "25"))
    one.run()
    one.open("growth", terms("75", "25"))
    one.run()
    one.become("income", CLOSED)
    one.run()
    for _ in range(20):
        one.offer("A", 1_000)
    one.run()
    assert one.exposures("income") == [0, 0]
    assert one.exposures("growth")[0] >= 7_000


structures = st.sampled_from([("75", "25"), ("50", "50"), ("50", "30", "20"), ("100",), ("95", "5")])


@example(("50", "50"), 754, 25, 20_000)
@settings(max_examples=40, deadline=None)
@given(structures, st.integers(min_value=0, max_value=10**6), st.sampled_from([1, 25, 400]), st.integers(min_value=20_000, max_value=200_000))
def test_whatever_is_repeated_and_mixed_the_structure_holds_cash_is_enough_and_nobody_is_forgotten(
    shares: tuple[str, ...], seed: int, lot: int, cash: int
) -> None:
    """Random supply, whole loans and parts, random deposits, messages repeated and heard in any order of groups."""
    one = market(seed, lot)
    one.deposit("ada", cash)
    one.open("income", terms(*shares, volume=100_000))
    for _ in range(60):
        for _ in range(one.random.randrange(4)):
            one.offer(one.random.choice("ABC"), one.random.randrange(lot, 9_000), whole=one.random.random() < 0.3)
        if one.random.random() < 0.1:
            one.deposit("ada", one.random.randrange(1, 20_000))
        for _ in range(one.random.randrange(12)):
            one.step()
            one.assert_structure("income")
    rest_and_be_sure(one, "income")
    one.assert_structure("income")
    assert set(one.reasons()) <= {"insufficient_cash"}, "a plan may be heard after the book published by the one before, see gap.py"
    assert one.cash() >= 0


@settings(max_examples=25, deadline=None)
@given(st.integers(min_value=0, max_value=10**6), st.sampled_from([1, 25]))
def test_two_portfolios_of_one_investor_come_to_rest_whatever_their_owner_does(seed: int, lot: int) -> None:
    """Pauses, withdrawals and changes in between: a bid may return for want of cash, but nothing is overdrawn and nothing runs for ever."""
    one = market(seed, lot)
    one.deposit("ada", 60_000)
    one.open("income", terms("75", "25", volume=50_000))
    one.open("growth", terms("50", "50", volume=40_000))
    for _ in range(60):
        for _ in range(one.random.randrange(3)):
            one.offer(one.random.choice("AB"), one.random.randrange(lot, 6_000))
        what, portfolio_id = one.random.random(), one.random.choice(["income", "growth"])
        if what < 0.1:
            one.become(portfolio_id, ACTIVE if one.portfolio(portfolio_id).status is PAUSED else PAUSED)
        elif what < 0.2 and one.cash() > 1_000:
            one.withdraw("ada", one.random.randrange(1, one.cash()))
        elif what < 0.3:
            one.deposit("ada", one.random.randrange(1, 10_000))
        for _ in range(one.random.randrange(10)):
            one.step()
            assert one.cash() >= 0
            for each in ("income", "growth"):
                one.assert_structure(each)
    rest_and_be_sure(one, "income", "growth")
