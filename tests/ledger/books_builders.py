"""Builders for the tests of the general ledger: books of either kind, and what is posted to them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from bourse.clock import FixedClock
from bourse.errors import Refused
from bourse.ledger.actions import Account, Action, Flavor, Issue, Posted, Retire, Spending, Transaction, Transfer
from bourse.ledger.books import NOW, AsOf, Books, Question

T = "t1"
DAY = datetime(2026, 1, 5, 9, tzinfo=UTC)
CLOCK = FixedClock(DAY)
_numbers: Iterator[int] = count(1)


def day(number: int) -> datetime:
    return DAY + timedelta(days=number)


def txn(*actions: Action, id: str | None = None, at: datetime = DAY, **more: Any) -> Transaction:  # noqa: A002 - short, for half of all tests say it
    return Transaction(id or f"txn-{next(_numbers)}", actions, at, **more)


def post(books: Books, *actions: Action, now: datetime = DAY, **more: Any) -> Posted:
    [posted] = books.post(T, [txn(*actions, **more)], now)
    return posted


def issue(amount: int, to: str, flavor: str = "usd", **more: Any) -> Issue:
    return Issue(flavor, amount, to, **more)


def transfer(
    amount: int, source: str, to: str, flavor: str = "usd", where: str = "", params: tuple[Any, ...] = (), order: str = "fifo", **more: Any
) -> Transfer:
    return Transfer(flavor, amount, source, to, Spending(where, params, order), **more)


def retire(amount: int, source: str, flavor: str = "usd", where: str = "", params: tuple[Any, ...] = (), order: str = "fifo", **more: Any) -> Retire:
    return Retire(flavor, amount, source, Spending(where, params, order), **more)


def opened(books: Books, *accounts: str | Account, flavors: tuple[str | Flavor, ...] = ("usd",)) -> Books:
    """Books with these accounts and flavors."""
    for flavor in flavors:
        books.open_flavor(T, flavor if isinstance(flavor, Flavor) else Flavor(flavor))
    for account in accounts:
        books.open_account(T, account if isinstance(account, Account) else Account(account))
    return books


def lots(books: Books, account: str, flavor: str = "usd", as_of: AsOf = NOW) -> dict[str, int]:
    """What the account holds: the tags as text -> amount."""
    page = books.tokens(T, Question("account_id = $1 AND flavor_id = $2", (account, flavor)), as_of, limit=1_000)
    return {",".join(f"{name}={value}" for name, value in sorted(token.tags.items())): token.amount for token in page.items}


def held(books: Books, account: str, flavor: str = "usd", as_of: AsOf = NOW) -> int:
    return sum(lots(books, account, flavor, as_of).values())


def picture(books: Books) -> list[Any]:
    """All that can be read, to compare with what can be read later."""
    return [books.tokens(T, Question(), limit=1_000), books.actions(T, Question(), limit=1_000), books.sum_actions(T, Question(group_by=("type",)))]


def refused(does: Callable[[], object]) -> tuple[str, str | None]:
    """With which code, and at which place, it is refused."""
    with pytest.raises(Refused) as caught:
        does()
    return caught.value.code, caught.value.field
