"""Files as originators send them, and a stage with everything intake needs, kept in memory."""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from struct import pack
from typing import Any

import bson
import orjson
from bourse.assets.events import RecordsRead, UploadReady
from bourse.assets.issue_upload import UploadAsked, UploadTicket, issue_upload
from bourse.assets.memory_uploads import MemoryObjects, MemoryUploads
from bourse.assets.memory_versions import MemoryChunks, MemoryVersions
from bourse.assets.model import Rejection, UploadRef
from bourse.assets.read_upload import read_upload
from bourse.assets.sweep_uploads import sweep_uploads
from bourse.assets.take_object import take_object
from bourse.assets.upload_status import UploadStatus, upload_rejections, upload_status
from bourse.assets.uploads import Slot, UploadObjects, UploadStore
from bourse.assets.version_assets import version_assets
from bourse.clock import FixedClock
from bourse.message import Outcome
from bourse.queues import MemoryQueues
from bson.decimal128 import Decimal128

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECRET = b"a secret of at least 32 octets, as text"
TENANT, ORIGINATOR = "demo", "acme"
LOAN: dict[str, Any] = {
    "loan_id": "L-1",
    "updated_at": NOON - timedelta(hours=2),
    "status": "active",
    "currency": "EUR",
    "principal": Decimal128("12000.00"),
    "outstanding_principal": Decimal128("11500.55"),
    "interest_rate": Decimal128("12.99"),
    "term_months": 36,
}
FULL: dict[str, Any] = LOAN | {
    "issued_on": "2025-06-01",
    "grade": "C",
    "country": "ES",
    "borrower": {"id": "B-1", "birth_year": 1990, "income_month": Decimal128("2500"), "employment": "employed"},
    "schedule": [
        {"due_on": "2026-02-01", "principal": Decimal128("300.10"), "interest": Decimal128("124.49")},
        {"due_on": "2026-03-01", "principal": Decimal128("303.35"), "interest": Decimal128("121.24")},
    ],
    "next_due_on": "2026-02-01",
    "days_past_due": 0,
    "partial_sale": True,
    "sellable_share": Decimal128("90"),
    "callback_url": "https://acme.example/offers",
    "sub_grade": "C2",
    "score": 17.25,
}


def loan(loan_id: str = "L-1", **facts: Any) -> dict[str, Any]:
    """A record; a fact given as ... is left out."""
    return {name: value for name, value in (LOAN | {"loan_id": loan_id} | facts).items() if value is not ...}


def book(count: int, first: int = 0, **facts: Any) -> bytes:
    """A file of so many loans."""
    return b"".join(bson.encode(loan(f"L-{number}", **facts)) for number in range(first, first + count))


def raw(*elements: bytes) -> bytes:
    """A BSON document of these raw elements, also of ones no encoder would write."""
    inside = b"".join(elements)
    return pack("<i", len(inside) + 5) + inside + b"\0"


def element(kind: int, name: bytes | str, value: bytes) -> bytes:
    return bytes([kind]) + (name.encode() if isinstance(name, str) else name) + b"\0" + value


def text(name: str, value: bytes) -> bytes:
    return element(2, name, pack("<i", len(value) + 1) + value + b"\0")


def with_element(*elements: bytes, without: str | None = None) -> bytes:
    """A good record with these raw elements added, and one of its own fields left out."""
    kept = bson.encode(loan(**({without: ...} if without else {})))[4:-1]
    return raw(kept, *elements)


@dataclass
class Stage:
    """An originator, his bucket, intake and versioning. Messages wait in `queue` until they are heard."""

    clock: FixedClock = field(default_factory=lambda: FixedClock(NOON))
    chunks: MemoryChunks = field(default_factory=MemoryChunks)
    versions: MemoryVersions = field(default_factory=MemoryVersions)
    uploads: UploadStore = field(default_factory=MemoryUploads)
    objects: UploadObjects | None = None
    queue: MemoryQueues = field(default_factory=MemoryQueues)
    left_ms: Callable[[], int] = lambda: 900_000

    def __post_init__(self) -> None:
        if isinstance(self.uploads, MemoryUploads):
            self.uploads.chunks = self.chunks
        self.bucket = MemoryObjects(self.clock)
        self.objects = self.objects or self.bucket

    def ask(self, originator: str = ORIGINATOR, request_key: str | None = None, **asked: Any) -> UploadTicket:
        return issue_upload(TENANT, originator, UploadAsked(**asked), uploads=self.uploads, objects=self.bucket, clock=self.clock, request_key=request_key)

    def slot(self, seq: int = 1, originator: str = ORIGINATOR) -> Slot:
        slot = self.uploads.slot(UploadRef(TENANT, originator, seq))
        assert slot is not None
        return slot

    def put(self, octets: bytes, seq: int = 1, originator: str = ORIGINATOR) -> str:
        """The originator writes his file; returns its key. S3 has told nobody yet."""
        key = self.slot(seq, originator).key
        self.bucket.put(key, octets)
        return key

    def told(self, key: str) -> Outcome:
        assert self.objects is not None
        return self.say(take_object(key, uploads=self.uploads, objects=self.objects, clock=self.clock))

    def read(self, message: UploadReady) -> Outcome:
        assert self.objects is not None
        outcome = read_upload(
            message,
            uploads=self.uploads,
            objects=self.objects,
            chunk_queue=self.queue,
            hash_secret=SECRET,
            remaining_ms=self.left_ms,
            clock=self.clock,
        )
        return self.say(outcome)

    def sweep(self) -> Outcome:
        assert self.objects is not None
        return self.say(sweep_uploads(uploads=self.uploads, objects=self.objects, clock=self.clock))

    def say(self, outcome: Outcome) -> Outcome:
        self.queue.send(outcome.says)
        return outcome

    def run(self) -> None:
        """Hear every UploadReady, also those said meanwhile, each once."""
        heard: set[str] = set()
        while waiting := [one for one in self.ready() if one.message_id not in heard]:
            for message in waiting:
                heard.add(message.message_id)
                self.read(message)

    def upload(self, octets: bytes, **asked: Any) -> UploadStatus:
        """The whole way of one file: a slot, the object, the reading; its status afterwards."""
        ticket = self.ask(**asked)
        self.told(self.put(octets, ticket.upload_seq))
        self.run()
        return self.status(ticket.upload_seq)

    def version(self) -> None:
        """Versioning hears every chunk said so far."""
        for chunk in self.said():
            version_assets(chunk, versions=self.versions, chunks=self.chunks, clock=self.clock)

    def status(self, seq: int = 1) -> UploadStatus:
        return upload_status(UploadRef(TENANT, ORIGINATOR, seq), uploads=self.uploads)

    def rejections(self, seq: int = 1) -> list[Rejection]:
        return list(upload_rejections(UploadRef(TENANT, ORIGINATOR, seq), uploads=self.uploads, limit=1000).rejections)

    def said(self) -> list[RecordsRead]:
        return [one for one in self.queue.said.values() if isinstance(one, RecordsRead)]

    def ready(self) -> list[UploadReady]:
        return [one for one in self.queue.said.values() if isinstance(one, UploadReady)]

    def loans(self) -> dict[int, dict[str, Any]]:
        """Record number -> the canonical record that was sent."""
        return {ref.record_no: record for chunk in self.said() for ref, record in zip(chunk.records, documents(chunk), strict=True)}


def documents(chunk: RecordsRead) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in zlib.decompress(chunk.documents).splitlines()]


def all_loans(chunks: Iterable[RecordsRead]) -> list[str]:
    return sorted(ref.loan_id for chunk in chunks for ref in chunk.records)


def ready_of(slot: Slot) -> UploadReady:
    """The message that the file of a slot is there."""
    return UploadReady(message_id="m", tenant_id=TENANT, correlation_id="c", originator_id=ORIGINATOR, upload_seq=slot.upload_seq, key=slot.key)
