"""What the operator can ask and do: parties, products and rates, risk tables, deposits and withdrawals, tokens, uploads, the trial balance."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bourse.assessment.publish_table import publish_table
from bourse.assessment.store import TableStore
from bourse.assets.model import UploadRef
from bourse.assets.upload_status import PAGE, RejectionPage, UploadStatus, recent_uploads, upload_rejections
from bourse.assets.uploads import SEQ_MAX, UploadStore
from bourse.aws.api import Api, Whole
from bourse.aws.settings import collect_seconds
from bourse.aws.tokens import Audience, Caller, issue
from bourse.clock import Clock
from bourse.errors import NotFound
from bourse.ledger.model import Receipt, Totals, TrialBalance
from bourse.ledger.store import LedgerStore
from bourse.ledger.transfers import deposit, withdraw
from bourse.money import Money
from bourse.parties.model import Investor, InvestorStatus, Originator, OriginatorStatus, PersonalRate, Product, ProductTerms, Ratio, Slug
from bourse.parties.register import change_status, publish_product, register_investor, register_originator, set_personal_rate
from bourse.parties.store import PartyStore

_TOKEN_DAYS_MAX = 366


@dataclass(frozen=True)
class OperatorPorts:
    """What the routes reach, each opened at first use. `flush` sends what a command of the tenant said."""

    parties: Callable[[], PartyStore]
    ledger: Callable[[], LedgerStore]
    tables: Callable[[], TableStore]
    uploads: Callable[[], UploadStore]
    token_keys: Callable[[], str]
    clock: Callable[[], Clock]
    flush: Callable[[str], object]
    window_seconds: Callable[[], int] = collect_seconds


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TransferBody(_Request):
    """Money that arrived or leaves, named by the system that moved it: one booking per `system` and `external_id`, for ever."""

    investor_id: Slug
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    amount: Annotated[int, Field(gt=0, le=10**15, strict=True, description="Minor units")]
    system: Annotated[str, Field(min_length=1, max_length=64, examples=["wire"])]
    external_id: Annotated[str, Field(min_length=1, max_length=128)]


class RateBody(_Request):
    """What this investor pays for one unit of principal of the product."""

    buy_ratio: Ratio


class TokenBody(_Request):
    """For how long the token is good."""

    days: Annotated[int, Field(ge=1, le=_TOKEN_DAYS_MAX)] = 30


class TokenAnswer(BaseModel):
    """A bearer token. It is not kept here: whoever loses it asks for another."""

    token: str
    expires_at: datetime


class OriginatorStatusBody(_Request):
    """The new status."""

    status: OriginatorStatus


class InvestorStatusBody(_Request):
    """The new status."""

    status: InvestorStatus


class TableBody(_Request):
    """A new version of a decision table: rows in order, the first that matches wins."""

    rows: list[dict[str, Any]]
    active_from: AwareDatetime | None = None
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class TableAnswer(BaseModel):
    """A version of a decision table."""

    kind: str
    version: int
    rows: list[Any]


def add_operator_routes(api: Api, ports: OperatorPorts) -> Api:
    """All routes of the operator."""
    _products(api, ports)
    _originators(api, ports)
    _uploads(api, ports)
    _investors(api, ports)
    _money(api, ports)
    _tables(api, ports)
    _tokens(api, ports)
    return api


def _products(api: Api, ports: OperatorPorts) -> None:
    @api.app.post("/v1/products/<product_id>/versions", summary="Publish the next version of a product", tags=["products"])
    def publish(product_id: Annotated[Slug, Path()], body: Annotated[ProductTerms, Body()]) -> Product:
        caller = api.caller()  # what it means for plans is left to the relay: a product may have more portfolios than a request has seconds
        return publish_product(caller.tenant_id, product_id, body, caller.party_id, parties=ports.parties(), clock=ports.clock())

    @api.app.get("/v1/products/<product_id>/versions", summary="Every version of a product", tags=["products"])
    def versions(product_id: Annotated[Slug, Path()]) -> list[Product]:
        return list(ports.parties().product_versions(api.caller().tenant_id, product_id))

    @api.app.put("/v1/investors/<investor_id>/rates/<product_id>", summary="Agree on a personal rate", tags=["products"])
    def rate(investor_id: Annotated[Slug, Path()], product_id: Annotated[Slug, Path()], body: Annotated[RateBody, Body()]) -> PersonalRate:
        caller = api.caller()
        agreed = PersonalRate(investor_id=investor_id, product_id=product_id, buy_ratio=body.buy_ratio)
        kept = set_personal_rate(caller.tenant_id, agreed, caller.party_id, parties=ports.parties(), clock=ports.clock())
        ports.flush(caller.tenant_id)
        return kept


def _originators(api: Api, ports: OperatorPorts) -> None:
    @api.app.post("/v1/originators", summary="Register an originator", tags=["parties"])
    def register(body: Annotated[Originator, Body()]) -> Originator:
        caller = api.caller()
        return register_originator(caller.tenant_id, body, caller.party_id, parties=ports.parties(), clock=ports.clock())

    @api.app.get("/v1/originators", summary="All originators", tags=["parties"])
    def listed() -> list[Originator]:
        return list(ports.parties().originators(api.caller().tenant_id))

    @api.app.post("/v1/originators/<originator_id>/status", summary="Let an originator sell, or stop it", tags=["parties"])
    def status(originator_id: Annotated[Slug, Path()], body: Annotated[OriginatorStatusBody, Body()]) -> OriginatorStatusBody:
        caller = api.caller()
        change_status(caller.tenant_id, originator_id, body.status, caller.party_id, parties=ports.parties(), clock=ports.clock())
        return body


def _uploads(api: Api, ports: OperatorPorts) -> None:
    @api.app.get("/v1/originators/<originator_id>/uploads", summary="What an originator sent lately and what became of it, newest first", tags=["uploads"])
    def recent(
        originator_id: Annotated[Slug, Path()],
        limit: Annotated[Whole, Query(ge=1, le=100)] = 20,
        before_seq: Annotated[Whole, Query(ge=1, le=SEQ_MAX)] = SEQ_MAX,
    ) -> list[UploadStatus]:
        tenant_id = api.caller().tenant_id
        _check_originator(tenant_id, originator_id, ports)
        return list(recent_uploads(tenant_id, originator_id, uploads=ports.uploads(), limit=limit, before_seq=before_seq))

    @api.app.get("/v1/originators/<originator_id>/uploads/<upload_id>/rejections", summary="Every rejected record of a file", tags=["uploads"])
    def rejections(
        originator_id: Annotated[Slug, Path()],
        upload_id: Annotated[str, Path()],
        cursor: Annotated[str | None, Query()] = None,
        limit: Annotated[Whole, Query(ge=1, le=1000)] = PAGE,
    ) -> RejectionPage:
        if (ref := UploadRef.of(api.caller().tenant_id, originator_id, upload_id)) is None:
            raise NotFound("UPLOAD_UNKNOWN", "there is no such upload", "upload_id")
        return upload_rejections(ref, uploads=ports.uploads(), cursor=cursor, limit=limit)


def _investors(api: Api, ports: OperatorPorts) -> None:
    @api.app.post("/v1/investors", summary="Register an investor", tags=["parties"])
    def register(body: Annotated[Investor, Body()]) -> Investor:
        caller = api.caller()
        return register_investor(caller.tenant_id, body, caller.party_id, parties=ports.parties(), clock=ports.clock())

    @api.app.get("/v1/investors", summary="All investors", tags=["parties"])
    def listed() -> list[Investor]:
        return list(ports.parties().investors(api.caller().tenant_id))

    @api.app.post("/v1/investors/<investor_id>/status", summary="Let an investor buy, or stop him", tags=["parties"])
    def status(investor_id: Annotated[Slug, Path()], body: Annotated[InvestorStatusBody, Body()]) -> InvestorStatusBody:
        caller = api.caller()
        change_status(caller.tenant_id, investor_id, body.status, caller.party_id, parties=ports.parties(), clock=ports.clock())
        ports.flush(caller.tenant_id)
        return body


def _money(api: Api, ports: OperatorPorts) -> None:
    def book(body: TransferBody, does: Callable[..., Receipt]) -> Receipt:
        tenant_id = api.caller().tenant_id
        if all(investor.investor_id != body.investor_id for investor in ports.parties().investors(tenant_id)):
            raise NotFound("INVESTOR_UNKNOWN", f"there is no investor {body.investor_id}", "investor_id")
        money, shared = Money(body.amount, body.currency), {"ledger": ports.ledger(), "clock": ports.clock(), "window_seconds": ports.window_seconds()}
        receipt = does(tenant_id, body.investor_id, money, body.system, body.external_id, **shared)
        ports.flush(tenant_id)
        return receipt

    @api.app.post("/v1/deposits", summary="Book money that arrived for an investor", tags=["money"])
    def deposits(body: Annotated[TransferBody, Body()]) -> Receipt:
        return book(body, deposit)

    @api.app.post("/v1/withdrawals", summary="Book money that leaves", tags=["money"])
    def withdrawals(body: Annotated[TransferBody, Body()]) -> Receipt:
        return book(body, withdraw)

    @api.app.get("/v1/trial-balance", summary="Zero in every row, at any moment", tags=["money"])
    def trial_balance() -> list[TrialBalance]:
        return list(ports.ledger().trial_balance(api.caller().tenant_id, ports.clock().now()))

    @api.app.get("/v1/totals", summary="What was settled, by currency and risk class", tags=["money"])
    def totals() -> list[Totals]:
        return list(ports.ledger().totals(api.caller().tenant_id))


def _tables(api: Api, ports: OperatorPorts) -> None:
    @api.app.post("/v1/risk-tables/<kind>/versions", summary="Publish the next version of a decision table", tags=["risk"])
    def publish(kind: Annotated[str, Path()], body: Annotated[TableBody, Body()]) -> TableAnswer:
        caller = api.caller()
        shared: dict[str, Any] = {"tables": ports.tables(), "clock": ports.clock()}
        table = publish_table(caller.tenant_id, kind, body.rows, active_from=body.active_from, author=caller.party_id, reason=body.reason, **shared)
        return TableAnswer(kind=table.kind, version=table.version, rows=list(table.rows))


def _tokens(api: Api, ports: OperatorPorts) -> None:
    def give(party_id: str, audience: Audience, days: int) -> TokenAnswer:
        now, lifetime = ports.clock().now(), timedelta(days=days)
        token = issue(ports.token_keys(), Caller(api.caller().tenant_id, party_id, audience), now, lifetime)
        return TokenAnswer(token=token, expires_at=now + lifetime)

    @api.app.post("/v1/originators/<originator_id>/tokens", summary="A token for an originator's systems", tags=["tokens"])
    def for_originator(originator_id: Annotated[Slug, Path()], body: Annotated[TokenBody, Body()]) -> TokenAnswer:
        _check_originator(api.caller().tenant_id, originator_id, ports)
        return give(originator_id, "originator", body.days)

    @api.app.post("/v1/investors/<investor_id>/tokens", summary="A token for an investor's systems", tags=["tokens"])
    def for_investor(investor_id: Annotated[Slug, Path()], body: Annotated[TokenBody, Body()]) -> TokenAnswer:
        if all(one.investor_id != investor_id for one in ports.parties().investors(api.caller().tenant_id)):
            raise NotFound("PARTY_UNKNOWN", f"there is no investor {investor_id}")
        return give(investor_id, "investor", body.days)


def _check_originator(tenant_id: str, originator_id: str, ports: OperatorPorts) -> None:
    """Raises NotFound: an empty list would look as if the originator had sent nothing."""
    if all(one.originator_id != originator_id for one in ports.parties().originators(tenant_id)):
        raise NotFound("PARTY_UNKNOWN", f"there is no originator {originator_id}", "originator_id")
