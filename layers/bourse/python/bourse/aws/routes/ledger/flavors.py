"""Flavors of the ledger: open, read, find by filter, tag anew."""

from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from pydantic import Field, StrictStr

from bourse.aws.api import Api
from bourse.aws.door import parameter
from bourse.aws.routes.ledger.asking import Answer, KeyIds, Listed, NextCursor, PreviousCursor, Quorum, Request, Tags, answers
from bourse.aws.routes.ledger.ports import LedgerPorts
from bourse.ledger import codes
from bourse.ledger.actions import Flavor
from bourse.ledger.documents import tags_of

_EXAMPLE: Final[dict[str, Any]] = {"flavor_id": "loan1", "tags": {"type": "loan", "loan_id": "1", "borrower_id": "alice"}}

_SHOWN: Final = _EXAMPLE | {"key_ids": [], "quorum": None}


class FlavorBody(Request):
    """A kind of token: a currency, or the claims on one loan."""

    flavor_id: Annotated[StrictStr, Field(examples=["loan1"])]
    tags: Tags = Field(default_factory=dict)
    key_ids: KeyIds = Field(default_factory=list)
    quorum: Quorum = None


class FlavorChange(Request):
    """New tags in place of all it has."""

    tags: Tags


class FlavorAnswer(Answer):
    """A kind of token. `quorum` of its keys sign what makes tokens of it, all of them where it is null; none where it names none."""

    flavor_id: str
    tags: Tags
    key_ids: list[str]
    quorum: int | None


class FlavorPage(Answer):
    """Flavors, by their names."""

    items: list[FlavorAnswer]
    cursor: NextCursor
    previous: PreviousCursor


def add_flavor_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of flavors."""
    _reading(api, ports)
    _changing(api, ports)


def _reading(api: Api, ports: LedgerPorts) -> None:
    @api.app.get(
        "/v1/ledger/flavors/<flavor_id>",
        summary="A flavor",
        tags=["ledger flavors"],
        responses=answers(FlavorAnswer, _SHOWN, missing=("FLAVOR_UNKNOWN",)),
    )
    def found(flavor_id: Annotated[str, Path(examples=["loan1"])]) -> FlavorAnswer:
        return FlavorAnswer.model_validate(ports.flavor(api.caller().tenant_id, parameter(flavor_id)))

    @api.app.post(
        "/v1/ledger/flavors/list",
        summary="Flavors that match a filter, by their names",
        tags=["ledger flavors"],
        responses=answers(FlavorPage, {"items": [_SHOWN], "cursor": None, "previous": None}, refused=(*codes.ASKING, *codes.PAGING)),
    )
    def listed(body: Annotated[Listed, Body(examples=[{"filter": "tags.borrower_id = $1", "params": ["alice"]}])]) -> FlavorPage:
        page = ports.books().flavors(api.caller().tenant_id, body.question(), cursor=body.cursor, limit=body.limit)
        return FlavorPage.model_validate(page)


def _changing(api: Api, ports: LedgerPorts) -> None:
    @api.app.post(
        "/v1/ledger/flavors",
        summary="Open a flavor; the same again changes nothing",
        tags=["ledger flavors"],
        responses=answers(FlavorAnswer, _SHOWN, refused=("NAME_INVALID", "TAGS_INVALID", *codes.NAMING_KEYS), conflicts=("FLAVOR_DIFFERS",)),
    )
    def opened(body: Annotated[FlavorBody, Body(examples=[_EXAMPLE])]) -> FlavorAnswer:
        tenant_id = api.caller().tenant_id
        ports.books().open_flavor(tenant_id, Flavor(body.flavor_id, tags_of(body.tags, "tags"), tuple(body.key_ids), body.quorum))
        return FlavorAnswer.model_validate(ports.flavor(tenant_id, body.flavor_id))

    @api.app.patch(
        "/v1/ledger/flavors/<flavor_id>",
        summary="Tag a flavor anew: snapshots keep what was",
        tags=["ledger flavors"],
        responses=answers(FlavorAnswer, _SHOWN, missing=("FLAVOR_UNKNOWN",), refused=("TAGS_INVALID",)),
    )
    def changed(
        flavor_id: Annotated[str, Path(examples=["loan1"])], body: Annotated[FlavorChange, Body(examples=[{"tags": {"type": "loan"}}])]
    ) -> FlavorAnswer:
        tenant_id, named = api.caller().tenant_id, parameter(flavor_id)
        ports.flavor(tenant_id, named)
        ports.books().tag_flavor(tenant_id, named, tags_of(body.tags, "tags"))
        return FlavorAnswer.model_validate(ports.flavor(tenant_id, named))
