"""Whether every transaction had the signatures its accounts, flavors and the tenant's default asked for when it was posted: authority.py's rules, said
once more over the whole journal, as sets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, LiteralString

from bourse.ledger.aurora_keys import KEEP
from bourse.ledger.checker import Difference

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

# Whether the version `k` of its key signed when the signature `s` was accepted, by what had been told of the key until then.
IN_TIME: Final[LiteralString] = """
        k.valid_from <= s.accepted_at
        and not exists (select from books.key n where n.tenant_id = s.tenant_id and n.key_id = s.key_id and n.version > s.version
          and n.previous_until <= s.accepted_at and (n.xid, n.entry_no) < (s.xid, s.posting_no))
        and not exists (select from books.key_revocation r where r.tenant_id = s.tenant_id and r.key_id = s.key_id and r.version >= s.version
          and r.revoked_at <= s.accepted_at and (r.xid, r.entry_no) < (s.xid, s.posting_no))"""
_ASK: Final[LiteralString] = """
    select exists (select from books.account where tenant_id = %(tenant)s and key_ids <> '{}')
      or exists (select from books.flavor where tenant_id = %(tenant)s and key_ids <> '{}')
      or exists (select from books.default_quorum where tenant_id = %(tenant)s and key_ids <> '{}')"""
# Whom each transaction asks (`asks`: an account a, a flavor f, the default d), what each lets sign (`quorums`), who signed (`signed`), and whose quorum was
# not met. A default is remembered for a while where it is posted: whichever was one within that time will do. A signature is of the posting that kept
# it, and says nothing of what had been posted before; of a key it takes what was told before it.
_QUORUMS: Final[LiteralString] = """
    with defaults as materialized (
      select default_no, key_ids, coalesce(quorum, cardinality(key_ids)) as needed, told_at as since,
        coalesce(lead(told_at) over (order by default_no), 'infinity') as until from books.default_quorum where tenant_id = %(tenant)s
      union all
      select 0, '{}', 0, '-infinity', coalesce(min(told_at), 'infinity') from books.default_quorum where tenant_id = %(tenant)s),
    lots as materialized (
      select l.lot_no, l.account_no, l.flavor_no, a.account_id, a.key_ids <> '{}' as a_keys, f.key_ids <> '{}' as f_keys,
        case when a.key_ids <> '{}' then 'a' when a.floor is not null and d.named then 'd' end as source,
        case when a.floor = 0 then null when f.key_ids <> '{}' then 'f' when d.named then 'd' end as made
      from books.lot l join books.account a using (account_no) join books.flavor f using (flavor_no),
        (select exists (select from defaults where key_ids <> '{}') as named) d where l.tenant_id = %(tenant)s),
    shares as materialized (
      select txn_no, action_no, document ->> 'source' as source, document ->> 'over_flavor_id' as over,
        coalesce((document ->> 'retire')::boolean, true) as retires
      from books.asked where tenant_id = %(tenant)s and document ->> 'type' = 'distribute'),
    went as (
      select txn_no, action_no, src as lot_no from books.move where tenant_id = %(tenant)s
      union select txn_no, action_no, lot_no from books.hold_move where tenant_id = %(tenant)s and type <> 'expire'),
    asks as materialized (
      select distinct w.txn_no, v.kind, v.no from went w join lots l using (lot_no) left join shares s using (txn_no, action_no)
      cross join lateral (values
        (case when s.txn_no is null or s.source = l.account_id then l.source when l.a_keys and not l.f_keys then 'a' end, l.account_no),
        (case when s.txn_no is null or s.source = l.account_id then l.made end, l.flavor_no)) v(kind, no)
      where (l.source is not null or l.made is not null) and v.kind is not null
      union
      select s.txn_no, case when f.key_ids <> '{}' then 'f' else 'd' end, f.flavor_no from shares s
      join books.flavor f on f.tenant_id = %(tenant)s and f.flavor_id = s.over where s.retires),
    signed as materialized (
      select x.txn_no, array_agg(distinct s.key_id) as key_ids from books.signature s cross join lateral unnest(s.txn_nos) x(txn_no)
      join books.key k on k.tenant_id = s.tenant_id and k.key_id = s.key_id and k.version = s.version
      where s.tenant_id = %(tenant)s and x.txn_no >= s.posting_no and {in_time}
      group by x.txn_no),
    quorums as materialized (
      select 'a' as kind, account_no as no, 'account ' || account_id as name, key_ids, coalesce(quorum, cardinality(key_ids)) as needed
      from books.account where tenant_id = %(tenant)s and key_ids <> '{}'
      union all
      select 'f', flavor_no, 'flavor ' || flavor_id, key_ids, coalesce(quorum, cardinality(key_ids)) from books.flavor
      where tenant_id = %(tenant)s and key_ids <> '{}'),
    unmet as (
      select a.txn_no, q.name, q.key_ids, q.needed, s.key_ids as by from asks a join quorums q using (kind, no) left join signed s using (txn_no)
      where a.kind <> 'd' and (select count(*) from unnest(q.key_ids) k where k = any(s.key_ids)) < q.needed
      union all
      select a.txn_no, 'the default', d.key_ids, d.needed, s.key_ids from (select distinct txn_no from asks where kind = 'd') a
      join books.txn x using (txn_no) left join signed s using (txn_no)
      join lateral (select key_ids, needed from defaults where since <= x.recorded_at order by default_no desc limit 1) d on true
      where d.needed > 0 and not exists (
        select from defaults o where o.since <= x.recorded_at and o.until >= x.recorded_at - %(keep)s::interval
          and (select count(*) from unnest(o.key_ids) k where k = any(s.key_ids)) >= o.needed))
    select 'QUORUM_NOT_MET', concat(coalesce(x.txn_id, 'transaction ' || u.txn_no), ', ', u.name), concat(u.needed, ' of ', array_to_string(u.key_ids, ', ')),
      coalesce(array_to_string(u.by, ', '), 'none')
    from unmet u left join books.txn x using (txn_no)""".replace("{in_time}", IN_TIME)


def check_quorums(cursor: "Cursor", tenant_id: str) -> Iterator[Difference]:
    """Transactions that were posted without the signatures they needed then."""
    asked = {"tenant": tenant_id, "keep": 2 * KEEP}
    if not (row := cursor.execute(_ASK, asked).fetchone()) or not row[0]:
        return
    with cursor.connection.cursor("quorums") as rows:
        for found in rows.execute(_QUORUMS, asked):
            yield Difference(*found)
