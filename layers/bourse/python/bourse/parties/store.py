"""The port of the parties: registers, versions of products and rates, and the audit of every change."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bourse.parties.model import Investor, InvestorStatus, Originator, OriginatorStatus, PersonalRate, Product, ProductTerms


class PartyStore(Protocol):
    """Keeps parties and what was agreed with them, per tenant.

    Promise: adding what is there already changes nothing and returns what is there, so the caller can compare. Versions are
    numbered from 1 without gaps and never changed. Every change is in the audit with its actor, in the same write. What a change
    means for plans (who may buy, at what price, in what lots) is said to the active portfolios it concerns, in the same write.
    """

    def add_originator(self, tenant_id: str, originator: Originator, actor: str, at: datetime) -> Originator:
        """The originator as kept: the one given, or the one of that id that was there before."""
        ...

    def add_investor(self, tenant_id: str, investor: Investor, actor: str, at: datetime) -> Investor:
        """The investor as kept: the one given, or the one of that id that was there before."""
        ...

    def originators(self, tenant_id: str) -> Sequence[Originator]:
        """All originators, by id."""
        ...

    def investors(self, tenant_id: str) -> Sequence[Investor]:
        """All investors, by id."""
        ...

    def set_status(self, tenant_id: str, party_id: str, status: OriginatorStatus | InvestorStatus, actor: str, at: datetime) -> None:
        """Change the status of an originator or investor, as the type of the status says; the status it has changes nothing. Raises NotFound."""
        ...

    def publish_product(self, tenant_id: str, product_id: str, terms: ProductTerms, actor: str, at: datetime) -> Product:
        """The next version with these terms; or the latest one when its terms are these."""
        ...

    def product(self, tenant_id: str, product_id: str) -> Product | None:
        """The latest version of a product."""
        ...

    def product_versions(self, tenant_id: str, product_id: str) -> Sequence[Product]:
        """Every version of a product, oldest first."""
        ...

    def set_rate(self, tenant_id: str, rate: PersonalRate, actor: str, at: datetime) -> None:
        """The next version of the investor's rate for the product; nothing when it is that already."""
        ...

    def rate(self, tenant_id: str, investor_id: str, product_id: str) -> PersonalRate | None:
        """The latest personal rate, or None where the product's applies."""
        ...
