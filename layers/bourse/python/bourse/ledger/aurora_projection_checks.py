"""What is kept beside the journal so that it need not be asked again or derived again: sums, stretches, terms; and refusals, feeds and templates."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, LiteralString

import orjson

from bourse.errors import Refused
from bourse.ledger.aurora_sums import paths_of
from bourse.ledger.books import DeclaredSum
from bourse.ledger.checker import Difference
from bourse.ledger.sums import check_sum

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

# A query of differences: rows of (code, place, expected, found), all of them text.
# Which lots are in which groups, by the filters as they are declared.
_SUM_LOTS: Final[LiteralString] = """
    with o as materialized (
      select l.lot_no, l.sums_known, a.hot, concat_ws(' ', a.account_id, f.flavor_id, coalesce(t.tags, '{}'), nullif(l.slot, 0)) as place,
        jsonb_build_object('account_id', a.account_id, 'account_tags', a.tags, 'flavor_id', f.flavor_id, 'flavor_tags', f.tags,
          'tags', coalesce(t.tags, '{}')) as object
      from books.lot l join books.account a using (account_no) join books.flavor f using (flavor_no) left join books.tagset t using (tagset_no)
      where l.tenant_id = %(tenant)s and cardinality(%(sums)s::bigint[]) > 0),
    asked as (
      select o.lot_no, s.sum_no, o.hot, sha256(convert_to(books.values_at(s.paths, o.object)::text, 'UTF8')) as digest
      from o join unnest(%(sums)s::bigint[], %(trees)s::jsonb[], %(paths)s::jsonb[]) s(sum_no, tree, paths) on books.asks(s.tree, o.object)
      where o.sums_known),
    kept as (select k.lot_no, k.sum_no, k.hot, g.digest from books.sum_lot k left join books.sum_group g on g.group_no = k.group_no and g.sum_no = k.sum_no
      where k.tenant_id = %(tenant)s and k.sum_no <> all(%(unread)s::bigint[]))
    select 'SUM_DIFFERS', concat_ws(', ', coalesce((select name from books.declared_sum d where d.sum_no = sum_no_of), 'sum ' || sum_no_of),
        coalesce((select o.place from o where o.lot_no = lot_of), 'lot ' || lot_of)), expected, found
    from (
      select coalesce(a.sum_no, k.sum_no) as sum_no_of, coalesce(a.lot_no, k.lot_no) as lot_of,
        case when a.lot_no is null then 'not in it' else concat('group ', encode(a.digest, 'hex'), case when a.hot then ', hot' end) end as expected,
        case when k.lot_no is null then 'not in it' else concat('group ', encode(k.digest, 'hex'), case when k.hot then ', hot' end) end as found
      from asked a full join kept k using (lot_no, sum_no)
      where (a.lot_no, a.digest, a.hot) is distinct from (k.lot_no, k.digest, k.hot)) d
    union all
    select 'SUM_DIFFERS', o.place, 'its sums are known', 'they are not' from o
    where not o.sums_known and (exists (select from books.move m where m.src = o.lot_no) or exists (select from books.move m where m.dst = o.lot_no))"""
_SUM_TOTALS: Final[LiteralString] = """
    with due as (
      select k.group_no, sum(l.amount) as amount from books.sum_lot k join books.lot l using (lot_no)
      where k.tenant_id = %(tenant)s and not k.hot and l.amount > 0 group by k.group_no),
    is_ as (select group_no, sum(amount) as amount from books.sum_total where tenant_id = %(tenant)s group by group_no)
    select 'SUM_DIFFERS', coalesce((select concat(d.name, ', group ', g.group_values) from books.sum_group g join books.declared_sum d using (sum_no)
        where g.group_no = x.group_no), 'group ' || x.group_no), x.expected, x.found
    from (select group_no, coalesce(d.amount, 0)::text as expected, coalesce(i.amount, 0)::text as found from due d full join is_ i using (group_no)
          where coalesce(d.amount, 0) <> coalesce(i.amount, 0)) x
    union all
    select 'SUM_DIFFERS', concat_ws(', ', coalesce(d.name, 'sum ' || g.sum_no), 'group ' || g.group_values::text),
      encode(sha256(convert_to(g.group_values::text, 'UTF8')), 'hex'), encode(g.digest, 'hex')
    from books.sum_group g left join books.declared_sum d using (sum_no)
    where g.tenant_id = %(tenant)s
      and (d.sum_no is null or g.digest <> sha256(convert_to(g.group_values::text, 'UTF8'))
        or jsonb_array_length(g.group_values) <> cardinality(d.group_by))
    union all
    select 'SUM_DIFFERS', 'group ' || t.group_no, 'a group', 'none' from books.sum_total t
    where t.tenant_id = %(tenant)s and not exists (select from books.sum_group g where g.group_no = t.group_no) group by t.group_no"""
_SUMS: Final[LiteralString] = "select sum_no, name, filter, params, group_by, tree, paths from books.declared_sum where tenant_id = %s order by name"
# Each stretch from what it sums up, and all of a lot's one after the other, from the beginning to where they are said to end.
_STRETCHES: Final[LiteralString] = """
    with s as materialized (select * from books.stretch where tenant_id = %(tenant)s),
    summed as (
      select s.lot_no, s.level, s.begins_at, s.ends_at, s.net, s.low, s.low_at, s.parts, s.single,
        d.net as d_net, d.low as d_low, d.low_at as d_low_at, d.parts as d_parts, d.single as d_single
      from s cross join lateral (
        select sum(c.change) as net, min(c.stood) as low, (array_agg(c.low_at order by c.stood, c.at))[1] as low_at, sum(c.parts)::int as parts,
          s.level = 1 and count(*) = 1 as single
        from (select at, low_at, parts, change, sum(change) over (order by at) - change + low as stood from (
            select at, at as low_at, moves as parts, change, change as low from books.changes(s.lot_no, s.begins_at, s.ends_at) where s.level = 1
            union all select i.begins_at, i.low_at, 1, i.net, i.low from books.stretch i
            where s.level = 2 and i.lot_no = s.lot_no and i.level = 1 and i.begins_at >= s.begins_at and i.begins_at < s.ends_at) p) c) d),
    joined as (
      select lot_no, level, begins_at, lag(ends_at) over (partition by lot_no, level order by begins_at) as before, ends_at,
        lead(begins_at) over (partition by lot_no, level order by begins_at) as next from s),
    found as (
      select lot_no, level, begins_at, concat_ws(' ', d_net, d_low, d_low_at, d_parts, d_single) as expected,
        concat_ws(' ', net, low, low_at, parts, single) as found
      from summed where (net, low, low_at, parts, single) is distinct from (d_net, d_low, d_low_at, d_parts, d_single)
      union all
      select j.lot_no, level, begins_at, concat('from ', coalesce(before, '-infinity'), ' to ', coalesce(next, l.summed_until)),
        concat('from ', begins_at, ' to ', ends_at)
      from joined j left join books.lot l using (lot_no)
      where begins_at <> coalesce(before, '-infinity') or ends_at is distinct from coalesce(next, l.summed_until)
      union all
      select l.lot_no, n.level, '-infinity', 'stretches to ' || l.summed_until, 'none' from books.lot l cross join (values (1), (2)) n(level)
      where l.tenant_id = %(tenant)s and l.summed_until > '-infinity' and not exists (select from s where s.lot_no = l.lot_no and s.level = n.level))
    select 'STRETCH_DIFFERS', concat(coalesce((select concat_ws(' ', a.account_id, f.flavor_id, coalesce(t.tags, '{}'), nullif(l.slot, 0))
        from books.lot l join books.account a using (account_no) join books.flavor f using (flavor_no) left join books.tagset t using (tagset_no)
        where l.lot_no = d.lot_no), 'lot ' || d.lot_no), ', level ', d.level, ' from ', d.begins_at), d.expected, d.found
    from found d"""
_TERMS: Final[LiteralString] = """
    with tagged as (
      select 'a'::"char" as what, account_no as no, 'account ' || account_id as name, tags from books.account where tenant_id = %(tenant)s and tags <> '{}'
      union all select 'f', flavor_no, 'flavor ' || flavor_id, tags from books.flavor where tenant_id = %(tenant)s and tags <> '{}'
      union all select 't', tagset_no, 'tag set ' || tagset_no, tags from books.tagset where tenant_id = %(tenant)s),
    due as (
      select what, no, books.term_of('/' || e.key || '=' || jsonb_typeof(e.value) || ':' || (e.value #>> '{}')) as term
      from tagged, jsonb_each(tags) e where jsonb_typeof(e.value) in ('string', 'number', 'boolean')
      union select what, no, books.terms_of(tags) from tagged where tags @? '$.* ? (@.type() == "object")'),
    differs as (
      select coalesce(d.what, k.what) as what, coalesce(d.no, k.no) as no, d.term as due, k.term as kept
      from due d full join (select what, no, term from books.term where tenant_id = %(tenant)s) k on k.what = d.what and k.no = d.no and k.term = d.term
      where d.term is null or k.term is null)
    select 'TERM_DIFFERS', coalesce((select name from tagged t where t.what = d.what and t.no = d.no),
        concat(case d.what when 'a' then 'account number ' when 'f' then 'flavor number ' else 'tag set ' end, d.no)),
      coalesce('term ' || due, 'no such term'), coalesce('term ' || kept, 'none') from differs d"""
_REFUSED: Final[LiteralString] = """
    select 'REFUSAL_DIFFERS', r.txn_id, d.expected, d.found from books.refusal r left join books.txn x on x.tenant_id = r.tenant_id and x.txn_id = r.txn_id
    cross join lateral (values
      (x.txn_id is not null, 'refused and never posted', 'posted'),
      (r.code <> 'INSUFFICIENT_FUNDS', 'INSUFFICIENT_FUNDS', r.code),
      (length(r.digest) <> 32, '32 bytes of a digest', length(r.digest)::text)) d(differs, expected, found)
    where r.tenant_id = %(tenant)s and d.differs"""
# A feed that stands beyond all that was ever written hands nothing out until the server's transactions have caught up.
_FEEDS: Final[LiteralString] = """
    select 'FEED_DIFFERS', p.feed_id, d.expected, d.found from books.feed p cross join lateral (values
      (p.xid > pg_snapshot_xmax(pg_current_snapshot())::text::bigint, 'at most ' || pg_snapshot_xmax(pg_current_snapshot()), p.xid::text),
      (p.txn_no <> 0 and not exists (select from books.txn x where x.tenant_id = p.tenant_id and x.txn_no = p.txn_no and x.xid = p.xid),
        'a transaction', concat(p.xid, '/', p.txn_no)),
      (p.seq < 0 or p.txn_no = 0 and p.seq <> 0 or p.seq not in (0, 2147483647) and p.seq > coalesce(
        (select max(m.seq) from books.move m where m.txn_no = p.txn_no), 0), 'a place in a transaction', p.seq::text)) d(differs, expected, found)
    where p.tenant_id = %(tenant)s and d.differs"""
_TEMPLATES: Final[LiteralString] = """
    select 'TEMPLATE_DIFFERS', 'template ' || template_id, 'versions 1 to ' || count(*), concat('versions ', min(version), ' to ', max(version))
    from books.template where tenant_id = %(tenant)s group by template_id having min(version) <> 1 or max(version) <> count(*)
    union all
    select 'TEMPLATE_DIFFERS', concat('template ', template_id, ', version ', version), 'told as number ' || by_entry, 'kept as number ' || by_version from (
      select template_id, version, rank() over (partition by template_id order by xid, entry_no) as by_entry,
        rank() over (partition by template_id order by version) as by_version from books.template where tenant_id = %(tenant)s) t
    where by_entry <> by_version"""
QUERIES: Final[dict[str, tuple[LiteralString, ...]]] = {
    "stretches": (_STRETCHES,),
    "terms": (_TERMS,),
    "refusals": (_REFUSED, _FEEDS, _TEMPLATES),
}


def check_sums(cursor: "Cursor", tenant_id: str) -> Iterator[Difference]:
    """Whether the database asks of a lot what a sum's filter and groups say, and what lots and totals that comes to."""
    read: list[tuple[int, str, str]] = []
    unread: list[int] = []
    for number, name, text, params, group_by, tree, paths in cursor.execute(_SUMS, [tenant_id]).fetchall():
        declared = DeclaredSum(name, text, tuple(params), tuple(group_by))
        try:
            expected = [check_sum(declared), paths_of(declared)]
        except Refused as refused:
            unread.append(number)
            yield Difference("SUM_DIFFERS", name, "a filter and groups", refused.detail)
            continue
        read.append((number, *(orjson.dumps(one).decode() for one in expected)))
        if expected != [tree, paths]:
            yield Difference("SUM_DIFFERS", name, str(expected), str([tree, paths]))
    sums, trees, ways = ([one[place] for one in read] for place in range(3))
    asked = {"tenant": tenant_id, "sums": sums, "trees": trees, "paths": ways, "unread": unread}
    for query in (_SUM_LOTS, _SUM_TOTALS):
        with cursor.connection.cursor("sums") as rows:
            for row in rows.execute(query, asked):
                yield Difference(*row)
