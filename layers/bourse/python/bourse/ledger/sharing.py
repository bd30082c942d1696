"""What rounding leaves owed while transactions are executed: shared by distributions, given back by reversals. Pure."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Final, NamedTuple

from bourse.ledger.actions import Distribute
from bourse.ledger.distribute import Shares, distribution

OwedKey = tuple[str, str, str]
"""(flavor distributed over, flavor paid, account)"""


class OwedChange(NamedTuple):
    """By how much a holder is owed more (or less) of a flavor than before."""

    over_flavor_id: str
    flavor_id: str
    account_id: str
    change: Fraction

    @property
    def key(self) -> OwedKey:
        return self.over_flavor_id, self.flavor_id, self.account_id


class Sharing:
    """Shares distributions by what was owed before them; `changed` is what holders are owed after, where it is another amount."""

    def __init__(self, owed: Mapping[OwedKey, Fraction]) -> None:
        self._owed: Final = dict(owed)
        self.changed: Final[dict[OwedKey, Fraction]] = {}

    def share(self, action: Distribute, holdings: Mapping[str, int]) -> tuple[Shares, list[OwedChange]]:
        """The shares, and what they changed of what is owed. Raises Refused as `distribution` does."""
        over, paid = action.over_flavor_id, action.flavor_id
        before = {flavor: {key[2]: owed for key, owed in self._owed.items() if key[:2] == (over, flavor)} for flavor in (over, paid)}
        shares = distribution(action, holdings, before[paid], before[over])
        made = [
            OwedChange(over, flavor, account, left - before[flavor].get(account, Fraction(0)))
            for flavor, owed in ((paid, shares.owed_paid), (over, shares.owed_retired))
            for account, left in owed.items()
        ]
        changes = [one for one in made if one.change]
        for one in changes:
            self.owe(one)
        return shares, changes

    def owe(self, change: OwedChange) -> None:
        self._owed[change.key] = self.changed[change.key] = self._owed.get(change.key, Fraction(0)) + change.change
