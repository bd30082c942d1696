"""Many transactions as lines of JSON, one a line (documents.py): opening balances, or the history of another ledger."""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import orjson

from bourse.errors import Conflict, Refused
from bourse.ledger.actions import ACTIONS_MAX, Posted, Transaction
from bourse.ledger.books import Books
from bourse.ledger.bulk import post_all
from bourse.ledger.documents import transaction_of

BATCH: Final = 1_000
LINE_BYTES_MAX: Final = 8 * 2**20


def post_lines(tenant_id: str, lines: Iterable[str], at: datetime, *, books: Books) -> Iterator[tuple[Posted, ...]]:
    """Post lines in their order, in batches that are each posted whole or not; what was posted for each batch.

    The same lines again change nothing. Raises Refused or Conflict with the line in its field, `lines.17.actions.0.amount`: the batches before its
    batch are posted, and nothing of it or after. Raises Unavailable: do it again.
    """
    sent: deque[tuple[int, list[Transaction]]] = deque()
    wrong: list[Refused] = []

    def batches() -> Iterator[list[Transaction]]:
        try:
            for first, batch in _batches(lines):
                sent.append((first, batch))
                yield batch
        except Refused as refused:
            wrong.append(refused)  # told when those before are answered

    try:
        for posted in books.post_batches(tenant_id, batches(), at):
            sent.popleft()
            yield posted
    except Refused as refused:
        first, batch = sent[0]
        raise _placed(first, batch, refused, tenant_id, at, books) from None
    if wrong:
        raise wrong[0]


def _batches(lines: Iterable[str]) -> Iterator[tuple[int, list[Transaction]]]:
    """The number of the first line, from 1, and the transactions."""
    batch: list[Transaction] = []
    first, actions = 1, 0
    for number, line in enumerate(lines, 1):
        one = _transaction(line, number)
        if len(batch) == BATCH or actions + len(one.actions) > ACTIONS_MAX:
            yield first, batch
            first, batch, actions = number, [], 0
        batch.append(one)
        actions += len(one.actions)
    if batch:
        yield first, batch


def _transaction(line: str, number: int) -> Transaction:
    try:
        if len(line) > LINE_BYTES_MAX:
            raise Refused("FIELD_INVALID", f"a line has at most {LINE_BYTES_MAX:,} characters")
        return transaction_of(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        raise Refused("FIELD_INVALID", f"a line is a transaction as JSON: {error}", f"lines.{number}") from None
    except Refused as refused:
        raise Refused(refused.code, refused.detail, ".".join(filter(None, (f"lines.{number}", refused.field)))) from None


def _placed(first: int, batch: list[Transaction], refused: Refused, tenant_id: str, at: datetime, books: Books) -> Refused:
    """The refusal of a batch, with the line at fault."""
    try:
        post_all(tenant_id, batch, at, books=books)
    except Refused as found:
        _, number, *rest = [*(found.field or "").split("."), ""]
        refused, line = found, first + (int(number) if number.isdigit() else 0)
        field = ".".join(filter(None, (f"lines.{line}", *rest)))
    else:
        field = f"lines.{first}"  # it was refused, and is posted now: others changed the books meanwhile, and all again goes on from here
    return (Conflict if isinstance(refused, Conflict) else Refused)(refused.code, refused.detail, field)
