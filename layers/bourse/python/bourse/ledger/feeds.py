"""Feeds: what was posted, in one order for ever, handed to a consumer until he says that he has it. Pure.

A feed stands at a position; a page is what comes after it and matches; acknowledging moves it on, if it still stands where the
consumer found it. So each item is handed out at least once, and of two consumers who read the same page one acknowledges it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from bourse.errors import Refused
from bourse.ledger.check import check_name
from bourse.ledger.cursors import cursor_of, decode_cursor
from bourse.ledger.filters import bind, parse

T = TypeVar("T")
Position = tuple[int, int, int]
"""(commit order, transaction, place in it); what comes after it is yet to be acknowledged."""
WHOLE: Final = 2**31 - 1
"""The place after all of a transaction's moves."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A named feed of the actions or transactions that match a filter, from the moment it is opened or from the first transaction."""

    feed_id: str
    kind: Literal["actions", "transactions"]
    filter: str = ""
    params: tuple[Any, ...] = ()
    start: Literal["now", "beginning"] = "now"


@dataclass(frozen=True, slots=True)
class FeedPage(Generic[T]):
    """Items, oldest first, with the cursor after each; `cursor` is where the feed stands, `next_cursor` the one after the page: it may have moved
    on though nothing matched. They are what `ack_feed` takes."""

    items: Sequence[T]
    cursors: Sequence[str]
    cursor: str
    next_cursor: str


def check_feed(feed: Feed) -> None:
    """Raises Refused NAME_INVALID, FEED_INVALID, FILTER_INVALID, FILTER_PARAMS."""
    check_name(feed.feed_id, "feed_id")
    if feed.kind not in {"actions", "transactions"}:
        raise Refused("FEED_INVALID", "a feed is of actions or of transactions", "kind")
    if feed.start not in {"now", "beginning"}:
        raise Refused("FEED_INVALID", "a feed starts now or at the beginning", "start")
    bind(parse(feed.filter), feed.kind, feed.params)


def cursor_at(position: Position) -> str:
    return cursor_of(*map(str, position))


def position_of(cursor: str) -> Position:
    """Raises Refused CURSOR_INVALID for one we did not give."""
    parts = decode_cursor(cursor, 3)
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts) or int(parts[2]) > WHOLE:
        raise Refused("CURSOR_INVALID", "the cursor is not one we gave", "cursor")
    return int(parts[0]), int(parts[1]), int(parts[2])


def unknown_feed(feed_id: str) -> Refused:
    return Refused("FEED_UNKNOWN", f"there is no feed {feed_id}", "feed_id")
