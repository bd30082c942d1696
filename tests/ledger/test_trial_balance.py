"""The trial balance adds up to zero in every flavor, now and as of any two times, and says what accounts hold."""

from collections import Counter
from datetime import UTC, datetime
from itertools import count

import pytest
from bourse.aws.postgres import Database
from bourse.clock import FixedClock
from bourse.ledger.books import NOW, AsOf, Question
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_journal import MemoryJournal
from bourse.ledger.trial_balance import Balance, Total, totals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.books_builders import DAY, T, day, issue, opened, post, retire, transfer
from tests.ledger.journal_builders import Store, in_memory, in_postgresql, something_of_everything
from tests.ledger.test_books_histories import Step, Told, open_all, play, steps

_tenants = count(1)


@pytest.fixture(params=["memory", "aurora"])
def store(request: pytest.FixtureRequest) -> Store:
    return in_memory() if request.param == "memory" else in_postgresql(request.getfixturevalue("database"))


def test_an_account_is_debited_what_leaves_it_and_credited_what_comes(store: Store) -> None:
    opened(store.books, "ann", "ben", flavors=("usd", "eur"))
    post(store.books, issue(100, "ann"), transfer(60, "ann", "ben"), issue(7, "ben", "eur"))
    post(store.books, retire(10, "ben"), at=day(2))
    balances = list(store.balances.trial_balance(T))
    assert balances == [
        Balance("eur", "ben", 0, 7),
        Balance("eur", "world", 7, 0),
        Balance("usd", "ann", 60, 100),
        Balance("usd", "ben", 10, 60),
        Balance("usd", "world", 100, 10),
    ]
    assert [one.balance for one in balances] == [7, -7, 40, 50, -90]
    assert list(totals(balances)) == [Total("eur", 2, 7, 7), Total("usd", 3, 170, 170)]
    assert list(store.balances.trial_balance(T, AsOf(day(1))))[3] == Balance("usd", "ben", 0, 60)
    assert list(store.balances.trial_balance(T, AsOf(datetime(2020, 1, 1, tzinfo=UTC)))) == []
    assert list(store.balances.trial_balance(T, AsOf(known_at=datetime(2020, 1, 1, tzinfo=UTC)))) == []
    assert list(store.balances.trial_balance("nobody")) == []


def test_it_says_what_was_known_at_a_time_of_what_had_happened_by_another() -> None:
    clock = FixedClock(DAY)
    books = MemoryBooks(clock)
    journal = MemoryJournal(books)
    opened(books, "ann")
    post(books, issue(100, "ann"), at=day(5))
    clock.at = day(9)
    post(books, issue(11, "ann"), at=day(1))
    held = {(effective, known): [one.balance for one in journal.trial_balance(T, AsOf(day(effective), day(known)))] for effective in (1, 5) for known in (0, 9)}
    assert held == {(1, 0): [], (1, 9): [11, -11], (5, 0): [100, -100], (5, 9): [111, -111]}


def test_the_two_times_are_those_of_the_database(database: Database) -> None:
    store = in_postgresql(database)
    opened(store.books, "ann")
    post(store.books, issue(100, "ann"), at=day(5))
    with database.transaction(T) as cursor:
        [known] = cursor.execute("select clock_timestamp()").fetchone() or [None]
    post(store.books, issue(11, "ann"), at=day(1))
    assert [one.balance for one in store.balances.trial_balance(T, AsOf(day(5), known))] == [100, -100]
    assert list(store.balances.trial_balance(T, AsOf(day(1), known))) == []
    assert [one.balance for one in store.balances.trial_balance(T, AsOf(day(1)))] == [11, -11]


def test_it_is_of_the_moves_and_holds_change_nothing_in_it(store: Store) -> None:
    something_of_everything(store)
    for as_of in (NOW, *(AsOf(day(number)) for number in range(6))):
        balances = list(store.balances.trial_balance(T, as_of))
        assert all(one.debits == one.credits for one in totals(balances))
        sums = store.books.sum_tokens(T, Question(group_by=("account_id", "flavor_id")), as_of)
        tokens = {(one.group["flavor_id"], one.group["account_id"]): one.amount for one in sums}
        assert {(one.flavor_id, one.account_id): one.balance for one in balances if one.balance > 0} == tokens


@given(history=st.lists(steps, max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_adds_up_to_zero_at_every_instant_in_both_stores(database: Database, history: list[Step]) -> None:
    tenant = f"t{next(_tenants)}"
    one, other = in_memory(), in_postgresql(database)
    for store in (one, other):
        open_all(store.books, tenant)
        play(store.books, tenant, history)
    told = Told(list(one.books.actions(tenant, Question(), limit=1_000).items))
    for instant in (None, *map(day, range(7))):
        balances = list(one.balances.trial_balance(tenant, AsOf(instant)))
        assert balances == list(other.balances.trial_balance(tenant, AsOf(instant)))
        assert all(total.debits == total.credits for total in totals(balances))
        stands = Counter[tuple[str, str]]()
        for (account, flavor, _), amount in told.stands(instant).items():
            stands[flavor, account] += amount
        assert {(each.flavor_id, each.account_id): each.balance for each in balances if each.balance} == {key: held for key, held in stands.items() if held}
