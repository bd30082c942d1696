"""`Checker` over PostgreSQL: what can be compared as sets is compared by the database, what only Python can compute is streamed to it."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.aurora_chain_checks import check_chain
from bourse.ledger.aurora_key_checks import KEYS, check_keys
from bourse.ledger.aurora_projection_checks import QUERIES, check_sums
from bourse.ledger.aurora_quorum_checks import check_quorums
from bourse.ledger.checker import Difference, Progress, Witness, silent
from bourse.ledger.lots import tagset_digest

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

# A query of differences: rows of (code, place, expected, found), all of them text.
_LOTS: Final[LiteralString] = """
    with moved as (
      select lot_no, sum(change)::bigint as amount, max(effective_at) as at, max(risen) as risen from (
        select src as lot_no, -amount as change, effective_at, null::bigint as risen from books.move where tenant_id = %(tenant)s
        union all select dst, amount, effective_at, txn_no from books.move where tenant_id = %(tenant)s) m group by lot_no),
    held as (select lot_no, sum(amount)::bigint as held from books.hold_move where tenant_id = %(tenant)s group by lot_no),
    told as (select distinct on (no) no as lot_no, floor from books.told where tenant_id = %(tenant)s and what = 'f' order by no, told_no desc),
    seen as (
      select coalesce(l.lot_no, m.lot_no, h.lot_no) as lot_no, concat_ws(' ', a.account_id, f.flavor_id, coalesce(t.tags, '{}'), nullif(l.slot, 0)) as place,
        l.lot_no is null as missing, l.amount, coalesce(m.amount, 0) as moved, l.held, coalesce(h.held, 0) as holds, l.floor,
        case when l.tagset_no = 0 then coalesce(k.floor, a.floor) else 0 end as may, l.latest_at, coalesce(m.at, '-infinity') as at,
        l.opened_no >> 20 as opened, m.risen, l.closed, a.closed_at is not null as shut, l.slot, a.hot as a_hot
      from (select * from books.lot where tenant_id = %(tenant)s) l full join moved m using (lot_no) full join held h using (lot_no)
      left join told k using (lot_no) left join books.account a using (account_no) left join books.flavor f using (flavor_no)
      left join books.tagset t using (tagset_no))
    select d.code, coalesce(nullif(s.place, '{}'), 'lot ' || s.lot_no), d.expected, d.found from seen s cross join lateral (values
      ('LOT_MISSING', missing, 'a lot', 'none'),
      ('LOT_AMOUNT', amount <> moved, moved::text, amount::text),
      ('LOT_HELD', held <> holds, holds::text, held::text),
      ('LOT_FLOOR', not missing and floor is distinct from may, coalesce(may::text, 'none'), coalesce(floor::text, 'none')),
      ('LOT_NEGATIVE', amount - held < floor, floor::text, (amount - held)::text),
      ('LOT_LATEST', latest_at <> at, at::text, latest_at::text),
      ('LOT_OPENED', amount > 0 and floor is not null and (opened <= 0 or opened > risen), 'at most ' || risen, opened::text),
      ('LOT_SLOT', slot <> 0 and not (slot between 0 and 15 and a_hot), '0 to ' || case when a_hot then 15 else 0 end, slot::text),
      ('LOT_CLOSED', closed <> shut, shut::text, closed::text)) d(code, differs, expected, found)
    where d.differs"""
# What an issue set the floor of holds from then on; of all others it held at every instant.
_INSTANTS: Final[LiteralString] = """
    select 'LOT_NEGATIVE', concat_ws(' ', a.account_id, f.flavor_id, coalesce(t.tags, '{}'), 'at', s.at), l.floor::text, s.stood::text
    from (select distinct on (lot_no) lot_no, at, stood from (
        select lot_no, at, sum(sum(change)) over (partition by lot_no order by at) as stood from (
          select src as lot_no, effective_at as at, -amount as change from books.move where tenant_id = %(tenant)s
          union all select dst, effective_at, amount from books.move where tenant_id = %(tenant)s) m
        group by lot_no, at) m order by lot_no, stood, at) s
    join books.lot l using (lot_no) join books.account a using (account_no) join books.flavor f using (flavor_no) left join books.tagset t using (tagset_no)
    where s.stood < l.floor and s.stood <> l.amount and (a.floor is not null or l.tagset_no <> 0)"""
_TRANSACTIONS: Final[LiteralString] = """
    select d.code, coalesce(s.txn_id, 'transaction ' || s.txn_no), d.expected, d.found from (
      select coalesce(x.txn_no, m.txn_no, h.txn_no, k.txn_no) as txn_no, x.txn_id, x.txn_no is null as missing, m.moves, h.moves as holds,
        m.first, m.last, h.first as h_first, h.last as h_last, x.effective_at as at, m.earliest, m.latest
      from (select txn_no, txn_id, effective_at from books.txn where tenant_id = %(tenant)s) x
      full join (select txn_no, count(*) as moves, min(seq) as first, max(seq) as last, min(effective_at) as earliest, max(effective_at) as latest
                 from books.move where tenant_id = %(tenant)s group by txn_no) m using (txn_no)
      full join (select txn_no, count(*) as moves, min(seq) as first, max(seq) as last from books.hold_move where tenant_id = %(tenant)s group by txn_no) h
        using (txn_no)
      full join (select distinct txn_no from books.asked where tenant_id = %(tenant)s) k using (txn_no)) s cross join lateral (values
      ('MOVE_WITHOUT_TXN', missing, 'a transaction', 'none'),
      ('TXN_WITHOUT_MOVES', not missing and moves is null and holds is null, 'moves', 'none'),
      ('MOVE_SEQUENCE', first <> 1 or last <> moves, '1 to ' || moves, first || ' to ' || last),
      ('MOVE_SEQUENCE', h_first <> 1 or h_last <> holds, '1 to ' || holds, h_first || ' to ' || h_last),
      ('MOVE_TIME', earliest <> at or latest <> at, at::text, case when earliest <> at then earliest else latest end::text)) d(code, differs, expected, found)
    where d.differs"""
_FLAVORS: Final[LiteralString] = """
    select 'FLAVOR_NOT_ZERO', concat(coalesce((select txn_id from books.txn x where x.txn_no = m.txn_no), m.txn_no::text), '/', m.action_no),
      (select flavor_id from books.flavor f where f.flavor_no = s.flavor_no), (select flavor_id from books.flavor f where f.flavor_no = d.flavor_no)
    from books.move m join books.lot s on s.lot_no = m.src join books.lot d on d.lot_no = m.dst
    where m.tenant_id = %(tenant)s and s.flavor_no <> d.flavor_no"""
_HOLDS: Final[LiteralString] = """
    select 'HOLD_DIFFERS', h.hold_id, concat('over ', s.is_over, ', expired ', s.expired, ', of its account and flavor true, at least 0 left true'),
      concat('over ', h.is_over, ', expired ', h.expired, ', of its account and flavor ', s.own, ', at least 0 left ', s.enough)
    from books.hold h left join lateral (
      select coalesce(sum(left_of), 0) = 0 as is_over, coalesce(bool_or(m.expired), false) as expired, bool_and(m.left_of >= 0) as enough,
        bool_and(l.account_no = h.account_no and l.flavor_no = h.flavor_no) as own
      from (select lot_no, sum(amount) as left_of, bool_or(type = 'expire') as expired from books.hold_move where hold_no = h.hold_no group by lot_no) m
      left join books.lot l using (lot_no)) s on true
    where h.tenant_id = %(tenant)s and (h.is_over, h.expired, true, true) is distinct from (s.is_over, s.expired, s.own, s.enough)
    union all
    select 'HOLD_DIFFERS', 'hold ' || m.hold_no, 'a hold', 'none' from books.hold_move m
    where m.tenant_id = %(tenant)s and not exists (select from books.hold h where h.hold_no = m.hold_no) group by m.hold_no"""
_TAGS: Final[LiteralString] = """
    with told as (select distinct on (what, no) what, no, tags from books.tags_told where tenant_id = %(tenant)s order by what, no, since_no desc)
    select 'TAGS_DIFFER', 'account ' || a.account_id, coalesce(k.tags, '{}')::text, a.tags::text
    from books.account a left join told k on k.what = 'a' and k.no = a.account_no where a.tenant_id = %(tenant)s and a.tags <> coalesce(k.tags, '{}')
    union all
    select 'TAGS_DIFFER', 'flavor ' || f.flavor_id, coalesce(k.tags, '{}')::text, f.tags::text
    from books.flavor f left join told k on k.what = 'f' and k.no = f.flavor_no where f.tenant_id = %(tenant)s and f.tags <> coalesce(k.tags, '{}')"""
_TOLD: Final[LiteralString] = """
    select 'ACCOUNT_DIFFERS', 'account ' || a.account_id, d.expected, d.found from books.account a
    left join books.told t on t.tenant_id = a.tenant_id and t.what = 'c' and t.no = a.account_no
    left join (select distinct no from books.tags_told where tenant_id = %(tenant)s and what = 'a') k on k.no = a.account_no
    cross join lateral (values
      (k.no is null and a.account_id <> 'world', 'an account that was opened', 'one that never was'),
      ((a.closed_at is null) <> (t.no is null), case when t.no is null then 'open' else 'closed' end,
        case when a.closed_at is null then 'open' else 'closed' end)) d(differs, expected, found)
    where a.tenant_id = %(tenant)s and d.differs
    union all
    select 'ACCOUNT_DIFFERS', 'flavor ' || f.flavor_id, 'a flavor that was opened', 'one that never was' from books.flavor f
    where f.tenant_id = %(tenant)s and f.flavor_no not in (select no from books.tags_told where tenant_id = %(tenant)s and what = 'f')"""
_NO_TAGSET: Final[LiteralString] = """
    select 'TAGSET_DIFFERS', concat_ws(' ', a.account_id, f.flavor_id), 'tag set ' || l.tagset_no, 'none'
    from books.lot l left join books.account a using (account_no) left join books.flavor f using (flavor_no)
    where l.tenant_id = %(tenant)s and l.tagset_no <> 0 and l.tagset_no not in (select tagset_no from books.tagset where tenant_id = %(tenant)s)
    union all
    select 'TAGSET_DIFFERS', concat(coalesce(x.txn_id, m.txn_no::text), ', move ', m.seq), 'tag set ' || m.tagset_no, 'none'
    from books.move m left join books.txn x using (txn_no)
    where m.tenant_id = %(tenant)s and m.tagset_no <> 0 and m.tagset_no not in (select tagset_no from books.tagset where tenant_id = %(tenant)s)"""
_TAGSETS: Final[LiteralString] = "select tagset_no, tags, digest from books.tagset where tenant_id = %(tenant)s"
# Both in the order of what is owed to whom: the changes (0) and what they come to (1), exact fractions that only Python adds up.
_OWED: Final[LiteralString] = """
    select w.over_flavor_no, w.flavor_no, w.account_no, 0, w.change from books.owed_change w where w.tenant_id = %(tenant)s
    union all select w.over_flavor_no, w.flavor_no, w.account_no, 1, w.owed from books.owed w where w.tenant_id = %(tenant)s order by 1, 2, 3, 4"""
_WHO: Final[LiteralString] = """
    select concat_ws(' ', (select account_id from books.account where account_no = %s), (select flavor_id from books.flavor where flavor_no = %s), 'over',
      (select flavor_id from books.flavor where flavor_no = %s))"""
# No more of a move returns than it moved, each return is a move, and the parts of a transaction are numbered from 1.
_REVERSALS: Final[LiteralString] = """
    select 'REVERSAL_DIFFERS', concat(coalesce(x.txn_id, v.of_txn_no::text), ', move ', v.of_seq), 'at most ' || coalesce(m.amount, 0), sum(v.amount)::text
    from books.reversed_move v left join books.move m on m.txn_no = v.of_txn_no and m.seq = v.of_seq left join books.txn x on x.txn_no = v.of_txn_no
    where v.tenant_id = %(tenant)s group by x.txn_id, v.of_txn_no, v.of_seq, m.amount having sum(v.amount) > coalesce(m.amount, 0)
    union all
    select 'REVERSAL_DIFFERS', concat(coalesce(x.txn_id, v.txn_no::text), ', move ', v.seq), v.amount::text, coalesce(m.amount::text, 'no move')
    from books.reversed_move v left join books.move m using (txn_no, seq) left join books.txn x using (txn_no)
    where v.tenant_id = %(tenant)s and v.amount is distinct from m.amount
    union all
    select 'REVERSAL_DIFFERS', coalesce(x.txn_id, r.of_txn_no::text), 'parts 1 to ' || count(*), 'parts to ' || max(r.part_no)
    from books.reversal r left join books.txn x on x.txn_no = r.of_txn_no
    where r.tenant_id = %(tenant)s group by x.txn_id, r.of_txn_no having max(r.part_no) <> count(*)"""
_QUERIES: Final[dict[str, tuple[LiteralString, ...]]] = {
    "lots": (_LOTS,),
    "instants": (_INSTANTS,),
    "moves": (_TRANSACTIONS, _FLAVORS, _REVERSALS),
    "holds": (_HOLDS,),
    "tags": (_TAGS, _TOLD, _NO_TAGSET),
    **QUERIES,
    "keys": (KEYS,),
}


class AuroraChecker:
    """A `Checker`."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    def differences(self, tenant_id: str, *, witness: Witness | None = None, progress: Progress = silent) -> Iterator[Difference]:
        with self._database.snapshot(tenant_id) as cursor:
            # The statements read whole tables; a plan by index, made from old statistics, would take hours.
            cursor.execute("select set_config('work_mem', '256MB', true)")
            for part, queries in _QUERIES.items():
                progress(part, 0)
                for query in queries:
                    for row in _stream(cursor, part, query, tenant_id):
                        yield Difference(*row)
            progress("sums", 0)
            yield from check_sums(cursor, tenant_id)
            progress("owed", 0)
            yield from _check_owed(cursor, tenant_id)
            yield from _check_tagsets(cursor, tenant_id)
            yield from check_keys(cursor, tenant_id, progress)
            progress("quorums", 0)
            yield from check_quorums(cursor, tenant_id)
            yield from check_chain(cursor, tenant_id, witness, progress)


def _stream(cursor: "Cursor", name: str, query: LiteralString, tenant_id: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, a few at a time."""
    with cursor.connection.cursor(name) as rows:
        yield from rows.execute(query, {"tenant": tenant_id})


def _check_owed(cursor: "Cursor", tenant_id: str) -> Iterator[Difference]:
    for (over, flavor, account), rows in groupby(_stream(cursor, "owed", _OWED, tenant_id), key=itemgetter(0, 1, 2)):
        expected: Fraction | str = Fraction(0)
        found = "none"
        for _, _, _, is_owed, text in rows:
            if is_owed:
                found = text
            elif isinstance(expected, Fraction):
                try:
                    expected += Fraction(text)
                except (ValueError, ZeroDivisionError):
                    expected = f"fractions, where one change is {text}"
        if found != str(expected) and (expected or found != "none"):
            row = cursor.execute(_WHO, [account, flavor, over]).fetchone()
            yield Difference("OWED_DIFFERS", row[0] if row else "", str(expected), found)


def _check_tagsets(cursor: "Cursor", tenant_id: str) -> Iterator[Difference]:
    for tagset_no, tags, digest in _stream(cursor, "tagsets", _TAGSETS, tenant_id):
        try:
            is_ = tagset_digest(tags).hex()
        except Refused as refused:
            is_ = refused.detail
        if is_ != digest.hex():
            yield Difference("TAGSET_DIFFERS", f"tag set {tagset_no}", digest.hex(), is_)
