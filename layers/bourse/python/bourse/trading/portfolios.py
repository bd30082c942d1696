"""Commands of an investor on his portfolios, and his home. Doing a command twice changes nothing."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

from bourse.clock import Clock
from bourse.errors import Conflict, NotFound, Refused
from bourse.parties.model import ProductTerms
from bourse.trading.events import balances_changed
from bourse.trading.model import PORTFOLIO, BucketView, Home, PlannedBucket, Portfolio, PortfolioStatus, PortfolioTerms, PortfolioView, Waiting
from bourse.trading.store import PortfolioStore

_POSITIONS_MAX: Final = 100
_WHY: Final[dict[Waiting | None, str]] = {
    None: "It buys as loans come that fit.",
    "full": "It lacks less than the smallest lot.",
    "cap": "It is ahead of another bucket, and waits so that the portfolio keeps its structure.",
    "cash": "There is not enough free cash for all it could buy now.",
    "lot": "What it may buy now is less than the smallest lot.",
    "not_active": "The portfolio is not active, or its investor may not buy, or it was never planned.",
}


def create_portfolio(
    tenant_id: str, investor_id: str, portfolio_id: str, terms: PortfolioTerms, product: ProductTerms | None, *, portfolios: PortfolioStore, clock: Clock
) -> Portfolio:
    """A draft portfolio, or what became of it. Raises Refused for terms the product does not allow, Conflict PORTFOLIO_EXISTS for a used id."""
    _check(terms, product)
    wanted = Portfolio(portfolio_id=portfolio_id, investor_id=investor_id, terms=terms)
    kept = portfolios.add(tenant_id, wanted, clock.now())
    if kept.investor_id != investor_id or portfolios.versions(tenant_id, portfolio_id)[0].terms != terms:
        raise Conflict("PORTFOLIO_EXISTS", f"there is a portfolio {portfolio_id} with other terms", "portfolio_id")
    return kept


def change_terms(
    tenant_id: str,
    investor_id: str,
    portfolio_id: str,
    terms: PortfolioTerms,
    product: ProductTerms | None,
    *,
    portfolios: PortfolioStore,
    clock: Clock,
    window_seconds: int,
) -> Portfolio:
    """The next version of the terms; the same terms again change nothing. Raises NotFound, Refused, Conflict PORTFOLIO_CLOSED."""
    _check(terms, product)
    now = _own(tenant_id, investor_id, portfolio_id, portfolios)
    if now.status is PortfolioStatus.CLOSED:
        raise Conflict("PORTFOLIO_CLOSED", "a closed portfolio does not change")
    if now.terms == terms:
        return now
    if terms.currency != now.terms.currency:
        raise Refused("CURRENCY_FIXED", "a portfolio keeps its currency: create another", "currency")
    changed = now.model_copy(update={"version": now.version + 1, "terms": terms})
    return _keep(tenant_id, now, changed, portfolios, clock, window_seconds)


def change_status(
    tenant_id: str, investor_id: str, portfolio_id: str, status: PortfolioStatus, *, portfolios: PortfolioStore, clock: Clock, window_seconds: int
) -> Portfolio:
    """Activate, pause or close. Raises NotFound, Conflict PORTFOLIO_STATUS for a step that does not exist."""
    now = _own(tenant_id, investor_id, portfolio_id, portfolios)
    if now.status is status:
        return now
    if not PORTFOLIO.may(now.status, status):
        raise Conflict("PORTFOLIO_STATUS", f"a {now.status} portfolio cannot become {status}", "status")
    return _keep(tenant_id, now, now.model_copy(update={"status": status}), portfolios, clock, window_seconds)


def home(tenant_id: str, investor_id: str, *, portfolios: PortfolioStore) -> Home:
    """Cash, portfolios with every bucket, and positions, in one read."""
    return portfolios.home(tenant_id, investor_id, _POSITIONS_MAX)


def view(portfolio: Portfolio, planned: tuple[PlannedBucket, ...], bound: Fraction) -> PortfolioView:
    """A portfolio and its last plan as the investor sees them; `planned` carries the exposure of now."""
    whole = sum(bucket.principal for bucket in planned)
    target = portfolio.terms.target_volume
    buckets = tuple(
        BucketView(
            bucket_id=bucket.bucket_id,
            target=bucket.target,
            exposure=bucket.principal,
            offered=bucket.volume,
            fill_percent=percent(Fraction(bucket.principal, bucket.target)),
            deviation_percent=percent(Fraction(bucket.principal, target) - Fraction(bucket.target, target) * Fraction(whole, target)),
            waits_for=bucket.waits_for,
            why=_WHY[bucket.waits_for],
        )
        for bucket in planned
    )
    return PortfolioView(portfolio=portfolio, exposure=whole, deviation_bound_percent=percent(bound), buckets=buckets)


def brought_up(portfolio: Portfolio, planned: Iterable[PlannedBucket], principals: Mapping[str, int]) -> tuple[PlannedBucket, ...]:
    """The last plan of each bucket the portfolio has now, with the target and the exposure (by bucket id) of now."""
    decided = {bucket.bucket_id: bucket for bucket in planned}
    now = []
    for bucket, target in zip(portfolio.terms.buckets, portfolio.terms.bucket_volumes(), strict=True):
        nothing = PlannedBucket(bucket_id=bucket.bucket_id, target=target, principal=0, cap=0, volume=0, cost=0, waits_for="not_active")
        changed = {"principal": principals.get(bucket.bucket_id, 0), "target": target}
        now.append(decided.get(bucket.bucket_id, nothing).model_copy(update=changed))
    return tuple(now)


def percent(share: Fraction) -> Decimal:
    """A share as percent with four decimals, rounded half to even: for showing, never for deciding."""
    return (Decimal(share.numerator) * 100 / Decimal(share.denominator)).quantize(Decimal("0.0001"))


def _own(tenant_id: str, investor_id: str, portfolio_id: str, portfolios: PortfolioStore) -> Portfolio:
    found = portfolios.portfolio(tenant_id, portfolio_id)
    if found is None or found.investor_id != investor_id:
        raise NotFound("PORTFOLIO_UNKNOWN", f"there is no portfolio {portfolio_id}")
    return found


def _keep(tenant_id: str, was: Portfolio, becomes: Portfolio, portfolios: PortfolioStore, clock: Clock, window_seconds: int) -> Portfolio:
    now, portfolio_id = clock.now(), was.portfolio_id
    cause = (f"v{becomes.version}", becomes.status, now.isoformat())
    changed = balances_changed(tenant_id, portfolio_id, f"portfolio/{portfolio_id}", now, window_seconds, *cause)
    portfolios.change(tenant_id, was, becomes, now, [changed])
    return becomes


def _check(terms: PortfolioTerms, product: ProductTerms | None) -> None:
    """Raises Refused where no plan could ever fill these terms at the product's."""
    if product is None:
        raise Refused("PRODUCT_UNKNOWN", f"there is no product {terms.product_id}", "product_id")
    if terms.currency not in product.currencies:
        raise Refused("CURRENCY_NOT_OFFERED", f"{terms.product_id} is not sold in {terms.currency}", "currency")
    limits = {"per_loan_max": terms.per_loan_max, "per_borrower_max": terms.per_borrower_max, "per_originator_max": terms.per_originator_max}
    for name, limit in limits.items():
        if limit is not None and limit < product.lot_min:
            raise Refused("LOT_TOO_LARGE", f"{name} is below the smallest lot of {product.lot_min}", name)
    for bucket, volume in zip(terms.buckets, terms.bucket_volumes(), strict=True):
        if volume < product.lot_min:
            raise Refused("BUCKET_TOO_SMALL", f"bucket {bucket.bucket_id} holds {volume}, less than the smallest lot of {product.lot_min}", "buckets")
