"""What was reversed, kept in memory: of which moves how much, and what each action left owed."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from bourse.ledger.execute import Executed
from bourse.ledger.lots import Lot
from bourse.ledger.reversal import Reversible, ReversibleMove
from bourse.ledger.sharing import OwedChange

if TYPE_CHECKING:
    from bourse.ledger.memory_state import Ledger, StoredLot
    from bourse.ledger.memory_undo import Undo

TOLD_MAX = 5
"""Of those who got tokens that a reversal would need, so many are named."""


@dataclass
class Reversals:
    """One tenant's: all keyed by the number of the transaction."""

    amounts: dict[tuple[int, int], int] = field(default_factory=dict)
    """(transaction, place in its journal) -> how much of the move is reversed"""
    parts: dict[int, list[tuple[str, Fraction]]] = field(default_factory=dict)
    """reversed transaction -> by whom it was reversed, and the part of it that one named"""
    of: dict[int, list[str]] = field(default_factory=dict)
    """reversing transaction -> whom it reverses"""
    owed: dict[int, dict[int, list[OwedChange]]] = field(default_factory=dict)

    def keep(self, number: int, done: Executed, undo: "Undo") -> None:
        """Remember what the transaction of this number did."""
        for made in done.reversals:
            found = made.reversed
            undo.entry(self.parts, found.number)
            undo.entry(self.of, number)
            part = Fraction(*made.part) if made.part else Fraction(0)
            self.parts[found.number] = [*self.parts.get(found.number, ()), (done.transaction.txn_id, part)]
            self.of[number] = [*self.of.get(number, ()), found.txn_id]
            for _, seq, amount in made.moves:
                undo.entry(self.amounts, (found.number, seq))
                self.amounts[found.number, seq] = self.amounts.get((found.number, seq), 0) + amount
        if done.owed:
            undo.entry(self.owed, number)
        for action_no, change in done.owed:
            self.owed.setdefault(number, {}).setdefault(action_no, []).append(change)


def reversible_of(ledger: "Ledger", txn_id: str, lend: Callable[["StoredLot"], Lot]) -> Reversible:
    """A posted transaction, with lots that the ledger lends."""
    asked, posted = ledger.posted[txn_id]
    number, kept = posted.sequence_number, ledger.reversals
    moves = [
        ReversibleMove(
            one.seq,
            one.shown.action_no,
            one.shown.type,
            lend(ledger.lots[one.src]),
            lend(ledger.lots[one.dst]),
            one.shown.amount,
            kept.amounts.get((number, one.seq), 0),
        )
        for one in ledger.moves_of(number)
    ]
    parts = kept.parts.get(number, [])

    def went_to(lot: Lot) -> Sequence[tuple[str, int]]:
        key = (lot.account_id, lot.flavor_id, lot.tags_key)
        went: Counter[str] = Counter()
        for one in ledger.lots[key].moves:
            if one.src == key and one.number > number:
                went[one.shown.destination] += one.shown.amount
        return sorted(went.items(), key=lambda one: (-one[1], one[0]))[:TOLD_MAX]

    return Reversible(txn_id, number, asked.effective_at, moves, went_to, kept.owed.get(number, {}), sum((part for _, part in parts), Fraction(0)), len(parts))
