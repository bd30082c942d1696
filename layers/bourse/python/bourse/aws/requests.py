"""Counts what the functions ask of AWS in billing units, at the client; off unless BOURSE_COUNT_REQUESTS is set.

A unit is what AWS bills: 64 KB of an SQS call's payload, a write or read unit of DynamoDB (1 KB written, twice that in a
transaction; 4 KB read, half of that when eventually consistent), a request of S3. The counts go into the invocation's line.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

COUNTING: Final = bool(os.environ.get("BOURSE_COUNT_REQUESTS"))
_SQS_UNIT: Final = 64 * 1024
_WRITE_UNIT: Final = 1024
_READ_UNIT: Final = 4096
_counts: Final[Counter[str]] = Counter()


def watch(client: Any, service: str) -> None:
    """Count this client's requests from now on, when counting is on."""
    if COUNTING:
        client.meta.events.register("provide-client-params.*.*", _asked)
        client.meta.events.register(f"after-call.{service}.*", _answered)


def drain() -> dict[str, int]:
    """What was counted since the last call: "sqs.SendMessageBatch" -> calls, "sqs.SendMessageBatch.units" -> units billed."""
    counted = dict(_counts)
    _counts.clear()
    return counted


def _asked(params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
    """Before the request: what is sent. `context` goes with the request to its answer."""
    context["bourse_units"] = _units_sent(model.name, params)
    context["bourse_consistent"] = bool(params.get("ConsistentRead")) or any(r.get("ConsistentRead") for r in _batch(params).values())


def _answered(parsed: Mapping[str, Any], model: Any, context: Mapping[str, Any], **_: Any) -> None:
    service = model.service_model.service_name
    name = f"{service}.{model.name}"
    _counts[name] += 1
    units = context.get("bourse_units", 1)
    if service == "dynamodb" and model.name in {"GetItem", "BatchGetItem", "Query"}:
        units = _units_read(parsed, bool(context.get("bourse_consistent")))
    _counts[f"{name}.units"] += units


def _units_sent(operation: str, params: Mapping[str, Any]) -> int:
    match operation:
        case "SendMessageBatch":
            return _ceil(sum(len(entry["MessageBody"]) for entry in params["Entries"]), _SQS_UNIT)
        case "PutItem":
            return _ceil(size(params["Item"]), _WRITE_UNIT)
        case "BatchWriteItem":
            return sum(_ceil(size(write.get("PutRequest", {}).get("Item", {})), _WRITE_UNIT) for writes in params["RequestItems"].values() for write in writes)
        case "TransactWriteItems":
            return 2 * sum(_ceil(_size_of_action(action), _WRITE_UNIT) for action in params["TransactItems"])
        case _:
            return 1


def _units_read(parsed: Mapping[str, Any], consistent: bool) -> int:
    """Whole units; an eventually consistent read counts half and is rounded up once per request."""
    items: list[Mapping[str, Any]] = [*parsed.get("Items", ()), *([parsed["Item"]] if "Item" in parsed else [])]
    items += [item for found in parsed.get("Responses", {}).values() for item in found]
    full = sum(_ceil(size(item), _READ_UNIT) for item in items) if "Responses" in parsed else _ceil(sum(map(size, items)), _READ_UNIT)
    return full if consistent else -(-full // 2)


def _size_of_action(action: Mapping[str, Any]) -> int:
    """An update bills the whole item, which is not known here; its values are what our updates write."""
    put = action.get("Put")
    return size(put["Item"]) if put else sum(size(part.get("ExpressionAttributeValues", {})) for part in action.values())


def size(item: Mapping[str, Any]) -> int:
    """Bytes of a DynamoDB item as AWS counts them: names, and values by their type."""
    return sum(len(name.encode()) + _size_of_value(value) for name, value in item.items())


def _size_of_value(value: Mapping[str, Any]) -> int:
    [(kind, held)] = value.items()
    match kind:
        case "S" | "B":
            return len(held if isinstance(held, bytes) else held.encode())
        case "N":
            return len(held) // 2 + 2
        case "M":
            return 3 + size(held)
        case "L":
            return 3 + sum(1 + _size_of_value(one) for one in held)
        case _:
            return 1


def _batch(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tables of a BatchGetItem; of any other request, none."""
    tables = params.get("RequestItems", {})
    return {name: keys for name, keys in tables.items() if isinstance(keys, Mapping)}


def _ceil(octets: int, unit: int) -> int:
    return max(1, -(-octets // unit))


def total(lines: Iterable[Mapping[str, int]]) -> Counter[str]:
    """The counts of many invocations together."""
    together: Counter[str] = Counter()
    for line in lines:
        together.update(line)
    return together
