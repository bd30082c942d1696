"""A withdrawal in steps has one outcome, whatever is told in whatever order and however often. On both stores."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from bourse.aws.postgres import Database
from bourse.clock import FixedClock
from bourse.errors import Conflict, NotFound, Refused
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.withdrawals import request_withdrawal
from bourse.money import Money

from tests.ledger.builders import NOON, TENANT, AuroraKeeper, Keeper, assert_sound, bid, chunk, pay_in, pay_out, settle
from tests.ledger.flow_builders import HOUR, failed, paid, request, status


@pytest.fixture
def funded(keeper: Keeper) -> Keeper:
    keeper.open_portfolio("ivy", "pension")
    pay_in(keeper.ledger, "ivy", 1000)
    return keeper


def cash(keeper: Keeper, at: datetime = NOON) -> tuple[int, int]:
    """What ivy has, and what of it is held at this time."""
    [row] = [row for row in keeper.ledger.trial_balance(TENANT, at) if row.what == "cash"]
    return keeper.balances().get(("cash/ivy", "EUR"), 0), row.held


def test_what_is_requested_is_held_and_leaves_when_it_is_paid(funded: Keeper) -> None:
    asked = request(funded.ledger, 600)
    assert (asked.investor_id, asked.currency, asked.amount, asked.status, asked.booked_before) == ("ivy", "EUR", 600, "requested", False)
    assert cash(funded) == (1000, 600)
    done = paid(funded.ledger)
    assert (done.status, done.amount, done.booked_before) == ("paid", 600, False)
    assert cash(funded) == (400, 0)
    assert funded.balances()["world", "EUR"] == -400
    [line] = [line for line in funded.ledger.statement(TENANT, "ivy", "EUR", NOON, NOON + 9 * HOUR) if line.kind == "withdrawal"]
    assert (line.amount, line.tags["external_id"], line.tags["request_id"]) == (-600, "w1", "r1")
    assert_sound(funded)


def test_what_failed_is_free_again(funded: Keeper) -> None:
    request(funded.ledger, 1000)
    assert (failed(funded.ledger).status, status(funded.ledger)) == ("failed", "failed")
    assert cash(funded) == (1000, 0)
    pay_out(funded.ledger, "ivy", 1000, hour=2)
    assert_sound(funded)


def test_what_expired_is_held_no_more_in_the_trial_balance_though_nothing_has_touched_it(funded: Keeper) -> None:
    request(funded.ledger, 600, expires_at=NOON + 3 * HOUR)
    request(funded.ledger, 70, "r2", expires_at=NOON + 5 * HOUR)
    request(funded.ledger, 1, "r3")
    held = [cash(funded, NOON + hour * HOUR) for hour in (1, 2, 3, 4, 5)]
    assert held == [(1000, 671), (1000, 671), (1000, 71), (1000, 71), (1000, 1)]
    pay_in(funded.ledger, "ivy", 5, "more", hour=4)
    pay_out(funded.ledger, "ivy", 900, "much", hour=4)  # gives back what had expired
    assert [cash(funded, NOON + hour * HOUR)[1] for hour in (1, 4, 5)] == [71, 71, 1]
    assert_sound(funded)


def test_what_is_held_is_neither_spent_nor_requested_twice(funded: Keeper) -> None:
    request(funded.ledger, 600)
    with pytest.raises(Refused, match="INSUFFICIENT_CASH"):
        request(funded.ledger, 401, "r2")
    with pytest.raises(Refused, match="INSUFFICIENT_CASH"):
        pay_out(funded.ledger, "ivy", 401, hour=1)
    settle(funded.ledger, chunk(bid(1)), NOON + HOUR)
    assert cash(funded) == (1000, 600)
    assert request(funded.ledger, 400, "r2").status == "requested"
    assert_sound(funded)


@pytest.mark.parametrize(("amount", "code"), [(0, "AMOUNT"), (-1, "AMOUNT"), (1001, "INSUFFICIENT_CASH"), (2**63, "MONEY_RANGE")])
def test_a_request_that_cannot_be_is_refused_and_its_id_stays_free(funded: Keeper, amount: int, code: str) -> None:
    said = len(funded.outbox())
    with pytest.raises(Refused, match=code):
        request(funded.ledger, amount)
    with pytest.raises(NotFound, match="WITHDRAWAL_UNKNOWN"):
        status(funded.ledger)
    assert len(funded.outbox()) == said
    assert not request(funded.ledger, 1).booked_before


def test_a_request_that_is_over_before_it_begins_is_refused(funded: Keeper) -> None:
    with pytest.raises(Refused, match="EXPIRES_AT"):
        request(funded.ledger, 1, expires_at=NOON + HOUR)


def test_every_step_told_twice_is_one_step(funded: Keeper) -> None:
    for before in (False, True):
        assert (request(funded.ledger, 600).booked_before, status(funded.ledger)) == (before, "requested")
    for before in (False, True):
        assert (paid(funded.ledger, hour=2).booked_before, status(funded.ledger)) == (before, "paid")
    assert request(funded.ledger, 600, hour=3).status == "paid", "told again, a request says how it stands"
    request(funded.ledger, 100, "r2", hour=3)
    for before in (False, True):
        assert (failed(funded.ledger, "r2", hour=4).booked_before, status(funded.ledger, "r2")) == (before, "failed")
    assert cash(funded) == (400, 0)
    assert_sound(funded)


@pytest.mark.parametrize(("investor_id", "amount"), [("ivy", 601), ("sam", 600)])
def test_a_request_with_other_terms_is_a_conflict(funded: Keeper, investor_id: str, amount: int) -> None:
    request(funded.ledger, 600)
    with pytest.raises(Conflict, match="REQUEST_DIFFERS"):
        request(funded.ledger, amount, investor_id=investor_id)
    assert cash(funded) == (1000, 600)


@pytest.mark.parametrize("told", list(permutations(["paid w1", "paid w2", "failed"])))
def test_the_first_outcome_is_the_only_one_in_whatever_order_they_come(funded: Keeper, told: tuple[str, ...]) -> None:
    request(funded.ledger, 600)
    for number, what in enumerate((*told, *told), 1):
        does = (lambda h: failed(funded.ledger, hour=h)) if what == "failed" else (lambda h, name=what[5:]: paid(funded.ledger, name, hour=h))
        if what == told[0]:
            assert does(number).booked_before == (number > 1)
        else:
            with pytest.raises(Conflict, match="WITHDRAWAL_ENDED"):
                does(number)
    assert cash(funded) == ((1000, 0) if told[0] == "failed" else (400, 0))
    assert status(funded.ledger) == ("failed" if told[0] == "failed" else "paid")
    assert_sound(funded)


def test_an_outcome_before_its_request_is_unknown_and_changes_nothing(funded: Keeper) -> None:
    for does in (paid, failed):
        with pytest.raises(NotFound, match="WITHDRAWAL_UNKNOWN"):
            does(funded.ledger)
    request(funded.ledger, 600)
    assert paid(funded.ledger).status == "paid"


def test_a_payment_that_left_is_booked_once_whether_in_steps_or_in_one(funded: Keeper) -> None:
    request(funded.ledger, 600)
    paid(funded.ledger, "w1")
    assert pay_out(funded.ledger, "ivy", 600, "w1", hour=2).booked_before
    pay_out(funded.ledger, "ivy", 100, "w2", hour=2)
    request(funded.ledger, 100, "r2", hour=3)
    with pytest.raises(Conflict, match="TRANSFER_DIFFERS"):
        paid(funded.ledger, "w2", "r2", hour=3)
    assert (cash(funded), status(funded.ledger, "r2")) == ((300, 100), "requested")


# Its time is over


def test_a_request_whose_time_is_over_holds_nothing_and_is_not_paid(funded: Keeper) -> None:
    request(funded.ledger, 600, expires_at=NOON + 2 * HOUR)
    assert [status(funded.ledger, hour=hour) for hour in (1, 2)] == ["requested", "expired"]
    with pytest.raises(Conflict, match="WITHDRAWAL_ENDED"):
        paid(funded.ledger, hour=2)
    pay_out(funded.ledger, "ivy", 1000, hour=2)
    assert failed(funded.ledger, hour=3).status == "expired"
    assert failed(funded.ledger, hour=3).booked_before, "the cash was given back by who spent it"
    assert_sound(funded)


def test_what_expired_is_given_back_by_who_says_so_and_then_nobodys_clock_can_pay_it(funded: Keeper) -> None:
    request(funded.ledger, 600, expires_at=NOON + 2 * HOUR)
    assert failed(funded.ledger, hour=3).status == "failed"
    assert cash(funded) == (1000, 0)
    with pytest.raises(Conflict, match="WITHDRAWAL_ENDED"):
        paid(funded.ledger, hour=1)
    assert status(funded.ledger, hour=9) == "failed"


def test_the_view_for_other_domains_does_not_count_a_hold_whose_time_is_over(aurora: AuroraKeeper) -> None:
    pay_in(aurora.ledger, "ivy", 1000)
    request(aurora.ledger, 100, "past", expires_at=NOON + 2 * HOUR)
    request(aurora.ledger, 30, "open")
    request(aurora.ledger, 7, "future", expires_at=NOON + timedelta(days=40_000))
    [seen] = aurora.rows("select available, reserved from ledger.investor_cash where account_id = 'cash/ivy'")
    assert seen == (963, 37)
    failed(aurora.ledger, "past", hour=3)
    [seen] = aurora.rows("select available, reserved from ledger.investor_cash where account_id = 'cash/ivy'")
    assert seen == (963, 37)


# Who hears


def test_the_investors_portfolios_hear_of_each_step_once(funded: Keeper) -> None:
    for number, step in enumerate((lambda: request(funded.ledger, 600), lambda: failed(funded.ledger), lambda: request(funded.ledger, 5, "r2")), 1):
        for _ in range(2):
            step()
        assert len(funded.outbox()) == 1 + number
    paid(funded.ledger, request_id="r2")
    assert len({one.message_id for one in funded.outbox()}) == 5


def test_by_a_clock_that_is_a_little_slow_a_request_finds_cash_that_just_came(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 500)
    pay_in(keeper.ledger, "ivy", 600, "2", hour=1)
    clock = FixedClock(NOON + HOUR - timedelta(seconds=30))
    assert request_withdrawal(TENANT, "r", "ivy", Money(1100, "EUR"), ledger=keeper.ledger, clock=clock, window_seconds=30).status == "requested"
    assert_sound(keeper)


# At once


def test_paid_and_failed_at_once_are_one_outcome(aurora: AuroraKeeper) -> None:
    rounds = 10
    pay_in(aurora.ledger, "ivy", 100 * rounds)
    for n in range(rounds):
        request(aurora.ledger, 100, f"r{n}")
    barrier = threading.Barrier(4)
    ended: list[tuple[int, str]] = []

    def run(which: int) -> None:
        with closing(Database(aurora.app_dsn)) as database:
            ledger = AuroraLedger(database)
            for n in range(rounds):
                barrier.wait()
                try:
                    done = failed(ledger, f"r{n}") if which % 2 else paid(ledger, f"w{n}-{which}", f"r{n}")
                except Conflict as conflict:
                    ended.append((n, conflict.code))
                else:
                    ended.append((n, f"{done.status}{'' if which % 2 else which}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    outcomes = {n: {what for number, what in ended if number == n} - {"WITHDRAWAL_ENDED"} for n in range(rounds)}
    assert all(len(one) == 1 for one in outcomes.values()), outcomes
    left = sum(100 for one in outcomes.values() if one == {"failed"})
    assert aurora.balances().get(("cash/ivy", "EUR"), 0) == left
    assert aurora.rows("select deadlocks::int from pg_stat_database where datname = current_database()") == [(0,)]
    assert_sound(aurora)
