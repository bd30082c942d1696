"""What a flow of the marketplace asks the store to book, and what the store answers: one transaction per cause, for ever."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bourse.errors import Conflict
from bourse.ledger.actions import Account, Flavor, PostedTransaction, Tags, Transaction


@dataclass(frozen=True, slots=True)
class Booking:
    """A transaction in the making. `make` is given when it happens: at the clock's time, or a little later where what it spends came later.

    `latest_flavor`, or `latest_account` with `latest_flavor`, say what that is. `open_before`: the hold that it ends is looked at as it was
    before this time, so that one whose time is over can still be given back. `investors` hear of it besides those whose cash it moves.
    `recovers`: who is paid by it and owes us pays that first (recovery.py), in the same commit.
    `makes_way`: holds on what it retires become smaller where they are in its way (held_claims.py).
    """

    txn_id: str
    make: Callable[[datetime], Transaction]
    accounts: tuple[Account, ...] = ()
    flavors: tuple[Flavor, ...] = ()
    latest_flavor: str | None = None
    latest_account: str | None = None
    open_before: datetime | None = None
    investors: tuple[str, ...] = ()
    recovers: bool = False
    makes_way: bool = False


@dataclass(frozen=True, slots=True)
class Booked:
    """The transaction that is booked under the cause now; `before`: by an earlier call."""

    posted: PostedTransaction
    before: bool

    def expect(self, terms: Tags, code: str) -> None:
        """Raises Conflict with the first of the terms that was another one when this was booked."""
        for name, wanted in terms.items():
            if self.posted.tags.get(name) != wanted:
                raise Conflict(code, f"this was booked with another {name.replace('_', ' ')}", name)
