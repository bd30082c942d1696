"""A filter of tokens asked of lots in memory, where an execution chooses what to spend."""

from collections.abc import Callable, Mapping

from bourse.ledger.actions import Account, Flavor, Spending
from bourse.ledger.filters import bind, matches, parse
from bourse.ledger.lots import Lot, Matches


def matcher(spending: Spending, accounts: Mapping[str, Account], flavor_of: Callable[[str], Flavor | None]) -> Matches:
    """The spending's filter as a question to a lot. Raises Refused as `parse` and `bind` do."""
    if not spending.filter.strip():
        return lambda _lot: True
    bound = bind(parse(spending.filter), "tokens", spending.params)

    def ask(lot: Lot) -> bool:
        flavor = flavor_of(lot.flavor_id)
        return matches(
            bound,
            {
                "account_id": lot.account_id,
                "account_tags": accounts[lot.account_id].tags,
                "flavor_id": lot.flavor_id,
                "flavor_tags": flavor.tags if flavor else {},
                "tags": lot.tags,
                "amount": lot.amount,
            },
        )

    return ask
