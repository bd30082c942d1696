"""Explain an amount: where an account's tokens came from, action by action, back to where they were issued."""

from typing import Annotated, Final, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import Field, StrictInt, StrictStr

from bourse.aws.api import Api
from bourse.aws.routes.ledger.actions import ACTION_EXAMPLE, ActionAnswer
from bourse.aws.routes.ledger.asking import Answer, Filtered, Request, Tags, answers
from bourse.aws.routes.ledger.ports import LedgerPorts
from bourse.aws.routes.ledger.tokens import TokenAnswer
from bourse.errors import Refused
from bourse.ledger import codes
from bourse.ledger.check import check_name
from bourse.ledger.documents import tags_of
from bourse.ledger.explain import LIMITS, Limits

_DESCRIPTION: Final = (
    "First in, first out: what left an account's tokens of one flavor and the same tags is what had come first, by effective time. Each source has the action "
    "the units came by and where they had been before, so its own `sources` add up to its `amount`; or `end` says why nothing is told of that: `issued` by "
    "the action, made by a `contra` account, given on `credit`; or a limit was reached (`depth`, `steps`, `moves`), which `cut` adds up. `left_out` is what "
    "matches and lies in more lots than were asked for."
)
Steps = Annotated[StrictInt, Field(ge=1, le=5_000, description="Actions that are told, of all lots")]


class LotBody(Request):
    """One lot: the tokens of an account with exactly these tags."""

    account_id: StrictStr
    flavor_id: StrictStr
    tags: Tags = Field(default_factory=dict)


class ExplainAsked(Filtered):
    """Tokens by a filter, or one lot; and how far to look."""

    lot: LotBody | None = None
    depth: Annotated[StrictInt, Field(ge=1, le=64, description="Actions behind each other that are followed")] = LIMITS.depth
    steps: Steps = LIMITS.steps
    lots: Annotated[StrictInt, Field(ge=1, le=100, description="Lots that are explained")] = LIMITS.lots


class SourceAnswer(Answer):
    """Units of an explained amount, and the action they came by; null where what is left is not told by action."""

    amount: int
    action: ActionAnswer | None
    end: Literal["issued", "contra", "credit", "depth", "steps", "moves"] | None
    sources: "list[SourceAnswer]"


class ExplainedAnswer(Answer):
    """A lot and its sources, newest first; they add up to its amount."""

    token: TokenAnswer
    sources: list[SourceAnswer]


class ExplanationAnswer(Answer):
    """Lots explained; what of them is cut at a limit; and what is left out."""

    lots: list[ExplainedAnswer]
    left_out: int
    cut: int


_EXAMPLE: Final = {
    "lots": [
        {
            "token": {"account_id": "investor1", "flavor_id": "usd", "tags": {}, "amount": 100_000, "held": 0},
            "sources": [{"amount": 100_000, "action": ACTION_EXAMPLE, "end": "issued", "sources": []}],
        }
    ],
    "left_out": 0,
    "cut": 0,
}


def add_explain_routes(api: Api, ports: LedgerPorts) -> None:
    """The route that explains tokens."""

    @api.app.post(
        "/v1/ledger/tokens/explain",
        summary="Where tokens came from: the actions that made an amount, back to where it was issued",
        description=_DESCRIPTION,
        tags=["ledger tokens"],
        responses=answers(ExplanationAnswer, _EXAMPLE, refused=(*codes.ASKING, "NAME_INVALID", "TAGS_INVALID", "FIELD_INVALID")),
    )
    def explained(body: Annotated[ExplainAsked, Body(examples=[_ASKED])]) -> ExplanationAnswer:
        tenant_id, limits, lot = api.caller().tenant_id, Limits(body.depth, body.steps, lots=body.lots), body.lot
        if lot is None:
            return ExplanationAnswer.model_validate(ports.explains().explain(tenant_id, body.question(), limits))
        if body.filter or body.params:
            raise Refused("FIELD_INVALID", "either a lot is explained or what a filter asks for", "lot")
        check_name(lot.account_id, "lot.account_id")
        check_name(lot.flavor_id, "lot.flavor_id")
        found = ports.explains().explain_lot(tenant_id, lot.account_id, lot.flavor_id, tags_of(lot.tags, "lot.tags"), limits)
        return ExplanationAnswer.model_validate(found)


_ASKED: Final = {"filter": "account_id = $1 AND flavor_id = $2", "params": ["investor1", "usd"]}
