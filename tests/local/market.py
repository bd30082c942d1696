"""A small market on the deployed stack: one tenant's product, an originator and an investor, reached over HTTP only."""

import io
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import bson
from bson.decimal128 import Decimal128

from demo.api import Api, request
from infra.local.stack import Stack

PRODUCT: Final = {"currencies": ["USD"], "sell_ratio": "0.995", "buy_ratio": "1.005", "lot_min": 2_500}
_PATIENCE_SECONDS: Final = 150


def record(number: int, **changes: Any) -> dict[str, Any]:
    """A loan of 5,000 USD, grade A to C by its number."""
    plain = {
        "loan_id": f"L-{number:05d}",
        "status": "active",
        "currency": "USD",
        "principal": Decimal128("5000.00"),
        "outstanding_principal": Decimal128("5000.00"),
        "interest_rate": Decimal128("12.5"),
        "term_months": 36,
        "grade": "ABC"[number % 3],
        "country": "US",
    }
    return {name: value for name, value in (plain | changes).items() if value is not None}


def octets(records: Iterable[dict[str, Any]]) -> bytes:
    """The records as a file."""
    return b"".join(bson.encode(one) for one in records)


def eventually(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """What `look` sees once it is as wanted. Fails with what it saw last."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, f"it did not come to be in {_PATIENCE_SECONDS} s: {seen}"
        time.sleep(0.3)


class Market:
    """Parties of its own for each test, in the tenant of the stack's operator."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.operator: Final = Api(stack.operator_api, stack.tokens["operator"])
        self.originator_id, self.investor_id, self.product_id = f"{name}-lender", f"{name}-investor", f"{name}-product"
        self.operator.post(f"/v1/products/{self.product_id}/versions", PRODUCT)
        self.operator.post("/v1/originators", {"originator_id": self.originator_id, "name": "Lender", "product_id": self.product_id})
        self.operator.post("/v1/investors", {"investor_id": self.investor_id, "name": "Investor"})
        self.originator: Final = Api(stack.originator_api, self._token("originators", self.originator_id))
        self.investor: Final = Api(stack.investor_api, self._token("investors", self.investor_id))

    def _token(self, kind: str, party_id: str) -> str:
        token: str = self.operator.post(f"/v1/{kind}/{party_id}/tokens", {})["token"]
        return token

    def upload(self, content: bytes, **asked: Any) -> str:
        """Send a file; its upload id."""
        slot = self.originator.post("/v1/uploads", {"size_bytes": len(content)} | asked)
        assert put(slot, content) == 200
        return str(slot["upload_id"])

    def processed(self, upload_id: str) -> dict[str, Any]:
        """The upload's status, once every record is accounted for."""
        status: dict[str, Any] = eventually(
            lambda: self.originator.get(f"/v1/uploads/{upload_id}"), lambda seen: seen["state"] in ("processed", "failed") and not seen["pending"]
        )
        return status

    def fund(self, cash: int, target: int) -> None:
        """Money for the investor, and an active portfolio of two buckets."""
        deposit = {"investor_id": self.investor_id, "currency": "USD", "amount": cash, "system": "wire", "external_id": f"{self.investor_id}-1"}
        self.operator.post("/v1/deposits", deposit)
        buckets = [
            {"bucket_id": "a", "target_share": "75", "criteria": [{"field": "grade", "in": ["A"]}]},
            {"bucket_id": "others", "target_share": "25", "criteria": [{"field": "grade", "not_in": ["A"]}]},
        ]
        terms = {"portfolio_id": self.investor_id, "name": "Portfolio", "product_id": self.product_id, "currency": "USD"}
        self.investor.post("/v1/portfolios", {**terms, "target_volume": target, "per_loan_max": 25_000, "buckets": buckets})
        self.investor.post(f"/v1/portfolios/{self.investor_id}/activate", {})

    def exposure(self) -> int:
        """Principal the investor holds."""
        return int(self.investor.get("/v1/home")["portfolios"][0]["exposure"])

    def totals(self) -> dict[str, int]:
        """Rows of the trial balance that are not zero."""
        return {f"{row['currency']} {row['what']}": row["total"] for row in self.operator.get("/v1/trial-balance") if row["total"]}


def put(slot: dict[str, Any], content: bytes, **headers: str) -> int:
    """Send the slot's request: the store's status."""
    return request(slot["upload"]["method"], slot["upload"]["url"], content, slot["upload"]["headers"] | headers)[0]


def gzipped(content: bytes) -> bytes:
    """The content as a gzip file."""
    import gzip

    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        file.write(content)
    return packed.getvalue()
