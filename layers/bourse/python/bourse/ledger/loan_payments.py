"""A borrower's payment for a loan goes to whoever holds claims on it at that moment: read and paid in one transaction.

    world --amount--> collections/originator                                             (issue)
    collections/originator --fee--> fee                                                  (transfer)
    collections/originator --interest--> paid_to of the holders, proceeds of the originator (distribute, exact to the unit over time)
    collections/originator --principal--> the same, a unit for each unit of claims that goes back to loans/originator (distribute at par)

Interest comes first: it is owed on what is held before the principal is repaid. Of whoever is paid and owes us, what he owes is kept back (recovery.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bourse.clock import Clock
from bourse.errors import Refused
from bourse.ids import derive
from bourse.ledger.actions import Action, Distribute, Issue, PostedMove, Tags, Transaction, Transfer
from bourse.ledger.bookings import Booked, Booking
from bourse.ledger.model import FEE, DistributionReceipt, collections_of, issuer_of, loan_flavor, proceeds_of
from bourse.ledger.posting import FEE_TAGS, collecting_accounts, currency_flavor
from bourse.ledger.store import LedgerStore
from bourse.money import MINOR_MAX

KIND: Final = "distribution"
_PAID_TO: Final = "{account_tags.paid_to}"
_UNPAYABLE: Final = frozenset({"ACCOUNT_CLOSED", "ACCOUNT_UNKNOWN", "TAG_MISSING"})
_REDIRECTS_MAX: Final = 3
"""So often is looked for who cannot be paid: once is enough, but accounts are closed meanwhile, and what was read of them may be old."""
_REFUSALS: Final[Mapping[str, tuple[str, str, str]]] = {
    "NOTHING_TO_DISTRIBUTE": ("LOAN_NOT_HELD", "no investor holds anything of this loan", "loan_id"),
    "FLAVOR_UNKNOWN": ("LOAN_NOT_HELD", "nothing of this loan was ever sold", "loan_id"),
    "DISTRIBUTION_TOO_LARGE": ("PRINCIPAL_TOO_LARGE", "more principal is repaid than is outstanding", "principal"),
    "OUT_OF_INVALID": ("OUTSTANDING_TOO_SMALL", "investors hold more of this loan than is said to be outstanding", "outstanding"),
}


@dataclass(frozen=True, slots=True)
class LoanPayment:
    """Money of a borrower that has arrived, named by the system that brought it; all amounts in minor units of the currency.

    `amount` = `principal` + `interest` (whatever else is the holders') + `fee` (ours). `outstanding` is the loan's principal before this
    payment: what investors do not hold of it is the originator's. None: the loan is wholly theirs. `paid_at` is the day it counts from.
    """

    system: str
    external_id: str
    originator_id: str
    loan_id: str
    currency: str
    amount: int
    principal: int
    interest: int
    fee: int
    paid_at: datetime
    outstanding: int | None = None
    correlation_id: str = ""

    def terms(self) -> dict[str, str]:
        """What the cause stands for, for ever, as tags."""
        parts = {"amount": self.amount, "principal": self.principal, "interest": self.interest, "fee": self.fee}
        whole = {} if self.outstanding is None else {"outstanding": str(self.outstanding)}
        named = {"originator": self.originator_id, "loan": self.loan_id, "currency": self.currency}
        return {**named, **{name: str(part) for name, part in parts.items()}, **whole, "paid_at": self.paid_at.astimezone(UTC).isoformat()}


def distribute_payment(tenant_id: str, payment: LoanPayment, *, ledger: LedgerStore, clock: Clock, window_seconds: int) -> DistributionReceipt:
    """Give a payment to those who hold the loan now. The same cause again is the same distribution, also when others hold the loan by then.

    Raises Refused AMOUNT, PARTS_DIFFER, LOAN_NOT_HELD, PRINCIPAL_TOO_LARGE, OUTSTANDING_TOO_SMALL, ACCOUNT_CLOSED (the originator's),
    which leave the cause free; Conflict PAYMENT_DIFFERS. A hold on claims gives way as far as they are repaid.
    """
    _check(payment)
    txn_id = derive("txn", tenant_id, KIND, payment.system, payment.external_id)
    asked = Booking(
        txn_id,
        lambda at: _transaction(txn_id, payment, at),
        tuple(collecting_accounts(payment.originator_id)),
        (currency_flavor(payment.currency),),
        latest_flavor=loan_flavor(payment.originator_id, payment.loan_id),
        recovers=True,
        makes_way=True,
    )
    try:
        booked = _book(tenant_id, payment, asked, ledger, clock, window_seconds)
    except Refused as refused:
        if refused.code in _REFUSALS:
            raise Refused(*_REFUSALS[refused.code]) from None
        raise
    booked.expect({"outstanding": None, **payment.terms()}, "PAYMENT_DIFFERS")
    return _receipt(payment, booked)


def _book(tenant_id: str, payment: LoanPayment, asked: Booking, ledger: LedgerStore, clock: Clock, window_seconds: int) -> Booked:
    """One investor never stops the others' money: what cannot reach him waits for him (unclaimed.py)."""
    for _ in range(_REDIRECTS_MAX):
        try:
            return ledger.book(tenant_id, asked, clock.now(), window_seconds)
        except Refused as refused:
            if refused.code not in _UNPAYABLE:
                raise
        ledger.redirect(tenant_id, loan_flavor(payment.originator_id, payment.loan_id))
    return ledger.book(tenant_id, asked, clock.now(), window_seconds)


def _check(payment: LoanPayment) -> None:
    parts = (payment.principal, payment.interest, payment.fee)
    if not 0 < payment.amount <= MINOR_MAX or min(parts) < 0 or not payment.principal + payment.interest:
        raise Refused("AMOUNT", "the amount is above zero, no part is below it, and something of it is the holders'", "amount")
    if sum(parts) != payment.amount:
        raise Refused("PARTS_DIFFER", f"principal, interest and fee come to {sum(parts)}", "amount")
    if payment.outstanding is not None and payment.outstanding < max(1, payment.principal):
        raise Refused("PRINCIPAL_TOO_LARGE", "more principal is repaid than is outstanding", "principal")


def _transaction(txn_id: str, payment: LoanPayment, at: datetime) -> Transaction:
    external = {"system": payment.system, "external_id": payment.external_id}
    collected = collections_of(payment.originator_id)
    actions: list[Action] = [Issue(payment.currency, payment.amount, collected, action_tags={"type": "payment", **external})]
    if payment.fee:
        actions.append(Transfer(payment.currency, payment.fee, collected, FEE, action_tags=FEE_TAGS))
    if payment.interest:
        actions.append(_share(payment, payment.interest, {"type": "interest"}, at_par=False))
    if payment.principal:
        actions.append(_share(payment, payment.principal, {"type": "principal"}, at_par=True))
    return Transaction(txn_id, tuple(actions), at, KIND, {**external, **payment.terms()}, payment.correlation_id or txn_id)


def _share(payment: LoanPayment, amount: int, tags: Tags, *, at_par: bool) -> Distribute:
    return Distribute(
        payment.currency,
        amount,
        collections_of(payment.originator_id),
        loan_flavor(payment.originator_id, payment.loan_id),
        rule="par" if at_par else "deficit",
        retire=at_par,
        action_tags=tags,
        retire_to=issuer_of(payment.originator_id),
        pay_to=_PAID_TO,
        out_of=payment.outstanding,
        rest_to=None if payment.outstanding is None else proceeds_of(payment.originator_id),
    )


def _receipt(payment: LoanPayment, booked: Booked) -> DistributionReceipt:
    moves = booked.posted.actions
    cash = [one for one in moves if one.flavor_id == payment.currency]

    def came_to(account: str) -> int:
        return sum(one.amount for one in cash if one.destination == account)

    paid = [one for one in cash if one.destination.startswith(("cash/", "unclaimed/"))]
    return DistributionReceipt(
        txn_id=booked.posted.txn_id,
        originator_id=payment.originator_id,
        loan_id=payment.loan_id,
        currency=payment.currency,
        amount=payment.amount,
        fee=came_to(FEE),
        to_investors=sum(one.amount for one in paid),
        to_originator=came_to(proceeds_of(payment.originator_id)),
        principal_repaid=sum(one.amount for one in moves if one.type == "retire" and one.flavor_id != payment.currency),
        claims=max((_count(paid, type_) for type_ in ("interest", "principal")), default=0),
        booked_before=booked.before,
    )


def _count(paid: list[PostedMove], type_: str) -> int:
    return sum(1 for one in paid if one.action_tags.get("type") == type_)
