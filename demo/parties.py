"""Who takes part in the demo: one product, two originators (book.py), twelve investors with the portfolios they want."""

from dataclasses import dataclass
from typing import Any, Final

PRODUCT_ID: Final = "consumer-36"
CURRENCY: Final = "USD"
PRODUCT: Final[dict[str, Any]] = {
    "currencies": [CURRENCY],
    "sell_ratio": "1.0000",
    "buy_ratio": "1.0075",
    "lot_min": 25_00,
    "step_percent": "10",
    "days_past_due_max": 30,
}
"""Investors pay 100.75 % of principal, originators get 100 %: the difference is the marketplace's fee."""

_GOOD: Final = {"field": "grade", "in": ["A", "B"]}
_FAIR: Final = {"field": "grade", "in": ["C"]}
_REST: Final = {"field": "grade", "not_in": ["A", "B"]}
_DEMAND_PERCENT: Final = 85
"""Of all that is for sale, how much the investors together want: most of it finds a buyer, some does not."""
_LOANS_PER_PORTFOLIO_MIN: Final = 200
_LOT: Final = 25_00
_DEPOSIT_PERCENT: Final = 102


@dataclass(frozen=True, slots=True)
class Investor:
    """An investor and his one portfolio. `weight` is his size beside the others'."""

    investor_id: str
    name: str
    portfolio: str
    weight: int
    buckets: tuple[tuple[str, str, tuple[dict[str, Any], ...]], ...]
    """(bucket, percent of the portfolio, criteria)."""
    buy_ratio: str | None = None
    """His personal rate, if he has one."""


_BALANCED: Final = (("good", "75", (_GOOD,)), ("rest", "25", (_REST,)))
_CAREFUL: Final = (("a-only", "60", ({"field": "grade", "in": ["A"]},)), ("b-only", "40", ({"field": "grade", "in": ["B"]},)))
_MIDDLE: Final = (("fair", "80", (_FAIR,)), ("good", "20", (_GOOD,)))
_YIELD: Final = (
    ("ten-to-fourteen", "70", ({"field": "interest_rate", "min": "10", "max": "14"},)),
    ("above", "30", ({"field": "interest_rate", "min": "14.01"},)),
)
_CLASSES: Final = (("low-risk", "75", ({"field": "risk_class", "in": ["A", "B"]},)), ("high-risk", "25", ({"field": "risk_class", "not_in": ["A", "B"]},)))

INVESTORS: Final = (
    Investor("acorn", "Acorn Pension Fund", "balanced", 14, _BALANCED, buy_ratio="1.0050"),
    Investor("birch", "Birch Family Office", "balanced", 10, _BALANCED),
    Investor("cedar", "Cedar Insurance", "careful", 10, _CAREFUL),
    Investor("dahlia", "Dahlia Savings", "careful", 8, _CAREFUL),
    Investor("elm", "Elm Endowment", "middle", 10, _MIDDLE),
    Investor("fern", "Fern Capital", "middle", 9, _MIDDLE),
    Investor("ginkgo", "Ginkgo Credit Fund", "yield", 8, _YIELD),
    Investor("hazel", "Hazel Income", "yield", 7, _YIELD),
    Investor("iris", "Iris Ventures", "by risk class", 8, _CLASSES),
    Investor("juniper", "Juniper Trust", "balanced", 7, _BALANCED),
    Investor("kapok", "Kapok Cooperative", "balanced", 5, _BALANCED),
    Investor("linden", "Linden Private Clients", "by risk class", 4, _CLASSES),
)


def target_of(investor: Investor, supply_minor: int) -> int:
    """Minor units of principal his portfolio is to hold, when so much is for sale in all."""
    return supply_minor * _DEMAND_PERCENT * investor.weight // sum(one.weight for one in INVESTORS) // 100


def deposit_of(investor: Investor, supply_minor: int) -> int:
    """The cash he brings: enough for his portfolio and the fees."""
    return target_of(investor, supply_minor) * _DEPOSIT_PERCENT // 100


def portfolio_of(investor: Investor, supply_minor: int) -> dict[str, Any]:
    """The body of POST /v1/portfolios: no loan takes more than half a percent of it."""
    target = target_of(investor, supply_minor)
    return {
        "portfolio_id": f"{investor.investor_id}-1",
        "name": investor.portfolio,
        "product_id": PRODUCT_ID,
        "currency": CURRENCY,
        "target_volume": target,
        "per_loan_max": max(_LOT, target // _LOANS_PER_PORTFOLIO_MIN),
        "buckets": [{"bucket_id": name, "target_share": share, "criteria": list(criteria)} for name, share, criteria in investor.buckets],
    }
