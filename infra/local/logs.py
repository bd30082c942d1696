"""Follows what the functions of the running local stack log, one line per invocation: `make logs`, `make logs FUNCTION=match_offers`."""

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from infra.local.stack import Home, Stack, client

_PAUSE_SECONDS: Final = 0.5
_QUIET: Final = frozenset({"level", "location", "message", "timestamp", "service", "function", "request_id", "_aws", "cold_start", "correlation_ids"})


def main(wanted: str | None) -> None:
    """Print what was logged so far, then what follows, until interrupted."""
    stack = Stack.read(Home.from_env())
    if stack is None:
        sys.exit("local stack: not up (make up)")
    if wanted and wanted not in stack.functions:
        sys.exit(f"no function {wanted}: there are {', '.join(sorted(stack.functions))}")
    functions = {wanted: stack.functions[wanted]} if wanted else stack.functions
    logs = client("logs", stack.aws_endpoint)
    seen: dict[str, int] = {}
    try:
        while True:
            lines = sorted((line for name, deployed in functions.items() for line in _fresh(logs, name, deployed, seen)), key=lambda line: line[0])
            for at, name, text in lines:
                print(f"{datetime.fromtimestamp(at / 1000, UTC):%H:%M:%S.%f}"[:-3], f"{name:<20}", text, flush=True)
            time.sleep(_PAUSE_SECONDS)
    except (KeyboardInterrupt, BrokenPipeError):
        return


def _fresh(logs: Any, name: str, deployed: str, seen: dict[str, int]) -> Iterator[tuple[int, str, str]]:
    """The lines of one function after those seen: (milliseconds, function, text)."""
    since = seen.get(name, 0)
    try:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{deployed}", startTime=since)
        events = [event for page in pages for event in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return
    for event in events:
        seen[name] = max(seen.get(name, 0), event["timestamp"] + 1)
        for line in event["message"].splitlines():
            if text := _readable(line):
                yield event["timestamp"], name, text


def _readable(line: str) -> str:
    """A structured line as `done heard=10 created=200`; what is not structured as it stands, the platform's own lines left out."""
    try:
        said: dict[str, Any] = json.loads(line)
    except ValueError:
        return "" if line.startswith(("START ", "END ", "REPORT ")) else line
    numbers = " ".join(f"{key}={value}" for key, value in said.items() if key not in _QUIET and value not in (0, [], ""))
    return f"{said.get('message', '')} {numbers}"


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
