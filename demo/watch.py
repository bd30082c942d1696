"""Watches files on their way through the marketplace until nothing moves any more."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from demo.market import Market, Upload
from infra.local.stack import Stack, client

_PAUSE_SECONDS: Final = 0.5
_QUIET_SECONDS: Final = 2.5
"""Longer than balances are collected for (1 s on the local stack), so that quiet means the last trading cycle found nothing to do."""
_DONE: Final = ("state:processed", "state:failed")
_COUNTED: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


class StuckError(Exception):
    """Nothing moves and it is not done, or messages ended in a dead-letter queue; the text says what to look at."""


@dataclass(slots=True)
class Progress:
    """How far the uploads are. `reached` holds the seconds after which each thing was last seen to move."""

    counts: Counter[str] = field(default_factory=Counter)
    investments: int = 0
    invested_minor: int = 0
    waiting: dict[str, int] = field(default_factory=dict)
    reached: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, value: object, before: object, seconds: float) -> None:
        if value != before:
            self.reached[name] = seconds


def settle_down(market: Market, stack: Stack, sent: Sequence[Upload], show: Callable[[Progress], object], give_up_seconds: float) -> Progress:
    """Poll until every upload is processed, every queue is empty and no investment was settled for a while. Raises StuckError."""
    queues = client("sqs", stack.aws_endpoint)
    progress = Progress(investments=_settled(market.totals()))
    began = moved = time.monotonic()
    while True:
        before = (progress.counts, progress.investments, progress.waiting)
        _look(market, stack, queues, sent, progress, began)
        show(progress)
        if before != (progress.counts, progress.investments, progress.waiting):
            moved = time.monotonic()
        if dead := {name: count for name, count in progress.waiting.items() if count and name.endswith("_dlq")}:
            raise StuckError(f"messages could not be handled and are in the dead-letter queues: {dead}; `make logs` shows the functions' errors")
        idle = time.monotonic() - moved
        done = sum(progress.counts[state] for state in _DONE) == len(sent) and not any(progress.waiting.values())
        if done and idle > _QUIET_SECONDS:
            return progress
        if idle > give_up_seconds:
            raise StuckError(
                f"nothing moved for {idle:.0f} s: uploads {dict(progress.counts)}, waiting {progress.waiting}; `make logs` shows the functions' errors"
            )
        time.sleep(_PAUSE_SECONDS)


def _look(market: Market, stack: Stack, queues: object, sent: Sequence[Upload], progress: Progress, began: float) -> None:
    """One look at everything, with the time of what changed."""
    if sum(progress.counts[state] for state in _DONE) < len(sent) or not sent:
        counts = market.counts(sent)
        seconds = time.monotonic() - began
        progress.note("read", counts["received"], progress.counts["received"], seconds)
        progress.note("versioned", counts["received"] - counts["pending"], progress.counts["received"] - progress.counts["pending"], seconds)
        progress.counts = counts
    totals = market.totals()
    investments = _settled(totals)
    progress.note("settled", investments, progress.investments, time.monotonic() - began)
    progress.investments, progress.invested_minor = investments, sum(row["principal"] for row in totals)
    progress.waiting = waiting(stack, queues)


def _settled(totals: Sequence[Mapping[str, Any]]) -> int:
    return sum(row["investments"] for row in totals)


def waiting(stack: Stack, queues: Any) -> dict[str, int]:
    """Messages in each queue that holds any, those being handled included."""
    found: dict[str, int] = {}
    for name, url in stack.queues.items():
        attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTED))["Attributes"]
        if count := sum(int(attributes.get(one, 0)) for one in _COUNTED):
            found[name] = count
    return found
