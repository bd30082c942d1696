"""What the lists in PostgreSQL have in common: the order of a walk, where a page begins, and the snapshot that all its pages show.

A first page reads what is committed; its cursors carry that snapshot (`pg_current_snapshot`). Later pages leave out what it does not show: transactions by
their ids, and of lots what such transactions did to them since, which is taken off what the lots hold now.
"""

from collections.abc import Sequence
from typing import Any, Final, LiteralString

from bourse.ledger.books import NOW
from bourse.ledger.filters import Sql
from bourse.ledger.paging import Asking

SEEN: Final[LiteralString] = ", pg_current_snapshot()::text"
"""A column: the snapshot a statement reads."""
NO_SNAPSHOT: Final = "1:1:"
"""Of lists whose rows stay for ever: what is new in them is not left out."""
_LOT_PLACE: Final[LiteralString] = """ and (a.account_id collate "C", f.flavor_id collate "C", coalesce(t.tags, '{}')::text collate "C") {sign}
    (%s, %s, case when %s then (select tags::text from books.tagset where digest = %s) else '{}' end)"""
_LOT_ORDER: Final[LiteralString] = """ order by a.account_id collate "C" {way}, f.flavor_id collate "C" {way}, coalesce(t.tags, '{}')::text collate "C" {way}"""
_ACTION_PLACE: Final[LiteralString] = """ and (m.txn_no, m.seq) {sign} (%s::bigint, %s::int)
    and (select pg_visible_in_snapshot(v.xid::text::xid8, %s::text::pg_snapshot) from books.txn v where v.txn_no = m.txn_no)"""
_ACTION_ORDER: Final[LiteralString] = " order by m.txn_no {way}, m.seq {way}"
_TRANSACTION_PLACE: Final[LiteralString] = " and w.txn_no {sign} %s::bigint and pg_visible_in_snapshot(w.xid::text::xid8, %s::text::pg_snapshot)"
_TRANSACTION_ORDER: Final[LiteralString] = " order by w.txn_no {way}"
_NAME_PLACE: Final[LiteralString] = ' collate "C" {sign} %s'
_NAME_ORDER: Final[LiteralString] = ' collate "C" {way}'
# What transactions did to lots that the snapshot does not show, to be taken off: from their ids on, each by its key.
_SINCE: Final[LiteralString] = """
    union all select l.account_no, l.flavor_no, l.tagset_no, c.amount, c.held from (
      with later as materialized (
        select txn_no from books.txn where xid >= %s::bigint and not pg_visible_in_snapshot(xid::text::xid8, %s::text::pg_snapshot)
          and recorded_at <= coalesce(%s::timestamptz, 'infinity'))
      select e.lot_no, sum(e.amount)::bigint as amount, sum(e.held)::bigint as held from (
        select v.lot_no, v.amount, 0 as held from later cross join lateral (
          select src, dst, amount from books.move where txn_no = later.txn_no and effective_at <= coalesce(%s::timestamptz, 'infinity') offset 0) m
        cross join lateral (values (m.src, m.amount), (m.dst, -m.amount)) v(lot_no, amount)
        union all select h.lot_no, 0, -h.amount from later cross join lateral (
          select lot_no, amount from books.hold_move where txn_no = later.txn_no offset 0) h where %s) e
      group by e.lot_no) c
    join books.lot l on l.lot_no = c.lot_no where true"""


def since(asked: Asking[Any]) -> Sql:
    """Rows that take off the lots what the walk does not show; nothing on a first page."""
    if asked.place is None:
        return Sql("")
    lowest, seen = asked.place.seen.partition(":")[0], asked.place.seen
    return Sql(_SINCE, [lowest, seen, asked.as_of.known_at, asked.as_of.effective_at, asked.as_of == NOW])


def _walk(asked: Asking[Any], place: LiteralString, order: LiteralString, params: list[Any], *, newest_first: bool) -> tuple[Sql, LiteralString]:
    """The condition where a page begins, and the order of the walk."""
    down = newest_first != asked.back
    begins = Sql(place.replace("{sign}", "<" if down else ">"), params) if asked.place else Sql("")
    return begins, order.replace("{way}", "desc" if down else "asc")


def walk_tokens(asked: Asking[Any]) -> tuple[Sql, LiteralString]:
    """Of accounts `a`, flavors `f` and tag sets `t`."""
    key = asked.place.key if asked.place else ("", "", "")
    return _walk(asked, _LOT_PLACE, _LOT_ORDER, [*key[:2], bool(key[2]), bytes.fromhex(key[2])], newest_first=False)


def walk_actions(asked: Asking[Any]) -> tuple[Sql, LiteralString]:
    """Of moves `m`."""
    return _walk(asked, _ACTION_PLACE, _ACTION_ORDER, [*asked.place.key, asked.place.seen] if asked.place else [], newest_first=True)


def walk_transactions(asked: Asking[Any]) -> tuple[Sql, LiteralString]:
    """Of transactions `w`."""
    return _walk(asked, _TRANSACTION_PLACE, _TRANSACTION_ORDER, [*asked.place.key, asked.place.seen] if asked.place else [], newest_first=True)


def walk_names(asked: Asking[Any], column: LiteralString) -> tuple[Sql, LiteralString]:
    """Of the names in a column."""
    return _walk(asked, " and " + column + _NAME_PLACE, " order by " + column + _NAME_ORDER, list(asked.place.key) if asked.place else [], newest_first=False)


def seen_by(asked: Asking[Any], rows: Sequence[Sequence[Any]]) -> str:
    """The snapshot of a walk: that of its first page, which is the last column of its rows."""
    return asked.place.seen if asked.place else rows[0][-1] if rows else ""
