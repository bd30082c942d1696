"""What an originator can ask and do: upload slots, what became of each file, his loans through time, what he sold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query
from pydantic import BaseModel

from bourse.assets.asset_history import AssetHistory, asset_history
from bourse.assets.events import offer_id_of
from bourse.assets.issue_upload import UploadAsked, UploadTicket, cancel_upload, issue_upload
from bourse.assets.model import UploadRef, UploadState
from bourse.assets.upload_status import PAGE, RejectionPage, UploadStatus, recent_uploads, upload_rejections, upload_status
from bourse.assets.uploads import SEQ_MAX, UploadObjects, UploadStore
from bourse.assets.versions import VersionStore
from bourse.aws.api import Api, Whole
from bourse.aws.door import parameter
from bourse.clock import Clock
from bourse.errors import NotFound
from bourse.ledger.model import LoanBid, SoldLoan
from bourse.ledger.store import LedgerStore
from bourse.matching.offers import offer_view, why
from bourse.matching.store import OfferStore

WHOLES: Final = ("/v1/assets/",)
"""Paths that end in an id which may hold slashes."""


@dataclass(frozen=True)
class OriginatorPorts:
    """What the routes reach, each opened at first use."""

    uploads: Callable[[], UploadStore]
    objects: Callable[[], UploadObjects]
    versions: Callable[[], VersionStore]
    offers: Callable[[], OfferStore]
    ledger: Callable[[], LedgerStore]
    clock: Callable[[], Clock]


class OfferAnswer(BaseModel):
    """The loan's sell offer. Amounts are minor units."""

    offer_id: str
    state: str
    volume: int | None = None
    filled: int | None = None
    why: str
    """Where it stands, for people."""


class AssetAnswer(BaseModel):
    """A loan through time: every version with what changed, what we thought of each, its offer, and what became of every bid."""

    history: AssetHistory
    offer: OfferAnswer
    bids: list[LoanBid]


class CancelAnswer(BaseModel):
    """The slot after it was given back."""

    upload_id: str
    state: UploadState


def add_originator_routes(api: Api, ports: OriginatorPorts) -> Api:
    """All routes of originators."""
    _upload(api, ports)
    _after_upload(api, ports)
    _loans(api, ports)
    return api


def _upload(api: Api, ports: OriginatorPorts) -> None:
    @api.app.post("/v1/uploads", summary="A slot for a file: send the answer's `upload` request as it stands", tags=["uploads"])
    def create(body: Annotated[UploadAsked, Body()], idempotency_key: Annotated[str | None, Header(max_length=128)] = None) -> UploadTicket:
        caller, uploads, objects, clock = api.caller(), ports.uploads(), ports.objects(), ports.clock()
        return issue_upload(caller.tenant_id, caller.party_id, body, uploads=uploads, objects=objects, clock=clock, request_key=idempotency_key)

    @api.app.get("/v1/uploads", summary="The latest uploads, newest first", tags=["uploads"])
    def recent(limit: Annotated[Whole, Query(ge=1, le=100)] = 20, before_seq: Annotated[Whole, Query(ge=1, le=SEQ_MAX)] = SEQ_MAX) -> list[UploadStatus]:
        caller = api.caller()
        return list(recent_uploads(caller.tenant_id, caller.party_id, uploads=ports.uploads(), limit=limit, before_seq=before_seq))

    @api.app.delete("/v1/uploads/<upload_id>", summary="Give a slot back before its file arrived", tags=["uploads"])
    def cancel(upload_id: Annotated[str, Path()]) -> CancelAnswer:
        slot = cancel_upload(_ref(api, upload_id), uploads=ports.uploads())
        return CancelAnswer(upload_id=slot.ref.upload_id, state=slot.state)


def _after_upload(api: Api, ports: OriginatorPorts) -> None:
    @api.app.get("/v1/uploads/<upload_id>", summary="What became of a file: state and counts", tags=["uploads"])
    def status(upload_id: Annotated[str, Path()]) -> UploadStatus:
        return upload_status(_ref(api, upload_id), uploads=ports.uploads())

    @api.app.get("/v1/uploads/<upload_id>/rejections", summary="Every rejected record with its place, code and message", tags=["uploads"])
    def rejections(
        upload_id: Annotated[str, Path()], cursor: Annotated[str | None, Query()] = None, limit: Annotated[Whole, Query(ge=1, le=1000)] = PAGE
    ) -> RejectionPage:
        return upload_rejections(_ref(api, upload_id), uploads=ports.uploads(), cursor=cursor, limit=limit)


def _loans(api: Api, ports: OriginatorPorts) -> None:
    @api.app.get("/v1/assets/<loan_id>", summary="A loan through time, with its offer and bids", tags=["assets"])
    def asset(loan_id: Annotated[str, Path()]) -> AssetAnswer:
        caller, loan_id = api.caller(), parameter(loan_id)
        history = asset_history(caller.tenant_id, caller.party_id, loan_id, versions=ports.versions())
        offer_id = offer_id_of(caller.tenant_id, caller.party_id, loan_id)
        view = offer_view(offer_id, offers=ports.offers())
        figures: dict[str, Any] = {"state": view.state, "volume": view.volume, "filled": view.filled} if view else {"state": "open"}
        bids = ports.ledger().bids_of_loan(caller.tenant_id, caller.party_id, loan_id)
        return AssetAnswer(history=history, offer=OfferAnswer(offer_id=offer_id, why=why(view), **figures), bids=list(bids))

    @api.app.get("/v1/settlements", summary="What was sold of each loan, and for how much", tags=["settlements"])
    def settlements(after: Annotated[str, Query(max_length=64)] = "", limit: Annotated[Whole, Query(ge=1, le=1000)] = PAGE) -> list[SoldLoan]:
        caller = api.caller()
        return list(ports.ledger().sold_loans(caller.tenant_id, caller.party_id, limit, after))


def _ref(api: Api, upload_id: str) -> UploadRef:
    caller = api.caller()
    if (ref := UploadRef.of(caller.tenant_id, caller.party_id, upload_id)) is None:
        raise NotFound("UPLOAD_UNKNOWN", "there is no such upload", "upload_id")
    return ref
