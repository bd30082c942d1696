"""Many transactions in one call: all of them or none, or each by itself."""

from collections.abc import Sequence
from datetime import datetime

from bourse.errors import Conflict, Refused
from bourse.ledger.actions import Posted, Transaction
from bourse.ledger.books import Books


def post_all(tenant_id: str, transactions: Sequence[Transaction], at: datetime, *, books: Books, dry_run: bool = False) -> tuple[Posted, ...]:
    """Post all or none. Raises what `Books.post` raises, with the place of the transaction at fault in its field: `transactions.2.actions.0.amount`."""
    try:
        return books.post(tenant_id, transactions, at, dry_run=dry_run)
    except Refused as refused:
        number = _at_fault(tenant_id, transactions, at, books)
        field = ".".join(["transactions", *([] if number is None else [str(number)]), *([refused.field] if refused.field else [])])
        raise (Conflict if isinstance(refused, Conflict) else Refused)(refused.code, refused.detail, field) from None


def post_each(tenant_id: str, transactions: Sequence[Transaction | Refused], at: datetime, *, books: Books, dry_run: bool = False) -> list[Posted | Refused]:
    """Post each as if it came alone, one after the other: what comes of one is what a call of its own would say. What was refused before it came
    here stays so. Raises Unavailable; those before it may be posted then, and doing all again changes nothing."""
    ready = [one for one in transactions if isinstance(one, Transaction)]
    if len(ready) == len(transactions) == len({one.txn_id for one in ready}) and not dry_run:
        try:
            return list(books.post(tenant_id, ready, at))  # in one go, where nothing is in the way
        except Refused:
            pass  # which of them, each says for itself
    return [one if isinstance(one, Refused) else _alone(tenant_id, one, at, books, dry_run=dry_run) for one in transactions]


def _alone(tenant_id: str, transaction: Transaction, at: datetime, books: Books, *, dry_run: bool) -> Posted | Refused:
    try:
        return books.post(tenant_id, [transaction], at, dry_run=dry_run)[0]
    except Refused as refused:
        return refused


def _at_fault(tenant_id: str, transactions: Sequence[Transaction], at: datetime, books: Books) -> int | None:
    """Which transaction a refusal of all is about: the last of the shortest beginning that is refused, found by halves. None when, meanwhile, none is."""
    fine, wrong = 0, len(transactions) + 1
    while wrong - fine > 1:
        middle = (fine + wrong) // 2
        try:
            books.post(tenant_id, transactions[:middle], at, dry_run=True)
        except Refused:
            wrong = middle
        else:
            fine = middle
    return wrong - 1 if wrong <= len(transactions) else None
