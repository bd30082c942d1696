"""Transactions of the ledger: post one, dry or for good; post many; what was posted under an id; find them by filter."""

from dataclasses import asdict
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

import orjson
from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from pydantic import Field, StrictBool, WithJsonSchema

from bourse.aws.api import Api, problem_of
from bourse.aws.door import parameter
from bourse.aws.routes.ledger.actions import ACTION_EXAMPLE, ActionAnswer
from bourse.aws.routes.ledger.asking import Answer, Listed, NextCursor, PreviousCursor, QueryCursor, QueryDryRun, QueryLimit, Request, Tags, answers
from bourse.aws.routes.ledger.ports import LedgerPorts
from bourse.errors import Refused
from bourse.ledger import codes
from bourse.ledger.actions import Posted, Transaction
from bourse.ledger.bulk import post_all, post_each
from bourse.ledger.cursors import PAGE_MAX
from bourse.ledger.documents import TRANSACTION_SCHEMA, transaction_of
from bourse.ledger.signature_documents import SIGNATURES_SCHEMA, signatures_of, to_sign

BULK_MAX: Final = 1_000
_EXAMPLE: Final = {
    "txn_id": "deposit-22222",
    "effective_at": "2017-12-02T09:30:00Z",
    "actions": [
        {
            "type": "issue",
            "flavor_id": "usd",
            "amount": 100_000,
            "destination": "investor1",
            "action_tags": {"type": "deposit", "system": "wire", "wire_transaction_id": "22222"},
        }
    ],
}
POSTED_EXAMPLE: Final = {"txn_id": "deposit-22222", "sequence_number": 17, "recorded_at": "2017-12-02T09:30:04.120394Z", "before": False}
_HEAD: Final = {
    "txn_id": "deposit-22222",
    "sequence_number": 17,
    "kind": "transaction",
    "effective_at": "2017-12-02T09:30:00Z",
    "recorded_at": "2017-12-02T09:30:04.120394Z",
    "correlation_id": "d5b1e0",
    "tags": {},
    "reverses": [],
    "reversed_by": [],
}
_PROBLEM_EXAMPLE: Final = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "code": "INSUFFICIENT_FUNDS",
    "detail": "5001 are wanted and 5000 match",
    "field": "actions.0.amount",
}

_SCHEMA: Final = WithJsonSchema({**TRANSACTION_SCHEMA, "examples": [_EXAMPLE]})
_SIGNED: Final = {**TRANSACTION_SCHEMA, "properties": {**TRANSACTION_SCHEMA["properties"], "signatures": SIGNATURES_SCHEMA}, "examples": [_EXAMPLE]}
TransactionBody = Annotated[dict[str, Any], WithJsonSchema(_SIGNED)]
Transactions = Annotated[list[Annotated[Any, _SCHEMA]], Field(min_length=1, max_length=BULK_MAX)]
Signatures = Annotated[list[Any], WithJsonSchema(SIGNATURES_SCHEMA)]


class BulkBody(Request):
    """Transactions in their order. `atomic`: all are posted or none. `continue`: each as if it came alone, and each has its result."""

    mode: Literal["atomic", "continue"]
    transactions: Transactions
    signatures: Signatures = Field(default_factory=list)
    dry_run: Annotated[StrictBool, Field(description="Answer as the posting would, and leave nothing behind")] = False


class ToSignBody(Request):
    """Transactions in the order they are to be posted in."""

    transactions: Transactions


class ToSignAnswer(Answer):
    """What a key signs: the UTF-8 bytes of `message`. The digest in it is BLAKE2b with 32 bytes, in hexadecimal: of a transaction, that of its `document`,
    the canonical JSON of what was asked; of a batch, that of the transactions' digests one after the other."""

    scope: Literal["transaction", "batch"]
    digest: str
    message: str
    txn_id: str | None
    document: str | None


class ToSignAnswers(Answer):
    """One signature over the batch signs all of them in this order; one over a transaction signs it alone, whatever it is posted with."""

    batch: ToSignAnswer
    transactions: list[ToSignAnswer]


class PostedAnswer(Answer):
    """A transaction as it was posted. `before` says that an earlier call had posted it: nothing was done again."""

    txn_id: str
    sequence_number: int
    recorded_at: datetime
    before: bool


class BulkItem(Answer):
    """What became of a transaction: it was posted, or the problem is that a call of its own would have answered with."""

    status: int
    posted: PostedAnswer | None = None
    problem: dict[str, Any] | None = None


class BulkAnswer(Answer):
    """The results, in the order of the transactions."""

    results: list[BulkItem]


class TransactionAnswer(Answer):
    """A transaction: when it happened, when it was recorded, who asked for it, whom it reverses and who reversed it."""

    txn_id: str
    sequence_number: int
    kind: str
    effective_at: datetime
    recorded_at: datetime
    correlation_id: str
    tags: Tags
    reverses: list[str]
    reversed_by: list[str]


class TransactionWithActions(TransactionAnswer):
    """A transaction with a page of its actions, in their order."""

    actions: list[ActionAnswer]
    cursor: NextCursor


class TransactionPage(Answer):
    """Transactions, newest first. Their actions are in each transaction's own answer, and in the list of actions."""

    items: list[TransactionAnswer]
    cursor: NextCursor
    previous: PreviousCursor


def add_transaction_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of transactions."""
    _one(api, ports)
    _many(api, ports)
    _signing(api)


def _one(api: Api, ports: LedgerPorts) -> None:
    @api.app.post(
        "/v1/ledger/transactions",
        summary="Post a transaction: all of its actions, or none; once per id, for ever",
        tags=["ledger transactions"],
        responses=answers(PostedAnswer, POSTED_EXAMPLE, refused=codes.POSTING, conflicts=("TRANSACTION_DIFFERS",)),
    )
    def post(
        body: Annotated[TransactionBody, Body()],
        dry_run: QueryDryRun = False,
    ) -> PostedAnswer:
        tenant_id, at = api.caller().tenant_id, ports.clock().now()
        asked = transaction_of({name: one for name, one in body.items() if name != "signatures"}, api.request_id())
        signatures = signatures_of(body.get("signatures", []))
        [posted] = ports.books().post(tenant_id, [asked], at, signatures=signatures, dry_run=dry_run)
        return PostedAnswer.model_validate(posted)

    @api.app.get(
        "/v1/ledger/transactions/<txn_id>",
        summary="What was posted under an id, with its actions",
        tags=["ledger transactions"],
        responses=answers(
            TransactionWithActions, _HEAD | {"actions": [ACTION_EXAMPLE], "cursor": None}, missing=("TRANSACTION_UNKNOWN",), refused=codes.PAGING
        ),
    )
    def found(
        txn_id: Annotated[str, Path(examples=["deposit-22222"])],
        cursor: QueryCursor = None,
        limit: QueryLimit = PAGE_MAX,
    ) -> TransactionWithActions:
        posted, more = ports.records().transaction(api.caller().tenant_id, parameter(txn_id), cursor=cursor, limit=limit)
        shown = [ActionAnswer.model_validate(one) for one in posted.actions]
        return TransactionWithActions(**dict(TransactionAnswer.model_validate(posted)), actions=shown, cursor=more)


def _many(api: Api, ports: LedgerPorts) -> None:
    @api.app.post(
        "/v1/ledger/transactions/bulk",
        summary="Post many transactions: all or none, or each by itself with its own result",
        tags=["ledger transactions"],
        responses=answers(
            BulkAnswer,
            {"results": [{"status": 200, "posted": POSTED_EXAMPLE, "problem": None}, {"status": 422, "posted": None, "problem": _PROBLEM_EXAMPLE}]},
            refused=codes.POSTING,
            conflicts=("TRANSACTION_DIFFERS",),
        ),
    )
    def bulk(body: Annotated[BulkBody, Body(examples=[{"mode": "continue", "transactions": [_EXAMPLE]}])]) -> BulkAnswer:
        tenant_id, at, books = api.caller().tenant_id, ports.clock().now(), ports.books()
        signatures = signatures_of(body.signatures)
        if body.mode == "atomic":
            asked = [_read(number, one, api.request_id()) for number, one in enumerate(body.transactions)]
            done = post_all(tenant_id, asked, at, books=books, signatures=signatures, dry_run=body.dry_run)
            return BulkAnswer(results=[_item(one) for one in done])
        each = [_tried(one, api.request_id()) for one in body.transactions]
        found = post_each(tenant_id, each, at, books=books, signatures=signatures, dry_run=body.dry_run)
        return BulkAnswer(results=[_item(one) for one in found])

    @api.app.post(
        "/v1/ledger/transactions/list",
        summary="Transactions that match a filter, newest first",
        tags=["ledger transactions"],
        responses=answers(TransactionPage, {"items": [_HEAD], "cursor": None, "previous": None}, refused=(*codes.ASKING, *codes.PAGING)),
    )
    def listed(body: Annotated[Listed, Body(examples=[{"filter": "actions(tags.type = $1)", "params": ["deposit"], "limit": 50}])]) -> TransactionPage:
        page = ports.books().transactions(api.caller().tenant_id, body.question(), cursor=body.cursor, limit=body.limit)
        return TransactionPage.model_validate(page)


def _signing(api: Api) -> None:
    @api.app.post(
        "/v1/ledger/transactions/to-sign",
        summary="What a key signs of transactions before they are posted; nothing is looked up or kept",
        tags=["ledger keys"],
        responses=answers(ToSignAnswers, _to_sign_example(), refused=codes.READING, conflicts=("TRANSACTION_DIFFERS",)),
    )
    def told(body: Annotated[ToSignBody, Body(examples=[{"transactions": [_EXAMPLE]}])]) -> ToSignAnswers:
        asked = [_read(number, one, api.request_id()) for number, one in enumerate(body.transactions)]
        batch, each = to_sign(api.caller().tenant_id, asked)
        return ToSignAnswers(batch=ToSignAnswer.model_validate(batch), transactions=[ToSignAnswer.model_validate(one) for one in each])


def _to_sign_example() -> dict[str, Any]:
    batch, each = to_sign("acme", [transaction_of(_EXAMPLE)])
    return {"batch": asdict(batch), "transactions": [asdict(one) for one in each]}


def _read(number: int, document: Any, correlation_id: str) -> Transaction:
    """Raises Refused with the place in all of the transactions."""
    try:
        return transaction_of(document, correlation_id)
    except Refused as refused:
        raise Refused(refused.code, refused.detail, f"transactions.{number}" + (f".{refused.field}" if refused.field else "")) from None


def _tried(document: Any, correlation_id: str) -> Transaction | Refused:
    try:
        return transaction_of(document, correlation_id)
    except Refused as refused:
        return refused


def _item(done: Posted | Refused) -> BulkItem:
    if isinstance(done, Posted):
        return BulkItem(status=HTTPStatus.OK, posted=PostedAnswer.model_validate(done))
    problem = problem_of(done)
    return BulkItem(status=problem.status_code, problem=orjson.loads(problem.body or ""))
