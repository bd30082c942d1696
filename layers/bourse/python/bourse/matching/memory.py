"""The stores of matching kept in dicts: for tests and the simulation."""

from collections.abc import Sequence
from operator import itemgetter

from bourse.matching.model import OfferView
from bourse.matching.offers import merge
from bourse.matching.store import AlreadySaid, Committed, Fenced, Loaded, Said, Shown


class MemoryBooks:
    """A `BookStore`."""

    def __init__(self) -> None:
        self._journals: dict[str, list[bytes]] = {}
        self._said: dict[tuple[str, str], Said] = {}
        self._snapshots: dict[tuple[str, int], tuple[int, bytes]] = {}

    def load(self, book_id: str, formats: Sequence[int]) -> Loaded:
        journal = self._journals.get(book_id, [])
        at, snapshot = max((self._snapshots.get((book_id, one), (0, None)) for one in formats), key=itemgetter(0), default=(0, None))
        return Loaded(len(journal), snapshot, tuple(journal[at:]))

    def said(self, book_id: str, message_id: str) -> Said | None:
        return self._said.get((book_id, message_id))

    def commit(self, book_id: str, expected_version: int, entry: bytes, outputs: bytes, message_id: str) -> Committed | AlreadySaid | Fenced:
        journal = self._journals.setdefault(book_id, [])
        if said := self._said.get((book_id, message_id)):
            return AlreadySaid(said)
        if len(journal) != expected_version:
            return Fenced()
        journal.append(entry)
        self._said[book_id, message_id] = Said(len(journal), outputs)
        return Committed()

    def save_snapshot(self, book_id: str, version: int, snapshot_format: int, snapshot: bytes) -> None:
        if version > self._snapshots.get((book_id, snapshot_format), (0, b""))[0]:
            self._snapshots[book_id, snapshot_format] = (version, snapshot)


class MemoryOffers:
    """An `OfferStore`."""

    def __init__(self) -> None:
        self._rows: dict[str, OfferView] = {}

    def show(self, shown: Sequence[Shown]) -> None:
        for one in shown:
            self._rows[one.change.offer_id] = merge(self._rows.get(one.change.offer_id), one)

    def view(self, offer_id: str) -> OfferView | None:
        return self._rows.get(offer_id)
