"""Payments, withdrawals in steps and reversals whose connection dies before any statement, at the commit, or after it: before or after, never between."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from bourse.errors import Unavailable
from bourse.ledger.actions import Reserve, Transaction
from bourse.ledger.aurora import AuroraLedger

from tests.ledger.builders import NOON, TENANT, AuroraKeeper, assert_sound, bid, chunk, pay_in, pay_out, settle
from tests.ledger.flow_builders import bounce, failed, paid, repay, request
from tests.ledger.test_killed import AFTER_COMMIT, MortalDatabase, books, deaths

Act = Callable[[AuroraLedger], Any]


def _nothing(_: AuroraLedger) -> None:
    """Nothing has to happen before."""


ACTS: dict[str, tuple[Act, Act]] = {
    "distribute_payment": (_nothing, lambda ledger: repay(ledger, principal=101, interest=53, fee=2, outstanding=3000)),
    "distribute_to_who_owes": (
        lambda ledger: (pay_out(ledger, "ivy", 400, hour=1), bounce(ledger, "deposit", "start", hour=2, receivable=True)),
        lambda ledger: repay(ledger, principal=101, interest=53, hour=3),
    ),
    "distribute_what_is_held": (
        lambda ledger: ledger._books.post(TENANT, [Transaction("lien", (Reserve("lien", "loan/acme/L1", 950, "claims/ivy-pension/safe"),), NOON)], NOON),
        lambda ledger: repay(ledger, principal=301, interest=53),
    ),
    "request_withdrawal": (_nothing, lambda ledger: request(ledger, 300)),
    "pay_withdrawal": (lambda ledger: request(ledger, 300), paid),
    "fail_withdrawal": (lambda ledger: request(ledger, 300), failed),
    "take_back": (lambda ledger: repay(ledger, principal=101, interest=53, fee=2), lambda ledger: bounce(ledger, "distribution", "p1", hour=2)),
    "take_back_as_receivable": (
        lambda ledger: pay_out(ledger, "ivy", 400, hour=1),
        lambda ledger: bounce(ledger, "deposit", "start", hour=2, receivable=True),
    ),
}


@pytest.fixture
def lent(aurora: AuroraKeeper) -> AuroraKeeper:
    pay_in(aurora.ledger, "ivy", 2500, "start")
    settle(aurora.ledger, chunk(bid(1), bid(2, bucket_id="bold")))
    aurora.open_portfolio("ivy", "pension")
    return aurora


@pytest.mark.parametrize("name", ACTS)
def test_killed_at_any_statement_nothing_has_happened_and_the_redelivery_does_it(lent: AuroraKeeper, name: str) -> None:
    first, act = ACTS[name]
    first(lent.ledger)
    before = books(lent)
    places = done = 0
    for dies_at, failure in deaths(lent, act):
        assert isinstance(failure, Unavailable), dies_at
        done += books(lent) != before  # the answer is read after the commit: who dies there has done it
        if not done:
            places += 1
        assert books(lent) == before or done > 0
        if done == 1:
            after = books(lent)
        assert done == 0 or books(lent) == after, f"half done when killed at statement {dies_at}"
    assert places >= 5
    act(lent.ledger)
    assert books(lent) == after != before
    if name not in {"take_back_as_receivable", "distribute_to_who_owes"}:
        assert_sound(lent)


@pytest.mark.parametrize("name", ACTS)
def test_when_the_answer_to_the_commit_is_lost_the_redelivery_changes_nothing_and_says_the_same(lent: AuroraKeeper, name: str) -> None:
    first, act = ACTS[name]
    first(lent.ledger)
    with closing(MortalDatabase(lent, AFTER_COMMIT)) as mortal, pytest.raises(Unavailable, match="lost"):
        act(AuroraLedger(mortal))
    after = books(lent)
    told = [act(lent.ledger) for _ in range(2)]
    assert told[0] == told[1]
    assert told[0].booked_before
    assert books(lent) == after


def test_killed_while_who_left_is_given_another_account_nobody_is_paid_and_the_redelivery_pays_all(lent: AuroraKeeper) -> None:
    """Two commits: where her money waits is said before anything is paid."""
    pay_in(lent.ledger, "sam", 1010)
    settle(lent.ledger, chunk(bid(3, investor_id="sam"), number=2))
    pay_out(lent.ledger, "ivy", 480, hour=1)
    lent.books.close_account(TENANT, "cash/ivy")
    before = books(lent)

    def act(ledger: AuroraLedger) -> Any:
        return repay(ledger, principal=300, interest=30, hour=3)

    for dies_at, failure in deaths(lent, act):
        assert isinstance(failure, Unavailable), dies_at
        paid = {key: amount for key, amount in lent.balances().items() if key[0].startswith(("cash/", "unclaimed/"))}
        assert books(lent) == before or paid == PAID, dies_at
    act(lent.ledger)
    assert {key: amount for key, amount in lent.balances().items() if key[0].startswith(("cash/", "unclaimed/"))} == PAID
    assert act(lent.ledger).booked_before
    assert_sound(lent)


PAID = {("unclaimed/ivy", "EUR"): 220, ("cash/sam", "EUR"): 110}
