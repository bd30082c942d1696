"""What is the same for every noun of the ledger's API: how it is asked for, in pages, as of two times; and how its answers are described."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from bourse.aws.api import Whole
from bourse.aws.problems import INVALID, UNAVAILABLE, problems
from bourse.ledger import codes
from bourse.ledger.books import AsOf, Question
from bourse.ledger.cursors import CURSOR_MAX, PAGE_MAX
from bourse.ledger.documents import PARAMS_MAX, instant
from bourse.ledger.filters import Having
from bourse.ledger.filters.groups import BOUNDS, GROUPS_MAX, HAVING_MAX, MEASURES
from bourse.ledger.filters.parse import LENGTH_MAX
from bourse.ledger.keys import KEYS_MAX

Tags = Annotated[dict[str, Any], Field(description="A JSON object of texts, whole numbers, truths, objects and lists of them", examples=[{"type": "investor"}])]
Limit = Annotated[StrictInt, Field(ge=1, le=PAGE_MAX, description="Items of a page")]
Cursor = Annotated[StrictStr | None, Field(max_length=CURSOR_MAX, description="Of the page before or after, for the same question")]
Time = Annotated[StrictStr | None, Field(examples=["2018-02-01T00:00:00Z"], description="RFC 3339 with its offset; now, if it is not given")]
KeyIds = Annotated[
    list[StrictStr],
    Field(max_length=KEYS_MAX, examples=[["treasurer", "auditor"]], description="Registered keys that sign what leaves it, and stay its keys for ever"),
]
Quorum = Annotated[StrictInt | None, Field(description="How many of its keys must sign; null: all of them")]
QueryCursor = Annotated[str | None, Query(max_length=CURSOR_MAX)]
QueryLimit = Annotated[Whole, Query(ge=1, le=PAGE_MAX)]
QueryDryRun = Annotated[bool, Query(description="Answer as the posting would, and leave nothing behind")]
NextCursor = Annotated[str | None, Field(description="For the next page; null on the last")]
PreviousCursor = Annotated[str | None, Field(description="For the page before; null on the first")]


class Request(BaseModel):
    """A body: nothing is coerced, and no field is unknown."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    """Read from the noun it shows."""

    model_config = ConfigDict(from_attributes=True)


class Filtered(Request):
    """Which of them: a filter and its parameters. The empty filter asks for all."""

    filter: Annotated[str, Field(max_length=LENGTH_MAX, examples=["flavor_id = $1 AND tags.installment = $2"])] = ""
    params: Annotated[list[StrictStr | StrictInt | StrictBool], Field(max_length=PARAMS_MAX, examples=[["loan1", 1]])] = []

    def question(self) -> Question:
        """What the ledger is asked."""
        return Question(self.filter, tuple(self.params))


class Listed(Filtered):
    """A page of those a filter asks for. Another page has the same filter and parameters, and a cursor; all of them show what the first one's moment
    showed, whatever is posted meanwhile."""

    cursor: Cursor = None
    limit: Limit = 100


class Bound(Request):
    """What a group's amount, count, least or greatest must be."""

    of: Annotated[StrictStr, Field(examples=[*MEASURES])]
    op: Annotated[StrictStr, Field(examples=[*BOUNDS])]
    value: StrictInt


class Grouped(Filtered):
    """The sum of those a filter asks for, or a sum for each group."""

    group_by: Annotated[
        list[StrictStr],
        Field(max_length=GROUPS_MAX, examples=[["account_id", "month(timestamp)"]], description="Paths; day(…), week(…), month(…) or year(…) of one, in UTC"),
    ] = []

    def question(self) -> Question:
        """What the ledger is asked."""
        return Question(self.filter, tuple(self.params), tuple(self.group_by))


class Summed(Grouped):
    """Sums of those a filter asks for, of the groups within bounds."""

    having: Annotated[list[Bound], Field(max_length=HAVING_MAX, description="Only groups within all of these bounds")] = []

    def question(self) -> Question:
        """What the ledger is asked."""
        return replace(super().question(), having=tuple([Having(one.of, one.op, one.value) for one in self.having]))


class TwoTimes(Request):
    """What had happened by `effective_at`, as far as it was known by `known_at`."""

    effective_at: Time = None
    known_at: Time = None

    def as_of(self) -> AsOf:
        """Raises Refused TIME_INVALID."""
        return as_of(self.effective_at, self.known_at)


class Dropped(Answer):
    """What is no longer there, or never was."""

    dropped: str


class SumAnswer(Answer):
    """An amount, and the group it is the sum of: path -> value, null where the path is missing."""

    group: Annotated[dict[str, Any], Field(examples=[{"flavor_id": "loan1"}])]
    amount: int


class SummedAnswer(SumAnswer):
    """How many lots or actions it is the sum of, too, the least and the greatest of them; null of nothing."""

    count: int
    min: int | None
    max: int | None


def as_of(effective_at: str | None, known_at: str | None) -> AsOf:
    """Raises Refused TIME_INVALID."""
    return AsOf(
        None if effective_at is None else instant(effective_at, "effective_at"),
        None if known_at is None else instant(known_at, "known_at"),
    )


_OWN: Final = {"INVALID": INVALID, "UNAVAILABLE": UNAVAILABLE}


def answers(
    model: Any,
    example: Any,
    *,
    missing: Sequence[str] = (),
    refused: Sequence[str] = (),
    conflicts: Sequence[str] = (),
    media: Mapping[str, Any] | None = None,
) -> dict[int, Any]:
    """How a route's answers are described: what it says, and the problem documents of its codes by status."""
    found: dict[int, Any] = {
        200: {"description": "Done", "content": {"application/json": {"model": model, "examples": {"example": {"value": example}}}, **(media or {})}},
        HTTPStatus.UNPROCESSABLE_ENTITY: _problems(HTTPStatus.UNPROCESSABLE_ENTITY, ("INVALID", *refused)),
        HTTPStatus.SERVICE_UNAVAILABLE: _problems(HTTPStatus.SERVICE_UNAVAILABLE, ("UNAVAILABLE",)),
    }
    if missing:
        found[HTTPStatus.NOT_FOUND] = _problems(HTTPStatus.NOT_FOUND, missing)
    if conflicts:
        found[HTTPStatus.CONFLICT] = _problems(HTTPStatus.CONFLICT, conflicts)
    return {int(status): found[status] for status in sorted(found)}


def _problems(status: HTTPStatus, said: Sequence[str]) -> dict[str, Any]:
    return problems(status, {code: _OWN.get(code) or codes.CODES[code].sentence for code in dict.fromkeys(said)})
