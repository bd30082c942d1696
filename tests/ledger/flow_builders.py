"""Builders for the tests of payments, withdrawals in steps and reversals: EUR, tenant t1, originator acme, the bank's ids."""

from datetime import datetime, timedelta
from typing import Any

from bourse.clock import FixedClock
from bourse.ledger.loan_payments import LoanPayment, distribute_payment
from bourse.ledger.model import DistributionReceipt, ReversalReceipt, Withdrawal
from bourse.ledger.store import LedgerStore
from bourse.ledger.take_back import FlowKind, take_back
from bourse.ledger.withdrawals import fail_withdrawal, find_withdrawal, pay_withdrawal, request_withdrawal
from bourse.money import Money

from tests.ledger.builders import NOON, TENANT, WINDOW

HOUR = timedelta(hours=1)
LATER = 1


def ports(ledger: LedgerStore, hour: int) -> dict[str, Any]:
    return {"ledger": ledger, "clock": FixedClock(NOON + hour * HOUR), "window_seconds": WINDOW}


def payment(external_id: str = "p1", *, principal: int = 0, interest: int = 0, fee: int = 0, **more: Any) -> LoanPayment:
    usual = {"originator_id": "acme", "loan_id": "L1", "currency": "EUR", "paid_at": NOON, "amount": principal + interest + fee}
    return LoanPayment("bank", external_id, principal=principal, interest=interest, fee=fee, **(usual | more))


def repay(ledger: LedgerStore, external_id: str = "p1", *, hour: int = LATER, tenant_id: str = TENANT, **parts: Any) -> DistributionReceipt:
    return distribute_payment(tenant_id, payment(external_id, **parts), **ports(ledger, hour))


def request(
    ledger: LedgerStore, amount: int, request_id: str = "r1", *, investor_id: str = "ivy", hour: int = LATER, expires_at: datetime | None = None
) -> Withdrawal:
    return request_withdrawal(TENANT, request_id, investor_id, Money(amount, "EUR"), expires_at=expires_at, **ports(ledger, hour))


def paid(ledger: LedgerStore, external_id: str = "w1", request_id: str = "r1", *, hour: int = LATER) -> Withdrawal:
    return pay_withdrawal(TENANT, request_id, "bank", external_id, **ports(ledger, hour))


def failed(ledger: LedgerStore, request_id: str = "r1", *, hour: int = LATER) -> Withdrawal:
    return fail_withdrawal(TENANT, request_id, "rejected", **ports(ledger, hour))


def status(ledger: LedgerStore, request_id: str = "r1", *, hour: int = LATER) -> str:
    return find_withdrawal(TENANT, request_id, ledger=ledger, clock=FixedClock(NOON + hour * HOUR)).status


def bounce(ledger: LedgerStore, kind: FlowKind, external_id: str, *, hour: int = LATER, receivable: bool = False, reason: str = "R01") -> ReversalReceipt:
    return take_back(TENANT, kind, "bank", external_id, reason, receivable=receivable, **ports(ledger, hour))
