"""Decision tables that business people change without code: rows of conditions, the first that matches wins, the last always does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import Field, StringConstraints, model_validator

from bourse.assessment.model import Attributes
from bourse.message import Facts

ROWS_MAX: Final = 500
TableKind = Literal["default_rates", "risk_classes"]
DEFAULT_TENANT: Final = "*"
"""Whose tables are everybody's who has none of his own."""
_OPERANDS: Final = {"between": 2, "gte": 1, "lte": 1}


class Condition(Facts):
    """One condition on one attribute. A missing attribute does not match, whatever the operator."""

    field: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    op: Literal["in", "not_in", "between", "gte", "lte"]
    labels: Annotated[tuple[str, ...], Field(max_length=500)] = ()
    """Operands of `in` and `not_in`."""
    numbers: Annotated[tuple[Decimal, ...], Field(max_length=2)] = ()
    """Operands of `between` (two, both ends included), `gte` and `lte` (one)."""

    @model_validator(mode="after")
    def _operands_fit(self) -> "Condition":
        wanted = _OPERANDS.get(self.op, 0)
        if len(self.numbers) != wanted or bool(self.labels) == bool(wanted):
            raise ValueError(f"{self.op} takes {f'{wanted} numbers' if wanted else 'labels'} and nothing else")
        if self.op == "between" and self.numbers[0] > self.numbers[1]:
            raise ValueError("between takes the lower number first")
        return self

    def matches(self, known: Attributes) -> bool:
        """True when the attribute is known and fulfils the condition."""
        if self.op in _OPERANDS:
            number = known.numbers.get(self.field)
            return number is not None and self._holds(number)
        label = known.labels.get(self.field)
        return label is not None and (label in self.labels) == (self.op == "in")

    def _holds(self, number: Decimal) -> bool:
        if self.op == "between":
            return self.numbers[0] <= number <= self.numbers[1]
        return number >= self.numbers[0] if self.op == "gte" else number <= self.numbers[0]


class Rate(Facts):
    """How likely a loan defaults within a year, and what share of it is lost then."""

    pd: Annotated[Decimal, Field(ge=0, lt=1, max_digits=12, decimal_places=10)]
    lgd: Annotated[Decimal, Field(ge=0, le=1, max_digits=12, decimal_places=10)]


class Class(Facts):
    """The risk class of a loan."""

    risk_class: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9+-]{0,7}$")]


T = TypeVar("T", bound=Facts)


class Row(Facts, Generic[T]):
    """When all conditions match, then this. `note` is for people."""

    when: Annotated[tuple[Condition, ...], Field(max_length=20)] = ()
    then: T
    note: Annotated[str, StringConstraints(max_length=500)] = ""


class Rows(Facts, Generic[T]):
    """A table's content: rows in order, the last without conditions."""

    rows: Annotated[tuple[Row[T], ...], Field(min_length=1, max_length=ROWS_MAX)]

    @model_validator(mode="after")
    def _last_row_is_the_default(self) -> "Rows[T]":
        if [number for number, row in enumerate(self.rows, 1) if not row.when] != [len(self.rows)]:
            raise ValueError("the last row, and no other, has no conditions: it is for all loans no other row is for")
        return self


class DecisionTable(Generic[T]):
    """One version of a table."""

    def __init__(self, version: str, rows: Sequence[Row[T]]) -> None:
        self.version: Final = version
        self._rows: Final = rows

    def decide(self, known: Attributes) -> T:
        """What the first matching row says."""
        return next(row.then for row in self._rows if all(condition.matches(known) for condition in row.when))


@dataclass(frozen=True, slots=True)
class StoredTable:
    """One version of a table as it is kept: `rows` is its content as JSON, `owner` a tenant or DEFAULT_TENANT."""

    owner: str
    kind: TableKind
    version: int
    rows: list[Any]

    @property
    def label(self) -> str:
        """The version's name wherever it decided something: `risk_classes-default-1`."""
        return f"{self.kind}-{'default' if self.owner == DEFAULT_TENANT else self.owner}-{self.version}"


KINDS: Final[dict[TableKind, Callable[[Any], Rows[Any]]]] = {
    "default_rates": Rows[Rate].model_validate,
    "risk_classes": Rows[Class].model_validate,
}
"""What a table of each kind holds; reading one refuses what does not fit, with pydantic's ValidationError."""
