"""Reads from PostgreSQL what an execution works on: lots with their versions, holds, what holders are owed, and how low a lot stood."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.ledger.account_names import names_from
from bourse.ledger.actions import Account, Issue, Transaction, Transfer
from bourse.ledger.aurora_names import Names, Numbered
from bourse.ledger.aurora_reversal import read_taken_back
from bourse.ledger.execute import Hold
from bourse.ledger.lots import Lot
from bourse.ledger.needs import needs_of
from bourse.ledger.sharing import OwedKey
from bourse.ledger.state import LoadedState

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_LOT_COLUMNS: Final[LiteralString] = """
    l.lot_no, a.account_id, f.flavor_id, coalesce(t.tags, '{}'), l.slot, l.amount, l.held, l.floor, l.opened_no, l.version,
    nullif(l.latest_at, '-infinity')
    from books.lot l join books.account a using (account_no) join books.flavor f using (flavor_no) left join books.tagset t using (tagset_no)"""
_PAIRS: Final[LiteralString] = f"""
    select {_LOT_COLUMNS} join unnest(%s::bigint[], %s::bigint[]) p(account_no, flavor_no) on p.account_no = l.account_no and p.flavor_no = l.flavor_no
    where l.amount <> 0 or l.tagset_no = 0 order by l.lot_no"""
_WHOLE: Final[LiteralString] = f"select {_LOT_COLUMNS} where l.flavor_no = any(%s) and l.amount <> 0 order by l.lot_no"
_BY_NUMBER: Final[LiteralString] = f"select {_LOT_COLUMNS} where l.lot_no = any(%s) order by l.lot_no"
_HOLDS: Final[LiteralString] = """
    select h.hold_no, h.hold_id, a.account_id, f.flavor_id, h.expires_at, h.is_over, h.expired, h.version
    from books.hold h join books.account a using (account_no) join books.flavor f using (flavor_no)
    where h.tenant_id = %(tenant)s and (h.hold_id = any(%(ids)s)
      or not h.is_over and (h.flavor_no = any(%(whole)s)
        or (h.account_no, h.flavor_no) in (select * from unnest(%(accounts)s::bigint[], %(flavors)s::bigint[]))))
    order by h.hold_no"""
_HELD: Final[LiteralString] = """
    select hold_no, lot_no, sum(amount)::bigint from books.hold_move where hold_no = any(%s)
    group by hold_no, lot_no having sum(amount) > 0 order by min(txn_no), min(seq)"""
_OWED: Final[LiteralString] = """
    select f.flavor_id, p.flavor_id, a.account_id, o.owed from books.owed o join books.account a using (account_no)
    join books.flavor f on f.flavor_no = o.over_flavor_no join books.flavor p on p.flavor_no = o.flavor_no
    where o.over_flavor_no = any(%s)"""
# The tenant's lock comes before every other: who took it only after having numbered a tag set, opened `world` or begun to distribute
# would wait for a guarded posting that waits for him. It also keeps tags as they were read until the commit.
_TOGETHER: Final[LiteralString] = "select pg_advisory_xact_lock_shared(hashtextextended(%s, 7))"
# Distributions over a flavor come one after the other: what is owed after one is what is owed before the next.
_DISTRIBUTING: Final[LiteralString] = "select pg_advisory_xact_lock(hashtextextended('distribute/' || %s::bigint, 8))"
# A lot that is empty is not among those read; when it matters how it stood before, it is looked for by its key.
_EMPTIED: Final[LiteralString] = """
    select l.lot_no, l.version, l.opened_no from books.lot l join books.account a using (account_no) join books.flavor f using (flavor_no)
    join books.tagset t using (tagset_no)
    where l.tenant_id = %s and a.account_id = %s and f.flavor_id = %s and t.digest = %s and l.slot = %s"""
# Where another posting has come between, and it did not stand too low any more, the beginning is named.
_FIRST_BELOW: Final[LiteralString] = "select coalesce(books.first_below(%(lot)s, %(since)s, %(until)s, %(amount)s), %(since)s::timestamptz)"
_LOWEST: Final[LiteralString] = """
    select l.total::bigint, l.at from books.expect_summed(%(lot)s, %(since)s), books.lowest(%(lot)s, %(since)s, %(until)s) l where l.at is not null"""


class AuroraHistory:
    """A `History` over the moves of the store and what sums them up. An emptied lot that it has to look for is decided by from then on; BK006 of the
    database says that a long history is to be summed up first."""

    def __init__(self, cursor: "Cursor", tenant_id: str, expected: list[Lot], before: "Before") -> None:
        self._cursor: Final = cursor
        self._tenant_id: Final = tenant_id
        self._expected: Final = expected
        self._before: Final = before

    def lowest(self, lot: Lot, since: datetime, until: datetime | None) -> tuple[int, datetime] | None:
        if lot.no is None and not self._find(lot):
            return None
        row = self._cursor.execute(_LOWEST, {"lot": lot.no, "since": since, "until": until or "infinity"}).fetchone()
        return (row[0], row[1]) if row else None

    def first_below(self, lot: Lot, since: datetime, until: datetime | None, amount: int) -> datetime:
        row = self._cursor.execute(_FIRST_BELOW, {"lot": lot.no, "since": since, "until": until or "infinity", "amount": amount}).fetchone()
        assert row is not None, "its lowest point was below"
        found: datetime = row[0]
        return found

    def _find(self, lot: Lot) -> bool:
        digest = blake2b(lot.tags_key, digest_size=16).digest()
        row = self._cursor.execute(_EMPTIED, [self._tenant_id, lot.account_id, lot.flavor_id, digest, lot.slot]).fetchone()
        if row is not None:
            lot.no, lot.version, opened = row
            self._expected.append(lot)
            self._before[id(lot)] = (0, 0, lot.floor, opened)
        return row is not None


Before = dict[int, tuple[int, int, int | None, int]]
"""id(lot) -> amount, held, floor, opened."""
Owed = dict[OwedKey, Fraction]
"""What rounding has left owed."""


@dataclass(slots=True)
class Loaded:
    """A state, what it was before the execution, and the lots whose versions it stands on."""

    state: LoadedState
    lots: Sequence[Lot]
    before: Before
    expected: Sequence[Lot]
    owed: Owed


def load(cursor: "Cursor", tenant_id: str, transactions: Sequence[Transaction], names: Names, slot: int) -> Loaded:
    """All that these transactions need, without a lock."""
    cursor.execute(_TOGETHER, [tenant_id])
    needs = needs_of(transactions)
    back = read_taken_back(cursor, tenant_id, needs.reversed)
    accounts_needed, flavors_needed = needs.accounts | back.accounts, needs.flavors | back.flavors
    names.learn(cursor, tenant_id, accounts_needed, flavors_needed)
    number = {one: found.no for one in accounts_needed if (found := names.account(tenant_id, one))}
    flavor = {one: numbered.no for one in flavors_needed if (numbered := names.flavor(tenant_id, one))}
    pairs = sorted((number[account], flavor[one]) for account, one in needs.pairs | back.pairs if account in number and one in flavor)
    pairs += _overdrawn(transactions, tenant_id, names)
    whole = sorted(flavor[one] for one in needs.whole_flavors if one in flavor)
    owing = sorted({*whole, *(flavor[one] for one in back.shared_over)})
    for one in owing:
        cursor.execute(_DISTRIBUTING, [one])
    holds = _holds(cursor, tenant_id, needs.holds, pairs, whole)
    held_pairs = {(hold.account_id, hold.flavor_id) for hold in holds}
    names.learn(cursor, tenant_id, {account for account, _ in held_pairs} - number.keys(), {one for _, one in held_pairs} - flavor.keys())
    pairs = sorted({*pairs, *((_no(names.account(tenant_id, account)), _no(names.flavor(tenant_id, one))) for account, one in held_pairs)})
    lots, distributed = _lots(cursor, pairs, whole, back.lots)
    _fill_holds(cursor, holds, lots)
    holders = {lot.account_id for lot in lots.values()}
    names.learn(cursor, tenant_id, holders - accounts_needed, ())
    accounts: dict[str, Account] = {one: found.what for one in {*accounts_needed, *holders} if (found := names.account(tenant_id, one))}
    if follow := names_from(needs.patterns, list(accounts.values())) - accounts.keys():
        names.learn(cursor, tenant_id, follow, ())
        accounts |= {one: found.what for one in follow if (found := names.account(tenant_id, one))}
    expected = [lot for no, lot in lots.items() if lot.floor is not None or no in distributed or (lot.account_id, lot.flavor_id) in _floored(transactions)]
    before = {id(lot): (lot.amount, lot.held, lot.floor, lot.opened) for lot in lots.values()}
    state = LoadedState(
        accounts,
        [one for one in {*flavors_needed, *(hold.flavor_id for hold in holds)} if names.flavor(tenant_id, one)],
        lots.values(),
        holds,
        AuroraHistory(cursor, tenant_id, expected, before),
        lambda account: slot if account.hot else 0,
        back.reversible(cursor, lots),
    )
    return Loaded(state, list(lots.values()), before, expected, _owed(cursor, owing) if owing else {})


def _floored(transactions: Iterable[Transaction]) -> set[tuple[str, str]]:
    """Accounts and flavors that are given a floor."""
    issues = (action for one in transactions for action in one.actions if isinstance(action, Issue))
    return {(action.source, action.flavor_id) for action in issues if action.source_floor is not None}


def _overdrawn(transactions: Iterable[Transaction], tenant_id: str, names: Names) -> list[tuple[int, int]]:
    """Who is given tokens of which flavor and has a credit line: it must be known when what he owes is paid and his tokens rise above zero."""
    given = {(action.destination, action.flavor_id) for one in transactions for action in one.actions if isinstance(action, Issue | Transfer)}
    known = ((names.account(tenant_id, account), names.flavor(tenant_id, flavor)) for account, flavor in given)
    return [(account.no, flavor.no) for account, flavor in known if account and flavor and account.what.floor]


def _lots(cursor: "Cursor", pairs: Sequence[tuple[int, int]], whole: Sequence[int], numbers: Iterable[int]) -> tuple[dict[int, Lot], set[int]]:
    """All lots by their numbers, and which of them are of the whole flavors."""
    rows = {row[0]: row for row in cursor.execute(_PAIRS, [[one for one, _ in pairs], [one for _, one in pairs]])}
    distributed: set[int] = set()
    if whole:
        of_whole = cursor.execute(_WHOLE, [whole]).fetchall()
        distributed = {row[0] for row in of_whole}
        rows |= {row[0]: row for row in of_whole}
    if missing := sorted(set(numbers) - rows.keys()):
        rows |= {row[0]: row for row in cursor.execute(_BY_NUMBER, [missing])}
    return {no: Lot(row[1], row[2], row[3], row[5], row[6], row[7], row[8], no, row[9], row[10], row[4]) for no, row in sorted(rows.items())}, distributed


def _no(found: Numbered[Any] | None) -> int:
    assert found is not None, "a hold's account and flavor are there"
    return found.no


def _holds(cursor: "Cursor", tenant_id: str, ids: Iterable[str], pairs: Sequence[tuple[int, int]], whole: Sequence[int]) -> list[Hold]:
    asked = {"tenant": tenant_id, "ids": sorted(ids), "accounts": [one for one, _ in pairs], "flavors": [one for _, one in pairs], "whole": list(whole)}
    rows = cursor.execute(_HOLDS, asked).fetchall()
    return [Hold(hold_id, account, flavor, expires, {}, over, expired, no, version) for no, hold_id, account, flavor, expires, over, expired, version in rows]


def _fill_holds(cursor: "Cursor", holds: Sequence[Hold], lots: Mapping[int, Lot]) -> None:
    open_ones = {hold.no: hold for hold in holds if not hold.over}
    if open_ones:
        for hold_no, lot_no, amount in cursor.execute(_HELD, [list(open_ones)]):
            open_ones[hold_no].left[lots[lot_no]] = amount


def _owed(cursor: "Cursor", whole: Sequence[int]) -> Owed:
    return {(over, flavor, account): Fraction(owed) for over, flavor, account, owed in cursor.execute(_OWED, [list(whole)])}
