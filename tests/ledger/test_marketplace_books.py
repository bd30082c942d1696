"""The marketplace's money is in the books like any other: its accounts, flavors and tags, and what else in the books bears on a settlement."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.actions import Action, Issue, Reserve, Retire, Transaction, Transfer
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books, Question
from bourse.ledger.events import BidsReturned
from bourse.message import Outcome

from tests.ledger.builders import NOON, TENANT, AuroraKeeper, Keeper, assert_sound, bid, chunk, closed, pay_in, pay_out, settle

HOUR = timedelta(hours=1)


def post(books: Books, txn_id: str, *actions: Action, at: datetime = NOON) -> None:
    books.post(TENANT, [Transaction(txn_id, actions, at)], at)


def returned(outcome: Outcome) -> dict[str, str]:
    return {one.bid_id: one.reason for said in outcome.says if isinstance(said, BidsReturned) for one in said.bids}


def sums(books: Books, filter_: str, *group_by: str) -> dict[tuple[str | None, ...], int]:
    found = books.sum_tokens(TENANT, Question(filter_, group_by=group_by))
    return {tuple(one.group[path] for path in group_by): one.amount for one in found}


# Accounts, flavors, tags


def test_every_account_says_whose_it_is_and_is_opened_once(keeper: Keeper) -> None:
    for number in (1, 2):
        pay_in(keeper.ledger, "ivy", 5000, str(number))
        settle(keeper.ledger, chunk(bid(number), number=number))
    by_holder = sums(keeper.books, "", "account_tags.type", "account_tags.holds", "account_id")
    assert by_holder == {
        ("company", "fees", "fee"): 60,
        ("investor", "cash", "cash/ivy"): 7980,
        ("investor", "claims", "claims/ivy-pension/safe"): 2000,
        ("originator", "proceeds", "proceeds/acme"): 1960,
    }


def test_a_loan_is_a_flavor_of_its_own_with_what_was_said_of_it(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    settle(keeper.ledger, chunk(bid(1, borrower_id="bob"), bid(2, loan_id="L2", risk_class=None)))
    told = ("flavor_id", "flavor_tags.loan_id", "flavor_tags.originator_id", "flavor_tags.risk_class", "flavor_tags.currency", "flavor_tags.borrower_id")
    assert sums(keeper.books, "flavor_tags.type = 'loan'", *told) == {
        ("loan/acme/L1", "L1", "acme", "B", "EUR", "bob"): 1000,
        ("loan/acme/L2", "L2", "acme", None, "EUR", None): 1000,
    }


def test_a_claim_remembers_the_offer_it_was_bought_from(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    settle(keeper.ledger, chunk(bid(1), bid(2, offer_version=2, risk_class="C"), bid(3)))
    told = ("tags.originator_id", "tags.loan_id", "tags.offer_version", "tags.risk_class")
    assert sums(keeper.books, "flavor_tags.type = 'loan'", *told) == {("acme", "L1", 1, "B"): 2000, ("acme", "L1", 2, "C"): 1000}


def test_price_fee_and_claim_are_actions_of_one_transaction(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    settle(keeper.ledger, chunk(bid(1)))
    moved = keeper.books.actions(TENANT, Question("snapshot.transaction_tags.bid = 'bid_1'")).items
    assert {(one.action_tags["type"], one.type, one.source, one.destination, one.amount) for one in moved} == {
        ("purchase_price", "transfer", "cash/ivy", "proceeds/acme", 980),
        ("fee", "transfer", "cash/ivy", "fee", 30),
        ("claim", "issue", "loans/acme", "claims/ivy-pension/safe", 1000),
    }
    assert len({one.txn_id for one in moved}) == 1


def test_what_comes_from_outside_and_goes_there_has_its_system_and_id_once(keeper: Keeper) -> None:
    for _ in range(2):
        pay_in(keeper.ledger, "ivy", 5000, "w1")
        pay_out(keeper.ledger, "ivy", 1000, "w1")
    moved = keeper.books.actions(TENANT, Question("tags.system = 'bank' AND tags.external_id = 'w1'")).items
    assert [(one.type, one.action_tags["type"], one.amount) for one in moved] == [("retire", "withdrawal", 1000), ("issue", "deposit", 5000)]


def test_cash_by_investor_is_one_sum(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    pay_in(keeper.ledger, "sam", 700)
    settle(keeper.ledger, chunk(bid(1)))
    assert sums(keeper.books, "account_tags.type = 'investor' AND flavor_tags.type = 'currency'", "account_id") == {("cash/ivy",): 3990, ("cash/sam",): 700}


def test_fees_of_a_time_are_one_sum(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 9999)
    for number in range(3):
        settle(keeper.ledger, chunk(bid(number), number=number), NOON + number * HOUR)
    asked = Question("tags.type = 'fee' AND timestamp >= $1 AND timestamp < $2", ((NOON + HOUR).isoformat(), (NOON + 2 * HOUR).isoformat()))
    assert keeper.books.sum_actions(TENANT, asked)[0].amount == 30


def test_cash_of_one_currency_pays_for_no_bid_in_another(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    assert returned(settle(keeper.ledger, chunk(bid(1), currency="USD"))) == {"bid_1": "insufficient_cash"}


def test_one_transaction_sells_parts_of_several_loans_or_of_none(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    settle(keeper.ledger, chunk(bid(1), bid(2, loan_id="L2"), bid(3, investor_id="sam")))
    parts = [Transfer(f"loan/acme/{loan}", 600, "claims/ivy-pension/safe", "claims/sam-pension/safe", carry_tags=True) for loan in ("L1", "L2")]
    with pytest.raises(Refused, match="INSUFFICIENT_FUNDS"):
        post(keeper.books, "too-dear", *parts, Transfer("EUR", 600, "cash/sam", "cash/ivy"))
    pay_in(keeper.ledger, "sam", 600)
    post(keeper.books, "sale", *parts, Transfer("EUR", 600, "cash/sam", "cash/ivy"))
    assert sums(keeper.books, "account_id = 'claims/sam-pension/safe'", "flavor_id", "tags.loan_id") == {
        ("loan/acme/L1", "L1"): 600,
        ("loan/acme/L2", "L2"): 600,
    }
    assert_sound(keeper)


# What else in the books bears on a settlement


def test_cash_that_is_held_buys_nothing_and_is_not_paid_out_until_the_hold_is_over(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 2020)
    post(keeper.books, "hold", Reserve("h", "EUR", 1011, "cash/ivy", expires_at=NOON + HOUR))
    assert returned(settle(keeper.ledger, chunk(bid(1)))) == {"bid_1": "insufficient_cash"}
    with pytest.raises(Refused, match="INSUFFICIENT_CASH"):
        pay_out(keeper.ledger, "ivy", 1010, "x")
    assert [(row.total, row.held) for row in keeper.ledger.trial_balance(TENANT, NOON)] == [(0, 1011)]
    assert returned(settle(keeper.ledger, chunk(bid(2), number=2), NOON + HOUR)) == {}
    pay_out(keeper.ledger, "ivy", 1010, "x", hour=1)
    assert_sound(keeper)


def test_cash_in_several_lots_buys_like_cash_in_one(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 500)
    post(keeper.books, "gift", Issue("EUR", 600, "cash/ivy", token_tags={"from": "campaign"}))
    assert returned(settle(keeper.ledger, chunk(bid(1), bid(2)))) == {"bid_2": "insufficient_cash"}
    assert keeper.balances()["cash/ivy", "EUR"] == 90
    assert_sound(keeper)


def test_cash_of_tomorrow_buys_nothing_today_and_cash_that_leaves_tomorrow_neither(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 1010)
    post(keeper.books, "later", Issue("EUR", 5000, "cash/ivy"), at=NOON + 24 * HOUR)
    assert returned(settle(keeper.ledger, chunk(bid(1), bid(2)), NOON + HOUR)) == {"bid_2": "insufficient_cash"}
    pay_in(keeper.ledger, "sam", 1500)
    post(keeper.books, "rent", Retire("EUR", 1000, "cash/sam"), at=NOON + 24 * HOUR)
    assert returned(settle(keeper.ledger, chunk(bid(3, investor_id="sam"), number=3), NOON + HOUR)) == {"bid_3": "insufficient_cash"}
    assert_sound(keeper)


def test_a_deposit_by_a_clock_that_is_a_little_fast_can_be_spent_at_its_time(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    assert returned(settle(keeper.ledger, chunk(bid(1)), NOON - timedelta(seconds=3))) == {}
    assert [line.effective_at for line in keeper.ledger.statement(TENANT, "ivy", "EUR", NOON, NOON + HOUR)] == [NOON] * 3


@pytest.mark.parametrize(("account", "reason"), [("claims/ivy-pension/bold", "investor_blocked"), ("proceeds/other", "loan_closed")])
def test_a_closed_account_returns_the_bids_that_would_touch_it_and_no_other(keeper: Keeper, account: str, reason: str) -> None:
    asked = {"bucket_id": "bold", "originator_id": "other"}
    settle(keeper.ledger, chunk(bid(1, **asked), number=1))  # unpaid, but its accounts are open
    keeper.books.close_account(TENANT, account)
    for investor in ("ivy", "sam"):
        pay_in(keeper.ledger, investor, 5000)
    mine = settle(keeper.ledger, chunk(bid(2, **asked), bid(3, investor_id="sam", loan_id="L2"), number=2))
    assert returned(mine) == {"bid_2": reason}
    assert_sound(keeper)


def test_money_neither_comes_to_a_closed_account_nor_leaves_it(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 1010)
    settle(keeper.ledger, chunk(bid(1)))
    keeper.books.close_account(TENANT, "cash/ivy")
    with pytest.raises(Refused, match="ACCOUNT_CLOSED"):
        pay_in(keeper.ledger, "ivy", 1, "late")
    assert list(returned(settle(keeper.ledger, chunk(bid(2), number=2)))) == ["bid_2"]
    assert_sound(keeper)


def test_a_bid_without_a_volume_is_held_to_what_was_offered_before(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 99_999)
    settle(keeper.ledger, chunk(bid(1, offer_volume=2500), number=1))
    assert returned(settle(keeper.ledger, chunk(bid(2), bid(3), number=2))) == {"bid_3": "oversold"}
    assert returned(settle(keeper.ledger, chunk(bid(4, offer_volume=4000), bid(5), bid(6), number=3))) == {"bid_6": "oversold"}
    assert_sound(keeper)


# At once


def test_settlements_and_any_other_postings_wait_for_each_other_in_one_order(aurora: AuroraKeeper) -> None:
    investors = [f"inv-{n}" for n in range(6)]
    for one in investors:
        pay_in(aurora.ledger, one, 6_000)

    def settles(number: int) -> Callable[[AuroraLedger, AuroraBooks], object]:
        bids = [bid(f"{number}-{n}", investor_id=investors[(number + n) % 6], loan_id=f"L{n % 3}", offer_volume=50_000) for n in range(8)]
        return lambda ledger, _: settle(ledger, chunk(*bids, number=number))

    def moves(number: int) -> Callable[[AuroraLedger, AuroraBooks], object]:
        one, other = investors[number % 6], investors[(number + 1) % 6]
        back = Transfer("EUR", 100, "proceeds/acme", f"cash/{other}")  # against the way of a purchase
        claim = Transfer(f"loan/acme/L{number % 3}", 50, f"claims/{one}-pension/safe", f"claims/{other}-pension/safe", carry_tags=True)
        return lambda _, books: _unless_refused(lambda: post(books, f"m-{number}", back, claim, Transfer("EUR", 10, f"cash/{other}", f"cash/{one}")))

    def closes(number: int) -> Callable[[AuroraLedger, AuroraBooks], object]:
        return lambda ledger, _: ledger.close_loans(TENANT, "acme", [closed("L2", number)])

    tasks = [make(number) for number in range(16) for make in (settles, moves, closes)]
    barrier = threading.Barrier(8)

    def run(mine: list[Callable[[AuroraLedger, AuroraBooks], object]]) -> None:
        with closing(Database(aurora.app_dsn)) as database:
            barrier.wait()
            for task in mine:
                task(AuroraLedger(database), AuroraBooks(database))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, [tasks[n::8] for n in range(8)]))
    assert aurora.rows("select deadlocks::int from pg_stat_database where datname = current_database()") == [(0,)]
    settled = aurora.rows("select coalesce(sum(principal), 0)::int from ledger.bid where outcome = 'settled'")[0][0]
    assert sum(amount for (_, flavor), amount in aurora.balances().items() if flavor.startswith("loan/") and amount > 0) == settled > 0
    assert_sound(aurora)


def _unless_refused(does: Callable[[], object]) -> None:
    try:
        does()
    except Refused:
        return
