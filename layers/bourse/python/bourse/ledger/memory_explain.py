"""Amounts explained from the lists of a `MemoryBooks`, with the same promise as PostgreSQL's."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final

from bourse.ledger.actions import PostedMove, Tags, Token, canonical
from bourse.ledger.books import Question
from bourse.ledger.explain import LIMITS, Asked, Came, End, Explanation, Limits, Missing, MoveKey, explain_lots
from bourse.ledger.lots import UNTAGGED
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_state import Ledger, LotKey, Move


class MemoryExplains:
    """An `Explains`."""

    def __init__(self, books: MemoryBooks) -> None:
        self._books: Final = books

    def explain(self, tenant_id: str, question: Question, limits: Limits = LIMITS) -> Explanation:
        [whole] = self._books.sum_tokens(tenant_id, Question(question.filter, question.params))
        found = self._books.tokens(tenant_id, question, limit=limits.lots).items
        return self._explained(tenant_id, found, whole.amount, limits)

    def explain_lot(self, tenant_id: str, account_id: str, flavor_id: str, tags: Tags, limits: Limits = LIMITS) -> Explanation:
        lot = self._books._of(tenant_id).lots.get((account_id, flavor_id, canonical(dict(tags))))
        found = [Token(account_id, flavor_id, lot.tags, lot.amount, lot.held)] if lot and lot.amount > 0 else []
        return self._explained(tenant_id, found, sum(one.amount for one in found), limits)

    def _explained(self, tenant_id: str, tokens: Sequence[Token], whole: int, limits: Limits) -> Explanation:
        lots = [(one, (one.account_id, one.flavor_id, canonical(dict(one.tags)))) for one in tokens]
        explained = explain_lots(_MemoryFlows(self._books._of(tenant_id)), lots, limits)
        return Explanation(explained, whole - sum(one.amount for one in tokens))


class _MemoryFlows:
    """A `Flows`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger: Final = ledger

    def came(self, asked: Sequence[Asked], limits: Limits, steps: int) -> Sequence[Sequence[Came | Missing]]:  # noqa: ARG002 - lists are read as cheaply to their ends
        return [list(self._came(one, limits)) for one in asked]

    def actions(self, moves: Sequence[MoveKey]) -> Mapping[MoveKey, PostedMove]:
        return {(number, seq): self._ledger.moves[self._ledger.start(number) + seq - 1].shown for number, seq in moves}

    def _came(self, asked: Asked, limits: Limits) -> Iterator[Came | Missing]:
        """Counted from the newest unit back: those asked for are between `low` and `high`."""
        lot = self._ledger.lots.get(asked.lot)  # type: ignore[call-overload]
        moves = lot.moves[::-1] if lot else []
        ins = [one for one in moves if one.dst == asked.lot]
        high = asked.amount
        if asked.spent:
            at, key = asked.spent
            ins = [one for one in ins if one.shown.effective_at <= at]
            before = [one.shown.amount for one in moves if one.src == asked.lot and _time(one) < (at, *key)]
            high = sum(one.shown.amount for one in ins) - sum(before) - asked.first
        low = high - asked.amount
        if low < 0:
            yield Missing(min(asked.amount, -low), "credit")
        low, run = max(low, 0), 0
        for read, one in enumerate(ins):
            amount = one.shown.amount
            oldest, newest = min(high, run + amount), max(low, run)
            if run >= high:
                return
            if read == limits.moves:
                yield Missing(high - newest, "moves")
                return
            if oldest > newest:
                yield self._arrival(one, run + amount - oldest, oldest - newest)
            run += amount

    def _arrival(self, one: Move, first: int, amount: int) -> Came:
        end: End | None = "issued" if one.shown.type == "issue" else "contra" if self._makes(one.src) else None
        return Came((one.number, one.seq), one.shown.effective_at, one.src, first, amount, end)

    def _makes(self, lot: LotKey) -> bool:
        return lot[2] == UNTAGGED and self._ledger.accounts[lot[0]].floor is None


def _time(one: Move) -> tuple[Hashable, int, int]:
    return one.shown.effective_at, one.number, one.seq
