"""Cuts a file into segments, and a segment into chunks by shard: always the same cut of the same file, so a repeat says the same messages. Pure."""

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

from bourse.assets.events import RecordsRead
from bourse.assets.frames import RECORD_BYTES_MAX, Broken, Frame
from bourse.assets.model import Rejection, shards_of
from bourse.assets.record import Loan, RecordReader, loan_id_in
from bourse.assets.uploads import FILE_RECORDS_MAX, Failure, Progress, Slot
from bourse.errors import Refused
from bourse.message import message_id, parts

SEGMENT_RECORDS: Final = 2_560
"""A segment is what is sent, and then remembered as read, at once: 160 records a shard."""
SEGMENT_BYTES_MAX: Final = 8 * 1024 * 1024
_HASH_OCTETS: Final = 16


Accepted = tuple[int, int, Loan]
"""One accepted record: its number and its offset in the file, and what it says."""


@dataclass(slots=True)
class Segment:
    """A run of records of one file. `last` says the file ends with it, `failure` that it ends there because it is broken."""

    before: Progress
    accepted: defaultdict[int, list[Accepted]] = field(default_factory=lambda: defaultdict(list))
    """By shard, in the file's order."""
    chunks: dict[int, tuple[tuple[Accepted, ...], ...]] = field(default_factory=dict)
    """The same once the segment is complete: by shard, cut into messages' worths."""
    rejections: list[Rejection] = field(default_factory=list)
    records: int = 0
    octets: int = 0
    last: bool = False
    failure: Failure | None = None

    @property
    def full(self) -> bool:
        return self.records >= SEGMENT_RECORDS or self.octets >= SEGMENT_BYTES_MAX

    def counts(self) -> dict[str, int]:
        """What the operator sees: records by outcome of reading, and rejections by code."""
        by_code = Counter(f"rejected_{rejection.code.lower()}" for rejection in self.rejections)
        return {"records_received": self.records, "records_rejected": len(self.rejections), **by_code}


class Cutter:
    """Cuts one file."""

    def __init__(self, slot: Slot, reader: RecordReader) -> None:
        self._shard_of: Final = shards_of(slot.originator_id)
        self._reader: Final = reader

    def segments(self, framed: Iterator[Frame], progress: Progress) -> Iterator[Segment]:
        """The segments from `progress` on. `framed` begins at its offset. The last one is marked, and may be empty."""
        while True:
            segment = Segment(progress)
            try:
                while not segment.full:
                    if (frame := next(framed, None)) is None:
                        segment.last = True
                        break
                    self._take(frame, segment)
            except Broken as broken:
                segment.last = True
                number = progress.records + segment.records
                segment.failure = Failure(code=broken.code, message=broken.detail, byte_offset=broken.byte_offset, record_no=number)
            segment.chunks = {shard: tuple(parts(found, _size)) for shard, found in sorted(segment.accepted.items())}
            yield segment
            if segment.last:
                return
            progress = after(segment)

    def _take(self, frame: Frame, segment: Segment) -> None:
        byte_offset, length, data = frame
        number = segment.before.records + segment.records
        if number == FILE_RECORDS_MAX:
            raise Broken("TOO_MANY_RECORDS", f"a file may have {FILE_RECORDS_MAX} records", byte_offset)
        segment.records += 1
        segment.octets += length
        try:
            if data is None:
                raise Refused("RECORD_TOO_LARGE", f"a record may have {RECORD_BYTES_MAX} bytes; this one has {length}")
            loan = self._reader.read(data)
        except Refused as refused:
            segment.rejections.append(_rejection(frame, number, refused))
        else:
            segment.accepted[self._shard_of(loan.loan_id)].append((number, byte_offset, loan))


def _rejection(frame: Frame, number: int, refused: Refused) -> Rejection:
    byte_offset, _, data = frame
    return Rejection(
        record_no=number,
        byte_offset=byte_offset,
        loan_id=loan_id_in(data) if data else None,
        code=refused.code,
        message=refused.detail,
        field=refused.field,
    )


def after(segment: Segment) -> Progress:
    """How far the file is read once the segment is sent."""
    before = segment.before
    return Progress(
        segment=before.segment + 1,
        byte_offset=before.byte_offset + segment.octets,
        records=before.records + segment.records,
        rejected=before.rejected + len(segment.rejections),
        chunks=tuple(number + len(segment.chunks.get(shard, ())) for shard, number in enumerate(before.chunks)),
    )


def chunks(slot: Slot, segment: Segment, hash_key: bytes) -> Iterator[RecordsRead]:
    """The segment's messages: of each shard its records in order, at most 200 and 600 KB each, numbered on from those before."""
    keyed = blake2b(key=hash_key, digest_size=_HASH_OCTETS)
    for shard, cut in segment.chunks.items():
        for number, part in enumerate(cut, segment.before.chunks[shard]):
            yield RecordsRead.model_validate(
                {
                    "message_id": message_id(RecordsRead.kind, slot.tenant_id, slot.originator_id, slot.upload_seq, shard, number),
                    "tenant_id": slot.tenant_id,
                    "correlation_id": slot.ref.upload_id,
                    "originator_id": slot.originator_id,
                    "upload_seq": slot.upload_seq,
                    "chunk_no": number,
                    "shard": shard,
                    "records": [_record_ref(*one, keyed.copy()) for one in part],
                    "documents": zlib.compress(b"\n".join([loan.document for _, _, loan in part]), 1),
                }
            )


def _size(accepted: Accepted) -> int:
    return len(accepted[2].document)


def _record_ref(record_no: int, byte_offset: int, loan: Loan, digest: blake2b) -> dict[str, Any]:
    """The facts of a RecordRef; the message makes and checks it. `digest` is a keyed hash of nothing yet."""
    digest.update(loan.document)
    return {
        "record_no": record_no,
        "byte_offset": byte_offset,
        "loan_id": loan.loan_id,
        "content_hash": digest.hexdigest(),
        "updated_at": loan.updated_at,
    }


def hash_key_of(secret: bytes, tenant_id: str) -> bytes:
    """The key of a tenant's content hashes: equal loans of two tenants do not show as equal."""
    return blake2b(tenant_id.encode(), key=blake2b(secret, digest_size=32).digest(), digest_size=32, person=b"bourse-content").digest()


def newest_of(slot: Slot) -> datetime:
    """The latest time a record of this file can have changed, by any originator's clock and closing of the day."""
    assert slot.arrival is not None, "a file that is read has arrived"
    return slot.arrival.written_at + timedelta(days=2)
