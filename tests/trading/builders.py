"""Portfolios and plan facts to test with: a 75/25 portfolio of 1,000.00 USD unless said otherwise."""

from collections.abc import Sequence
from decimal import Decimal

from bourse.parties.model import ProductTerms
from bourse.trading.events import Criterion
from bourse.trading.model import Bucket, BucketFacts, PlanFacts, Portfolio, PortfolioStatus, PortfolioTerms

PRODUCT = ProductTerms(currencies=("USD",), sell_ratio=Decimal("0.995"), buy_ratio=Decimal(1), lot_min=1)


def terms(*shares: str, volume: int = 100_000, keep_uninvested: int = 0) -> PortfolioTerms:
    grades = ("A", "B", "C", "D", "E", "F", "G", "H", "I", "J")
    buckets = tuple(
        Bucket(bucket_id=f"b{number}", target_share=Decimal(share), criteria=(Criterion(field="grade", op="in", labels=(grades[number % 10],)),))
        for number, share in enumerate(shares or ("75", "25"))
    )
    names = {"name": "Income", "product_id": "consumer", "currency": "USD"}
    return PortfolioTerms(**names, target_volume=volume, per_loan_max=volume, keep_uninvested=keep_uninvested, buckets=buckets)


def portfolio(*shares: str, volume: int = 100_000, status: PortfolioStatus = PortfolioStatus.ACTIVE, keep_uninvested: int = 0) -> Portfolio:
    return Portfolio(portfolio_id="income", investor_id="ada", status=status, terms=terms(*shares, volume=volume, keep_uninvested=keep_uninvested))


def facts(
    *shares: str,
    principals: Sequence[int] = (),
    volume: int = 100_000,
    cash: int = 10**9,
    others: int = 0,
    lot: int = 1,
    ratio: str = "1",
    at_once: bool = False,
    status: PortfolioStatus = PortfolioStatus.ACTIVE,
    keep_uninvested: int = 0,
    investor_active: bool = True,
) -> PlanFacts:
    owned = portfolio(*shares, volume=volume, status=status, keep_uninvested=keep_uninvested)
    held = [*principals, *([0] * len(owned.terms.buckets))][: len(owned.terms.buckets)]
    return PlanFacts(
        portfolio=owned,
        investor_active=investor_active,
        buy_ratio=Decimal(ratio),
        lot_min=lot,
        step_percent=Decimal(10),
        single_bucket_at_once=at_once,
        cash=cash,
        cash_of_others=others,
        buckets=tuple(BucketFacts(principal=one, settled_total=one) for one in held),
    )
