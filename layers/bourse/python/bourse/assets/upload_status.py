"""What became of a file: its counts, its state, and every rejected record with its place."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from itertools import islice
from typing import Final

from bourse.assets.codes import NOTES
from bourse.assets.model import Rejection, UploadRef, UploadState
from bourse.assets.uploads import SEQ_MAX, ChunkTotals, Failure, Slot, UploadStore
from bourse.errors import NotFound, Refused
from bourse.message import Facts

PAGE: Final = 100
PAGE_MAX: Final = 1_000


class UploadNote(Facts):
    """Something worth knowing about an upload that did not change what was read."""

    code: str
    message: str


class UploadStatus(Facts):
    """Where an upload is. created + changed + unchanged + withdrawn + stale + rejected + pending = received, at every moment."""

    upload_id: str
    upload_seq: int
    state: UploadState
    received: int
    created: int
    changed: int
    unchanged: int
    withdrawn: int
    stale: int
    rejected: int
    pending: int
    issued_at: datetime
    expires_at: datetime
    size_bytes: int | None = None
    failure: Failure | None = None
    notes: tuple[UploadNote, ...] = ()


class RejectionPage(Facts):
    """Some of an upload's rejections. `next` is the cursor of the page after it; without one this was the last."""

    rejections: tuple[Rejection, ...]
    next: str | None = None


def upload_status(ref: UploadRef, *, uploads: UploadStore) -> UploadStatus:
    """The upload's status now. Raises NotFound UPLOAD_UNKNOWN."""
    slot = _slot(ref, uploads)
    return _status(slot, uploads.totals(ref) if slot.progress.records else ChunkTotals())


def recent_uploads(tenant_id: str, originator_id: str, *, uploads: UploadStore, limit: int = 20, before_seq: int = SEQ_MAX) -> tuple[UploadStatus, ...]:
    """The originator's latest uploads below `before_seq`, newest first; the last one's number is where the next page begins."""
    latest = islice(uploads.before(UploadRef(tenant_id, originator_id, before_seq)), limit)
    return tuple(_status(slot, uploads.totals(slot.ref) if slot.progress.records else ChunkTotals()) for slot in latest)


def _status(slot: Slot, totals: ChunkTotals) -> UploadStatus:
    progress = slot.progress
    rejected = progress.rejected + totals.rejected
    settled = totals.created + totals.changed + totals.unchanged + totals.withdrawn + totals.stale + rejected
    # Chunks are sent before their segment is counted, so that they may be versioned before they are received: never show fewer than settled.
    received = max(progress.records, settled)
    done = slot.state is UploadState.PROCESSING and totals.chunks >= sum(progress.chunks)
    return UploadStatus(
        upload_id=slot.ref.upload_id,
        upload_seq=slot.upload_seq,
        state=UploadState.PROCESSED if done else slot.state,
        received=received,
        created=totals.created,
        changed=totals.changed,
        unchanged=totals.unchanged,
        withdrawn=totals.withdrawn,
        stale=totals.stale,
        rejected=rejected,
        pending=received - settled,
        issued_at=slot.issued_at,
        expires_at=slot.expires_at,
        size_bytes=slot.arrival.size_bytes if slot.arrival else None,
        failure=slot.failure,
        notes=tuple(UploadNote(code=code, message=NOTES[code]) for code in slot.notes),
    )


def upload_rejections(ref: UploadRef, *, uploads: UploadStore, cursor: str | None = None, limit: int = PAGE) -> RejectionPage:
    """A page of the upload's rejections: those found while reading in the file's order, then those found while versioning.

    A cursor stays good for ever. While the upload is being processed a later page may miss what an earlier block gains; once
    nothing is pending the pages hold every rejection once. Raises NotFound UPLOAD_UNKNOWN, Refused CURSOR_INVALID or LIMIT_RANGE.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise Refused("LIMIT_RANGE", f"a page has 1 to {PAGE_MAX} rejections", "limit")
    _slot(ref, uploads)
    block, skip = _place(cursor)
    found: list[Rejection] = []
    for name, rejections in uploads.rejections(ref, block):
        begin = skip if name == block else 0
        room = limit - len(found)
        if room == 0:
            return RejectionPage(rejections=tuple(found), next=_cursor(name, 0))
        found += rejections[begin : begin + room]
        if begin + room < len(rejections):
            return RejectionPage(rejections=tuple(found), next=_cursor(name, begin + room))
    return RejectionPage(rejections=tuple(found))


def _slot(ref: UploadRef, uploads: UploadStore) -> Slot:
    if (slot := uploads.slot(ref)) is None:
        raise NotFound("UPLOAD_UNKNOWN", "there is no such upload", "upload_id")
    return slot


def _cursor(block: str, skip: int) -> str:
    return urlsafe_b64encode(f"{block}:{skip}".encode()).decode().rstrip("=")


def _place(cursor: str | None) -> tuple[str, int]:
    """The block and the place in it that a cursor names."""
    if not cursor:
        return "", 0
    try:
        block, skip = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").rsplit(":", 1)
        if not block.startswith(("rejections#", "chunk#")) or not (skip.isascii() and skip.isdigit()) or len(block) > 40:
            raise ValueError(cursor)
        return block, int(skip)
    except ValueError:
        raise Refused("CURSOR_INVALID", "the cursor is not one we gave", "cursor") from None
