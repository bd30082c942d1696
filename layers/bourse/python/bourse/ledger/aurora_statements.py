"""Reads statements of an account from PostgreSQL. All queries of one are of the same snapshot, and so are the pages after the first: their cursor has it."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.errors import Refused
from bourse.ledger.records import Interval, Place, Statement, StatementEntry, StatementTotal, place_of, with_balances
from bourse.ledger.snapshots import SNAPSHOT

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_FLAVOR_NO: Final[LiteralString] = "select flavor_no from books.flavor where flavor_id = %s"
# What moved between lots of the account itself changed tags and no balance.
_CHANGES: Final[LiteralString] = """
    from (select l.flavor_no, m.effective_at, m.txn_no, m.seq, m.action_no, m.type, m.tagset_no, m.amount, m.src as other
          from books.lot l join books.move m on m.dst = l.lot_no where l.account_no = %(account)s and m.effective_at < %(until)s
          union all
          select l.flavor_no, m.effective_at, m.txn_no, m.seq, m.action_no, m.type, m.tagset_no, -m.amount, m.dst
          from books.lot l join books.move m on m.src = l.lot_no where l.account_no = %(account)s and m.effective_at < %(until)s) c
    join books.lot o on o.lot_no = c.other and o.account_no <> %(account)s
    join books.txn x on x.txn_no = c.txn_no and x.recorded_at <= coalesce(%(known)s::timestamptz, 'infinity')
      and pg_visible_in_snapshot(x.xid::text::xid8, %(snapshot)s::pg_snapshot)
    join books.flavor f on f.flavor_no = c.flavor_no and (%(flavor)s::text is null or f.flavor_id = %(flavor)s)"""
_TOTALS: Final[LiteralString] = (
    "select f.flavor_id, coalesce(sum(c.amount) filter (where c.effective_at < %(since)s), 0), sum(c.amount)"
    + _CHANGES
    + """ group by f.flavor_id
    having sum(c.amount) <> 0 or count(*) filter (where c.effective_at >= %(since)s) > 0 order by f.flavor_id collate "C\""""
)
_BEFORE: Final[LiteralString] = (
    "select coalesce(sum(c.amount), 0)" + _CHANGES + " where f.flavor_id = %(place)s and (c.effective_at, c.txn_no, c.seq) <= (%(at)s, %(number)s, %(seq)s)"
)
_ENTRIES: Final[LiteralString] = (
    """
    select f.flavor_id, c.effective_at, x.recorded_at, x.txn_id, c.txn_no, c.action_no, x.kind,
      case c.type when 'i' then 'issue' when 't' then 'transfer' else 'retire' end, c.amount, 0, a.account_id, coalesce(g.tags, '{}'), c.seq"""
    + _CHANGES
    + """
    join books.account a on a.account_no = o.account_no left join books.tagset g on g.tagset_no = c.tagset_no
    where c.effective_at >= %(since)s and (f.flavor_id collate "C", c.effective_at, c.txn_no, c.seq) > (%(place)s, %(at)s, %(number)s, %(seq)s)
    order by f.flavor_id collate "C", c.effective_at, c.txn_no, c.seq limit %(limit)s"""
)


def read_statement(
    cursor: "Cursor",
    account_id: str,
    account_no: int,
    interval: Interval,
    flavor_id: str | None,
    known_at: datetime | None,
    cursor_text: str | None,
    limit: int,
) -> Statement:
    """As `Records.statement`."""
    if flavor_id is not None and cursor.execute(_FLAVOR_NO, [flavor_id]).fetchone() is None:
        raise Refused("FLAVOR_UNKNOWN", f"there is no flavor {flavor_id}", "flavor_id")
    place = _place(cursor, cursor_text) if cursor_text else Place("", interval.since, 0, 0, _snapshot_now(cursor))
    asked: dict[str, Any] = {"account": account_no, "since": interval.since, "until": interval.until, "known": known_at, "flavor": flavor_id}
    asked |= {"snapshot": place.recorded, "place": place.flavor_id, "at": place.effective_at, "number": place.number, "seq": place.seq, "limit": limit + 1}
    totals = [StatementTotal(flavor, int(opening), int(closing)) for flavor, opening, closing in cursor.execute(_TOTALS, asked)]
    if flavor_id is not None and not totals:
        totals = [StatementTotal(flavor_id, 0, 0)]
    before = {one.flavor_id: one.opening for one in totals}
    if cursor_text:
        row = cursor.execute(_BEFORE, asked).fetchone()
        assert row is not None, "a sum has a row"
        before[place.flavor_id] = int(row[0])
    rows = cursor.execute(_ENTRIES, asked).fetchall()
    entries = [StatementEntry(*row[:12]) for row in rows[:limit]]
    more = None
    if len(rows) > limit:
        last = rows[limit - 1]
        more = Place(last[0], last[1], last[4], last[12], place.recorded).cursor()
    return Statement(account_id, totals, with_balances(entries, before), more)


def _snapshot_now(cursor: "Cursor") -> str:
    row = cursor.execute("select pg_current_snapshot()::text").fetchone()
    assert row is not None, "there is always a snapshot"
    return str(row[0])


def _place(cursor: "Cursor", text: str) -> Place:
    """Raises Refused CURSOR_INVALID, also for a snapshot that never was."""
    import psycopg

    place = place_of(text)
    try:
        if not SNAPSHOT.fullmatch(place.recorded):
            raise ValueError(text)
        with cursor.connection.transaction():
            cursor.execute("select %s::pg_snapshot", [place.recorded])
    except (ValueError, psycopg.DataError):
        raise Refused("CURSOR_INVALID", "the cursor is not one we gave", "cursor") from None
    return place
