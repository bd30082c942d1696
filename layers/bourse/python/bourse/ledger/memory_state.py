"""One tenant's books in memory, and its past: each thing is found by what it is asked for, so nothing costs more because there is more of other things."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any, NamedTuple

from bourse.errors import Refused
from bourse.ledger.actions import WORLD, Account, Flavor, Posted, PostedMove, Tags, Transaction
from bourse.ledger.execute import Hold
from bourse.ledger.journal import Entry
from bourse.ledger.journal_refusals import RefusalTold
from bourse.ledger.lots import Lot
from bourse.ledger.memory_index import Index
from bourse.ledger.memory_reversal import Reversals
from bourse.ledger.sharing import OwedKey

LotKey = tuple[str, str, bytes]


class Move(NamedTuple):
    """A move of the journal, with the snapshot of all tags."""

    number: int
    seq: int
    shown: PostedMove
    src: LotKey
    dst: LotKey
    snapshot: Mapping[str, Tags]


@dataclass(slots=True, eq=False)
class StoredLot(Lot):
    """A lot with every move out of it and into it: by when they happened, then as they were posted."""

    moves: list[Move] = field(default_factory=list)

    @property
    def key(self) -> LotKey:
        """What tells it from others."""
        return self.account_id, self.flavor_id, self.tags_key

    def place_of(self, move: Move) -> int:
        """Where a move that is posted now stands among the others."""
        at = move.shown.effective_at
        if not self.moves or self.moves[-1].shown.effective_at <= at:
            return len(self.moves)
        return bisect_right(self.moves, at, key=_happened)

    def change(self, move: Move) -> int:
        """What one of its moves changed."""
        return move.shown.amount if move.dst == self.key else -move.shown.amount


def _happened(move: Move) -> datetime:
    return move.shown.effective_at


Lots = dict[bytes, StoredLot]
Expiring = tuple[datetime, int, Hold]


@dataclass
class Ledger:
    """One tenant's books. `lots` are all of them; they and the holds are put there by the methods below, which keep what they are found by."""

    accounts: dict[str, Account] = field(default_factory=lambda: {WORLD: Account(WORLD, floor=None, hot=True)})
    flavors: dict[str, Flavor] = field(default_factory=dict)
    lots: dict[LotKey, StoredLot] = field(default_factory=dict)
    of_account: dict[str, dict[str, Lots]] = field(default_factory=dict)
    """Account -> flavor -> its lots."""
    of_flavor: dict[str, dict[str, Lots]] = field(default_factory=dict)
    """Flavor -> account -> its lots."""
    made: int = 0
    """How many lots were put there."""
    opened: int = 0
    """How often a lot rose above zero."""
    holds: dict[str, Hold] = field(default_factory=dict)
    expiring: dict[tuple[str, str], list[Expiring]] = field(default_factory=dict)
    """Account and flavor -> holds that are not over and will be, the first first."""
    owed: dict[str, dict[OwedKey, Fraction]] = field(default_factory=dict)
    """Flavor distributed over -> what rounding left owed."""
    reversals: Reversals = field(default_factory=Reversals)
    posted: dict[str, tuple[Transaction, Posted]] = field(default_factory=dict)
    transactions: list[tuple[Transaction, Posted]] = field(default_factory=list)
    """The same by their numbers, which begin at 1."""
    refused: dict[str, tuple[bytes, str, str, str | None]] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    """Where each transaction's moves begin."""
    journal: list[Entry] = field(default_factory=list)
    blocks: list[tuple[int, bytes]] = field(default_factory=list)
    """How many entries of the journal are sealed up to a block's end, and its hash."""
    indexes: dict[tuple[str, Hashable], Index[Any]] = field(default_factory=dict)
    """What is found by a name or tag, by kind and path: of what the journal had when it was last asked."""

    def refuse(self, asked: Transaction, refused: Refused, at: datetime) -> None:
        """The request is refused for good."""
        self.refused[asked.txn_id] = (asked.digest(), refused.code, refused.detail, refused.field)
        self.journal.append(RefusalTold(asked.txn_id, *self.refused[asked.txn_id], at))

    @property
    def numbers(self) -> int:
        """The number of the last transaction."""
        return len(self.transactions)

    def start(self, number: int) -> int:
        """Where the moves of this transaction begin, or would begin."""
        return self.starts[number - 1] if number <= len(self.starts) else len(self.moves)

    def moves_of(self, number: int) -> list[Move]:
        """What the transaction of this number moved."""
        return self.moves[self.start(number) : self.start(number + 1)]

    def put(self, lot: StoredLot) -> None:
        """There is this lot from now on."""
        self.made += 1
        lot.no = self.made
        mine = self.of_account.setdefault(lot.account_id, {}).setdefault(lot.flavor_id, {})
        self.of_flavor.setdefault(lot.flavor_id, {})[lot.account_id] = mine
        mine[lot.tags_key] = self.lots[lot.key] = lot

    def drop(self, lot: StoredLot) -> None:
        """There is no such lot, if there was."""
        self.lots.pop(lot.key, None)
        of_account, of_flavor = self.of_account.get(lot.account_id, {}), self.of_flavor.get(lot.flavor_id, {})
        mine = of_account.get(lot.flavor_id, {})
        mine.pop(lot.tags_key, None)
        for found, inner, outer, name in (
            (of_flavor, lot.account_id, self.of_flavor, lot.flavor_id),
            (of_account, lot.flavor_id, self.of_account, lot.account_id),
        ):
            if not mine:
                found.pop(inner, None)
            if not found:
                outer.pop(name, None)

    def lots_of(self, account_id: str | None = None, flavor_id: str | None = None) -> Iterator[StoredLot]:
        """The lots of an account, of a flavor, of both, or all there are."""
        if account_id is None and flavor_id is None:
            yield from self.lots.values()
        elif account_id is None:
            for mine in self.of_flavor.get(flavor_id or "", {}).values():
                yield from mine.values()
        elif flavor_id is None:
            for mine in self.of_account.get(account_id, {}).values():
                yield from mine.values()
        else:
            yield from self.of_account.get(account_id, {}).get(flavor_id, {}).values()

    def expire(self, hold: Hold) -> None:
        """The hold will be over by itself, if its time comes."""
        self.expire_not(hold)
        if hold.expires_at is not None and hold.no is not None:
            insort(self.expiring.setdefault((hold.account_id, hold.flavor_id), []), (hold.expires_at, hold.no, hold))

    def expire_not(self, hold: Hold) -> None:
        """The hold will not be over by itself."""
        if hold.expires_at is None:
            return
        waiting = self.expiring.get((hold.account_id, hold.flavor_id), [])
        place = bisect_left(waiting, (hold.expires_at, hold.no), key=_order)
        if place < len(waiting) and waiting[place][2] is hold:
            del waiting[place]
        if not waiting:
            self.expiring.pop((hold.account_id, hold.flavor_id), None)

    def expired(self, account_id: str, flavor_id: str, at: datetime) -> list[Hold]:
        """Holds of a pair that are not over though their time is, in the order they were made."""
        found = [one for one in _until(self.expiring.get((account_id, flavor_id), ()), at) if not one[2].over]
        return [hold for _, _, hold in sorted(found, key=lambda one: one[1])]


def _order(one: Expiring) -> tuple[datetime, int]:
    return one[:2]


def _until(waiting: Sequence[Expiring], at: datetime) -> Iterator[Expiring]:
    for one in waiting:
        if one[0] > at:
            return
        yield one


class History:
    """A `History` (state.py) of stored lots: counted back from what they have, so it looks at nothing before what is asked."""

    def lowest(self, lot: Lot, since: datetime, until: datetime | None) -> tuple[int, datetime] | None:
        return min((amount, at) for at, amount in _stood(lot, since, until)) if isinstance(lot, StoredLot) else None

    def first_below(self, lot: Lot, since: datetime, until: datetime | None, amount: int) -> datetime:
        return next(at for at, stood in _stood(lot, since, until) if stood < amount)


def _stood(lot: Lot, since: datetime, until: datetime | None) -> list[tuple[datetime, int]]:
    """The instants in [since, until) at which its amount changed, `since` first, each with the amount from then on."""
    assert isinstance(lot, StoredLot), "every lot of these books is"
    place = bisect_right(lot.moves, since, key=_happened)
    later = lot.moves[place:]
    stood = lot.amount - sum(change for _, change in lot.timeline) - sum(lot.change(move) for move in later)
    found = {since: stood}
    for move in later:
        at = move.shown.effective_at
        if until is not None and at >= until:
            break
        stood += lot.change(move)
        found[at] = stood
    return list(found.items())


def key_of(lot: Lot) -> LotKey:
    """What tells a lot from others."""
    return lot.account_id, lot.flavor_id, lot.tags_key
