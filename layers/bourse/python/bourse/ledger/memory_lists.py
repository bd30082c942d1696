"""Lists and feeds of the general ledger kept in memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from bourse.errors import Conflict, Refused
from bourse.ledger.actions import Tags, Transaction
from bourse.ledger.books import Page
from bourse.ledger.check import differ
from bourse.ledger.cursors import check_limit
from bourse.ledger.feeds import Feed, FeedPage, Position, check_feed, cursor_at, position_of, unknown_feed
from bourse.ledger.filters import bind, matches, parse
from bourse.ledger.json_text import jsonb_text
from bourse.ledger.lots import tagset_digest
from bourse.ledger.paging import Asking

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


Key = tuple[str, ...]


def by_place(asked: Asking[Any], found: Sequence[tuple[Key, Any]], place_of: Callable[[Key], Any], seen: str) -> Page[Any]:
    """The page of what was found by its key. `place_of` says what a key is ordered by, None for one that no item ever had."""
    ordered = sorted(((place_of(key), key, item) for key, item in found), key=lambda one: one[0], reverse=asked.back)
    if asked.place:
        at = place_of(asked.place.key)
        ordered = [one for one in ordered if at is not None and (one[0] < at if asked.back else one[0] > at)]
    return asked.page([(key, item) for _, key, item in ordered[: asked.limit + 1]], seen)


def seen_by(asked: Asking[Any], numbers: int) -> int:
    """The number of the last transaction a walk shows, which is the last of all on its first page."""
    return int(asked.place.seen.partition(":")[0]) - 1 if asked.place else numbers


def snapshot_at(number: int) -> str:
    return f"{number + 1}:{number + 1}:"


def by_name(asked: Asking[Any], named: Mapping[str, Any]) -> Page[Any]:
    """The page of accounts or flavors that match."""
    bound = bind(parse(asked.question.filter), asked.kind, asked.question.params)
    found = [((name,), one) for name, one in named.items() if matches(bound, {"id": name, "tags": one.tags})]
    return by_place(asked, found, lambda key: key, snapshot_at(0))


def token_places(ever: Iterable[Tags]) -> Callable[[Key], Any]:
    """What lots are ordered by, as PostgreSQL writes it; `ever` are the tags there are."""
    texts = {tagset_digest(tags).hex() if tags else "": jsonb_text(dict(tags)) for tags in ({}, *ever)}
    return lambda key: (*key[:2], texts[key[2]]) if key[2] in texts else None


class MemoryFeeds:
    """One tenant's feeds. `told(kind, number)` is the journal from this transaction on, oldest first; `ends` is the position after all of it."""

    def __init__(self, told: Callable[[str, int], Iterator[Told]], ends: Callable[[], Position]) -> None:
        self._told: Final = told
        self._ends: Final = ends
        self._feeds: Final[dict[str, tuple[Feed, Position]]] = {}

    def open(self, feed: Feed) -> None:
        check_feed(feed)
        starts = self._ends() if feed.start == "now" else (0, 0, 0)
        if differ(self._feeds.setdefault(feed.feed_id, (feed, starts))[0], feed):
            raise Conflict("FEED_DIFFERS", f"there is a feed {feed.feed_id} of something else", "feed_id")

    def drop(self, feed_id: str) -> None:
        self._feeds.pop(feed_id, None)

    def all(self) -> list[Feed]:
        return [self._feeds[name][0] for name in sorted(self._feeds)]

    def page(self, feed_id: str, limit: int) -> FeedPage[Any]:
        check_limit(limit)
        feed, stands = self._of(feed_id)
        bound = bind(parse(feed.filter), feed.kind, feed.params)
        found = list(islice(((item, cursor_at(at)) for at, one, item in self._told(feed.kind, stands[0]) if at > stands and matches(bound, one)), limit))
        cursors = [cursor for _, cursor in found]
        return FeedPage([item for item, _ in found], cursors, cursor_at(stands), cursors[-1] if len(cursors) == limit else cursor_at(self._ends()))

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
