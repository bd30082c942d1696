"""Reversals in PostgreSQL: what can still be taken back of a transaction, and what was."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.ledger.actions import MoveType
from bourse.ledger.aurora_names import Names
from bourse.ledger.execute import Executed
from bourse.ledger.lots import Lot
from bourse.ledger.reversal import Reversible, ReversibleMove
from bourse.ledger.sharing import OwedChange

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

# The parts are read first: whoever adds one after that takes the number this posting would take, so it is decided again.
_HEADS: Final[LiteralString] = """
    select x.txn_no, x.txn_id, x.effective_at, (select count(*) from books.reversal r where r.of_txn_no = x.txn_no),
      (select array_agg(r.numerator || '/' || r.denominator) from books.reversal r where r.of_txn_no = x.txn_no and r.numerator is not null)
    from books.txn x where x.tenant_id = %s and x.txn_id = any(%s) order by x.txn_no"""
_MOVES: Final[LiteralString] = """
    select m.txn_no, m.seq, m.action_no, m.type::text, m.src, m.dst, m.amount,
      coalesce((select sum(r.amount) from books.reversed_move r where r.of_txn_no = m.txn_no and r.of_seq = m.seq), 0)::bigint
    from books.move m where m.txn_no = any(%s) order by m.txn_no, m.seq"""
_HOLDERS: Final[LiteralString] = """
    select l.lot_no, a.account_id, f.flavor_id from books.lot l join books.account a using (account_no) join books.flavor f using (flavor_no)
    where l.lot_no = any(%s)"""
_OWED_BY: Final[LiteralString] = """
    select o.txn_no, o.action_no, v.flavor_id, f.flavor_id, a.account_id, o.change from books.owed_change o
    join books.flavor v on v.flavor_no = o.over_flavor_no join books.flavor f on f.flavor_no = o.flavor_no join books.account a using (account_no)
    where o.txn_no = any(%s) order by o.txn_no, o.action_no, v.flavor_id, f.flavor_id, a.account_id"""
_WENT_TO: Final[LiteralString] = """
    select a.account_id, sum(m.amount)::bigint from books.move m join books.lot l on l.lot_no = m.dst join books.account a using (account_no)
    where m.src = %s and m.txn_no > %s group by a.account_id order by 2 desc, 1 limit 5"""
_KEEP: Final[LiteralString] = """
    insert into books.reversal (tenant_id, of_txn_no, part_no, txn_no, action_no, numerator, denominator)
    select %s, u.* from unnest(%s::bigint[], %s::int[], %s::bigint[], %s::int[], %s::bigint[], %s::bigint[]) u order by 2, 3"""
_KEEP_MOVES: Final[LiteralString] = """
    insert into books.reversed_move (tenant_id, txn_no, seq, of_txn_no, of_seq, amount)
    select %s, u.* from unnest(%s::bigint[], %s::int[], %s::bigint[], %s::int[], %s::bigint[]) u"""
_KEEP_OWED: Final[LiteralString] = """
    insert into books.owed_change (tenant_id, txn_no, action_no, over_flavor_no, flavor_no, account_no, change)
    select %s, u.* from unnest(%s::bigint[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[]) u"""
_TYPES: Final[Mapping[str, MoveType]] = {"i": "issue", "t": "transfer", "r": "retire"}


@dataclass(slots=True)
class TakenBack:
    """What is known of transactions that are to be reversed, before their lots are loaded."""

    heads: Sequence[tuple[int, str, datetime, int, Sequence[str] | None]] = ()
    moves: Sequence[tuple[int, int, int, str, int, int, int, int]] = ()
    owed: Mapping[int, Mapping[int, Sequence[OwedChange]]] = field(default_factory=dict)
    lots: frozenset[int] = frozenset()
    pairs: frozenset[tuple[str, str]] = frozenset()
    """Accounts with the flavors that would go back from them."""
    accounts: frozenset[str] = frozenset()
    shared_over: frozenset[str] = frozenset()
    """Flavors that were distributed over."""

    @property
    def flavors(self) -> frozenset[str]:
        return self.shared_over | {flavor for _, flavor in self.pairs} | {one.flavor_id for by in self.owed.values() for all_ in by.values() for one in all_}

    def reversible(self, cursor: "Cursor", lots: Mapping[int, Lot]) -> list[Reversible]:
        """The transactions with their lots."""
        return [
            Reversible(
                txn_id,
                no,
                at,
                [ReversibleMove(seq, action, _TYPES[type_], lots[src], lots[dst], *rest) for n, seq, action, type_, src, dst, *rest in self.moves if n == no],
                _went_to(cursor, no),
                self.owed.get(no, {}),
                sum(map(Fraction, shares or ()), Fraction(0)),
                parts,
            )
            for no, txn_id, at, parts, shares in self.heads
        ]


def read_taken_back(cursor: "Cursor", tenant_id: str, txn_ids: Iterable[str]) -> TakenBack:
    """Of transactions that are to be reversed, those there are."""
    if not (asked := sorted(txn_ids)):
        return TakenBack()
    heads = cursor.execute(_HEADS, [tenant_id, asked]).fetchall()
    numbers = [head[0] for head in heads]
    moves = cursor.execute(_MOVES, [numbers]).fetchall()
    holders = {no: (account, flavor) for no, account, flavor in cursor.execute(_HOLDERS, [[no for move in moves for no in move[4:6]]])}
    owed: dict[int, dict[int, list[OwedChange]]] = {}
    for no, action_no, over, flavor, account, change in cursor.execute(_OWED_BY, [numbers]):
        owed.setdefault(no, {}).setdefault(action_no, []).append(OwedChange(over, flavor, account, Fraction(change)))
    changes = [one for by_action in owed.values() for some in by_action.values() for one in some]
    return TakenBack(
        heads,
        moves,
        owed,
        frozenset(holders),
        frozenset(holders[move[5]] for move in moves),
        frozenset({account for account, _ in holders.values()} | {one.account_id for one in changes}),
        frozenset(one.over_flavor_id for one in changes),
    )


def _went_to(cursor: "Cursor", number: int) -> Callable[[Lot], Sequence[tuple[str, int]]]:
    return lambda lot: cursor.execute(_WENT_TO, [lot.no, number]).fetchall()


def keep_reversals(cursor: "Cursor", tenant_id: str, names: Names, done: Sequence[Executed], numbers: Sequence[int]) -> None:
    """What was taken back, and what was changed of what is owed. A part that another took first is a unique_violation."""
    made = [(numbers[place], one) for place, executed in enumerate(done) for one in executed.reversals]
    parts = [(one.reversed.number, one.part_no, no, one.action_no, *(one.part or (None, None))) for no, one in made]
    moves = [(no, seq, one.reversed.number, of_seq, amount) for no, one in made for seq, of_seq, amount in one.moves]
    changes: dict[tuple[int, int, str, str, str], Fraction] = {}
    for place, executed in enumerate(done):
        for action_no, one in executed.owed:
            key = (numbers[place], action_no, *one.key)
            changes[key] = changes.get(key, Fraction(0)) + one.change
    owed = [(no, action, _no(names.flavor(tenant_id, over)), _no(names.flavor(tenant_id, flavor)), _no(names.account(tenant_id, account)), str(change))
            for (no, action, over, flavor, account), change in changes.items() if change]  # fmt: skip
    for statement, rows in ((_KEEP, parts), (_KEEP_MOVES, moves), (_KEEP_OWED, owed)):
        if rows:
            cursor.execute(statement, [tenant_id, *map(list, zip(*rows, strict=True))])


def _no(found: Any) -> int:
    assert found is not None, "a name that was executed is known"
    return int(found.no)
