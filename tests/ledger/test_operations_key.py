"""The marketplace signs its own postings: accounts and flavors it opens name its key, and nobody else moves what is in them."""

from collections.abc import Iterator

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.actions import Issue, Retire
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Question
from bourse.ledger.signing import Ed25519Signer, recheck
from bourse.ledger.transfers import deposit, withdraw
from bourse.money import Money

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import CLOCK, DAY, T, txn

SIGNER = Ed25519Signer("operations", bytes(range(32)))
"""Of this test only."""


@pytest.fixture
def database(fresh_database: FreshDatabase) -> Iterator[Database]:
    made = Database(fresh_database.app_dsn)
    yield made
    made.close()


def test_every_posting_of_the_marketplace_stands_on_one_signature_of_its_key(database: Database) -> None:
    ledger, books = AuroraLedger(database, lambda: SIGNER), AuroraBooks(database)
    for does, amount, name in ((deposit, 900, "in"), (withdraw, 250, "out"), (deposit, 900, "in")):
        does(T, "ada", Money(amount, "USD"), "wire", name, ledger=ledger, clock=CLOCK, window_seconds=30)
    kept = books.keys.kept(T)
    assert [one.key_id for one in kept] == ["operations"] * 2, "what is told again is not posted again"
    [version] = books.keys.versions(T, "operations")
    assert [recheck(T, one, version) for one in kept] == [None, None]
    assert [one.key_ids for one in books.accounts(T, Question("id = $1", ("cash/ada",))).items] == [("operations",)]


def test_what_the_marketplace_opened_nobody_moves_without_its_key(database: Database) -> None:
    deposit(T, "ada", Money(900, "USD"), "wire", "in", ledger=AuroraLedger(database, lambda: SIGNER), clock=CLOCK, window_seconds=30)
    books = AuroraBooks(database)
    for action in (Retire("USD", 1, "cash/ada"), Issue("USD", 1, "cash/ada")):
        with pytest.raises(Refused, match="SIGNATURE_MISSING"):
            books.post(T, [txn(action)], DAY)
    with pytest.raises(Refused, match="SIGNATURE_MISSING"):
        withdraw(T, "ada", Money(1, "USD"), "wire", "out", ledger=AuroraLedger(database), clock=CLOCK, window_seconds=30)
