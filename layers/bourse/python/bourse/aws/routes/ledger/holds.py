"""Holds: what one reserved, and what became of it. They are made, posted and released by actions."""

from datetime import datetime
from typing import Annotated, Final, Literal

from aws_lambda_powertools.event_handler.openapi.params import Path

from bourse.aws.api import Api
from bourse.aws.door import parameter
from bourse.aws.routes.ledger.asking import Answer, answers
from bourse.aws.routes.ledger.ports import LedgerPorts

_EXAMPLE: Final = {
    "hold_id": "order-77",
    "account_id": "investor1",
    "flavor_id": "usd",
    "state": "open",
    "expires_at": "2018-01-02T00:00:00Z",
    "reserved": 5_000,
    "posted": 2_000,
    "released": 0,
    "left": 3_000,
}


class HoldAnswer(Answer):
    """A hold: reserved = posted + released + left. What an expired one has left is given back when its account next spends."""

    hold_id: str
    account_id: str
    flavor_id: str
    state: Literal["open", "over", "expired"]
    expires_at: datetime | None
    reserved: int
    posted: int
    released: int
    left: int


def add_hold_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of holds."""

    @api.app.get(
        "/v1/ledger/holds/<hold_id>",
        summary="A hold, and what became of what it reserved",
        tags=["ledger holds"],
        responses=answers(HoldAnswer, _EXAMPLE, missing=("HOLD_UNKNOWN",)),
    )
    def found(hold_id: Annotated[str, Path(examples=["order-77"])]) -> HoldAnswer:
        return HoldAnswer.model_validate(ports.records().hold(api.caller().tenant_id, parameter(hold_id), ports.clock().now()))
