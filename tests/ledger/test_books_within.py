"""A posting inside a caller's transaction of the database: it stands or falls with what else is written there."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.actions import Account, Flavor, Transaction
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_decided import MovedOn
from bourse.ledger.aurora_within import signed_by
from bourse.ledger.needs import tag_sets

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, held, issue, lots, transfer, txn

ANN, BEN = Account("ann"), Account("ben")
USD = Flavor("usd")


@pytest.fixture
def books(fresh_database: FreshDatabase) -> Iterator[AuroraBooks]:
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        owner.execute("create table beside (what text primary key)")
        owner.execute("grant select, insert on beside to bourse_app")
    database = Database(fresh_database.app_dsn)
    made = AuroraBooks(database)
    made.open_missing(T, [ANN, BEN], [USD])
    yield made
    database.close()


def post_with(books: AuroraBooks, asked: Transaction, note: str, *, closely: bool = False) -> None:
    books.prepare(T, [ANN, BEN], [USD], tag_sets(asked))
    signed = signed_by(None, books.trust(T, None), T, [asked], DAY)
    with books.transaction(T) as cursor:
        books.post_in(cursor, [asked], signed, DAY, closely=closely)
        cursor.execute("insert into beside values (%s)", [note])


def beside(books: AuroraBooks) -> list[Any]:
    with books.transaction(T) as cursor:
        return [row[0] for row in cursor.execute("select what from beside order by 1")]


@pytest.mark.parametrize("closely", [False, True])
def test_the_posting_and_what_is_written_beside_it_happen_together_or_not_at_all(books: AuroraBooks, closely: bool) -> None:
    post_with(books, txn(issue(10, "ann", token_tags={"lot": "a"}), id="one"), "one", closely=closely)
    with pytest.raises(MovedOn):  # the note is there already, so somebody else wrote what this was decided by
        post_with(books, txn(issue(5, "ann", token_tags={"lot": "b"}), id="two"), "one", closely=closely)
    with pytest.raises(MovedOn):
        post_with(books, txn(issue(10, "ann", token_tags={"lot": "a"}), id="one"), "again", closely=closely)
    assert (lots(books, "ann"), beside(books)) == ({"lot=a": 10}, ["one"])
    post_with(books, txn(issue(5, "ann", token_tags={"lot": "b"}), id="two"), "two", closely=closely)  # nothing was remembered of what was undone
    assert (lots(books, "ann"), beside(books)) == ({"lot=a": 10, "lot=b": 5}, ["one", "two"])


def test_what_one_call_cannot_settle_is_settled_closely(books: AuroraBooks) -> None:
    for lot in ("a", "b"):
        post_with(books, txn(issue(10, "ann", token_tags={"lot": lot})), lot)
    over_two_lots = txn(transfer(15, "ann", "ben"))
    with pytest.raises(MovedOn):
        post_with(books, over_two_lots, "c")
    post_with(books, over_two_lots, "c", closely=True)
    assert (held(books, "ann"), held(books, "ben"), beside(books)) == (5, 15, ["a", "b", "c"])


def test_a_refusal_undoes_all_and_is_not_remembered(books: AuroraBooks) -> None:
    asked = txn(transfer(15, "ann", "ben"), id="x")
    with pytest.raises(Refused, match="INSUFFICIENT_FUNDS"):
        post_with(books, asked, "c", closely=True)
    books.post(T, [txn(issue(20, "ann"))], DAY)
    post_with(books, asked, "c")
    assert (held(books, "ben"), beside(books)) == (15, ["c"])


def test_names_that_were_not_prepared_are_no_posting(books: AuroraBooks) -> None:
    for asked in (txn(issue(1, "nobody")), txn(issue(1, "ann", "gold")), txn(issue(1, "ann", token_tags={"never": "numbered"}))):
        signed = signed_by(None, books.trust(T, None), T, [asked], DAY)
        with pytest.raises(MovedOn), books.transaction(T) as cursor:
            books.post_in(cursor, [asked], signed, DAY)
    assert held(books, "ann") == 0
