"""Slots, rejections and objects kept in dicts, with the same promises as DynamoDB and S3: for tests and the simulation."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import md5, sha256
from typing import Final

from bourse.assets.memory_versions import MemoryChunks
from bourse.assets.model import Change, Rejection, UploadRef
from bourse.assets.uploads import Arrival, Block, ChunkTotals, Declared, Signed, Slot
from bourse.assets.versions import ChunkRef, ChunkResult
from bourse.clock import Clock
from bourse.errors import Conflict, Refused

_PIECE_BYTES: Final = 256 * 1024


class MemoryUploads:
    """An `UploadStore`. What chunks came to it reads from the store of versioning, as the tables are one there."""

    def __init__(self, chunks: MemoryChunks | None = None) -> None:
        self.slots: dict[UploadRef, Slot] = {}
        self.asked: dict[tuple[str, str, str], tuple[str, UploadRef]] = {}
        self.blocks: dict[tuple[UploadRef, str], tuple[Rejection, ...]] = {}
        self.chunks = chunks or MemoryChunks()

    def issue(self, first: Slot, request: tuple[str, str] | None) -> Slot:
        key = (first.tenant_id, first.originator_id, request[0] if request else "")
        if request and (before := self.asked.get(key)):
            if before[0] != request[1]:
                raise Conflict("IDEMPOTENCY_KEY_REUSED", "this key was used for another request")
            return self.slots[before[1]]
        last = max((ref.upload_seq for ref in self.slots if (ref.tenant_id, ref.originator_id) == key[:2]), default=0)
        slot = first.model_copy(update={"upload_seq": last + 1})
        self.slots[slot.ref] = slot
        if request:
            self.asked[key] = (request[1], slot.ref)
        return slot

    def slot(self, ref: UploadRef) -> Slot | None:
        return self.slots.get(ref)

    def replace(self, slot: Slot) -> bool:
        kept = self.slots.get(slot.ref)
        if kept is None or kept.revision != slot.revision - 1:
            return False
        self.slots[slot.ref] = slot
        return True

    def before(self, ref: UploadRef) -> Iterator[Slot]:
        return reversed([slot for slot in self._of(ref) if slot.upload_seq < ref.upload_seq])

    def after(self, ref: UploadRef) -> Iterator[Slot]:
        return iter([slot for slot in self._of(ref) if slot.upload_seq > ref.upload_seq])

    def _of(self, ref: UploadRef) -> list[Slot]:
        mine = [slot for slot in self.slots.values() if (slot.tenant_id, slot.originator_id) == (ref.tenant_id, ref.originator_id)]
        return sorted(mine, key=lambda slot: slot.upload_seq)

    def open(self) -> Iterator[UploadRef]:
        return iter([ref for ref, slot in self.slots.items() if not slot.closed])

    def keep_rejections(self, ref: UploadRef, segment: int, rejections: Sequence[Rejection]) -> None:
        self.blocks[ref, f"rejections#{segment:06d}#00"] = tuple(rejections)

    def rejections(self, ref: UploadRef, start: str = "") -> Iterator[Block]:
        read = {name: found for (of, name), found in self.blocks.items() if of == ref}
        versioned = {f"chunk#{chunk.shard:02d}#{chunk.chunk_no:06d}": result.rejections for chunk, result in self._results(ref) if result.rejections}
        for blocks, prefix in ((read, "rejections#"), (versioned, "chunk#")):
            if not start.startswith("chunk#") or prefix == "chunk#":
                yield from ((name, found) for name, found in sorted(blocks.items()) if name >= start or not start.startswith(prefix))

    def totals(self, ref: UploadRef) -> ChunkTotals:
        results = [result for _, result in self._results(ref)]
        sums = {str(change): sum(result.counts.get(change, 0) for result in results) for change in Change}
        return ChunkTotals(chunks=len(results), **sums)

    def _results(self, ref: UploadRef) -> list[tuple[ChunkRef, ChunkResult]]:
        return [
            (chunk, result)
            for chunk, result in self.chunks.kept.items()
            if (chunk.tenant_id, chunk.originator_id, chunk.upload_seq) == (ref.tenant_id, ref.originator_id, ref.upload_seq)
        ]


@dataclass(frozen=True, slots=True)
class _Object:
    arrival: Arrival
    octets: bytes


class MemoryObjects:
    """An `UploadObjects`. `put` is what S3 does when an originator uploads; a key written again keeps its earlier objects."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.kept: dict[str, list[_Object]] = {}

    def put(self, key: str, octets: bytes) -> Arrival:
        versions = self.kept.setdefault(key, [])
        arrival = Arrival(
            size_bytes=len(octets),
            etag=md5(octets, usedforsecurity=False).hexdigest(),
            version_id=f"v{len(versions) + 1}",
            checksum_sha256=b64encode(sha256(octets).digest()).decode(),
            written_at=self._clock.now(),
        )
        versions.append(_Object(arrival, octets))
        return arrival

    def sign(self, key: str, declared: Declared, size_max: int, seconds: int) -> Signed:
        wants = f"{declared.size_bytes or f'1-{size_max}'} bytes within {seconds} s"
        return Signed(method="PUT" if declared.size_bytes or declared.checksum_sha256 else "POST", url=f"memory://uploads/{key}", headers={"x-wants": wants})

    def find(self, key: str) -> Arrival | None:
        return self.kept[key][-1].arrival if self.kept.get(key) else None

    def exists(self, key: str) -> bool:
        return bool(self.kept.get(key))

    def read(self, key: str, arrival: Arrival, start: int) -> Iterator[bytes]:
        for kept in self.kept.get(key, ()):
            if kept.arrival == arrival:
                for at in range(start, len(kept.octets), _PIECE_BYTES):
                    yield kept.octets[at : at + _PIECE_BYTES]
                return
        raise Refused("OBJECT_CHANGED", "the object that arrived is no more")
