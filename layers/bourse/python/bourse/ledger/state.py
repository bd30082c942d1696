"""What an execution works on: accounts, flavors, lots and holds, as a store has loaded or lends them. Pure."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from bourse.errors import Refused
from bourse.ledger.actions import Account, Tags, canonical
from bourse.ledger.lots import UNTAGGED, Lot
from bourse.ledger.reversal import Reversible

if TYPE_CHECKING:
    from bourse.ledger.execute import Hold


class History(Protocol):
    """What the state cannot hold whole: how low a stored lot stood."""

    def lowest(self, lot: Lot, since: datetime, until: datetime | None) -> tuple[int, datetime] | None:
        """The lowest amount of a stored lot at the instants in [since, until), and the first instant it stood there; at `since` it stands
        at what happened until then. Without what this execution does. None for a lot that is not stored or an empty range."""
        ...

    def first_below(self, lot: Lot, since: datetime, until: datetime | None, amount: int) -> datetime:
        """The first of those instants at which it stood below `amount`, as `lowest` says it did."""
        ...


class State(Protocol):
    """Accounts, flavors, lots and holds. Lots and holds are handed out to be changed: an execution changes no others."""

    accounts: Mapping[str, Account]
    flavors: Container[str]
    history: History
    reversible: Mapping[str, Reversible]

    def account(self, account_id: str, field: str) -> Account:
        """An open account. Raises Refused ACCOUNT_UNKNOWN, ACCOUNT_CLOSED."""
        if (account := self.accounts.get(account_id)) is None:
            raise Refused("ACCOUNT_UNKNOWN", f"there is no account {account_id}", field)
        if account.closed:
            raise Refused("ACCOUNT_CLOSED", f"the account {account_id} is closed", field)
        return account

    def of(self, account_id: str, flavor_id: str) -> list[Lot]:
        """The lots of a pair of account and flavor, at least those with anything in them."""
        ...

    def lot(self, account: Account, flavor_id: str, tags: Tags) -> Lot:
        """The account's lot with these tags, made when there is none."""
        ...

    def holders(self, flavor_id: str) -> Sequence[tuple[str, Sequence[Lot]]]:
        """Every account's lots of a flavor, by account."""
        ...

    def opens(self) -> int:
        """The next number in the order of opened lots."""
        ...

    def hold(self, hold_id: str) -> "Hold | None": ...

    def expired(self, account_id: str, flavor_id: str, at: datetime) -> "Sequence[Hold]":
        """Holds of a pair that are not over though their time is, in the order they were made."""
        ...

    def keep(self, hold: "Hold") -> None:
        """There is this hold from now on."""
        ...


class LoadedState(State):
    """All of it loaded before: `lots` are all lots of each pair of account and flavor that `needs_of` names."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        flavors: Iterable[str],
        lots: Iterable[Lot],
        holds: Iterable["Hold"],
        history: History,
        slot_of: Callable[[Account], int],
        reversible: Iterable[Reversible] = (),
    ) -> None:
        self.accounts = accounts
        self.flavors = frozenset(flavors)
        self.lots: Final[dict[tuple[str, str], dict[tuple[bytes, int], Lot]]] = {}
        self.history = history
        self.reversible = {one.txn_id: one for one in reversible}
        self._slot_of: Final = slot_of
        self._opened = 0
        self.holds: Final = {hold.hold_id: hold for hold in holds}
        for lot in lots:
            self.lots.setdefault((lot.account_id, lot.flavor_id), {})[lot.tags_key, lot.slot] = lot
            self._opened = max(self._opened, lot.opened)

    def of(self, account_id: str, flavor_id: str) -> list[Lot]:
        return list(self.lots.get((account_id, flavor_id), {}).values())

    def lot(self, account: Account, flavor_id: str, tags: Tags) -> Lot:
        key = canonical(dict(tags)) if tags else UNTAGGED
        slot = self._slot_of(account)
        mine = self.lots.setdefault((account.account_id, flavor_id), {})
        if (key, slot) not in mine:
            floor = account.floor if key == UNTAGGED else 0
            mine[key, slot] = Lot(account.account_id, flavor_id, tags, floor=floor, slot=slot)
        return mine[key, slot]

    def holders(self, flavor_id: str) -> Sequence[tuple[str, Sequence[Lot]]]:
        return sorted((account, list(mine.values())) for (account, flavor), mine in self.lots.items() if flavor == flavor_id)

    def opens(self) -> int:
        self._opened += 1
        return self._opened

    def hold(self, hold_id: str) -> "Hold | None":
        return self.holds.get(hold_id)

    def expired(self, account_id: str, flavor_id: str, at: datetime) -> "Sequence[Hold]":
        of_pair = [hold for hold in self.holds.values() if (hold.account_id, hold.flavor_id) == (account_id, flavor_id)]
        return [hold for hold in of_pair if not hold.over and hold.expires_at is not None and hold.expires_at <= at]

    def keep(self, hold: "Hold") -> None:
        self.holds[hold.hold_id] = hold
