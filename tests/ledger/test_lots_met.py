"""Lots that were posted to are named by their number from then on: nobody looks for them again, and nothing else is different."""

from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.ledger import aurora_names
from bourse.ledger.actions import Account, Transaction
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.keys import sign_batch

from tests.ledger.books_builders import DAY, T, held, issue, lots, opened, post, refused, transfer, txn
from tests.ledger.keys_builders import registered, signer

OPERATIONS = signer("operations")


@pytest.fixture
def books(database: Database) -> AuroraBooks:
    """Of an environment that has met no lot; another one has posted."""
    post(opened(AuroraBooks(database), "ann", "ben", "cat"), issue(100, "ann"))
    return AuroraBooks(database)


def _met(books: AuroraBooks) -> dict[tuple[int, int, int, int], int]:
    return dict(books._names.of(T).lots)


def _there(database: Database) -> dict[tuple[int, int, int, int], int]:
    with database.transaction(T) as cursor:
        return {tuple(key): no for no, *key in cursor.execute("select lot_no, account_no, flavor_no, tagset_no, slot from books.lot")}


def _two(number: int, amount: int = 1) -> list[Transaction]:
    return [txn(transfer(amount, "ann", "ben"), id=f"b{number}"), txn(transfer(amount, "ann", "cat", token_tags={"n": 1}), id=f"c{number}")]


def test_what_a_batch_posted_to_is_met_by_the_numbers_there_are(books: AuroraBooks, database: Database) -> None:
    books.post(T, _two(1), DAY)
    met = _met(books)
    assert len(met) == 2, "ben's and cat's; which of ann's is the oldest is looked for each time"
    assert met.items() <= _there(database).items()


def test_the_next_batch_has_them_by_their_number_and_comes_to_the_same(books: AuroraBooks, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    books.post(T, _two(1), DAY)
    met, asked = _met(books), []
    call = database.call
    monkeypatch.setattr(database, "call", lambda function, arguments, **more: asked.append(arguments[7]) or call(function, arguments, **more))
    books.post(T, _two(2), DAY)
    with database.transaction(T) as cursor:
        row = cursor.execute("select %s::bigint[]", [asked[-1]]).fetchone()
    assert row is not None
    assert set(row[0]) - {0} == set(met.values())
    assert _met(books) == met
    assert (lots(books, "ben"), lots(books, "cat"), held(books, "ann")) == ({"": 2}, {"n=1": 2}, 96)


def test_what_was_rolled_back_is_not_met(books: AuroraBooks) -> None:
    books.post(T, _two(1), DAY, dry_run=True)
    assert _met(books) == {}
    assert refused(lambda: books.post(T, [*_two(2), txn(transfer(99, "ann", "cat"), id="t3")], DAY))[0] == "INSUFFICIENT_FUNDS"
    assert _met(books) == {}


def test_an_account_that_was_closed_elsewhere_gets_nothing_by_the_number_of_its_lot(books: AuroraBooks, elsewhere: AuroraBooks) -> None:
    books.post(T, _two(1), DAY)
    post(books, transfer(1, "ben", "ann"))
    elsewhere.close_account(T, "ben")
    assert refused(lambda: books.post(T, [txn(transfer(1, "ann", "ben"), id="d"), txn(transfer(1, "ann", "cat"), id="e")], DAY))[0] == "ACCOUNT_CLOSED"
    assert held(books, "ann") == 99


def test_more_lots_than_are_remembered_are_forgotten_and_found_again(books: AuroraBooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aurora_names, "_LOTS_MAX", 1)
    for number in range(4):
        books.post(T, _two(number), DAY)
    assert held(books, "ben") == 4
    books._names.bound()
    assert _met(books) == {}


def test_a_signature_covers_the_transactions_and_not_the_lots_that_were_told_with_them(books: AuroraBooks, database: Database) -> None:
    registered(books, "operations")
    asked = _two(1)
    done = books.post(T, asked, DAY, signatures=[sign_batch(OPERATIONS, T, asked)])
    with database.transaction(T) as cursor:
        row: Any = cursor.execute("select txn_nos from books.signature").fetchone()
    assert row == ([one.sequence_number for one in done],)
    assert len(_met(books)) == 2


def test_a_floor_is_told_when_it_changes_and_only_then(books: AuroraBooks, database: Database) -> None:
    books.open_account(T, Account("offer", floor=None))

    def sell(number: int, floor: int) -> None:
        books.post(T, [txn(issue(1, "ann", source="offer", source_floor=floor), id=f"s{number}"), txn(issue(1, "ben"), id=f"b{number}")], DAY)

    for number, floor in enumerate((-10, -10, -12, -12, -10)):
        sell(number, floor)
    with database.transaction(T) as cursor:
        told = [row[0] for row in cursor.execute("select floor from books.told where what = 'f' order by told_no")]
    assert told == [-10, -12, -10]
