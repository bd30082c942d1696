"""Books in memory that show their lots: what the marketplace's store in memory asks beside the promise of `Books`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from heapq import merge

from bourse.ledger.actions import Account, Flavor, PostedMove, PostedTransaction, Transaction
from bourse.ledger.execute import Hold
from bourse.ledger.lots import Lot
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_found import moves_of, shown_transaction
from bourse.ledger.memory_state import History, Move, StoredLot
from bourse.ledger.needs import needs_of
from bourse.ledger.sharing import OwedKey
from bourse.ledger.state import LoadedState


class MemoryLots(MemoryBooks):
    """A `Books`."""

    def closed(self, tenant_id: str, accounts: Iterable[str]) -> frozenset[str]:
        """Those of these accounts that are closed."""
        known = self._of(tenant_id).accounts
        return frozenset(name for name in accounts if name in known and known[name].closed)

    def opened(self, tenant_id: str) -> Mapping[str, Account]:
        """All accounts by their names."""
        return self._of(tenant_id).accounts

    def rehearsal(self, tenant_id: str, asked: Transaction) -> tuple[LoadedState, Mapping[OwedKey, Fraction]]:
        """A copy of what an execution of the transaction works on, and what rounding has left owed of it."""
        ledger, needs = self._of(tenant_id), needs_of([asked])
        asks = [*needs.pairs, *((None, flavor) for flavor in needs.whole_flavors)]
        lots: dict[Lot, Lot] = {lot: replace(lot, timeline=[]) for pair in asks for lot in ledger.lots_of(*pair)}
        open_ones = [hold for hold in ledger.holds.values() if not hold.over and all(lot in lots for lot in hold.left)]
        holds = [replace(hold, left={lots[lot]: part for lot, part in hold.left.items()}) for hold in open_ones]
        owed = {key: left for flavor in needs.whole_flavors for key, left in ledger.owed.get(flavor, {}).items()}
        return LoadedState(ledger.accounts, ledger.flavors, lots.values(), holds, History(), lambda _account: 0), owed

    def lots(self, tenant_id: str, flavor_id: str | None = None) -> Iterator[tuple[Flavor, StoredLot]]:
        """Every lot, or those of a flavor, with its flavor."""
        ledger = self._of(tenant_id)
        return ((ledger.flavors[lot.flavor_id], lot) for lot in ledger.lots_of(None, flavor_id))

    def lots_of(self, tenant_id: str, account_id: str, flavor_id: str) -> list[StoredLot]:
        """The lots of an account's tokens of a flavor."""
        return list(self._of(tenant_id).lots_of(account_id, flavor_id))

    def transaction(self, tenant_id: str, txn_id: str) -> PostedTransaction | None:
        """What was posted under this id."""
        ledger = self._of(tenant_id)
        return shown_transaction(ledger, ledger.posted[txn_id]) if txn_id in ledger.posted else None

    def post_now(self, tenant_id: str, transaction: Transaction, at: datetime) -> None:
        """Post it, or leave its id free. Raises Refused as `post`."""
        self._post(tenant_id, [transaction], at, (), dry_run=False, remembers=False)

    def moves_of(self, tenant_id: str, txn_id: str) -> list[PostedMove]:
        """What was moved under this id."""
        return [one.shown for one in moves_of(self._of(tenant_id), txn_id)]

    def expired(self, tenant_id: str, at: datetime) -> Iterator[Hold]:
        """All holds that are not over though their time is."""
        ledger = self._of(tenant_id)
        return (hold for account_id, flavor_id in ledger.expiring for hold in ledger.expired(account_id, flavor_id, at))

    def spendable(self, tenant_id: str, lot: StoredLot, at: datetime, until: datetime) -> int:
        """What of a lot can be spent at `at` without leaving a later instant below zero; all that is free where nothing comes after `until`."""
        over = sum(hold.left.get(lot, 0) for hold in self._of(tenant_id).expired(lot.account_id, lot.flavor_id, at))
        free = lot.amount - lot.held + over
        if lot.latest_at is None or lot.latest_at <= until:
            return free
        lowest = History().lowest(lot, at, None)
        return min(free, (lowest[0] if lowest else 0) - lot.held + over)

    def changes(self, tenant_id: str, account_id: str, flavor_id: str, until: datetime) -> Iterator[tuple[Transaction, int]]:
        """What came into an account (> 0) or left it before `until`, with its transaction, in the order it happened."""
        ledger = self._of(tenant_id)
        entries = merge(*([(one, lot) for one in lot.moves] for lot in ledger.lots_of(account_id, flavor_id)), key=_order)
        for one, lot in entries:
            if one.shown.effective_at >= until:
                return
            yield ledger.transactions[one.number - 1][0], lot.change(one)

    def journal(self, tenant_id: str) -> list[tuple[Transaction, PostedMove]]:
        """Every move with its transaction, in the order they happened."""
        ledger = self._of(tenant_id)
        found = [(ledger.transactions[one.number - 1][0], one.shown) for one in ledger.moves]
        return sorted(found, key=lambda one: one[0].effective_at)


def _order(entry: tuple[Move, StoredLot]) -> tuple[datetime, int, int]:
    one, _ = entry
    return one.shown.effective_at, one.number, one.seq
