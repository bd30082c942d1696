"""One tenant's books in memory, and its past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Final, NamedTuple

from bourse.errors import Refused
from bourse.ledger.actions import WORLD, Account, Flavor, Posted, PostedMove, Tags, Transaction
from bourse.ledger.execute import Hold
from bourse.ledger.journal import Entry
from bourse.ledger.journal_refusals import RefusalTold
from bourse.ledger.lots import Lot
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


@dataclass
class Ledger:
    """One tenant's books."""

    accounts: dict[str, Account] = field(default_factory=lambda: {WORLD: Account(WORLD, floor=None, hot=True)})
    flavors: dict[str, Flavor] = field(default_factory=dict)
    lots: dict[LotKey, Lot] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    owed: dict[OwedKey, Fraction] = field(default_factory=dict)
    reversals: Reversals = field(default_factory=Reversals)
    posted: dict[str, tuple[Transaction, Posted]] = field(default_factory=dict)
    refused: dict[str, tuple[bytes, str, str, str | None]] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    numbers: int = 0
    journal: list[Entry] = field(default_factory=list)
    blocks: list[tuple[int, bytes]] = field(default_factory=list)
    """How many entries of the journal are sealed up to a block's end, and its hash."""

    def refuse(self, asked: Transaction, refused: Refused, at: datetime) -> None:
        """The request is refused for good."""
        self.refused[asked.txn_id] = (asked.digest(), refused.code, refused.detail, refused.field)
        self.journal.append(RefusalTold(asked.txn_id, *self.refused[asked.txn_id], at))

    def copy(self) -> "Ledger":
        """A copy to work on: what is changed in it shows nowhere else."""
        lots = {key: replace(lot, timeline=[]) for key, lot in self.lots.items()}
        holds = {name: replace(hold, left={lots[key_of(lot)]: part for lot, part in hold.left.items()}) for name, hold in self.holds.items()}
        owed, moves, reversals, posted, journal = dict(self.owed), list(self.moves), self.reversals.copy(), dict(self.posted), list(self.journal)
        return replace(self, lots=lots, holds=holds, owed=owed, moves=moves, reversals=reversals, posted=posted, journal=journal)


class History:
    """A `History` (execute.py) over moves."""

    def __init__(self, moves: Sequence[Move]) -> None:
        self._moves: Final = moves

    def lowest(self, lot: Lot, since: datetime, until: datetime | None) -> tuple[int, datetime] | None:
        return min(((amount, at) for at, amount in self._stood(lot, since, until)), default=None) if lot.no is not None else None

    def first_below(self, lot: Lot, since: datetime, until: datetime | None, amount: int) -> datetime:
        return next(at for at, stood in self._stood(lot, since, until) if stood < amount)

    def _stood(self, lot: Lot, since: datetime, until: datetime | None) -> list[tuple[datetime, int]]:
        key = key_of(lot)
        changes = [(one.shown.effective_at, one.shown.amount * ((one.dst == key) - (one.src == key))) for one in self._moves if key in (one.src, one.dst)]
        instants = sorted({since, *(at for at, _ in changes if at > since and (until is None or at < until))})
        return [(at, sum(change for when, change in changes if when <= at)) for at in instants]


def key_of(lot: Lot) -> LotKey:
    """What tells a lot from others."""
    return lot.account_id, lot.flavor_id, lot.tags_key
