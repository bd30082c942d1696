"""The use case: a message moves its book by one version, in one write, and what the book says is said once and for ever the same.

1. Was it heard before? Then what it said is said again, from what was committed with it.
2. The book is taken from the shelf of this warm environment, or loaded. `apply` moves it. One write commits the next version,
   the message and what it says, on the condition that the book is still at the version it was taken at.
3. Only a committed book goes back to the shelf. Whatever goes wrong in between, the moved book is dropped and loaded again: a
   writer whose shelf is stale is fenced, and hears the message anew.
4. Rows for readers follow the commit; a crash before them is mended when the message is delivered again.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bourse.assessment.events import SellOffersPlaced
from bourse.assets.events import OffersWithdrawn
from bourse.clock import Clock
from bourse.errors import Refused, Unavailable
from bourse.ledger.events import BidsReturned
from bourse.matching.apply import Heard, apply
from bourse.matching.book import Book, Step
from bourse.matching.codec import FORMAT, FORMATS, SnapshotUnreadable, dump, load
from bourse.matching.events import Bid, BidsPublished
from bourse.matching.offers import outputs_of, read_outputs, shown_by
from bourse.matching.store import AlreadySaid, BookStore, Committed, Loaded, OfferStore, Said
from bourse.message import RECORDS_MAX, Envelope, Message, Outcome, encode, message_id
from bourse.trading.events import BuyOffersPlaced

SNAPSHOT_ENTRIES: Final = 500
SNAPSHOT_BYTES: Final = 16_000_000
"""A snapshot is kept after this many messages, or bytes of them, whichever is first: more would make loading slow."""
_BOOKS_MAX: Final = 8
_ATTEMPTS: Final = 3
_KINDS: Final[dict[str, type[Message]]] = {kind.kind: kind for kind in (SellOffersPlaced, OffersWithdrawn, BuyOffersPlaced, BidsReturned)}


@dataclass(slots=True)
class Warm:
    """A book in memory, at the version it was committed at, with the journal's length since its last snapshot."""

    book: Book
    entries: int = 0
    octets: int = 0


class Shelf:
    """Books this environment has written lately: a hint only, the store's fence decides. A book taken and not put back is dropped."""

    def __init__(self) -> None:
        self._books: OrderedDict[str, Warm] = OrderedDict()

    def take(self, book_id: str) -> Warm | None:
        """The book, which is off the shelf from now on."""
        return self._books.pop(book_id, None)

    def put(self, warm: Warm) -> None:
        """The book as it was committed."""
        self._books[warm.book.book_id] = warm
        while len(self._books) > _BOOKS_MAX:
            self._books.popitem(last=False)


def match_offers(message: Heard, *, books: BookStore, offers: OfferStore, shelf: Shelf, clock: Clock) -> Outcome:  # noqa: ARG001 - a book's time is its messages'
    """Move the message's book and say the bids that come of it. Raises Refused BOOK_FOREIGN for a book of another tenant, Unavailable to be heard again."""
    book_id = message.book_id
    if not book_id.startswith(f"{message.tenant_id}/"):
        raise Refused("BOOK_FOREIGN", f"{book_id} is no book of tenant {message.tenant_id}", "book_id")
    if before := books.said(book_id, message.message_id):
        return _say_again(before, offers)
    entry = encode(message).encode()
    for _ in range(_ATTEMPTS):
        warm = shelf.take(book_id) or open_book(book_id, books)
        expected = warm.book.version
        step = apply(warm.book, message)
        says = tuple(_messages(message, step, warm.book.version))
        match books.commit(book_id, expected, entry, outputs_of(step.changes, says), message.message_id):
            case Committed():
                warm.entries += 1
                warm.octets += len(entry)
                _snapshot_when_due(warm, books)
                shelf.put(warm)
                offers.show(shown_by(step.changes, says, warm.book.version))
                return Outcome(says, _counts(step, says))
            case AlreadySaid(said):
                return _say_again(said, offers)
    raise Unavailable(f"{book_id} is being written by others")


def open_book(book_id: str, books: BookStore) -> Warm:
    """The book as stored: its newest snapshot of a format that is read here and what it heard since; or, when it cannot be read, all it ever heard."""
    stored = books.load(book_id, FORMATS)
    try:
        book = load(book_id, stored.snapshot) if stored.snapshot else Book(book_id)
    except SnapshotUnreadable:
        stored, book = books.load(book_id, ()), Book(book_id)
    return _replay(book, stored)


def _replay(book: Book, stored: Loaded) -> Warm:
    for entry in stored.journal:
        message = Envelope(entry.decode()).read(_KINDS)
        assert isinstance(message, Heard), "a book's journal holds what it heard"
        apply(book, message)
    assert book.version == stored.version, f"{book.book_id} replays to {book.version}, not {stored.version}"
    return Warm(book, len(stored.journal), sum(map(len, stored.journal)))


def _say_again(said: Said, offers: OfferStore) -> Outcome:
    changes, says = read_outputs(said.outputs)
    offers.show(shown_by(changes, says, said.version))
    return Outcome(says, {"messages_repeated": 1})


def _snapshot_when_due(warm: Warm, books: BookStore) -> None:
    if warm.entries >= SNAPSHOT_ENTRIES or warm.octets >= SNAPSHOT_BYTES:
        books.save_snapshot(warm.book.book_id, warm.book.version, FORMAT, dump(warm.book))
        warm.entries = warm.octets = 0


def _messages(cause: Heard, step: Step, version: int) -> Iterator[BidsPublished]:
    """The bids by originator, in their order, 200 a message; a block stays in one message."""
    by_originator: dict[str, list[tuple[Bid, ...]]] = {}
    for block in step.blocks:
        by_originator.setdefault(block[0].originator_id, []).append(block)
    for originator_id, blocks in by_originator.items():
        for number, bids in enumerate(_chunks(blocks)):
            yield BidsPublished(
                message_id=message_id(BidsPublished.kind, cause.message_id, originator_id, number),
                tenant_id=cause.tenant_id,
                correlation_id=cause.correlation_id,
                book_id=cause.book_id,
                currency=cause.book_id.split("/")[1],
                originator_id=originator_id,
                book_version=version,
                said_at=cause.said_at,
                bids=bids,
            )


def _chunks(blocks: list[tuple[Bid, ...]]) -> Iterator[tuple[Bid, ...]]:
    chunk: tuple[Bid, ...] = ()
    for block in blocks:
        if chunk and len(chunk) + len(block) > RECORDS_MAX:
            yield chunk
            chunk = ()
        chunk += block
    if chunk:
        yield chunk


def _counts(step: Step, says: tuple[BidsPublished, ...]) -> dict[str, int]:
    bids = [bid for message in says for bid in message.bids]
    counts = dict(step.counts) | {"matches": len(bids), "principal_matched_minor": sum(bid.principal for bid in bids)}
    return {name: number for name, number in counts.items() if number}
