"""Actions that were posted: find them by filter, newest first, and sum them by group."""

from datetime import datetime
from typing import Annotated, Final

from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import Field

from bourse.aws.api import Api
from bourse.aws.routes.ledger.asking import Answer, Listed, NextCursor, PreviousCursor, Summed, SummedAnswer, Tags, answers
from bourse.aws.routes.ledger.ports import LedgerPorts
from bourse.ledger import codes

ACTION_EXAMPLE: Final = {
    "txn_id": "deposit-22222",
    "sequence_number": 17,
    "action_no": 0,
    "type": "issue",
    "flavor_id": "usd",
    "amount": 100_000,
    "source": "world",
    "destination": "investor1",
    "source_tags": {},
    "token_tags": {},
    "action_tags": {"type": "deposit"},
    "effective_at": "2017-12-02T09:30:00Z",
    "recorded_at": "2017-12-02T09:30:04.120394Z",
}


class ActionAnswer(Answer):
    """Tokens that went from an account to another. An action that spent tokens of several lots is shown once for each, with the same `action_no`."""

    txn_id: str
    sequence_number: int
    action_no: int
    type: Annotated[str, Field(examples=["issue", "transfer", "retire"])]
    flavor_id: str
    amount: int
    source: str
    destination: str
    source_tags: Tags
    token_tags: Tags
    action_tags: Tags
    effective_at: datetime
    recorded_at: datetime


class ActionPage(Answer):
    """Actions, newest first."""

    items: list[ActionAnswer]
    cursor: NextCursor
    previous: PreviousCursor


def add_action_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of actions."""

    @api.app.post(
        "/v1/ledger/actions/list",
        summary="Actions that match a filter, newest first",
        tags=["ledger actions"],
        responses=answers(ActionPage, {"items": [ACTION_EXAMPLE], "cursor": None, "previous": None}, refused=(*codes.ASKING, *codes.PAGING)),
    )
    def listed(body: Annotated[Listed, Body(examples=[{"filter": "destination_account_id = $1", "params": ["investor1"]}])]) -> ActionPage:
        return ActionPage.model_validate(ports.books().actions(api.caller().tenant_id, body.question(), cursor=body.cursor, limit=body.limit))

    @api.app.post(
        "/v1/ledger/actions/sum",
        summary="What the actions that match a filter add up to, in all or by group",
        tags=["ledger actions"],
        responses=answers(
            list[SummedAnswer],
            [{"group": {"month(timestamp)": "2018-02"}, "amount": 110, "count": 1, "min": 110, "max": 110}],
            refused=(*codes.ASKING, *codes.SUMMING),
        ),
    )
    def summed(body: Annotated[Summed, Body(examples=[_FEES])]) -> list[SummedAnswer]:
        return [SummedAnswer.model_validate(one) for one in ports.books().sum_actions(api.caller().tenant_id, body.question())]


_FEES: Final = {
    "filter": "tags.type = $1 AND timestamp >= $2 AND timestamp < $3",
    "params": ["company_fee", "2018-02-01T00:00:00Z", "2018-03-01T00:00:00Z"],
    "group_by": ["month(timestamp)"],
}
