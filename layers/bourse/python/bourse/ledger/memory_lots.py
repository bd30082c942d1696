"""Books in memory that show their lots: what the marketplace's store in memory asks beside the promise of `Books`."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from fractions import Fraction

from bourse.ledger.actions import Account, Flavor, PostedMove, Transaction
from bourse.ledger.execute import State
from bourse.ledger.lots import Lot
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_state import History
from bourse.ledger.sharing import OwedKey


class MemoryLots(MemoryBooks):
    """A `Books`."""

    def closed(self, tenant_id: str) -> frozenset[str]:
        """The accounts that are closed."""
        return frozenset(name for name, account in self._of(tenant_id).accounts.items() if account.closed)

    def opened(self, tenant_id: str) -> Mapping[str, Account]:
        """All accounts by their names."""
        return self._of(tenant_id).accounts

    def rehearsal(self, tenant_id: str) -> tuple[State, Mapping[OwedKey, Fraction]]:
        """A copy of what an execution works on, and what rounding has left owed."""
        ledger = self._of(tenant_id).copy()
        state = State(ledger.accounts, ledger.flavors, ledger.lots.values(), ledger.holds.values(), History(ledger.moves), lambda _account: 0)
        return state, ledger.owed

    def lots(self, tenant_id: str) -> Iterator[tuple[Flavor, Lot]]:
        """Every lot with its flavor."""
        ledger = self._of(tenant_id)
        return ((ledger.flavors[flavor_id], lot) for (_, flavor_id, _), lot in ledger.lots.items())

    def lots_of(self, tenant_id: str, account_id: str, flavor_id: str) -> list[Lot]:
        """The lots of an account's tokens of a flavor."""
        return [lot for key, lot in self._of(tenant_id).lots.items() if key[:2] == (account_id, flavor_id)]

    def spendable(self, tenant_id: str, lot: Lot, at: datetime, until: datetime) -> int:
        """What of a lot can be spent at `at` without leaving a later instant below zero; all that is free where nothing comes after `until`."""
        over = sum(hold.left.get(lot, 0) for hold in self._of(tenant_id).holds.values() if not hold.over and hold.expires_at and hold.expires_at <= at)
        free = lot.amount - lot.held + over
        if lot.latest_at is None or lot.latest_at <= until:
            return free
        return min(free, self._lowest(tenant_id, lot, at) - lot.held + over)

    def _lowest(self, tenant_id: str, lot: Lot, since: datetime) -> int:
        key = (lot.account_id, lot.flavor_id, lot.tags_key)
        moves = [one for one in self._of(tenant_id).moves if key in (one.src, one.dst)]
        changes = [(one.shown.effective_at, one.shown.amount if one.dst == key else -one.shown.amount) for one in moves]
        instants = {since, *(at for at, _ in changes if at > since)}
        return min(sum(change for at, change in changes if at <= instant) for instant in instants)

    def journal(self, tenant_id: str) -> list[tuple[Transaction, PostedMove]]:
        """Every move with its transaction, in the order they happened."""
        ledger = self._of(tenant_id)
        found = [(ledger.posted[one.shown.txn_id][0], one.shown) for one in ledger.moves]
        return sorted(found, key=lambda one: one[0].effective_at)
