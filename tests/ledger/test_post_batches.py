"""Batch after batch over one connection: what `post` promises for each, and that the next is never sent before the answer to the last."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from itertools import count

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Unavailable
from bourse.ledger.actions import Account, Flavor, Transaction
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books
from bourse.ledger.keys import Signature, sign_batch

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, day, held, issue, lots, opened, picture, refused, transfer, txn
from tests.ledger.cutting_proxy import CuttingProxy, Loses
from tests.ledger.keys_builders import registered

Batches = list[list[Transaction]]


@pytest.fixture
def books(empty_books: Books) -> Books:
    return opened(empty_books, "ann", "ben", "cat")


def batches(size: int = 4, of: int = 3) -> Batches:
    """Dollars are made for ann, who gives each time one to ben: of many times and of one, tagged and not."""
    made: Batches = [[txn(issue(1_000, "ann"), id="seed")]]
    for number in range(1, size):
        moves = [txn(transfer(1, "ann", "ben", token_tags={"n": number} if each else {}), id=f"b{number}.{each}", at=day(each)) for each in range(of)]
        made.append(moves)
    return made


def test_each_batch_is_posted_as_if_it_came_alone(books: Books) -> None:
    asked = batches()
    answers = list(books.post_batches(T, asked, DAY))
    assert [[one.txn_id for one in answer] for answer in answers] == [[one.txn_id for one in batch] for batch in asked]
    assert [one.sequence_number for answer in answers for one in answer] == sorted({one.sequence_number for answer in answers for one in answer})
    assert (held(books, "ann"), held(books, "ben")) == (1_000 - 9, 9)
    assert lots(books, "ben") == {"": 3, "n=1": 2, "n=2": 2, "n=3": 2}


def test_again_it_answers_the_same_and_changes_nothing(books: Books) -> None:
    first = list(books.post_batches(T, batches(), DAY))
    before = picture(books)
    again = list(books.post_batches(T, batches(), DAY + timedelta(hours=1)))
    assert [[(one.txn_id, one.sequence_number, one.recorded_at) for one in answer] for answer in again] == [
        [(one.txn_id, one.sequence_number, one.recorded_at) for one in answer] for answer in first
    ]
    assert all(one.before for answer in again for one in answer)
    assert picture(books) == before


def test_what_is_refused_stops_what_comes_after_and_nothing_before(books: Books) -> None:
    asked = batches()
    asked[2].append(txn(transfer(5_000, "ann", "ben"), id="too-much"))
    answers = books.post_batches(T, asked, DAY)
    assert [len(next(answers)) for _ in range(2)] == [1, 3]
    assert refused(lambda: next(answers))[0] == "INSUFFICIENT_FUNDS"
    assert held(books, "ben") == 3
    assert len(list(books.post_batches(T, batches(), DAY))) == 4, "the books take the next"


def test_no_batch_and_an_empty_batch_post_nothing(books: Books) -> None:
    assert list(books.post_batches(T, [], DAY)) == []
    assert list(books.post_batches(T, [[], *batches(2), []], DAY))[::3] == [(), ()]


def test_batches_are_taken_as_they_are_needed(books: Books) -> None:
    taken: list[int] = []

    def made() -> Iterator[list[Transaction]]:
        for number, batch in enumerate(batches(9)):
            taken.append(number)
            yield batch

    answers = books.post_batches(T, made(), DAY)
    for answered in range(6):
        assert len(next(answers)) > 0
        assert len(taken) <= answered + 2, "no more than the one that is made ready"


def test_who_stops_asking_finds_at_most_one_more_posted_and_the_books_free(books: Books) -> None:
    answers = books.post_batches(T, batches(9), DAY)
    assert [len(next(answers)) for _ in range(3)] == [1, 3, 3]
    del answers
    assert held(books, "ben") in {6, 9}


def test_a_batch_may_need_what_the_batch_before_it_changed(books: Books) -> None:
    """Accounts that were never named, a filter, a source that holds nothing yet, one that others' tokens are issued from."""
    opened(books, "dan", "eva", Account("pool", floor=None, hot=True), flavors=("eur",))
    asked = [
        [txn(issue(50, "dan", "eur", source="pool"), id="a")],
        [txn(transfer(20, "dan", "eva", "eur", token_tags={"k": 1}), id="b")],
        [txn(transfer(5, "eva", "dan", "eur", where="tags.k = 1"), id="c")],
        [txn(transfer(15, "eva", "ann", "eur"), id="d"), txn(transfer(15, "ann", "eva", "eur"), id="e")],
    ]
    assert [len(one) for one in books.post_batches(T, asked, DAY)] == [1, 1, 1, 2]
    assert (held(books, "dan", "eur"), held(books, "eva", "eur"), held(books, "ann", "eur")) == (35, 15, 0)


def test_each_batch_is_signed(books: Books) -> None:
    [signer] = registered(books, "k1")
    books.open_account(T, Account("safe", key_ids=("k1",)))

    def sign(batch: Sequence[Transaction]) -> list[Signature]:
        return [sign_batch(signer, T, batch)]

    asked = [[txn(issue(9, "safe"), id="a")], *([txn(transfer(1, "safe", "ben"), id=f"b{n}")] for n in range(3))]
    assert refused(lambda: list(books.post_batches(T, asked, DAY)))[0] == "SIGNATURE_MISSING"
    assert held(books, "safe") == 9, "to give needs none"
    assert len(list(books.post_batches(T, asked, DAY, sign=sign))) == 4
    assert held(books, "safe") == 6
    books.keys.revoke_key(T, "k1", day(1))
    assert refused(lambda: list(books.post_batches(T, [[txn(transfer(1, "safe", "ben"))]], day(2), sign=sign)))[0] == "KEY_REVOKED"


def test_killed_at_any_round_trip_whole_batches_are_posted_and_done_again_all_are(fresh_database: FreshDatabase) -> None:
    proxy, tenants = CuttingProxy(fresh_database.app_dsn), count()
    places: list[tuple[int, Loses]] = [(1, "request"), *((at, "answer") for at in range(1, 60))]
    posted_then = set()
    try:
        for at, loses in places:
            with closing(Database(proxy.dsn)) as database:
                books, tenant = AuroraBooks(database), f"{T}.{next(tenants)}"
                opened_for(books, tenant)
                proxy.arm(at, loses)
                try:
                    list(books.post_batches(tenant, batches(), DAY))
                    done = True
                except Unavailable:
                    done = False
                proxy.disarm()
                with psycopg.connect(fresh_database.migrated_dsn) as owner:
                    found = owner.execute("select txn_id from books.txn where tenant_id = %s", [tenant]).fetchall()
                whole = [{one.txn_id for one in batch} for batch in batches()]
                names = {name for (name,) in found}
                posted_then.add(len(names))
                assert names in [set().union(*whole[:end]) for end in range(len(whole) + 1)], f"part of a batch when the {loses} of round trip {at} was lost"
                assert not done or len(names) == 10
                assert [len(one) for one in books.post_batches(tenant, batches(), DAY)] == [1, 3, 3, 3]
                if not proxy.cut:
                    break
    finally:
        proxy.close()
    assert posted_then == {0, 1, 4, 7, 10}


def opened_for(books: Books, tenant: str) -> None:
    books.open_flavor(tenant, Flavor("usd"))
    for name in ("ann", "ben", "cat"):
        books.open_account(tenant, Account(name))
