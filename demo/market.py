"""The demo's market over the public APIs: a product, originators, investors with money and portfolios, files, and what became of them."""

from dataclasses import dataclass
from typing import Any, Final

from demo.api import Api
from demo.book import ORIGINATORS
from infra.local.stack import Stack

PRODUCT: Final = "consumer"
TERMS: Final = {"currencies": ["USD"], "sell_ratio": "0.995", "buy_ratio": "1.005", "lot_min": 2_500}
_SHARE_PER_LOAN: Final = 100
"""An investor puts at most a hundredth of his portfolio into one loan."""
_VOLUME_PER_LOAN: Final = 4_200
"""Minor units each portfolio wants per loan of the demo, so that demand grows with supply."""
_BUCKETS: Final = (
    (("good", "75", [{"field": "risk_class", "in": ["A", "B"]}]), ("high", "25", [{"field": "risk_class", "not_in": ["A", "B"]}])),
    (("grade-a", "50", [{"field": "grade", "in": ["A"]}]), ("grade-b", "30", [{"field": "grade", "in": ["B"]}]), ("rest", "20", [])),
    (("steady", "60", [{"field": "interest_rate", "max": "11"}]), ("yield", "40", [{"field": "interest_rate", "min": "11"}])),
    (("everything", "100", []),),
)
INVESTORS: Final = tuple(f"{name}-{number}" for number in (1, 2, 3) for name in ("ada", "ben", "cleo", "dov"))


@dataclass(frozen=True, slots=True)
class Market:
    """The three APIs with the tokens of everybody in the demo."""

    operator: Api
    originators: dict[str, Api]
    investors: dict[str, Api]


def open_market(stack: Stack) -> Market:
    """Register everybody over the operator's API. Done twice, it changes nothing."""
    operator = Api(stack.operator_api, stack.tokens["operator"])
    operator.post(f"/v1/products/{PRODUCT}/versions", TERMS)
    for one in ORIGINATORS:
        operator.post("/v1/originators", {"originator_id": one.originator_id, "name": one.name, "product_id": PRODUCT})
    for investor_id in INVESTORS:
        operator.post("/v1/investors", {"investor_id": investor_id, "name": investor_id.replace("-", " ").title()})
    return Market(
        operator,
        {one.originator_id: Api(stack.originator_api, _token(operator, "originators", one.originator_id)) for one in ORIGINATORS},
        {investor_id: Api(stack.investor_api, _token(operator, "investors", investor_id)) for investor_id in INVESTORS},
    )


def fund(market: Market, loans: int) -> int:
    """Give every investor money and a portfolio; returns the volume all portfolios want, in minor units."""
    wanted = 0
    for number, (investor_id, api) in enumerate(market.investors.items()):
        volume = _VOLUME_PER_LOAN * loans * (number % 3 + 1) // 2
        wanted += volume
        deposit = {"investor_id": investor_id, "currency": "USD", "amount": volume * 103 // 100, "system": "wire", "external_id": f"{investor_id}-1"}
        market.operator.post("/v1/deposits", deposit)
        api.post("/v1/portfolios", _portfolio(investor_id, number, volume))
        api.post(f"/v1/portfolios/{investor_id}-1/activate", {})
    return wanted


def invested(market: Market) -> tuple[int, int]:
    """Number of investments, and principal invested in minor units, so far."""
    totals = market.operator.get("/v1/totals")
    return sum(row["investments"] for row in totals), sum(row["principal"] for row in totals)


def rejections(api: Api, upload_id: str) -> dict[str, int]:
    """How many records were rejected for each code."""
    codes: dict[str, int] = {}
    cursor = ""
    while True:
        page = api.get(f"/v1/uploads/{upload_id}/rejections?limit=1000{cursor}")
        for one in page["rejections"]:
            codes[one["code"]] = codes.get(one["code"], 0) + 1
        if not page.get("next"):
            return codes
        cursor = f"&cursor={page['next']}"


def _portfolio(investor_id: str, number: int, volume: int) -> dict[str, Any]:
    buckets = [{"bucket_id": name, "target_share": share, "criteria": criteria} for name, share, criteria in _BUCKETS[number % len(_BUCKETS)]]
    return {
        "portfolio_id": f"{investor_id}-1",
        "name": f"Portfolio of {investor_id}",
        "product_id": PRODUCT,
        "currency": "USD",
        "target_volume": volume,
        "per_loan_max": max(2_500, min(volume // _SHARE_PER_LOAN, 50_000)),
        "buckets": buckets,
    }


def _token(operator: Api, kind: str, party_id: str) -> str:
    token: str = operator.post(f"/v1/{kind}/{party_id}/tokens", {"days": 7})["token"]
    return token
