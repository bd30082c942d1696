"""An originator asks for a place to put a file, or gives it back. Files are read in the order in which their places were given."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import islice
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from bourse.assets.model import UploadRef, UploadState
from bourse.assets.uploads import FILE_BYTES_MAX, FILE_RECORDS_MAX, SEQ_MAX, Declared, Ending, Signed, Slot, UploadObjects, UploadStore
from bourse.clock import Clock
from bourse.errors import Conflict, NotFound, Refused, Unavailable
from bourse.message import Facts

VALID_SECONDS: Final = 900
OPEN_MAX: Final = 100
"""Uploads of one originator that may be on their way at a time."""
_ATTEMPTS: Final = 5


class UploadAsked(Facts):
    """What an originator may say of his file when he asks for a slot. Nothing is mandatory; what he says is checked."""

    size_bytes: Annotated[int, Field(gt=0, le=FILE_BYTES_MAX, strict=True)] | None = None
    checksum_sha256: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}=$")] | None = None
    """base64 of the SHA-256 of the object."""
    content_type: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.+-]{1,60}/[A-Za-z0-9.+-]{1,60}$")] | None = None
    compressed: Annotated[bool, Field(strict=True)] = False
    """True for a gzip file: the key then ends in `.bson.gz`."""
    records: Annotated[int, Field(ge=0, le=FILE_RECORDS_MAX, strict=True)] | None = None
    valid_seconds: Annotated[int, Field(ge=60, le=43_200, strict=True)] = VALID_SECONDS
    """How long the request may be begun; ask for more when files are large or queue up on your side."""


class UploadTicket(Facts):
    """An upload slot with the request to make. Send `upload` as it stands: its headers or fields are signed."""

    upload_id: str
    upload_seq: int
    state: UploadState
    expires_at: datetime
    upload: Signed


def issue_upload(
    tenant_id: str, originator_id: str, asked: UploadAsked, *, uploads: UploadStore, objects: UploadObjects, clock: Clock, request_key: str | None = None
) -> UploadTicket:
    """Give the originator his next slot and sign the request that fills it.

    With `request_key` a repeat gives the same slot, signed for the rest of its time. Raises Refused TOO_MANY_UPLOADS, Conflict
    IDEMPOTENCY_KEY_REUSED or UPLOAD_CLOSED (the repeat came when the slot had been filled or had expired), Unavailable.
    """
    now = clock.now().replace(microsecond=0)
    declared = Declared(size_bytes=asked.size_bytes, checksum_sha256=asked.checksum_sha256, content_type=asked.content_type, records=asked.records)
    ending: Ending = ".bson.gz" if asked.compressed else ".bson"
    first = Slot(
        tenant_id=tenant_id,
        originator_id=originator_id,
        upload_seq=0,
        ending=ending,
        issued_at=now,
        expires_at=now + timedelta(seconds=asked.valid_seconds),
        declared=declared,
    )
    _check_open(uploads.before(UploadRef(tenant_id, originator_id, SEQ_MAX)))
    # Only what he said: a repeat that another release answers, with another default, is the same request.
    said = asked.model_dump_json(exclude_unset=True)
    request = (request_key, blake2b(said.encode(), digest_size=12).hexdigest()) if request_key else None
    slot = uploads.issue(first, request)
    seconds = int((slot.expires_at - now).total_seconds())
    if slot.state is not UploadState.ISSUED or seconds <= 0:
        raise Conflict("UPLOAD_CLOSED", f"this request gave upload {slot.ref.upload_id}, which is {slot.state} or has expired")
    signed = objects.sign(slot.key, slot.declared, FILE_BYTES_MAX, seconds)
    return UploadTicket(upload_id=slot.ref.upload_id, upload_seq=slot.upload_seq, state=slot.state, expires_at=slot.expires_at, upload=signed)


def _check_open(latest: Iterable[Slot]) -> None:
    """Raises Refused when the latest OPEN_MAX slots are all still open. An open slot is seen first, so this mostly reads one."""
    opened = 0
    for slot in islice(latest, OPEN_MAX):
        if slot.closed:
            return
        opened += 1
    if opened == OPEN_MAX:
        raise Refused("TOO_MANY_UPLOADS", f"{OPEN_MAX} uploads are on their way: wait for them, or cancel slots you will not use")


def cancel_upload(ref: UploadRef, *, uploads: UploadStore) -> Slot:
    """Give a slot back before its file arrived, so that the next file need not wait until it expires. Doing it twice changes nothing.

    Raises NotFound UPLOAD_UNKNOWN, Conflict UPLOAD_ARRIVED when there is a file or the slot has expired.
    """
    for _ in range(_ATTEMPTS):
        if (slot := uploads.slot(ref)) is None:
            raise NotFound("UPLOAD_UNKNOWN", "there is no such upload", "upload_id")
        if slot.state is UploadState.CANCELLED:
            return slot
        if slot.state is not UploadState.ISSUED:
            raise Conflict("UPLOAD_ARRIVED", f"the upload is {slot.state}: only a slot whose file has not arrived can be cancelled")
        cancelled = slot.next(state=UploadState.CANCELLED)
        if uploads.replace(cancelled):
            return cancelled
    raise Unavailable("the slot is being changed by others all the time")
