"""Who owes us is paid what is left of his later payments: to the unit, once, nobody else's. On both stores."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from bourse.aws.postgres import Database
from bourse.ledger.actions import Transaction, Transfer
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.books import Question

from tests.ledger.builders import NOON, TENANT, AuroraKeeper, Keeper, bid, chunk, pay_in, pay_out, settle
from tests.ledger.flow_builders import HOUR, bounce, repay, request
from tests.ledger.test_take_back import assert_receivable_sound, owing

OWES = "receivable/cash/ivy"


@pytest.fixture
def owed(keeper: Keeper) -> Keeper:
    """ivy and sam hold 600 and 400 of the loan; ivy owes 100, and both have no cash."""
    for name, part in (("ivy", 600), ("sam", 400)):
        pay_in(keeper.ledger, name, part)
        keeper.open_portfolio(name, f"{name}-pension")
    at_par = [bid(name, investor_id=name, principal=part, sell_amount=part, buy_amount=part, offer_volume=1000) for name, part in (("ivy", 600), ("sam", 400))]
    settle(keeper.ledger, chunk(*at_par))
    owe(keeper, 100)
    return keeper


def owe(keeper: Keeper, amount: int, name: str = "bad") -> None:
    """ivy spends a deposit that bounces then."""
    pay_in(keeper.ledger, "ivy", amount, name)
    pay_out(keeper.ledger, "ivy", amount, f"{name}-out")
    bounce(keeper.ledger, "deposit", name, hour=0, receivable=True)


def cash(keeper: Keeper, *names: str) -> list[int]:
    return [keeper.balances().get((f"cash/{name}", "EUR"), 0) for name in names or ("ivy", "sam")]


def test_what_is_paid_later_goes_to_the_debt_first_and_nobody_elses_is_touched(owed: Keeper) -> None:
    repay(owed.ledger, "p1", interest=100)
    assert (cash(owed), owing(owed)) == ([0, 40], {OWES: -40})
    repay(owed.ledger, "p2", interest=100, hour=2)
    assert (cash(owed), owing(owed)) == ([20, 80], {})
    repay(owed.ledger, "p3", interest=100, hour=3)
    assert (cash(owed), owing(owed)) == ([80, 120], {})
    assert_receivable_sound(owed)


def test_told_again_nothing_is_kept_back_again_also_when_more_is_owed_by_then(owed: Keeper) -> None:
    first = repay(owed.ledger, interest=100)
    owe(owed, 30, "worse")
    pay_in(owed.ledger, "ivy", 500, "good")
    before, said = owed.balances(), len(owed.outbox())
    assert repay(owed.ledger, interest=100, hour=2) == first.model_copy(update={"booked_before": True})
    assert (owed.balances(), len(owed.outbox())) == (before, said)
    assert owing(owed) == {OWES: -70}


def test_principal_and_interest_of_one_payment_are_one_recovery_that_says_of_what(owed: Keeper) -> None:
    receipt = repay(owed.ledger, principal=50, interest=50)
    [kept_back] = owed.books.transactions(TENANT, Question("kind = 'recovery'")).items
    assert kept_back.tags == {"of": receipt.txn_id}
    [move] = kept_back.actions
    assert (move.amount, move.source, move.destination, move.action_tags) == (60, "cash/ivy", OWES, {"type": "recovery"})
    lines = owed.ledger.statement(TENANT, "ivy", "EUR", NOON + HOUR, NOON + 2 * HOUR)
    assert [(line.kind, line.amount, line.balance) for line in lines] == [("distribution", 30, 30), ("distribution", 30, 60), ("recovery", -60, 0)]


def test_what_is_held_for_a_withdrawal_stays_held(owed: Keeper) -> None:
    pay_in(owed.ledger, "ivy", 70, "good")
    request(owed.ledger, 70, hour=1)
    repay(owed.ledger, interest=100, hour=2)
    assert (cash(owed, "ivy"), owing(owed)) == ([70], {OWES: -40})
    assert_receivable_sound(owed)


def test_what_leaves_at_a_later_time_already_booked_is_no_hindrance(owed: Keeper) -> None:
    later = (Transfer("EUR", 70, "cash/ivy", "world"),)
    pay_in(owed.ledger, "ivy", 70, "good")
    owed.books.post(TENANT, [Transaction("later", later, NOON + 9 * HOUR)], NOON)
    repay(owed.ledger, interest=100)
    assert owing(owed) == {OWES: -40}
    assert_receivable_sound(owed)


def test_a_payment_of_which_something_was_kept_back_bounces_and_the_debt_stands_again(owed: Keeper) -> None:
    before = owed.balances()
    repay(owed.ledger, principal=100, interest=100)
    bounce(owed.ledger, "distribution", "p1", hour=2, receivable=True)
    assert owed.balances() == before
    repay(owed.ledger, "p2", principal=100, interest=100, hour=3)
    assert (cash(owed), owing(owed)) == ([20, 80], {})
    assert_receivable_sound(owed)


def test_an_originator_who_owes_pays_from_his_part_of_a_loan(owed: Keeper) -> None:
    repay(owed.ledger, "p1", interest=200, outstanding=2000)
    out = Transfer("EUR", 1100, "proceeds/acme", "world")
    owed.books.post(TENANT, [Transaction("payout", (out,), NOON + 2 * HOUR)], NOON + 2 * HOUR)
    bounce(owed.ledger, "distribution", "p1", hour=3, receivable=True)
    assert owing(owed) == {OWES: -100, "receivable/proceeds/acme": -100}
    repay(owed.ledger, "p2", interest=300, outstanding=2000, hour=4)
    assert (owing(owed), owed.balances()["proceeds/acme", "EUR"]) == ({OWES: -10}, 50)
    assert_receivable_sound(owed)


def test_of_payments_at_once_no_more_is_kept_back_than_is_owed(aurora: AuroraKeeper) -> None:
    pay_in(aurora.ledger, "ivy", 1000)
    loans = ("L1", "L2", "L3", "L4")
    part = {"principal": 250, "sell_amount": 250, "buy_amount": 250}
    settle(aurora.ledger, chunk(*(bid(loan, loan_id=loan, **part) for loan in loans)))
    owe(aurora, 95)
    barrier = threading.Barrier(4)

    def pays(loan: str) -> None:
        with closing(Database(aurora.app_dsn)) as database:
            ledger = AuroraLedger(database)
            for number in range(5):
                barrier.wait()
                repay(ledger, f"{loan}-{number}", interest=10, loan_id=loan)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(pays, loans))
    assert (cash(aurora, "ivy"), owing(aurora)) == ([200 - 95], {})
    assert aurora.rows("select deadlocks::int from pg_stat_database where datname = current_database()") == [(0,)]
    assert_receivable_sound(aurora)
