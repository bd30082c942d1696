"""Sums in memory: of what was found, by group; materialised ones are declared, and asked again whenever they are read."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bourse.errors import Conflict
from bourse.ledger.actions import canonical
from bourse.ledger.books import DeclaredSum, Question, Sum
from bourse.ledger.check import differ
from bourse.ledger.filters import Having, group_of, groupings_of
from bourse.ledger.filters.groups import check_having, places_of
from bourse.ledger.sums import check_sum, unknown_sum


class MemorySums:
    """The summing part of `Books`."""

    def __init__(self, answer: Callable[[str, Question], Sequence[Sum]]) -> None:
        """`answer` says what the tokens of a tenant add up to now."""
        self._answer: Final = answer
        self._sums: Final[dict[tuple[str, str], DeclaredSum]] = {}

    def declare_sum(self, tenant_id: str, declared: DeclaredSum) -> None:
        check_sum(declared)
        if differ(self._sums.setdefault((tenant_id, declared.name), declared), declared):
            raise Conflict("SUM_DIFFERS", f"there is a sum {declared.name} of something else", "name")

    def drop_sum(self, tenant_id: str, name: str) -> None:
        self._sums.pop((tenant_id, name), None)

    def declared_sums(self, tenant_id: str) -> Sequence[DeclaredSum]:
        return [self._sums[key] for key in sorted(self._sums) if key[0] == tenant_id]

    def read_sum(self, tenant_id: str, name: str) -> Sequence[Sum]:
        if (declared := self._sums.get((tenant_id, name))) is None:
            raise unknown_sum(name)
        return self._answer(tenant_id, declared.question)


def summed(question: Question, kind: str, found: Sequence[tuple[Mapping[str, Any], int]]) -> list[Sum]:
    """What objects with their amounts add up to."""
    groupings = groupings_of(question.group_by, kind)
    check_having(question.having)
    groups: dict[bytes, tuple[dict[str, Any], list[int]]] = {} if groupings else {canonical([]): ({}, [])}
    for one, amount in found:
        group = {text: group_of(one, grouping) for text, grouping in zip(question.group_by, groupings, strict=True)}
        groups.setdefault(canonical(list(group.values())), (group, []))[1].append(amount)
    ordered = sorted(groups.values(), key=lambda one: places_of(one[0].values()))
    sums = [Sum(group, sum(amounts), len(amounts), min(amounts, default=None), max(amounts, default=None)) for group, amounts in ordered]
    return [one for one in sums if all(_is_within(one, bound) for bound in question.having)]


def _is_within(one: Sum, bound: Having) -> bool:
    value = getattr(one, bound.of)
    return value is not None and bool(_BOUNDS[bound.op](value, bound.value))


_BOUNDS: Final = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
