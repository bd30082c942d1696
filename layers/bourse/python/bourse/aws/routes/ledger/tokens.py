"""Tokens: who holds what, listed and summed, now or as of two times."""

from typing import Annotated, Final

from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import Field

from bourse.aws.api import Api
from bourse.aws.routes.ledger.asking import Answer, Listed, NextCursor, PreviousCursor, Summed, SummedAnswer, Tags, TwoTimes, answers
from bourse.aws.routes.ledger.ports import LedgerPorts
from bourse.ledger import codes

_TOKEN: Final = {"account_id": "investor1", "flavor_id": "loan1", "tags": {"installment": 1, "due_date": "2018-01-01T00:00:00Z"}, "amount": 3_666, "held": 0}
_REFUSED: Final = (*codes.ASKING, "TIME_INVALID")


class TokensAsked(Listed, TwoTimes):
    """A page of tokens, now or as of two times."""


class TokensSummed(Summed, TwoTimes):
    """Sums of tokens, now or as of two times."""


class TokenAnswer(Answer):
    """Tokens of an account with the same flavor and tags; `held` of them are held back."""

    account_id: str
    flavor_id: str
    tags: Tags
    amount: Annotated[int, Field(description="Whole units of the flavor, the held ones among them")]
    held: int


class TokenPage(Answer):
    """Tokens, by account, flavor and tags."""

    items: list[TokenAnswer]
    cursor: NextCursor
    previous: PreviousCursor


def add_token_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of tokens."""

    @api.app.post(
        "/v1/ledger/tokens/list",
        summary="Tokens that match a filter, by account, flavor and tags",
        tags=["ledger tokens"],
        responses=answers(TokenPage, {"items": [_TOKEN], "cursor": None, "previous": None}, refused=(*_REFUSED, *codes.PAGING)),
    )
    def listed(body: Annotated[TokensAsked, Body(examples=[{"filter": "account_id = $1", "params": ["investor1"]}])]) -> TokenPage:
        page = ports.books().tokens(api.caller().tenant_id, body.question(), body.as_of(), cursor=body.cursor, limit=body.limit)
        return TokenPage.model_validate(page)

    @api.app.post(
        "/v1/ledger/tokens/sum",
        summary="What the tokens that match a filter add up to, in all or by group",
        tags=["ledger tokens"],
        responses=answers(
            list[SummedAnswer],
            [{"group": {"flavor_id": "loan1", "tags.due_date": "2018-02-01T00:00:00Z"}, "amount": 11_000, "count": 3, "min": 1_000, "max": 7_334}],
            refused=(*_REFUSED, *codes.SUMMING),
        ),
    )
    def summed(body: Annotated[TokensSummed, Body(examples=[_OWED])]) -> list[SummedAnswer]:
        return [SummedAnswer.model_validate(one) for one in ports.books().sum_tokens(api.caller().tenant_id, body.question(), body.as_of())]


_OWED: Final = {"filter": "flavor_tags.borrower_id = $1", "params": ["alice"], "group_by": ["flavor_id", "tags.due_date"]}
