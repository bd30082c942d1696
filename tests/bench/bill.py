"""What a run would cost on AWS: the requests the functions counted (bourse/aws/requests.py), at us-east-1 list prices of 2026, no free tier."""

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from infra.local.stack import Stack, client

PRICES_PER_MILLION: Final = {
    "SQS FIFO": Decimal("0.50"),
    "DynamoDB write units": Decimal("0.625"),
    "DynamoDB read units": Decimal("0.125"),
    "S3 PUT, LIST": Decimal("5.00"),
    "S3 GET, HEAD": Decimal("0.40"),
    "Lambda invocations": Decimal("0.20"),
    "Lambda GB-seconds (arm64)": Decimal("13.3334"),
    "HTTP API requests": Decimal("1.00"),
}
_DYNAMODB_READS: Final = {"GetItem", "BatchGetItem", "Query", "Scan"}
_S3_READS: Final = {"GetObject", "HeadObject"}


def quantities(lines: Iterable[Mapping[str, Any]], memory_mb: Mapping[str, int]) -> Counter[str]:
    """Billable quantities by the names of PRICES_PER_MILLION."""
    used: Counter[str] = Counter()
    milliseconds_mb = 0
    for line in lines:
        used["Lambda invocations"] += 1
        milliseconds_mb += max(1, line.get("duration_ms", 0)) * memory_mb.get(line["function"], 512)
        used["HTTP API requests"] += "route" in line
        used["SQS FIFO"] += "heard" in line  # the poller's delete of the batch
        for name, count in line.get("aws_requests", {}).items():
            used[_kind(name)] += count if name.endswith(".units") else 0
            used["SQS FIFO"] += count if name == "sqs.SendMessageBatch.units" else 0  # and its receive of what was sent
    used["Lambda GB-seconds (arm64)"] = milliseconds_mb // 1024 // 1000
    used.pop("", None)
    return used


def cost(used: Mapping[str, int]) -> dict[str, Decimal]:
    """Dollars by name."""
    return {name: price * used.get(name, 0) / 1_000_000 for name, price in PRICES_PER_MILLION.items()}


def memories(stack: Stack) -> dict[str, int]:
    """Deployed function -> its memory in MB."""
    functions = client("lambda", stack.aws_endpoint)
    return {name: functions.get_function_configuration(FunctionName=name)["MemorySize"] for name in stack.functions.values()}


def _kind(name: str) -> str:
    service, operation = name.split(".")[:2]
    match service:
        case "sqs":
            return "SQS FIFO"
        case "dynamodb":
            return "DynamoDB read units" if operation in _DYNAMODB_READS else "DynamoDB write units"
        case "s3":
            return "S3 GET, HEAD" if operation in _S3_READS else "S3 PUT, LIST"
        case _:
            return ""
