"""The market of the demo, reached the way any party reaches it: over the three HTTP APIs, with tokens."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from demo.api import Api, upload
from demo.book import ORIGINATORS, Originator
from demo.parties import CURRENCY, INVESTORS, PRODUCT, PRODUCT_ID, Investor, deposit_of, portfolio_of
from infra.local.stack import Stack

COUNTS: Final = ("received", "created", "changed", "unchanged", "withdrawn", "stale", "rejected", "pending")


class UploadRefusedError(Exception):
    """The store did not take the file; the text says which and with what status."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One file on its way."""

    originator_id: str
    upload_id: str


class Market:
    """The operator's, originators' and investors' view of a running stack."""

    def __init__(self, stack: Stack) -> None:
        tokens = stack.tokens
        self._operator: Final = Api(stack.operator_api, tokens["operator"])
        self._originators: Final = {one.originator_id: Api(stack.originator_api, tokens[one.originator_id]) for one in ORIGINATORS}
        self._investors: Final = {one.investor_id: Api(stack.investor_api, tokens[one.investor_id]) for one in INVESTORS}

    def open(self, supply_minor: int, investors: Iterable[Investor] = INVESTORS) -> None:
        """Publish the product, register the originators, and open for the investors, all as the operator. Done twice, it changes nothing new."""
        if not self._operator.get(f"/v1/products/{PRODUCT_ID}/versions"):
            self._operator.post(f"/v1/products/{PRODUCT_ID}/versions", PRODUCT)
        for originator in ORIGINATORS:
            self._operator.post("/v1/originators", {"originator_id": originator.originator_id, "name": originator.name, "product_id": PRODUCT_ID})
        for investor in investors:
            self.welcome(investor, supply_minor)

    def welcome(self, investor: Investor, supply_minor: int) -> None:
        """Register an investor, book his deposit, and activate his portfolio."""
        self._operator.post("/v1/investors", {"investor_id": investor.investor_id, "name": investor.name})
        if investor.buy_ratio:
            self._operator.put(f"/v1/investors/{investor.investor_id}/rates/{PRODUCT_ID}", {"buy_ratio": investor.buy_ratio})
        money = {"investor_id": investor.investor_id, "currency": CURRENCY, "amount": deposit_of(investor, supply_minor)}
        self._operator.post("/v1/deposits", {**money, "system": "wire", "external_id": f"first-{investor.investor_id}"})
        own = self._investors[investor.investor_id]
        portfolio = portfolio_of(investor, supply_minor)
        own.post("/v1/portfolios", portfolio)
        own.post(f"/v1/portfolios/{portfolio['portfolio_id']}/activate", {})

    def send(self, originator: Originator, file: Path) -> Upload:
        """Ask for a slot and send the file to it, as an originator's systems do. Raises ApiError, UploadRefusedError."""
        slot = self._originators[originator.originator_id].post(
            "/v1/uploads", {"compressed": originator.suffix == ".bson.gz", "size_bytes": file.stat().st_size}
        )
        status = upload(slot, file)
        if status not in {200, 201, 204}:
            raise UploadRefusedError(f"the store answered {status} to {file.name}")
        return Upload(originator.originator_id, slot["upload_id"])

    def status(self, sent: Upload) -> dict[str, Any]:
        """GET /v1/uploads/{upload_id}."""
        answer: dict[str, Any] = self._originators[sent.originator_id].get(f"/v1/uploads/{sent.upload_id}")
        return answer

    def counts(self, sent: Iterable[Upload]) -> Counter[str]:
        """The counts of several uploads together, and how many of each state there are (`state:processed`)."""
        together: Counter[str] = Counter()
        for status in map(self.status, sent):
            together.update({name: status[name] for name in COUNTS})
            together[f"state:{status['state']}"] += 1
        return together

    def rejections(self, sent: Upload) -> list[dict[str, Any]]:
        """Every rejected record of an upload, with its place and reason."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self._originators[sent.originator_id].get(f"/v1/uploads/{sent.upload_id}/rejections?limit=1000{cursor}")
            found += page["rejections"]
            if not page.get("next"):
                return found
            cursor = f"&cursor={page['next']}"

    def asset(self, originator_id: str, loan_id: str) -> dict[str, Any]:
        """GET /v1/assets/{loan_id}: everything that happened to a loan."""
        answer: dict[str, Any] = self._originators[originator_id].get(f"/v1/assets/{loan_id}")
        return answer

    def home(self, investor_id: str) -> dict[str, Any]:
        """GET /v1/home."""
        answer: dict[str, Any] = self._investors[investor_id].get("/v1/home")
        return answer

    def totals(self) -> list[dict[str, Any]]:
        """What was settled, by currency and risk class."""
        answer: list[dict[str, Any]] = self._operator.get("/v1/totals")
        return answer

    def trial_balance(self) -> list[dict[str, Any]]:
        """Zero in every row."""
        answer: list[dict[str, Any]] = self._operator.get("/v1/trial-balance")
        return answer
