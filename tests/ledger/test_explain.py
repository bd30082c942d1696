"""Where an amount came from, told alike by both kinds of books: the guide, the rule by the plainest of models, and its limits."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from random import Random
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused
from bourse.ledger.actions import Account, Action, Distribute, Flavor, Reverse, Spending, canonical
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_explain import AuroraExplains
from bourse.ledger.books import Books, Question
from bourse.ledger.explain import Explains, Explanation, Limits, Source, explained_text
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_explain import MemoryExplains
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.books_builders import CLOCK, DAY, T, day, issue, opened, post, retire, transfer, txn
from tests.ledger.test_books_histories import Step, both, play, steps
from tests.ledger.test_guide import TYPES, lend_and_sell, pay

ALL = Limits(depth=64, steps=5_000, moves=100_000, lots=100)
_tenants = count(1)


@dataclass
class World:
    """Books, and who explains them."""

    books: Books
    explains: Explains

    def one(self, account: str, flavor: str = "usd", limits: Limits = ALL, **tags: Any) -> Explanation:
        return self.explains.explain_lot(T, account, flavor, tags, limits)


@pytest.fixture(params=["memory", "aurora"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        books = MemoryBooks(CLOCK)
        yield World(books, MemoryExplains(books))
        return
    database = Database(request.getfixturevalue("fresh_database").app_dsn)
    yield World(AuroraBooks(database), AuroraExplains(database))
    database.close()


def told(sources: Sequence[Source]) -> list[Any]:
    """A tree as (amount, txn_id, why it ends, what is below)."""
    return [(one.amount, one.action and one.action.txn_id, one.end, told(one.sources)) for one in sources]


def tree(found: Explanation) -> list[Any]:
    [lot] = found.lots
    return told(lot.sources)


def adds_up(found: Explanation) -> bool:
    def whole(amount: int, sources: Sequence[Source]) -> bool:
        return amount == sum(one.amount for one in sources) and all(one.end is not None or whole(one.amount, one.sources) for one in sources)

    return all(whole(lot.token.amount, lot.sources) for lot in found.lots)


# The guide


def test_an_investors_cash_is_explained_to_the_borrowers_payment(world: World) -> None:
    opened(
        world.books,
        *(Account(name, {"type": type_}) for name, type_ in TYPES.items()),
        flavors=("usd", Flavor("loan1", {"type": "loan", "borrower_id": "alice"})),
    )
    lend_and_sell(world.books)
    pay(world.books, "deficit")
    text = explained_text(world.explains.explain(T, Question("account_id = $1", ("investor1",)))).splitlines()
    paid, deposit, sold, lent = (
        world.books.actions(T, Question(where)).items[0].txn_id
        for where in (
            "tags.type='loan_payment'",
            "tags.type='deposit' AND destination_account_id='investor1'",
            "flavor_id='loan1' AND destination_account_id='investor1'",
            "tags.type='distribute_loan_amount'",
        )
    )
    assert text[-5:] == [
        "investor1 has 93529 usd",
        f'  3629 from processing by transfer {paid}/2 of 3629 at 2018-01-01T12:00:00Z {{"type":"company_fee"}}',
        f'    3629 from alice by transfer {paid}/1 of 11000 at 2018-01-01T12:00:00Z {{"type":"loan_payment"}}',
        f"      3629 from world by issue {paid}/0 of 11000 at 2018-01-01T12:00:00Z: made by it",
        f'  89900 from world by issue {deposit}/0 of 100000 at 2017-12-02T00:00:00Z {{"type":"deposit"}}: made by it',
    ]
    assert text[:-5] == [
        line
        for number, due in ((2, "2018-02-01T00:00:00Z"), (3, "2018-03-01T00:00:00Z"))
        for line in (
            f'investor1 has 3666 loan1 {{"due_date":"{due}","installment":{number}}}',
            f"  3666 from lending by transfer {sold}/{number} of 3666 at 2017-12-03T00:00:00Z",
            f"    3666 from world by issue {lent}/{number + 1} of 11000 at 2017-12-01T00:00:00Z: made by it",
        )
    ]


# First in, first out


def test_what_came_first_leaves_first(world: World) -> None:
    opened(world.books, "ann", "ben", "cat")
    for number, (to, amount) in enumerate((("ann", 10), ("ann", 20), ("ann", 5)), 1):
        post(world.books, issue(amount, to), id=f"in{number}", at=day(number))
    post(world.books, transfer(12, "ann", "ben"), id="sale1", at=day(4))
    post(world.books, transfer(9, "ann", "ben"), id="sale2", at=day(5))
    post(world.books, transfer(18, "ben", "cat"), id="on", at=day(6))
    assert tree(world.one("ann")) == [(5, "in3", "issued", []), (9, "in2", "issued", [])]
    assert tree(world.one("ben")) == [(3, "sale2", None, [(3, "in2", "issued", [])])]
    sale1 = (12, "sale1", None, [(2, "in2", "issued", []), (10, "in1", "issued", [])])
    assert tree(world.one("cat")) == [(18, "on", None, [(6, "sale2", None, [(6, "in2", "issued", [])]), sale1])]


def test_a_back_dated_entry_comes_where_it_happened(world: World) -> None:
    opened(world.books, "ann", "ben")
    post(world.books, issue(10, "ann"), id="late", at=day(3))
    post(world.books, transfer(10, "ann", "ben"), id="sale", at=day(5))
    assert tree(world.one("ben")) == [(10, "sale", None, [(10, "late", "issued", [])])]
    post(world.books, issue(4, "ann"), id="early", at=day(1))
    assert tree(world.one("ben")) == [(10, "sale", None, [(6, "late", "issued", []), (4, "early", "issued", [])])]
    assert tree(world.one("ann")) == [(4, "late", "issued", [])]


def test_what_a_reversal_brings_back_came_by_it(world: World) -> None:
    opened(world.books, "ann", "ben")
    post(world.books, issue(10, "ann"), id="in")
    post(world.books, transfer(7, "ann", "ben"), id="sale", at=day(1))
    post(world.books, Reverse("sale"), id="back", at=day(2))
    assert tree(world.one("ann")) == [(7, "back", None, [(7, "sale", None, [(7, "in", "issued", [])])]), (3, "in", "issued", [])]
    assert world.one("ben").lots == ()


def test_tokens_on_credit_end_there_and_what_comes_pays_it_first(world: World) -> None:
    opened(world.books, Account("line", floor=-50), "ann")
    post(world.books, issue(10, "line"), id="in")
    post(world.books, transfer(30, "line", "ann"), id="lent", at=day(1))
    post(world.books, issue(25, "line"), id="paid", at=day(2))
    assert tree(world.one("ann")) == [(30, "lent", None, [(20, None, "credit", []), (10, "in", "issued", [])])]
    assert tree(world.one("line")) == [(5, "paid", "issued", [])]


def test_what_an_account_without_a_floor_gives_is_made_there(world: World) -> None:
    opened(world.books, Account("fund", floor=None, hot=True), "ann")
    post(world.books, issue(8, "ann"), id="in")
    post(world.books, transfer(8, "ann", "fund"), id="kept", at=day(1))
    assert tree(world.one("fund")) == [(8, "kept", None, [(8, "in", "issued", [])])]
    post(world.books, transfer(11, "fund", "ann"), id="given", at=day(2))
    assert tree(world.one("ann")) == [(11, "given", "contra", [])]


def test_moves_that_go_round_at_one_instant_explain_nobody(world: World) -> None:
    opened(world.books, "ann", "ben", "cat")
    post(world.books, issue(10, "ann"), id="in", at=day(3))
    post(world.books, transfer(10, "ann", "ben"), id="there", at=day(5))
    post(world.books, transfer(10, "ben", "ann"), id="back", at=day(5))
    post(world.books, transfer(10, "ann", "cat"), id="before", at=day(4))
    assert tree(world.one("cat")) == [(10, "before", None, [(10, "in", "issued", [])])]
    assert (world.one("ann").lots, world.one("ben").lots) == ((), ()), "what went there is what came back, and that is what went there"


# The limits


def ladder(world: World, accounts: int) -> None:
    """Tokens that go from hand to hand."""
    names = [f"a{number}" for number in range(accounts)]
    opened(world.books, *names)
    post(world.books, issue(10, "a0"), id="in")
    for number, (one, other) in enumerate(pairwise(names), 1):
        post(world.books, transfer(10, one, other), id=f"step{number}", at=day(number))


def test_a_chain_is_cut_at_its_depth(world: World) -> None:
    ladder(world, 5)
    found = world.one("a4", limits=Limits(depth=2))
    assert (tree(found), found.cut) == ([(10, "step4", None, [(10, "step3", "depth", [])])], 10)
    assert world.one("a4", limits=Limits(depth=5)).cut == 0


@pytest.mark.parametrize("limit", range(1, 12))
def test_what_is_beyond_the_steps_is_told_in_one(world: World, limit: int) -> None:
    opened(world.books, "ann", "ben", "cat")
    for number in range(5):
        post(world.books, issue(number + 1, "ann"), id=f"in{number}", at=day(number))
    post(world.books, transfer(13, "ann", "ben"), id="sale", at=day(6))
    post(world.books, issue(5, "ben"), id="more", at=day(7))
    found = world.one("ben", limits=Limits(steps=limit))
    sold = [(5 - n if n else 3, f"in{4 - n}", "issued", []) for n in range(5)][: max(0, limit - 2)]
    rest = 13 - sum(one[0] for one in sold)
    more = [(5, "more", "issued", [])]
    sale = [(13, "sale", None, [*sold, *([(rest, None, "steps", [])] if rest else [])])] if limit > 1 else [(13, None, "steps", [])]
    assert (tree(found), found.cut, adds_up(found)) == (more + sale, 13 if limit == 1 else rest, True)


def test_a_lot_whose_arrivals_are_too_many_is_cut(world: World) -> None:
    opened(world.books, "ann", "ben")
    for number in range(5):
        post(world.books, issue(3, "ann"), id=f"in{number}", at=day(number))
    assert tree(world.one("ann", limits=Limits(moves=2))) == [(3, "in4", "issued", []), (3, "in3", "issued", []), (9, None, "moves", [])]


def test_lots_beyond_the_limit_are_left_out_with_their_amount(world: World) -> None:
    opened(world.books, "ann", "ben", "cat")
    post(world.books, *(issue(number, name) for number, name in enumerate(("ann", "ben", "cat"), 1)))
    found = world.explains.explain(T, Question(), Limits(lots=1))
    assert ([one.token.account_id for one in found.lots], found.left_out) == (["ann"], 5)
    assert explained_text(found).endswith("5 more in other lots\n")
    assert explained_text(world.one("nobody")) == "nothing\n"


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"depth": 65}, {"steps": 5_001}, {"moves": 0}, {"lots": 101}])
def test_a_limit_out_of_bounds_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(Refused) as caught:
        Limits(**wrong)
    assert (caught.value.code, caught.value.field) == ("LIMIT_INVALID", next(iter(wrong)))


# The rule, by the plainest of models


class Queues:
    """Every lot is a queue of parts of moves; who takes from it takes the first. Nothing is counted from behind."""

    def __init__(self, books: MemoryBooks, tenant: str) -> None:
        ledger = books._of(tenant)
        self.shown = {(one.number, one.seq): one.shown for one in ledger.moves}
        self.took: dict[Any, list[Any]] = {}
        self.lots: dict[Any, deque[list[Any]]] = {}
        self.ends: dict[Any, str | None] = {}
        for lot in ledger.lots:
            queue = self.lots[lot] = deque()
            owes = 0
            mine = [(one.shown.effective_at, one.src == lot, one.number, one.seq, one) for one in ledger.moves if lot in (one.src, one.dst)]
            for _, leaves, number, seq, one in sorted(mine, key=lambda each: each[:4]):
                left = one.shown.amount
                if not leaves:
                    paid = min(owes, left)
                    owes -= paid
                    if left - paid:
                        queue.append([(number, seq), paid, left - paid])
                    contra = one.src[2] == b"{}" and ledger.accounts[one.src[0]].floor is None
                    self.ends[number, seq] = "issued" if one.shown.type == "issue" else "contra" if contra else None
                    continue
                parts = self.took[number, seq] = []
                while left and queue:
                    move, first, amount = queue[0]
                    part = min(left, amount)
                    parts.append((move, first, part))
                    left -= part
                    if part == amount:
                        queue.popleft()
                    else:
                        queue[0] = [move, first + part, amount - part]
                owes += left
                if left:
                    parts.append((None, 0, left))

    def explain(self, lot: Any) -> list[Any]:
        return [self.source(move, first, amount) for move, first, amount in reversed(self.lots[lot])]

    def source(self, move: Any, first: int, amount: int) -> Any:
        if move is None:
            return (amount, None, "credit", [])
        if end := self.ends[move]:
            return (amount, self.shown[move].txn_id, end, [])
        found, skip, left = [], first, amount
        for before, begins, there in self.took[move]:
            part = min(left, there - min(skip, there))
            if part:
                found.append(self.source(before, begins + min(skip, there), part))
            skip, left = max(0, skip - there), left - part
        assert left == 0
        return (amount, self.shown[move].txn_id, None, [*found[::-1]])


def agree(memory: MemoryBooks, tenant: str, *others: Explains) -> int:
    """Every lot is explained by both stores as by the model, and its sources add up. How many sources there were."""
    queues = Queues(memory, tenant)
    found = MemoryExplains(memory).explain(tenant, Question("account_id != 'world'"), ALL)
    assert adds_up(found)
    assert (found.cut, found.left_out) == (0, 0)
    for lot in found.lots:
        key = (lot.token.account_id, lot.token.flavor_id, canonical(dict(lot.token.tags)))
        assert told(lot.sources) == queues.explain(key), key
    for other in others:
        again = other.explain(tenant, Question("account_id != 'world'"), ALL)
        assert [(one.token, told(one.sources)) for one in sorted(again.lots, key=_name)] == [
            (one.token, told(one.sources)) for one in sorted(found.lots, key=_name)
        ]
    return sum(map(len, map(str, found.lots)))


def _name(lot: Any) -> Any:
    return lot.token.account_id, lot.token.flavor_id, canonical(dict(lot.token.tags))


@given(history=st.lists(steps, max_size=14))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_history_every_lot_is_explained_to_the_unit(database: Database, history: list[Step]) -> None:
    tenant = f"t{next(_tenants)}"
    memory, aurora = both(database, tenant)
    assert play(memory, tenant, history) == play(aurora, tenant, history)
    agree(memory, tenant, AuroraExplains(database))


def long_life(books: Sequence[Books], seed: int, length: int) -> None:
    """Sales, late sales, distributions, holds' like and reversals among a few."""
    random = Random(seed)
    names = ("ann", "ben", "cat", "dan")
    for one in books:
        opened(one, *names, Account("line", floor=-500), Account("fund", floor=None, hot=True), flavors=("usd", "loan"))
    posted: list[str] = []
    for number in range(length):
        action, at = _action(random, posted), day(random.randrange(number // 10 + 1))
        answers = {_post(book, txn(action, id=f"l{number}", at=at)) for book in books}
        assert len(answers) == 1, answers
        posted += [f"l{number}"] if answers == {""} else []


def _action(random: Random, posted: Sequence[str]) -> Action:
    one, other = random.sample(("ann", "ben", "cat", "dan", "line"), 2)
    amount, flavor, tags = random.randrange(1, 60), random.choice(["usd", "usd", "loan"]), random.choice([{}, {}, {"n": 1}])
    match random.randrange(8):
        case 0 | 1:
            return issue(amount, one, flavor, token_tags=tags)
        case 2:
            return transfer(amount, one, other, flavor, token_tags=tags, carry_tags=random.random() < 0.5, order="pro_rata")
        case 3:
            return transfer(amount, one, other, flavor, order="lifo")
        case 4:
            return retire(amount, one, flavor)
        case 5:
            return transfer(amount, *random.choice([("fund", one), (one, "fund")]), flavor)
        case 6:
            return Distribute("usd", amount, "fund", "loan", Spending(), fee=(1, 10), fee_destination="line", retire=random.random() < 0.5)
        case _:
            return Reverse(random.choice(posted or ["none"]), (1, random.randrange(1, 3)))


def _post(books: Books, asked: Any) -> str:
    return _code(lambda: books.post(T, [asked], DAY))


def _code(does: Callable[[], object]) -> str:
    try:
        does()
    except (Refused, Conflict) as refused:
        return refused.code
    return ""


@pytest.mark.parametrize("seed", range(3))
def test_after_a_long_life_every_lot_is_explained_to_the_unit(database: Database, seed: int) -> None:
    memory, aurora = MemoryBooks(CLOCK), AuroraBooks(database)
    long_life((memory, aurora), seed, 250)
    assert agree(memory, T, AuroraExplains(database)) > 1_000
