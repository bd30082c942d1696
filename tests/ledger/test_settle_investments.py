"""A chunk of bids is settled or returned, money and claims together, once for ever; the same promise for every keeper."""

from datetime import timedelta

import pytest
from bourse.assets.events import LoansClosed
from bourse.clock import FixedClock
from bourse.errors import Conflict
from bourse.ledger.events import BidsReturned
from bourse.ledger.settle_investments import close_loans
from bourse.trading.events import BalancesChanged

from tests.ledger.builders import NOON, TENANT, WINDOW, Keeper, assert_sound, bid, chunk, closed, pay_in, settle


def said(outcome: object, kind: type) -> list:
    return [message for message in outcome.says if isinstance(message, kind)]


def test_money_fee_and_claim_move_together(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    outcome = settle(keeper.ledger, chunk(bid(1)))
    assert keeper.balances() == {
        ("world", "EUR"): -5000,
        ("cash/ivy", "EUR"): 3990,
        ("proceeds/acme", "EUR"): 980,
        ("fee", "EUR"): 30,
        ("loans/acme", "loan/acme/L1"): -1000,
        ("claims/ivy-pension/safe", "loan/acme/L1"): 1000,
    }
    assert outcome.counts["investments_settled"] == 1
    assert outcome.counts["settled_minor_EUR"] == 1010
    assert_sound(keeper)


def test_a_bid_at_one_price_makes_no_fee_and_a_gift_no_proceeds(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    settle(keeper.ledger, chunk(bid(1, buy_amount=980), bid(2, sell_amount=0, buy_amount=0)))
    assert keeper.balances()["cash/ivy", "EUR"] == 4020
    assert keeper.balances()["claims/ivy-pension/safe", "loan/acme/L1"] == 2000
    assert ("fee", "EUR") not in keeper.balances()
    assert_sound(keeper)


def test_a_bid_that_cannot_be_paid_returns_with_its_reason_and_moves_nothing(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 1009)
    outcome = settle(keeper.ledger, chunk(bid(1, borrower_id="bob")))
    [returned] = said(outcome, BidsReturned)
    assert [(one.bid_id, one.reason, one.principal, one.borrower_id) for one in returned.bids] == [("bid_1", "insufficient_cash", 1000, "bob")]
    assert returned.book_id == "t1/EUR/loan"
    assert keeper.balances() == {("world", "EUR"): -1009, ("cash/ivy", "EUR"): 1009}


def test_an_investor_who_never_paid_in_buys_nothing(keeper: Keeper) -> None:
    [returned] = said(settle(keeper.ledger, chunk(bid(1))), BidsReturned)
    assert returned.bids[0].reason == "insufficient_cash"
    assert keeper.balances() == {}


def test_hearing_a_chunk_again_books_nothing_and_returns_the_same_bids(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 1500)
    published = chunk(bid(1), bid(2), bid(3, investor_id="sam"))
    first = settle(keeper.ledger, published)
    balances = keeper.balances()
    pay_in(keeper.ledger, "sam", 9999)  # what was returned stays returned, also when it could be paid now
    again = settle(keeper.ledger, published)
    assert again.says == first.says
    assert keeper.balances() == balances | {("cash/sam", "EUR"): 9999, ("world", "EUR"): -1500 - 9999}
    assert again.counts == {"bids_heard_again": 3, "bids_returned": 2}


def test_a_chunk_heard_half_before_is_settled_for_the_other_half(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 3030)
    settle(keeper.ledger, chunk(bid(1), number=1))
    settle(keeper.ledger, chunk(bid(1), bid(2), number=2))
    assert keeper.balances()["claims/ivy-pension/safe", "loan/acme/L1"] == 2000
    assert_sound(keeper)


def test_a_known_bid_with_other_facts_is_a_conflict_and_moves_nothing(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    settle(keeper.ledger, chunk(bid(1)))
    before = keeper.balances()
    with pytest.raises(Conflict, match="BID_DIFFERS"):
        settle(keeper.ledger, chunk(bid(2), bid(1, principal=999), number=2))
    assert keeper.balances() == before


def test_the_returned_bid_with_other_facts_is_a_conflict_too(keeper: Keeper) -> None:
    settle(keeper.ledger, chunk(bid(1)))
    with pytest.raises(Conflict, match="BID_DIFFERS"):
        settle(keeper.ledger, chunk(bid(1, investor_id="sam"), number=2))


def test_a_bid_that_stands_twice_in_a_chunk_is_booked_once(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    settle(keeper.ledger, chunk(bid(1), bid(1)))
    assert keeper.balances()["cash/ivy", "EUR"] == 3990
    assert_sound(keeper)


def test_an_all_or_nothing_offer_is_settled_whole_or_returned_whole(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 9999)
    whole = [bid(1, completes=True), bid(2, completes=True, investor_id="sam")]
    [returned] = said(settle(keeper.ledger, chunk(*whole, number=1)), BidsReturned)
    assert [one.reason for one in returned.bids] == ["offer_incomplete", "insufficient_cash"]
    pay_in(keeper.ledger, "sam", 1010)
    settle(keeper.ledger, chunk(*[one.model_copy(update={"bid_id": f"{one.bid_id}b"}) for one in whole], number=2))
    assert keeper.balances()["loans/acme", "loan/acme/L1"] == -2000
    assert_sound(keeper)


def test_of_a_loan_no_more_is_sold_than_was_offered_over_all_chunks(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 99_999)
    settle(keeper.ledger, chunk(bid(1, offer_volume=2500), number=1))
    outcome = settle(keeper.ledger, chunk(bid(2, offer_volume=2500), bid(3, offer_volume=2500), number=2))
    [returned] = said(outcome, BidsReturned)
    assert [(one.bid_id, one.reason) for one in returned.bids] == [("bid_3", "oversold")]
    assert keeper.balances()["loans/acme", "loan/acme/L1"] == -2000


def test_a_lower_volume_of_a_later_version_counts_what_was_sold_before(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 99_999)
    settle(keeper.ledger, chunk(bid(1, offer_volume=2500), bid(2, offer_volume=2500), number=1))
    shrunk = chunk(bid(3, offer_volume=1500, offer_version=2), number=2)
    [returned] = said(settle(keeper.ledger, shrunk), BidsReturned)
    assert returned.bids[0].reason == "oversold"
    grown = chunk(bid(4, offer_volume=3000, offer_version=3), number=3)
    assert said(settle(keeper.ledger, grown), BidsReturned) == []
    assert_sound(keeper)


def test_after_a_loan_closed_no_bid_on_it_is_settled(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 9999)
    settle(keeper.ledger, chunk(bid(1), number=1))
    close(keeper, closed("L1"), closed("L-never-sold"))
    outcome = settle(keeper.ledger, chunk(bid(2), bid(3, loan_id="L-never-sold"), bid(4, loan_id="L2"), number=2))
    [returned] = said(outcome, BidsReturned)
    assert [(one.bid_id, one.reason) for one in returned.bids] == [("bid_2", "loan_closed"), ("bid_3", "loan_closed")]
    assert keeper.balances()["claims/ivy-pension/safe", "loan/acme/L1"] == 1000
    assert_sound(keeper)


def test_closing_twice_or_with_an_older_version_changes_nothing(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 9999)
    for version, status in ((3, "defaulted"), (3, "defaulted"), (2, "repaid")):
        close(keeper, closed("L1", version, status))
    [returned] = said(settle(keeper.ledger, chunk(bid(1, offer_version=2))), BidsReturned)
    assert returned.bids[0].reason == "loan_closed"


def test_a_loan_that_its_originator_takes_back_to_life_can_be_bought_again(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 9999)
    close(keeper, closed("L1", 3, "withdrawn"))
    assert said(settle(keeper.ledger, chunk(bid(1, offer_version=4), number=1)), BidsReturned) == []
    close(keeper, closed("L1", 3, "withdrawn"))  # heard again, late
    assert said(settle(keeper.ledger, chunk(bid(2, offer_version=4), number=2)), BidsReturned) == []
    close(keeper, closed("L1", 5))
    [returned] = said(settle(keeper.ledger, chunk(bid(3, offer_version=4), number=3)), BidsReturned)
    assert returned.bids[0].reason == "loan_closed"


def test_a_loan_is_closed_also_when_a_bid_on_the_closing_version_came_first(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 9999)
    settle(keeper.ledger, chunk(bid(1, offer_version=2), number=1))
    close(keeper, closed("L1", 3))
    [returned] = said(settle(keeper.ledger, chunk(bid(2, offer_version=2), number=2)), BidsReturned)
    assert returned.bids[0].reason == "loan_closed"


def close(keeper: Keeper, *loans: object) -> None:
    message = LoansClosed(message_id="m", tenant_id=TENANT, correlation_id="c", originator_id="acme", said_at=NOON, loans=loans)
    outcome = close_loans(message, ledger=keeper.ledger, window_seconds=WINDOW, clock=FixedClock(NOON))
    assert outcome.counts == {"loans_closed": len(loans)}


def test_a_blocked_investor_keeps_what_he_has_and_buys_nothing(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 9999)
    keeper.block("ivy")
    [returned] = said(settle(keeper.ledger, chunk(bid(1))), BidsReturned)
    assert returned.bids[0].reason == "investor_blocked"
    assert keeper.balances()["cash/ivy", "EUR"] == 9999


def test_a_hundred_purchases_in_a_window_are_one_balance_message_per_portfolio(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 200_000)
    pay_in(keeper.ledger, "sam", 200_000)
    messages = []
    for number in range(10):
        bids = [bid(f"{number}-{n}", investor_id=("ivy", "sam")[n % 2]) for n in range(10)]
        messages += said(settle(keeper.ledger, chunk(*bids, number=number), NOON + timedelta(seconds=2 * number)), BalancesChanged)
    assert len({message.message_id for message in messages}) == 2
    assert {message.portfolio_id for message in messages} == {"ivy-pension", "sam-pension"}
    later = settle(keeper.ledger, chunk(bid("late"), number="late"), NOON + timedelta(seconds=WINDOW))
    assert not {message.message_id for message in said(later, BalancesChanged)} & {message.message_id for message in messages}


def test_a_returned_bid_is_a_change_of_balance_too_so_that_its_portfolio_is_planned_again(keeper: Keeper) -> None:
    assert [message.portfolio_id for message in said(settle(keeper.ledger, chunk(bid(1))), BalancesChanged)] == ["ivy-pension"]


def test_two_loans_of_one_number_at_two_originators_are_two_flavors(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 9999)
    settle(keeper.ledger, chunk(bid(1), number=1))
    settle(keeper.ledger, chunk(bid(2, originator_id="other"), number=2))
    assert keeper.balances()["claims/ivy-pension/safe", "loan/acme/L1"] == 1000
    assert keeper.balances()["claims/ivy-pension/safe", "loan/other/L1"] == 1000


def test_what_became_of_each_bid_is_kept_with_its_reason(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 1010)
    settle(keeper.ledger, chunk(bid(1), bid(2)))
    fate = [(one.bid_id, one.outcome, one.reason) for one in keeper.ledger.bids_of_loan(TENANT, "acme", "L1")]
    assert fate == [("bid_1", "settled", None), ("bid_2", "returned", "insufficient_cash")]


def test_the_report_of_an_originator_shows_gross_own_part_and_fee_of_each_loan(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 99_999)
    settle(keeper.ledger, chunk(bid(1), bid(2), bid(3, loan_id="L2"), bid(4, loan_id="L3", buy_amount=10**9)))
    report = keeper.ledger.sold_loans(TENANT, "acme", 10, "")
    assert [(one.loan_id, one.principal, one.sell_amount, one.fee, one.bids) for one in report] == [("L1", 2000, 1960, 60, 2), ("L2", 1000, 980, 30, 1)]
    assert [one.loan_id for one in keeper.ledger.sold_loans(TENANT, "acme", 10, "L1")] == ["L2"]
    assert [one.loan_id for one in keeper.ledger.sold_loans(TENANT, "acme", 1, "")] == ["L1"]


def test_totals_add_up_by_risk_class(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 99_999)
    settle(keeper.ledger, chunk(bid(1), bid(2), bid(3, risk_class="A"), bid(4, risk_class=None)))
    rows = [(one.risk_class, one.investments, one.principal, one.paid, one.fees) for one in keeper.ledger.totals(TENANT)]
    assert rows == [("A", 1, 1000, 1010, 30), ("B", 2, 2000, 2020, 60), (None, 1, 1000, 1010, 30)]


def test_the_trial_balance_is_zero_and_shows_what_stands_on_either_side(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    settle(keeper.ledger, chunk(bid(1), bid(2, loan_id="L2")))
    rows = [(one.currency, one.what, one.total, one.volume, one.flavors) for one in keeper.ledger.trial_balance(TENANT, NOON)]
    assert rows == [("EUR", "cash", 0, 5000, 1), ("EUR", "claims", 0, 2000, 2)]
