"""Money comes in and goes out once per external id, never below zero, and says so to the investor's portfolios."""

from datetime import timedelta

import pytest
from bourse.errors import Conflict, Refused

from tests.ledger.builders import NOON, TENANT, Keeper, assert_sound, bid, chunk, pay_in, pay_out, settle


def test_a_deposit_is_there_at_once(keeper: Keeper) -> None:
    receipt = pay_in(keeper.ledger, "ivy", 5000)
    assert (receipt.investor_id, receipt.currency, receipt.amount, receipt.booked_before) == ("ivy", "EUR", 5000, False)
    assert keeper.balances() == {("world", "EUR"): -5000, ("cash/ivy", "EUR"): 5000}
    assert_sound(keeper)


def test_a_deposit_told_twice_is_one_deposit(keeper: Keeper) -> None:
    first = pay_in(keeper.ledger, "ivy", 5000)
    again = pay_in(keeper.ledger, "ivy", 5000, hour=1)
    assert (again.txn_id, again.booked_before) == (first.txn_id, True)
    assert keeper.balances()["cash/ivy", "EUR"] == 5000


@pytest.mark.parametrize(("investor_id", "amount"), [("ivy", 5001), ("sam", 5000)])
def test_the_same_external_id_with_another_amount_or_investor_is_a_conflict(keeper: Keeper, investor_id: str, amount: int) -> None:
    pay_in(keeper.ledger, "ivy", 5000, "x")
    with pytest.raises(Conflict, match="TRANSFER_DIFFERS"):
        pay_in(keeper.ledger, investor_id, amount, "x")
    assert keeper.balances() == {("world", "EUR"): -5000, ("cash/ivy", "EUR"): 5000}


def test_the_same_external_id_in_and_out_or_of_two_tenants_are_different_transfers(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000, "x")
    pay_out(keeper.ledger, "ivy", 2000, "x")
    pay_in(keeper.ledger, "ivy", 70, "x", tenant_id="t2")
    assert keeper.balances()["cash/ivy", "EUR"] == 3000
    assert keeper.balances("t2")["cash/ivy", "EUR"] == 70


def test_no_more_is_paid_out_than_there_is(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    with pytest.raises(Refused, match="INSUFFICIENT_CASH"):
        pay_out(keeper.ledger, "ivy", 5001)
    pay_out(keeper.ledger, "ivy", 5000, "2")
    with pytest.raises(Refused, match="INSUFFICIENT_CASH"):
        pay_out(keeper.ledger, "ivy", 1, "3")
    assert keeper.balances() == {}
    assert_sound(keeper)


def test_somebody_unknown_to_the_ledger_is_paid_nothing_out(keeper: Keeper) -> None:
    with pytest.raises(Refused, match="INSUFFICIENT_CASH"):
        pay_out(keeper.ledger, "nobody", 1)


def test_a_withdrawal_told_twice_is_one_withdrawal_also_when_nothing_is_left(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    pay_out(keeper.ledger, "ivy", 5000)
    assert pay_out(keeper.ledger, "ivy", 5000).booked_before
    assert keeper.balances() == {}


def test_a_refused_withdrawal_leaves_its_id_free(keeper: Keeper) -> None:
    with pytest.raises(Refused):
        pay_out(keeper.ledger, "ivy", 100)
    pay_in(keeper.ledger, "ivy", 100)
    assert not pay_out(keeper.ledger, "ivy", 100).booked_before


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_and_less_than_nothing_cannot_be_transferred(keeper: Keeper, amount: int) -> None:
    with pytest.raises(Refused, match="AMOUNT"):
        pay_in(keeper.ledger, "ivy", amount)
    with pytest.raises(Refused, match="AMOUNT"):
        pay_out(keeper.ledger, "ivy", amount)


def test_a_transfer_says_so_to_each_portfolio_of_the_investor_and_said_twice_it_says_nothing_more(keeper: Keeper) -> None:
    keeper.open_portfolio("ivy", "pension")
    keeper.open_portfolio("ivy", "house")
    keeper.open_portfolio("sam", "boat")
    pay_in(keeper.ledger, "ivy", 5000)
    pay_in(keeper.ledger, "ivy", 5000)
    assert sorted(message.portfolio_id for message in keeper.outbox()) == ["house", "pension"]
    assert {message.tenant_id for message in keeper.outbox()} == {TENANT}


def test_two_transfers_in_one_window_are_two_messages_so_that_the_later_cannot_be_missed(keeper: Keeper) -> None:
    # The message of a command is written before its commit: if it were the window's one message, a plan between the two
    # would have heard it and never see the money.
    keeper.open_portfolio("ivy", "pension")
    pay_in(keeper.ledger, "ivy", 5000, "1")
    pay_in(keeper.ledger, "ivy", 5000, "2")
    assert len({message.message_id for message in keeper.outbox()}) == 2


def test_a_refused_withdrawal_says_nothing(keeper: Keeper) -> None:
    keeper.open_portfolio("ivy", "pension")
    with pytest.raises(Refused):
        pay_out(keeper.ledger, "ivy", 1)
    assert keeper.outbox() == []


def test_a_statement_shows_each_move_with_the_balance_after_it(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000, "a", hour=0)
    settle(keeper.ledger, chunk(bid(1)), NOON + timedelta(hours=1))
    pay_out(keeper.ledger, "ivy", 990, "b", hour=2)
    lines = keeper.ledger.statement(TENANT, "ivy", "EUR", NOON, NOON + timedelta(days=1))
    assert [(line.kind, line.amount, line.balance) for line in lines] == [
        ("deposit", 5000, 5000),
        ("purchase", -980, 4020),
        ("purchase", -30, 3990),
        ("withdrawal", -990, 3000),
    ]
    assert lines[1].tags["loan"] == "L1"


def test_statements_of_two_periods_meet_and_no_line_is_in_both(keeper: Keeper) -> None:
    for hour in range(6):
        pay_in(keeper.ledger, "ivy", 100 + hour, str(hour), hour=hour)
    noon_3 = NOON + timedelta(hours=3)
    before = keeper.ledger.statement(TENANT, "ivy", "EUR", NOON, noon_3)
    after = keeper.ledger.statement(TENANT, "ivy", "EUR", noon_3, NOON + timedelta(days=1))
    assert [line.amount for line in (*before, *after)] == [100, 101, 102, 103, 104, 105]
    assert before[-1].balance + after[0].amount == after[0].balance
    assert keeper.ledger.statement(TENANT, "sam", "EUR", NOON, noon_3) == []
