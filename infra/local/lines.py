"""Reads the one line per invocation that the functions of a running local stack logged."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from infra.local.stack import Stack, client


def lines_of(stack: Stack, functions: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """The lines of these functions (names as in flow.py; all when None), each function's in its order."""
    logs = client("logs", stack.aws_endpoint)
    found: list[dict[str, Any]] = []
    for name in stack.functions if functions is None else functions:
        try:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{stack.functions[name]}")
            texts = [line for page in pages for event in page["events"] for line in event["message"].splitlines()]
        except logs.exceptions.ResourceNotFoundException:
            continue
        found += [line for line in map(_read, texts) if line]
    return found


def counted(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """The metrics of many lines together."""
    together: Counter[str] = Counter()
    for line in lines:
        for metrics in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            together.update({metric["Name"]: line[metric["Name"]] for metric in metrics["Metrics"]})
    return together


def _read(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "function" in line else None
