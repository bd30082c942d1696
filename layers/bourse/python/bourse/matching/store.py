"""The ports of matching: where books are kept, and where their offers are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bourse.matching.model import BidView, OfferChange, OfferView


@dataclass(frozen=True, slots=True)
class Loaded:
    """A book as stored at `version`: a snapshot (or None: the empty book) and the messages since, oldest first."""

    version: int
    snapshot: bytes | None
    journal: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """What a message made its book say; the bytes are what was committed with it."""

    version: int
    outputs: bytes


@dataclass(frozen=True, slots=True)
class Committed:
    """The message is part of the book now, and its outputs will be found by `said` for ever."""


@dataclass(frozen=True, slots=True)
class AlreadySaid:
    """The message was part of the book before; nothing was changed."""

    said: Said


@dataclass(frozen=True, slots=True)
class Fenced:
    """The book is at another version than the writer thinks: somebody else wrote it. Nothing was changed; load it again."""


class BookStore(Protocol):
    """Keeps books as a journal of the messages they took.

    Promise: of all that commit at the same expected version one succeeds, so a book has one history, whoever writes. The next
    version, the journal entry and the outputs are one write. When a call raises Unavailable it may have been done: ask `said`.
    """

    def load(self, book_id: str, formats: Sequence[int]) -> Loaded:
        """The book as last committed, read consistently, with its newest snapshot of these formats; a book never heard of is version 0.

        Without a snapshot of these formats the journal is whole.
        """

    def said(self, book_id: str, message_id: str) -> Said | None:
        """What the message made this book say, or None when it is not part of it. Read consistently."""

    def commit(self, book_id: str, expected_version: int, entry: bytes, outputs: bytes, message_id: str) -> Committed | AlreadySaid | Fenced:
        """Append the message `entry` as version expected_version + 1, with its outputs under its id. Any size a queue carries."""

    def save_snapshot(self, book_id: str, version: int, snapshot_format: int, snapshot: bytes) -> None:
        """Keep the book's state at a committed version, so that loading need not read the journal before. The newest one of its format counts:
        a release neither meets nor replaces what another writes that it does not understand.
        """


@dataclass(frozen=True, slots=True)
class Shown:
    """A change of an offer at a version of its book, with the bids published by it."""

    change: OfferChange
    book_version: int
    bids: tuple[BidView, ...] = ()


class OfferStore(Protocol):
    """Shows offers that have bids: a projection of the book.

    Promise: showing the same again, or something older, takes nothing away: figures are those of the highest book version shown,
    a bid once shown stays (up to the newest BIDS_SHOWN_MAX), and a returned one stays returned.
    """

    def show(self, shown: Sequence[Shown]) -> None:
        """Bring these offers up to date; each offer once."""

    def view(self, offer_id: str) -> OfferView | None:
        """The offer, or None when it never had a bid."""
