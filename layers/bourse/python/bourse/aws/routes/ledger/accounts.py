"""Accounts of the ledger: open, read, find by filter, tag anew, close."""

from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from pydantic import Field, StrictBool, StrictInt, StrictStr

from bourse.aws.api import Api
from bourse.aws.door import parameter
from bourse.aws.routes.ledger.asking import Answer, KeyIds, Listed, NextCursor, PreviousCursor, Quorum, Request, Tags, answers
from bourse.aws.routes.ledger.ports import LedgerPorts
from bourse.errors import Refused
from bourse.ledger import codes
from bourse.ledger.actions import Account
from bourse.ledger.documents import tags_of

_EXAMPLE: Final = {"account_id": "investor1", "tags": {"type": "investor"}, "floor": 0, "hot": False}
_SHOWN: Final = _EXAMPLE | {"closed": False, "key_ids": [], "quorum": None}
Floor = Annotated[StrictInt | None, Field(description="How low its untagged tokens of a flavor may stand; null: no bound, to issue tokens from")]


class AccountBody(Request):
    """A holder of tokens."""

    account_id: Annotated[StrictStr, Field(examples=["investor1"])]
    tags: Tags = Field(default_factory=dict)
    floor: Floor = 0
    hot: Annotated[StrictBool, Field(description="Written by many at once without waiting; needs the floor null")] = False
    key_ids: KeyIds = Field(default_factory=list)
    quorum: Quorum = None


class AccountChange(Request):
    """One of the two: new tags in place of all it has, or that it is closed."""

    tags: Tags | None = None
    closed: StrictBool | None = None


class AccountAnswer(Answer):
    """A holder of tokens. `quorum` of its keys sign what leaves it, all of them where it is null; none where it names none."""

    account_id: str
    tags: Tags
    floor: int | None
    hot: bool
    closed: bool
    key_ids: list[str]
    quorum: int | None


class AccountPage(Answer):
    """Accounts, by their names."""

    items: list[AccountAnswer]
    cursor: NextCursor
    previous: PreviousCursor


def add_account_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of accounts."""
    _reading(api, ports)
    _changing(api, ports)


def _reading(api: Api, ports: LedgerPorts) -> None:
    @api.app.get(
        "/v1/ledger/accounts/<account_id>",
        summary="An account",
        tags=["ledger accounts"],
        responses=answers(AccountAnswer, _SHOWN, missing=("ACCOUNT_UNKNOWN",)),
    )
    def found(account_id: Annotated[str, Path(examples=["investor1"])]) -> AccountAnswer:
        return AccountAnswer.model_validate(ports.account(api.caller().tenant_id, parameter(account_id)))

    @api.app.post(
        "/v1/ledger/accounts/list",
        summary="Accounts that match a filter, by their names",
        tags=["ledger accounts"],
        responses=answers(AccountPage, {"items": [_SHOWN], "cursor": None, "previous": None}, refused=(*codes.ASKING, *codes.PAGING)),
    )
    def listed(body: Annotated[Listed, Body(examples=[{"filter": "tags.type = $1", "params": ["investor"]}])]) -> AccountPage:
        page = ports.books().accounts(api.caller().tenant_id, body.question(), cursor=body.cursor, limit=body.limit)
        return AccountPage.model_validate(page)


def _changing(api: Api, ports: LedgerPorts) -> None:
    @api.app.post(
        "/v1/ledger/accounts",
        summary="Open an account; the same again changes nothing",
        tags=["ledger accounts"],
        responses=answers(AccountAnswer, _SHOWN, refused=("NAME_INVALID", "TAGS_INVALID", "FLOOR_INVALID", *codes.NAMING_KEYS), conflicts=("ACCOUNT_DIFFERS",)),
    )
    def opened(body: Annotated[AccountBody, Body(examples=[_EXAMPLE])]) -> AccountAnswer:
        tenant_id = api.caller().tenant_id
        tags = tags_of(body.tags, "tags")
        account = Account(body.account_id, tags, body.floor, body.hot, key_ids=tuple(body.key_ids), quorum=body.quorum)
        ports.books().open_account(tenant_id, account)
        return AccountAnswer.model_validate(ports.account(tenant_id, body.account_id))

    @api.app.patch(
        "/v1/ledger/accounts/<account_id>",
        summary="Tag an account anew, or close it",
        tags=["ledger accounts"],
        responses=answers(AccountAnswer, _SHOWN, missing=("ACCOUNT_UNKNOWN",), refused=("FIELD_INVALID", "FIELD_MISSING", "TAGS_INVALID", "ACCOUNT_NOT_EMPTY")),
    )
    def changed(
        account_id: Annotated[str, Path(examples=["investor1"])], body: Annotated[AccountChange, Body(examples=[{"tags": {"type": "former"}}])]
    ) -> AccountAnswer:
        tenant_id, named = api.caller().tenant_id, parameter(account_id)
        ports.account(tenant_id, named)
        _change(ports, tenant_id, named, body.tags, body.closed)
        return AccountAnswer.model_validate(ports.account(tenant_id, named))


def _change(ports: LedgerPorts, tenant_id: str, account_id: str, tags: dict[str, Any] | None, closed: bool | None) -> None:
    if (tags is None) == (closed is None):
        raise Refused("FIELD_MISSING", "a change is either tags or closed", "tags")
    if tags is not None:
        ports.books().tag_account(tenant_id, account_id, tags_of(tags, "tags"))
    elif not closed:
        raise Refused("FIELD_INVALID", "a closed account stays closed", "closed")
    else:
        ports.books().close_account(tenant_id, account_id)
