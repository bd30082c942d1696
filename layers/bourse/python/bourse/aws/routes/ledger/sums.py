"""Materialised sums: a question about tokens that is declared under a name, and whose answer is looked up from then on."""

from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler.openapi.params import Body, Path

from bourse.aws.api import Api
from bourse.aws.routes.ledger.asking import Answer, Dropped, Grouped, SumAnswer, answers
from bourse.aws.routes.ledger.ports import LedgerPorts, named, or_not_found
from bourse.ledger import codes
from bourse.ledger.books import DeclaredSum

_ASKED: Final[dict[str, Any]] = {
    "filter": "account_tags.type = $1 AND flavor_tags.type = $2",
    "params": ["investor", "currency"],
    "group_by": ["account_id", "flavor_id"],
}
_DECLARED: Final = {"name": "cash", **_ASKED}
SumName = Annotated[str, Path(examples=["cash"])]


class DeclaredAnswer(Answer):
    """A declared sum."""

    name: str
    filter: str
    params: list[Any]
    group_by: list[str]


def add_sum_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of materialised sums."""
    _declaring(api, ports)
    _reading(api, ports)


def _declaring(api: Api, ports: LedgerPorts) -> None:
    @api.app.put(
        "/v1/ledger/sums/<name>",
        summary="Declare a sum of tokens, kept with every posting from now on; the same again changes nothing",
        description="It has no say in the amount: what is in it must not change with what an account holds.",
        tags=["ledger sums"],
        responses=answers(DeclaredAnswer, _DECLARED, refused=("NAME_INVALID", *codes.ASKING, "GROUP_BY_INVALID", "SUM_INVALID"), conflicts=("SUM_DIFFERS",)),
    )
    def declared(name: SumName, body: Annotated[Grouped, Body(examples=[_ASKED])]) -> DeclaredAnswer:
        asked = body.question()
        one = DeclaredSum(named(name), asked.filter, asked.params, asked.group_by)
        ports.books().declare_sum(api.caller().tenant_id, one)
        return DeclaredAnswer.model_validate(one)

    @api.app.delete(
        "/v1/ledger/sums/<name>",
        summary="Drop a sum; one that is not there stays so",
        tags=["ledger sums"],
        responses=answers(Dropped, {"dropped": "cash"}),
    )
    def dropped(name: SumName) -> Dropped:
        ports.books().drop_sum(api.caller().tenant_id, named(name))
        return Dropped(dropped=named(name))


def _reading(api: Api, ports: LedgerPorts) -> None:
    @api.app.get("/v1/ledger/sums", summary="All declared sums, by their names", tags=["ledger sums"], responses=answers(list[DeclaredAnswer], [_DECLARED]))
    def listed() -> list[DeclaredAnswer]:
        return [DeclaredAnswer.model_validate(one) for one in ports.books().declared_sums(api.caller().tenant_id)]

    @api.app.get(
        "/v1/ledger/sums/<name>",
        summary="What a declared sum is now: what summing the tokens by its question would answer",
        tags=["ledger sums"],
        responses=answers(list[SumAnswer], [{"group": {"account_id": "investor1", "flavor_id": "usd"}, "amount": 93_529}], missing=("SUM_UNKNOWN",)),
    )
    def read(name: SumName) -> list[SumAnswer]:
        with or_not_found("SUM_UNKNOWN"):
            return [SumAnswer.model_validate(one) for one in ports.books().read_sum(api.caller().tenant_id, named(name))]
