"""Time is an argument: code that needs the present takes a `Clock`, so a test or a replay can choose it."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The present, always timezone-aware UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FixedClock:
    """A clock that stands still until it is set; for tests, the simulation and replays."""

    def __init__(self, at: datetime) -> None:
        assert at.tzinfo is not None, "a clock tells timezone-aware time"
        self.at = at

    def now(self) -> datetime:
        return self.at
