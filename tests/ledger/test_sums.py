"""Materialised sums: looked up, and always what summing the tokens would say; under random histories, killed writers and many at once."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from threading import Thread
from typing import Any

import orjson
import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused, Unavailable
from bourse.ledger import aurora_sums
from bourse.ledger.actions import Account, Flavor, Reverse, Tags
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books, DeclaredSum
from bourse.ledger.filters import bind, matches, parse
from bourse.ledger.sums import written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, day, issue, opened, post, retire, transfer, txn
from tests.ledger.journal_builders import exported, in_postgresql, restored, something_of_everything
from tests.ledger.killing import deaths
from tests.ledger.test_books_crowd import crowd
from tests.ledger.test_books_histories import ACCOUNTS, Step, open_all
from tests.ledger.test_filters import TOKENS, filters
from tests.ledger.test_reversal_crowd import histories

SUMS = (
    DeclaredSum("all"),
    DeclaredSum("cash", "flavor_id = 'usd' AND account_tags.type = 'investor'", (), ("account_id", "flavor_id")),
    DeclaredSum("by_tag", "NOT account_id = $1", ("world",), ("tags.n", "tags.k", "account_tags.type")),
    DeclaredSum("tags", "EXISTS(tags.n) OR flavor_tags.type = 'loan'", (), ("tags",)),
    DeclaredSum("due", "tags.due:time < $1", ("2026-02-01T00:00:00Z",), ("flavor_id",)),
)
_tenants = count(1)


@pytest.fixture
def books(empty_books: Books) -> Books:
    return opened(empty_books, Account("ann", {"type": "investor"}), "ben", Account("fees", floor=None, hot=True), flavors=("usd", "loan"))


def refused(does: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        does()
    return caught.value.code


def read(books: Books, name: str) -> dict[str, int]:
    return {",".join(str(value) for value in one.group.values()): one.amount for one in books.read_sum(T, name)}


def agree(books: Books, tenant: str = T, sums: tuple[DeclaredSum, ...] = SUMS) -> None:
    """Each sum is what summing would say, in the same order."""
    for one in sums:
        assert list(books.read_sum(tenant, one.name)) == list(books.sum_tokens(tenant, one.question)), one.name


def test_a_sum_follows_what_is_posted(books: Books) -> None:
    books.declare_sum(T, DeclaredSum("cash", "flavor_id = 'usd'", (), ("account_id",)))
    books.declare_sum(T, DeclaredSum("total", "flavor_id = 'usd'"))
    assert (read(books, "cash"), read(books, "total")) == ({}, {"": 0})
    post(books, issue(100, "ann"), issue(7, "ben", "loan"))
    assert (read(books, "cash"), read(books, "total")) == ({"ann": 100}, {"": 100})
    post(books, transfer(30, "ann", "ben", where="amount > 0"), id="t")
    assert read(books, "cash") == {"ann": 70, "ben": 30}
    post(books, Reverse("t"))
    assert read(books, "cash") == {"ann": 100}, "a group of which nothing is left is none"
    post(books, retire(100, "ann"))
    assert (read(books, "cash"), read(books, "total")) == ({}, {"": 0})


def test_what_is_there_already_is_counted_when_a_sum_is_declared(books: Books) -> None:
    post(books, issue(100, "ann", token_tags={"n": 1}), issue(50, "ann", token_tags={"n": 2}), issue(5, "fees"))
    for one in SUMS:
        books.declare_sum(T, one)
    agree(books)
    assert (read(books, "all"), read(books, "cash")) == ({"": 155}, {"ann,usd": 150})
    post(books, transfer(120, "ann", "ben", carry_tags=True))
    agree(books)
    assert read(books, "by_tag") == {"1,None,None": 100, "2,None,None": 20, "2,None,investor": 30, "None,None,None": 5}


def test_changed_tags_move_what_they_touch_to_other_groups(books: Books) -> None:
    for one in SUMS:
        books.declare_sum(T, one)
    post(books, issue(100, "ann"), issue(40, "ben"), issue(9, "ben", "loan", token_tags={"k": "x"}))
    for tags in ({"type": "investor", "city": "Riga"}, {}, {"type": "investor"}, {"type": None}):
        books.tag_account(T, "ben", tags)
        agree(books)
        post(books, transfer(1, "ben", "ann"), transfer(1, "ben", "ann", "loan", carry_tags=True))
        agree(books)
    books.tag_flavor(T, "loan", {"type": "loan"})
    agree(books)
    assert read(books, "tags") == {"{'k': 'x'}": 9}
    books.tag_flavor(T, "loan", {})
    assert read(books, "tags") == {}


def test_a_sum_declared_again_stays_and_another_under_its_name_is_a_conflict(books: Books) -> None:
    one = DeclaredSum("s", "account_id = $1", ("ann",), ("flavor_id",))
    books.declare_sum(T, one)
    post(books, issue(5, "ann"))
    books.declare_sum(T, one)
    books.declare_sum(T, DeclaredSum("t", "tags.is = $1", (1,)))
    for other in (DeclaredSum("s", "account_id = $1", ("ben",), ("flavor_id",)), DeclaredSum("t", "tags.is = $1", (True,))):
        with pytest.raises(Conflict, match="SUM_DIFFERS"):
            books.declare_sum(T, other)
    books.drop_sum(T, "t")
    assert (read(books, "s"), books.declared_sums(T), books.declared_sums("t2")) == ({"usd": 5}, [one], [])
    assert refused(lambda: books.read_sum("t2", "s")) == "SUM_UNKNOWN"


def test_a_dropped_sum_is_gone_and_counts_anew_when_it_is_declared_again(books: Books) -> None:
    for one in SUMS:
        books.declare_sum(T, one)
    post(books, issue(5, "ann"))
    books.drop_sum(T, "all")
    books.drop_sum(T, "all")
    assert refused(lambda: books.read_sum(T, "all")) == "SUM_UNKNOWN"
    post(books, issue(6, "ben"), issue(7, "fees"))
    books.declare_sum(T, DeclaredSum("all", "account_id = 'ben'"))
    post(books, issue(1, "ben"))
    assert read(books, "all") == {"": 7}
    agree(books, sums=SUMS[1:])


def test_another_tenants_tokens_are_in_no_sum(books: Books) -> None:
    books.declare_sum(T, SUMS[0])
    books.open_flavor("t2", Flavor("usd"))
    books.open_account("t2", Account("ann"))
    books.post("t2", [txn(issue(5, "ann"))], DAY)
    books.declare_sum("t2", SUMS[0])
    assert (read(books, "all"), books.read_sum("t2", "all")[0].amount) == ({"": 0}, 5)


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        (DeclaredSum("a b"), "NAME_INVALID"),
        (DeclaredSum("s", "nothing = 1"), "FILTER_INVALID"),
        (DeclaredSum("s", "tags.x = $1"), "FILTER_PARAMS"),
        (DeclaredSum("s", "tags.x = 1 OR NOT amount > 5"), "SUM_INVALID"),
        (DeclaredSum("s", "", (), ("amount",)), "SUM_INVALID"),
        (DeclaredSum("s", "", (), ("nothing",)), "GROUP_BY_INVALID"),
        (DeclaredSum("s", "", (), ("tags.x",) * 9), "GROUP_BY_INVALID"),
    ],
)
def test_a_wrong_sum_is_refused(books: Books, declared: DeclaredSum, code: str) -> None:
    assert refused(lambda: books.declare_sum(T, declared)) == code
    assert books.declared_sums(T) == []


def test_tokens_below_zero_are_none_and_overdrafts_are_counted_from_zero(books: Books) -> None:
    opened(books, Account("line", floor=-50))
    for one in SUMS:
        books.declare_sum(T, one)
    for amount, source, destination in ((30, "line", "ann"), (10, "ann", "line"), (20, "ann", "line"), (5, "fees", "ann"), (9, "line", "fees")):
        post(books, transfer(amount, source, destination))
        agree(books)


def test_a_dry_run_changes_no_sum(books: Books) -> None:
    books.declare_sum(T, SUMS[0])
    books.post(T, [txn(issue(5, "ann"), transfer(1, "ann", "ben", where="amount = 5"))], DAY, dry_run=True)
    assert read(books, "all") == {"": 0}


# PostgreSQL: random histories, many at once, killed


@pytest.fixture
def connection(fresh_database: FreshDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(fresh_database.migrated_dsn, autocommit=True) as made:
        yield made


@given(filters(), st.lists(TOKENS, min_size=1, max_size=8))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_posting_asks_of_a_lot_is_what_the_filter_means(
    connection: psycopg.Connection[Any], asked: tuple[str, list[Any]], tokens: list[dict[str, Any]]
) -> None:
    try:
        bound = bind(parse(asked[0]), "tokens", asked[1])
    except Refused:
        return  # one path is used with two types
    tree = orjson.dumps(written(bound.tree)).decode()
    found = [connection.execute("select books.asks(%s, %s)", [tree, orjson.dumps(one).decode()]).fetchone() for one in tokens]
    assert found == [(matches(bound, one),) for one in tokens]


retags: st.SearchStrategy[tuple[str, Tags]] = st.tuples(
    st.sampled_from([*ACCOUNTS, "usd", "loan"]), st.sampled_from([{}, {"type": "investor"}, {"type": "loan"}])
)


@given(history=histories(), changes=st.dictionaries(st.integers(0, 12), retags), declared=st.lists(st.integers(0, 6), min_size=len(SUMS), max_size=len(SUMS)))
@settings(max_examples=35, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_every_step_of_any_history_a_sum_is_what_summing_says(
    database: Database, history: list[Step], changes: dict[int, tuple[str, Tags]], declared: list[int]
) -> None:
    """Sums are declared at any step, tags are changed between them, and postings are plain, decided, refused, reversed."""
    tenant, books = f"s{next(_tenants)}", AuroraBooks(database)
    open_all(books, tenant)
    there: tuple[DeclaredSum, ...] = ()
    for place in range(len(history)):
        for one, at in zip(SUMS, declared, strict=True):
            if at == place:
                books.declare_sum(tenant, one)
                there += (one,)
        transactions, happened, posted, _ = history[place]
        with suppress(Refused):
            books.post(tenant, [txn(*made, id=f"{place}.{number}", at=day(happened)) for number, made in enumerate(transactions)], day(posted))
        if place in changes:
            name, tags = changes[place]
            (books.tag_account if name in ACCOUNTS else books.tag_flavor)(tenant, name, tags)
        agree(books, tenant, there)


def test_four_writers_and_one_who_declares_drops_and_tags_leave_every_sum_right(fresh_database: FreshDatabase, database: Database) -> None:
    names = [f"a{number}" for number in range(6)]
    books = opened(AuroraBooks(database), *names, Account("fees", floor=None, hot=True))
    for one in SUMS[:3]:
        books.declare_sum(T, one)
    post(books, *(issue(1_000, name, token_tags={"n": number % 2}) for number, name in enumerate(names)))
    done: list[int] = []

    def disturb() -> None:
        other = Database(fresh_database.app_dsn)
        mine, turn = AuroraBooks(other), 0
        while not done or turn < 5:
            turn += 1
            try:
                mine.tag_account(T, names[turn % 6], {"type": "investor"} if turn % 4 else {})
                mine.declare_sum(T, SUMS[3])
                mine.declare_sum(T, SUMS[4])
                mine.drop_sum(T, SUMS[3].name)
            except Unavailable:
                continue
        mine.declare_sum(T, SUMS[3])
        other.close()

    def work(mine: AuroraBooks, number: int) -> int:
        posted = 0
        for turn in range(60):
            source, destination = names[(turn + number) % 6], names[(turn * 5 + number + 1) % 6]
            where = "tags.n = 1" if turn % 3 == 0 else ""
            try:
                fee = transfer(1, source, "fees")
                post(mine, transfer(3, source, destination, where=where, token_tags={"n": turn % 5}), fee) if source != destination else post(mine, fee)
                posted += 1
            except (Refused, Unavailable):
                continue
        return posted

    disturbing = Thread(target=disturb)
    disturbing.start()
    posted = crowd(fresh_database.app_dsn, work, 4)
    done.append(1)
    disturbing.join()
    assert sum(posted) > 100
    agree(books)
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        assert owner.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone() == (0,)


def test_writers_of_one_group_do_not_add_to_one_row(fresh_database: FreshDatabase, database: Database) -> None:
    books = opened(AuroraBooks(database), "ann", "ben", "cat", "dan")
    books.declare_sum(T, SUMS[0])
    crowd(fresh_database.app_dsn, lambda mine, number: [post(mine, issue(1, ("ann", "ben", "cat", "dan")[number])) for _ in range(5)], 4)
    assert read(books, "all") == {"": 20}
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        rows = owner.execute("select count(*), sum(amount) from books.sum_total").fetchone()
    assert rows is not None
    assert (rows[0] > 1, rows[1]) == (True, 20)


def test_a_hot_accounts_tokens_are_those_of_all_its_slots(fresh_database: FreshDatabase, database: Database) -> None:
    books = opened(AuroraBooks(database), "ann", Account("fees", {"type": "investor"}, floor=None, hot=True))
    for one in SUMS:
        books.declare_sum(T, one)
    for slot, amount in ((0, 10), (1, 25), (2, -30), (3, -20)):
        books._slot = slot
        post(books, transfer(amount, "world", "fees") if amount > 0 else transfer(-amount, "fees", "ann"))
        agree(books)
    assert read(books, "by_tag") == {"None,None,None": 50}, "fees stand at minus 15"


def test_many_lots_are_counted_in_steps(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aurora_sums, "_LOTS_AT_ONCE", 3)
    post(books, *(issue(number + 1, ("ann", "ben")[number % 2], token_tags={"n": number}) for number in range(9)))
    for one in SUMS:
        books.declare_sum(T, one)
    agree(books)
    books.tag_account(T, "ann", {"type": "former"})
    books.tag_flavor(T, "usd", {"type": "loan"})
    agree(books)


def test_books_restored_into_a_tenant_with_sums_are_counted(database: Database) -> None:
    store = in_postgresql(database)
    something_of_everything(store)
    for one in SUMS:
        store.books.declare_sum(T, one)
        store.books.declare_sum("t2", one)
    for one in ("by-account", "loans"):
        store.books.drop_sum(T, one)
    restored(store, exported(store), "t2")
    agree(store.books, "t2")
    store.books.post("t2", [txn(transfer(7, "ann", "ben", carry_tags=True), at=day(9))], day(9))
    agree(store.books, "t2")


@pytest.mark.parametrize("killed_at", ["post", "declare", "tag"])
def test_who_is_killed_at_any_statement_leaves_every_sum_right(fresh_database: FreshDatabase, database: Database, killed_at: str) -> None:
    books = opened(AuroraBooks(database), Account("ann", {"type": "investor"}), "ben")
    for one in SUMS[:3]:
        books.declare_sum(T, one)
    post(books, issue(100, "ann", token_tags={"n": 1}))
    before = [books.read_sum(T, one.name) for one in SUMS[:3]]
    does: dict[str, Callable[[AuroraBooks], object]] = {
        "post": lambda mine: post(mine, transfer(5, "ann", "ben", where="tags.n = 1", token_tags={"n": 7}), id="victim"),
        "declare": lambda mine: mine.declare_sum(T, SUMS[3]),
        "tag": lambda mine: mine.tag_account(T, "ann", {"type": "former"}),
    }
    killed = 0
    for _ in deaths(fresh_database.app_dsn, does[killed_at]):
        killed += 1
        assert [books.read_sum(T, one.name) for one in SUMS[:3]] == before
        agree(books, sums=SUMS[:3])
        assert len(books.declared_sums(T)) == 3
    assert killed >= 3
    agree(books, sums=SUMS[:4] if killed_at == "declare" else SUMS[:3])
