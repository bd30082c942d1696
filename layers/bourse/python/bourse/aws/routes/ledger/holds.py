"""Holds: what one reserved, and what became of it. They are made, posted and released by actions."""

from typing import Annotated, Final

from aws_lambda_powertools.event_handler.openapi.params import Path

from bourse.aws.api import Api
from bourse.aws.door import parameter
from bourse.aws.routes.ledger.asking import answers
from bourse.aws.routes.ledger.ports import LedgerPorts
from bourse.ledger.records import HoldState

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


def add_hold_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of holds."""

    @api.app.get(
        "/v1/ledger/holds/<hold_id>",
        summary="A hold, and what became of what it reserved",
        tags=["ledger holds"],
        responses=answers(HoldState, _EXAMPLE, missing=("HOLD_UNKNOWN",)),
    )
    def found(hold_id: Annotated[str, Path(examples=["order-77"])]) -> HoldState:
        return ports.records().hold(api.caller().tenant_id, parameter(hold_id), ports.clock().now())
