"""The rule of settlement, on facts alone: who is paid first, what stands or falls together, and why a bid returns."""

from bourse.ledger.model import SettlementFacts
from bourse.ledger.settlement import decide

from tests.ledger.builders import bid


def facts(**known: object) -> SettlementFacts:
    return SettlementFacts.model_validate({"known": {}, "cash": {}, "inactive": (), "closed": (), "sold": {}} | known)


def reasons(bids: list, **known: object) -> list[str | None]:
    return [one.reason for one in decide(bids, facts(**known))]


def test_the_earlier_bid_is_paid_and_the_later_one_returns() -> None:
    assert reasons([bid(1), bid(2), bid(3)], cash={"ivy": 2020}) == [None, None, "insufficient_cash"]


def test_a_smaller_bid_after_one_that_could_not_be_paid_is_still_paid() -> None:
    assert reasons([bid(1, buy_amount=5000), bid(2)], cash={"ivy": 1010}) == ["insufficient_cash", None]


def test_one_investor_without_cash_is_no_reason_for_another() -> None:
    assert reasons([bid(1), bid(2, investor_id="sam")], cash={"sam": 1010}) == ["insufficient_cash", None]


def test_a_bid_on_a_closed_loan_returns() -> None:
    assert reasons([bid(1), bid(2, loan_id="L2")], cash={"ivy": 9999}, closed=("L1",)) == ["loan_closed", None]


def test_a_blocked_investor_buys_nothing() -> None:
    assert reasons([bid(1)], cash={"ivy": 9999}, inactive=("ivy",)) == ["investor_blocked"]


def test_no_more_is_sold_than_was_offered_with_what_was_sold_before() -> None:
    bids = [bid(n, offer_volume=3000) for n in range(3)]
    assert reasons(bids, cash={"ivy": 9999}, sold={"L1": 1000}) == [None, None, "oversold"]


def test_an_all_or_nothing_offer_is_bought_whole() -> None:
    bids = [bid(1, completes=True), bid(2, completes=True, investor_id="sam")]
    assert reasons(bids, cash={"ivy": 1010, "sam": 1010}) == [None, None]


def test_an_all_or_nothing_offer_returns_whole_and_each_bid_says_why() -> None:
    bids = [bid(1, completes=True), bid(2, completes=True, investor_id="sam"), bid(3, completes=True)]
    assert reasons(bids, cash={"ivy": 9999}) == ["offer_incomplete", "insufficient_cash", "offer_incomplete"]


def test_the_cash_of_an_offer_that_returned_is_there_for_the_next_bid() -> None:
    bids = [bid(1, completes=True), bid(2, completes=True, investor_id="sam"), bid(3, loan_id="L2")]
    assert reasons(bids, cash={"ivy": 1010}) == ["offer_incomplete", "insufficient_cash", None]


def test_a_bid_decided_before_keeps_its_decision_and_takes_nothing_again() -> None:
    decided = decide([bid(1), bid(2), bid(3)], facts(known={"bid_1": None, "bid_2": "insufficient_cash"}, cash={"ivy": 1010}))
    assert [(one.reason, one.known) for one in decided] == [(None, True), ("insufficient_cash", True), (None, False)]


def test_a_bid_that_stands_twice_in_a_chunk_is_one_bid() -> None:
    assert [one.bid.bid_id for one in decide([bid(1), bid(1), bid(2)], facts(cash={"ivy": 2020}))] == ["bid_1", "bid_2"]
    assert reasons([bid(1), bid(1), bid(2)], cash={"ivy": 2020}) == [None, None]


def test_a_bid_that_costs_nothing_needs_no_cash() -> None:
    assert reasons([bid(1, sell_amount=0, buy_amount=0)]) == [None]


def test_a_chunk_without_bids_decides_nothing() -> None:
    assert decide([], facts()) == ()
