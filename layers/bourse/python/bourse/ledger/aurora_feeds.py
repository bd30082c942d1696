"""Feeds in PostgreSQL: in the order of the database's transaction ids, and only what is older than every transaction still running.

A transaction that commits late has an id below those that committed before it; a feed waits for it instead of skipping it. So one order
holds for every consumer at any time. A writer holds the feeds back for as long as his transaction lives, and `bourse_app` lets none idle.
"""

from typing import TYPE_CHECKING, Any, Final, LiteralString

import orjson

from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused
from bourse.ledger.actions import PostedMove, PostedTransaction
from bourse.ledger.aurora_lists import TRANSACTION, where_transactions, with_actions
from bourse.ledger.aurora_reads import ACTION_COLUMNS, ACTIONS, MOVE, where_of
from bourse.ledger.books import Question
from bourse.ledger.check import differ
from bourse.ledger.cursors import check_limit
from bourse.ledger.feeds import WHOLE, Feed, FeedPage, Position, check_feed, cursor_at, position_of, unknown_feed

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_OPEN: Final[LiteralString] = """
    insert into books.feed (tenant_id, feed_id, kind, filter, params, since, xid)
    select %(tenant)s, %(feed)s, %(kind)s, %(filter)s, %(params)s, case when %(now)s then pg_current_snapshot() end,
      case when %(now)s then pg_snapshot_xmin(pg_current_snapshot())::text::bigint else 0 end
    on conflict do nothing"""
_FEED: Final[LiteralString] = """
    select feed_id, kind, filter, params, case when since is null then 'beginning' else 'now' end, since, xid, txn_no, seq
    from books.feed where """
_DROP: Final[LiteralString] = "delete from books.feed where tenant_id = %s and feed_id = %s"
_ACK: Final[LiteralString] = """
    update books.feed set xid = %s, txn_no = %s, seq = %s where tenant_id = %s and feed_id = %s and (xid, txn_no, seq) = (%s, %s, %s)"""
_HORIZON: Final[LiteralString] = "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_BOUND: Final[LiteralString] = "select * from books.feed_bound(%s, %s, %s)"
_READ_AHEAD: Final = 1_000
"""So many transactions are looked through at once, whatever the page's size."""
_SINCE: Final[LiteralString] = """
    and (%s::text::pg_snapshot is null or not pg_visible_in_snapshot({x}.xid::text::xid8, %s::text::pg_snapshot)) and {x}.xid >= %s and {x}.xid < %s"""
_AFTER_ACTION: Final[LiteralString] = _SINCE.replace("{x}", "x") + " and (x.xid, m.txn_no, m.seq) > (%s, %s, %s) order by x.xid, m.txn_no, m.seq limit %s"
_AFTER_TRANSACTION: Final[LiteralString] = (
    _SINCE.replace("{x}", "w") + " and (w.xid, w.txn_no, " + "2147483647) > (%s, %s, %s) order by w.xid, w.txn_no limit %s"
)


class AuroraFeeds:
    """The feeding part of `Books`."""

    _database: Database

    def open_feed(self, tenant_id: str, feed: Feed) -> None:
        check_feed(feed)
        params = orjson.dumps(feed.params).decode()
        asked = {"tenant": tenant_id, "feed": feed.feed_id, "kind": feed.kind, "filter": feed.filter, "params": params, "now": feed.start == "now"}
        with self._database.transaction(tenant_id) as cursor:
            if cursor.execute(_OPEN, asked).rowcount == 0 and differ(_feed(cursor, tenant_id, feed.feed_id)[0], feed):
                raise Conflict("FEED_DIFFERS", f"there is a feed {feed.feed_id} of something else", "feed_id")

    def drop_feed(self, tenant_id: str, feed_id: str) -> None:
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(_DROP, [tenant_id, feed_id])

    def feeds(self, tenant_id: str) -> list[Feed]:
        with self._database.transaction(tenant_id) as cursor:
            return [_noun(row) for row in cursor.execute(_FEED + 'tenant_id = %s order by feed_id collate "C"', [tenant_id])]

    def feed_page(self, tenant_id: str, feed_id: str, *, limit: int = 100) -> FeedPage[Any]:
        check_limit(limit)
        with self._database.transaction(tenant_id) as cursor:
            feed, since, stands = _feed(cursor, tenant_id, feed_id)
            found: list[tuple[PostedMove | PostedTransaction, Position]] = []
            position = stands
            while not found:
                row = cursor.execute(_BOUND, [tenant_id, position[0], max(limit, _READ_AHEAD)]).fetchone()
                assert row is not None, "there is always a bound"
                bound, horizon = row
                found = _page(cursor, feed, [since, since, position[0], bound, *position, limit])
                position = found[-1][1] if len(found) == limit else max(position, (bound, 0, 0))
                if bound >= horizon:
                    break
        return FeedPage([item for item, _ in found], [cursor_at(at) for _, at in found], cursor_at(stands), cursor_at(position))

    def ack_feed(self, tenant_id: str, feed_id: str, old_cursor: str, new_cursor: str) -> None:
        old, new = position_of(old_cursor), position_of(new_cursor)
        with self._database.transaction(tenant_id) as cursor:
            horizon = cursor.execute(_HORIZON).fetchone()
            assert horizon is not None, "there is always a horizon"
            if not old <= new <= (horizon[0], 0, 0):
                raise Refused("CURSOR_INVALID", "a feed moves on, and to a cursor it gave", "new_cursor")
            if cursor.execute(_ACK, [*new, tenant_id, feed_id, *old]).rowcount != 1:
                stands = _feed(cursor, tenant_id, feed_id)[2]
                raise Conflict("FEED_MOVED_ON", f"the feed {feed_id} stands at {cursor_at(stands)}", "old_cursor")


def _feed(cursor: "Cursor", tenant_id: str, feed_id: str) -> tuple[Feed, str | None, Position]:
    row = cursor.execute(_FEED + "tenant_id = %s and feed_id = %s", [tenant_id, feed_id]).fetchone()
    if row is None:
        raise unknown_feed(feed_id)
    return _noun(row), row[5], (row[6], row[7], row[8])


def _noun(row: Any) -> Feed:
    return Feed(row[0], row[1], row[2], tuple(row[3]), row[4])


def _page(cursor: "Cursor", feed: Feed, params: list[Any]) -> list[tuple[PostedMove | PostedTransaction, Position]]:
    question = Question(feed.filter, feed.params)
    if feed.kind == "actions":
        where = where_of(question, "actions", ACTION_COLUMNS)
        rows = cursor.execute(MOVE + ", x.xid" + ACTIONS + " where " + where.text + _AFTER_ACTION, [*where.params, *params]).fetchall()
        return [(PostedMove(*row[:13]), (row[14], row[1], row[13])) for row in rows]
    where = where_transactions(question)
    rows = cursor.execute(TRANSACTION + ", w.xid from books.txn w where " + where.text + _AFTER_TRANSACTION, [*where.params, *params]).fetchall()
    return [(one, (row[9], row[1], WHOLE)) for one, row in zip(with_actions(cursor, rows), rows, strict=True)]
