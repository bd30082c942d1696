"""What was reversed, kept in memory: of which moves how much, and what each action left owed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from bourse.ledger.execute import Executed
from bourse.ledger.lots import Lot
from bourse.ledger.reversal import Reversible, ReversibleMove
from bourse.ledger.sharing import OwedChange

if TYPE_CHECKING:
    from bourse.ledger.memory_state import Ledger

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

    def copy(self) -> "Reversals":
        parts = {number: list(one) for number, one in self.parts.items()}
        return Reversals(dict(self.amounts), parts, {number: list(one) for number, one in self.of.items()}, dict(self.owed))

    def keep(self, number: int, done: Executed) -> None:
        """Remember what the transaction of this number did."""
        for made in done.reversals:
            found = made.reversed
            self.parts.setdefault(found.number, []).append((done.transaction.txn_id, Fraction(*made.part) if made.part else Fraction(0)))
            self.of.setdefault(number, []).append(found.txn_id)
            for _, seq, amount in made.moves:
                self.amounts[found.number, seq] = self.amounts.get((found.number, seq), 0) + amount
        for action_no, change in done.owed:
            self.owed.setdefault(number, {}).setdefault(action_no, []).append(change)


def reversible_of(ledger: "Ledger", txn_id: str) -> Reversible:
    """A posted transaction, with the lots of the ledger."""
    asked, posted = ledger.posted[txn_id]
    number, kept = posted.sequence_number, ledger.reversals
    moves = [
        ReversibleMove(
            one.seq,
            one.shown.action_no,
            one.shown.type,
            ledger.lots[one.src],
            ledger.lots[one.dst],
            one.shown.amount,
            kept.amounts.get((number, one.seq), 0),
        )
        for one in ledger.moves
        if one.number == number
    ]
    parts = kept.parts.get(number, [])

    def went_to(lot: Lot) -> Sequence[tuple[str, int]]:
        key = (lot.account_id, lot.flavor_id, lot.tags_key)
        went: Counter[str] = Counter()
        for one in ledger.moves:
            if one.src == key and one.number > number:
                went[one.shown.destination] += one.shown.amount
        return sorted(went.items(), key=lambda one: (-one[1], one[0]))[:TOLD_MAX]

    return Reversible(txn_id, number, asked.effective_at, moves, went_to, kept.owed.get(number, {}), sum((part for _, part in parts), Fraction(0)), len(parts))
