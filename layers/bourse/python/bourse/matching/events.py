"""What matching says: these bids are to be settled."""

from datetime import datetime
from typing import ClassVar

from bourse.message import Facts, Message


class Bid(Facts):
    """A reservation of a buy offer on a sell offer, priced. All amounts are minor units of the book's currency."""

    bid_id: str
    offer_id: str
    offer_version: int
    loan_id: str
    originator_id: str
    borrower_id: str | None = None
    buy_offer_id: str
    buy_offer_version: int
    portfolio_id: str
    bucket_id: str
    investor_id: str
    product_id: str
    risk_class: str | None = None
    principal: int
    sell_amount: int
    """What the originator gets: principal x sell ratio."""
    buy_amount: int
    """What the investor pays: principal x buy ratio. buy - sell is our fee, and never negative."""
    offer_volume: int | None = None
    """The whole volume of the sell offer, sold parts included: the ledger refuses to sell more of the loan than this."""
    completes: bool
    """True on the bids of an all-or-nothing offer: they are settled together or returned together."""


class BidsPublished(Message):
    """Bids on loans of one originator, in the order the book made them. Each is said once."""

    kind: ClassVar[str] = "bids_published.v1"
    book_id: str
    currency: str
    originator_id: str
    book_version: int
    said_at: datetime
    bids: tuple[Bid, ...]

    def group(self) -> str:
        return f"{self.tenant_id}/{self.originator_id}"
