"""Lists and feeds of the general ledger kept in memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from bourse.errors import Conflict, Refused
from bourse.ledger.actions import Transaction
from bourse.ledger.books import Page, Question
from bourse.ledger.cursors import check_limit, cursor_of, decode_cursor
from bourse.ledger.feeds import Feed, FeedPage, Position, check_feed, cursor_at, position_of, unknown_feed
from bourse.ledger.filters import bind, matches, parse

T = TypeVar("T")
Told = tuple[Position, Mapping[str, Any], Any]
"""An item with where it stands in the journal, and as the object a filter is asked of."""


def first_difference(was: Transaction, asked: Transaction) -> str:
    """The first field in which the requests differ."""
    for name in ("kind", "effective_at", "tags"):
        if getattr(was, name) != getattr(asked, name):
            return name
    for place, (one, other) in enumerate(zip(was.actions, asked.actions, strict=False)):
        for name in ("amount", "flavor_id"):
            if getattr(one, name, None) != getattr(other, name, None):
                return f"actions.{place}.{name}"
    return f"actions.{len(was.actions)}" if len(was.actions) < len(asked.actions) else "actions"


def newest_first(kind: str, told: Sequence[Told], question: Question, cursor: str | None, limit: int) -> Page[Any]:
    """The page of those that match; `told` is oldest first."""
    check_limit(limit)
    before = int(decode_cursor(cursor, 2)[0]) if cursor else None
    bound = bind(parse(question.filter), kind, question.params)
    found = [(at, item) for at, one, item in reversed(told) if (before is None or at[1] < before) and matches(bound, one)]
    return Page([item for _, item in found[:limit]], cursor_of(str(found[limit - 1][0][1]), "0") if len(found) > limit else None)


def by_name(kind: str, named: Mapping[str, T], question: Question, cursor: str | None, limit: int) -> Page[T]:
    """The page of accounts or flavors that match."""
    check_limit(limit)
    after = decode_cursor(cursor, 1)[0] if cursor else ""
    bound = bind(parse(question.filter), kind, question.params)
    names = [name for name in sorted(named) if name > after and matches(bound, {"id": name, "tags": named[name].tags})]  # type: ignore[attr-defined]
    return Page([named[name] for name in names[:limit]], cursor_of(names[limit - 1]) if len(names) > limit else None)


class MemoryFeeds:
    """One tenant's feeds. `told(kind)` is the journal, oldest first; `ends` is the position after all of it."""

    def __init__(self, told: Callable[[str], Sequence[Told]], ends: Callable[[], Position]) -> None:
        self._told: Final = told
        self._ends: Final = ends
        self._feeds: Final[dict[str, tuple[Feed, Position]]] = {}

    def open(self, feed: Feed) -> None:
        check_feed(feed)
        starts = self._ends() if feed.start == "now" else (0, 0, 0)
        if self._feeds.setdefault(feed.feed_id, (feed, starts))[0] != feed:
            raise Conflict("FEED_DIFFERS", f"there is a feed {feed.feed_id} of something else", "feed_id")

    def drop(self, feed_id: str) -> None:
        self._feeds.pop(feed_id, None)

    def all(self) -> list[Feed]:
        return [self._feeds[name][0] for name in sorted(self._feeds)]

    def page(self, feed_id: str, limit: int) -> FeedPage[Any]:
        check_limit(limit)
        feed, stands = self._of(feed_id)
        bound = bind(parse(feed.filter), feed.kind, feed.params)
        found = [(item, cursor_at(at)) for at, one, item in self._told(feed.kind) if at > stands and matches(bound, one)]
        cursors = [cursor for _, cursor in found[:limit]]
        return FeedPage([item for item, _ in found[:limit]], cursors, cursor_at(stands), cursors[-1] if len(cursors) == limit else cursor_at(self._ends()))

    def ack(self, feed_id: str, old_cursor: str, new_cursor: str) -> None:
        old, new = position_of(old_cursor), position_of(new_cursor)
        if not old <= new <= self._ends():
            raise Refused("CURSOR_INVALID", "a feed moves on, and to a cursor it gave", "new_cursor")
        feed, stands = self._of(feed_id)
        if old != stands:
            raise Conflict("FEED_MOVED_ON", f"the feed {feed_id} stands at {cursor_at(stands)}", "old_cursor")
        self._feeds[feed_id] = feed, new

    def stands(self) -> list[tuple[Feed, Position]]:
        """All feeds and where they stand, by name."""
        return [self._feeds[name] for name in sorted(self._feeds)]

    def put(self, feed: Feed, stands: Position) -> None:
        """A feed that was carried here. Raises Conflict BOOKS_DIFFER where there is a feed of something else."""
        if self._feeds.setdefault(feed.feed_id, (feed, stands))[0] != feed:
            raise Conflict("BOOKS_DIFFER", f"there is another feed {feed.feed_id}", "feed_id")
        self._feeds[feed.feed_id] = feed, stands

    def _of(self, feed_id: str) -> tuple[Feed, Position]:
        if feed_id not in self._feeds:
            raise unknown_feed(feed_id)
        return self._feeds[feed_id]
