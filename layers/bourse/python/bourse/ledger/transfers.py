"""Commands that move an investor's money between us and the world outside: deposits and withdrawals, each once per external id."""

from bourse.clock import Clock
from bourse.errors import Refused
from bourse.ledger.model import Receipt
from bourse.ledger.posting import transfer_with_world
from bourse.ledger.store import LedgerStore
from bourse.money import MINOR_MAX, Money


def deposit(
    tenant_id: str, investor_id: str, money: Money, system: str, external_id: str, *, ledger: LedgerStore, clock: Clock, window_seconds: int
) -> Receipt:
    """Book money that arrived. The same external id again is the same deposit. Raises Refused AMOUNT, Conflict TRANSFER_DIFFERS."""
    return _transfer("deposit", tenant_id, investor_id, money, system, external_id, ledger, clock, window_seconds)


def withdraw(
    tenant_id: str, investor_id: str, money: Money, system: str, external_id: str, *, ledger: LedgerStore, clock: Clock, window_seconds: int
) -> Receipt:
    """Book money that leaves. Raises Refused AMOUNT, INSUFFICIENT_CASH, Conflict TRANSFER_DIFFERS."""
    return _transfer("withdrawal", tenant_id, investor_id, money, system, external_id, ledger, clock, window_seconds)


def _transfer(
    kind: str, tenant_id: str, investor_id: str, money: Money, system: str, external_id: str, ledger: LedgerStore, clock: Clock, window_seconds: int
) -> Receipt:
    if not 0 < money.minor <= MINOR_MAX:
        raise Refused("AMOUNT", "the amount must be above zero", "amount")
    asked = transfer_with_world(tenant_id, kind, investor_id, money.currency, money.minor, system, external_id, clock.now())
    return ledger.transfer(tenant_id, asked, investor_id, window_seconds)
