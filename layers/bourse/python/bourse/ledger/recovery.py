"""What somebody owes us is kept back from what he is paid later, in the same commit: an arrow of its own beside the payment.

    cash/investor --currency--> receivable/cash/investor            (transfer: what he owes, at most what he was just paid)

A receivable is one balance of a party and a currency, which stands below zero by what is owed (take_back.py), so what is recovered first is the oldest of it.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from bourse.ids import derive
from bourse.ledger.actions import Tags, Transaction, Transfer
from bourse.ledger.model import receivable_of

RECOVERY_TAGS: Final[Tags] = {"type": "recovery"}


class Debt(NamedTuple):
    """Units of a flavor that an account was just paid, has free, and owes: all three at least so many."""

    account_id: str
    flavor_id: str
    amount: int


def recovery(tenant_id: str, paid: Transaction, debts: Sequence[Debt]) -> Transaction:
    """What follows a payment to those who owe. It happens when the payment does."""
    kept_back = tuple(Transfer(one.flavor_id, one.amount, one.account_id, receivable_of(one.account_id), action_tags=RECOVERY_TAGS) for one in debts)
    txn_id = derive("txn", tenant_id, "recovery", paid.txn_id)
    return Transaction(txn_id, kept_back, paid.effective_at, "recovery", {"of": paid.txn_id}, paid.correlation_id)
