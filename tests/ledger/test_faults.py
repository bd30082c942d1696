"""The faults others made, each as a test that fails where it is made again: Formance, Blnk, TigerBeetle, by the numbers of their issues."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused, Unavailable
from bourse.ledger.actions import Account, Distribute, PostHold, Reserve
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_state import load
from bourse.ledger.books import AsOf, Books, Question
from bourse.ledger.distribute import distribution
from bourse.ledger.memory_books import MemoryBooks

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import CLOCK, DAY, T, day, held, issue, lots, opened, picture, post, transfer, txn


@pytest.fixture(params=["memory", "aurora"])
def books(request: pytest.FixtureRequest) -> Iterator[Books]:
    """Books with dollars and a loan, and ann, ben and cat who may hold them."""
    if request.param == "memory":
        yield opened(MemoryBooks(CLOCK), "ann", "ben", "cat", flavors=("usd", "loan"))
        return
    with closing(Database(request.getfixturevalue("fresh_database").app_dsn)) as database:
        yield opened(AuroraBooks(database), "ann", "ben", "cat", flavors=("usd", "loan"))


def code_of(does: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        does()
    return caught.value.code, caught.value.detail


def stands(books: Books, *accounts: str) -> list[list[int]]:
    """What each account held on each of ten days."""
    return [[held(books, account, as_of=AsOf(day(number))) for account in accounts] for number in range(10)]


def test_formance_1684_a_back_dated_transaction_that_fails_leaves_no_trace_at_any_past_instant(books: Books) -> None:
    """Fault: accounts were written and committed outside the operation, so a back-dated transaction that failed skewed every later question about
    the past. Here the failing ones touch accounts and tags nobody touched before, at an instant before everything, by either way of posting."""
    post(books, issue(100, "ann"), at=day(3))
    before = stands(books, "ann", "ben", "cat"), picture(books)
    new = {"seen": "never"}
    assert code_of(lambda: post(books, issue(5, "cat", token_tags=new), transfer(50, "ann", "ben", token_tags=new), at=day(1)))[0] == "BACKDATED"
    assert code_of(lambda: post(books, issue(5, "cat"), transfer(500, "ann", "ben"), at=day(1)))[0] == "INSUFFICIENT_FUNDS"
    assert code_of(lambda: post(books, issue(5, "ben", token_tags=new), transfer(50, "ann", "ben", where="amount > 0"), at=day(0)))[0] == "BACKDATED"
    with pytest.raises(Refused):
        books.post(T, [txn(issue(7, "cat"), at=day(0)), txn(transfer(1, "ann", "nobody"), at=day(0))], DAY)
    assert (stands(books, "ann", "ben", "cat"), picture(books)) == before


def test_formance_1684_a_dry_run_that_is_back_dated_leaves_no_trace_either(books: Books) -> None:
    """Fault: as above. A dry run is a posting that is undone, so it would leave the same traces."""
    post(books, issue(100, "ann"), at=day(3))
    before = stands(books, "ann", "ben"), picture(books)
    books.post(T, [txn(transfer(50, "ann", "ben", where="amount > 0"), issue(1, "ben", token_tags={"x": 1}), at=day(4))], DAY, dry_run=True)
    assert (stands(books, "ann", "ben"), picture(books)) == before


def test_formance_340_a_back_dated_transaction_is_checked_at_every_later_instant_and_the_first_that_fails_is_named(books: Books) -> None:
    """Fault: back-dating was let in when the final state allowed it; a day between stood below zero, and nobody said which."""
    post(books, issue(100, "ann"), at=day(0))
    post(books, transfer(90, "ann", "ben"), at=day(2))
    post(books, issue(3, "ann"), at=day(3))
    post(books, transfer(9, "ann", "ben"), at=day(5))
    post(books, issue(500, "ann"), at=day(7))
    code, detail = code_of(lambda: post(books, transfer(11, "ann", "cat"), at=day(1)))
    assert (code, day(2).isoformat() in detail) == ("BACKDATED", True), "the first that fails is day 2; the lowest would be day 5"
    code, detail = code_of(lambda: post(books, transfer(5, "ann", "cat"), at=day(1)))
    assert (code, day(5).isoformat() in detail) == ("BACKDATED", True)
    post(books, transfer(4, "ann", "cat"), at=day(1))
    assert [row[0] for row in stands(books, "ann")] == [100, 96, 6, 9, 9, 0, 0, 500, 500, 500]
    post(books, transfer(500, "ann", "cat"), at=day(7))


@pytest.mark.parametrize("evil", ["'; drop table books.move; --", "' or '1'='1", "\\' or 1=1 --", "%s", "$1", '"; select 1', "x'::text)) or true --"])
def test_formance_1349_what_a_filter_says_never_becomes_sql(books: Books, evil: str) -> None:
    """Fault: an address in a filter was pasted into the SQL. Asked as a parameter, a literal, a tag's name, a group, and by who spends."""
    post(books, issue(10, "ann", token_tags={"k": evil}), issue(5, "ann"))
    quoted = evil.replace("'", "''")
    for where, params in (("tags.k = $1", (evil,)), (f"tags.k = '{quoted}'", ()), ("tags.k IN ($1, 'y')", (evil,))):
        assert books.sum_tokens(T, Question(where, params))[0].amount == 10
        assert books.tokens(T, Question(f"account_id = $1 AND {where.replace('$1', '$2')}", ("nobody", *params))).items == []
    assert books.sum_tokens(T, Question("account_id = $1", (evil,)))[0].amount == 0
    assert code_of(lambda: books.sum_tokens(T, Question(evil)))[0] in {"FILTER_INVALID", "FILTER_PARAMS"}
    assert code_of(lambda: books.sum_tokens(T, Question(f"tags.{evil} = 1")))[0] in {"FILTER_INVALID", "FILTER_PARAMS"}
    assert code_of(lambda: books.sum_tokens(T, Question(group_by=(evil,))))[0] == "GROUP_BY_INVALID"
    post(books, transfer(10, "ann", "ben", where="tags.k = $1", params=(evil,), carry_tags=True))
    assert (held(books, "ann"), lots(books, "ben")) == (5, {f"k={evil}": 10})


def test_formance_1398_the_offset_of_a_time_counts_wherever_a_time_is_asked_for(books: Books) -> None:
    """Fault: the offset of a time in a filter was dropped, so 10:00+02:00 was taken for 10:00Z."""
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    post(books, issue(1, "ann", token_tags={"due": "2026-01-05T14:00:00+02:00"}), at=noon - timedelta(minutes=1))
    post(books, issue(2, "ann"), at=noon)
    same = ("2026-01-05T14:00:00+02:00", "2026-01-05T12:00:00Z", "2026-01-05T07:00:00-05:00")
    for written in same:
        assert books.sum_actions(T, Question("timestamp >= $1", (written,)))[0].amount == 2
        assert books.sum_actions(T, Question(f"timestamp < '{written}'"))[0].amount == 1
        assert books.sum_tokens(T, Question("tags.due:time = $1", (written,)))[0].amount == 1
    assert books.sum_tokens(T, Question("tags.due:time = '2026-01-05T14:00:00Z'"))[0].amount == 0
    for offset in (2, 0, -5):
        as_of = AsOf((noon - timedelta(microseconds=1)).astimezone(timezone(timedelta(hours=offset))))
        assert held(books, "ann", as_of=as_of) == 1


def test_formance_1186_of_an_or_every_branch_counts(books: Books) -> None:
    """Fault: of the values of an $or only the last was kept. Each branch alone, in every place, and by who spends."""
    for number, name in enumerate(("ann", "ben", "cat")):
        post(books, issue(10**number, name, token_tags={"n": number}))
    for order in ((0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)):
        where = " OR ".join(f"tags.n = {number}" for number in order)
        assert books.sum_tokens(T, Question(where))[0].amount == sum(10**number for number in order), where
        assert books.sum_actions(T, Question(" OR ".join(f"amount = {10**number}" for number in order)))[0].amount == sum(10**number for number in order)
    assert books.sum_tokens(T, Question("tags.n = 0 OR (tags.n = 1 OR tags.n = 2)"))[0].amount == 111
    post(books, issue(1, "ann", token_tags={"n": 5}), transfer(2, "ann", "ben", where="tags.n = 0 OR tags.n = 5"))
    assert held(books, "ann") == 0


def test_blnk_73_the_parts_of_a_payment_are_the_payment(books: Books) -> None:
    """Fault: 2.50 was split by 50 %, 45 % and the rest into 1.25, 1.13 and 0.13, which is 2.51. By either rule, for many sums and shares, the
    parts and the fee are the sum, and none is negative."""
    opened(books, "payer")
    post(books, issue(50, "ann", "loan"), issue(45, "ben", "loan"), issue(5, "cat", "loan"))
    post(books, issue(250, "payer"), Distribute("usd", 250, "payer", "loan", retire=False))
    parts = [held(books, name) for name in ("ann", "ben", "cat")]
    assert (sum(parts), held(books, "payer")) == (250, 0)
    assert [parts[0], parts[1] in {112, 113}, parts[2] in {12, 13}] == [125, True, True]
    paid = 250
    for amount, rule, fee in product((1, 7, 99, 251), ("deficit", "seed_floor"), ((0, 1), (1, 100), (1, 3))):
        share = Distribute("usd", amount, "payer", "loan", retire=False, rule=rule, fee=fee, fee_destination="payee")
        opened(books, "payee")
        post(books, issue(amount, "payer"), share)
        paid += amount
        assert sum(held(books, name) for name in ("ann", "ben", "cat", "payee")) == paid
        assert held(books, "payer") == 0


def test_blnk_181_holds_in_flight_are_counted_by_every_way_of_spending(books: Books) -> None:
    """Fault: the balance check did not see holds in flight: six of 1,000 were let in on 5,000. Tried by holds, transfers and retirements, in one
    transaction and in several, on one lot and on two."""
    for number in range(2):
        post(books, issue(2_500, "ann", token_tags={"n": number}))
    post(books, *(Reserve(f"h{number}", "usd", 1_000, "ann") for number in range(4)))
    assert code_of(lambda: post(books, Reserve("h4", "usd", 1_000, "ann"), Reserve("h5", "usd", 1_000, "ann")))[0] == "RESERVED"
    post(books, Reserve("h4", "usd", 1_000, "ann"))
    for does in (Reserve("h5", "usd", 1, "ann"), transfer(1, "ann", "ben"), transfer(1, "ann", "ben", where="tags.n = 1")):
        assert code_of(lambda does=does: post(books, does))[0] == "RESERVED"
    post(books, PostHold("h0", "ben"))
    assert code_of(lambda: post(books, transfer(1, "ann", "ben")))[0] == "RESERVED"
    assert (held(books, "ann"), held(books, "ben")) == (4_000, 1_000)


def test_blnk_182_a_hold_that_was_refused_is_never_posted(books: Books) -> None:
    """Fault: a hold that was rejected could still be committed by its queued id, and overdrew the balance. Also not when it was refused in the
    same transaction as others, nor when money came since, nor by asking under the transaction's old id."""
    post(books, issue(100, "ann"))
    ask = txn(Reserve("h", "usd", 60, "ann"), Reserve("i", "usd", 60, "ann"), id="both")
    assert code_of(lambda: books.post(T, [ask], DAY))[0] == "RESERVED"
    poor = txn(Reserve("j", "usd", 101, "ann"), id="poor")
    assert code_of(lambda: books.post(T, [poor], DAY))[0] == "INSUFFICIENT_FUNDS"
    post(books, issue(1_000, "ann"))
    for hold in ("h", "i", "j"):
        assert code_of(lambda hold=hold: post(books, PostHold(hold, "ben")))[0] == "HOLD_UNKNOWN"
    assert code_of(lambda: books.post(T, [poor], DAY))[0] == "INSUFFICIENT_FUNDS", "what was refused for good is not done later"
    assert held(books, "ben") == 0


def test_blnk_171_of_two_who_post_parts_of_a_hold_at_once_none_posts_more_than_is_left(fresh_database: FreshDatabase) -> None:
    """Fault: two commits read the same amount left of a hold, and both spent it. Here eight post 30 of 100 at once, keeping the rest."""
    with closing(Database(fresh_database.app_dsn)) as database:
        books = opened(AuroraBooks(database), "ann", "ben")
        post(books, issue(100, "ann"), issue(500, "ann", token_tags={"other": True}), Reserve("h", "usd", 100, "ann"))
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda number: _posts_a_part(fresh_database.app_dsn, number), range(8)))
        assert sorted(outcomes) == ["HOLD_AMOUNT"] * 5 + ["posted"] * 3
        assert (held(books, "ben"), held(books, "ann")) == (90, 510)
        [left] = [one for one in books.tokens(T, Question("account_id = 'ann'")).items if not one.tags]
        assert (left.amount, left.held) == (10, 10)


def _posts_a_part(dsn: str, number: int) -> str:
    with closing(Database(dsn)) as database:
        for _ in range(100):
            try:
                post(AuroraBooks(database), PostHold("h", "ben", 30, keep_rest=True), id=f"part{number}")
            except Refused as refused:
                return refused.code
            except Unavailable:
                continue
            return "posted"
    return "gave up"


def test_tigerbeetle_2544_several_conditions_together_drop_no_row(books: Books) -> None:
    """Fault: a query by several fields at once left out rows that matched all of them. Every conjunction of conditions on account, flavor, tags,
    amount and time is compared with the rows taken one by one, page by page."""
    opened(books, Account("dora", {"type": "x"}))
    for number, (name, flavor, tag) in enumerate(product(("ann", "ben", "dora"), ("usd", "loan"), (0, 1, 2))):
        post(books, issue(1 + number % 4, name, flavor, token_tags={"n": tag}, action_tags={"m": tag}), at=day(number % 3))
    all_tokens = books.tokens(T, Question(), limit=1_000).items
    all_actions = books.actions(T, Question(), limit=1_000).items
    of_tokens: list[tuple[str, Callable[[Any], bool]]] = [
        ("account_id IN ('ann', 'dora')", lambda one: one.account_id in {"ann", "dora"}),
        ("flavor_id = 'usd'", lambda one: one.flavor_id == "usd"),
        ("tags.n >= 1", lambda one: one.tags["n"] >= 1),
        ("amount != 2", lambda one: one.amount != 2),
        ("NOT account_tags.type = 'x'", lambda one: one.account_id != "dora"),
    ]
    of_actions: list[tuple[str, Callable[[Any], bool]]] = [
        ("destination_account_id = 'ann'", lambda one: one.destination == "ann"),
        ("flavor_id = 'loan'", lambda one: one.flavor_id == "loan"),
        ("tags.m = 2", lambda one: one.action_tags["m"] == 2),
        (f"timestamp >= '{day(1).isoformat()}'", lambda one: one.effective_at >= day(1)),
        ("snapshot.token_tags.n < 2", lambda one: one.token_tags["n"] < 2),
    ]
    assert (len(all_tokens), len(all_actions)) == (18, 18)
    _compare(books.tokens, all_tokens, of_tokens)
    _compare(books.actions, all_actions, of_actions)


def _compare(read: Any, everything: Any, conditions: list[tuple[str, Callable[[Any], bool]]]) -> None:
    for chosen in product((False, True), repeat=len(conditions)):
        asked = [one for one, yes in zip(conditions, chosen, strict=True) if yes]
        found: list[Any] = []
        cursor = None
        while True:
            page = read(T, Question(" AND ".join(text for text, _ in asked)), cursor=cursor, limit=3)
            found += page.items
            if (cursor := page.cursor) is None:
                break
        assert found == [one for one in everything if all(ask(one) for _, ask in asked)], asked


# X6: the share sizes at which the lending guide's floor of a double loses a token


def _double(tokens: int, whole: int) -> int:
    """The guide's own formula: the floor of (share / all) * all, in doubles."""
    return int(tokens / whole * whole)


def test_x6_a_loan_of_11000_is_distributed_exactly_at_every_size_of_a_share_of_which_doubles_break_683() -> None:
    """Fault: the share was a double, so at 683 of the 11,000 sizes a holder retired one token too few, and the loan never closed."""
    broken = [tokens for tokens in range(1, 11_001) if _double(tokens, 11_000) != tokens]
    assert (len(broken), broken[:4], 7_333 in broken) == (683, [1, 2, 4, 8], True)
    for tokens in range(1, 11_001):
        holders = {"ann": tokens, "ben": 11_000 - tokens} if tokens < 11_000 else {"ann": tokens}
        for rule in ("deficit", "seed_floor"):
            action = Distribute("usd", 11_000, "payer", "loan", fee=(1, 100), rule=rule)
            made = distribution(action, holders, {}, {})
            assert made.retires == holders, f"{rule}: all of a share of {tokens} is retired"
            assert made.fee + sum(made.pays.values()) == 11_000
            assert all(abs(made.pays[one] - Fraction(10_890 * held_, 11_000)) < 1 for one, held_ in holders.items())
            assert made.fee == 110 or (rule == "seed_floor" and made.fee <= 111)


@pytest.mark.parametrize("tokens", [1, 2, 4, 8, 7_333, 3_666])
def test_x6_the_books_close_a_loan_that_doubles_leave_open(books: Books, tokens: int) -> None:
    opened(books, "payer")
    post(books, issue(tokens, "ann", "loan"), issue(11_000 - tokens, "ben", "loan"), issue(11_000, "payer"))
    post(books, Distribute("usd", 11_000, "payer", "loan", fee=(1, 100)))
    assert [held(books, name, "loan") for name in ("ann", "ben")] == [0, 0]
    assert [held(books, "payer"), held(books, "ann") + held(books, "ben")] == [0, 10_890]


@pytest.mark.parametrize("sold", [50, 100], ids=["a part", "all"])
def test_x8_a_sale_between_reading_who_holds_and_paying_pays_the_new_holder(fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch, sold: int) -> None:
    """Fault: the holders are read and then paid, and a sale in between pays the wrong one. Here the sale is committed at that very point."""
    with closing(Database(fresh_database.app_dsn)) as database, closing(Database(fresh_database.app_dsn)) as other:
        books, seller = opened(AuroraBooks(database), "ann", "ben", "cat", flavors=("usd", "loan")), AuroraBooks(other)
        post(books, issue(100, "ann", "loan"), issue(100, "ben", "loan"), issue(100, "cat"))
        sales = iter([transfer(sold, "ann", "ben", "loan")])

        def sold_meanwhile(*asked: Any) -> Any:
            loaded = load(*asked)
            for sale in sales:
                post(seller, sale, id="sale")
            return loaded

        monkeypatch.setattr("bourse.ledger.aurora_posting.load", sold_meanwhile)
        post(books, Distribute("usd", 20, "cat", "loan"))  # so little that both could pay it, whoever holds what
        paid = {50: [5, 15], 100: [0, 20]}[sold]
        assert [held(books, one) for one in ("ann", "ben", "cat")] == [*paid, 80]
        assert [held(books, one, "loan") for one in ("ann", "ben")] == [100 - sold - paid[0], 100 + sold - paid[1]]
