"""The parties kept in dicts: for tests and the simulation."""

from collections.abc import Callable, Sequence
from datetime import datetime

from bourse.errors import NotFound
from bourse.message import Message
from bourse.parties.model import Investor, InvestorStatus, Originator, OriginatorStatus, PersonalRate, Product, ProductTerms
from bourse.trading.events import balances_changed

_WINDOW_SECONDS = 30


class MemoryParties:
    """A `PartyStore`. `portfolios` gives the active portfolios of an investor and a product, None being any."""

    def __init__(self, portfolios: Callable[[str | None, str | None], Sequence[str]] = lambda _investor, _product: ()) -> None:
        self._portfolios = portfolios
        self.outbox: list[Message] = []
        self._originators: dict[tuple[str, str], Originator] = {}
        self._investors: dict[tuple[str, str], Investor] = {}
        self._products: dict[tuple[str, str], list[Product]] = {}
        self._rates: dict[tuple[str, str, str], list[PersonalRate]] = {}
        self.audit: list[tuple[str, str, str, str, datetime]] = []

    def add_originator(self, tenant_id: str, originator: Originator, actor: str, at: datetime) -> Originator:
        if (tenant_id, originator.originator_id) not in self._originators:
            self._originators[tenant_id, originator.originator_id] = originator
            self.audit.append((tenant_id, actor, "register", f"originator/{originator.originator_id}", at))
        return self._originators[tenant_id, originator.originator_id]

    def add_investor(self, tenant_id: str, investor: Investor, actor: str, at: datetime) -> Investor:
        if (tenant_id, investor.investor_id) not in self._investors:
            self._investors[tenant_id, investor.investor_id] = investor
            self.audit.append((tenant_id, actor, "register", f"investor/{investor.investor_id}", at))
        return self._investors[tenant_id, investor.investor_id]

    def originators(self, tenant_id: str) -> Sequence[Originator]:
        return [self._originators[key] for key in sorted(self._originators) if key[0] == tenant_id]

    def investors(self, tenant_id: str) -> Sequence[Investor]:
        return [self._investors[key] for key in sorted(self._investors) if key[0] == tenant_id]

    def set_status(self, tenant_id: str, party_id: str, status: OriginatorStatus | InvestorStatus, actor: str, at: datetime) -> None:
        key, investor = (tenant_id, party_id), isinstance(status, InvestorStatus)
        kept = self._investors.get(key) if investor else self._originators.get(key)
        if kept is None:
            raise NotFound("PARTY_UNKNOWN", f"there is no {party_id}")
        if kept.status == status:
            return
        changed = kept.model_copy(update={"status": status})
        if isinstance(changed, Investor):
            self._investors[key] = changed
        else:
            self._originators[key] = changed
        kind = "investor" if investor else "originator"
        self.audit.append((tenant_id, actor, f"status:{status}", f"{kind}/{party_id}", at))
        if investor:
            self._replan(tenant_id, at, f"investor/{party_id}", party_id, None)

    def publish_product(self, tenant_id: str, product_id: str, terms: ProductTerms, actor: str, at: datetime) -> Product:
        versions = self._products.setdefault((tenant_id, product_id), [])
        if not versions or versions[-1].terms != terms:
            versions.append(Product(product_id=product_id, version=len(versions) + 1, terms=terms))
            self.audit.append((tenant_id, actor, "publish", f"product/{product_id}", at))
            self._replan(tenant_id, at, f"product/{product_id}", None, product_id)
        return versions[-1]

    def product(self, tenant_id: str, product_id: str) -> Product | None:
        versions = self._products.get((tenant_id, product_id))
        return versions[-1] if versions else None

    def product_versions(self, tenant_id: str, product_id: str) -> Sequence[Product]:
        return list(self._products.get((tenant_id, product_id), ()))

    def set_rate(self, tenant_id: str, rate: PersonalRate, actor: str, at: datetime) -> None:
        rates = self._rates.setdefault((tenant_id, rate.investor_id, rate.product_id), [])
        if not rates or rates[-1] != rate:
            rates.append(rate)
            self.audit.append((tenant_id, actor, "rate", f"investor/{rate.investor_id}", at))
            self._replan(tenant_id, at, f"investor/{rate.investor_id}", rate.investor_id, rate.product_id)

    def rate(self, tenant_id: str, investor_id: str, product_id: str) -> PersonalRate | None:
        rates = self._rates.get((tenant_id, investor_id, product_id))
        return rates[-1] if rates else None

    def _replan(self, tenant_id: str, at: datetime, subject: str, investor_id: str | None, product_id: str | None) -> None:
        concerned = self._portfolios(investor_id, product_id)
        self.outbox.extend(balances_changed(tenant_id, one, subject, at, _WINDOW_SECONDS, subject, at.isoformat()) for one in concerned)
