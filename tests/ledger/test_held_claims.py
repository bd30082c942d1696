"""A hold on a claim never stops a payment of its loan: what is repaid is taken from the free claims first, and then the hold gives way. On both stores."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.actions import Action, PostHold, Reserve, Tags, Transaction
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.books import Question

from tests.ledger.builders import NOON, TENANT, AuroraKeeper, Keeper, MemoryKeeper, assert_sound, bid, chunk, pay_in, settle
from tests.ledger.flow_builders import HOUR, bounce, repay

LOAN, IVY, SAM = "loan/acme/L1", "claims/ivy-pension/safe", "claims/sam-pension/safe"


@pytest.fixture
def sold(keeper: Keeper) -> Keeper:
    """ivy and sam hold 600 and 400 of the loan."""
    lend(keeper)
    return keeper


def lend(keeper: Keeper) -> None:
    for name, part in (("ivy", 600), ("sam", 400)):
        pay_in(keeper.ledger, name, part)
    at_par = [bid(name, investor_id=name, principal=part, sell_amount=part, buy_amount=part, offer_volume=1000) for name, part in (("ivy", 600), ("sam", 400))]
    settle(keeper.ledger, chunk(*at_par))


def post(keeper: Keeper, txn_id: str, *actions: Action, hour: int = 0) -> None:
    keeper.books.post(TENANT, [Transaction(txn_id, actions, NOON + hour * HOUR)], NOON + hour * HOUR)


def hold(keeper: Keeper, amount: int, hold_id: str = "sale", account: str = SAM) -> None:
    post(keeper, f"{hold_id}-made", Reserve(hold_id, LOAN, amount, account))


def held(keeper: Keeper, account: str = SAM) -> tuple[int, int]:
    """What is there of claims, and what of it is held."""
    found = keeper.books.tokens(TENANT, Question("account_id = $1", (account,))).items
    return sum(one.amount for one in found), sum(one.held for one in found)


def cash(keeper: Keeper) -> tuple[int, int]:
    return keeper.balances().get(("cash/ivy", "EUR"), 0), keeper.balances().get(("cash/sam", "EUR"), 0)


def test_what_is_free_is_repaid_first_and_the_hold_stays_whole(sold: Keeper) -> None:
    hold(sold, 300)
    receipt = repay(sold.ledger, principal=250, interest=50)
    assert (cash(sold), held(sold)) == ((180, 120), (300, 300))
    assert receipt.principal_repaid == 250
    assert_sound(sold)


def test_where_all_is_held_the_hold_gives_way_and_the_money_is_the_holders(sold: Keeper) -> None:
    hold(sold, 400)
    receipt = repay(sold.ledger, principal=250, interest=50, fee=3)
    assert (cash(sold), held(sold), held(sold, IVY)) == ((180, 120), (300, 300), (450, 0))
    assert (receipt.to_investors, receipt.principal_repaid, receipt.claims) == (300, 250, 2)
    assert sold.balances()["loans/acme", LOAN] == -750
    assert [key for key in sold.balances() if key[0].startswith("collections/")] == []
    post(sold, "done", PostHold("sale", IVY, carry_tags=True), hour=2)
    assert (held(sold), held(sold, IVY)) == ((0, 0), (750, 0)), "who bought gets what is left of it"
    assert_sound(sold)


def test_it_gives_way_by_no_more_than_what_is_not_free(sold: Keeper) -> None:
    hold(sold, 350)
    repay(sold.ledger, principal=250)
    assert held(sold) == (300, 300)


def test_told_again_it_gives_way_no_further(sold: Keeper) -> None:
    hold(sold, 400)
    first = repay(sold.ledger, principal=250)
    assert repay(sold.ledger, principal=250, hour=2) == first.model_copy(update={"booked_before": True})
    assert (cash(sold), held(sold)) == ((150, 100), (300, 300))


def test_the_newest_of_several_holds_gives_way_first(sold: Keeper) -> None:
    hold(sold, 150, "lien")
    hold(sold, 250, "sale")
    repay(sold.ledger, principal=700)
    assert (held(sold), cash(sold)) == ((120, 120), (420, 280))
    with pytest.raises(Refused, match="HOLD_OVER"):
        post(sold, "late", PostHold("sale", IVY), hour=2)
    post(sold, "seized", PostHold("lien", IVY), hour=2)
    assert held(sold) == (0, 0)
    assert_sound(sold)


def test_a_hold_on_what_is_repaid_to_the_end_is_over(sold: Keeper) -> None:
    hold(sold, 400)
    repay(sold.ledger, principal=1000)
    assert (held(sold), cash(sold)) == ((0, 0), (600, 400))
    with pytest.raises(Refused, match="HOLD_OVER"):
        post(sold, "late", PostHold("sale", IVY), hour=2)
    assert_sound(sold)


def test_a_hold_whose_time_is_over_is_none(sold: Keeper) -> None:
    post(sold, "made", Reserve("sale", LOAN, 400, SAM, expires_at=NOON + timedelta(minutes=30)))
    repay(sold.ledger, principal=250)
    assert (held(sold), cash(sold)) == ((300, 0), (150, 100))


def test_over_the_loans_life_it_changes_nobodys_money_by_a_unit_and_claims_keep_their_tags(sold: Keeper) -> None:
    unheld = MemoryKeeper()
    lend(unheld)
    hold(sold, 400)
    hold(sold, 599, "all", IVY)
    for month in range(9):
        for keeper in (sold, unheld):
            repay(keeper.ledger, f"m{month}", principal=101, interest=7, outstanding=1300 - 101 * month, hour=month + 1)
        assert sold.balances() == unheld.balances()
        assert tags(sold) == tags(unheld)
    assert_sound(sold)


def tags(keeper: Keeper) -> dict[str, Tags]:
    return {one.account_id: one.tags for one in keeper.books.tokens(TENANT, Question("flavor_id = $1", (LOAN,))).items}


def test_a_payment_a_hold_gave_way_to_bounces_and_the_claims_are_free_then(sold: Keeper) -> None:
    before = sold.balances()
    hold(sold, 400)
    repay(sold.ledger, principal=250, interest=50)
    bounce(sold.ledger, "distribution", "p1", hour=2)
    assert (sold.balances(), held(sold)) == (before, (400, 300))
    assert_sound(sold)


def test_payments_while_others_hold_and_sell_claims_pay_every_unit_and_wait_for_nobody_crosswise(aurora: AuroraKeeper) -> None:
    lend(aurora)
    rounds, barrier = 8, threading.Barrier(3)

    def pays(which: int) -> None:
        with closing(Database(aurora.app_dsn)) as database:
            ledger = AuroraLedger(database)
            for number in range(rounds):
                barrier.wait()
                repay(ledger, f"{which}-{number}", principal=20, interest=3)

    def holds(_: int) -> None:
        for number in range(rounds):
            barrier.wait()
            [there] = aurora.books.tokens(TENANT, Question("account_id = $1", (SAM,))).items
            with suppress(Refused):  # less was there by then
                post(aurora, f"made-{number}", Reserve(f"h{number}", LOAN, there.amount - there.held, SAM), hour=1)
                post(aurora, f"done-{number}", PostHold(f"h{number}", IVY, 5, keep_rest=True, carry_tags=True), hour=1)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda which: holds(which) if which == 2 else pays(which), range(3)))
    assert sum(cash(aurora)) == 2 * rounds * 23
    assert held(aurora)[0] + held(aurora, IVY)[0] == 1000 - 2 * rounds * 20 == -aurora.balances()["loans/acme", LOAN]
    assert aurora.rows("select deadlocks::int from pg_stat_database where datname = current_database()") == [(0,)]
    with closing(Database(aurora.app_dsn)) as database:
        assert list(AuroraChecker(database).differences(TENANT)) == []
    assert_sound(aurora)
