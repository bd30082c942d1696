"""Money of an investor who cannot be paid waits in an account of his own, so that he never stops the money of the others.

    collections/originator --currency--> unclaimed/investor     where his cash account is closed (the `paid_to` of his claims says so from then on)
    unclaimed/investor --currency--> world                      (retire: paid out once he has said where to; the cause is the external system's id)

Whoever is paid by a claim is the tag `paid_to` of the account it lies in: his cash account, until that is closed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count
from typing import Final

from bourse.clock import Clock
from bourse.errors import Refused
from bourse.ids import derive
from bourse.ledger.actions import Account, Retire, Transaction
from bourse.ledger.bookings import Booking
from bourse.ledger.books import Books, Question
from bourse.ledger.model import Receipt, unclaimed_of
from bourse.ledger.posting import cash_account
from bourse.ledger.store import LedgerStore
from bourse.money import MINOR_MAX, Money

_SHORT: Final = frozenset({"INSUFFICIENT_FUNDS", "RESERVED", "BACKDATED"})


def redirect(tenant_id: str, holders: Iterable[Account], books: Books, open_account: Callable[[Account], object]) -> None:
    """Have the tags of these accounts of claims name an account that is open. Doing it again changes nothing."""
    for holder in holders:
        to = next(one for one in _places(holder) if not _is_closed(tenant_id, one, books))
        if holder.tags.get("paid_to") != to.account_id:
            open_account(to)
            books.tag_account(tenant_id, holder.account_id, {**holder.tags, "paid_to": to.account_id})


def _places(holder: Account) -> Iterator[Account]:
    """Where a holder may be paid, in order: his cash, and what is kept for him. Of whom it is not known what is his is kept by the account's name."""
    investor_id = holder.tags.get("investor_id")
    owner = {"investor_id": investor_id} if isinstance(investor_id, str) and investor_id else {}
    if owner:
        yield cash_account(str(investor_id))
    first = Account(unclaimed_of(str(investor_id) if owner else holder.account_id), {"type": "company", "holds": "unclaimed", **owner})
    yield first
    for number in count(2):
        yield replace(first, account_id=f"{first.account_id}/{number}")


def _is_closed(tenant_id: str, account: Account, books: Books) -> bool:
    return any(one.closed for one in books.accounts(tenant_id, Question("id = $1", (account.account_id,))).items)


def pay_unclaimed(
    tenant_id: str, account_id: str, money: Money, system: str, external_id: str, *, ledger: LedgerStore, clock: Clock, window_seconds: int
) -> Receipt:
    """Book that money has left an unclaimed account to whom it belongs, by the external system's id of the payment: the same cause as of `withdraw`.

    Raises Refused AMOUNT, ACCOUNT_UNKNOWN, INSUFFICIENT_CASH, which leave the cause free; Conflict TRANSFER_DIFFERS when this payment was booked for
    something else.
    """
    if not 0 < money.minor <= MINOR_MAX:
        raise Refused("AMOUNT", "the amount must be above zero", "amount")
    if not account_id.startswith(unclaimed_of("")):
        raise Refused("ACCOUNT_UNKNOWN", f"{account_id} is no account of unclaimed money", "account_id")
    external = {"system": system, "external_id": external_id}
    terms = {"account": account_id, "currency": money.currency, "amount": str(money.minor)}
    txn_id = derive("txn", tenant_id, "withdrawal", system, external_id)
    action = Retire(money.currency, money.minor, account_id, action_tags={"type": "withdrawal", **external})
    asked = Booking(
        txn_id,
        lambda at: Transaction(txn_id, (action,), at, "withdrawal", {**external, **terms}, txn_id),
        latest_flavor=money.currency,
        latest_account=account_id,
    )
    try:
        booked = ledger.book(tenant_id, asked, clock.now(), window_seconds)
    except Refused as refused:
        if refused.code in _SHORT:
            raise Refused("INSUFFICIENT_CASH", "there is less unclaimed money than this", "amount") from None
        raise
    booked.expect(terms, "TRANSFER_DIFFERS")
    owner = account_id.removeprefix(unclaimed_of(""))
    return Receipt(txn_id=txn_id, investor_id=owner, currency=money.currency, amount=money.minor, booked_before=booked.before)
