"""Flows of the marketplace in memory that are one transaction of the books and what is said of it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bourse.clock import SystemClock
from bourse.errors import Refused
from bourse.ledger.actions import PostedMove, PostedTransaction, Transaction
from bourse.ledger.bookings import Booked, Booking
from bourse.ledger.books import Question
from bourse.ledger.held_claims import make_way
from bourse.ledger.memory_lots import MemoryLots
from bourse.ledger.model import SKEW_MAX, Receipt, cash_of, receivable_of
from bourse.ledger.posting import cash_account, currency_flavor, receipt_again, receipt_of, transfer_says
from bourse.ledger.recovery import Debt, recovery
from bourse.ledger.unclaimed import redirect
from bourse.message import Message

_CASH = cash_of("")


@dataclass
class MemoryFlows:
    """The half of `MemoryLedger` that settles no bids."""

    inactive: Callable[[str], bool] = lambda _investor: False
    portfolios: Callable[[str], Sequence[str]] = lambda _investor: ()
    outbox: list[Message] = field(default_factory=list)
    books: MemoryLots = field(default_factory=lambda: MemoryLots(SystemClock()))

    def transfer(self, tenant_id: str, asked: Transaction, investor_id: str, window_seconds: int) -> Receipt:
        receipt = receipt_of(asked, investor_id)
        if booked := self.books.moves_of(tenant_id, asked.txn_id):
            return receipt_again(asked, investor_id, booked)
        self.books.open_missing(tenant_id, [cash_account(investor_id)], [currency_flavor(receipt.currency)])
        try:
            self.books.post_now(tenant_id, asked, asked.effective_at)
        except Refused as refused:
            if refused.code in {"INSUFFICIENT_FUNDS", "RESERVED", "BACKDATED"}:
                raise Refused("INSUFFICIENT_CASH", "the investor has less cash than this", "amount") from None
            raise
        self.outbox.extend(transfer_says(tenant_id, asked, self.portfolios(investor_id), window_seconds))
        return receipt

    def book(self, tenant_id: str, asked: Booking, at: datetime, window_seconds: int) -> Booked:
        if found := self.booked(tenant_id, asked.txn_id):
            return Booked(found, before=True)
        self.books.open_missing(tenant_id, asked.accounts, asked.flavors)
        made = asked.make(max(at, self._latest(tenant_id, asked, at)))
        clock = at if asked.open_before is None else min(at, asked.open_before - timedelta(microseconds=1))
        try:
            self.books.post_now(tenant_id, made, clock)
        except Refused as refused:
            if refused.code != "RESERVED" or not asked.makes_way:
                raise Refused(refused.code, refused.detail) from None
            made = make_way(made, *self.books.rehearsal(tenant_id, made), clock)
            self.books.post(tenant_id, [made], clock)
        posted = self.booked(tenant_id, asked.txn_id)
        assert posted is not None, "it was just posted"
        if asked.recovers and (debts := self._debts(tenant_id, posted)):
            self.books.post(tenant_id, [recovery(tenant_id, made, debts)], clock)
        named = {name.removeprefix(_CASH) for one in posted.actions for name in (one.source, one.destination) if name.startswith(_CASH)}
        hearing = sorted({portfolio for investor in named | set(asked.investors) for portfolio in self.portfolios(investor)})
        self.outbox.extend(transfer_says(tenant_id, made, hearing, window_seconds))
        return Booked(posted, before=False)

    def _debts(self, tenant_id: str, paid: PostedTransaction) -> list[Debt]:
        """What those owe who were just paid, as far as it can be kept back."""
        came: Counter[tuple[str, str]] = Counter()
        for one in paid.actions:
            came[one.destination, one.flavor_id] += one.amount
        debts = []
        for (account, flavor), amount in sorted(came.items()):
            free = sum(lot.amount - lot.held for lot in self.books.lots_of(tenant_id, account, flavor))
            owed = -sum(lot.amount for lot in self.books.lots_of(tenant_id, receivable_of(account), flavor))
            debts += [Debt(account, flavor, back)] if (back := min(amount, free, owed)) > 0 else []
        return debts

    def _latest(self, tenant_id: str, asked: Booking, at: datetime) -> datetime:
        if asked.latest_flavor is None:
            return at
        if asked.latest_account is None:
            lots = [lot for _, lot in self.books.lots(tenant_id, asked.latest_flavor)]
        else:
            lots = self.books.lots_of(tenant_id, asked.latest_account, asked.latest_flavor)
        latest = [lot.latest_at for lot in lots if lot.amount]
        return max((one for one in latest if one and one <= at + SKEW_MAX), default=at)

    def redirect(self, tenant_id: str, flavor_id: str) -> None:
        accounts = self.books.opened(tenant_id)
        holders = sorted({lot.account_id for _, lot in self.books.lots(tenant_id, flavor_id) if lot.amount > 0})
        paid_to = {one: accounts.get(str(accounts[one].tags.get("paid_to"))) for one in holders if accounts[one].floor is not None}
        stuck = [accounts[one] for one, to in paid_to.items() if to is None or to.closed]
        redirect(tenant_id, stuck, self.books, lambda one: self.books.open_missing(tenant_id, [one], ()))

    def booked(self, tenant_id: str, txn_id: str) -> PostedTransaction | None:
        return self.books.transaction(tenant_id, txn_id)

    def actions(self, tenant_id: str, question: Question) -> Sequence[PostedMove]:
        return self.books.actions(tenant_id, question).items
