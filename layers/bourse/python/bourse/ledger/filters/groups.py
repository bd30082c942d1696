"""What sums are grouped by: a path, or the day, ISO week, month or year of a time, in UTC; and the bounds a group is within."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from bourse.errors import Refused
from bourse.ledger.actions import canonical
from bourse.ledger.filters.evaluate import Object, value_at
from bourse.ledger.filters.fields import KINDS, path_of
from bourse.ledger.filters.times import time_of

BUCKETS: Final = ("day", "week", "month", "year")
GROUPS_MAX: Final = 8
MEASURES: Final = ("amount", "count", "min", "max")
BOUNDS: Final = ("=", "!=", "<", "<=", ">", ">=")
HAVING_MAX: Final = 16
_BUCKET: Final = re.compile(r"(day|week|month|year)\((.*)\)", re.DOTALL)


class Grouping(NamedTuple):
    """A path, or with `bucket` the day, week, month or year of the time it leads to."""

    root: str
    below: tuple[str, ...]
    bucket: str | None = None


class Having(NamedTuple):
    """What a group's `amount`, `count`, `min` or `max` must be to be told, such as ("amount", ">=", 100)."""

    of: str
    op: str
    value: int


def grouping_of(text: str, kind: str) -> Grouping:
    """What `flavor_id`, `tags.due_date`, `month(timestamp)` or `week(tags.due_date)` groups by. Raises Refused GROUP_BY_INVALID."""
    found = _BUCKET.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return Grouping(*path_of(text, kind))
    root, below = path_of(found[2], kind)
    type_ = KINDS[kind][root]
    if type_ not in {"time", "tags"} or (type_ == "tags" and len(below) < (2 if root == "snapshot" else 1)):
        raise Refused("GROUP_BY_INVALID", f"{found[2][:60]} is no time", "group_by")
    return Grouping(root, below, found[1])


def groupings_of(paths: Sequence[str], kind: str) -> list[Grouping]:
    """Raises Refused GROUP_BY_INVALID, also for too many."""
    if len(paths) > GROUPS_MAX:
        raise Refused("GROUP_BY_INVALID", f"a sum has at most {GROUPS_MAX} groups", "group_by")
    return [grouping_of(path, kind) for path in paths]


def group_of(found: Object, grouping: Grouping) -> Any:
    """The value an object is grouped by; None where the path is missing, or leads to no time where one is asked for."""
    value = value_at(found, grouping.root, grouping.below)
    if grouping.bucket is None:
        return value
    time = time_of(value)
    return None if time is None else bucket_of(time, grouping.bucket)


def bucket_of(time: datetime, bucket: str) -> str:
    """The day 2018-01-31, ISO week 2018-W05, month 2018-01 or year 2018 of a time, in UTC: texts in the order of time."""
    at = time.astimezone(UTC)
    if bucket == "week":
        year, week, _ = at.isocalendar()
        return f"{year:04}-W{week:02}"
    return at.date().isoformat()[: {"day": 10, "month": 7, "year": 4}[bucket]]


def places_of(values: Iterable[Any]) -> list[tuple[int, int, str]]:
    """Where a group comes among others, by its values: texts by their letters' numbers, then numbers, truths, lists and objects, and last what is missing.
    Both stores order by this, so that no database's language has a say."""
    return [_place(value) for value in values]


def _place(value: Any) -> tuple[int, int, str]:
    match value:
        case str():
            return 0, 0, value
        case bool() | int():
            return 1 + isinstance(value, bool), value, ""
        case list() | dict():
            return 3 + isinstance(value, dict), len(value), canonical(value).decode()
    return 5, 0, ""


def check_having(having: Sequence[Having]) -> None:
    """Raises Refused HAVING_INVALID."""
    if len(having) > HAVING_MAX:
        raise Refused("HAVING_INVALID", f"a sum has at most {HAVING_MAX} bounds", "having")
    for number, one in enumerate(having):
        of, op, value = one
        if of not in MEASURES or op not in BOUNDS or isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**127:
            raise Refused("HAVING_INVALID", f"a bound is one of {', '.join(MEASURES)}, one of {' '.join(BOUNDS)}, and a whole number", f"having.{number}")
