"""A withdrawal in steps: the cash is held when it is requested, leaves when it is paid, and is free again when it failed or its time is over.

    requested    cash/investor is held                          (reserve; the cause is the request's id)
    paid         cash/investor --currency--> world              (post the hold; the cause is the external system's id, as of `withdraw`)
    failed       cash/investor is free                          (release the hold; the cause is the request's id)

A hold ends once, so a request has one outcome at most, whoever tells it first; and a payment that left is booked once, whether in steps or by
`withdraw` (transfers.py), as both have the same cause. Every step may be told any number of times.
"""

from datetime import UTC, datetime
from typing import Final

from bourse.clock import Clock
from bourse.errors import Conflict, NotFound, Refused
from bourse.ids import derive
from bourse.ledger.actions import WORLD, PostedTransaction, PostHold, ReleaseHold, Reserve, Transaction
from bourse.ledger.bookings import Booked, Booking
from bourse.ledger.books import Question
from bourse.ledger.model import Withdrawal, WithdrawalStatus, cash_of
from bourse.ledger.posting import cash_account, currency_flavor
from bourse.ledger.store import LedgerStore
from bourse.money import MINOR_MAX, Money

_SHORT: Final = frozenset({"INSUFFICIENT_FUNDS", "RESERVED", "BACKDATED"})
_ENDED: Final = frozenset({"HOLD_OVER", "HOLD_EXPIRED"})


def request_withdrawal(
    tenant_id: str,
    request_id: str,
    investor_id: str,
    money: Money,
    *,
    ledger: LedgerStore,
    clock: Clock,
    window_seconds: int,
    expires_at: datetime | None = None,
) -> Withdrawal:
    """Hold an investor's cash until it is paid, failed, or `expires_at` (None: never). Raises Refused AMOUNT, EXPIRES_AT, INSUFFICIENT_CASH, which
    leave the request's id free; Conflict REQUEST_DIFFERS."""
    if not 0 < money.minor <= MINOR_MAX:
        raise Refused("AMOUNT", "the amount must be above zero", "amount")
    terms = {"request_id": request_id, "investor": investor_id, "currency": money.currency, "amount": str(money.minor)}
    try:
        booked = ledger.book(tenant_id, _request(tenant_id, terms, money, expires_at), clock.now(), window_seconds)
    except Refused as refused:
        if refused.code in _SHORT:
            raise Refused("INSUFFICIENT_CASH", "the investor has less cash than this", "amount") from None
        if refused.code == "HOLD_EXPIRED":
            raise Refused("EXPIRES_AT", "the request would be over before it begins", "expires_at") from None
        raise
    booked.expect(terms, "REQUEST_DIFFERS")
    if booked.before:
        return find_withdrawal(tenant_id, request_id, ledger=ledger, clock=clock).model_copy(update={"booked_before": True})
    return _withdrawal(booked.posted, "requested")


def _request(tenant_id: str, terms: dict[str, str], money: Money, expires_at: datetime | None) -> Booking:
    request_id, investor_id, cash = terms["request_id"], terms["investor"], cash_of(terms["investor"])
    txn_id = _requested_id(tenant_id, request_id)
    said = {"type": "withdrawal_request", "request_id": request_id}
    action = Reserve(_hold_id(tenant_id, request_id), money.currency, money.minor, cash, expires_at=expires_at, action_tags=said)
    tags = terms if expires_at is None else {**terms, "expires_at": expires_at.astimezone(UTC).isoformat()}
    return Booking(
        txn_id,
        lambda at: Transaction(txn_id, (action,), at, "withdrawal_request", tags, txn_id),
        (cash_account(investor_id),),
        (currency_flavor(money.currency),),
        latest_flavor=money.currency,
        latest_account=cash,
        investors=(investor_id,),
    )


def pay_withdrawal(tenant_id: str, request_id: str, system: str, external_id: str, *, ledger: LedgerStore, clock: Clock, window_seconds: int) -> Withdrawal:
    """Book that the requested cash has left, by the external system's id of the payment. Raises NotFound WITHDRAWAL_UNKNOWN; Conflict
    WITHDRAWAL_ENDED when it failed, expired, or was paid by another payment, TRANSFER_DIFFERS when this payment was booked for something else."""
    requested = _requested(tenant_id, request_id, ledger)
    external = {"system": system, "external_id": external_id}
    txn_id = derive("txn", tenant_id, "withdrawal", system, external_id)
    action = PostHold(_hold_id(tenant_id, request_id), WORLD, action_tags={"type": "withdrawal", **external, "request_id": request_id})
    tags = {**external, "investor": requested.tags["investor"], "request_id": request_id}
    booked = _end(
        tenant_id, requested, Booking(txn_id, lambda at: Transaction(txn_id, (action,), at, "withdrawal", tags, txn_id)), ledger, clock, window_seconds
    )
    booked.expect({"request_id": request_id}, "TRANSFER_DIFFERS")
    return _withdrawal(booked.posted, "paid", requested, booked_before=booked.before)


def fail_withdrawal(tenant_id: str, request_id: str, reason: str, *, ledger: LedgerStore, clock: Clock, window_seconds: int) -> Withdrawal:
    """Give the requested cash back, also when the request's time is over. Raises NotFound WITHDRAWAL_UNKNOWN, Conflict WITHDRAWAL_ENDED when it
    was paid."""
    requested = _requested(tenant_id, request_id, ledger)
    txn_id = _failed_id(tenant_id, request_id)
    action = ReleaseHold(_hold_id(tenant_id, request_id), {"type": "withdrawal_failed", "request_id": request_id})
    tags = {"request_id": request_id, "investor": requested.tags["investor"], "reason": reason}
    asked = Booking(
        txn_id,
        lambda at: Transaction(txn_id, (action,), at, "withdrawal_failed", tags, txn_id),
        open_before=_expires_at(requested),
        investors=(requested.tags["investor"],),
    )
    try:
        booked = _end(tenant_id, requested, asked, ledger, clock, window_seconds)
    except Conflict:
        found = find_withdrawal(tenant_id, request_id, ledger=ledger, clock=clock)
        if found.status != "expired":
            raise
        return found.model_copy(update={"booked_before": True})  # a later spending gave the cash back before we did
    return _withdrawal(booked.posted, "failed", requested, booked_before=booked.before)


def find_withdrawal(tenant_id: str, request_id: str, *, ledger: LedgerStore, clock: Clock) -> Withdrawal:
    """How a withdrawal stands now. Raises NotFound WITHDRAWAL_UNKNOWN."""
    requested = _requested(tenant_id, request_id, ledger)
    return _withdrawal(requested, _status(tenant_id, request_id, requested, ledger, clock.now()))


def _end(tenant_id: str, requested: PostedTransaction, asked: Booking, ledger: LedgerStore, clock: Clock, window_seconds: int) -> Booked:
    try:
        return ledger.book(tenant_id, asked, max(clock.now(), requested.effective_at), window_seconds)
    except Refused as refused:
        if refused.code not in _ENDED:
            raise
    status = _status(tenant_id, requested.tags["request_id"], requested, ledger, clock.now())
    raise Conflict("WITHDRAWAL_ENDED", f"the withdrawal is {status} already", "request_id")


def _status(tenant_id: str, request_id: str, requested: PostedTransaction, ledger: LedgerStore, now: datetime) -> WithdrawalStatus:
    if ledger.booked(tenant_id, _failed_id(tenant_id, request_id)):
        return "failed"
    if ledger.actions(tenant_id, Question("tags.type = 'withdrawal' AND tags.request_id = $1", (request_id,))):
        return "paid"
    over = _expires_at(requested)
    return "expired" if over is not None and over <= now else "requested"


def _requested(tenant_id: str, request_id: str, ledger: LedgerStore) -> PostedTransaction:
    if (found := ledger.booked(tenant_id, _requested_id(tenant_id, request_id))) is None:
        raise NotFound("WITHDRAWAL_UNKNOWN", "no withdrawal was requested under this id", "request_id")
    return found


def _withdrawal(posted: PostedTransaction, status: WithdrawalStatus, requested: PostedTransaction | None = None, *, booked_before: bool = False) -> Withdrawal:
    one = requested or posted
    return Withdrawal(
        request_id=one.tags["request_id"],
        investor_id=one.tags["investor"],
        currency=one.tags["currency"],
        amount=int(one.tags["amount"]),
        status=status,
        expires_at=_expires_at(one),
        booked_before=booked_before,
    )


def _expires_at(requested: PostedTransaction) -> datetime | None:
    said = requested.tags.get("expires_at")
    return datetime.fromisoformat(said) if said else None


def _hold_id(tenant_id: str, request_id: str) -> str:
    return derive("hold", tenant_id, "withdrawal", request_id)


def _requested_id(tenant_id: str, request_id: str) -> str:
    return derive("txn", tenant_id, "withdrawal_request", request_id)


def _failed_id(tenant_id: str, request_id: str) -> str:
    return derive("txn", tenant_id, "withdrawal_failed", request_id)
