"""UploadReady -> the file's records, validated and in chunks -> RecordsRead; and UploadReady for itself to go on, or for the file after it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bourse.assets.cut import Cutter, Segment, after, chunks, hash_key_of, newest_of
from bourse.assets.events import UploadReady
from bourse.assets.frames import Broken, drop, frames, inflate
from bourse.assets.model import UploadRef, UploadState
from bourse.assets.record import RecordReader
from bourse.assets.take_object import ready, take_object
from bourse.assets.uploads import FILE_BYTES_MAX, Arrival, Failure, Progress, Slot, UploadObjects, UploadStore
from bourse.clock import Clock
from bourse.errors import Refused, Unavailable
from bourse.message import Message, Outcome
from bourse.queues import Queues

RESERVE_MS: Final = 20_000
"""With less time left than this no further segment is begun: one takes about 0.1 s of work, and its stores may be slow."""


def read_upload(
    message: UploadReady,
    *,
    uploads: UploadStore,
    objects: UploadObjects,
    chunk_queue: Queues,
    hash_secret: bytes,
    remaining_ms: Callable[[], int],
    clock: Clock,
) -> Outcome:
    """Read the file from where it was left, segment by segment: send a segment's chunks, keep its rejections, remember the place.

    A file waits until all before it are closed. With little time left it says UploadReady for itself; when it is closed, for the
    next file that waits. Heard again it goes on from the last place remembered, and says the messages after it again, the same
    ones. At least one segment is read each time. Raises Unavailable, also when another reader was faster.
    """
    slot = uploads.slot(UploadRef(message.tenant_id, message.originator_id, message.upload_seq))
    if slot is None or slot.key != message.key:
        return Outcome(counts={"uploads_unknown": 1})
    if slot.arrival is None and not slot.closed:  # the sweep found an object that S3 never told of
        take_object(slot.key, uploads=uploads, objects=objects, clock=clock)
        slot = uploads.slot(slot.ref) or slot
    if slot.closed:
        return Outcome(wake_next(slot, uploads), {"uploads_heard_again": 1})
    if slot.arrival is None:
        return Outcome(counts={"uploads_not_arrived": 1})
    if slot.state is UploadState.PARKED:
        if waits(slot, uploads):
            return Outcome(counts={"uploads_parked": 1})
        slot = kept(slot.next(state=UploadState.READING, progressed_at=clock.now()), uploads)
    assert slot.arrival is not None, "reading does not forget what arrived"
    reading = _Reading(slot, slot.arrival, uploads, objects, chunk_queue, hash_key_of(hash_secret, slot.tenant_id), clock)
    return reading.run(remaining_ms)


def waits(slot: Slot, uploads: UploadStore) -> bool:
    """True while a file before this one is not closed."""
    for earlier in uploads.before(slot.ref):
        if not earlier.closed:
            return True
        if earlier.was_read:
            return False
    return False


def wake_next(slot: Slot, uploads: UploadStore) -> tuple[Message, ...]:
    """UploadReady for the next file that is not closed, if it has arrived."""
    for later in uploads.after(slot.ref):
        if not later.closed:
            return () if later.arrival is None else (ready(later, "after", slot.upload_seq),)
    return ()


def kept(slot: Slot, uploads: UploadStore) -> Slot:
    """The slot, once it is kept. Raises Unavailable when somebody else changed it meanwhile."""
    if not uploads.replace(slot):
        raise Unavailable("another reader has taken this upload further")
    return slot


@dataclass(slots=True)
class _Reading:
    """One invocation's reading of one file."""

    slot: Slot
    arrival: Arrival
    uploads: UploadStore
    objects: UploadObjects
    chunk_queue: Queues
    hash_key: bytes
    clock: Clock

    def run(self, remaining_ms: Callable[[], int]) -> Outcome:
        counts: Counter[str] = Counter()
        if failure := self._misfit():
            return self._closed(self._close(failure), counts)
        cutter = Cutter(self.slot, RecordReader(self.slot.originator_id, newest_of(self.slot)))
        for segment in cutter.segments(frames(self._pieces(), self.slot.progress.byte_offset), self.slot.progress):
            self._send(segment)
            counts.update(segment.counts())
            if segment.last:
                return self._closed(self._remember(segment), counts)
            self._remember(segment)
            if remaining_ms() < RESERVE_MS:
                break
        return Outcome((ready(self.slot, "segment", self.slot.progress.segment),), {**counts, "uploads_continued": 1})

    def _misfit(self) -> Failure | None:
        """What is wrong with the object as a whole, before anything of it is read."""
        declared, size = self.slot.declared, self.arrival.size_bytes
        wrong: tuple[str, str] | None = None
        if size == 0:
            wrong = ("EMPTY_FILE", "the object has no bytes")
        elif size > FILE_BYTES_MAX:
            wrong = ("SIZE_EXCEEDED", f"the object has {size} bytes, more than {FILE_BYTES_MAX}")
        elif declared.size_bytes not in {None, size}:
            wrong = ("SIZE_DIFFERS", f"{declared.size_bytes} bytes were declared, {size} arrived")
        elif declared.checksum_sha256 and self.arrival.checksum_sha256 not in {None, declared.checksum_sha256}:
            wrong = ("CHECKSUM_DIFFERS", "the object's SHA-256 is not the declared one")
        return Failure(code=wrong[0], message=wrong[1], byte_offset=0, record_no=0) if wrong else None

    def _pieces(self) -> Iterator[bytes]:
        """The file's octets from where it was left. A change of the object ends the file like a broken frame."""
        start = self.slot.progress.byte_offset
        packed = self.slot.ending == ".bson.gz"
        try:
            pieces = self.objects.read(self.slot.key, self.arrival, 0 if packed else start)
            yield from drop(inflate(pieces), start) if packed else pieces
        except Broken:
            raise
        except Refused as refused:
            raise Broken(refused.code, refused.detail, self.slot.progress.byte_offset) from refused

    def _send(self, segment: Segment) -> None:
        self.chunk_queue.send(chunks(self.slot, segment, self.hash_key))
        if segment.rejections:
            self.uploads.keep_rejections(self.slot.ref, segment.before.segment, segment.rejections)

    def _remember(self, segment: Segment) -> Slot:
        progress = after(segment)
        if segment.last:
            nothing = Failure(code="EMPTY_FILE", message="the compressed file holds nothing", byte_offset=0, record_no=0)
            return self._close(segment.failure or (nothing if progress.byte_offset == 0 else None), progress)
        self.slot = kept(self.slot.next(progress=progress, progressed_at=self.clock.now()), self.uploads)
        return self.slot

    def _close(self, failure: Failure | None, progress: Progress | None = None) -> Slot:
        state = UploadState.FAILED if failure else UploadState.PROCESSING
        progress, notes = progress or self.slot.progress, self.slot.notes
        if failure is None and self.slot.declared.records not in {None, progress.records}:
            notes = (*notes, "RECORDS_DIFFER")
        closed = self.slot.next(state=state, failure=failure, notes=notes, progress=progress, progressed_at=self.clock.now())
        self.slot = kept(closed, self.uploads)
        return self.slot

    def _closed(self, slot: Slot, counts: Counter[str]) -> Outcome:
        if slot.failure:
            counts.update({"uploads_failed": 1, f"failed_{slot.failure.code.lower()}": 1})
        return Outcome(wake_next(slot, self.uploads), {**counts, "uploads_read": 1})
