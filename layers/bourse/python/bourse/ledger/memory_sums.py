"""Materialised sums kept in memory: declared, and asked again whenever they are read."""

from collections.abc import Callable, Sequence
from typing import Final

from bourse.errors import Conflict
from bourse.ledger.books import DeclaredSum, Question, Sum
from bourse.ledger.sums import check_sum, unknown_sum


class MemorySums:
    """The summing part of `Books`."""

    def __init__(self, answer: Callable[[str, Question], Sequence[Sum]]) -> None:
        """`answer` says what the tokens of a tenant add up to now."""
        self._answer: Final = answer
        self._sums: Final[dict[tuple[str, str], DeclaredSum]] = {}

    def declare_sum(self, tenant_id: str, declared: DeclaredSum) -> None:
        check_sum(declared)
        if self._sums.setdefault((tenant_id, declared.name), declared) != declared:
            raise Conflict("SUM_DIFFERS", f"there is a sum {declared.name} of something else", "name")

    def drop_sum(self, tenant_id: str, name: str) -> None:
        self._sums.pop((tenant_id, name), None)

    def declared_sums(self, tenant_id: str) -> Sequence[DeclaredSum]:
        return [self._sums[key] for key in sorted(self._sums) if key[0] == tenant_id]

    def read_sum(self, tenant_id: str, name: str) -> Sequence[Sum]:
        if (declared := self._sums.get((tenant_id, name))) is None:
            raise unknown_sum(name)
        return self._answer(tenant_id, declared.question)
