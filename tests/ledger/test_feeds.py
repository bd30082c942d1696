"""Lists of transactions, accounts and flavors, and feeds that hand out every transaction, in one order, until it is acknowledged."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Thread
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict
from bourse.ledger.actions import Account, Flavor, Reserve, Reverse
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books, Question
from bourse.ledger.feeds import Feed, FeedPage, cursor_at, position_of

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, day, issue, opened, post, refused, retire, transfer
from tests.ledger.killing import deaths


@pytest.fixture
def books(empty_books: Books) -> Books:
    return opened(empty_books, "ann", "ben", Account("cat", {"type": "investor", "city": "Riga"}), flavors=("usd", Flavor("loan", {"type": "loan"})))


# Lists


def names(books: Books, where: str = "", *params: Any) -> list[str]:
    return [one.txn_id for one in books.transactions(T, Question(where, params)).items]


def test_transactions_are_listed_newest_first_with_their_actions(books: Books) -> None:
    post(books, issue(100, "ann", token_tags={"n": 1}), transfer(40, "ann", "ben"), id="a", kind="deposit", tags={"wire": "w1"}, correlation_id="c1")
    post(books, Reserve("h", "usd", 1, "ann"), id="b")
    post(books, Reverse("a", amounts=((1, 5),)), id="c", at=day(1))
    newest, held, first = books.transactions(T, Question()).items
    assert (newest.txn_id, newest.reverses, newest.effective_at) == ("c", ("a",), day(1))
    assert (held.txn_id, held.actions) == ("b", ())
    assert (first.txn_id, first.kind, dict(first.tags), first.correlation_id, first.reversed_by) == ("a", "deposit", {"wire": "w1"}, "c1", ("c",))
    assert [(one.action_no, one.type, one.amount, one.destination) for one in first.actions] == [(0, "issue", 100, "ann"), (1, "transfer", 40, "ben")]
    assert first.actions[0].sequence_number == first.sequence_number < held.sequence_number


def test_transactions_are_asked_for_by_what_they_are_and_by_one_of_their_actions(books: Books) -> None:
    books.tag_account(T, "ben", {"type": "investor"})
    first = post(books, issue(100, "ann"), issue(5, "ben", action_tags={"why": "gift"}), id="a", kind="deposit", tags={"wire": "w1"})
    post(books, issue(7, "ann", action_tags={"why": "gift"}), id="b", at=day(1))
    post(books, retire(1, "ben"), id="c", at=day(2))
    assert names(books, "tags.wire = $1", "w1") == ["a"]
    assert names(books, "NOT tags.wire = $1", "w1") == ["c", "b"]
    assert names(books, "kind = 'deposit' OR id = 'c'") == ["c", "a"]
    assert names(books, "timestamp >= $1", day(1).isoformat()) == ["c", "b"]
    assert names(books, "sequence_number <= $1", first.sequence_number) == ["a"]
    assert names(books, "actions(tags.why = 'gift')") == ["b", "a"]
    assert names(books, "actions(tags.why = 'gift' AND amount = 100)") == [], "one action has to match all of it"
    assert names(books, "actions(tags.why = 'gift') AND actions(amount = 100)") == ["a"]
    assert names(books, "actions(snapshot.destinationAccountTags.type = 'investor')") == ["a"]
    assert names(books, "actions(snapshot.transactionTags.wire = $1) AND NOT actions(type = 'retire')", "w1") == ["a"]
    assert names(books, "NOT actions(type = 'issue')") == ["c"]
    assert refused(lambda: names(books, "actions(nothing = 1)"))[0] == "FILTER_INVALID"
    assert refused(lambda: names(books, "kind = $1"))[0] == "FILTER_PARAMS"


def test_pages_of_transactions_show_each_once_while_others_write(books: Books) -> None:
    for number in range(12):
        post(books, issue(1, "ann"), id=f"t{number:02}", kind="kept")
    seen: list[str] = []
    cursor = None
    while True:
        page = books.transactions(T, Question("kind = 'kept'"), cursor=cursor, limit=5)
        seen += [one.txn_id for one in page.items]
        post(books, issue(1, "ann"), kind="kept")
        if (cursor := page.cursor) is None:
            break
    assert seen == [f"t{number:02}" for number in range(11, -1, -1)]


def test_accounts_and_flavors_are_listed_by_name_and_by_filter(books: Books) -> None:
    books.close_account(T, "ann")
    assert [(one.account_id, one.closed) for one in books.accounts(T, Question()).items] == [("ann", True), ("ben", False), ("cat", False), ("world", False)]
    post(books, issue(1, "ben"))
    assert books.accounts(T, Question("id = 'world'")).items == [Account("world", floor=None, hot=True)]
    assert books.accounts(T, Question("tags.city = $1", ("Riga",))).items == [Account("cat", {"type": "investor", "city": "Riga"})]
    assert books.flavors(T, Question("tags.type = 'loan'")).items == [Flavor("loan", {"type": "loan"})]
    assert [one.flavor_id for one in books.flavors(T, Question("NOT tags.type = 'loan'")).items] == ["usd"]
    for read, expected in ((books.accounts, ["ann", "ben", "cat", "world"]), (books.flavors, ["loan", "usd"])):
        seen, cursor = [], None
        for _ in expected:
            page: Any = read(T, Question(), cursor=cursor, limit=1)
            seen += [getattr(one, "account_id", None) or one.flavor_id for one in page.items]
            cursor = page.cursor
        assert (seen, cursor) == (expected, None)
    assert books.accounts("t2", Question("NOT id = 'world'")).items == []


@pytest.mark.parametrize("cursor", ["x", "AAAA", "bnVsbA", "é", "[" * 100, "WyJhIl0x"])
def test_a_made_up_cursor_of_a_list_is_refused(books: Books, cursor: str) -> None:
    for read in (books.transactions, books.accounts, books.flavors):
        assert refused(lambda read=read: read(T, Question(), cursor=cursor))[0] == "CURSOR_INVALID"


# Feeds


def ids(page: FeedPage[Any]) -> list[str]:
    return [one.txn_id for one in page.items]


def consume(books: Books, feed_id: str, limit: int = 100) -> list[str]:
    page = books.feed_page(T, feed_id, limit=limit)
    books.ack_feed(T, feed_id, page.cursor, page.next_cursor)
    return ids(page)


def test_a_feed_hands_out_what_comes_after_it_was_opened_until_it_is_acknowledged(books: Books) -> None:
    post(books, issue(1, "ann"), id="before")
    books.open_feed(T, Feed("f", "transactions"))
    books.open_feed(T, Feed("all", "transactions", start="beginning"))
    assert ids(books.feed_page(T, "f")) == []
    for name in ("a", "b", "c"):
        post(books, issue(1, "ann"), id=name)
    page = books.feed_page(T, "f")
    assert (ids(page), ids(books.feed_page(T, "f"))) == (["a", "b", "c"], ["a", "b", "c"]), "nobody has said that he has them"
    books.ack_feed(T, "f", page.cursor, page.cursors[0])
    assert ids(books.feed_page(T, "f")) == ["b", "c"]
    assert consume(books, "f", 1) == ["b"]
    assert (consume(books, "f"), consume(books, "f")) == (["c"], [])
    assert consume(books, "all") == ["before", "a", "b", "c"]


def test_a_feed_of_actions_is_by_filter_and_an_action_of_several_lots_is_several_items(books: Books) -> None:
    books.open_feed(T, Feed("out", "actions", "source_account_id = $1", ("ann",)))
    post(books, issue(10, "ann", token_tags={"n": 1}), issue(10, "ann", token_tags={"n": 2}), transfer(15, "ann", "ben"), id="a")
    post(books, transfer(5, "ann", "ben"), id="b")
    page = books.feed_page(T, "out", limit=2)
    assert [(one.txn_id, one.amount) for one in page.items] == [("a", 10), ("a", 5)]
    books.ack_feed(T, "out", page.cursor, page.cursors[0])
    assert [(one.txn_id, one.amount) for one in books.feed_page(T, "out").items] == [("a", 5), ("b", 5)]


def test_a_feed_moves_on_past_what_does_not_match(books: Books) -> None:
    books.open_feed(T, Feed("f", "transactions", "kind = 'rare'"))
    for _ in range(5):
        post(books, issue(1, "ann"))
    page = books.feed_page(T, "f")
    assert (page.items, page.cursor == page.next_cursor) == ([], False)
    books.ack_feed(T, "f", page.cursor, page.next_cursor)
    post(books, issue(1, "ann"), id="x", kind="rare")
    assert consume(books, "f") == ["x"]


def test_of_two_who_acknowledge_the_same_page_one_does(books: Books) -> None:
    books.open_feed(T, Feed("f", "transactions"))
    for name in ("a", "b"):
        post(books, issue(1, "ann"), id=name)
    page = books.feed_page(T, "f")
    books.ack_feed(T, "f", page.cursor, page.cursors[0])
    for new in (page.cursors[0], page.next_cursor):
        with pytest.raises(Conflict) as caught:
            books.ack_feed(T, "f", page.cursor, new)
        assert (caught.value.code, caught.value.field) == ("FEED_MOVED_ON", "old_cursor")
    assert consume(books, "f") == ["b"]


def test_a_feed_goes_neither_back_nor_beyond_what_it_handed_out(books: Books) -> None:
    books.open_feed(T, Feed("f", "transactions"))
    post(books, issue(1, "ann"), id="a")
    first = books.feed_page(T, "f")
    books.ack_feed(T, "f", first.cursor, first.next_cursor)
    assert refused(lambda: books.ack_feed(T, "f", first.next_cursor, first.cursor)) == ("CURSOR_INVALID", "new_cursor")
    for beyond in (cursor_at((2**60, 0, 0)), cursor_at((2**60, 1, 2**31 - 1)), "x", cursor_at((-1, 0, 0)), cursor_at((1, 1, 2**31))):
        assert refused(lambda beyond=beyond: books.ack_feed(T, "f", first.next_cursor, beyond))[0] == "CURSOR_INVALID"


def test_a_feed_opened_again_stays_and_another_under_its_name_is_a_conflict(books: Books) -> None:
    feed = Feed("f", "actions", "amount > $1", (5,))
    books.open_feed(T, feed)
    post(books, issue(6, "ann"), id="a")
    books.open_feed(T, feed)
    books.open_feed(T, Feed("g", "actions", "tags.is = $1", (1,)))
    for other in (Feed("f", "actions"), Feed("g", "actions", "tags.is = $1", (True,))):  # 1 and true are equal to Python only
        with pytest.raises(Conflict, match="FEED_DIFFERS"):
            books.open_feed(T, other)
    books.drop_feed(T, "g")
    assert (consume(books, "f"), books.feeds(T), books.feeds("t2")) == (["a"], [feed], [])
    assert refused(lambda: books.feed_page("t2", "f")) == ("FEED_UNKNOWN", "feed_id")
    books.drop_feed(T, "f")
    books.drop_feed(T, "f")
    assert refused(lambda: books.feed_page(T, "f")) == ("FEED_UNKNOWN", "feed_id")
    assert refused(lambda: books.ack_feed(T, "f", *[_cursor(books)] * 2)) == ("FEED_UNKNOWN", "feed_id")


def _cursor(books: Books) -> str:
    books.open_feed(T, Feed("other", "actions"))
    return books.feed_page(T, "other").cursor


@pytest.mark.parametrize(
    ("feed", "code"),
    [
        (Feed("f", "tokens"), "FEED_INVALID"),
        (Feed("f", "actions", start="later"), "FEED_INVALID"),
        (Feed("a b", "actions"), "NAME_INVALID"),
        (Feed("f", "actions", "kind = 'x'"), "FILTER_INVALID"),
        (Feed("f", "actions", "amount = $1"), "FILTER_PARAMS"),
    ],
)
def test_a_wrong_feed_is_refused(books: Books, feed: Feed, code: str) -> None:
    assert refused(lambda: books.open_feed(T, feed))[0] == code
    assert books.feeds(T) == []


# Feeds while others commit


@pytest.fixture
def aurora_books(database: Database) -> AuroraBooks:
    made = AuroraBooks(database)
    opened(made, "ann", "ben", "cat", "dan")
    return made


@contextmanager
def one_who_waits(database: FreshDatabase) -> Iterator[None]:
    """Meanwhile the transaction `slow` has its id and waits for a lot; then it is posted."""
    with closing(Database(database.app_dsn)) as slow, psycopg.connect(database.migrated_dsn) as owner:
        owner.execute("select from books.lot where floor is not null for update")
        thread = Thread(target=lambda: post(AuroraBooks(slow), transfer(5, "ann", "ben"), id="slow"))
        thread.start()
        try:
            database.until_somebody_waits()
            yield
        finally:
            owner.rollback()
            thread.join()


def test_what_commits_late_is_not_skipped(fresh_database: FreshDatabase, aurora_books: AuroraBooks) -> None:
    """A transaction has its id, waits for a lot, and meanwhile later ones commit: the feed waits for it and tells it first."""
    books = aurora_books
    post(books, issue(100, "ann"), issue(1, "ben"), id="before")
    books.open_feed(T, Feed("f", "transactions"))
    books.open_feed(T, Feed("actions", "actions"))
    with one_who_waits(fresh_database):
        for name in ("quick1", "quick2"):
            post(books, issue(1, "dan"), id=name)
        assert names(books)[:2] == ["quick2", "quick1"], "they are committed"
        held_back = books.feed_page(T, "f")
        assert ids(held_back) == []
        books.ack_feed(T, "f", held_back.cursor, held_back.next_cursor)
    assert ids(books.feed_page(T, "f")) == ids(books.feed_page(T, "actions")) == ["slow", "quick1", "quick2"]


def test_a_feed_that_starts_while_somebody_commits_begins_with_him(fresh_database: FreshDatabase, aurora_books: AuroraBooks) -> None:
    """What was committed when it was opened is not told, also where an older transaction still runs; that one is."""
    books = aurora_books
    post(books, issue(100, "ann"), issue(1, "ben"))
    with one_who_waits(fresh_database):
        post(books, issue(1, "dan"), id="there")
        books.open_feed(T, Feed("f", "transactions"))
    post(books, issue(1, "dan"), id="later")
    assert ids(books.feed_page(T, "f")) == ["slow", "later"]


def test_two_consumers_beside_four_writers_miss_nothing_and_share_nothing(fresh_database: FreshDatabase, aurora_books: AuroraBooks) -> None:
    """Both read the same feed; who acknowledges a page has it, the other reads again. Together they have each transaction once, in one order."""
    aurora_books.open_feed(T, Feed("f", "transactions", "kind = 'told'"))
    writers, each = 4, 40

    def write(number: int) -> None:
        database = Database(fresh_database.app_dsn)
        mine = AuroraBooks(database)
        for turn in range(each):
            post(mine, issue(1, ("ann", "ben", "cat", "dan")[(number + turn) % 4]), id=f"w{number}.{turn}", kind="told" if turn % 4 else "quiet")
        database.close()

    def read(number: int) -> list[tuple[str, list[str]]]:
        database = Database(fresh_database.app_dsn)
        mine, had = AuroraBooks(database), []
        while not writing.done() or mine.feed_page(T, "f").items:
            page = mine.feed_page(T, "f", limit=3 + 4 * number)
            try:
                mine.ack_feed(T, "f", page.cursor, page.next_cursor)
            except Conflict:
                continue
            had.append((page.cursor, ids(page)))
        database.close()
        return had

    with ThreadPoolExecutor(8) as pool:
        posting = [pool.submit(write, number) for number in range(writers)]
        writing = pool.submit(lambda: [one.result() for one in posting])
        readers = [pool.submit(read, number) for number in range(2)]
        had = [page for reader in readers for page in reader.result()]
    told = [name for _, page in had for name in page]
    assert len(told) == len(set(told))
    assert set(told) == {f"w{number}.{turn}" for number in range(writers) for turn in range(each) if turn % 4}
    aurora_books.open_feed(T, Feed("again", "transactions", "kind = 'told'", start="beginning"))
    in_order = [name for _, page in sorted(had, key=lambda one: (position_of(one[0]), one[1])) for name in page]
    assert in_order == ids(aurora_books.feed_page(T, "again", limit=1_000)), "every feed tells them in the same order"


def test_a_consumer_killed_at_any_statement_is_told_again(aurora_books: AuroraBooks, fresh_database: FreshDatabase) -> None:
    aurora_books.open_feed(T, Feed("f", "transactions"))
    for name in ("a", "b"):
        post(aurora_books, issue(1, "ann"), id=name, at=DAY)

    def consumed(mine: AuroraBooks) -> None:
        assert consume(mine, "f") == ["a", "b"]

    killed = 0
    for _ in deaths(fresh_database.app_dsn, consumed):
        killed += 1
        assert ids(aurora_books.feed_page(T, "f")) == ["a", "b"]
    assert killed >= 5
    assert ids(aurora_books.feed_page(T, "f")) == []
