"""What an investor can ask and do: his home, his portfolios, his statement."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from bourse.aws.api import Api
from bourse.clock import Clock
from bourse.errors import NotFound
from bourse.ledger.model import StatementLine
from bourse.ledger.store import LedgerStore
from bourse.parties.model import Name, Slug
from bourse.parties.store import PartyStore
from bourse.trading.events import Criterion
from bourse.trading.explain import explain_portfolio
from bourse.trading.model import Amount, Bucket, Home, Portfolio, PortfolioExplained, PortfolioStatus, PortfolioTerms, Rest, Share
from bourse.trading.portfolios import change_status, change_terms, create_portfolio, home
from bourse.trading.store import PortfolioStore


@dataclass(frozen=True)
class InvestorPorts:
    """What the routes reach, each opened at first use. `flush` sends what a command of the tenant said."""

    portfolios: Callable[[], PortfolioStore]
    parties: Callable[[], PartyStore]
    ledger: Callable[[], LedgerStore]
    clock: Callable[[], Clock]
    window_seconds: Callable[[], int]
    flush: Callable[[str], object]


Word = Annotated[str, Field(min_length=1, max_length=100)]


class CriterionBody(BaseModel):
    """One condition on a loan: `in` or `not_in` a list of words, or `min` and `max` of a number (both included)."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    field: Annotated[str, Field(min_length=1, max_length=100, examples=["grade", "country", "age", "income_month", "interest_rate"])]
    among: Annotated[tuple[Word, ...], Field(min_length=1, max_length=500)] | None = Field(default=None, alias="in")
    not_in: Annotated[tuple[Word, ...], Field(min_length=1, max_length=500)] | None = None
    min: Decimal | None = None
    max: Decimal | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        words = [operand for operand in (self.among, self.not_in) if operand is not None]
        bounded = self.min is not None or self.max is not None
        if len(words) + bounded != 1:
            raise ValueError("a criterion has exactly one of `in`, `not_in`, or bounds `min` / `max`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max: no loan could match")
        return self

    def criterion(self) -> Criterion:
        """In the words of trading."""
        if self.among is not None:
            return Criterion(field=self.field, op="in", labels=self.among)
        if self.not_in is not None:
            return Criterion(field=self.field, op="not_in", labels=self.not_in)
        if self.min is not None and self.max is not None:
            return Criterion(field=self.field, op="between", numbers=(self.min, self.max))
        op, bound = ("gte", self.min) if self.min is not None else ("lte", self.max)
        return Criterion(field=self.field, op="gte" if op == "gte" else "lte", numbers=(bound,) if bound is not None else ())


class BucketBody(BaseModel):
    """A part of the portfolio: what share of it, and which loans."""

    model_config = ConfigDict(extra="forbid")
    bucket_id: Slug
    target_share: Annotated[Share, Field(description="Percent of the portfolio; the buckets' shares sum to 100.")]
    criteria: Annotated[tuple[CriterionBody, ...], Field(max_length=40)] = ()


class TermsBody(BaseModel):
    """What the investor wants. Amounts are minor units."""

    model_config = ConfigDict(extra="forbid")
    name: Name
    product_id: Slug
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    target_volume: Amount
    keep_uninvested: Rest = 0
    per_loan_max: Amount
    per_borrower_max: Amount | None = None
    per_originator_max: Amount | None = None
    buckets: Annotated[tuple[BucketBody, ...], Field(min_length=1, max_length=50)]

    def terms(self) -> PortfolioTerms:
        """In the words of trading; raises ValidationError when the structure is not whole."""
        buckets = tuple(
            Bucket(bucket_id=one.bucket_id, target_share=one.target_share, criteria=tuple(criterion.criterion() for criterion in one.criteria))
            for one in self.buckets
        )
        return PortfolioTerms(**self.model_dump(exclude={"buckets", "portfolio_id"}), buckets=buckets)


class PortfolioBody(TermsBody):
    """A new portfolio."""

    portfolio_id: Slug


def add_investor_routes(api: Api, ports: InvestorPorts) -> Api:
    """All routes of investors."""
    _reading(api, ports)
    _commands(api, ports)
    return api


def _reading(api: Api, ports: InvestorPorts) -> None:
    @api.app.get("/v1/home", summary="Cash, portfolios with every bucket, and positions, in one call", tags=["home"])
    def get_home() -> Home:
        caller = api.caller()
        return home(caller.tenant_id, caller.party_id, portfolios=ports.portfolios())

    @api.app.get("/v1/portfolios", summary="All portfolios", tags=["portfolios"])
    def list_portfolios() -> list[Portfolio]:
        caller = api.caller()
        return list(ports.portfolios().portfolios(caller.tenant_id, caller.party_id))

    @api.app.get(
        "/v1/portfolios/<portfolio_id>",
        summary="A portfolio: its versions and last plan, and of every bucket its offer and what limits it",
        tags=["portfolios"],
    )
    def get_portfolio(portfolio_id: Annotated[str, Path()]) -> PortfolioExplained:
        caller = api.caller()
        return explain_portfolio(caller.tenant_id, caller.party_id, portfolio_id, portfolios=ports.portfolios())

    @api.app.get("/v1/portfolios/<portfolio_id>/versions", summary="Every version of a portfolio's terms", tags=["portfolios"])
    def list_versions(portfolio_id: Annotated[str, Path()]) -> list[Portfolio]:
        caller = api.caller()
        versions = [one for one in ports.portfolios().versions(caller.tenant_id, portfolio_id) if one.investor_id == caller.party_id]
        if not versions:
            raise NotFound("PORTFOLIO_UNKNOWN", f"there is no portfolio {portfolio_id}", "portfolio_id")
        return versions

    @api.app.get("/v1/statement", summary="Moves of cash in [since, until), each with the balance after it", tags=["statement"])
    def get_statement(
        currency: Annotated[str, Query(pattern="^[A-Z]{3}$")], since: Annotated[AwareDatetime, Query()], until: Annotated[AwareDatetime, Query()]
    ) -> list[StatementLine]:
        caller = api.caller()
        return list(ports.ledger().statement(caller.tenant_id, caller.party_id, currency, since, until))


def _commands(api: Api, ports: InvestorPorts) -> None:
    def kept(portfolio: Portfolio) -> Portfolio:
        ports.flush(api.caller().tenant_id)
        return portfolio

    def shared() -> dict[str, Any]:
        return {"portfolios": ports.portfolios(), "clock": ports.clock()}

    @api.app.post("/v1/portfolios", summary="Create a draft portfolio", tags=["portfolios"])
    def create(body: Annotated[PortfolioBody, Body()]) -> Portfolio:
        caller = api.caller()
        product = ports.parties().product(caller.tenant_id, body.product_id)
        terms = product.terms if product else None
        return create_portfolio(caller.tenant_id, caller.party_id, body.portfolio_id, body.terms(), terms, **shared())

    @api.app.put("/v1/portfolios/<portfolio_id>", summary="Change a portfolio's terms: a new version", tags=["portfolios"])
    def change(portfolio_id: Annotated[str, Path()], body: Annotated[TermsBody, Body()]) -> Portfolio:
        caller = api.caller()
        product = ports.parties().product(caller.tenant_id, body.product_id)
        terms, window = (product.terms if product else None), ports.window_seconds()
        return kept(change_terms(caller.tenant_id, caller.party_id, portfolio_id, body.terms(), terms, **shared(), window_seconds=window))

    @api.app.post("/v1/portfolios/<portfolio_id>/<step>", summary="Activate, pause or close a portfolio", tags=["portfolios"])
    def step_to(portfolio_id: Annotated[str, Path()], step: Annotated[Literal["activate", "pause", "close"], Path()]) -> Portfolio:
        caller = api.caller()
        status = {"activate": PortfolioStatus.ACTIVE, "pause": PortfolioStatus.PAUSED, "close": PortfolioStatus.CLOSED}[step]
        return kept(change_status(caller.tenant_id, caller.party_id, portfolio_id, status, **shared(), window_seconds=ports.window_seconds()))
