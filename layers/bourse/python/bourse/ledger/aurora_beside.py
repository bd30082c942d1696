"""What books in PostgreSQL have beside their journal, given and taken: the order of spending, feeds and declared sums; and refusals."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, LiteralString

import orjson

from bourse.errors import Conflict
from bourse.ledger.aurora_sums import insert_sum
from bourse.ledger.books import DeclaredSum
from bourse.ledger.carry_beside import FeedStands, SpendingOrder, SumDeclared
from bourse.ledger.feeds import WHOLE, Feed
from bourse.ledger.journal import Entry
from bourse.ledger.journal_refusals import RefusalTold

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_ORDERS: Final[LiteralString] = """
    select a.account_id, f.flavor_id, array_agg(l.tags order by l.opened, l.lot_no) from (
      select account_no, flavor_no, coalesce(t.tags, '{}') as tags, min(opened_no) as opened, min(lot_no) as lot_no
      from books.lot left join books.tagset t using (tagset_no) where lot.tenant_id = %s and amount > 0 group by account_no, flavor_no, tagset_no, t.tags) l
    join books.account a using (account_no) join books.flavor f using (flavor_no)
    group by a.account_id, f.flavor_id having count(*) > 1 order by a.account_id collate "C", f.flavor_id collate "C" """
_FEEDS: Final[LiteralString] = """
    select p.feed_id, p.kind, p.filter, p.params, case when p.since is null then 'beginning' else 'now' end, s.after, s.at_seq
    from books.feed p, books.feed_after(p) s where p.tenant_id = %s order by p.feed_id collate "C" """
_SUMS: Final[LiteralString] = """
    select name, filter, params, group_by from books.declared_sum where tenant_id = %s order by name collate "C" """
_REFUSE: Final[LiteralString] = """
    insert into books.refusal (tenant_id, entry_no, txn_id, digest, code, detail, field, refused_at)
    select %s, u.* from unnest(%s::bigint[], %s::text[], %s::bytea[], %s::text[], %s::text[], %s::text[], %s::timestamptz[]) u
    on conflict do nothing returning entry_no"""
# All that was imported has this transaction's xid, in the order of its numbers. `since` hides nothing, and says only that the feed did not start at the
# beginning.
_FEED: Final[LiteralString] = """
    insert into books.feed as f (tenant_id, feed_id, kind, filter, params, since, xid, txn_no, seq)
    select %(tenant)s, %(feed)s, %(kind)s, %(filter)s, %(params)s, case when %(start)s = 'now' then '1:1:'::pg_snapshot end,
      pg_current_xact_id()::text::bigint, coalesce(x.txn_no, 0), case when x.txn_no is null then 0 else %(seq)s end
    from (select) one left join books.txn x on x.tenant_id = %(tenant)s and x.txn_id = %(after)s where x.txn_no is not null or %(after)s::text is null
    on conflict (tenant_id, feed_id) do update set since = excluded.since, xid = excluded.xid, txn_no = excluded.txn_no, seq = excluded.seq
    where (f.kind, f.filter, f.params, f.since is null) = (excluded.kind, excluded.filter, excluded.params, excluded.since is null)"""


def read_beside(cursor: "Cursor", tenant_id: str) -> Iterator[SpendingOrder | FeedStands | SumDeclared]:
    """All of it, in its order, a few rows at a time."""
    with cursor.connection.cursor("orders") as rows:
        for account, flavor, lots in rows.execute(_ORDERS, [tenant_id]):
            yield SpendingOrder(account, flavor, tuple(lots))
    yield from read_feeds(cursor, tenant_id)
    yield from map(SumDeclared, read_sums(cursor, tenant_id))


def read_feeds(cursor: "Cursor", tenant_id: str) -> list[FeedStands]:
    """The feeds and where they stand, by name."""
    rows = cursor.execute(_FEEDS, [tenant_id]).fetchall()
    return [FeedStands(Feed(row[0], row[1], row[2], tuple(row[3]), row[4]), row[5], row[6]) for row in rows]


def read_sums(cursor: "Cursor", tenant_id: str) -> list[DeclaredSum]:
    """The declared sums, by name."""
    return [DeclaredSum(row[0], row[1], tuple(row[2]), tuple(row[3])) for row in cursor.execute(_SUMS, [tenant_id])]


def write_refusals(cursor: "Cursor", tenant_id: str, entries: Sequence[tuple[int, int, Entry]]) -> None:
    """Those of these (number, line, entry) that are refusals. Raises Conflict BOOKS_DIFFER for one that is told again."""
    told = [(no, line, entry) for no, line, entry in entries if isinstance(entry, RefusalTold)]
    if not told:
        return
    rows = [(no, one.txn_id, one.digest, one.code, one.detail, one.field, one.recorded_at) for no, _, one in told]
    written = {row[0] for row in cursor.execute(_REFUSE, [tenant_id, *map(list, zip(*rows, strict=True))])}
    for no, line, one in told:
        if no not in written:
            raise Conflict("BOOKS_DIFFER", f"line {line} tells the refusal of {one.txn_id} again", f"lines.{line}")


def write_feed(cursor: "Cursor", tenant_id: str, one: FeedStands, line: int) -> None:
    """A feed, once its transactions are written. Raises Conflict BOOKS_DIFFER for one that stands after another, or where there is a feed of something else."""
    feed = one.feed
    asked = {
        "tenant": tenant_id,
        "feed": feed.feed_id,
        "kind": feed.kind,
        "filter": feed.filter,
        "params": orjson.dumps(feed.params).decode(),
        "start": feed.start,
        "after": one.after,
        "seq": one.seq or WHOLE,
    }
    if cursor.execute(_FEED, asked).rowcount != 1:
        raise Conflict("BOOKS_DIFFER", f"there is another feed {feed.feed_id} than in line {line}, or not the transaction it stands at", f"lines.{line}")


def write_sum(cursor: "Cursor", tenant_id: str, one: SumDeclared, line: int) -> None:
    """A declared sum, to be counted later. Raises Conflict BOOKS_DIFFER where there is another of that name."""
    if insert_sum(cursor, tenant_id, one.declared) is None and one.declared not in read_sums(cursor, tenant_id):
        raise Conflict("BOOKS_DIFFER", f"there is another sum {one.declared.name} than in line {line}", f"lines.{line}")
