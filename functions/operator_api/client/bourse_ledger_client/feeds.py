"""Feeds and materialised sums: what was posted, handed out until it is acknowledged; and sums that are kept instead of added up."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from .connection import ROOT, Connection, step
from .errors import Conflict
from .nouns import Action, DeclaredSum, Feed, FeedPage, Sum, Transaction, read

PAGE: Final = 100


class Feeds:
    """What was posted, in one order for ever. Each item is handed out at least once."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection

    def open(
        self,
        feed_id: str,
        kind: Literal["actions", "transactions"],
        where: str = "",
        params: Sequence[Any] = (),
        *,
        start: Literal["now", "beginning"] = "now",
    ) -> Feed:
        """A feed of the actions or transactions that match a filter. The same again changes nothing. Raises Conflict."""
        body = {"kind": kind, "filter": where, "params": [*params], "start": start}
        return read(Feed, self._connection.ask("PUT", f"{ROOT}/feeds/{step(feed_id)}", body=body))

    def list(self) -> Sequence[Feed]:
        """All of them, by their names."""
        return [read(Feed, one) for one in self._connection.ask("GET", f"{ROOT}/feeds")]

    def page(self, feed_id: str, limit: int = PAGE) -> FeedPage:
        """What comes after the feed's position; the same until it is acknowledged. Raises NotFound."""
        found = self._connection.ask("GET", f"{ROOT}/feeds/{step(feed_id)}", query={"limit": limit})
        items = [read(Action, one["action"]) if one["action"] else _transaction(one["transaction"]) for one in found["items"]]
        return FeedPage(items, [one["cursor"] for one in found["items"]], found["cursor"], found["next_cursor"])

    def acknowledge(self, feed_id: str, old_cursor: str, new_cursor: str) -> None:
        """Move the feed on from a page's `cursor` to one of its `cursors`, or its `next_cursor`. Raises Conflict FEED_MOVED_ON where it stands
        elsewhere: another consumer has acknowledged, or an earlier try of this call had arrived."""
        self._connection.ask("PATCH", f"{ROOT}/feeds/{step(feed_id)}", body={"old_cursor": old_cursor, "new_cursor": new_cursor})

    def consume(self, feed_id: str, limit: int = PAGE) -> Iterator[Action | Transaction]:
        """Each item there is by now; a page is acknowledged when the item after its last one is asked for, so what was not finished comes again."""
        while True:
            page = self.page(feed_id, limit)
            yield from page.items
            if page.next_cursor == page.cursor:
                return
            try:
                self.acknowledge(feed_id, page.cursor, page.next_cursor)
            except Conflict as moved:
                if moved.code != "FEED_MOVED_ON":
                    raise
            if not page.items:
                return

    def drop(self, feed_id: str) -> None:
        """One that is not there stays so."""
        self._connection.ask("DELETE", f"{ROOT}/feeds/{step(feed_id)}")


class Sums:
    """Sums of tokens that are kept with every posting and looked up when they are asked for."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection

    def declare(self, name: str, where: str = "", params: Sequence[Any] = (), group_by: Sequence[str] = ()) -> DeclaredSum:
        """Keep what `ledger.tokens.sum` would answer. The same again changes nothing. Raises Conflict, Refused where it depends on the amount."""
        body = {"filter": where, "params": [*params], "group_by": [*group_by]}
        return read(DeclaredSum, self._connection.ask("PUT", f"{ROOT}/sums/{step(name)}", body=body))

    def list(self) -> Sequence[DeclaredSum]:
        """All of them, by their names."""
        return [read(DeclaredSum, one) for one in self._connection.ask("GET", f"{ROOT}/sums")]

    def read(self, name: str) -> Sequence[Sum]:
        """Now. Raises NotFound."""
        return [read(Sum, one) for one in self._connection.ask("GET", f"{ROOT}/sums/{step(name)}")]

    def drop(self, name: str) -> None:
        """One that is not there stays so."""
        self._connection.ask("DELETE", f"{ROOT}/sums/{step(name)}")


def _transaction(shown: Any) -> Transaction:
    return read(Transaction, {**shown, "actions": [read(Action, one) for one in shown["actions"]]})
