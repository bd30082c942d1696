"""Lists walked page by page, to and fro, while others write: what was there when the walk began, each row once, the same in both kinds of books."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import orjson
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.actions import Account, Expect, Flavor, ReleaseHold, Reserve
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_within import signed_by
from bourse.ledger.books import NOW, AsOf, Books, Page, Question
from bourse.ledger.cursors import cursor_of, decode_cursor
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.needs import tag_sets
from bourse.ledger.paging import Asking, Place

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import CLOCK, DAY, T, day, issue, opened, post, refused, retire, transfer, txn

KINDS = ("tokens", "actions", "transactions", "accounts", "flavors")
WHERES = {
    "tokens": ("", "flavor_id = 'usd'", "tags.n = 1 OR tags.n = 2", "amount > 5"),
    "actions": ("", "type = 'issue'", "amount > 9", "destination_account_id IN ('ann', 'ben')"),
    "transactions": ("", "kind = 'kept'", "actions(type = 'issue')"),
    "accounts": ("", "tags.n = 1"),
    "flavors": ("", "NOT tags.n = 1"),
}
TAGS: tuple[dict[str, Any], ...] = (
    {},
    {"n": 1},
    {"n": 2},
    {"n": 10},
    {"n": "ä"},
    {"long name": 1},
    {"a": {"b": [1, "x"]}},
    {"Z": True},
    {"a": None},
    {"é": "\u2028\\"},
)


@pytest.fixture
def books(empty_books: Books) -> Books:
    return opened(empty_books, "ann", "ben", "Cat", "b_c", "b.d", Account("fees", floor=None, hot=True), flavors=("usd", "EUR", Flavor("loan", {"n": 1})))


def lived(books: Books, random: Random, length: int, since: int = 0) -> None:
    """Postings of every kind; some back-dated, some refused."""
    names = ("ann", "ben", "Cat", "b_c", "fees")
    for number in range(since, since + length):
        one, other = random.sample(names, 2)
        flavor, tags = random.choice(("usd", "EUR", "loan")), random.choice(TAGS)
        asked: list[Any] = [issue(random.randrange(1, 20), one, flavor, token_tags=tags)]
        if number % 2:
            asked.append(transfer(random.randrange(1, 15), one, other, flavor, where="amount > 0", carry_tags=True))
        if number % 3 == 0:
            asked.append(retire(1, one, flavor, where="amount > 0"))
        if number % 5 == 0:
            asked.append(Reserve(f"h{number}", flavor, 1, one) if one != "fees" else issue(1, one))
        if number % 7 == 0 and number:
            asked.append(ReleaseHold(f"h{number - number % 5 - 5}"))
        posting = txn(*asked, id=f"t{number}", at=day(random.randrange(6)), kind=random.choice(("kept", "other")))
        tried(lambda posting=posting: books.post(T, [posting], DAY))
        if number % 6 == 0:
            books.open_account(T, Account(f"new/{random.randrange(10**6)}-{number}", {"n": number % 2}))


def tried(does: Callable[[], object]) -> str | None:
    try:
        does()
    except Refused as refused:
        return refused.code
    return None


def ask(books: Books, kind: str, where: str = "", cursor: str | None = None, limit: int = 100, as_of: AsOf = NOW) -> Page[Any]:
    more = (as_of,) if kind == "tokens" else ()
    page: Page[Any] = getattr(books, kind)(T, Question(where), *more, cursor=cursor, limit=limit)
    return page


def whole(books: Books, kind: str, where: str, as_of: AsOf = NOW) -> list[Any]:
    page = ask(books, kind, where, limit=1_000, as_of=as_of)
    assert (page.cursor, page.previous) == (None, None)
    return list(page.items)


def walk(books: Books, kind: str, where: str, random: Random, write: Callable[[], None], as_of: AsOf = NOW) -> tuple[list[Any], list[Any]]:
    """What one who pages forward sees in all, with steps back between; and what there was when he began."""
    there = whole(books, kind, where, as_of)
    page = ask(books, kind, where, limit=random.randrange(1, 20), as_of=as_of)
    assert page.previous is None, "nothing is before the first page"
    seen, pages = list(page.items), 1
    while page.cursor is not None:
        write()
        if random.random() < 0.3 and page.previous is not None:
            back = ask(books, kind, where, page.previous, random.randrange(1, 8), as_of)
            assert back.items, "a cursor leads to something"
            at = len(seen) - len(page.items)
            if not kind.endswith(("accounts", "flavors")):
                assert list(back.items) == seen[at - len(back.items) : at]
                again = ask(books, kind, where, back.cursor, len(page.items), as_of)
                assert list(again.items) == list(page.items), "and forth again"
                assert (back.previous is None) == (at == len(back.items))
        page = ask(books, kind, where, page.cursor, random.randrange(1, 20), as_of)
        assert page.items, "no page is empty but the only one"
        assert page.previous is not None
        seen += page.items
        pages += 1
    return seen, there


def name(one: Any) -> Any:
    return getattr(one, "account_id", None) or one.flavor_id


@pytest.mark.parametrize("kind", KINDS)
def test_any_walk_sees_what_there_was_each_once_with_a_writer_in_between(books: Books, kind: str) -> None:
    random = Random(kind)
    lived(books, random, 40)
    written = [40]

    def write() -> None:
        if random.random() < 0.15:
            lived(books, random, 1, since=written[0])
            written[0] += 1

    for _ in range(100):
        as_of = random.choice((NOW, AsOf(day(2)), AsOf(day(6)), AsOf(None, DAY + timedelta(days=3650)))) if kind == "tokens" else NOW
        seen, there = walk(books, kind, random.choice(WHERES[kind]), random, write, as_of)
        if kind in {"accounts", "flavors"}:
            names = [name(one) for one in seen]
            assert names == sorted(set(names))
            assert {name(one) for one in there} <= set(names)
        else:
            assert seen == there
    assert written[0] > 45 or kind == "flavors"


def test_both_kinds_of_books_list_tokens_in_the_same_order(fresh_database: FreshDatabase) -> None:
    database = Database(fresh_database.app_dsn)
    both = (MemoryBooks(CLOCK), AuroraBooks(database))
    names, flavors = ("ann", "Ann", "ann-b", "ann.b", "ann/b", "ann_b"), ("usd", "USD")
    for one in both:
        opened(one, *names, flavors=flavors)
        post(one, *(issue(n, who, flavor, token_tags=tags) for n, tags in enumerate(TAGS, 1) for who in names for flavor in flavors), id="one")
    memory, aurora = (whole(one, "tokens", "") for one in both)
    assert aurora == memory
    assert len(memory) == len(names) * len(flavors) * len(TAGS)
    for kind in ("accounts", "flavors"):
        assert [name(one) for one in whole(both[0], kind, "")] == [name(one) for one in whole(both[1], kind, "")]
    database.close()


@pytest.mark.parametrize("kind", ["tokens", "actions", "transactions"])
def test_what_commits_during_a_walk_is_not_in_it_however_early_it_began(fresh_database: FreshDatabase, kind: str) -> None:
    databases = [Database(fresh_database.app_dsn) for _ in range(2)]
    books, late = (AuroraBooks(one) for one in databases)
    books._slot, late._slot = 0, 1
    opened(books, "ann", "ben", "cat")
    post(books, issue(7, "ann"), issue(9, "cat"), id="one")
    asked = txn(issue(5, "ben"), id="late")
    signed = signed_by(None, late.trust(T, None), T, [asked], DAY)
    late.prepare(T, [Account("ben")], [Flavor("usd")], tag_sets(asked))
    with late.transaction(T) as cursor:
        late.post_in(cursor, [asked], signed, DAY)
        post(books, issue(7, "ann", token_tags={"n": 1}), issue(2, "cat"), id="two")
        there = whole(books, kind, "")
        page = ask(books, kind, limit=1)
    assert len(whole(books, "transactions", "")) == 3
    seen = list(page.items)
    while page.cursor:
        page = ask(books, kind, cursor=page.cursor, limit=1)
        seen += page.items
    assert seen == there
    for one in databases:
        one.close()


# Cursors


def made(books: Books, kind: str) -> str:
    lived(books, Random(1), 12)
    cursor = ask(books, kind, limit=1).cursor
    assert cursor is not None
    return cursor


@pytest.mark.parametrize("kind", KINDS)
def test_a_cursor_is_for_its_question_only(books: Books, kind: str) -> None:
    cursor = made(books, kind)
    assert ask(books, kind, cursor=cursor, limit=500).items
    read = getattr(books, kind)
    others: list[Callable[[], object]] = [lambda: read("t2", Question(), cursor=cursor), lambda: ask(books, kind, "NOT (NOT EXISTS(tags.none))", cursor)]
    others += [lambda other=other: ask(books, other, cursor=cursor) for other in KINDS if other != kind]
    if kind == "tokens":
        others += [lambda: ask(books, kind, cursor=cursor, as_of=AsOf(DAY)), lambda: ask(books, kind, cursor=cursor, as_of=AsOf(None, DAY))]
    for other in others:
        assert refused(other) == ("CURSOR_INVALID", "cursor")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_cursor_is_refused(books: Books, kind: str) -> None:
    cursor = made(books, kind)
    raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(lambda flipped=flipped: ask(books, kind, cursor=urlsafe_b64encode(bytes(flipped)).decode()))[0] == "CURSOR_INVALID"
    *parts, digest = decode_cursor(cursor, len(orjson.loads(raw)))
    for place, part in enumerate(parts):
        other = [*parts[:place], part + "0", *parts[place + 1 :], digest]
        assert refused(lambda other=other: ask(books, kind, cursor=cursor_of(*other)))[0] == "CURSOR_INVALID"


ONE = "\N{ARABIC-INDIC DIGIT ONE}"
KEYS = {"tokens": ("ann", "usd", ""), "actions": ("1", "1"), "transactions": ("1",), "accounts": ("ann",), "flavors": ("usd",)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_cursor_with_a_digest_of_ones_own_is_read_where_it_makes_sense_and_refused_elsewhere(books: Books, kind: str) -> None:
    made(books, kind)
    keys = [
        (*KEYS[kind][:place], one, *KEYS[kind][place + 1 :])
        for place in range(len(KEYS[kind]))
        for one in ("", "x", "9" * 18, "9" * 30, "-1", "'", "ab" * 16, "\ud7ff")
    ]
    snapshots = [
        "5",
        "1:1:",
        "0:1:",
        "9:1:",
        "1:9:3,2",
        "1:9:3,3",
        "1:9:9",
        "1:9:2,3",
        "9" * 18 + ":" + "9" * 18 + ":",
        "9" * 19 + ":1:",
        "1:1:'",
        "",
        f"{ONE}:{ONE}:",
    ]
    read, codes = 0, set()
    for key, seen in [*((key, "1:1:") for key in keys), *((KEYS[kind], seen) for seen in snapshots)]:
        for back in (False, True):
            asked: Asking[Any] = Asking(T, kind, Question(), NOW, 100, None)
            try:
                ask(books, kind, cursor=asked._cursor(Place(key, back, seen)))
                read += 1
            except Refused as no:
                codes.add(no.code)
    assert codes <= {"CURSOR_INVALID"}
    assert read >= 8


# Guards


@pytest.mark.parametrize(
    ("guard", "code", "field"), [(Expect("nothing = 1", amount=1), "FILTER_INVALID", "filter"), (Expect("amount = $1", amount=1), "FILTER_PARAMS", "params")]
)
def test_a_guards_bad_filter_names_its_place(books: Books, guard: Expect, code: str, field: str) -> None:
    asked = txn(issue(1, "ann"), expect=(Expect("account_id = 'ann'", amount=0), guard))
    assert refused(lambda: books.post(T, [asked], DAY)) == (code, f"expect.1.{field}")
