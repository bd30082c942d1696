"""Random histories of everything one can do with the books, against the plainest of models (oracle.py): in memory, and in PostgreSQL by
two environments in turns, each with what it remembers. Same answers, same tokens, same sums as of any two times."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import BourseError
from bourse.ledger.actions import Account, Action, Distribute, Expect, Flavor, Posted, PostHold, ReleaseHold, Reserve, Retire, Spending, Transaction, Transfer
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import AsOf, Books, Question
from bourse.ledger.memory_books import MemoryBooks
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, day, issue, transfer, txn
from tests.ledger.oracle import Oracle
from tests.ledger.oracle_facts import Asks, Doubtful, Lot, text

# A history of which each step asks the database takes minutes to be made smaller: who looks into a failure adds Phase.shrink.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
NAMES = ("ann", "ben", "line", "maker", "fees")
FLAVORS = ("usd", "loan")
PAYS, PAID = "{account_tags.pays}", {"ann": "ben", "ben": "ben", "line": "ann"}
AT_PAR: dict[str, Any] = {"rule": "par"}
_tenants = count(1)

MEANINGS: dict[str, Asks] = {
    "": lambda _: True,
    "tags.n = 1": lambda one: one["tags"].get("n") == 1,
    "NOT tags.n = 1": lambda one: one["tags"].get("n") != 1,
    "tags.n != 1": lambda one: one["tags"].get("n", 1) != 1,
    "tags.k = 'x' OR tags.n = 2": lambda one: one["tags"].get("k") == "x" or one["tags"].get("n") == 2,
    "amount > 20 AND account_id IN ('ann', 'line')": lambda one: one["amount"] > 20 and one["account_id"] in {"ann", "line"},
    "account_tags.type = 'a'": lambda one: one["account_tags"].get("type") == "a",
    "flavor_tags.type = 'a' AND EXISTS(tags.n)": lambda one: one["flavor_tags"].get("type") == "a" and "n" in one["tags"],
}

names = st.sampled_from(NAMES)
owners = st.sampled_from(("ann", "ben", "line"))
amounts = st.sampled_from([*range(1, 40), *range(1, 12), 55, 70, 90])
tags = st.sampled_from([{}, {}, {"n": 1}, {"n": 2}, {"n": 1, "k": "x"}, {"k": "x"}])
orders = st.sampled_from(["fifo", "fifo", "lifo", "pro_rata", "tags.n desc", "tags.n"])
wheres = st.sampled_from(["", "", "", *MEANINGS])
flavors = st.sampled_from(("usd", "usd", "loan"))
holds = st.sampled_from(("h1", "h2", "h3"))
carries = st.sampled_from([False, True, ("n",), ("k", "none")])
spendings = st.builds(lambda where, order: Spending(where, (), order), wheres, orders)
fees = st.sampled_from([(0, 1), (1, 10), (1, 3), (1, 1)])
days = st.integers(0, 5)
issues = st.builds(lambda a, n, f, t: issue(a, n, f, token_tags=t), st.integers(10, 90), owners, flavors, tags)


def often(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of these, each as often as its number says."""
    return st.sampled_from([place for place, (weight, _) in enumerate(choices) for _ in range(weight)]).flatmap(lambda place: choices[place][1])


actions: st.SearchStrategy[Action] = often(
    (4, issues),
    (2, st.builds(lambda a, n, f, s: issue(a, n, f, source="maker", source_floor=s), amounts, owners, flavors, st.sampled_from([None, None, -60, -100]))),
    (4, st.builds(Transfer, flavors, amounts, owners, names, spendings, tags, carries)),
    (4, st.builds(transfer, amounts, owners, names, flavors)),
    (1, st.builds(transfer, amounts, names, names, flavors)),
    (
        2,
        st.builds(
            lambda f, a, s, how, d: Retire(f, a, s, how, destination=d),
            flavors,
            amounts,
            owners,
            spendings,
            st.sampled_from(["world", "world", "maker", "ann"]),
        ),
    ),
    (4, st.builds(lambda h, a, s, how, d: Reserve(h, "usd", a, s, how, day(d) if d else None), holds, amounts, owners, spendings, st.integers(0, 6))),
    (2, st.builds(PostHold, holds, names, st.one_of(st.none(), amounts), st.booleans(), tags, carries)),
    (1, st.builds(ReleaseHold, holds)),
    (
        3,
        st.builds(
            Distribute,
            st.just("usd"),
            amounts,
            owners,
            st.just("loan"),
            spendings,
            fees,
            st.sampled_from(["world", "fees", "ben"]),
            st.sampled_from(["deficit", "deficit", "seed_floor"]),
            st.booleans(),
            retire_to=st.sampled_from(["world", "world", "maker", "ben"]),
        ),
    ),
    (
        3,
        st.builds(
            lambda a, s, fee, to, of, rest, how: Distribute(
                "usd", a, s, "loan", fee=fee if how else (0, 1), pay_to=to, out_of=of, rest_to=rest if of else None, fee_tags={"type": "fee"}, **(how or AT_PAR)
            ),
            amounts,
            owners,
            fees,
            st.sampled_from(["", PAYS, PAYS]),
            st.sampled_from([None, 30, 60, 100, 200]),
            st.sampled_from(["maker", "fees", "fees", "ben", "nobody"]),
            st.sampled_from([{"retire": False}, {"retire": True}, {}, {}]),
        ),
    ),
)
guards = st.builds(
    Expect,
    st.sampled_from([where for where in MEANINGS if where]),
    st.just(()),
    st.sampled_from([None, 0, 0, 10]),
    st.sampled_from([None, 0, 1]),
)


@dataclass(frozen=True)
class Post:
    transactions: list[tuple[list[Action], int]]
    """Actions and the day they happened."""
    guard: Expect | None
    dry_run: bool
    days_later: int


@dataclass(frozen=True)
class Again:
    """Ask for an earlier posting again: as it was, with another amount, or with a transaction more."""

    which: int
    how: str


@dataclass(frozen=True)
class Tag:
    noun: str
    name: str
    tags: dict[str, Any]


@dataclass(frozen=True)
class Close:
    name: str


Step = Post | Again | Tag | Close
groups = often(
    (3, st.tuples(actions, days).map(lambda one: [([one[0]], one[1])])),
    (2, st.lists(st.tuples(st.lists(actions, min_size=1, max_size=3), days), min_size=1, max_size=2)),
)
steps: st.SearchStrategy[Step] = often(
    (12, st.builds(Post, groups, st.none(), st.sampled_from([False] * 5 + [True]), st.sampled_from([0, 0, 0, 1]))),
    (2, st.builds(Post, groups, guards, st.just(False), st.just(0))),
    (2, st.builds(Again, st.integers(0, 9), st.sampled_from(["same", "same", "other", "more"]))),
    (1, st.builds(Tag, st.just("account"), names, st.sampled_from([{}, {"type": "a"}, {"type": "a", "pays": "line"}]))),
    (1, st.builds(Tag, st.just("flavor"), st.sampled_from(FLAVORS), st.sampled_from([{}, {"type": "a"}]))),
    (1, st.builds(Close, names)),
)
# Something is there to spend before anything else happens: few histories that begin with nothing come far.
reserves = st.builds(lambda h, a, n, d: Reserve(h, "usd", a, n, Spending(), day(d) if d else None), holds, st.integers(1, 15), owners, st.integers(0, 6))
first = [issue(10, name, flavor) for name in ("ann", "ben", "line") for flavor in FLAVORS]
funded = st.builds(
    lambda made, held, happened: Post([([*first, *made, *held], happened)], None, dry_run=False, days_later=0),
    st.lists(issues, min_size=1, max_size=5),
    st.one_of(st.just([]), reserves.map(lambda one: [one])),
    st.integers(0, 2),
)
histories = st.builds(lambda begin, rest: [begin, *rest], funded, st.lists(steps, min_size=6, max_size=16))
questions = st.lists(
    st.tuples(st.sampled_from(list(MEANINGS)), st.one_of(st.none(), st.integers(-1, 6)), st.one_of(st.none(), st.integers(0, 20))), min_size=3, max_size=6
)


class Match:
    """One history, played to the books and to the oracle."""

    def __init__(self, tenant: str, environments: Sequence[Books]) -> None:
        self.tenant, self.environments, self.oracle = tenant, environments, Oracle(MEANINGS)
        self.asked: list[list[Transaction]] = []
        self.now = DAY
        self.turn = 0
        for flavor in FLAVORS:
            environments[0].open_flavor(tenant, Flavor(flavor))
            self.oracle.flavors[flavor] = Flavor(flavor)
        floors: dict[str, int | None] = {"line": -40, "maker": None, "fees": None}
        for name in NAMES:
            account = Account(name, {"pays": PAID[name]} if name in PAID else {}, floor=floors.get(name, 0), hot=name == "fees")
            environments[0].open_account(tenant, account)
            self.oracle.accounts[name] = account

    @property
    def books(self) -> Books:
        """The environments take turns."""
        self.turn += 1
        return self.environments[self.turn % len(self.environments)]

    def play(self, step: Step) -> None:
        match step:
            case Post():
                self.now += timedelta(days=step.days_later)
                expect = (step.guard,) if step.guard else ()
                made = [
                    txn(*some, id=f"{len(self.asked)}.{place}", at=day(happened), expect=expect) for place, (some, happened) in enumerate(step.transactions)
                ]
                self.asked.append(made)
                self.post(made, dry_run=step.dry_run)
            case Again():
                if self.asked:
                    self.post(self.changed(self.asked[step.which % len(self.asked)], step.how))
            case Tag():
                table: dict[str, Any] = self.oracle.accounts if step.noun == "account" else self.oracle.flavors
                table[step.name] = replace(table[step.name], tags=step.tags)
                does = self.books.tag_account if step.noun == "account" else self.books.tag_flavor
                does(self.tenant, step.name, step.tags)
            case Close():
                assert code_of(lambda: self.books.close_account(self.tenant, step.name)) == self.oracle.close(step.name), step

    def changed(self, asked: list[Transaction], how: str) -> list[Transaction]:
        if how == "other":
            return [replace(asked[0], kind="other"), *asked[1:]]
        return (
            [*asked, txn(issue(1, "ann"), id=f"more {len(self.asked)}".replace(" ", "-"))]
            if how == "more"
            else [replace(asked[0], correlation_id="again"), *asked[1:]]
        )

    def post(self, asked: list[Transaction], *, dry_run: bool = False) -> None:
        expected = self.oracle.post(asked, self.now, dry_run=dry_run)
        posted: list[Posted] = []
        code = code_of(lambda: posted.extend(self.books.post(self.tenant, asked, self.now, dry_run=dry_run)))
        assert (code or [one.before for one in posted]) == expected, asked
        if not dry_run:
            self.oracle.recorded |= {one.txn_id: one.recorded_at for one in posted}

    # What can be read

    def check(self, asks: Sequence[tuple[str, int | None, int | None]]) -> None:
        self.check_tokens()
        self.check_moves()
        recorded = sorted(self.oracle.recorded.values())
        for where, effective, known in asks:
            effective_at = None if effective is None else day(effective)
            known_at = None if known is None or not recorded else recorded[known % len(recorded)]
            self.check_sums(where, effective_at, known_at)

    def check_tokens(self) -> None:
        found = {(one.account_id, one.flavor_id, text(one.tags)): one for one in self.books.tokens(self.tenant, Question(), limit=1_000).items}
        assert {lot: one.amount for lot, one in found.items()} == self.oracle.tokens()
        for lot, one in found.items():
            assert self.oracle.held(lot) <= one.held <= self.oracle.held(lot, expired_too=True), "a hold that expired may still show until its account spends"

    def check_moves(self) -> None:
        """What is told of each move, newest first; and added up, at every sequence number: to zero, and nothing below its floor."""
        told = list(self.books.actions(self.tenant, Question(), limit=1_000).items)
        mine = [(one.txn_id, one.action_no, one.type, one.src, one.dst, one.amount, one.at) for one in self.oracle.moves()]
        assert [(one.txn_id, one.action_no, one.type, source_of(one), destination_of(one), one.amount, one.effective_at) for one in reversed(told)] == mine
        stood: Counter[Lot] = Counter()
        numbers = sorted({one.sequence_number for one in told})
        for number in numbers:
            for one in told:
                if one.sequence_number == number:
                    stood[source_of(one)] -= one.amount
                    stood[destination_of(one)] += one.amount
            for flavor in FLAVORS:
                assert sum(amount for lot, amount in stood.items() if lot[1] == flavor) == 0
            for lot, amount in stood.items():
                floor = self.oracle.accounts[lot[0]].floor if lot[2] == "{}" else 0
                assert floor is None or amount >= floor, (number, lot)

    def check_sums(self, where: str, effective_at: datetime | None, known_at: datetime | None) -> None:
        as_of = AsOf(effective_at, known_at)
        expected = self.oracle.tokens(where, effective_at, known_at)
        found = self.books.tokens(self.tenant, Question(where), as_of, limit=1_000).items
        assert {(one.account_id, one.flavor_id, text(one.tags)): one.amount for one in found} == expected, (where, as_of)
        [whole] = self.books.sum_tokens(self.tenant, Question(where), as_of)
        assert whole.amount == sum(expected.values())
        grouped: Counter[tuple[str, Any]] = Counter()
        for lot, amount in expected.items():
            grouped[lot[0], self.oracle.token(lot, amount)["tags"].get("n")] += amount
        rows = self.books.sum_tokens(self.tenant, Question(where, (), ("account_id", "tags.n")), as_of)
        line = sorted(grouped.items(), key=lambda one: (one[0][0], one[0][1] is None, one[0][1] or 0))
        assert [((one.group["account_id"], one.group["tags.n"]), one.amount) for one in rows] == line, "groups come in the order of their values"


def source_of(one: Any) -> Lot:
    return one.source, one.flavor_id, text(one.source_tags)


def destination_of(one: Any) -> Lot:
    return one.destination, one.flavor_id, text(one.token_tags)


def code_of(does: Callable[[], object]) -> str | None:
    try:
        does()
    except BourseError as error:
        return str(getattr(error, "code", error))
    return None


class Ticking:
    """A clock that never says the same twice."""

    def __init__(self) -> None:
        self._ticks = count(1)

    def now(self) -> datetime:
        return DAY + timedelta(seconds=next(self._ticks))


@given(history=histories, asks=questions)
@settings(max_examples=200, deadline=None, phases=PHASES)
def test_the_books_in_memory_do_what_the_plainest_model_does(history: list[Step], asks: list[tuple[str, int | None, int | None]]) -> None:
    match = Match("t1", [MemoryBooks(Ticking())])
    try:
        for step in history:
            match.play(step)
            match.check_tokens()
    except Doubtful:
        pass
    match.check(asks)


@pytest.fixture
def environments(fresh_database: FreshDatabase) -> Iterator[list[AuroraBooks]]:
    databases = [Database(fresh_database.app_dsn) for _ in range(2)]
    yield [AuroraBooks(database) for database in databases]
    for database in databases:
        database.close()


@given(history=histories, asks=questions)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=PHASES)
def test_the_books_in_postgresql_do_what_the_plainest_model_does(
    environments: list[AuroraBooks], fresh_database: FreshDatabase, history: list[Step], asks: list[tuple[str, int | None, int | None]]
) -> None:
    tenant = f"t{next(_tenants)}"
    match = Match(tenant, environments)
    with psycopg.connect(fresh_database.migrated_dsn, autocommit=True) as owner:
        try:
            for step in history:
                match.play(step)
                assert owner.execute(_UNBALANCED, [tenant]).fetchall() == [], "every flavor sums to zero after every step"
        except Doubtful:
            pass
        match.check(asks)
        assert owner.execute(_ASTRAY, [tenant, tenant]).fetchall() == [], "every lot is the sum of its moves"


_UNBALANCED = "select flavor_no, sum(amount) from books.lot where tenant_id = %s group by flavor_no having sum(amount) <> 0"
_ASTRAY = """
    select l.lot_no from books.lot l left join (select lot, sum(change) as amount from (
      select dst as lot, amount as change from books.move where tenant_id = %s union all select src, -amount from books.move) m group by lot) s
      on s.lot = l.lot_no where l.tenant_id = %s and l.amount <> coalesce(s.amount, 0)"""
