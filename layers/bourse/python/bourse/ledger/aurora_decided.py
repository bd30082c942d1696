"""What an execution did, written to PostgreSQL: the columns of `books.post`, and beside them holds, filters and what rounding left owed."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.ledger.actions import Tags, Transaction, canonical
from bourse.ledger.aurora_names import Names
from bourse.ledger.aurora_rows import Columns, LotRow
from bourse.ledger.aurora_state import Loaded
from bourse.ledger.execute import Executed, Hold
from bourse.ledger.journal import asked_of
from bourse.ledger.lots import UNTAGGED, Lot
from bourse.ledger.sharing import OwedKey

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_NEW_HOLD: Final[LiteralString] = """
    insert into books.hold (tenant_id, hold_id, account_no, flavor_no, expires_at, is_over, expired) values (%s, %s, %s, %s, %s, %s, %s) returning hold_no"""
_HOLD: Final[LiteralString] = "update books.hold set is_over = %s, expired = %s, version = version + 1 where hold_no = %s and version = %s"
_HOLD_MOVES: Final[LiteralString] = """
    insert into books.hold_move (tenant_id, txn_no, seq, action_no, type, hold_no, lot_no, amount)
    select %s, u.* from unnest(%s::bigint[], %s::int[], %s::int[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) u"""
_ASKED: Final[LiteralString] = """
    insert into books.asked (tenant_id, txn_no, action_no, document) select %s, u.* from unnest(%s::bigint[], %s::int[], %s::jsonb[]) u"""
_OWE: Final[LiteralString] = """
    insert into books.owed (tenant_id, over_flavor_no, flavor_no, account_no, owed)
    select %s, u.* from unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[]) u order by 2, 3, 4
    on conflict (over_flavor_no, flavor_no, account_no) do update set owed = excluded.owed"""
_LOTS_OF: Final[LiteralString] = """
    select a.account_id, f.flavor_id, coalesce(t.tags, '{}'), l.slot, l.lot_no from unnest(%s::bigint[], %s::bigint[]) p(account_no, flavor_no)
    join books.lot l using (account_no, flavor_no) join books.account a using (account_no) join books.flavor f using (flavor_no)
    left join books.tagset t using (tagset_no)"""


class MovedOn(Exception):
    """Somebody else changed what was decided by: all of it is to be decided again."""


class Unnumbered(Exception):
    """Sets of tags have to be numbered before, because lots are held already."""

    def __init__(self, sets: Sequence[Tags]) -> None:
        self.sets: Final = sets


class Decided:
    """A group of transactions that was executed, to be kept in the transaction of `cursor`. Without `numbering` it raises Unnumbered for new tag sets."""

    def __init__(self, cursor: "Cursor", tenant_id: str, names: Names, loaded: Loaded, *, numbering: bool = True) -> None:
        self._numbering: Final = numbering
        self._cursor: Final = cursor
        self._tenant_id: Final = tenant_id
        self._names: Final = names
        self._loaded: Final = loaded

    def columns(self, group: Sequence[Transaction], done: Sequence[Executed]) -> Columns:
        """What was done, as `books.post` takes it."""
        loaded = self._loaded
        lots: dict[int, Lot] = {id(lot): lot for lot in loaded.lots if lot.touched}
        moves = [(number, seq, move) for number, one in enumerate(done, 1) for seq, move in enumerate(one.moves, 1)]
        for _, _, move in moves:
            lots.setdefault(id(move.src), move.src)
            lots.setdefault(id(move.dst), move.dst)
        for one in done:
            for held in one.hold_moves:
                lots.setdefault(id(held.lot), held.lot)
        sets = [lot.tags for lot in lots.values()] + [move.action_tags for _, _, move in moves]
        if not self._numbering and self._names.unknown_sets(self._tenant_id, sets):
            raise Unnumbered(sets)
        tagsets = self._names.tagsets(lambda: nullcontext(self._cursor), self._tenant_id, sets)
        risen = sorted((lot for lot in lots.values() if lot.opened != _before(loaded, lot)[3]), key=lambda lot: lot.opened)
        ranks = {id(lot): rank for rank, lot in enumerate(risen)}
        expected = {id(lot) for lot in loaded.expected}
        made = Columns(group, expect=[(lot.no or 0, lot.version) for lot in loaded.expected])
        places = {place: number for number, place in enumerate(lots, 1)}
        made.lots = [self._row(lot, ranks.get(id(lot)), tagsets, known=id(lot) in expected) for lot in lots.values()]
        made.moves = [
            (number, seq, move.action_no, move.type, places[id(move.src)], places[id(move.dst)], move.amount, tagsets[_set_key(move.action_tags)])
            for number, seq, move in moves
        ]
        return made

    def _row(self, lot: Lot, rank: int | None, tagsets: Mapping[bytes, int], *, known: bool) -> LotRow:
        amount, held, floor, _ = _before(self._loaded, lot)
        account, flavor = self._names.account(self._tenant_id, lot.account_id), self._names.flavor(self._tenant_id, lot.flavor_id)
        assert account is not None, "an executed account is known"
        assert flavor is not None, "an executed flavor is known"
        spent = [at for at, change in lot.timeline if change < 0]
        return LotRow(
            (account.no, flavor.no, tagsets[lot.tags_key], lot.slot),
            lot.no,
            lot.floor if lot.no is None else None,
            lot.floor if lot.floor != floor and lot.no is not None else None,
            lot.amount - amount,
            lot.held - held,
            min(0, lot.amount - amount),
            min(spent, default=None),
            max((at for at, _ in lot.timeline), default=None),
            rank,
            known,
        )

    def keep_holds(self, done: Sequence[Executed], numbers: Sequence[int]) -> None:
        rows = [(numbers[place], seq, held) for place, one in enumerate(done) for seq, held in enumerate(one.hold_moves, 1)]
        used = [hold for hold in self._loaded.state.holds.values() if hold.used]
        for hold in {id(hold): hold for hold in (*used, *(held.hold for _, _, held in rows))}.values():
            self._keep_hold(hold)
        if not rows:
            return
        lot_no = self._lot_numbers([held.lot for _, _, held in rows])
        columns = zip(*((no, seq, held.action_no, held.type, held.hold.no, lot_no[id(held.lot)], held.amount) for no, seq, held in rows), strict=True)
        self._cursor.execute(_HOLD_MOVES, [self._tenant_id, *map(list, columns)])

    def _keep_hold(self, hold: Hold) -> None:
        if hold.no is None:
            account, flavor = self._names.account(self._tenant_id, hold.account_id), self._names.flavor(self._tenant_id, hold.flavor_id)
            assert account is not None, "a hold's account is known"
            assert flavor is not None, "a hold's flavor is known"
            row = self._cursor.execute(_NEW_HOLD, [self._tenant_id, hold.hold_id, account.no, flavor.no, hold.expires_at, hold.over, hold.expired]).fetchone()
            hold.no = row[0] if row else None
        elif self._cursor.execute(_HOLD, [hold.over, hold.expired, hold.no, hold.version]).rowcount != 1:
            raise MovedOn

    def _lot_numbers(self, lots: Sequence[Lot]) -> dict[int, int]:
        """The numbers of lots; those that this posting opened are looked up."""
        numbers = {id(lot): lot.no for lot in lots if lot.no is not None}
        new = [lot for lot in lots if lot.no is None]
        if new:
            keys = [(self._names.account(self._tenant_id, lot.account_id), self._names.flavor(self._tenant_id, lot.flavor_id)) for lot in new]
            pairs = sorted({(account.no, flavor.no) for account, flavor in keys if account and flavor})
            rows = self._cursor.execute(_LOTS_OF, [[one for one, _ in pairs], [one for _, one in pairs]]).fetchall()
            found = {(account, flavor, _set_key(tags), slot): no for account, flavor, tags, slot, no in rows}
            numbers |= {id(lot): found[lot.account_id, lot.flavor_id, lot.tags_key, lot.slot] for lot in new}
        return numbers

    def keep_asked(self, group: Sequence[Transaction], numbers: Sequence[int]) -> None:
        asked = [(numbers[place], action_no, canonical(document).decode()) for place, one in enumerate(group) for action_no, document in asked_of(one)]
        if asked:
            self._cursor.execute(_ASKED, [self._tenant_id, *map(list, zip(*asked, strict=True))])


def keep_owed(cursor: "Cursor", tenant_id: str, names: Names, changed: Mapping[OwedKey, Fraction]) -> None:
    """What rounding leaves owed now."""
    if changed:
        rows = [
            (_number(names.flavor(tenant_id, over)), _number(names.flavor(tenant_id, paid)), _number(names.account(tenant_id, account)), str(owed))
            for (over, paid, account), owed in changed.items()
        ]
        cursor.execute(_OWE, [tenant_id, *map(list, zip(*rows, strict=True))])


def _number(found: Any) -> int:
    assert found is not None, "a name that was executed is known"
    return int(found.no)


def _set_key(tags: Tags) -> bytes:
    return canonical(dict(tags)) if tags else UNTAGGED


def _before(loaded: Loaded, lot: Lot) -> tuple[int, int, int | None, int]:
    return loaded.before.get(id(lot), (0, 0, None, 0))
