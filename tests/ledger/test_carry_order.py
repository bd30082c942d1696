"""The order of the journal: whatever an entry speaks of was told before it, whoever came between the writes of a transaction."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.ledger.actions import Account, Expect, Flavor
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.aurora_within import signed_by
from bourse.ledger.carry import Journal
from bourse.ledger.journal import FloorTold, entry_of

from tests.ledger.books_builders import DAY, T, held, issue, opened, transfer, txn
from tests.ledger.journal_builders import Store, exported, in_memory, in_postgresql, restored, seal_all
from tests.ledger.test_carry import texts_of


class Overtaken(AuroraBooks):
    """Books of which another connection opens an account and a flavor between the first two transactions of a posting."""

    between: Any = staticmethod(lambda: None)

    def _decide(self, *asked: Any, **more: Any) -> Any:
        found = super()._decide(*asked, **more)
        self.between()
        return found


@pytest.fixture
def store(database: Database) -> Store:
    made = in_postgresql(database)
    opened(made.books, "ann", "ben", Account("loans", floor=None), flavors=("usd", "loan"))
    return made


@pytest.fixture
def connect(app_dsn: str) -> Iterator[Callable[[], Database]]:
    """Opens further connections to the test's database."""
    made: list[Database] = []

    def one() -> Database:
        made.append(Database(app_dsn))
        return made[-1]

    yield one
    for each in made:
        each.close()


def carried(store: Store, database: Database, most: int) -> list[Journal]:
    """The journals of other stores with the same books, sealed so many entries a block before."""
    seal_all(store, most=most)
    lines, found = exported(store), []
    for fresh, tenant in ((in_memory(), T), (in_postgresql(database), f"{T}.{most}")):
        assert restored(fresh, lines, tenant).state == store.journal.state_hash(T)
        found.append(fresh.journal)
    assert list(AuroraChecker(database).differences(T)) == []
    assert list(AuroraChecker(database).differences(f"{T}.{most}")) == []
    return found


@pytest.mark.parametrize("most", [1, 1_000])
def test_what_names_an_account_that_was_opened_meanwhile_comes_after_it(store: Store, database: Database, connect: Callable[[], Database], most: int) -> None:
    books = Overtaken(connect())
    guard = (Expect("account_id = 'ben'", count=0),)
    moves = [txn(issue(5, "ann"), id="first"), txn(issue(7, "new", "gold"), id="second", expect=guard), txn(transfer(3, "new", "ann", "gold"), id="third")]

    def open_both() -> None:
        store.books.open_account(T, Account("new"))
        store.books.open_flavor(T, Flavor("gold"))

    books.between = open_both
    books.post(T, moves, DAY)
    assert (held(store.books, "ann"), held(store.books, "new", "gold")) == (5, 4)
    texts = texts_of(exported(store))
    place = {name: next(n for n, text in enumerate(texts) if name in text) for name in ('"account_id":"new"', '"flavor_id":"gold"', '"txn_id":"first"')}
    assert place['"account_id":"new"'] < place['"txn_id":"first"'] > place['"flavor_id":"gold"']
    carried(store, database, most)


def test_a_posting_that_names_an_account_and_a_flavor_of_one_name_is_done_once(store: Store, database: Database) -> None:
    store.books.open_account(T, Account("usd"))
    guard = (Expect("account_id = 'ben'", count=0),)
    store.books.post(T, [txn(issue(5, "ann"), id="first", expect=guard), txn(issue(7, "usd"), id="second")], DAY)
    assert held(store.books, "usd") == 7
    carried(store, database, 1_000)


@pytest.mark.parametrize("most", [1, 2, 1_000])
def test_the_floor_that_was_set_last_is_told_last(store: Store, database: Database, connect: Callable[[], Database], most: int) -> None:
    """Who waits for a lot has his xid before the one he waits for: told by it alone, the older floor would stand after an import."""
    books = AuroraBooks(connect())
    books.prepare(T, (), (), ())
    asked = [txn(issue(10, "ann", "loan", source="loans", source_floor=-900), id="waited")]
    signed = signed_by(None, books.trust(T, None), T, asked, DAY)
    books.prepare(T, [Account("ann"), Account("loans", floor=None)], [Flavor("loan")], ())
    with books.transaction(T) as cursor:
        cursor.execute("select pg_current_xact_id()")
        AuroraBooks(connect()).post(T, [txn(issue(20, "ann", "loan", source="loans", source_floor=-600), id="came-first")], DAY)
        books.post_in(cursor, asked, signed, DAY)
    told = [entry for text in texts_of(exported(store)) if '"entry":"floor"' in text and isinstance(entry := entry_of(text), FloorTold)]
    assert [one.floor for one in told] == [-600, -900]
    carried(store, database, most)


def test_who_sets_floors_at_once_leaves_a_journal_that_comes_to_the_same_floors(store: Store, database: Database, connect: Callable[[], Database]) -> None:
    def issuer(number: int, books: AuroraBooks) -> None:
        for turn in range(15):
            floor = -1_000 - (turn * 7 + number * 3) % 11
            books.post(T, [txn(issue(1, "ann", "loan", source="loans", source_floor=floor), id=f"{number}.{turn}")], DAY)

    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(issuer, number, AuroraBooks(connect())) for number in range(4)]:
            one.result()
    carried(store, database, 7)
