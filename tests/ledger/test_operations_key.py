"""The marketplace signs its own postings: accounts and flavors it opens name its key, and nobody else moves what is in them."""

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.actions import Distribute, Issue, Reserve, Retire, Reverse
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Question
from bourse.ledger.keys import sign_batch
from bourse.ledger.signing import Ed25519Signer, recheck
from bourse.ledger.transfers import deposit, withdraw
from bourse.money import Money

from tests.ledger.books_builders import CLOCK, DAY, T, txn
from tests.ledger.builders import NOON, bid, chunk, pay_in, pay_out, settle
from tests.ledger.flow_builders import HOUR, bounce, failed, paid, repay, request

SIGNER = Ed25519Signer("operations", bytes(range(32)))
"""Of this test only."""


def test_every_posting_of_the_marketplace_stands_on_one_signature_of_its_key(database: Database) -> None:
    ledger, books = AuroraLedger(database, lambda: SIGNER), AuroraBooks(database)
    for does, amount, name in ((deposit, 900, "in"), (withdraw, 250, "out"), (deposit, 900, "in")):
        does(T, "ada", Money(amount, "USD"), "wire", name, ledger=ledger, clock=CLOCK, window_seconds=30)
    kept = books.keys.kept(T)
    assert [one.key_id for one in kept] == ["operations"] * 2, "what is told again is not posted again"
    [version] = books.keys.versions(T, "operations")
    assert [recheck(T, one, version) for one in kept] == [None, None]
    assert [one.key_ids for one in books.accounts(T, Question("id = $1", ("cash/ada",))).items] == [("operations",)]


def test_a_payment_a_withdrawal_in_steps_and_a_reversal_stand_on_it_too(database: Database) -> None:
    ledger, books = AuroraLedger(database, lambda: SIGNER), AuroraBooks(database)
    pay_in(ledger, "ivy", 1010, "d1")
    settle(ledger, chunk(bid(1)))
    repay(ledger, principal=100, interest=50, fee=3, outstanding=1500)
    for number, ends in enumerate((paid, failed)):
        request(ledger, 20, f"r{number}", hour=2)
        ends(ledger, request_id=f"r{number}", hour=2)
    bounce(ledger, "distribution", "p1", hour=3, receivable=True)
    kept = books.keys.kept(T)
    assert [one.key_id for one in kept] == ["operations"] * 8
    [version] = books.keys.versions(T, "operations")
    assert [recheck(T, one, version) for one in kept] == [None] * 8
    names = ("collections/acme", "loans/acme", "receivable/cash/ivy", "claims/ivy-pension/safe")
    assert [one.key_ids for name in names for one in books.accounts(T, Question("id = $1", (name,))).items] == [("operations",)] * 4
    for transaction in (txn(Distribute("EUR", 1, "collections/acme", "loan/acme/L1", retire=False)), txn(Reverse(kept[4].signed[0][0]), at=NOON + 2 * HOUR)):
        with pytest.raises(Refused, match="SIGNATURE_MISSING"):
            books.post(T, [transaction], NOON + 9 * HOUR)


def test_so_do_a_hold_that_gives_way_what_waits_and_what_is_kept_back(database: Database) -> None:
    ledger, books = AuroraLedger(database, lambda: SIGNER), AuroraBooks(database)
    pay_in(ledger, "ivy", 2020, "d1")
    settle(ledger, chunk(bid(1), bid(2, bucket_id="bold")))
    lien = txn(Reserve("lien", "loan/acme/L1", 1000, "claims/ivy-pension/safe"), at=NOON)
    books.post(T, [lien], NOON, signatures=[sign_batch(SIGNER, T, [lien])])
    repay(ledger, "p1", principal=100)
    pay_out(ledger, "ivy", 100, hour=2)
    bounce(ledger, "distribution", "p1", hour=3, receivable=True)
    repay(ledger, "p2", principal=100, hour=4)
    books.close_account(T, "cash/ivy")
    repay(ledger, "p3", principal=100, hour=5)
    found = {one.account_id: one.amount for one in books.tokens(T, Question("account_tags.investor_id = 'ivy'")).items}
    assert found == {"claims/ivy-pension/safe": 900, "claims/ivy-pension/bold": 900, "unclaimed/ivy": 100}
    kept = books.keys.kept(T)
    signed = [txn_id for one in kept for txn_id, *_ in one.signed]
    assert len(signed) == len(books.transactions(T, Question()).items), "one signature each, the recovery's too"
    [version] = books.keys.versions(T, "operations")
    assert {recheck(T, one, version) for one in kept} == {None}
    assert [one.key_ids for one in books.accounts(T, Question("id = 'unclaimed/ivy'")).items] == [("operations",)]


def test_what_the_marketplace_opened_nobody_moves_without_its_key(database: Database) -> None:
    deposit(T, "ada", Money(900, "USD"), "wire", "in", ledger=AuroraLedger(database, lambda: SIGNER), clock=CLOCK, window_seconds=30)
    books = AuroraBooks(database)
    for action in (Retire("USD", 1, "cash/ada"), Issue("USD", 1, "cash/ada")):
        with pytest.raises(Refused, match="SIGNATURE_MISSING"):
            books.post(T, [txn(action)], DAY)
    with pytest.raises(Refused, match="SIGNATURE_MISSING"):
        withdraw(T, "ada", Money(1, "USD"), "wire", "out", ledger=AuroraLedger(database), clock=CLOCK, window_seconds=30)
