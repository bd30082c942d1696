"""The ports of intake, and its noun: the upload slot with where its file is on its way. Slots change by compare and set only."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from pydantic import Field

from bourse.assets.model import SHARDS, Rejection, UploadRef, UploadState
from bourse.lifecycle import Lifecycle
from bourse.message import Facts

FILE_BYTES_MAX: Final = 5 * 1024**3
"""What S3 takes in one PUT or POST."""
FILE_RECORDS_MAX: Final = 5_000_000
SEQ_MAX: Final = 99_999_999
"""Upload numbers have eight digits."""
Ending = Literal[".bson", ".bson.gz"]
CLOSED: Final = frozenset({UploadState.PROCESSING, UploadState.PROCESSED, UploadState.FAILED, UploadState.EXPIRED, UploadState.CANCELLED})
UPLOAD: Final = Lifecycle(
    "Upload",
    begins=(UploadState.ISSUED,),
    steps=(
        (UploadState.ISSUED, UploadState.PARKED, "its file has arrived"),
        (UploadState.ISSUED, UploadState.EXPIRED, "nothing arrived in its time"),
        (UploadState.ISSUED, UploadState.CANCELLED, "the originator gave the slot back"),
        (UploadState.PARKED, UploadState.READING, "the file before it was read"),
        (UploadState.READING, UploadState.PROCESSING, "it was read to its end"),
        (UploadState.READING, UploadState.FAILED, "it breaks off, or is no file of records"),
        (UploadState.PROCESSING, UploadState.PROCESSED, "every chunk was versioned"),
    ),
)
"""Nothing of the file will be read any more, so the next one may be."""


class Declared(Facts):
    """What the originator said of his file beforehand. What is declared is held against what arrives."""

    size_bytes: int | None = None
    checksum_sha256: str | None = None
    """base64 of the SHA-256 of the object."""
    content_type: str | None = None
    records: int | None = None


class Arrival(Facts):
    """The object that arrived: enough to read exactly this one, whatever is written under its key later."""

    size_bytes: int
    etag: str
    version_id: str | None = None
    checksum_sha256: str | None = None
    written_at: datetime


class Progress(Facts):
    """How far a file was read: everything before `byte_offset` was sent, and will not be read again."""

    segment: int = 0
    byte_offset: int = 0
    """In the inflated file, when it is compressed."""
    records: int = 0
    rejected: int = 0
    chunks: tuple[int, ...] = (0,) * SHARDS
    """Chunks sent of each shard; the next one's number."""


class Failure(Facts):
    """Why reading ended early, and where."""

    code: str
    message: str
    byte_offset: int
    record_no: int


class Slot(Facts):
    """One upload: the place it was given, and how far it has come. `revision` counts its changes."""

    tenant_id: str
    originator_id: str
    upload_seq: int
    revision: int = 1
    state: UploadState = UploadState.ISSUED
    ending: Ending = ".bson"
    issued_at: datetime
    expires_at: datetime
    declared: Declared = Declared()
    arrival: Arrival | None = None
    progress: Progress = Progress()
    progressed_at: datetime | None = None
    """When the object was found, then when the last segment was read."""
    failure: Failure | None = None
    notes: tuple[str, ...] = ()

    @property
    def ref(self) -> UploadRef:
        return UploadRef(self.tenant_id, self.originator_id, self.upload_seq)

    @property
    def key(self) -> str:
        return f"{self.ref.key}{self.ending}"

    @property
    def closed(self) -> bool:
        return self.state in CLOSED

    @property
    def was_read(self) -> bool:
        """True when the file was read to its end, or to where it broke: then all before it are closed too."""
        return self.closed and self.arrival is not None

    def next(self, **changes: Any) -> "Slot":
        """The slot after this change."""
        UPLOAD.after(self.state, changes.get("state", self.state))
        return self.model_copy(update={**changes, "revision": self.revision + 1})


class ChunkTotals(Facts):
    """What the versioned chunks of an upload came to together."""

    chunks: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    stale: int = 0
    rejected: int = 0


class Signed(Facts):
    """A request the originator makes himself: a PUT of the octets with exactly these headers, or a POST form with these fields."""

    method: Literal["PUT", "POST"]
    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    fields: dict[str, str] = Field(default_factory=dict)


Block = tuple[str, tuple[Rejection, ...]]
"""The name of a kept block of rejections, and what is in it."""


class UploadStore(Protocol):
    """Keeps slots, and why records were rejected. Every read sees every write before it."""

    def issue(self, first: Slot, request: tuple[str, str] | None) -> Slot:
        """Keep a slot with the originator's next number; `first.upload_seq` is not looked at. Numbers have no gaps.

        `request` is (the caller's key, a digest of what he asked): the same key again gives the slot it gave before. Raises
        Conflict IDEMPOTENCY_KEY_REUSED when he asked something else then, Unavailable when too many ask at once.
        """
        ...

    def slot(self, ref: UploadRef) -> Slot | None:
        """The slot, or None when it was never issued."""
        ...

    def replace(self, slot: Slot) -> bool:
        """Keep the slot as revision n if the kept one is revision n - 1. False: somebody else changed it, nothing was kept."""
        ...

    def before(self, ref: UploadRef) -> Iterator[Slot]:
        """The originator's slots with lower numbers, highest first."""
        ...

    def after(self, ref: UploadRef) -> Iterator[Slot]:
        """The originator's slots with higher numbers, lowest first."""
        ...

    def open(self) -> Iterator[UploadRef]:
        """Every upload of every originator that is not closed, in no order."""
        ...

    def keep_rejections(self, ref: UploadRef, segment: int, rejections: Sequence[Rejection]) -> None:
        """Keep what was rejected in a segment of the file. The same segment again changes nothing."""
        ...

    def rejections(self, ref: UploadRef, start: str = "") -> Iterator[Block]:
        """Blocks of rejections from the block named `start` on: those of reading by place in the file, then those of versioning by chunk."""
        ...

    def totals(self, ref: UploadRef) -> ChunkTotals:
        """The sum over the chunks versioned so far."""
        ...


class UploadObjects(Protocol):
    """The bucket originators upload to."""

    def sign(self, key: str, declared: Declared, size_max: int, seconds: int) -> Signed:
        """A request that writes this key, begun within so many seconds: a PUT that pins the size or the checksum declared, else a POST that bounds the size.

        A PUT is refused by S3 when the key exists. A POST cannot carry that condition; then the first object counts.
        """
        ...

    def find(self, key: str) -> Arrival | None:
        """The object under the key as it is now, or None."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is an object under the key, by listing: the sweep may not read files."""
        ...

    def read(self, key: str, arrival: Arrival, start: int) -> Iterator[bytes]:
        """The octets of exactly that object from `start` to its end, in pieces of at most 256 KiB.

        Raises Refused OBJECT_CHANGED when that object is no more, Unavailable when it cannot be read to its end now.
        """
        ...
