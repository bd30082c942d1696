"""Templates of transactions: saved by version, read, and run: dry or for good, or only shown as the transaction they make."""

from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from pydantic import Field, StrictInt, StrictStr

from bourse.aws.api import Api, Whole
from bourse.aws.routes.ledger.asking import Answer, NextCursor, QueryCursor, QueryDryRun, QueryLimit, Request, answers
from bourse.aws.routes.ledger.ports import LedgerPorts, named
from bourse.aws.routes.ledger.transactions import POSTED_EXAMPLE, PostedAnswer, Signatures
from bourse.ledger import codes
from bourse.ledger.documents import transaction_of
from bourse.ledger.signature_documents import signatures_of
from bourse.ledger.templates import ID_TAG, VERSION_TAG, Template, rendered

_ID: Final = "deposit"
_TEMPLATE: Final[dict[str, Any]] = {
    "template_id": _ID,
    "version": 1,
    "parameters": {"investor": "account", "amount": "amount", "wire": "text"},
    "document": {
        "actions": [
            {
                "type": "issue",
                "flavor_id": "usd",
                "amount": {"$": "amount"},
                "destination": {"$": "investor"},
                "action_tags": {"type": "deposit", "system": "wire", "wire_transaction_id": {"$": "wire"}},
            }
        ]
    },
}
_RUN: Final[dict[str, Any]] = {
    "template_id": _ID,
    "version": 1,
    "txn_id": "deposit-22222",
    "effective_at": "2017-12-02T09:30:00Z",
    "values": {"investor": "investor1", "amount": 100_000, "wire": "22222"},
}
_REFUSED: Final = ("PARAMETER_UNKNOWN", "PARAMETER_MISSING", "PARAMETER_INVALID")


class TemplateBody(Request):
    """A version of a template: 1, or the one after the newest. `{"$": "name"}` in the document stands for a parameter, which replaces a whole value."""

    template_id: StrictStr
    version: StrictInt
    parameters: Annotated[dict[str, Any], Field(description="amount, account, flavor, time, text or tags, by name")] = Field(default_factory=dict)
    document: Annotated[dict[str, Any], Field(description="A transaction without `txn_id` and `effective_at`")]


class RenderBody(Request):
    """A version of a template with a value for each of its parameters."""

    template_id: StrictStr
    version: StrictInt
    txn_id: StrictStr
    effective_at: StrictStr
    values: dict[str, Any] = Field(default_factory=dict)


class RunBody(RenderBody):
    """What to run, with the signatures of the transaction that it makes."""

    signatures: Signatures = Field(default_factory=list)


class TemplateAnswer(Answer):
    """A version of a template. Versions are 1, 2, 3 …, and stay for ever."""

    template_id: str
    version: int
    parameters: dict[str, str]
    document: dict[str, Any]


class TemplatePage(Answer):
    """The newest version of each template, by their ids."""

    items: list[TemplateAnswer]
    cursor: NextCursor


class RenderedAnswer(Answer):
    """The transaction that a template makes of values: what could be posted just so."""

    transaction: dict[str, Any]


class RunAnswer(RenderedAnswer):
    """The transaction, and how it was posted."""

    posted: PostedAnswer


def add_template_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of templates."""
    _keeping(api, ports)
    _running(api, ports)


def _keeping(api: Api, ports: LedgerPorts) -> None:
    @api.app.post(
        "/v1/ledger/templates",
        summary="Save a version of a template; the same again changes nothing",
        tags=["ledger templates"],
        responses=answers(
            TemplateAnswer, _TEMPLATE, refused=("TEMPLATE_INVALID", "VERSION_INVALID", "PARAMETER_UNKNOWN", *codes.READING), conflicts=("TEMPLATE_DIFFERS",)
        ),
    )
    def saved(body: Annotated[TemplateBody, Body(examples=[_TEMPLATE])]) -> TemplateAnswer:
        one = Template(body.template_id, body.version, body.parameters, body.document)
        ports.templates().save(api.caller().tenant_id, one)
        return TemplateAnswer.model_validate(one)

    @api.app.get(
        "/v1/ledger/templates",
        summary="The newest version of each template, by their ids",
        tags=["ledger templates"],
        responses=answers(TemplatePage, {"items": [_TEMPLATE], "cursor": None}, refused=codes.PAGING),
    )
    def listed(cursor: QueryCursor = None, limit: QueryLimit = 100) -> TemplatePage:
        found, more = ports.templates().templates(api.caller().tenant_id, cursor=cursor, limit=limit)
        return TemplatePage(items=[TemplateAnswer.model_validate(one) for one in found], cursor=more)

    @api.app.get(
        "/v1/ledger/templates/<template_id>",
        summary="A version of a template, the newest if none is named",
        tags=["ledger templates"],
        responses=answers(TemplateAnswer, _TEMPLATE, missing=("TEMPLATE_UNKNOWN",)),
    )
    def found(template_id: Annotated[str, Path(examples=[_ID])], version: Annotated[Whole | None, Query()] = None) -> TemplateAnswer:
        return TemplateAnswer.model_validate(ports.templates().template(api.caller().tenant_id, named(template_id), version))


def _running(api: Api, ports: LedgerPorts) -> None:
    @api.app.post(
        "/v1/ledger/templates/render",
        summary="The transaction that a template makes of values, to be looked at, signed or posted as any other",
        tags=["ledger templates"],
        responses=answers(RenderedAnswer, {"transaction": _made()}, missing=("TEMPLATE_UNKNOWN",), refused=(*_REFUSED, *codes.READING)),
    )
    def shown(body: Annotated[RenderBody, Body(examples=[_RUN])]) -> RenderedAnswer:
        document = _document(api, ports, body)
        transaction_of(document)
        return RenderedAnswer(transaction=document)

    @api.app.post(
        "/v1/ledger/templates/run",
        summary="Post the transaction that a template makes of values; once per txn_id, for ever",
        tags=["ledger templates"],
        responses=answers(
            RunAnswer,
            {"transaction": _made(), "posted": POSTED_EXAMPLE},
            missing=("TEMPLATE_UNKNOWN",),
            refused=(*_REFUSED, *codes.POSTING),
            conflicts=("TRANSACTION_DIFFERS",),
        ),
    )
    def run(
        body: Annotated[RunBody, Body(examples=[_RUN])],
        dry_run: QueryDryRun = False,
    ) -> RunAnswer:
        document, signatures = _document(api, ports, body), signatures_of(body.signatures)
        asked = [transaction_of(document, api.request_id())]
        [posted] = ports.books().post(api.caller().tenant_id, asked, ports.clock().now(), signatures=signatures, dry_run=dry_run)
        return RunAnswer(transaction=document, posted=PostedAnswer.model_validate(posted))


def _document(api: Api, ports: LedgerPorts, body: RenderBody) -> dict[str, Any]:
    template = ports.templates().template(api.caller().tenant_id, named(body.template_id), body.version)
    return rendered(template, body.txn_id, body.effective_at, body.values)


def _made() -> dict[str, Any]:
    template = Template(_ID, 1, _TEMPLATE["parameters"], _TEMPLATE["document"])
    made = rendered(template, _RUN["txn_id"], _RUN["effective_at"], _RUN["values"])
    assert made["tags"] == {ID_TAG: _ID, VERSION_TAG: 1}, "a posting says what it was made from"
    return made
