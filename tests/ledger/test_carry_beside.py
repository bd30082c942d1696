"""Feeds and declared sums carried with the books: no feed skips anything or loses anything, and sums come to the same."""

from collections.abc import Callable
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict
from bourse.ledger.actions import Account
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_within import signed_by
from bourse.ledger.books import Books, DeclaredSum
from bourse.ledger.feeds import Feed

from tests.ledger.books_builders import DAY, T, day, issue, opened, refused, transfer, txn
from tests.ledger.journal_builders import Store, exported, in_memory, in_postgresql, restored, seal_all, something_of_everything
from tests.ledger.test_carry import again, kinds, texts_of


@pytest.fixture(params=["memory", "aurora"])
def store(request: pytest.FixtureRequest) -> Store:
    return in_memory() if request.param == "memory" else in_postgresql(request.getfixturevalue("database"))


@pytest.fixture(params=["memory", "aurora"])
def other(request: pytest.FixtureRequest) -> Store:
    return in_memory() if request.param == "memory" else in_postgresql(request.getfixturevalue("database"))


def drained(books: Books, tenant: str, feed_id: str, limit: int = 2) -> list[tuple[Any, ...]]:
    """All that the feed still hands out, acknowledged page by page."""
    found: list[tuple[Any, ...]] = []
    while True:
        page = books.feed_page(tenant, feed_id, limit=limit)
        found += [(one.txn_id, getattr(one, "action_no", None), getattr(one, "amount", None)) for one in page.items]
        if page.cursor != page.next_cursor:
            books.ack_feed(tenant, feed_id, page.cursor, page.next_cursor)
        if not page.items:
            return found


def seven(books: Books, tenant: str = T) -> None:
    """Seven transactions of one or two actions."""
    for number in range(7):
        books.post(tenant, [txn(*[issue(1 + number, "ann")] * (1 + number % 2), id=f"x{number}")], DAY)


@pytest.mark.parametrize("acknowledged", range(13))
@pytest.mark.parametrize("kind", ["actions", "transactions"])
def test_a_carried_feed_hands_out_just_what_was_not_acknowledged(store: Store, other: Store, kind: Any, acknowledged: int) -> None:
    opened(store.books, "ann", "ben")
    store.books.open_feed(T, Feed("f", kind, "", start="beginning"))
    seven(store.books)
    seal_all(store, most=5)
    page = store.books.feed_page(T, "f", limit=100)
    if acknowledged:
        store.books.ack_feed(T, "f", page.cursor, [*page.cursors, page.next_cursor][min(acknowledged, len(page.items) + 1) - 1])
    lines = exported(store)
    assert restored(other, lines, "t2").state == store.journal.state_hash(T)
    assert other.books.feeds("t2") == store.books.feeds(T)
    for books, tenant in ((store.books, T), (other.books, "t2")):
        books.post(tenant, [txn(transfer(1, "ann", "ben"), id="after")], DAY)
    left = drained(store.books, T, "f")
    assert left == drained(other.books, "t2", "f")
    assert len(left) == len(page.items) - min(acknowledged, len(page.items)) + 1
    assert drained(other.books, "t2", "f") == []


def test_a_feed_from_now_on_stands_at_the_end_and_goes_on(store: Store, other: Store) -> None:
    opened(store.books, "ann", "ben")
    seven(store.books)
    store.books.open_feed(T, Feed("later", "transactions", "tags.a = $1", (1,)))
    restored(other, exported(store), "t2")
    assert drained(other.books, "t2", "later") == []
    other.books.post("t2", [txn(issue(1, "ann"), id="a", tags={"a": 1}), txn(issue(1, "ann"), id="b", tags={"a": 2})], DAY)
    assert drained(other.books, "t2", "later") == [("a", None, None)]
    other.books.open_feed("t2", Feed("later", "transactions", "tags.a = $1", (1,)))
    with pytest.raises(Conflict):
        other.books.open_feed("t2", Feed("later", "transactions", "tags.a = $1", (1,), start="beginning"))


def test_what_was_being_written_when_a_feed_was_opened_is_not_lost(database: Database, app_dsn: str) -> None:
    """What committed after the opening is handed out; so is once more what was there already and comes after it."""
    store, slow = in_postgresql(database), Database(app_dsn)
    opened(store.books, "ann", "ben")
    books = AuroraBooks(slow)
    held_back = [txn(issue(1, "ann"), id="slow")]
    trust = books.trust(T, None)
    books.prepare(T, [Account("ann")], [], ())

    with books.transaction(T) as cursor:
        cursor.execute("select pg_current_xact_id()")
        store.books.post(T, [txn(issue(2, "ann"), id="quick")], DAY)
        store.books.open_feed(T, Feed("f", "transactions"))
        store.books.post(T, [txn(issue(3, "ann"), id="later")], DAY)
        early = exported(store)
        books.post_in(cursor, held_back, signed_by(None, trust, T, held_back, DAY), DAY, closely=True)
    late = exported(store)
    slow.close()
    restored(store, early, "early")
    restored(store, late, "late")
    assert [one[0] for one in drained(store.books, "early", "f")] == ["later"]
    assert [one[0] for one in drained(store.books, T, "f")] == ["slow", "later"]
    assert [one[0] for one in drained(store.books, "late", "f")] == ["slow", "quick", "later"]


def test_declared_sums_come_to_the_same_and_are_kept_on(store: Store, other: Store) -> None:
    something_of_everything(store)
    restored(other, exported(store), "t2")
    assert other.books.declared_sums("t2") == store.books.declared_sums(T)
    for _ in range(2):
        for name in ("by-account", "loans"):
            assert other.books.read_sum("t2", name) == store.books.read_sum(T, name) != []
        for books, tenant in ((store.books, T), (other.books, "t2")):
            books.post(tenant, [txn(transfer(3, "ann", "ben"), id="next", at=day(5))], day(5))
            books.tag_flavor(tenant, "loan", {"x": 2})


def test_an_import_beside_a_feed_or_sum_of_something_else_is_refused(store: Store, other: Store) -> None:
    something_of_everything(store)
    lines = exported(store)
    other.books.declare_sum("t2", DeclaredSum("loans", "flavor_id = 'usd'"))
    other.books.open_feed("t3", Feed("all", "transactions"))
    other.books.declare_sum("t4", DeclaredSum("more"))
    for tenant, kind in (("t2", "sum"), ("t3", "feed"), ("t4", "")):
        code, field = refused(lambda tenant=tenant: restored(other, lines, tenant))
        assert code == "BOOKS_DIFFER"
        assert field == "state" if not kind else kinds(lines)[int((field or "").split(".")[1]) - 1] == kind
    other.books.drop_sum("t2", "loans")
    other.books.declare_sum("t2", DeclaredSum("loans", "flavor_id = 'loan'"))
    assert restored(other, lines, "t2").state == store.journal.state_hash(T)


@pytest.mark.parametrize(
    ("was", "is_"),
    [
        ('"filter":"kind = $1"', '"filter":"kind = $2"'),
        ('"kind":"transactions","filter"', '"kind":"tokens","filter"'),
        ('"start":"now"', '"start":"then"'),
        ('"seq":1', '"seq":0'),
        ('"seq":1', '"seq":true'),
        ('"filter":"flavor_id = \'loan\'"', '"filter":"amount > 5"'),
        ('"group_by":["account_id", "tags.n"]', '"group_by":["amount"]'),
    ],
)
def test_a_feed_or_sum_that_cannot_be_is_refused_with_its_line(store: Store, was: str, is_: str) -> None:
    made = in_memory()
    something_of_everything(made)
    texts = [text for text in texts_of(exported(made)) if '"block"' not in text]
    number = next(place for place, text in enumerate(texts, 1) if was in text and text.startswith(('{"entry":"feed"', '{"entry":"sum"')))
    texts[number - 1] = texts[number - 1].replace(was, is_, 1)
    assert refused(lambda: restored(store, again(texts))) == ("LINE_INVALID", f"lines.{number}")


def test_a_feed_that_stands_after_an_unknown_transaction_is_refused(store: Store) -> None:
    made: Callable[[], Store] = in_memory
    source = made()
    something_of_everything(source)
    texts = [text for text in texts_of(exported(source)) if '"block"' not in text]
    number = next(place for place, text in enumerate(texts, 1) if text.startswith('{"entry":"feed","feed_id":"from-now"'))
    texts[number - 1] = texts[number - 1].replace('"after":"last"', '"after":"unknown"')
    assert refused(lambda: restored(store, again(texts))) == ("BOOKS_DIFFER", f"lines.{number}")
