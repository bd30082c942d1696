"""What a buy offer asks of a loan, in canonical form, and compiled to a question.

Conditions are kept as a sorted tuple of (field, op, operands) without duplicates, so buckets that mean the same are the same
key and are asked once. A condition on a missing attribute does not match, whatever its operator; one that makes no sense
(`between` with one end, `gte` with none) matches nothing, so that a bad plan buys nothing instead of everything.
"""

from collections.abc import Callable, Iterable
from typing import Final

from bourse.matching.model import Condition, Sell
from bourse.trading.events import Criterion

Question = Callable[[Sell], bool]
PRODUCT: Final = "product"
"""The op of the condition every buy offer has: the product must be his."""


def canonical(criteria: Iterable[Criterion]) -> tuple[Condition, ...]:
    """The conditions in canonical order and form."""
    return tuple(sorted({_condition(one) for one in criteria}))


def asking_for(product_id: str, conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """The key of a group: the product, then the conditions."""
    return ((product_id, PRODUCT, (), ()), *conditions)


def _condition(one: Criterion) -> Condition:
    if one.op in ("in", "not_in"):
        return one.field, one.op, tuple(sorted(set(one.labels))), ()
    return one.field, one.op, (), one.numbers


def question(condition: Condition) -> Question:
    """The condition as a predicate of a sell offer."""
    name, op, labels, numbers = condition
    if op == PRODUCT:
        return lambda sell: sell.product_id == name
    if op == "in":
        wanted = frozenset(labels)
        return lambda sell: sell.labels.get(name) in wanted
    if op == "not_in":
        unwanted = frozenset((*labels, None))
        return lambda sell: sell.labels.get(name) not in unwanted
    if op == "between" and len(numbers) == 2:
        low, high = numbers
        return lambda sell: (number := sell.numbers.get(name)) is not None and low <= number <= high
    if op == "gte" and len(numbers) == 1:
        return lambda sell: (number := sell.numbers.get(name)) is not None and number >= numbers[0]
    if op == "lte" and len(numbers) == 1:
        return lambda sell: (number := sell.numbers.get(name)) is not None and number <= numbers[0]
    return lambda sell: False  # noqa: ARG005 - a question whose answer does not depend on what is asked


def all_of(questions: Iterable[Question]) -> Question:
    """True when each of them is."""
    asked = tuple(questions)

    def accepts(sell: Sell) -> bool:
        for one in asked:  # noqa: SIM110 - this is the innermost loop, and all() with a generator costs twice as much
            if not one(sell):
                return False
        return True

    return accepts
