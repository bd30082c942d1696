"""A payment that bounced is taken back whole, once, to the unit; what was spent of it is refused, or owed. On both stores."""

from typing import Any

import pytest
from bourse.errors import NotFound, Refused
from bourse.ledger.actions import Issue, Reverse, Transaction, Transfer
from bourse.ledger.books import Question

from tests.ledger.builders import NOON, TENANT, Keeper, assert_sound, bid, chunk, pay_in, pay_out, settle
from tests.ledger.flow_builders import HOUR, bounce, failed, paid, repay, request


@pytest.fixture
def lent(keeper: Keeper) -> Keeper:
    """ivy and sam hold 600 and 400 of the loan, and the originator the other 1000."""
    keeper.open_portfolio("ivy", "ivy-pension")
    keeper.open_portfolio("sam", "sam-pension")
    for name, part in (("ivy", 600), ("sam", 400)):
        pay_in(keeper.ledger, name, part)
    at_par = [bid(name, investor_id=name, principal=part, sell_amount=part, buy_amount=part, offer_volume=2000) for name, part in (("ivy", 600), ("sam", 400))]
    settle(keeper.ledger, chunk(*at_par))
    return keeper


def owing(keeper: Keeper) -> dict[str, int]:
    return {account: amount for (account, _), amount in keeper.balances().items() if account.startswith("receivable/")}


def test_a_deposit_that_bounced_is_as_if_it_had_not_come(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 500, "d1")
    back = bounce(keeper.ledger, "deposit", "d1")
    assert (back.receivable, back.booked_before) == (0, False)
    assert keeper.balances() == {}
    [posted] = keeper.books.transactions(TENANT, Question("id = $1", (back.txn_id,))).items
    assert (posted.kind, posted.reverses, posted.tags["reason"]) == ("reversal", (back.reverses,), "R01")
    assert_sound(keeper)


def test_a_distribution_that_bounced_gives_back_every_part_and_the_claims(lent: Keeper) -> None:
    before = lent.balances()
    repay(lent.ledger, principal=101, interest=53, fee=2, outstanding=2000)
    bounce(lent.ledger, "distribution", "p1", hour=2)
    assert lent.balances() == before
    repay(lent.ledger, "p2", principal=101, interest=53, fee=2, outstanding=2000, hour=3)
    again = lent.balances()
    bounce(lent.ledger, "distribution", "p2", hour=4)
    repay(lent.ledger, "p3", principal=101, interest=53, fee=2, outstanding=2000, hour=5)
    assert lent.balances() == again, "nobody is owed a unit from what was taken back"
    assert_sound(lent)


def test_a_payout_that_came_back_is_the_investors_again(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 500)
    request(keeper.ledger, 500)
    paid(keeper.ledger, "w1")
    bounce(keeper.ledger, "withdrawal", "w1", hour=2, reason="account closed")
    assert keeper.balances() == {("cash/ivy", "EUR"): 500, ("world", "EUR"): -500}
    pay_out(keeper.ledger, "ivy", 500, "w2", hour=3)
    bounce(keeper.ledger, "withdrawal", "w2", hour=4)
    assert keeper.balances()["cash/ivy", "EUR"] == 500
    assert_sound(keeper)


def test_it_is_taken_back_once_and_told_again_it_says_the_same(lent: Keeper) -> None:
    repay(lent.ledger, principal=100, interest=50)
    first = bounce(lent.ledger, "distribution", "p1", hour=2)
    after, said = lent.balances(), len(lent.outbox())
    again = bounce(lent.ledger, "distribution", "p1", hour=3, reason="R29", receivable=True)
    assert again == first.model_copy(update={"booked_before": True})
    assert (lent.balances(), len(lent.outbox())) == (after, said)


def test_what_an_operator_took_back_already_is_not_taken_back_again(keeper: Keeper) -> None:
    txn_id = pay_in(keeper.ledger, "ivy", 500, "d1").txn_id
    keeper.books.post(TENANT, [Transaction("by-hand", (Reverse(txn_id),), NOON + HOUR)], NOON + HOUR)
    with pytest.raises(Refused, match="REVERSED_BEFORE"):
        bounce(keeper.ledger, "deposit", "d1", hour=2)
    assert keeper.balances() == {}


@pytest.mark.parametrize("kind", ["deposit", "distribution", "withdrawal"])
def test_what_was_never_booked_cannot_be_taken_back(keeper: Keeper, kind: Any) -> None:
    pay_in(keeper.ledger, "ivy", 500, "d1")
    with pytest.raises(NotFound, match="TRANSACTION_UNKNOWN"):
        bounce(keeper.ledger, kind, "other")
    with pytest.raises(NotFound, match="TRANSACTION_UNKNOWN"):
        bounce(keeper.ledger, "distribution", "d1")


def test_each_portfolio_of_those_whose_cash_it_takes_hears_of_it(lent: Keeper) -> None:
    repay(lent.ledger, interest=50)
    before = {one.message_id for one in lent.outbox()}
    bounce(lent.ledger, "distribution", "p1", hour=2)
    assert sorted(one.portfolio_id for one in lent.outbox() if one.message_id not in before) == ["ivy-pension", "sam-pension"]


# What it brought was spent


def test_what_was_spent_is_refused_with_who_got_it_and_may_be_taken_back_later(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 1010, "d1")
    settle(keeper.ledger, chunk(bid(1)), NOON + HOUR)
    with pytest.raises(Refused, match=r"TOKENS_SPENT.*980 to proceeds/acme"):
        bounce(keeper.ledger, "deposit", "d1", hour=2)
    pay_in(keeper.ledger, "ivy", 2000, "d2", hour=3)
    bounce(keeper.ledger, "deposit", "d1", hour=4)
    assert keeper.balances()["cash/ivy", "EUR"] == 990
    assert_sound(keeper)


def test_or_what_is_missing_is_owed_and_the_rest_is_taken(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 1500, "d1")
    settle(keeper.ledger, chunk(bid(1)), NOON + HOUR)
    back = bounce(keeper.ledger, "deposit", "d1", hour=2, receivable=True)
    assert (back.receivable, owing(keeper)) == (1010, {"receivable/cash/ivy": -1010})
    assert ("cash/ivy", "EUR") not in keeper.balances()
    assert keeper.balances()["claims/ivy-pension/safe", "loan/acme/L1"] == 1000, "what was bought stays bought"
    assert bounce(keeper.ledger, "deposit", "d1", hour=3).receivable == 1010
    assert_receivable_sound(keeper)


def test_of_a_distribution_only_who_spent_it_owes_the_originator_too(lent: Keeper) -> None:
    repay(lent.ledger, principal=100, interest=100, fee=10, outstanding=2000)
    pay_out(lent.ledger, "ivy", 50, hour=2)
    out = Transfer("EUR", 1100, "proceeds/acme", "world")
    lent.books.post(TENANT, [Transaction("payout", (out,), NOON + 2 * HOUR)], NOON + 2 * HOUR)
    with pytest.raises(Refused, match="TOKENS_SPENT"):
        bounce(lent.ledger, "distribution", "p1", hour=3)
    back = bounce(lent.ledger, "distribution", "p1", hour=3, receivable=True)
    assert owing(lent) == {"receivable/cash/ivy": -50, "receivable/proceeds/acme": -100}
    assert back.receivable == 150
    assert {key: amount for key, amount in lent.balances().items() if key[0].startswith("claims/")} == {
        ("claims/ivy-pension/safe", "loan/acme/L1"): 600,
        ("claims/sam-pension/safe", "loan/acme/L1"): 400,
    }
    assert_receivable_sound(lent)


def test_cash_that_is_held_for_a_withdrawal_stays_held_and_is_owed(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 500, "d1")
    request(keeper.ledger, 300)
    with pytest.raises(Refused, match="RESERVED"):
        bounce(keeper.ledger, "deposit", "d1", hour=2)
    assert bounce(keeper.ledger, "deposit", "d1", hour=2, receivable=True).receivable == 300
    paid(keeper.ledger, hour=3)
    assert owing(keeper) == {"receivable/cash/ivy": -300}
    assert_receivable_sound(keeper)


def test_a_request_whose_time_is_over_holds_nothing_back_from_a_reversal(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 500, "d1")
    request(keeper.ledger, 300, expires_at=NOON + 2 * HOUR)
    assert bounce(keeper.ledger, "deposit", "d1", hour=2, receivable=True).receivable == 0
    assert failed(keeper.ledger, hour=3).status == "expired"
    assert keeper.balances() == {}


def sell_anew(keeper: Keeper) -> None:
    """All that investors hold is repaid, and tom buys all but 500 of what is offered then."""
    repay(keeper.ledger, principal=1000)
    pay_in(keeper.ledger, "tom", 1500, hour=1)
    anew = {"principal": 1500, "sell_amount": 1500, "buy_amount": 1500, "offer_version": 2, "offer_volume": 2000}
    settle(keeper.ledger, chunk(bid("tom", investor_id="tom", **anew), number=2), NOON + 2 * HOUR)


def test_claims_whose_repayment_bounced_are_their_holders_again_also_when_as_much_was_sold_anew(lent: Keeper) -> None:
    sell_anew(lent)
    for before in (False, True):
        assert bounce(lent.ledger, "distribution", "p1", hour=3).booked_before == before
    held = {account: amount for (account, flavor), amount in lent.balances().items() if flavor == "loan/acme/L1"}
    assert held == {"claims/ivy-pension/safe": 600, "claims/sam-pension/safe": 400, "claims/tom-pension/safe": 1500, "loans/acme": -2500}
    assert_sound(lent)


def test_nothing_more_is_sold_until_an_offer_has_heard_of_the_bounced_repayment(lent: Keeper) -> None:
    sell_anew(lent)
    bounce(lent.ledger, "distribution", "p1", hour=3)
    pay_in(lent.ledger, "tom", 500, "t2", hour=3)
    one = {"investor_id": "tom", "principal": 500, "sell_amount": 500, "buy_amount": 500}
    for number, more in ((3, {"offer_version": 2, "offer_volume": 2000}), (4, {"offer_version": 2})):
        settle(lent.ledger, chunk(bid(number, **one, **more), number=number), NOON + 4 * HOUR)
        assert lent.balances()["loans/acme", "loan/acme/L1"] == -2500, "oversold, so it returned"
    settle(lent.ledger, chunk(bid(5, **one, offer_version=3, offer_volume=3000), number=5), NOON + 4 * HOUR)
    assert lent.balances()["loans/acme", "loan/acme/L1"] == -3000
    assert_sound(lent)


def test_before_a_thousand_later_entries_it_is_still_taken_back(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 500, "d1")
    later = [Transaction(f"l{n}", (Issue("EUR", 2, "cash/ivy"), Transfer("EUR", 1, "cash/ivy", "world")), NOON + (24 + n) * HOUR) for n in range(500)]
    keeper.books.post(TENANT, later, NOON + HOUR)
    bounce(keeper.ledger, "deposit", "d1", hour=2)
    assert keeper.balances()["cash/ivy", "EUR"] == 500
    with pytest.raises(Refused, match="INSUFFICIENT_CASH"):
        pay_out(keeper.ledger, "ivy", 1, hour=3)  # there is nothing before tomorrow
    assert_sound(keeper)


def assert_receivable_sound(keeper: Keeper) -> None:
    """As `assert_sound`, where somebody owes us."""
    balances = keeper.balances()
    assert balances == keeper.by_journal()
    assert all(row.total == 0 for row in keeper.ledger.trial_balance(TENANT, NOON))
    assert [key for key, amount in balances.items() if amount < 0 and not key[0].startswith(("world", "loans/", "receivable/"))] == []
