"""What happened in the plainest of ledgers: a list of facts, added up anew whenever anything is asked."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from bourse.ledger.actions import Account, Flavor

Lot = tuple[str, str, str]
"""Account, flavor, and the tags as text."""
Asks = Callable[[Mapping[str, Any]], bool]
"""What a filter means: a question to a token, which has account_id, account_tags, flavor_id, flavor_tags, tags and amount."""


class No(Exception):
    """The transaction is refused."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Doubtful(Exception):
    """Two holders are owed the same but for what no promise settles: either may get the unit."""


@dataclass(frozen=True)
class Moved:
    txn_id: str
    number: int
    at: datetime
    action_no: int
    type: str
    src: Lot
    dst: Lot
    amount: int


@dataclass(frozen=True)
class Made:
    """A hold, or its end when it is `over`."""

    hold_id: str
    account_id: str = ""
    flavor_id: str = ""
    expires_at: datetime | None = None
    over: bool = False


@dataclass(frozen=True)
class Held:
    hold_id: str
    lot: Lot
    amount: int


@dataclass(frozen=True)
class Floored:
    lot: Lot
    floor: int


@dataclass(frozen=True)
class Owed:
    over: str
    flavor: str
    account_id: str
    amount: Fraction


Fact = Moved | Made | Held | Floored | Owed


def text(tags: Mapping[str, Any]) -> str:
    return json.dumps(dict(tags), sort_keys=True)


class Facts:
    """Accounts, flavors and what happened. `meanings`: filter -> what it asks of a token."""

    def __init__(self, meanings: Mapping[str, Asks]) -> None:
        self.meanings = meanings
        self.accounts = {"world": Account("world", floor=None, hot=True)}
        self.flavors: dict[str, Flavor] = {}
        self.recorded: dict[str, datetime] = {}
        self.facts: list[Fact] = []
        self.now = datetime.min

    def moves(self) -> list[Moved]:
        return [one for one in self.facts if isinstance(one, Moved)]

    def stands(self, lot: Lot, effective_at: datetime | None = None, known_at: datetime | None = None) -> int:
        amount = 0
        for one in self.moves():
            if effective_at is not None and one.at > effective_at:
                continue
            if known_at is not None and self.recorded[one.txn_id] > known_at:
                continue
            amount += one.amount * ((one.dst == lot) - (one.src == lot))
        return amount

    def lots(self) -> list[Lot]:
        return sorted({lot for one in self.moves() for lot in (one.src, one.dst)})

    def floor(self, lot: Lot) -> int | None:
        told = [one.floor for one in self.facts if isinstance(one, Floored) and one.lot == lot]
        if told:
            return told[-1]
        return self.accounts[lot[0]].floor if lot[2] == "{}" else 0

    def opened(self, lot: Lot) -> int:
        """The place among all moves of the one by which the lot last rose above zero."""
        amount, found = 0, -1
        for place, one in enumerate(self.moves()):
            after = amount + one.amount * ((one.dst == lot) - (one.src == lot))
            if amount <= 0 < after:
                found = place
            amount = after
        return found

    def hold(self, hold_id: str) -> Made | None:
        return next((one for one in reversed(self.facts) if isinstance(one, Made) and one.hold_id == hold_id), None)

    def held(self, lot: Lot, *, expired_too: bool = False) -> int:
        """What open holds reserve of the lot. One that is past its expiry holds nothing back."""
        found = 0
        for one in self.facts:
            if isinstance(one, Held) and one.lot == lot:
                hold = self.hold(one.hold_id)
                assert hold is not None
                if not hold.over and (expired_too or hold.expires_at is None or hold.expires_at > self.now):
                    found += one.amount
        return found

    def owed(self, over: str, flavor: str, account_id: str) -> Fraction:
        facts = [one for one in self.facts if isinstance(one, Owed)]
        return sum((one.amount for one in facts if (one.over, one.flavor, one.account_id) == (over, flavor, account_id)), Fraction())

    def tokens(self, where: str = "", effective_at: datetime | None = None, known_at: datetime | None = None) -> dict[Lot, int]:
        found = {lot: self.stands(lot, effective_at, known_at) for lot in self.lots()}
        return {lot: amount for lot, amount in found.items() if amount > 0 and self.asks(where, lot, amount)}

    def asks(self, where: str, lot: Lot, amount: int) -> bool:
        return self.meanings[where](self.token(lot, amount))

    def token(self, lot: Lot, amount: int) -> dict[str, Any]:
        account, flavor = self.accounts[lot[0]], self.flavors[lot[1]]
        own = {"account_id": lot[0], "flavor_id": lot[1], "amount": amount, "tags": json.loads(lot[2])}
        return {**own, "account_tags": account.tags, "flavor_tags": flavor.tags}
