"""What trading says: this bucket buys this much, by these criteria; this portfolio's balances changed."""

from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Literal

from bourse.ids import derive
from bourse.message import Facts, Message, message_id


class Criterion(Facts):
    """One condition on one attribute. A missing attribute does not match, whatever the operator."""

    field: str
    op: Literal["in", "not_in", "between", "gte", "lte"]
    labels: tuple[str, ...] = ()
    """Operands of `in` and `not_in`, held against the offer's labels."""
    numbers: tuple[Decimal, ...] = ()
    """Operands of `between` (two, both ends included), `gte` and `lte` (one), held against the offer's numbers."""


class BuyOffer(Facts):
    """The one live offer of a bucket. A higher version replaces a lower one; volume 0 takes it from the book.

    Open volume at the book = `volume` - (principal published for this offer so far - `settled_total`): what is
    published and not yet settled was still money of the investor when the plan was made, so it must come off the volume.
    """

    offer_id: str
    version: int
    portfolio_id: str
    bucket_id: str
    investor_id: str
    product_id: str
    criteria: tuple[Criterion, ...]
    volume: int
    """Minor units of principal this bucket wants beyond what is settled."""
    settled_total: int
    """Minor units of principal settled for this bucket since it exists, as the plan saw it. It only grows."""
    per_loan_max: int
    per_borrower_max: int | None = None
    per_originator_max: int | None = None
    buy_ratio: Decimal
    """Price ratio the investor pays: his personal rate, else the product's."""


class BuyOffersPlaced(Message):
    """The buy offers of one portfolio, all of one plan: every bucket whose volume changed."""

    kind: ClassVar[str] = "buy_offers_placed.v1"
    book_id: str
    said_at: datetime
    offers: tuple[BuyOffer, ...]

    def group(self) -> str:
        return self.book_id


class BalancesChanged(Message):
    """Something that a plan depends on changed: cash, positions, or the portfolio itself. Collected per window."""

    kind: ClassVar[str] = "balances_changed.v1"
    portfolio_id: str
    window: int
    """Number of the collecting window (epoch seconds // window length): one message per portfolio and window."""

    def group(self) -> str:
        return f"{self.tenant_id}/{self.portfolio_id}"


def buy_offer_id_of(tenant_id: str, portfolio_id: str, bucket_id: str) -> str:
    """The id of the one live offer a bucket can have."""
    return derive("buy", tenant_id, portfolio_id, bucket_id)


def balances_changed(tenant_id: str, portfolio_id: str, correlation_id: str, now: datetime, window_seconds: int, *cause: str) -> BalancesChanged:
    """The message of the collecting window `now` falls in: all changes of a portfolio in one window are one message.

    That holds for changes committed before `now`, because a window's message is heard only after the window is over. A command
    that writes its message inside its own transaction commits later than `now`, perhaps after the window's plan: it gives the
    `cause` that makes the message its own, so that no plan made before can have heard it.
    """
    window = int(now.timestamp()) // window_seconds
    made_id = message_id(BalancesChanged.kind, tenant_id, portfolio_id, window, *cause)
    return BalancesChanged(message_id=made_id, tenant_id=tenant_id, correlation_id=correlation_id, portfolio_id=portfolio_id, window=window)
