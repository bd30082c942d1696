"""Which texts are times: one pattern for Python and PostgreSQL, so that both read the same texts as the same instants."""

import re
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

TIME_PATTERN: Final[LiteralString] = (
    r"(?!0000|0001-01-01T.*\+|9999-12-31T.*-)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-5]):[0-5][0-9])"
)
"""RFC 3339 to the microsecond, from year 1 to 9999 in UTC. Python alone would take offsets of 16 hours, PostgreSQL alone 24:00:00, leap seconds
and the year 10000. A day the month does not have fits the pattern and is still no time."""
_TIME: Final = re.compile(TIME_PATTERN)


def time_of(text: Any) -> datetime | None:
    """The instant of an RFC 3339 text with its offset, in UTC; None for anything else."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def text_of(time: datetime) -> str:
    """A time as sums are grouped by it: in UTC, to the microsecond, 2018-01-31T23:00:00.000000Z."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
