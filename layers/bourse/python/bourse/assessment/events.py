"""What assessment says: loans are for sale, at these terms and with these attributes."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from bourse.message import Facts, Message


class SellOffer(Facts):
    """The open volume of one asset version. A later version replaces an earlier one; the same version again changes nothing."""

    offer_id: str
    version: int
    """The asset version this offer is made of."""
    loan_id: str
    originator_id: str
    borrower_id: str | None = None
    product_id: str
    volume: int
    """Minor units of principal for sale, sold parts included: sellable share x outstanding principal."""
    partial_sale: bool
    """False: an investment exists only when bids cover the whole volume."""
    lot_min: int
    """Minor units: no bid is smaller, and no rest smaller than this is left open."""
    sell_ratio: Decimal
    """Price ratio the originator gets: 1 is par."""
    labels: dict[str, str]
    """Attributes that are words (`grade`, `risk_class`, `country`, extras); a truth value is "true" or "false"."""
    numbers: dict[str, Decimal]
    """Attributes that are numbers (`interest_rate`, `age`, `income_month`, extras), exact. A missing name matches no criterion."""
    expires_at: datetime | None = None
    """When an all-or-nothing offer gives up its reservations."""


class SellOffersPlaced(Message):
    """Sell offers of one book, from assets of one originator."""

    kind: ClassVar[str] = "sell_offers_placed.v1"
    book_id: str
    said_at: datetime
    offers: tuple[SellOffer, ...]

    def group(self) -> str:
        return self.book_id
