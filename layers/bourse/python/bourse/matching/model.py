"""Nouns of matching: the two sides of a book as the book keeps them, reservations, and an offer as it is shown.

`Sell`, `Buy` and `Portfolio` are the one mutable state of this package: a book is a state machine that changes them in place,
one message at a time, and throws all of them away when a message could not be committed. Everything else is frozen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Literal

from bourse.lifecycle import Lifecycle

Condition = tuple[str, str, tuple[str, ...], tuple[Decimal, ...]]
"""One condition in canonical form: (field, op, labels, numbers)."""
BIDS_PER_OFFER_MAX: Final = 200
"""All bids of an all-or-nothing offer travel in one message, so it cannot have more than a message carries."""


class OfferState(StrEnum):
    """What became of a sell offer. Each of the lower four ends with a higher version of the offer, and only with that."""

    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    """All or nothing, and not complete in time."""
    SUSPENDED = "suspended"
    """The ledger says more was sold than there is: the next version tells the true volume."""
    REFUSED = "refused"
    """Its terms make no sense (a negative volume, a ratio of nothing), so it is not for sale."""


_BUYERS: Final = (OfferState.OPEN, OfferState.PARTIALLY_FILLED, OfferState.FILLED)
_CLOSED: Final = (OfferState.WITHDRAWN, OfferState.EXPIRED, OfferState.SUSPENDED, OfferState.REFUSED)
OFFER: Final = Lifecycle(
    "Sell offer",
    begins=(*_BUYERS, OfferState.REFUSED, OfferState.EXPIRED),
    steps=(
        (OfferState.OPEN, OfferState.PARTIALLY_FILLED, "bids for a part of it"),
        (OfferState.OPEN, OfferState.FILLED, "bids for all of it"),
        (OfferState.PARTIALLY_FILLED, OfferState.FILLED, "bids for the rest"),
        (OfferState.PARTIALLY_FILLED, OfferState.OPEN, "its bids were returned"),
        (OfferState.FILLED, OfferState.PARTIALLY_FILLED, "a bid was returned, or there is more to sell"),
        (OfferState.FILLED, OfferState.OPEN, "its bids were returned"),
        *((state, OfferState.WITHDRAWN, "the loan is no longer for sale") for state in (*_BUYERS, *_CLOSED[1:])),
        *((state, OfferState.SUSPENDED, "more was sold than there is") for state in _BUYERS),
        *((state, OfferState.EXPIRED, "all or nothing, and not covered in time") for state in _BUYERS[:2]),
        *((state, OfferState.REFUSED, "its next version makes no sense") for state in (*_BUYERS, *_CLOSED[:3])),
        *((closed, state, "its next version") for closed in _CLOSED for state in _BUYERS),
    ),
)
BID: Final = Lifecycle(
    "Bid",
    begins=("published",),
    steps=(("published", "settled", "cash, claim and fee were booked"), ("published", "returned", "the ledger refused it, with the reason")),
)


class Hold(StrEnum):
    """Why a live buy offer buys nothing until its next version."""

    INSUFFICIENT_CASH = "insufficient_cash"
    INVESTOR_BLOCKED = "investor_blocked"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Group:
    """Buy offers that ask for exactly the same: one bit in every sell offer's answer. `accepts` asks one sell offer."""

    key: tuple[Condition, ...]
    bit: int
    accepts: "Callable[[Sell], bool]"


@dataclass(slots=True, eq=False)
class Sell:
    """A sell offer: its current version's terms, what is reserved and published on it, and who holds how much of it.

    `volume` counts published parts; `published` is the principal of bids said and not returned, over all versions; `reserved`
    that of bids an all-or-nothing offer has gathered and not said. All three in minor units; open = volume - published - reserved.
    """

    offer_id: str
    version: int
    seq: int
    """When this version came to the book: earlier is served first."""
    loan_id: str
    originator_id: str
    borrower_id: str | None
    product_id: str
    volume: int
    partial: bool
    lot_min: int
    ratio: Decimal
    labels: Mapping[str, str]
    numbers: Mapping[str, Decimal]
    expires_at: datetime | None
    closed: OfferState | None = None
    """Why it is not for sale; None while it is."""
    published: int = 0
    bids_made: int = 0
    """Bids ever published on this offer; it only grows, so two bids never share an id."""
    held: dict[str, int] = field(default_factory=dict)
    """Portfolio -> principal of its bids on this loan, reserved or published."""
    let_go: dict[str, int] = field(default_factory=dict)
    """Portfolio -> principal of its published bids that takes no room any more, since the loan was repaid."""
    placed: "dict[str, Placed]" = field(default_factory=dict)
    """Buy offer -> its reservation, in the order they were placed."""
    reserved: int = 0
    lot: int = 1
    """The smallest bid: `lot_min`, raised on an all-or-nothing offer so that BIDS_PER_OFFER_MAX bids suffice."""
    asked: int = 0
    """Derived: one bit per group whose criteria this version was held against."""
    accepted: int = 0
    """Derived: the bits of `asked` that said yes."""
    rank: int = -1
    """Derived: its place among open sell offers, or -1."""

    @property
    def open(self) -> int:
        """Minor units that can still be bid for."""
        return 0 if self.closed else self.volume - self.published - self.reserved

    @property
    def state(self) -> OfferState:
        """One word for it."""
        if self.closed:
            return self.closed
        if self.published >= self.volume:
            return OfferState.FILLED
        return OfferState.PARTIALLY_FILLED if self.published or self.reserved else OfferState.OPEN

    def set_lot(self) -> None:
        """Derive `lot` again: after a new version, and when a completed offer opens again."""
        whole = 0 if self.partial else -(-(self.volume - self.published) // BIDS_PER_OFFER_MAX)
        self.lot = max(1, self.lot_min, whole)


@dataclass(slots=True, eq=False)
class Portfolio:
    """What a portfolio has reserved or published in a book, and its buy offers. Amounts are minor units of principal."""

    portfolio_id: str
    buys: "dict[str, Buy]" = field(default_factory=dict)
    borrowers: dict[tuple[str, str], int] = field(default_factory=dict)
    """(originator, borrower) -> principal: a borrower's id means something to his originator only."""
    originators: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Buy:
    """The buy offer of a bucket: its current version's terms, and what it has reserved and published, in minor units of principal.

    Open = volume - (published - settled_total) - reserved, as trading/events.BuyOffer promises. `limit` = volume + settled_total
    is what published + reserved may rise to; more cannot be settled than was published, so that much of it counts.
    """

    offer_id: str
    version: int
    seq: int
    portfolio: Portfolio
    bucket_id: str
    investor_id: str
    product_id: str
    criteria: tuple[Condition, ...]
    """Canonical, see criteria.py."""
    volume: int
    limit: int
    per_loan_max: int
    per_borrower_max: int | None
    per_originator_max: int | None
    ratio: Decimal
    hold: Hold | None = None
    published: int = 0
    reserved: int = 0
    placed: "dict[str, Placed]" = field(default_factory=dict)
    """Sell offer -> the reservation on it."""
    group: Group | None = None
    """Derived: None while it buys nothing."""
    ranked: bool = False
    """Derived: whether it stands among the active buy offers."""

    @property
    def open(self) -> int:
        """Minor units it can still bid; may be below zero after a plan that shrinks."""
        return 0 if self.hold else self.limit - self.published - self.reserved


@dataclass(slots=True, eq=False)
class Placed:
    """A reservation: a bid on an all-or-nothing offer that is not said before the offer is complete."""

    sell: Sell
    buy: Buy
    principal: int

    @property
    def event(self) -> int:
        """The arrival that made it: that of the later of the two. It is made again when an earlier cause is undone."""
        return max(self.sell.seq, self.buy.seq)


@dataclass(frozen=True, slots=True)
class BidView:
    """A bid as the seller's side may see it: no investor, no portfolio, no bucket."""

    no: int
    """Number of the bid on its offer, from 1."""
    bid_id: str
    buy_offer_id: str
    principal: int
    sell_amount: int
    state: Literal["published", "returned"] = "published"
    reason: str | None = None
    """Why it returned."""


@dataclass(frozen=True, slots=True)
class OfferChange:
    """What one message made of one sell offer: its figures after it, and which of its bids returned (bid id, reason)."""

    offer_id: str
    loan_id: str
    version: int
    state: OfferState
    partial_sale: bool
    volume: int
    filled: int
    """Reserved and published."""
    published: int
    bids_total: int
    returned: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class OfferView:
    """A sell offer for readers. Amounts are minor units; `bids` are the newest BIDS_SHOWN_MAX of `bids_total`, oldest first."""

    offer_id: str
    loan_id: str
    version: int
    state: OfferState
    partial_sale: bool
    volume: int
    filled: int
    published: int
    bids_total: int
    book_version: int
    bids: tuple[BidView, ...] = ()
