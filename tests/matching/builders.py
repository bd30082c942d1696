"""Builders of what a book hears, with everything a test does not care about filled in."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bourse.assessment.events import SellOffer, SellOffersPlaced
from bourse.assets.events import OffersWithdrawn, OfferWithdrawal
from bourse.ledger.events import BidsReturned, ReturnedBid
from bourse.matching.apply import Heard, apply
from bourse.matching.book import Book, Step
from bourse.matching.events import Bid
from bourse.message import message_id
from bourse.trading.events import BuyOffer, BuyOffersPlaced, Criterion

BOOK = "demo/USD/loan"
DAY = datetime(2026, 1, 31, 6, tzinfo=UTC)


def sell(offer_id: str = "s1", version: int = 1, volume: int = 1_000, **terms: Any) -> SellOffer:
    given: dict[str, Any] = {
        "loan_id": f"loan-{offer_id}",
        "originator_id": "acme",
        "product_id": "consumer",
        "partial_sale": True,
        "lot_min": 1,
        "sell_ratio": Decimal(1),
        "labels": {"risk_class": "A"},
        "numbers": {"age": Decimal(30)},
    }
    return SellOffer(offer_id=offer_id, version=version, volume=volume, **(given | terms))


def whole(offer_id: str = "s1", version: int = 1, volume: int = 1_000, **terms: Any) -> SellOffer:
    """An all-or-nothing sell offer."""
    return sell(offer_id, version, volume, **({"partial_sale": False} | terms))


def buy(offer_id: str = "b1", version: int = 1, volume: int = 1_000, **terms: Any) -> BuyOffer:
    given: dict[str, Any] = {
        "portfolio_id": f"portfolio-{offer_id}",
        "bucket_id": "main",
        "investor_id": f"investor-{offer_id}",
        "product_id": "consumer",
        "criteria": (),
        "settled_total": 0,
        "per_loan_max": 1_000_000,
        "buy_ratio": Decimal("1.01"),
    }
    return BuyOffer(offer_id=offer_id, version=version, volume=volume, **(given | terms))


def label_in(field: str, *labels: str) -> Criterion:
    return Criterion(field=field, op="in", labels=labels)


def number(field: str, op: Any, *numbers: int | str) -> Criterion:
    return Criterion(field=field, op=op, numbers=tuple(Decimal(one) for one in numbers))


def _head(cause: object, at: datetime) -> dict[str, Any]:
    return {
        "message_id": message_id("test", str(cause), at.isoformat()),
        "tenant_id": "demo",
        "correlation_id": "cor_1",
        "book_id": BOOK,
        "said_at": at,
    }


def sells(*offers: SellOffer, at: datetime = DAY, cause: object = None) -> SellOffersPlaced:
    return SellOffersPlaced(**_head(cause or ("sells", *offers), at), offers=offers)


def buys(*offers: BuyOffer, at: datetime = DAY, cause: object = None) -> BuyOffersPlaced:
    return BuyOffersPlaced(**_head(cause or ("buys", *offers), at), offers=offers)


def withdrawn(offer_id: str = "s1", version: int = 2, reason: Any = "withdrawn", at: datetime = DAY) -> OffersWithdrawn:
    one = OfferWithdrawal(offer_id=offer_id, loan_id=f"loan-{offer_id}", version=version, reason=reason)
    return OffersWithdrawn(**_head(("withdrawn", one), at), withdrawals=(one,))


def returned(*bids: Bid, reason: Any = "insufficient_cash", reasons: dict[str, Any] | None = None, at: datetime = DAY) -> BidsReturned:
    """The bids return; `reasons` may say another reason for some (bid id -> reason)."""
    facts = tuple(
        ReturnedBid(
            bid_id=bid.bid_id,
            offer_id=bid.offer_id,
            buy_offer_id=bid.buy_offer_id,
            portfolio_id=bid.portfolio_id,
            borrower_id=bid.borrower_id,
            originator_id=bid.originator_id,
            principal=bid.principal,
            reason=(reasons or {}).get(bid.bid_id, reason),
        )
        for bid in bids
    )
    return BidsReturned(**_head(("returned", *facts), at), bids=facts)


def later(minutes: int) -> datetime:
    return DAY + timedelta(minutes=minutes)


def book_after(*messages: Heard) -> Book:
    """A book that heard these messages."""
    book = Book(BOOK)
    for message in messages:
        apply(book, message)
    return book


def hear(book: Book, message: Heard) -> list[tuple[str, str, int]]:
    """The bids a message makes, as (sell offer, buy offer, principal)."""
    return brief(apply(book, message))


def brief(step: Step) -> list[tuple[str, str, int]]:
    return [(bid.offer_id, bid.buy_offer_id, bid.principal) for bid in step.bids]


def picture(book: Book) -> dict[str, Any]:
    """All that matters of a book's state, by rank of arrival and not by its number; for comparing books of different histories."""
    live = sorted([*book.sells.values(), *(one for one in book.buys.values() if one.volume)], key=lambda offer: offer.seq)
    return {
        "arrived": [(offer.offer_id, offer.version) for offer in live],
        "sells": {one.offer_id: (one.volume, one.published, one.reserved, one.closed, one.lot, dict(one.held)) for one in book.sells.values()},
        "reserved": {one.offer_id: {buy_id: placed.principal for buy_id, placed in one.placed.items()} for one in book.sells.values() if one.placed},
        "buys": {one.offer_id: (one.open, one.published, one.reserved) for one in book.buys.values() if one.volume},
        "portfolios": {one.portfolio_id: (dict(one.originators), dict(one.borrowers)) for one in book.portfolios.values() if one.originators},
        "open": [one.offer_id for one in book.index.sells],
        "active": [one.offer_id for one in book.index.buys],
    }
