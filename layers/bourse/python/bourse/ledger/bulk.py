"""Many transactions in one call: all of them or none, or each by itself."""

from collections.abc import Sequence
from datetime import datetime

from bourse.errors import Conflict, Refused
from bourse.ledger.actions import Posted, Transaction
from bourse.ledger.authority import NotSigned
from bourse.ledger.books import Books
from bourse.ledger.keys import Signature


def post_all(
    tenant_id: str, transactions: Sequence[Transaction], at: datetime, *, books: Books, signatures: Sequence[Signature] = (), dry_run: bool = False
) -> tuple[Posted, ...]:
    """Post all or none. Raises what `Books.post` raises, with the place of the transaction at fault in its field: `transactions.2.actions.0.amount`.

    Where a signature over the whole batch is needed to tell which it is, the number is missing: no part of the batch is signed by it.
    """
    try:
        return books.post(tenant_id, transactions, at, signatures=signatures, dry_run=dry_run)
    except Refused as refused:
        if refused.field and refused.field.startswith("signatures"):
            raise
        number = _at_fault(tenant_id, transactions, at, books, signatures)
        field = ".".join(["transactions", *([] if number is None else [str(number)]), *([refused.field] if refused.field else [])])
        raise (Conflict if isinstance(refused, Conflict) else Refused)(refused.code, refused.detail, field) from None


def post_each(
    tenant_id: str, transactions: Sequence[Transaction | Refused], at: datetime, *, books: Books, signatures: Sequence[Signature] = (), dry_run: bool = False
) -> list[Posted | Refused]:
    """Post each as if it came alone, one after the other: what comes of one is what a call of its own, with the signatures over it, would say. What was
    refused before it came here stays so. Raises Refused SIGNATURE_INVALID for a signature over no one transaction; Unavailable: those before it may be
    posted then, and doing all again changes nothing."""
    ready = [one for one in transactions if isinstance(one, Transaction)]
    names = {one.txn_id for one in ready}
    for number, one in enumerate(signatures):
        if one.txn_id is None or (one.txn_id not in names and len(ready) == len(transactions)):
            raise Refused("SIGNATURE_INVALID", "each transaction is posted by itself: a signature is over one of them", f"signatures.{number}.txn_id")
    if len(ready) == len(transactions) == len(names) and not dry_run:
        try:
            return list(books.post(tenant_id, ready, at, signatures=signatures))  # in one go, where nothing is in the way
        except Refused:
            pass  # which of them, each says for itself
    return [one if isinstance(one, Refused) else _alone(tenant_id, one, at, books, signatures, dry_run=dry_run) for one in transactions]


def _alone(tenant_id: str, transaction: Transaction, at: datetime, books: Books, signatures: Sequence[Signature], *, dry_run: bool) -> Posted | Refused:
    mine = [one for one in signatures if one.txn_id == transaction.txn_id]
    try:
        return books.post(tenant_id, [transaction], at, signatures=mine, dry_run=dry_run)[0]
    except Refused as refused:
        return refused


def _at_fault(tenant_id: str, transactions: Sequence[Transaction], at: datetime, books: Books, signatures: Sequence[Signature]) -> int | None:
    """Which transaction a refusal of all is about: the last of the shortest beginning that is refused, found by halves. None when, meanwhile, none is, or
    when a beginning alone is not signed."""
    over_all = any(one.txn_id is None for one in signatures)
    fine, wrong = 0, len(transactions) + 1
    while wrong - fine > 1:
        middle = (fine + wrong) // 2
        names = {one.txn_id for one in transactions[:middle]}
        try:
            books.post(tenant_id, transactions[:middle], at, signatures=[one for one in signatures if one.txn_id in names], dry_run=True)
        except Refused as refused:
            if over_all and isinstance(refused, NotSigned):
                return None
            wrong = middle
        else:
            fine = middle
    return wrong - 1 if wrong <= len(transactions) else None
