"""One structured line per invocation: what was heard and done, by name and number, with metrics embedded in the same line.

Only names on the allow-list are written, so nothing an originator or investor sent can reach a log by accident.
"""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from aws_lambda_powertools import Logger

from bourse.aws import requests

_ALLOWED: Final = frozenset(
    {
        "heard",
        "said",
        "failed",
        "duration_ms",
        "correlation_ids",
        "message_ids",
        "oldest_ms",
        "error",
        "error_code",
        "cold_start",
        "upload_id",
        "route",
        "status",
        "aws_requests",
    }
)
_NAMESPACE: Final = "Bourse"
_logger: Final = Logger(service="bourse", log_uncaught_exceptions=False)
_started: Final = {"cold": True}


class Report:
    """Collects one invocation's facts and writes them once, by `write`."""

    def __init__(self, function: str, request_id: str) -> None:
        self._function = function
        self._request_id = request_id
        self._began = time.monotonic()
        self._facts: dict[str, Any] = {}
        self._counts: Counter[str] = Counter()

    def note(self, **facts: Any) -> None:
        """Remember facts for the line. A name that is not on the allow-list is a bug."""
        unknown = facts.keys() - _ALLOWED
        assert not unknown, f"not on the log's allow-list: {sorted(unknown)}"
        self._facts |= facts

    def count(self, counts: Iterable[tuple[str, int]]) -> None:
        """Add to the metrics of this invocation. A metric with the name of a fact is a bug: one would hide the other."""
        for name, number in counts:
            assert name not in _ALLOWED, f"a fact of the line has the name of the metric {name}"
            self._counts[name] += number

    def write(self, *, failed: bool = False) -> None:
        """Write the line: INFO, or ERROR when the invocation failed."""
        if counted := requests.drain():
            self.note(aws_requests=counted)
        self.note(duration_ms=int((time.monotonic() - self._began) * 1000), cold_start=_started.pop("cold", False))
        line = {**self._facts, "function": self._function, "request_id": self._request_id, **self._metrics()}
        (_logger.error if failed else _logger.info)("failed" if failed else "done", extra=line)

    def _metrics(self) -> dict[str, Any]:
        """CloudWatch's embedded metric format: the numbers at the root and a directive that names them."""
        if not self._counts:
            return {}
        names = [{"Name": name, "Unit": "Milliseconds" if name.endswith("_ms") else "Count"} for name in sorted(self._counts)]
        directive = {"Namespace": _NAMESPACE, "Dimensions": [["function"]], "Metrics": names}
        return {"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}, **self._counts}
