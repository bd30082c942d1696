"""What the ledger says: these bids could not be settled and return to the book, with the reason."""

from datetime import datetime
from typing import ClassVar, Literal

from bourse.message import Facts, Message

ReturnReason = Literal["insufficient_cash", "loan_closed", "oversold", "investor_blocked", "offer_incomplete"]


class ReturnedBid(Facts):
    """A bid that will not be settled: its volume is open again on both sides."""

    bid_id: str
    offer_id: str
    buy_offer_id: str
    portfolio_id: str
    borrower_id: str | None = None
    originator_id: str
    principal: int
    reason: ReturnReason


class BidsReturned(Message):
    """Bids of one book that return to it."""

    kind: ClassVar[str] = "bids_returned.v1"
    book_id: str
    said_at: datetime
    bids: tuple[ReturnedBid, ...]

    def group(self) -> str:
        return self.book_id
