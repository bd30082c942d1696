"""A payment bounced, or a payout came back: the deposit, distribution or withdrawal it was is taken back, whole and once, move by move.

What it brought may have been spent. Then nothing is taken back (TOKENS_SPENT); or, if that is wanted, what is missing is owed to us: it comes from
`receivable/<account>`, which stands below zero by it, and the account itself stands where it can: at zero, or at what is held of it.
"""

from typing import Final, Literal

from bourse.clock import Clock
from bourse.errors import NotFound
from bourse.ids import derive
from bourse.ledger.actions import Account, PostedTransaction, Reverse, Transaction
from bourse.ledger.bookings import Booking
from bourse.ledger.model import ReversalReceipt, receivable_of
from bourse.ledger.store import LedgerStore

FlowKind = Literal["deposit", "distribution", "withdrawal"]
_FROM: Final = receivable_of("{account_id}")
_OWNED: Final = ("cash/", "proceeds/", "unclaimed/")


def take_back(
    tenant_id: str,
    kind: FlowKind,
    system: str,
    external_id: str,
    reason: str,
    *,
    ledger: LedgerStore,
    clock: Clock,
    window_seconds: int,
    receivable: bool = False,
) -> ReversalReceipt:
    """Take back what this cause booked. Again, with whatever reason, it is the first reversal.

    Raises NotFound TRANSACTION_UNKNOWN; Refused TOKENS_SPENT or RESERVED with who has it, which leave it to be taken back later, REVERSED_BEFORE when it
    was reversed otherwise, ACCOUNT_CLOSED.
    """
    if (found := ledger.booked(tenant_id, derive("txn", tenant_id, kind, system, external_id))) is None:
        raise NotFound("TRANSACTION_UNKNOWN", f"no {kind} was booked under this external id", "external_id")
    txn_id = derive("txn", tenant_id, "reversal", found.txn_id)
    action = Reverse(found.txn_id, action_tags={"type": "reversal"}, advance_from=_FROM if receivable else "")
    tags = {"kind": kind, "system": system, "external_id": external_id, "reason": reason, "reverses": found.txn_id}
    asked = Booking(
        txn_id,
        lambda at: Transaction(txn_id, (action,), max(at, found.effective_at), "reversal", tags, txn_id),
        tuple(_receivables(found)) if receivable else (),
    )
    booked = ledger.book(tenant_id, asked, clock.now(), window_seconds)
    owed = sum(one.amount for one in booked.posted.actions if one.source.startswith(receivable_of("")))
    return ReversalReceipt(txn_id=txn_id, reverses=found.txn_id, receivable=owed, booked_before=booked.before)


def _receivables(found: PostedTransaction) -> list[Account]:
    """An account for what each may owe who was paid."""
    paid = sorted({one.destination for one in found.actions if one.destination.startswith(_OWNED)})
    return [Account(receivable_of(name), {"type": "company", "holds": "receivables", "of": name}, floor=None) for name in paid]
