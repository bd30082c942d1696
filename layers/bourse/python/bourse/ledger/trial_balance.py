"""The trial balance: what every account was debited and credited in each flavor, which together is zero. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Protocol

from bourse.ledger.books import NOW, AsOf


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's tokens of a flavor: `debits` left it, `credits` came to it; both in units, never negative."""

    flavor_id: str
    account_id: str
    debits: int
    credits: int

    @property
    def balance(self) -> int:
        """What it holds; below zero what others' tokens were issued from."""
        return self.credits - self.debits


@dataclass(frozen=True, slots=True)
class Total:
    """All accounts of a flavor together; its books balance when debits and credits are the same."""

    flavor_id: str
    accounts: int
    debits: int
    credits: int


class TrialBalances(Protocol):
    """Adds up journals."""

    def trial_balance(self, tenant_id: str, as_of: AsOf = NOW) -> Iterator[Balance]:
        """Every account with moves, by flavor and account; of what had happened and was known by then. From moves alone, never from kept amounts."""
        ...


def totals(balances: Iterable[Balance]) -> Iterator[Total]:
    """The sum of each flavor, of balances in the order of their flavors."""
    for flavor_id, of_flavor in groupby(balances, key=attrgetter("flavor_id")):
        accounts, gone, come = 0, 0, 0
        for one in of_flavor:
            accounts, gone, come = accounts + 1, gone + one.debits, come + one.credits
        yield Total(flavor_id, accounts, gone, come)
