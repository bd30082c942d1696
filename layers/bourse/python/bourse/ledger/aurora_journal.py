"""`TrialBalances` and the giving half of `Journal` over PostgreSQL; aurora_restore.py has the taking half."""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.aws.postgres import Database
from bourse.errors import Conflict
from bourse.ledger.aurora_beside import read_beside, read_feeds, read_sums
from bourse.ledger.aurora_restore import Restoring
from bourse.ledger.books import NOW, AsOf
from bourse.ledger.carry import Record, Restored
from bourse.ledger.carry_beside import BesideEntries, Block, End, feed_state, record_text, sum_state
from bourse.ledger.journal import hash_of_lines, line_of
from bourse.ledger.trial_balance import Balance

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_CHUNK: Final = 2_000
_BLOCKS: Final[LiteralString] = "select block_no, numbers, hash from books.block where tenant_id = %s order by block_no"
_REST: Final[LiteralString] = """
    select no from books.entry where tenant_id = %(tenant)s
      and xid >= coalesce((select until_xid from books.chain where tenant_id = %(tenant)s), 0) order by xid, no"""
# Carried signatures have numbers beyond those of what came after them, so the order is the one that the numbers come in.
_LINES: Final[LiteralString] = """
    select l.line from books.lines(%(numbers)s) l join unnest(%(numbers)s::bigint[]) with ordinality u(no, n) using (no) order by u.n"""
_STATE: Final[LiteralString] = """
    select s.line::text collate "C" as line from (
      select jsonb_build_object('account', jsonb_build_array(account_id, floor, hot, closed_at is not null, tags, key_ids, quorum)) as line
      from books.account where tenant_id = %(tenant)s and (account_id <> 'world' or tags <> '{}' or closed_at is not null)
      union all select jsonb_build_object('flavor', jsonb_build_array(flavor_id, tags, key_ids, quorum)) from books.flavor where tenant_id = %(tenant)s
      union all
      select jsonb_build_object('tokens', jsonb_build_array(a.account_id, f.flavor_id, coalesce(t.tags, '{}'), l.amount, l.held)) from (
        select account_no, flavor_no, tagset_no, sum(amount) as amount, sum(held) as held from books.lot where tenant_id = %(tenant)s
        group by account_no, flavor_no, tagset_no having sum(amount) <> 0 or sum(held) <> 0) l
      join books.account a using (account_no) join books.flavor f using (flavor_no) left join books.tagset t using (tagset_no)
      union all
      select distinct jsonb_build_object('floor', jsonb_build_array(a.account_id, f.flavor_id, l.floor))
      from books.lot l join books.account a using (account_no) join books.flavor f using (flavor_no)
      where l.tenant_id = %(tenant)s and l.tagset_no = 0 and l.floor is distinct from a.floor
      union all
      select jsonb_build_object('hold', jsonb_build_array(h.hold_id, a.account_id, f.flavor_id, h.expires_at at time zone 'UTC', h.is_over, h.expired,
        coalesce((select jsonb_agg(jsonb_build_array(m.tags, m.amount) order by m.tags::text collate "C") from (
          select coalesce(t.tags, '{}') as tags, sum(v.amount) as amount from books.hold_move v join books.lot l using (lot_no)
          left join books.tagset t using (tagset_no) where v.hold_no = h.hold_no group by 1 having sum(v.amount) > 0) m), '[]')))
      from books.hold h join books.account a using (account_no) join books.flavor f using (flavor_no) where h.tenant_id = %(tenant)s
      union all
      select jsonb_build_object('owed', jsonb_build_array(o.flavor_id, p.flavor_id, a.account_id, w.owed)) from books.owed w
      join books.account a using (account_no) join books.flavor o on o.flavor_no = w.over_flavor_no join books.flavor p on p.flavor_no = w.flavor_no
      where w.tenant_id = %(tenant)s and w.owed <> '0'
      union all
      select jsonb_build_object('reversed', jsonb_build_array(x.txn_id, v.of_seq, sum(v.amount))) from books.reversed_move v
      join books.txn x on x.txn_no = v.of_txn_no where v.tenant_id = %(tenant)s group by x.txn_id, v.of_seq
      union all
      select jsonb_build_object('refusal', jsonb_build_array(txn_id, encode(digest, 'hex'), code)) from books.refusal where tenant_id = %(tenant)s
      union all
      select jsonb_build_object('key', jsonb_build_array(key_id, version, algorithm, encode(public_key, 'hex'), valid_from at time zone 'UTC',
        previous_until at time zone 'UTC')) from books.key where tenant_id = %(tenant)s
      union all
      select jsonb_build_object('revocation', jsonb_build_array(key_id, version, revoked_at at time zone 'UTC'))
      from books.key_revocation where tenant_id = %(tenant)s
      union all
      select jsonb_build_object('template', jsonb_build_array(template_id, version, parameters, document)) from books.template where tenant_id = %(tenant)s
      union all
      select * from (select jsonb_build_object('default', jsonb_build_array(key_ids, quorum)) from books.default_quorum
        where tenant_id = %(tenant)s order by default_no desc limit 1) d
      union all
      select jsonb_build_object('signature', jsonb_build_array(x.txn_id, s.place, s.key_id, s.version, s.scope, encode(s.digest, 'hex'),
        encode(s.signature, 'hex'), (select jsonb_agg(t.txn_id order by c.n) from unnest(s.txn_nos) with ordinality c(no, n)
          left join books.txn t on t.txn_no = c.no), s.accepted_at at time zone 'UTC'))
      from books.signature s left join books.txn x on x.txn_no = s.posting_no where s.tenant_id = %(tenant)s) s
    order by 1"""
_BALANCES: Final[LiteralString] = """
    select f.flavor_id, a.account_id, sum(debits)::bigint, sum(credits)::bigint from (
      select lot_no, sum(debits) as debits, sum(credits) as credits from (
        select txn_no, src as lot_no, amount as debits, 0 as credits from books.move
        where tenant_id = %(tenant)s and effective_at <= coalesce(%(effective)s::timestamptz, 'infinity')
        union all select txn_no, dst, 0, amount from books.move
        where tenant_id = %(tenant)s and effective_at <= coalesce(%(effective)s::timestamptz, 'infinity')) m
      where %(known)s::timestamptz is null or txn_no in (select txn_no from books.txn where tenant_id = %(tenant)s and recorded_at <= %(known)s)
      group by lot_no) m
    join books.lot l using (lot_no) join books.account a using (account_no) join books.flavor f using (flavor_no)
    group by f.flavor_id, a.account_id order by f.flavor_id collate "C", a.account_id collate "C" """


class AuroraJournal:
    """`TrialBalances` and `Journal`."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    def trial_balance(self, tenant_id: str, as_of: AsOf = NOW) -> Iterator[Balance]:
        asked = {"tenant": tenant_id, "effective": as_of.effective_at, "known": as_of.known_at}
        with self._database.snapshot(tenant_id) as cursor:
            for row in _stream(cursor, "balances", _BALANCES, asked):
                yield Balance(*row)

    def records(self, tenant_id: str) -> Iterator[str]:
        with self._database.snapshot(tenant_id) as cursor:
            yield from _entries(cursor, tenant_id, blocks=True)
            yield from map(record_text, read_beside(cursor, tenant_id))
            yield record_text(End(_state_hash(cursor, tenant_id)))

    def state_hash(self, tenant_id: str) -> str:
        with self._database.snapshot(tenant_id) as cursor:
            return _state_hash(cursor, tenant_id)

    def restore(self, tenant_id: str, records: Iterable[tuple[int, Record]]) -> Restored:
        with self._database.transaction(tenant_id) as cursor:
            restoring = Restoring(cursor, tenant_id)
            if not restoring.is_empty():
                return self._compare(cursor, tenant_id, records)
            for number, record in records:
                restoring.take(record, number)
            restoring.finish()
            if (state := _state_hash(cursor, tenant_id)) != restoring.state:
                raise Conflict("BOOKS_DIFFER", "the books come to another state than the end of the file says", "state")
            return Restored(restoring.entries, state)

    @staticmethod
    def _compare(cursor: "Cursor", tenant_id: str, records: Iterable[tuple[int, Record]]) -> Restored:
        """There are books: whether they begin with these. What was added since is not looked at."""
        lines = ((number, line_of(one)) for number, one in records if not isinstance(one, BesideEntries))
        for line, is_ in zip_longest(lines, _entries(cursor, tenant_id, blocks=False)):
            if line is None:
                break
            if line[1] != is_:
                raise Conflict("BOOKS_DIFFER", f"there are other books, the first difference is at line {line[0]}", f"lines.{line[0]}")
        return Restored(0, _state_hash(cursor, tenant_id))


def _entries(cursor: "Cursor", tenant_id: str, *, blocks: bool) -> Iterator[str]:
    """The lines of all entries in their order, with those of the blocks between them."""
    with cursor.connection.cursor("sealed") as sealed:
        sealed.itersize = 10
        for block_no, numbers, hash_ in sealed.execute(_BLOCKS, [tenant_id]):
            yield from _lines(cursor, numbers)
            if blocks:
                yield record_text(Block(block_no, bytes(hash_)))
    with cursor.connection.cursor("rest") as rest:
        rest.execute(_REST, {"tenant": tenant_id})
        while rows := rest.fetchmany(_CHUNK):
            yield from _lines(cursor, [row[0] for row in rows])


def _lines(cursor: "Cursor", numbers: list[int]) -> list[str]:
    return [row[0] for row in cursor.execute(_LINES, {"numbers": numbers})]


def _stream(cursor: "Cursor", name: str, query: LiteralString, asked: Any) -> Iterator[tuple[Any, ...]]:
    with cursor.connection.cursor(name) as rows:
        yield from rows.execute(query, asked)


def _state_hash(cursor: "Cursor", tenant_id: str) -> str:
    beside = sorted([*map(feed_state, read_feeds(cursor, tenant_id)), *map(sum_state, read_sums(cursor, tenant_id))], key=str.encode)
    kept = (row[0] for row in _stream(cursor, "state", _STATE, {"tenant": tenant_id}))
    return hash_of_lines(merge(kept, beside, key=str.encode))
