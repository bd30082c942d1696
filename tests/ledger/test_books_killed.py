"""The connection dies at every round trip of a posting, before the request arrives or before its answer does: the books are those of before
or of after, never between, and the same posting again answers as if nothing had been."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused, Unavailable
from bourse.ledger.actions import Account, Action, Distribute, Expect, PostHold, ReleaseHold, Reserve, Spending, Transaction
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books

from tests.conftest import FreshDatabase
from tests.ledger import books_builders
from tests.ledger.books_builders import DAY, day, issue, opened, retire, transfer, txn
from tests.ledger.cutting_proxy import CuttingProxy, Loses

_tenants = count(1)
ONE = "tags.n = 1"
POSTINGS: dict[str, list[Transaction]] = {
    "plain": [txn(transfer(5, "ann", "ben"), id="p")],
    "plain with tags nobody used before": [txn(transfer(5, "ann", "ben", token_tags={"new": 1}, action_tags={"new": 2}), id="p")],
    "plain batch": [txn(transfer(3, "ann", "ben"), issue(7, "cat"), id="p"), txn(retire(2, "ann"), id="q"), txn(transfer(1, "ben", "ann"), id="r")],
    "back-dated": [txn(transfer(5, "ann", "ben"), id="p", at=day(1))],
    "by filter": [txn(transfer(5, "ann", "ben", where=ONE, carry_tags=True), id="p")],
    "pro rata": [txn(transfer(30, "ann", "ben", order="pro_rata", carry_tags=True), id="p")],
    "distribution": [txn(Distribute("usd", 10, "ann", "loan", fee=(1, 10)), id="p")],
    "reserve": [txn(Reserve("new", "usd", 40, "ann", expires_at=day(9)), id="p")],
    "post a hold in part": [txn(PostHold("h", "cat", 3, keep_rest=True), id="p")],
    "release a hold": [txn(ReleaseHold("h"), id="p")],
    "spend what an expired hold held": [txn(transfer(52, "ben", "cat"), id="p")],
    "guarded": [
        txn(transfer(5, "ann", "ben", where=ONE), id="p", expect=(Expect("account_id = 'ann' AND flavor_id = 'usd'", amount=100),)),
        txn(retire(1, "ann"), id="q"),
    ],
    "issue with a floor": [txn(issue(5, "ann", "loan", source="maker", source_floor=-50), id="p")],
    "refused for good": [txn(transfer(500, "ann", "ben"), id="p")],
    "one posted before and one new": [txn(issue(60, "ann", token_tags={"n": 1}), id="seed"), txn(transfer(5, "ann", "ben"), id="p")],
}


@pytest.fixture
def proxy(fresh_database: FreshDatabase) -> Iterator[CuttingProxy]:
    made = CuttingProxy(fresh_database.app_dsn)
    yield made
    made.close()


def prepare(books: Books, tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books_builders, "T", tenant)
    opened(books, "ann", "ben", "cat", Account("maker", floor=None), flavors=("usd", "loan"))
    first: list[Action] = [issue(40, "ann"), issue(52, "ben"), issue(1, "ann", "loan"), issue(2, "ben", "loan"), issue(30, "cat", "loan")]
    books.post(tenant, [txn(issue(60, "ann", token_tags={"n": 1}), id="seed"), txn(*first, id="first")], DAY)
    held: list[Action] = [Reserve("h", "usd", 10, "ann", Spending(ONE)), Reserve("short", "usd", 20, "ben", expires_at=day(3))]
    books.post(tenant, [txn(*held, id="holds"), txn(issue(1, "ann"), retire(1, "ann"), id="late", at=day(2))], DAY)


def answer(books: Books, tenant: str, asked: list[Transaction]) -> list[str] | str:
    try:
        return [one.txn_id for one in books.post(tenant, asked, day(4))]
    except Refused as refused:
        return refused.code


def picture(owner: Any, tenant: str) -> dict[str, Any]:
    """All that a tenant's books say, without the numbers and times that every run makes anew; and how many rows each table has."""
    found: dict[str, Any] = {name: sorted(map(str, owner.execute(query, [tenant]))) for name, query in _PICTURE.items()}
    for (table,) in owner.execute(_TABLES):
        # A set of tags that is numbered, or `world` opened, is nothing that happened; and a hot account has a lot for each who writes to it.
        if table not in {"tagset", "term", "tags_told", "account", "lot"}:
            found[f"rows of {table}"] = owner.execute(f"select count(*) from books.{table} where tenant_id = %s", [tenant]).fetchone()
    return found


_TABLES = """
    select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
    where c.relnamespace = 'books'::regnamespace and c.relkind = 'r' order by 1"""
_LOT = """(select a.account_id || ' ' || f.flavor_id || ' ' || coalesce(t.tags, '{}') from books.lot l join books.account a using (account_no)
    join books.flavor f using (flavor_no) left join books.tagset t using (tagset_no) where l.lot_no = @)"""
_PICTURE = {
    "lots": "select " + _LOT.replace("@", "x.lot_no") + ", sum(amount), sum(held), min(floor) from books.lot x where tenant_id = %s group by 1",
    "transactions": "select txn_id, kind, effective_at from books.txn where tenant_id = %s",
    "moves": "select txn_id, action_no, seq, type, "
    + _LOT.replace("@", "src")
    + ", "
    + _LOT.replace("@", "dst")
    + """, amount
      from books.move m join books.txn using (txn_no) where m.tenant_id = %s""",
    "holds": "select hold_id, is_over, expired, version from books.hold where tenant_id = %s",
    "hold moves": """select hold_id, txn_id, m.type, amount
      from books.hold_move m join books.hold using (hold_no) join books.txn using (txn_no) where m.tenant_id = %s""",
    "owed": "select account_id, owed from books.owed o join books.account a using (account_no) where o.tenant_id = %s",
    "refusals": "select txn_id, code from books.refusal where tenant_id = %s",
}


class Killing:
    """Does a posting in a tenant of its own, with the connection cut at a round trip."""

    def __init__(self, proxy: CuttingProxy, owner: Any, asked: list[Transaction], monkeypatch: pytest.MonkeyPatch, *, warm: bool) -> None:
        self.proxy, self.owner, self.asked, self.monkeypatch, self.warm = proxy, owner, asked, monkeypatch, warm

    def whole(self) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """The answer, the books before, and after, of the run that nothing cuts; a second time it changes nothing."""
        with self._environment() as (tenant, books):
            before = picture(self.owner, tenant)
            told = answer(books, tenant, self.asked)
            after = picture(self.owner, tenant)
            assert answer(books, tenant, self.asked) == told
            assert picture(self.owner, tenant) == after != before
            return told, before, after

    def cut(self, at: int, loses: Loses) -> tuple[Any, dict[str, Any], Any, dict[str, Any]] | None:
        """The answer (None: there was none) and the books then; the answer to the same posting again and the books then. None: it was over before."""
        with self._environment() as (tenant, books):
            self.proxy.arm(at, loses)
            try:
                first: Any = answer(books, tenant, self.asked)
            except Unavailable:
                first = None
            self.proxy.disarm()
            between = picture(self.owner, tenant)
            again = answer(books, tenant, self.asked)
            return (first, between, again, picture(self.owner, tenant)) if self.proxy.cut else None

    @contextmanager
    def _environment(self) -> Iterator[tuple[str, Books]]:
        tenant = f"t{next(_tenants)}"
        with closing(Database(self.proxy.dsn)) as database:
            books = AuroraBooks(database)
            prepare(books, tenant, self.monkeypatch)
            if not self.warm:
                database.close()
                books = AuroraBooks(database)
            yield tenant, books


@pytest.mark.parametrize(("name", "warm"), [*((name, True) for name in POSTINGS), ("plain", False), ("plain batch", False), ("by filter", False)])
def test_killed_at_any_round_trip_a_posting_has_happened_or_not_and_done_again_it_has(
    fresh_database: FreshDatabase, proxy: CuttingProxy, name: str, warm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer lost is also the next request never made: so each place where a connection may die is met once."""
    with psycopg.connect(fresh_database.migrated_dsn, autocommit=True) as owner:
        killing = Killing(proxy, owner, POSTINGS[name], monkeypatch, warm=warm)
        told, before, after = killing.whole()
        places: list[tuple[int, Loses]] = [(1, "request"), *((at, "answer") for at in range(1, 200))]
        seen = {"before": 0, "after": 0}
        for at, loses in places:
            done = killing.cut(at, loses)
            if done is None:
                break
            first, between, again, end = done
            assert between in (before, after), f"half done when the {loses} of round trip {at} was lost"
            assert first is None or (first == told and between == after), "who got his answer finds it done"
            assert (again, end) == (told, after), f"done again after the {loses} of round trip {at} was lost"
            seen["before" if between == before else "after"] += 1
        assert seen["before"] > 0
        assert seen["after"] > 0, "a commit whose answer is lost is a commit"
