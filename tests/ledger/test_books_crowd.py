"""Many writers at once on a real PostgreSQL: nothing is lost or doubled, nobody waits crosswise, and a killed writer leaves nothing half done."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Barrier
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused, Unavailable
from bourse.ledger.actions import Account, Expect, PostHold, Reserve, Transaction
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Question

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, held, issue, opened, picture, post, retire, transfer, txn
from tests.ledger.killing import deaths

WRITERS, NAMES = 8, [f"a{number}" for number in range(12)]


def crowd(dsn: str, work: Callable[[AuroraBooks, int], Any], writers: int = WRITERS) -> list[Any]:
    """Each writer with a connection of its own, all at once."""

    def run(number: int) -> Any:
        database = Database(dsn)
        try:
            return work(AuroraBooks(database), number)
        finally:
            database.close()

    with ThreadPoolExecutor(writers) as pool:
        return list(pool.map(run, range(writers)))


@pytest.fixture
def books(fresh_database: FreshDatabase) -> Iterator[AuroraBooks]:
    database = Database(fresh_database.app_dsn)
    made = AuroraBooks(database)
    opened(made, *NAMES, Account("fees", floor=None, hot=True))
    yield made
    database.close()


def test_a_crowd_with_shared_ids_moves_every_cent_once(fresh_database: FreshDatabase, books: AuroraBooks) -> None:
    """Eight writers share 200 requests and each posts all of them in an order of its own, in calls of one to five."""
    post(books, *(issue(10_000, name, token_tags={"n": number % 3}) for number, name in enumerate(NAMES)))
    random = Random(5)
    requests: list[Transaction] = []
    for number in range(200):
        source, destination = random.sample(NAMES, 2)
        fee = transfer(1, source, "fees")
        move = transfer(random.randrange(1, 50), source, destination, where="tags.n = 1" if number % 5 == 0 else "", carry_tags=number % 3 == 0)
        requests.append(txn(move, fee, id=f"r{number}"))

    def work(mine: AuroraBooks, number: int) -> dict[str, bool]:
        order = Random(number).sample(requests, len(requests))
        done: dict[str, bool] = {}
        while order:
            part, order = order[: 1 + len(order) % 5], order[1 + len(order) % 5 :]
            try:
                done |= {one.txn_id: one.before for one in mine.post(T, part, DAY)}
            except Refused:
                continue
            except Unavailable:
                order = order + part
        return done

    answers = crowd(fresh_database.app_dsn, work)
    firsts = [txn_id for answer in answers for txn_id, before in answer.items() if not before]
    assert len(firsts) == len(set(firsts)), "each id was posted for the first time once"
    posted = {one.txn_id for one in _all(books) if one.txn_id.startswith("r")}
    assert posted == set(firsts)
    assert sum(held(books, name) for name in NAMES) + held(books, "fees") == 10_000 * len(NAMES)
    assert held(books, "fees") == len(posted)
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        assert owner.execute("select count(*) from books.lot where amount < 0 and floor is not null").fetchone() == (0,)
        assert owner.execute("select sum(amount) from books.lot").fetchone() == (0,)
        assert owner.execute(_ASTRAY).fetchall() == [], "every lot is the sum of its moves"
        assert owner.execute("select deadlocks from pg_stat_database where datname = current_database()").fetchone() == (0,)


_ASTRAY = """
    select l.lot_no from books.lot l left join (select lot, sum(change) as amount from (
      select dst as lot, amount as change from books.move union all select src, -amount from books.move) m group by lot) s on s.lot = l.lot_no
    where l.amount <> coalesce(s.amount, 0)"""


def _all(books: AuroraBooks) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while True:
        page = books.actions(T, Question(), cursor=cursor, limit=1_000)
        found += page.items
        if (cursor := page.cursor) is None:
            return found


def test_of_twenty_who_resolve_a_hold_one_wins(fresh_database: FreshDatabase, books: AuroraBooks) -> None:
    """Blnk #171: two commits of a hold read the same amount left."""
    post(books, issue(100, "a0"), Reserve("h", "usd", 100, "a0"))

    def work(mine: AuroraBooks, number: int) -> str:
        for _ in range(50):
            try:
                post(mine, PostHold("h", "a1"), id=f"resolve{number}")
                return "won"
            except Refused as refused:
                return refused.code
            except Unavailable:
                continue
        return "gave up"

    outcomes = crowd(fresh_database.app_dsn, work, 20)
    assert sorted(outcomes) == ["HOLD_OVER"] * 19 + ["won"]
    assert held(books, "a1") == 100


def test_of_all_who_draw_on_a_new_credit_line_at_once_one_gets_it_and_the_others_are_told_so(fresh_database: FreshDatabase, books: AuroraBooks) -> None:
    """The lot that one of them opened was met by the others only when they posted, and an error of the adapter's own came out."""
    lines = [f"line{number}" for number in range(25)]
    opened(books, *(Account(name, floor=-40) for name in lines))
    barrier = Barrier(WRITERS)

    def work(mine: AuroraBooks, number: int) -> list[str]:
        outcomes = []
        for name in lines:
            barrier.wait(60)
            try:
                post(mine, transfer(30, name, "a0"), id=f"{name}.{number}")
                outcomes.append("drawn")
            except Refused as refused:
                outcomes.append(refused.code)
        return outcomes

    outcomes = Counter(one for answer in crowd(fresh_database.app_dsn, work) for one in answer)
    assert outcomes == {"drawn": 25, "INSUFFICIENT_FUNDS": 25 * (WRITERS - 1)}
    assert held(books, "a0") == 25 * 30


def test_money_for_one_is_spent_by_one(fresh_database: FreshDatabase, books: AuroraBooks) -> None:
    post(books, issue(100, "a0", token_tags={"n": 1}))

    def work(mine: AuroraBooks, number: int) -> int:
        try:
            post(mine, transfer(60, "a0", f"a{number + 1}", where="tags.n = 1"), id=f"spend{number}")
        except Refused:
            return 0
        return 1

    assert sum(crowd(fresh_database.app_dsn, work)) == 1


def test_a_guarded_posting_never_acts_on_what_another_changed(fresh_database: FreshDatabase, books: AuroraBooks) -> None:
    """Every writer spends what he saw the account hold, and asks that it still be so."""
    post(books, issue(1_000, "a0"))

    def work(mine: AuroraBooks, number: int) -> int:
        spent = 0
        for turn in range(10):
            seen = held(mine, "a0")
            try:
                guard = (Expect("account_id = 'a0'", amount=seen),)
                post(mine, retire(max(1, seen // 20), "a0", where="amount > 0"), id=f"g{number}.{turn}", expect=guard)
                spent += max(1, seen // 20)
            except (Refused, Unavailable):
                continue
        return spent

    spent = sum(crowd(fresh_database.app_dsn, work))
    assert spent > 0
    assert held(books, "a0") == 1_000 - spent


@pytest.mark.parametrize("plain", [True, False])
def test_a_writer_killed_at_any_statement_leaves_all_or_nothing(fresh_database: FreshDatabase, books: AuroraBooks, plain: bool) -> None:
    post(books, issue(100, "a0", token_tags={"n": 1}), issue(50, "a1"))
    where = "" if plain else "tags.n = 1"
    before, killed = picture(books), 0
    for _ in deaths(fresh_database.app_dsn, lambda mine: post(mine, transfer(5, "a0", "a2", where=where), id="victim")):
        killed += 1
        assert picture(books) == before
    assert killed >= (1 if plain else 4)
    assert held(books, "a2") == 5
