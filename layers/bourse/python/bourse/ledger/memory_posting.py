"""Posts transactions to books in memory, touching no more of them than the transactions do."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Final

from bourse.clock import Clock
from bourse.ledger.actions import Account, Distribute, Posted, PostedMove, Reverse, Tags, Transaction, canonical
from bourse.ledger.authority import Warrant
from bourse.ledger.execute import Executed, Execution, Hold
from bourse.ledger.execute import Move as Moved
from bourse.ledger.journal import FloorTold, told_of
from bourse.ledger.lots import UNTAGGED, Lot
from bourse.ledger.matching_tokens import matcher
from bourse.ledger.memory_reversal import reversible_of
from bourse.ledger.memory_state import History, Ledger, Move, StoredLot
from bourse.ledger.memory_undo import Undo
from bourse.ledger.sharing import OwedKey, Sharing
from bourse.ledger.state import State


class LentState(State):
    """The very lots and holds of the books: each is noted when it is handed out, as it may be changed from then on."""

    def __init__(self, ledger: Ledger, undo: Undo) -> None:
        self.accounts: Mapping[str, Account] = ledger.accounts
        self.flavors = ledger.flavors
        self.history = History()
        self.reversible = {}
        self.lent: Final[dict[StoredLot, int | None]] = {}
        """Lots with their floor before."""
        self.made: Final[list[StoredLot]] = []
        self.holds: Final[dict[str, Hold]] = {}
        self._ledger: Final = ledger
        self._undo: Final = undo

    def lend(self, lot: StoredLot) -> StoredLot:
        """A lot that is handed out."""
        if lot not in self.lent:
            self._undo.lot(lot)
            self.lent[lot] = lot.floor
        return lot

    def of(self, account_id: str, flavor_id: str) -> list[Lot]:
        return [self.lend(lot) for lot in self._ledger.lots_of(account_id, flavor_id) if lot.amount > 0]

    def lot(self, account: Account, flavor_id: str, tags: Tags) -> Lot:
        key = canonical(dict(tags)) if tags else UNTAGGED
        if found := self._ledger.lots.get((account.account_id, flavor_id, key)):
            return self.lend(found)
        lot = StoredLot(account.account_id, flavor_id, tags, floor=account.floor if key == UNTAGGED else 0)
        self._undo.step(self._ledger.drop, lot)
        self._ledger.put(lot)
        self.made.append(lot)
        return self.lend(lot)

    def holders(self, flavor_id: str) -> Sequence[tuple[str, Sequence[Lot]]]:
        found = self._ledger.of_flavor.get(flavor_id, {})
        return [(account, [self.lend(lot) for lot in found[account].values() if lot.amount > 0]) for account in sorted(found)]

    def opens(self) -> int:
        self._ledger.opened += 1
        return self._ledger.opened

    def hold(self, hold_id: str) -> Hold | None:
        found = self._ledger.holds.get(hold_id)
        return self._lend(found) if found is not None else None

    def expired(self, account_id: str, flavor_id: str, at: datetime) -> Sequence[Hold]:
        return [self._lend(hold) for hold in self._ledger.expired(account_id, flavor_id, at)]

    def keep(self, hold: Hold) -> None:
        hold.no = len(self._ledger.holds)
        self._undo.entry(self._ledger.holds, hold.hold_id)
        self._undo.step(self._ledger.expire_not, hold)
        self._ledger.holds[hold.hold_id] = self.holds[hold.hold_id] = hold
        self._ledger.expire(hold)

    def _lend(self, hold: Hold) -> Hold:
        if hold.hold_id not in self.holds:
            self._undo.hold(hold)
            self.holds[hold.hold_id] = hold
            for lot in hold.left:
                assert isinstance(lot, StoredLot), "every lot of these books is"
                self.lend(lot)
        return hold


def post_one(ledger: Ledger, asked: Transaction, at: datetime, clock: Clock, warrant: Warrant | None, undo: Undo) -> None:
    """Post a transaction at the books' clock `at`. Raises Refused with the books in no state until all of it is undone."""
    state = LentState(ledger, undo)
    for action in asked.actions:
        if isinstance(action, Reverse) and action.txn_id in ledger.posted:
            state.reversible[action.txn_id] = reversible_of(ledger, action.txn_id, state.lend)
    sharing = Sharing(_owed(ledger, asked, state))
    done = Execution(state, at, lambda spending: matcher(spending, ledger.accounts, ledger.flavors.get), sharing).run(asked)
    if warrant:
        warrant.require_done([done], ledger.accounts.get, ledger.flavors.get)
    for key, left in sharing.changed.items():
        undo.entry(ledger.owed, key[0])
        owed = ledger.owed.setdefault(key[0], {})
        undo.entry(owed, key)
        owed[key] = left
    _keep(ledger, asked, done, clock.now(), undo)
    _take_back_lots(ledger, state)


def _owed(ledger: Ledger, asked: Transaction, state: LentState) -> dict[OwedKey, Fraction]:
    """What rounding left owed of the flavors that are distributed over, or of which that is taken back."""
    over = {action.over_flavor_id for action in asked.actions if isinstance(action, Distribute)}
    over |= {one.over_flavor_id for found in state.reversible.values() for changes in found.owed.values() for one in changes}
    return {key: owed for flavor_id in over for key, owed in ledger.owed.get(flavor_id, {}).items()}


def _keep(ledger: Ledger, asked: Transaction, done: Executed, recorded_at: datetime, undo: Undo) -> None:
    posted = Posted(asked.txn_id, ledger.numbers + 1, recorded_at)
    undo.entry(ledger.posted, asked.txn_id)
    told, tags = told_of(done, recorded_at), dict(asked.tags)
    ledger.reversals.keep(posted.sequence_number, done, undo)
    ledger.starts.append(len(ledger.moves))
    for seq, moved in enumerate(done.moves, 1):
        _keep_move(ledger, asked, posted, seq, moved, tags, undo)
    ledger.journal.append(told)
    ledger.posted[asked.txn_id] = asked, posted
    ledger.transactions.append((asked, posted))


def _keep_move(ledger: Ledger, asked: Transaction, posted: Posted, seq: int, moved: Moved, tags: Tags, undo: Undo) -> None:
    src, dst, at = moved.src, moved.dst, asked.effective_at
    assert isinstance(src, StoredLot), "every lot of these books is"
    assert isinstance(dst, StoredLot), "every lot of these books is"
    shown = PostedMove(
        asked.txn_id,
        posted.sequence_number,
        moved.action_no,
        moved.type,
        src.flavor_id,
        moved.amount,
        src.account_id,
        dst.account_id,
        dict(src.tags),
        dict(dst.tags),
        dict(moved.action_tags),
        at,
        posted.recorded_at,
    )
    snapshot = {
        "action_tags": shown.action_tags,
        "token_tags": shown.source_tags if moved.type == "retire" else shown.token_tags,
        "transaction_tags": tags,
        "flavor_tags": ledger.flavors[src.flavor_id].tags,
        "source_account_tags": ledger.accounts[src.account_id].tags,
        "destination_account_tags": ledger.accounts[dst.account_id].tags,
    }
    move = Move(posted.sequence_number, seq, shown, src.key, dst.key, snapshot)
    for lot in (src, dst):
        lot.latest_at = at if lot.latest_at is None else max(lot.latest_at, at)
        place = lot.place_of(move)
        undo.move(lot, place, move)
        lot.moves.insert(place, move)
    ledger.moves.append(move)


def _take_back_lots(ledger: Ledger, state: LentState) -> None:
    """What was handed out is the books' again: what was made for nothing is not kept, and floors that were set are told."""
    for lot in state.made:
        if not lot.touched:
            ledger.drop(lot)
    told = []
    for lot, floor in state.lent.items():
        if lot.floor is not None and not lot.tags and lot.floor != floor:
            told.append((lot.no, FloorTold(lot.account_id, lot.flavor_id, lot.floor)))
        lot.timeline, lot.touched = [], False
    ledger.journal += [one for _, one in sorted(told, key=lambda one: one[0] or 0)]
    for hold in state.holds.values():
        if hold.over:
            ledger.expire_not(hold)
