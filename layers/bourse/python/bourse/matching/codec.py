"""A book as bytes and back, and its hash: two books with the same bytes answer every message alike.

Canonical JSON, offers by id, zlib. Derived state (index, ranks, heap) is not in it. The first field is the format's number. The
store keeps the snapshots of each format apart, so releases that run side by side go on from their own; a book that has none it can
read is made of its whole journal.
"""

import zlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from heapq import heapify
from typing import Any, Final

import orjson

from bourse.errors import BourseError
from bourse.matching.book import Book
from bourse.matching.model import Buy, Hold, OfferState, Placed, Portfolio, Sell

FORMAT: Final = 2
"""The format that is written."""
FORMATS: Final = (FORMAT,)
"""The formats that are read. When the number goes up the one before stays here, until no book's newest snapshot is of it: a book that has to be
made of its whole journal may take longer than an invocation."""


class SnapshotUnreadable(BourseError):
    """The bytes are not a snapshot of this format."""


def dump(book: Book) -> bytes:
    """The snapshot of a book."""
    return zlib.compress(_plain(book), 1)


def state_hash(book: Book) -> str:
    """64 hex digits that depend on all of the state and on nothing else."""
    return blake2b(_plain(book), digest_size=32).hexdigest()


def load(book_id: str, snapshot: bytes) -> Book:
    """The book a snapshot was made of. Raises SnapshotUnreadable."""
    try:
        plain = orjson.loads(zlib.decompress(snapshot))
        if plain["format"] not in FORMATS:
            raise SnapshotUnreadable(f"snapshot of format {plain['format']}, not of {FORMATS}")
    except (zlib.error, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise SnapshotUnreadable(f"not a snapshot: {type(error).__name__}") from error
    book = Book(book_id)
    book.version, book.seq, book.at = plain["version"], plain["seq"], datetime.fromisoformat(plain["at"])
    book.void.update(plain["void"])
    book.returned.update(plain["returned"])
    book.shown.update(plain["shown"])
    for portfolio in plain["portfolios"]:
        _read_portfolio(book, *portfolio)
    for buy in plain["buys"]:
        _read_buy(book, *buy)
    for sell in plain["sells"]:
        _read_sell(book, *sell)
    _derive(book)
    return book


def _plain(book: Book) -> bytes:
    return orjson.dumps(
        {
            "format": FORMAT,
            "version": book.version,
            "seq": book.seq,
            "at": book.at.isoformat(),
            "void": book.void,
            "returned": sorted(book.returned),
            "shown": sorted(book.shown),
            "portfolios": [_portfolio(book.portfolios[one]) for one in sorted(book.portfolios)],
            "buys": [_buy(book.buys[one]) for one in sorted(book.buys)],
            "sells": [_sell(book.sells[one]) for one in sorted(book.sells)],
        },
        option=orjson.OPT_SORT_KEYS,
    )


def _portfolio(portfolio: Portfolio) -> list[Any]:
    borrowers = [[*key, principal] for key, principal in sorted(portfolio.borrowers.items())]
    return [portfolio.portfolio_id, portfolio.originators, borrowers]


def _read_portfolio(book: Book, portfolio_id: str, originators: dict[str, int], borrowers: list[Any]) -> None:
    portfolio = book.portfolio(portfolio_id)
    portfolio.originators.update(originators)
    portfolio.borrowers.update({(originator, borrower): principal for originator, borrower, principal in borrowers})


_BUY: Final = (
    "offer_id", "version", "seq", "bucket_id", "investor_id", "product_id", "volume", "limit", "per_loan_max", "per_borrower_max",
    "per_originator_max", "hold", "published",
)  # fmt: skip
_SELL: Final = (
    "offer_id", "version", "seq", "loan_id", "originator_id", "borrower_id", "product_id", "volume", "partial", "lot_min", "lot", "closed",
    "published", "bids_made", "held", "let_go",
)  # fmt: skip


def _buy(buy: Buy) -> list[Any]:
    criteria = [[name, op, labels, [str(number) for number in numbers]] for name, op, labels, numbers in buy.criteria]
    return [{name: getattr(buy, name) for name in _BUY}, buy.portfolio.portfolio_id, str(buy.ratio), criteria]


def _read_buy(book: Book, facts: dict[str, Any], portfolio_id: str, ratio: str, criteria: list[Any]) -> None:
    conditions = tuple((name, op, tuple(labels), tuple(Decimal(number) for number in numbers)) for name, op, labels, numbers in criteria)
    hold = facts.pop("hold")
    portfolio = book.portfolio(portfolio_id)
    buy = Buy(**facts, portfolio=portfolio, ratio=Decimal(ratio), criteria=conditions, hold=Hold(hold) if hold else None)
    book.buys[buy.offer_id] = portfolio.buys[buy.offer_id] = buy


def _sell(sell: Sell) -> list[Any]:
    expires = sell.expires_at.isoformat() if sell.expires_at else None
    placed = [[buy_id, one.principal] for buy_id, one in sell.placed.items()]
    numbers = {name: str(number) for name, number in sell.numbers.items()}
    return [{name: getattr(sell, name) for name in _SELL}, str(sell.ratio), sell.labels, numbers, expires, placed]


def _read_sell(
    book: Book, facts: dict[str, Any], ratio: str, labels: Mapping[str, str], numbers: Mapping[str, str], expires: str | None, placed: list[Any]
) -> None:
    closed = facts.pop("closed")
    sell = Sell(
        **facts,
        closed=OfferState(closed) if closed else None,
        ratio=Decimal(ratio),
        labels=labels,
        numbers={name: Decimal(number) for name, number in numbers.items()},
        expires_at=datetime.fromisoformat(expires) if expires else None,
    )
    book.sells[sell.offer_id] = sell
    for buy_id, principal in placed:
        buy = book.buys[buy_id]
        sell.placed[buy_id] = buy.placed[sell.offer_id] = Placed(sell, buy, principal)
        sell.reserved += principal
        buy.reserved += principal


def _derive(book: Book) -> None:
    """Everything a snapshot does not hold: reservations by offer, expiry, and the index."""
    for sell in book.sells.values():
        if sell.placed:
            book.reserving[sell.offer_id] = sell
        if sell.expires_at and not sell.closed:
            book.expiring.append((sell.expires_at, sell.offer_id, sell.version))
        book.index.refresh_sell(sell)
    heapify(book.expiring)
    for buy in sorted(book.buys.values(), key=lambda one: one.seq):
        book.index.enter(buy)
