"""Commands on parties: register them, publish products, agree on personal rates. Doing one twice changes nothing."""

from typing import TypeVar

from bourse.clock import Clock
from bourse.errors import Conflict, NotFound, Refused
from bourse.message import Facts
from bourse.money import exponent
from bourse.parties.model import PRODUCT_UNKNOWN, Investor, InvestorStatus, Originator, OriginatorStatus, PersonalRate, Product, ProductTerms
from bourse.parties.store import PartyStore

F = TypeVar("F", bound=Facts)


def register_originator(tenant_id: str, originator: Originator, actor: str, *, parties: PartyStore, clock: Clock) -> Originator:
    """Register an originator. Raises Refused PRODUCT_UNKNOWN, Conflict PARTY_DIFFERS naming the field that differs from what is registered."""
    _product(tenant_id, originator.product_id, parties)
    return _same(originator, parties.add_originator(tenant_id, originator, actor, clock.now()), "status")


def register_investor(tenant_id: str, investor: Investor, actor: str, *, parties: PartyStore, clock: Clock) -> Investor:
    """Register an investor. Raises Conflict PARTY_DIFFERS naming the field that differs from what is registered."""
    return _same(investor, parties.add_investor(tenant_id, investor, actor, clock.now()), "status")


def change_status(tenant_id: str, party_id: str, status: OriginatorStatus | InvestorStatus, actor: str, *, parties: PartyStore, clock: Clock) -> None:
    """Let a party trade, or stop it. Raises NotFound."""
    parties.set_status(tenant_id, party_id, status, actor, clock.now())


def publish_product(tenant_id: str, product_id: str, terms: ProductTerms, actor: str, *, parties: PartyStore, clock: Clock) -> Product:
    """Publish the next version of a product's terms; plans and assessments use it from now on. Raises Refused CURRENCY_UNKNOWN."""
    for currency in terms.currencies:
        exponent(currency)
    return parties.publish_product(tenant_id, product_id, terms, actor, clock.now())


def set_personal_rate(tenant_id: str, rate: PersonalRate, actor: str, *, parties: PartyStore, clock: Clock) -> PersonalRate:
    """Agree on what one investor pays for one product. Raises Refused PRODUCT_UNKNOWN, RATE_BELOW_SELL when the fee would be negative."""
    product = _product(tenant_id, rate.product_id, parties)
    if rate.buy_ratio < product.terms.sell_ratio:
        detail = f"{rate.buy_ratio} is below the product's sell ratio {product.terms.sell_ratio}: the fee would be negative"
        raise Refused("RATE_BELOW_SELL", detail, "buy_ratio")
    if all(investor.investor_id != rate.investor_id for investor in parties.investors(tenant_id)):
        raise NotFound("INVESTOR_UNKNOWN", f"there is no investor {rate.investor_id}", "investor_id")
    parties.set_rate(tenant_id, rate, actor, clock.now())
    return rate


def _product(tenant_id: str, product_id: str, parties: PartyStore) -> Product:
    if (product := parties.product(tenant_id, product_id)) is None:
        raise Refused(PRODUCT_UNKNOWN, f"there is no product {product_id}: publish it first", "product_id")
    return product


def _same(given: F, kept: F, *but: str) -> F:
    """What is kept, if it is what was given; the fields in `but` may have changed since."""
    for field in type(given).model_fields:
        if field not in but and getattr(given, field) != getattr(kept, field):
            raise Conflict("PARTY_DIFFERS", f"registered before with another {field}", field)
    return kept
