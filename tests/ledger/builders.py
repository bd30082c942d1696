"""Bids, chunks and keepers of the ledger for its tests: amounts are minor units of EUR, the tenant is t1, the originator acme."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import psycopg
from bourse.assets.events import ClosedLoan
from bourse.aws.postgres import Database
from bourse.clock import FixedClock
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books
from bourse.ledger.memory import MemoryLedger
from bourse.ledger.model import Receipt
from bourse.ledger.settle_investments import settle_investments
from bourse.ledger.store import LedgerStore
from bourse.ledger.transfers import deposit, withdraw
from bourse.matching.events import Bid, BidsPublished
from bourse.message import Message, Outcome, decode, message_id
from bourse.money import Money
from bourse.trading.events import BalancesChanged

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WINDOW = 30
TENANT = "t1"


def bid(number: int | str, **facts: Any) -> Bid:
    """A bid of ivy's: principal 1000 for 1010, of which the originator gets 980 and we keep 30; anything can be said otherwise."""
    usual = {
        "bid_id": f"bid_{number}",
        "offer_id": f"off_{facts.get('loan_id', 'L1')}",
        "offer_version": 1,
        "loan_id": "L1",
        "originator_id": "acme",
        "buy_offer_id": "buy_1",
        "buy_offer_version": 1,
        "portfolio_id": f"{facts.get('investor_id', 'ivy')}-pension",
        "bucket_id": "safe",
        "investor_id": "ivy",
        "product_id": "std",
        "risk_class": "B",
        "principal": 1000,
        "sell_amount": 980,
        "buy_amount": 1010,
        "completes": False,
    }
    return Bid(**(usual | facts))


def chunk(*bids: Bid, number: int | str = 1, tenant_id: str = TENANT, currency: str = "EUR") -> BidsPublished:
    """The message that publishes these bids."""
    return BidsPublished(
        message_id=message_id(BidsPublished.kind, tenant_id, number),
        tenant_id=tenant_id,
        correlation_id=f"upl_{number}",
        book_id=f"{tenant_id}/{currency}/loan",
        currency=currency,
        originator_id=bids[0].originator_id,
        book_version=1,
        said_at=NOON,
        bids=bids,
    )


def closed(loan_id: str = "L1", version: int = 2, status: str = "repaid") -> ClosedLoan:
    return ClosedLoan.model_validate({"loan_id": loan_id, "version": version, "status": status})


class Keeper(Protocol):
    """A ledger with the neighbours it asks: who is blocked, which portfolios an investor has, and what it said itself."""

    ledger: LedgerStore

    @property
    def books(self) -> Books:
        """Where its money lies."""
        ...

    def block(self, investor_id: str) -> None: ...
    def open_portfolio(self, investor_id: str, portfolio_id: str) -> None: ...
    def outbox(self) -> list[Message]: ...
    def balances(self, tenant_id: str = TENANT) -> dict[tuple[str, str], int]:
        """(account, flavor) -> amount of every balance that is not zero."""
        ...

    def by_journal(self, tenant_id: str = TENANT) -> dict[tuple[str, str], int]:
        """The same, added up from the moves."""
        ...


class MemoryKeeper:
    def __init__(self) -> None:
        self.blocked: set[str] = set()
        self.portfolios: dict[str, list[str]] = {}
        self.ledger = MemoryLedger(inactive=self.blocked.__contains__, portfolios=lambda one: self.portfolios.get(one, ()))
        self.books = self.ledger.books

    def block(self, investor_id: str) -> None:
        self.blocked.add(investor_id)

    def open_portfolio(self, investor_id: str, portfolio_id: str) -> None:
        self.portfolios.setdefault(investor_id, []).append(portfolio_id)

    def outbox(self) -> list[Message]:
        return list(self.ledger.outbox)

    def balances(self, tenant_id: str = TENANT) -> dict[tuple[str, str], int]:
        return _not_zero((lot.account_id, flavor.flavor_id, lot.amount) for flavor, lot in self.ledger.books.lots(tenant_id))

    def by_journal(self, tenant_id: str = TENANT) -> dict[tuple[str, str], int]:
        return _added_up([(move.source, move.destination, move.flavor_id, move.amount) for _, move in self.ledger.books.journal(tenant_id)])


@dataclass
class AuroraKeeper:
    app_dsn: str
    owner_dsn: str

    def __post_init__(self) -> None:
        self.database = Database(self.app_dsn)
        self.ledger = AuroraLedger(self.database)
        self.books = AuroraBooks(self.database)

    def close(self) -> None:
        self.database.close()

    def block(self, investor_id: str) -> None:
        self._run("insert into parties.investor values (%s, %s, 'Somebody', 'blocked', now())", [TENANT, investor_id])

    def open_portfolio(self, investor_id: str, portfolio_id: str) -> None:
        columns = "(tenant_id, portfolio_id, investor_id, status, version)"
        self._run(f"insert into trading.portfolio {columns} values (%s, %s, %s, 'active', 1)", [TENANT, portfolio_id, investor_id])

    def outbox(self) -> list[Message]:
        return [decode(row[0], BalancesChanged) for row in self._run("select body from foundation.outbox order by message_id", [])]

    def balances(self, tenant_id: str = TENANT) -> dict[tuple[str, str], int]:
        query = """
            select account_id, flavor_id, amount from books.lot join books.account using (account_no) join books.flavor using (flavor_no)
            where lot.tenant_id = %s"""
        return _not_zero(self._run(query, [tenant_id]))

    def by_journal(self, tenant_id: str = TENANT) -> dict[tuple[str, str], int]:
        query = """
            select s.account_id, d.account_id, flavor_id, move.amount from books.move join books.lot sl on sl.lot_no = src join books.lot dl on dl.lot_no = dst
            join books.account s on s.account_no = sl.account_no join books.account d on d.account_no = dl.account_no
            join books.flavor on flavor.flavor_no = sl.flavor_no where move.tenant_id = %s"""
        return _added_up(self._run(query, [tenant_id]))

    def rows(self, query: Any) -> list[tuple[Any, ...]]:
        """What the owner, who sees every tenant, reads."""
        return self._run(query, None)

    def _run(self, statement: Any, values: list[Any] | None) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.owner_dsn, autocommit=True) as owner:
            cursor = owner.execute(statement, values)
            return cursor.fetchall() if cursor.description else []


def _added_up(moves: Sequence[tuple[Any, ...]]) -> dict[tuple[str, str], int]:
    return _not_zero(one for src, dst, flavor, amount in moves for one in ((src, flavor, -amount), (dst, flavor, amount)))


def _not_zero(parts: Iterable[tuple[Any, ...]]) -> dict[tuple[str, str], int]:
    """(account, flavor) -> the sum of its parts, where it is not zero."""
    sums: dict[tuple[str, str], int] = {}
    for account, flavor, amount in parts:
        sums[account, flavor] = sums.get((account, flavor), 0) + amount
    return {key: amount for key, amount in sums.items() if amount}


def settle(ledger: LedgerStore, published: BidsPublished, at: datetime = NOON) -> Outcome:
    return settle_investments(published, ledger=ledger, window_seconds=WINDOW, clock=FixedClock(at))


def pay_in(ledger: LedgerStore, investor_id: str, amount: int, external_id: str | None = None, *, tenant_id: str = TENANT, hour: int = 0) -> Receipt:
    return _transfer(deposit, ledger, investor_id, amount, external_id, tenant_id, hour)


def pay_out(ledger: LedgerStore, investor_id: str, amount: int, external_id: str | None = None, *, tenant_id: str = TENANT, hour: int = 0) -> Receipt:
    return _transfer(withdraw, ledger, investor_id, amount, external_id, tenant_id, hour)


def _transfer(
    command: Callable[..., Receipt], ledger: LedgerStore, investor_id: str, amount: int, external_id: str | None, tenant_id: str, hour: int
) -> Receipt:
    external_id = external_id or f"of-{investor_id}"
    clock = FixedClock(NOON + timedelta(hours=hour))
    return command(tenant_id, investor_id, Money(amount, "EUR"), "bank", external_id, ledger=ledger, clock=clock, window_seconds=WINDOW)


def assert_sound(keeper: Keeper, tenant_id: str = TENANT) -> None:
    """What holds at any moment: every flavor sums to zero, balances are the journal's, and nobody is overdrawn."""
    balances = keeper.balances(tenant_id)
    assert balances == keeper.by_journal(tenant_id)
    sums: dict[str, int] = {}
    for (_, flavor), amount in balances.items():
        sums[flavor] = sums.get(flavor, 0) + amount
    assert not any(sums.values()), sums
    assert all(row.total == 0 for row in keeper.ledger.trial_balance(tenant_id, NOON))
    assert [key for key, amount in balances.items() if amount < 0 and not key[0].startswith(("world", "loans/"))] == []
