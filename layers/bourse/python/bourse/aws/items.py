"""DynamoDB items as every table of ours has them: packed bodies, whole batch reads, and transactions that say who was at fault."""

import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from bourse.errors import Unavailable

Item = dict[str, Any]
Pause = Callable[..., object]

_GET_MAX: Final = 100
ACTIONS_MAX: Final = 100
"""The most actions of one transaction."""
_TRANSACTION_BYTES_MAX: Final = 3_500_000  # the limit is 4 MB, and names and keys count too
_PACK_ABOVE: Final = 1_024  # a write unit is 1 KB: below that, packing saves nothing
_ATTEMPTS: Final = 8
_ZLIB: Final = 0x78  # how a zlib stream begins; JSON never does
_AT_FAULT: Final = frozenset({"None", "ConditionalCheckFailed", "TransactionConflict"})


def pack(text: bytes) -> bytes:
    """JSON as it is kept in a Binary attribute: as it is while small, else zlib."""
    return zlib.compress(text, 6) if len(text) > _PACK_ABOVE else text


def unpack(body: bytes) -> bytes:
    """The JSON of a packed body."""
    return zlib.decompress(body) if body[0] == _ZLIB else body


def get_all(dynamodb: Any, table: str, keys: Sequence[Item], pause: Pause | None = None) -> Iterator[Item]:
    """The items of these keys that exist, read consistently, a hundred a request; in no order.

    What a request leaves unprocessed is asked for again, after a pause that doubles. Raises Unavailable when that goes on.
    """
    for start in range(0, len(keys), _GET_MAX):
        asked: Sequence[Item] = keys[start : start + _GET_MAX]
        for attempt in range(_ATTEMPTS):
            answer = dynamodb.batch_get_item(RequestItems={table: {"Keys": asked, "ConsistentRead": True}})
            yield from answer["Responses"].get(table, ())
            asked = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", ())
            if not asked:
                break
            (pause or time.sleep)(0.05 * 2**attempt)
        else:
            raise Unavailable(f"{len(asked)} items could not be read")


def query_all(dynamodb: Any, **query: Any) -> Iterator[Item]:
    """Every item of a query, page after page, read consistently."""
    start: Item = {}
    while True:
        answer = dynamodb.query(ConsistentRead=True, **query, **start)
        yield from answer["Items"]
        if not answer.get("LastEvaluatedKey"):
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def transact(dynamodb: Any, actions: Sequence[Item]) -> list[str]:
    """Do all actions or none. Returns nothing when they are done, else for each action the reason it failed for, or "None".

    The reasons are those a caller decides on: ConditionalCheckFailed and TransactionConflict. Raises Unavailable for others.
    """
    try:
        dynamodb.transact_write_items(TransactItems=actions)
    except dynamodb.exceptions.TransactionCanceledException as cancelled:
        reasons = [reason.get("Code", "None") for reason in cancelled.response["CancellationReasons"]]
        if strange := sorted(set(reasons) - _AT_FAULT):
            raise Unavailable(f"a transaction was cancelled: {', '.join(strange)}") from cancelled
        return reasons
    return []


def transactions(units: Iterable[Sequence[Item]]) -> Iterator[list[Sequence[Item]]]:
    """Fill transactions with units of put actions that must not be torn apart, within 100 actions and 4 MB; the order is kept."""
    batch: list[Sequence[Item]] = []
    actions = octets = 0
    for unit in units:
        more = sum(_octets(action["Put"]["Item"]) for action in unit)
        if batch and (actions + len(unit) > ACTIONS_MAX or octets + more > _TRANSACTION_BYTES_MAX):
            yield batch
            batch, actions, octets = [], 0, 0
        batch.append(unit)
        actions += len(unit)
        octets += more
    if batch:
        yield batch


def _octets(item: Item) -> int:
    """Bytes of an item's values, near enough: bodies are all that weighs."""
    return sum(len(next(iter(value.values()))) for value in item.values())
