"""Books made in PostgreSQL of the records of a journal: what was told is written as it was told, what is derived is derived from it again.

All in one transaction of the database, so it is there whole or not at all. Entries that came without a block are sealed in one more.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.errors import Conflict
from bourse.ledger.actions import Tags
from bourse.ledger.aurora_beside import write_feed, write_refusals, write_sum
from bourse.ledger.aurora_posting import ALONE
from bourse.ledger.aurora_restore_keys import write_keys, write_signatures
from bourse.ledger.aurora_sums import count_restored
from bourse.ledger.aurora_templates import write_templates
from bourse.ledger.carry import Record
from bourse.ledger.carry_beside import Block, End, FeedStands, SpendingOrder, SumDeclared
from bourse.ledger.journal import AccountClosed, AccountTold, Entry, FlavorTold, FloorTold, TransactionTold, leaf, line_of
from bourse.ledger.json_text import jsonb_text
from bourse.ledger.lots import tagset_digest

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_CHUNK: Final = 1_000
_UNTAGGED: Final = tagset_digest({})
_SETTINGS: Final[LiteralString] = """
    select set_config('books.importing', 'on', true), set_config('statement_timeout', '0', true),
      set_config('idle_in_transaction_session_timeout', '0', true)"""
_EMPTY: Final[LiteralString] = "select not exists (select from books.entry where tenant_id = %s)"
_BEGIN: Final[LiteralString] = """
    with chain as (insert into books.chain (tenant_id) values (%(tenant)s) on conflict do nothing)
    insert into books.account (tenant_id, account_id, floor, hot) values (%(tenant)s, 'world', null, true) on conflict do nothing"""
_NUMBERS: Final[LiteralString] = "select array_agg(nextval('books.txn_no')) from generate_series(1, %s)"
_FLAVORS: Final[LiteralString] = """
    insert into books.flavor (tenant_id, flavor_id, tags, key_ids, quorum)
    select %s, u.name, u.tags, array(select jsonb_array_elements_text(u.keys)), u.quorum
    from unnest(%s::text[], %s::jsonb[], %s::jsonb[], %s::smallint[]) u(name, tags, keys, quorum)
    on conflict (tenant_id, flavor_id) do update set tags = excluded.tags"""
_ACCOUNTS: Final[LiteralString] = """
    insert into books.account (tenant_id, account_id, tags, floor, hot, key_ids, quorum)
    select %s, u.name, u.tags, u.floor, u.hot, array(select jsonb_array_elements_text(u.keys)), u.quorum
    from unnest(%s::text[], %s::jsonb[], %s::bigint[], %s::boolean[], %s::jsonb[], %s::smallint[]) u(name, tags, floor, hot, keys, quorum)
    on conflict (tenant_id, account_id) do update set tags = excluded.tags"""
_TAGS_TOLD: Final[LiteralString] = """
    insert into books.tags_told (tenant_id, what, no, since_no, tags)
    select %(tenant)s, u.what, case u.what when 'a' then (select account_no from books.account a where a.tenant_id = %(tenant)s and a.account_id = u.name)
      else (select flavor_no from books.flavor f where f.tenant_id = %(tenant)s and f.flavor_id = u.name) end, u.since, u.tags
    from unnest(%(what)s::"char"[], %(name)s::text[], %(since)s::bigint[], %(tags)s::jsonb[]) u(what, name, since, tags)"""
_TAGSETS: Final[LiteralString] = """
    insert into books.tagset (tenant_id, digest, tags) select %s, u.* from unnest(%s::bytea[], %s::jsonb[]) u order by 2 on conflict do nothing"""
_TAGSET_NUMBERS: Final[LiteralString] = "select digest, tagset_no from books.tagset where tenant_id = %s and digest = any(%s)"
_LOTS: Final[LiteralString] = """
    insert into books.lot (tenant_id, account_no, flavor_no, tagset_no, slot, floor)
    select %(tenant)s, a.account_no, f.flavor_no, u.tagset, 0, case u.tagset when 0 then a.floor else 0 end
    from unnest(%(account)s::text[], %(flavor)s::text[], %(tagset)s::bigint[]) u(account, flavor, tagset)
    join books.account a on a.tenant_id = %(tenant)s and a.account_id = u.account
    join books.flavor f on f.tenant_id = %(tenant)s and f.flavor_id = u.flavor order by 2, 3, 4 on conflict do nothing"""
_LOT_NUMBERS: Final[LiteralString] = """
    select (select l.lot_no from books.lot l join books.account a using (account_no) join books.flavor f using (flavor_no)
      where a.tenant_id = %(tenant)s and a.account_id = u.account and f.tenant_id = %(tenant)s and f.flavor_id = u.flavor
        and l.tagset_no = u.tagset and l.slot = 0)
    from unnest(%(account)s::text[], %(flavor)s::text[], %(tagset)s::bigint[]) with ordinality u(account, flavor, tagset, n) order by u.n"""
_TXNS: Final[LiteralString] = """
    insert into books.txn (tenant_id, txn_no, txn_id, kind, digest, effective_at, recorded_at, correlation_id, tags)
    select %s, u.* from unnest(%s::bigint[], %s::text[], %s::text[], %s::bytea[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::jsonb[]) u"""
_MOVES: Final[LiteralString] = """
    insert into books.move (tenant_id, txn_no, seq, action_no, type, src, dst, amount, tagset_no, effective_at)
    select %s, u.* from unnest(%s::bigint[], %s::int[], %s::int[], %s::"char"[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[]) u"""
_NEW_HOLDS: Final[LiteralString] = """
    insert into books.hold (tenant_id, hold_id, expires_at, account_no, flavor_no)
    select %s, u.hold_id, u.expires_at, l.account_no, l.flavor_no from unnest(%s::text[], %s::timestamptz[], %s::bigint[]) u(hold_id, expires_at, lot_no)
    join books.lot l using (lot_no) on conflict do nothing"""
_HOLD_MOVES: Final[LiteralString] = """
    insert into books.hold_move (tenant_id, txn_no, seq, action_no, type, lot_no, amount, hold_no)
    select %(tenant)s, u.txn_no, u.seq, u.action_no, u.type, u.lot_no, u.amount,
      (select h.hold_no from books.hold h where h.tenant_id = %(tenant)s and h.hold_id = u.hold_id)
    from unnest(%(txn)s::bigint[], %(seq)s::int[], %(action)s::int[], %(type)s::text[], %(lot)s::bigint[], %(amount)s::bigint[], %(hold)s::text[])
      u(txn_no, seq, action_no, type, lot_no, amount, hold_id)"""
_ASKED: Final[LiteralString] = """
    insert into books.asked (tenant_id, txn_no, action_no, document) select %s, u.* from unnest(%s::bigint[], %s::int[], %s::jsonb[]) u"""
_TELL_FLOOR: Final[LiteralString] = """
    insert into books.told (tenant_id, told_no, xid, what, no, floor) values (%s, %s, pg_current_xact_id()::text::bigint, 'f', %s, %s)"""
_CLOSE: Final[LiteralString] = """
    with closed as (update books.account set closed_at = now() where tenant_id = %(tenant)s and account_id = %(account)s returning account_no)
    insert into books.told (tenant_id, told_no, xid, what, no) select %(tenant)s, %(no)s, pg_current_xact_id()::text::bigint, 'c', account_no from closed"""
_BLOCK: Final[LiteralString] = "select books.add_block(%s, pg_current_xact_id()::text::bigint + 1, %s, %s)"
_DERIVE_LOTS: Final[LiteralString] = """
    update books.lot l set amount = s.amount, held = s.held, latest_at = s.at, floor = coalesce(s.floor, l.floor), closed = s.closed,
      opened_no = case when s.amount > 0 then 1 << 20 else 0 end
    from (select x.lot_no, coalesce(m.amount, 0) as amount, coalesce(h.held, 0) as held, coalesce(m.at, '-infinity') as at, k.floor,
        a.closed_at is not null as closed
      from books.lot x join books.account a using (account_no)
      left join (select lot_no, sum(change) as amount, max(effective_at) as at from (
          select src as lot_no, -amount as change, effective_at from books.move where tenant_id = %(tenant)s
          union all select dst, amount, effective_at from books.move where tenant_id = %(tenant)s) c group by lot_no) m using (lot_no)
      left join (select lot_no, sum(amount) as held from books.hold_move where tenant_id = %(tenant)s group by lot_no) h using (lot_no)
      left join (select distinct on (no) no as lot_no, floor from books.told where tenant_id = %(tenant)s and what = 'f'
        order by no, told_no desc) k using (lot_no)
      where x.tenant_id = %(tenant)s) s
    where s.lot_no = l.lot_no"""
_ORDER: Final[LiteralString] = (
    "update books.lot l set opened_no = (1 << 20) + u.place from unnest(%s::bigint[]) with ordinality u(lot_no, place) where l.lot_no = u.lot_no"
)
_DERIVE_HOLDS: Final[LiteralString] = """
    update books.hold h set is_over = s.left_of = 0, expired = s.expired
    from (select hold_no, sum(amount) as left_of, bool_or(type = 'expire') as expired from books.hold_move where tenant_id = %s group by hold_no) s
    where s.hold_no = h.hold_no"""
_REVERSALS: Final[LiteralString] = """
    insert into books.reversal (tenant_id, of_txn_no, txn_no, action_no, part_no, numerator, denominator)
    select %(tenant)s, x.txn_no, u.txn_no, u.action_no, u.part_no, u.numerator, u.denominator
    from unnest(%(of)s::text[], %(txn)s::bigint[], %(action)s::int[], %(part)s::int[], %(numerator)s::bigint[], %(denominator)s::bigint[])
      u(of_txn_id, txn_no, action_no, part_no, numerator, denominator) join books.txn x on x.tenant_id = %(tenant)s and x.txn_id = u.of_txn_id"""
_REVERSED_MOVES: Final[LiteralString] = """
    insert into books.reversed_move (tenant_id, of_txn_no, txn_no, seq, of_seq, amount)
    select %(tenant)s, x.txn_no, u.txn_no, u.seq, u.of_seq, u.amount
    from unnest(%(of)s::text[], %(txn)s::bigint[], %(seq)s::int[], %(of_seq)s::int[], %(amount)s::bigint[]) u(of_txn_id, txn_no, seq, of_seq, amount)
    join books.txn x on x.tenant_id = %(tenant)s and x.txn_id = u.of_txn_id"""
_OWED_CHANGES: Final[LiteralString] = """
    insert into books.owed_change (tenant_id, txn_no, action_no, over_flavor_no, flavor_no, account_no, change)
    select %(tenant)s, u.txn_no, u.action_no, o.flavor_no, p.flavor_no, a.account_no, u.change
    from unnest(%(txn)s::bigint[], %(action)s::int[], %(over)s::text[], %(paid)s::text[], %(account)s::text[], %(change)s::text[])
      u(txn_no, action_no, over, paid, account, change) join books.flavor o on o.tenant_id = %(tenant)s and o.flavor_id = u.over
    join books.flavor p on p.tenant_id = %(tenant)s and p.flavor_id = u.paid join books.account a on a.tenant_id = %(tenant)s and a.account_id = u.account"""
_OWE: Final[LiteralString] = """
    insert into books.owed (tenant_id, over_flavor_no, flavor_no, account_no, owed)
    select %(tenant)s, o.flavor_no, p.flavor_no, a.account_no, u.owed from unnest(%(over)s::text[], %(paid)s::text[], %(account)s::text[], %(owed)s::text[])
      u(over, paid, account, owed) join books.flavor o on o.tenant_id = %(tenant)s and o.flavor_id = u.over
    join books.flavor p on p.tenant_id = %(tenant)s and p.flavor_id = u.paid join books.account a on a.tenant_id = %(tenant)s and a.account_id = u.account"""
LotKey = tuple[str, str, bytes]


class Restoring:
    """Books in the making, in the transaction of `cursor`. Nobody posts to them meanwhile."""

    def __init__(self, cursor: "Cursor", tenant_id: str) -> None:
        self._cursor: Final = cursor
        self._tenant: Final = tenant_id
        self._waiting: Final[list[tuple[int, Entry]]] = []
        self._numbers: Final[list[int]] = []
        self._leaves: Final = bytearray()
        self._orders: Final[list[SpendingOrder]] = []
        self._owed: Final[dict[tuple[str, str, str], Fraction]] = {}
        self.entries = 0
        self.state = ""
        cursor.execute(_SETTINGS)
        cursor.execute(ALONE, [tenant_id])

    def is_empty(self) -> bool:
        row = self._cursor.execute(_EMPTY, [self._tenant]).fetchone()
        return bool(row and row[0])

    def take(self, record: Record, line: int) -> None:
        """The next record. Raises Conflict BOOKS_DIFFER for an entry of what was not told before."""
        if not self.entries:
            self._cursor.execute(_BEGIN, {"tenant": self._tenant})
        match record:
            case Block():
                self._write()
                self._seal()
            case SpendingOrder():
                self._orders.append(record)
            case FeedStands():
                self._write()
                write_feed(self._cursor, self._tenant, record, line)
            case SumDeclared():
                write_sum(self._cursor, self._tenant, record, line)
            case End():
                self.state = record.state
            case _:
                self._waiting.append((line, record))
                self._leaves.extend(leaf(line_of(record)))
                self.entries += 1
                if len(self._waiting) == _CHUNK:
                    self._write()

    def finish(self) -> None:
        """What is derived, when all was told."""
        self._write()
        if self._numbers:
            self._seal()
        tenant = {"tenant": self._tenant}
        self._cursor.execute(_DERIVE_LOTS, tenant)
        self._cursor.execute(_DERIVE_HOLDS, [self._tenant])
        for order in self._orders:
            keys = [(order.account_id, order.flavor_id, tagset_digest(tags)) for tags in order.lots]
            self._cursor.execute(_ORDER, [list(self._lots(keys, dict(zip((key[2] for key in keys), order.lots, strict=True))).values())])
        self._named(_OWE, ("over", "paid", "account", "owed"), [(*key, str(left)) for key, left in self._owed.items()])
        count_restored(self._cursor, self._tenant)

    def _seal(self) -> None:
        self._cursor.execute(_BLOCK, [self._tenant, self._numbers, bytes(self._leaves)])
        self._numbers.clear()
        self._leaves.clear()

    def _write(self) -> None:
        """Write the entries that wait, in their order."""
        entries = [entry for _, entry in self._waiting]
        if not entries:
            return
        row = self._cursor.execute(_NUMBERS, [len(entries)]).fetchone()
        numbers: list[int] = row[0] if row else []
        numbered = [(no, line, entry) for no, (line, entry) in zip(numbers, self._waiting, strict=True)]
        for write in (write_keys, write_templates, write_refusals):
            write(self._cursor, self._tenant, numbered)
        self._tell_names(list(zip(numbers, entries, strict=True)))
        lot_of = self._lots_of(self._waiting)
        for no, entry in zip(numbers, entries, strict=True):
            if isinstance(entry, FloorTold):
                self._cursor.execute(_TELL_FLOOR, [self._tenant, no, lot_of[entry.account_id, entry.flavor_id, _UNTAGGED], entry.floor])
            elif isinstance(entry, AccountClosed):
                self._cursor.execute(_CLOSE, {"tenant": self._tenant, "account": entry.account_id, "no": no})
        self._write_transactions([(no, entry) for no, entry in zip(numbers, entries, strict=True) if isinstance(entry, TransactionTold)], lot_of)
        signed = write_signatures(self._cursor, self._tenant, self._waiting)
        self._numbers.extend(signed.get(line, no) for no, (line, _) in zip(numbers, self._waiting, strict=True))
        self._waiting.clear()

    def _tell_names(self, entries: Sequence[tuple[int, Entry]]) -> None:
        flavors = {entry.flavor_id: entry for _, entry in entries if isinstance(entry, FlavorTold)}
        accounts = {entry.account_id: entry for _, entry in entries if isinstance(entry, AccountTold)}
        told = [
            ("f" if isinstance(entry, FlavorTold) else "a", entry.flavor_id if isinstance(entry, FlavorTold) else entry.account_id, no, jsonb_text(entry.tags))
            for no, entry in entries
            if isinstance(entry, FlavorTold | AccountTold)
        ]
        if told:
            asked = [(one.flavor_id, jsonb_text(one.tags), jsonb_text(one.key_ids), one.quorum) for one in flavors.values()]
            self._cursor.execute(_FLAVORS, [self._tenant, *_columns(asked, 4)])
            terms = [(one.account_id, jsonb_text(one.tags), one.floor, one.hot, jsonb_text(one.key_ids), one.quorum) for one in accounts.values()]
            self._cursor.execute(_ACCOUNTS, [self._tenant, *_columns(terms, 6)])
            names = dict(zip(("what", "name", "since", "tags"), _columns(told, 4), strict=True))
            self._cursor.execute(_TAGS_TOLD, names | {"tenant": self._tenant})

    def _lots_of(self, entries: Sequence[tuple[int, Entry]]) -> dict[LotKey, int]:
        """The numbers of all lots that these speak of, made where they are new."""
        line_of_key: dict[LotKey, int] = {}
        sets: dict[bytes, Tags] = {_UNTAGGED: {}}
        for line, entry in entries:
            for account, flavor, tags in _lots_in(entry):
                digest = tagset_digest(tags)
                sets.setdefault(digest, tags)
                line_of_key.setdefault((account, flavor, digest), line)
            if isinstance(entry, TransactionTold):
                sets.update({tagset_digest(move.action_tags): move.action_tags for move in entry.moves})
        lots = self._lots(list(line_of_key), sets)
        for key, lot_no in lots.items():
            if lot_no is None:
                line = line_of_key[key]
                raise Conflict("BOOKS_DIFFER", f"line {line} speaks of {key[0]} or {key[1]}, which no line before told of", f"lines.{line}")
        return lots

    def _lots(self, keys: Sequence[LotKey], sets: dict[bytes, Tags]) -> dict[LotKey, int]:
        self._tagset_no = self._tagsets(sets)
        account, flavor, tagset = _columns([(key[0], key[1], self._tagset_no[key[2]]) for key in keys], 3)
        asked = {"tenant": self._tenant, "account": account, "flavor": flavor, "tagset": tagset}
        self._cursor.execute(_LOTS, asked)
        return {key: row[0] for key, row in zip(keys, self._cursor.execute(_LOT_NUMBERS, asked).fetchall(), strict=True)}

    def _tagsets(self, sets: dict[bytes, Tags]) -> dict[bytes, int]:
        tagged = {digest: jsonb_text(tags) for digest, tags in sets.items() if tags}
        if tagged:
            self._cursor.execute(_TAGSETS, [self._tenant, list(tagged), list(tagged.values())])
        found = self._cursor.execute(_TAGSET_NUMBERS, [self._tenant, list(tagged)]).fetchall()
        return {_UNTAGGED: 0, **{bytes(digest): no for digest, no in found}}

    def _write_transactions(self, told: Sequence[tuple[int, TransactionTold]], lot_of: dict[LotKey, int]) -> None:
        heads = [(no, one.txn_id, one.kind, one.digest, one.effective_at, one.recorded_at, one.correlation_id, jsonb_text(one.tags)) for no, one in told]
        self._cursor.execute(_TXNS, [self._tenant, *_columns(heads, 8)])
        moves = [
            (
                no,
                seq,
                move.action_no,
                move.type[0],
                lot_of[move.source, move.flavor_id, tagset_digest(move.source_tags)],
                lot_of[move.destination, move.flavor_id, tagset_digest(move.destination_tags)],
                move.amount,
                self._tagset_no[tagset_digest(move.action_tags)],
                one.effective_at,
            )
            for no, one in told
            for seq, move in enumerate(one.moves, 1)
        ]
        self._cursor.execute(_MOVES, [self._tenant, *_columns(moves, 9)])
        holds = [
            (no, seq, held.action_no, held.type, lot_of[held.account_id, held.flavor_id, tagset_digest(held.tags)], held.amount, held.hold_id, held.expires_at)
            for no, one in told
            for seq, held in enumerate(one.holds, 1)
        ]
        new = {one[6]: (one[6], one[7], one[4]) for one in reversed(holds) if one[3] == "reserve"}
        self._cursor.execute(_NEW_HOLDS, [self._tenant, *_columns(list(new.values()), 3)])
        self._named(_HOLD_MOVES, ("txn", "seq", "action", "type", "lot", "amount", "hold"), [one[:7] for one in holds])
        asked = [(no, action_no, jsonb_text(document)) for no, one in told for action_no, document in one.asked]
        self._cursor.execute(_ASKED, [self._tenant, *_columns(asked, 3)])
        self._write_reversals(told)

    def _write_reversals(self, told: Sequence[tuple[int, TransactionTold]]) -> None:
        made = [(no, one) for no, transaction in told for one in transaction.reversals]
        parts = [(one.txn_id, no, one.action_no, one.part_no, *(one.part or (None, None))) for no, one in made]
        self._named(_REVERSALS, ("of", "txn", "action", "part", "numerator", "denominator"), parts)
        moves = [(one.txn_id, no, seq, of_seq, amount) for no, one in made for seq, of_seq, amount in one.moves]
        self._named(_REVERSED_MOVES, ("of", "txn", "seq", "of_seq", "amount"), moves)
        owed = [(no, *one) for no, transaction in told for one in transaction.owed]
        changes = [(*one[:5], str(one[5])) for one in owed]
        self._named(_OWED_CHANGES, ("txn", "action", "over", "paid", "account", "change"), changes)
        for _, _, over, flavor, account, change in owed:
            self._owed[over, flavor, account] = self._owed.get((over, flavor, account), Fraction(0)) + change

    def _named(self, statement: LiteralString, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement that takes these columns by name."""
        if rows:
            self._cursor.execute(statement, dict(zip(names, _columns(rows, len(names)), strict=True)) | {"tenant": self._tenant})


def _lots_in(entry: Entry) -> Iterable[tuple[str, str, Tags]]:
    if isinstance(entry, FloorTold):
        yield entry.account_id, entry.flavor_id, {}
    if isinstance(entry, TransactionTold):
        for move in entry.moves:
            yield move.source, move.flavor_id, move.source_tags
            yield move.destination, move.flavor_id, move.destination_tags
        for held in entry.holds:
            yield held.account_id, held.flavor_id, held.tags


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as the columns a statement takes."""
    return [list(column) for column in zip_longest(*rows)] if rows else [[] for _ in range(width)]
