"""Where people ask: at the use cases, or, in some worlds, by HTTP requests to the very handlers of the three APIs."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from bourse.assets.issue_upload import UploadAsked, issue_upload
from bourse.aws.outbox import flusher
from bourse.aws.sqs import SqsQueues
from bourse.errors import Conflict, NotFound, Refused, Unavailable
from bourse.ledger.transfers import deposit, withdraw
from bourse.money import Money
from bourse.trading.model import PortfolioStatus, PortfolioTerms
from bourse.trading.portfolios import change_status, change_terms, create_portfolio

from tests.functions.api import event
from tests.simulation.people import CURRENCY, File, Investor
from tests.simulation.promises import Broken
from tests.simulation.stores import PRODUCT

if TYPE_CHECKING:
    from tests.simulation.world import World

WINDOW = 30
Texts = dict[str, str] | None


class Desk(Protocol):
    """What people can ask for. Each raises Unavailable or Crash when it was not answered, Refused or Conflict when the answer is no."""

    def slot(self, one: File, request: str) -> tuple[str, datetime]:
        """The key of an upload, and until when it may be begun."""
        ...

    def pay_in(self, one: Investor, number: int, amount: int) -> None: ...

    def pay_out(self, one: Investor) -> None: ...

    def draft(self, one: Investor) -> None: ...

    def activate(self, one: Investor) -> None: ...

    def change(self, one: Investor, terms: PortfolioTerms) -> None: ...


class UseCases:
    """A `Desk` without HTTP."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._flush = flusher(lambda: world.port("database"), SqsQueues.from_env)

    def slot(self, one: File, request: str) -> tuple[str, datetime]:
        world = self._world
        ports = {"uploads": world.port("uploads"), "objects": world.port("objects"), "clock": world.clock}
        issue = self._does("originator_api", issue_upload)
        ticket = issue(one.tenant_id, one.originator_id, UploadAsked(), **ports, request_key=request)
        return ticket.upload.url.removeprefix("memory://uploads/"), ticket.expires_at

    def pay_in(self, one: Investor, number: int, amount: int) -> None:
        self._does("operator_api", deposit)(
            one.tenant_id, one.investor_id, Money(amount, CURRENCY), "wire", f"{one.investor_id}.{number}", **self._at("ledger")
        )
        self._flush(one.tenant_id)

    def pay_out(self, one: Investor) -> None:
        self._does("operator_api", withdraw)(
            one.tenant_id, one.investor_id, Money(one.takes_back, CURRENCY), "wire", f"{one.investor_id}.out", **self._at("ledger")
        )
        self._flush(one.tenant_id)

    def draft(self, one: Investor) -> None:
        portfolios = self._world.port("portfolios")
        create = self._does("investor_api", create_portfolio)
        create(one.tenant_id, one.investor_id, one.portfolio_id, one.terms, PRODUCT, portfolios=portfolios, clock=self._world.clock)

    def activate(self, one: Investor) -> None:
        self._does("investor_api", change_status)(one.tenant_id, one.investor_id, one.portfolio_id, PortfolioStatus.ACTIVE, **self._at("portfolios"))
        self._flush(one.tenant_id)

    def change(self, one: Investor, terms: PortfolioTerms) -> None:
        self._does("investor_api", change_terms)(one.tenant_id, one.investor_id, one.portfolio_id, terms, PRODUCT, **self._at("portfolios"))
        self._flush(one.tenant_id)

    def _does(self, function: str, use_case: Callable[..., Any]) -> Callable[..., Any]:
        return self._world.deployment.use_case(function, use_case.__module__, use_case.__name__)

    def _at(self, port: str) -> dict[str, Any]:
        return {port: self._world.port(port), "clock": self._world.clock, "window_seconds": WINDOW}


class Https:
    """A `Desk` behind the handlers, with what the authorizer tells of who asks."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def slot(self, one: File, request: str) -> tuple[str, datetime]:
        ticket = self._ask("originator", one.tenant_id, one.originator_id, "POST", "/v1/uploads", {}, {"idempotency-key": request})
        return ticket["upload"]["url"].removeprefix("memory://uploads/"), datetime.fromisoformat(ticket["expires_at"])

    def pay_in(self, one: Investor, number: int, amount: int) -> None:
        self._transfer("deposits", one, amount, f"{one.investor_id}.{number}")

    def pay_out(self, one: Investor) -> None:
        self._transfer("withdrawals", one, one.takes_back, f"{one.investor_id}.out")

    def draft(self, one: Investor) -> None:
        self._ask("investor", one.tenant_id, one.investor_id, "POST", "/v1/portfolios", {"portfolio_id": one.portfolio_id, **_body(one.terms)})

    def activate(self, one: Investor) -> None:
        self._ask("investor", one.tenant_id, one.investor_id, "POST", f"/v1/portfolios/{one.portfolio_id}/activate", None)

    def change(self, one: Investor, terms: PortfolioTerms) -> None:
        self._ask("investor", one.tenant_id, one.investor_id, "PUT", f"/v1/portfolios/{one.portfolio_id}", _body(terms))

    def looks_of_originator(self, one: File, key: str) -> None:
        """He reads all there is about his files and loans, whatever became of them."""
        upload_id = key.rpartition("-")[2].partition(".")[0]
        for path in ("uploads", f"uploads/{upload_id}", f"uploads/{upload_id}/rejections", "assets/L-0", "settlements"):
            self._look("originator", one.tenant_id, one.originator_id, path)
        for path in ("trial-balance", "totals", "originators", "investors", f"originators/{one.originator_id}/uploads", "products/consumer/versions"):
            self._look("operator", one.tenant_id, "ops", path)

    def looks_of_investor(self, one: Investor) -> None:
        """He reads what he has, and how it came."""
        for path in ("home", "portfolios", f"portfolios/{one.portfolio_id}/versions"):
            self._look("investor", one.tenant_id, one.investor_id, path)
        self._look("investor", one.tenant_id, one.investor_id, "statement", currency=CURRENCY, since="2026-01-01T00:00:00Z", until="2027-01-01T00:00:00Z")

    def _look(self, audience: str, tenant: str, party: str, path: str, **query: str) -> None:
        with suppress(NotFound):  # it may not be there yet
            self._ask(audience, tenant, party, "GET", f"/v1/{path}", None, query=query)

    def _transfer(self, what: str, one: Investor, amount: int, external_id: str) -> None:
        body = {"investor_id": one.investor_id, "currency": CURRENCY, "amount": amount, "system": "wire", "external_id": external_id}
        self._ask("operator", one.tenant_id, "ops", "POST", f"/v1/{what}", body)

    def _ask(self, audience: str, tenant: str, party: str, method: str, path: str, body: Any, headers: Texts = None, query: Texts = None) -> Any:
        asked = event(method, path, body, caller={"tenant": tenant, "party": party, "audience": audience}, headers=headers, query=query)
        answer = self._world.request(f"{audience}_api", asked, tenant)
        status, said = answer["statusCode"], orjson.loads(answer["body"])
        if status == 503:
            raise Unavailable(said["detail"])
        if status >= 500:
            raise Broken(f"{method} {path} was answered {status}: {said}")
        if status >= 400:
            raise {404: NotFound, 409: Conflict}.get(status, Refused)(said["code"], said["detail"], said.get("field"))
        return said


def _body(terms: PortfolioTerms) -> dict[str, Any]:
    body = terms.model_dump(mode="json", exclude_none=True)
    for bucket in body["buckets"]:
        bucket["criteria"] = [{"field": one["field"], one["op"]: one["labels"]} for one in bucket["criteria"]]
    return body
