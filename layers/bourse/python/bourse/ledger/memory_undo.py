"""What puts books in memory back as a posting found them."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from bourse.ledger.execute import Hold
from bourse.ledger.memory_state import Ledger, Move, StoredLot


class Undo:
    """Whatever a posting changes is noted here before. So a note may be of a change that was never made: taking it back changes nothing then, and
    neither does taking all back twice."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger: Final = ledger
        self._counts: Final = ledger.made, ledger.opened
        self._lots: Final[dict[StoredLot, tuple[Any, ...]]] = {}
        self._steps: Final[list[Callable[[], object]]] = []
        for grows in (ledger.transactions, ledger.moves, ledger.starts, ledger.journal):
            self.end_of(grows)

    def lot(self, lot: StoredLot) -> None:
        """What a lot has."""
        if lot not in self._lots:
            self._lots[lot] = (lot.amount, lot.held, lot.floor, lot.opened, lot.latest_at)

    def hold(self, hold: Hold) -> None:
        """What a hold has left, and whether it waits for its end."""
        self._steps.append(partial(self._put_back, hold, dict(hold.left), (hold.over, hold.expired, hold.used)))

    def move(self, lot: StoredLot, place: int, move: Move) -> None:
        """That a move will stand there among the lot's."""
        self._steps.append(partial(_take_out, lot.moves, place, move))

    def entry(self, mapping: dict[Any, Any], key: Any) -> None:
        """What the mapping has under a key."""
        self._steps.append(partial(mapping.__setitem__, key, mapping[key]) if key in mapping else partial(mapping.pop, key, None))

    def end_of(self, items: list[Any]) -> None:
        """Where a list ends."""
        self._steps.append(partial(items.__delitem__, slice(len(items), None)))

    def step(self, step: Callable[..., object], *args: Any) -> None:
        """Whatever else takes something back."""
        self._steps.append(partial(step, *args))

    def back(self) -> None:
        """Take all of it back, the last first."""
        while self._steps:
            self._steps[-1]()
            self._steps.pop()
        for lot, was in self._lots.items():
            lot.amount, lot.held, lot.floor, lot.opened, lot.latest_at = was
            lot.timeline, lot.touched = [], False
        self._ledger.made, self._ledger.opened = self._counts

    def _put_back(self, hold: Hold, left: dict[Any, int], was: tuple[bool, bool, bool]) -> None:
        hold.left, (hold.over, hold.expired, hold.used) = left, was
        if hold.over:
            self._ledger.expire_not(hold)
        else:
            self._ledger.expire(hold)


def _take_out(moves: list[Move], place: int, move: Move) -> None:
    if place < len(moves) and moves[place] is move:
        del moves[place]
