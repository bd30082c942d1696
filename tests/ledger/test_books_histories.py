"""Random histories: the books in memory and in PostgreSQL answer alike, and what they tell adds up by the plainest of sums.

PostgreSQL settles plain postings by itself (books.post), memory decides all of them in Python, so each is the other's oracle; the
third is `Told`, which knows only the list of moves and adds them up.
"""

from collections import Counter
from datetime import timedelta
from itertools import count
from typing import Any

from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.actions import Account, Action, Distribute, Expect, Flavor, PostedMove, PostHold, ReleaseHold, Reserve, Spending
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import AsOf, Books, Question
from bourse.ledger.memory_books import MemoryBooks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.books_builders import CLOCK, DAY, T, day, issue, retire, transfer, txn

ACCOUNTS = ("ann", "ben", "line")
_tenants = count(1)

names = st.sampled_from(ACCOUNTS)
amounts = st.integers(1, 60)
tags = st.sampled_from([{}, {}, {"n": 1}, {"n": 2}, {"k": "x"}])
orders = st.sampled_from(["fifo", "fifo", "lifo", "pro_rata", "tags.n desc"])
wheres = st.sampled_from(["", "", "", "tags.n = 1", "NOT tags.n = 1", "tags.k = 'x' OR tags.n = 2"])
holds = st.sampled_from(["h1", "h2"])
flavors = st.sampled_from(["usd", "usd", "loan"])


def actions() -> st.SearchStrategy[Action]:
    carried = st.sampled_from([False, True, ("n",)])
    return st.one_of(
        st.builds(lambda a, n, f, t: issue(a, n, f, token_tags=t), amounts, names, flavors, tags),
        st.builds(lambda a, n, f, t: issue(a, n, f, token_tags=t), amounts, names, flavors, tags),
        st.builds(
            lambda a, s, d, f, w, o, t, c: transfer(a, s, d, f, where=w, order=o, token_tags=t, carry_tags=c),
            amounts,
            names,
            names,
            flavors,
            wheres,
            orders,
            tags,
            carried,
        ),
        st.builds(transfer, amounts, names, names, flavors),
        st.builds(lambda a, s, f, w, o: retire(a, s, f, where=w, order=o), amounts, names, flavors, wheres, orders),
        st.builds(lambda h, a, s, w, d: Reserve(h, "usd", a, s, Spending(w), day(d) if d else None), holds, amounts, names, wheres, st.integers(0, 6)),
        st.builds(lambda h, d, a, k: PostHold(h, d, a, keep_rest=k), holds, names, st.one_of(st.none(), amounts), st.booleans()),
        st.builds(ReleaseHold, holds),
        st.builds(lambda a, s, f, r: Distribute("usd", a, s, "loan", fee=f, retire=r), amounts, names, st.sampled_from([(0, 1), (1, 10)]), st.booleans()),
    )


Step = tuple[list[list[Action]], int, int, bool]
"""Transactions, each a list of actions; the day they happened; the day they are posted; whether a guard is asked."""
steps: st.SearchStrategy[Step] = st.tuples(
    st.lists(st.lists(actions(), min_size=1, max_size=3), min_size=1, max_size=2), st.integers(0, 5), st.integers(0, 5), st.integers(0, 9).map(lambda n: n == 0)
)


class Told:
    """What the moves say, added up."""

    def __init__(self, moves: list[PostedMove]) -> None:
        self.moves = moves

    def stands(self, until: Any = None) -> Counter[tuple[str, str, str]]:
        stood: Counter[tuple[str, str, str]] = Counter()
        for move in self.moves:
            if until is None or move.effective_at <= until:
                stood[move.source, move.flavor_id, str(sorted(_of_source(move).items()))] -= move.amount
                stood[move.destination, move.flavor_id, str(sorted(_of_destination(move).items()))] += move.amount
        return stood


def _of_source(move: PostedMove) -> dict[str, Any]:
    return {} if move.type == "issue" else dict(move.source_tags)


def _of_destination(move: PostedMove) -> dict[str, Any]:
    return {} if move.type == "retire" else dict(move.token_tags)


def play(books: Books, tenant: str, history: list[Step]) -> list[Any]:
    answers: list[Any] = []
    for place, (transactions, happened, posted, guarded) in enumerate(history):
        guard = (Expect("account_id = 'ann' AND flavor_id = 'usd'", amount=0),) if guarded else ()
        asked = [txn(*made, id=f"{place}.{number}", at=day(happened), expect=guard) for number, made in enumerate(transactions)]
        try:
            answers.append([one.before for one in books.post(tenant, asked, DAY + timedelta(days=posted))])
        except Refused as refused:
            answers.append((refused.code, refused.field, refused.detail))
    return answers


def picture(books: Books, tenant: str) -> list[Any]:
    tokens = books.tokens(tenant, Question(), limit=1_000).items
    instants = [books.sum_tokens(tenant, Question(group_by=("account_id", "flavor_id", "tags.n")), AsOf(day(number))) for number in range(6)]
    moves = [
        (
            one.txn_id,
            one.action_no,
            one.type,
            one.flavor_id,
            one.amount,
            one.source,
            one.destination,
            sorted(one.source_tags.items()),
            sorted(one.token_tags.items()),
        )
        for one in books.actions(tenant, Question(), limit=1_000).items
    ]
    return [tokens, [sorted(map(str, one)) for one in instants], sorted(map(str, moves))]


def open_all(books: Books, tenant: str) -> None:
    for flavor in ("usd", "loan"):
        books.open_flavor(tenant, Flavor(flavor))
    for name in ACCOUNTS:
        books.open_account(tenant, Account(name, floor=-40 if name == "line" else 0))


def both(database: Database, tenant: str) -> tuple[MemoryBooks, AuroraBooks]:
    """Either store, with the accounts and flavors of the histories."""
    memory, aurora = MemoryBooks(CLOCK), AuroraBooks(database)
    for books in (memory, aurora):
        open_all(books, tenant)
    return memory, aurora


def alike(database: Database, tenant: str, history: list[Step]) -> tuple[AuroraBooks, list[Any]]:
    """Both stores answer a history alike and are alike after it: the one in PostgreSQL, and its answers."""
    memory, aurora = both(database, tenant)
    answers = play(memory, tenant, history)
    assert play(aurora, tenant, history) == answers
    assert picture(aurora, tenant) == picture(memory, tenant)
    return aurora, answers


@given(history=st.lists(steps, max_size=14))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_and_postgresql_answer_alike(database: Database, history: list[Step]) -> None:
    tenant = f"t{next(_tenants)}"
    aurora, first = alike(database, tenant, history)
    for before, again in zip(first, play(aurora, tenant, history), strict=True):
        assert not isinstance(before, list) or all(again), "heard again nothing is done again"


@given(history=st.lists(steps, max_size=25))
@settings(max_examples=150, deadline=None)
def test_what_the_books_tell_is_what_the_moves_add_up_to_at_every_instant(history: list[Step]) -> None:
    books = MemoryBooks(CLOCK)
    open_all(books, T)
    play(books, T, history)
    told = Told(list(books.actions(T, Question(), limit=1_000).items))
    for number in range(7):
        stood = told.stands(day(number))
        flavors_sum = Counter[str]()
        for (_, flavor, _), amount in stood.items():
            flavors_sum[flavor] += amount
        assert not any(flavors_sum.values()), "every flavor sums to zero at every instant"
        for (account, _, lot_tags), amount in stood.items():
            if account != "world":
                assert amount >= (-40 if account == "line" and lot_tags == "[]" else 0), (number, account, lot_tags)
        expected = {key: amount for key, amount in stood.items() if amount > 0}
        page = books.tokens(T, Question(), AsOf(day(number)), limit=1_000).items
        assert {(one.account_id, one.flavor_id, str(sorted(one.tags.items()))): one.amount for one in page} == expected
