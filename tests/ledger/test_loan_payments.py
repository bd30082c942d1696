"""A borrower's payment goes to who holds the loan at that moment: exactly, once, and to nobody else. On both stores."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused
from bourse.ledger.actions import Issue, Transaction, Transfer
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.books import Question
from bourse.ledger.loan_payments import distribute_payment

from tests.ledger.builders import NOON, TENANT, AuroraKeeper, Keeper, assert_sound, bid, chunk, pay_in, settle
from tests.ledger.flow_builders import HOUR, payment, ports, repay


@pytest.fixture
def sold(keeper: Keeper) -> Keeper:
    """Of the loan ivy holds 600 in two buckets, sam 400; both have 0 in cash, and the whole loan is 1000."""
    parts = ((1, "ivy", "safe", 400), (2, "ivy", "bold", 200), (3, "sam", "safe", 400))
    for name, cash in (("ivy", 600), ("sam", 400)):
        pay_in(keeper.ledger, name, cash)
        keeper.open_portfolio(name, f"{name}-pension")
    terms = {"offer_volume": 1000}
    bids = [bid(n, investor_id=name, bucket_id=bucket, principal=amount, sell_amount=amount, buy_amount=amount, **terms) for n, name, bucket, amount in parts]
    settle(keeper.ledger, chunk(*bids))
    return keeper


def cash(keeper: Keeper) -> tuple[int, int]:
    return keeper.balances().get(("cash/ivy", "EUR"), 0), keeper.balances().get(("cash/sam", "EUR"), 0)


def claims(keeper: Keeper, loan: str = "L1") -> list[int]:
    names = ("ivy-pension/safe", "ivy-pension/bold", "sam-pension/safe")
    return [keeper.balances().get((f"claims/{name}", f"loan/acme/{loan}"), 0) for name in names]


def test_a_payment_is_shared_by_the_claims_and_its_principal_retires_them(sold: Keeper) -> None:
    receipt = repay(sold.ledger, principal=100, interest=50, fee=3)
    assert cash(sold) == (90, 60)
    assert claims(sold) == [360, 180, 360]
    assert sold.balances()["loans/acme", "loan/acme/L1"] == -900, "what was repaid went back to where it was sold from"
    assert sold.balances()["fee", "EUR"] == 3
    assert ("collections/acme", "EUR") not in sold.balances(), "nothing stays on the way"
    assert (receipt.amount, receipt.fee, receipt.to_investors, receipt.to_originator) == (153, 3, 150, 0)
    assert (receipt.principal_repaid, receipt.claims, receipt.booked_before) == (100, 3, False)
    assert_sound(sold)


def test_every_part_says_what_it_is_and_the_fee_report_finds_the_fee(sold: Keeper) -> None:
    repay(sold.ledger, principal=100, interest=50, fee=3)
    sums = sold.books.sum_actions(TENANT, Question("timestamp > $1", (NOON.isoformat(),), ("tags.type", "flavor_id")))
    assert {(one.group["tags.type"], one.group["flavor_id"]): one.amount for one in sums} == {
        ("payment", "EUR"): 153,
        ("fee", "EUR"): 3,
        ("interest", "EUR"): 50,
        ("principal", "EUR"): 100,
        ("principal", "loan/acme/L1"): 100,
    }
    [fees] = sold.books.sum_actions(TENANT, Question("tags.type = 'fee'"))
    assert fees.amount == 3


def test_the_investors_statement_shows_the_payment_with_its_cause(sold: Keeper) -> None:
    repay(sold.ledger, principal=100, interest=50, fee=3)
    lines = sold.ledger.statement(TENANT, "sam", "EUR", NOON + HOUR, NOON + 2 * HOUR)
    assert [(line.kind, line.amount, line.balance) for line in lines] == [("distribution", 20, 20), ("distribution", 40, 60)]
    assert lines[0].tags | {"paid_at": ""} == {
        "system": "bank",
        "external_id": "p1",
        "originator": "acme",
        "loan": "L1",
        "currency": "EUR",
        "amount": "153",
        "principal": "100",
        "interest": "50",
        "fee": "3",
        "paid_at": "",
    }


def test_each_portfolio_of_those_who_were_paid_hears_of_it_once(sold: Keeper) -> None:
    sold.open_portfolio("ivy", "house")
    sold.open_portfolio("tom", "boat")
    before = {one.message_id for one in sold.outbox()}
    for _ in range(2):
        repay(sold.ledger, interest=50)
    said = [one for one in sold.outbox() if one.message_id not in before]
    assert sorted(one.portfolio_id for one in said) == ["house", "ivy-pension", "sam-pension"]


# Once


def test_told_twice_it_is_one_distribution_also_when_others_hold_the_loan_by_then(sold: Keeper) -> None:
    first = repay(sold.ledger, principal=100, interest=50)
    sale = Transfer("loan/acme/L1", 360, "claims/sam-pension/safe", "claims/ivy-pension/safe", carry_tags=True)
    sold.books.post(TENANT, [Transaction("sale", (sale,), NOON + 2 * HOUR)], NOON + 2 * HOUR)
    again = repay(sold.ledger, principal=100, interest=50, hour=3)
    assert again == first.model_copy(update={"booked_before": True})
    assert cash(sold) == (90, 60)


OTHER_TERMS: list[dict[str, Any]] = [
    {"principal": 101, "amount": 151},
    {"interest": 51, "amount": 151},
    {"principal": 50, "interest": 100},
    {"loan_id": "L2"},
    {"originator_id": "zen"},
    {"currency": "USD"},
    {"outstanding": 1000},
    {"paid_at": NOON + HOUR},
]


@pytest.mark.parametrize("other", OTHER_TERMS)
def test_other_terms_under_the_same_cause_are_a_conflict(sold: Keeper, other: dict[str, Any]) -> None:
    repay(sold.ledger, principal=100, interest=50)
    before = sold.balances()
    with pytest.raises(Conflict, match="PAYMENT_DIFFERS"):
        distribute_payment(TENANT, replace(payment(principal=100, interest=50), **other), **ports(sold.ledger, 2))
    assert sold.balances() == before


def test_a_loan_outstanding_said_at_first_is_missed_when_it_is_told_without(sold: Keeper) -> None:
    repay(sold.ledger, interest=50, outstanding=2000)
    with pytest.raises(Conflict, match="PAYMENT_DIFFERS"):
        repay(sold.ledger, interest=50)


def test_two_tenants_and_two_systems_have_causes_of_their_own(sold: Keeper) -> None:
    repay(sold.ledger, interest=50)
    distribute_payment(TENANT, replace(payment(interest=50), system="card"), **ports(sold.ledger, 1))
    assert sum(cash(sold)) == 100
    with pytest.raises(Refused, match="LOAN_NOT_HELD"):
        repay(sold.ledger, interest=50, tenant_id="t2")


# Whose it is


def test_the_part_of_the_loan_that_was_not_sold_is_the_originators(sold: Keeper) -> None:
    receipt = repay(sold.ledger, principal=100, interest=50, outstanding=4000)
    assert (receipt.to_investors, receipt.to_originator, receipt.principal_repaid) == (38, 112, 25)
    assert sold.balances()["proceeds/acme", "EUR"] == 1000 + 112
    assert sum(claims(sold)) == 975
    assert_sound(sold)


def test_over_the_loans_life_nobody_gets_a_unit_too_much_or_too_little_and_the_loan_is_gone(sold: Keeper) -> None:
    for month in range(12):
        left = 1200 - 100 * month
        repay(sold.ledger, f"m{month}", principal=100, interest=7, outstanding=left, hour=month + 1)
    assert claims(sold) == [0, 0, 0]
    assert sold.balances().get(("loans/acme", "loan/acme/L1"), 0) == 0
    assert sum(cash(sold)) + sold.balances()["proceeds/acme", "EUR"] - 1000 == 12 * 107
    of_each = [600 + 84 * 600 / 1200, 400 + 84 * 400 / 1200]
    assert [abs(got - due) < 1 for got, due in zip(cash(sold), of_each, strict=True)] == [True, True]


def test_who_bought_a_moment_before_is_paid_and_who_sold_is_not(sold: Keeper) -> None:
    sale = Transfer("loan/acme/L1", 400, "claims/sam-pension/safe", "claims/ivy-pension/safe", carry_tags=True)
    sold.books.post(TENANT, [Transaction("sale", (sale,), NOON + HOUR)], NOON + HOUR)
    repay(sold.ledger, interest=50)
    assert cash(sold) == (50, 0)


def test_a_payment_that_counts_from_last_week_is_booked_now_for_who_holds_the_loan_now(sold: Keeper) -> None:
    repay(sold.ledger, interest=50, paid_at=NOON - timedelta(days=7))
    [line] = sold.ledger.statement(TENANT, "sam", "EUR", NOON + HOUR, NOON + 2 * HOUR)
    assert (line.effective_at, line.tags["paid_at"]) == (NOON + HOUR, "2026-02-22T12:00:00+00:00")


def test_by_a_clock_that_is_a_little_slow_it_happens_when_the_claims_came(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 5000)
    settle(keeper.ledger, chunk(bid(1)), NOON + HOUR + timedelta(seconds=40))
    repay(keeper.ledger, principal=1000)
    assert claims(keeper)[0] == 0
    assert_sound(keeper)


def test_what_is_repaid_can_be_sold_anew_up_to_what_is_offered_then(sold: Keeper) -> None:
    repay(sold.ledger, principal=500)
    pay_in(sold.ledger, "tom", 999)
    terms = {"investor_id": "tom", "principal": 100, "sell_amount": 100, "buy_amount": 100, "offer_version": 2, "offer_volume": 600}
    settle(sold.ledger, chunk(bid(7, **terms), bid(8, **terms), number=2), NOON + 2 * HOUR)
    assert sold.balances()["loans/acme", "loan/acme/L1"] == -600, "500 are held still and 100 more are on offer"
    assert_sound(sold)


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"principal": 1001}, "PRINCIPAL_TOO_LARGE"),
        ({"principal": 2001, "outstanding": 2000}, "PRINCIPAL_TOO_LARGE"),
        ({"principal": 1, "outstanding": 999}, "OUTSTANDING_TOO_SMALL"),
        ({"interest": 1, "loan_id": "L9"}, "LOAN_NOT_HELD"),
        ({"interest": 1, "loan_id": "L9", "outstanding": 10}, "LOAN_NOT_HELD"),
        ({"interest": 1, "amount": 2}, "PARTS_DIFFER"),
        ({"fee": 5}, "AMOUNT"),
        ({"principal": 5, "interest": -1}, "AMOUNT"),
        ({"principal": 0}, "AMOUNT"),
        ({"principal": 2**63}, "AMOUNT"),
    ],
)
def test_what_cannot_be_shared_is_refused_whole_and_its_cause_stays_free(sold: Keeper, parts: dict[str, Any], code: str) -> None:
    before, said = sold.balances(), len(sold.outbox())
    with pytest.raises(Refused, match=code):
        repay(sold.ledger, **parts)
    assert (sold.balances(), len(sold.outbox())) == (before, said)
    assert not repay(sold.ledger, interest=50).booked_before


def test_after_the_last_claim_is_repaid_a_late_payment_finds_nobody(sold: Keeper) -> None:
    repay(sold.ledger, principal=1000, interest=50)
    with pytest.raises(Refused, match="LOAN_NOT_HELD"):
        repay(sold.ledger, "late", interest=5)


def test_one_holder_gets_all_of_it(keeper: Keeper) -> None:
    pay_in(keeper.ledger, "ivy", 1010)
    settle(keeper.ledger, chunk(bid(1)))
    repay(keeper.ledger, principal=1, interest=1)
    assert (cash(keeper)[0], claims(keeper)[0]) == (2, 999)


@pytest.mark.parametrize("principal", [550, 1_100])
def test_eleven_hundred_holders_of_a_cent_are_paid_to_the_cent(aurora: AuroraKeeper, principal: int) -> None:
    names = [f"i{n:04}" for n in range(1_100)]
    bids = [bid(n, investor_id=name, principal=1, sell_amount=1, buy_amount=1, offer_volume=1_100) for n, name in enumerate(names)]
    settle(aurora.ledger, chunk(*bids))  # unpaid, but every account is open
    cents = tuple(Issue("EUR", 1, f"cash/{name}") for name in names)
    aurora.books.post(TENANT, [Transaction("cents", cents, NOON)], NOON)
    settle(aurora.ledger, chunk(*(one.model_copy(update={"bid_id": f"again-{one.bid_id}"}) for one in bids), number=2))
    receipt = repay(aurora.ledger, principal=principal, interest=1_100, fee=7)
    assert (receipt.to_investors, receipt.principal_repaid, receipt.claims) == (principal + 1_100, principal, 1_100)
    got = sorted(amount for (account, _), amount in aurora.balances().items() if account.startswith("cash/"))
    assert got == [1] * (1_100 - principal) + [2] * principal
    assert_sound(aurora)


# At once


def test_payments_and_purchases_of_one_loan_at_once_pay_each_time_who_held_it_then(aurora: AuroraKeeper) -> None:
    rounds = 12
    names = [f"inv-{n}" for n in range(rounds)]
    for name in names:
        pay_in(aurora.ledger, name, 1_000)
    at_par = {"principal": 100, "sell_amount": 100, "buy_amount": 100, "offer_volume": 100 * rounds}
    settle(aurora.ledger, chunk(bid("first", investor_id=names[0], **at_par)))
    barrier = threading.Barrier(3)

    began, ended = [0], [0]
    seen: list[tuple[int, int, int]] = []

    def buys(ledger: AuroraLedger) -> None:
        for n, name in enumerate(names[1:], 1):
            began[0] = n
            settle(ledger, chunk(bid(n, investor_id=name, **at_par), number=n + 1), NOON + HOUR)
            ended[0] = n

    def pays_interest(ledger: AuroraLedger) -> None:
        for n in range(rounds):
            before = ended[0]
            receipt = repay(ledger, f"i{n}", interest=rounds * 10)
            seen.append((before, receipt.claims - 1, began[0]))

    def pays_principal(ledger: AuroraLedger) -> None:
        for n in range(rounds):
            repay(ledger, f"p{n}", principal=5, interest=7)

    def run(does: Any) -> None:
        with closing(Database(aurora.app_dsn)) as database:
            barrier.wait()
            does(AuroraLedger(database))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, [buys, pays_interest, pays_principal]))
    assert aurora.rows("select deadlocks::int from pg_stat_database where datname = current_database()") == [(0,)]
    assert [one for one in seen if not one[0] <= one[1] <= one[2]] == [], "paid are those whose purchase was over, and none whose purchase had not begun"
    balances = aurora.balances()
    held = sum(amount for (account, flavor), amount in balances.items() if flavor == "loan/acme/L1" and account.startswith("claims/"))
    assert held == 100 * rounds - 5 * rounds == -balances["loans/acme", "loan/acme/L1"]
    assert sum(amount for (account, _), amount in balances.items() if account.startswith("cash/")) == 900 * rounds + rounds * (rounds * 10 + 5 + 7)
    assert_sound(aurora)


def test_one_payment_told_by_eight_at_once_is_one_distribution(aurora: AuroraKeeper) -> None:
    pay_in(aurora.ledger, "ivy", 1_010)
    settle(aurora.ledger, chunk(bid(1)))
    barrier = threading.Barrier(8)

    def tell(_: int) -> bool:
        with closing(Database(aurora.app_dsn)) as database:
            barrier.wait()
            return repay(AuroraLedger(database), principal=10, interest=5).booked_before

    with ThreadPoolExecutor(8) as pool:
        before = list(pool.map(tell, range(8)))
    assert sorted(before) == [False] + [True] * 7
    assert cash(aurora)[0] == 15
    assert_sound(aurora)
