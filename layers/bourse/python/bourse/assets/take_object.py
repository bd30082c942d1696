"""An object arrived -> its slot knows it, once -> UploadReady. S3 tells of objects twice, late, and in any order."""

from typing import Final

from bourse.assets.events import UploadReady
from bourse.assets.model import UploadRef, UploadState
from bourse.assets.uploads import Arrival, Slot, UploadObjects, UploadStore
from bourse.clock import Clock
from bourse.errors import Unavailable
from bourse.message import Outcome, message_id

_ATTEMPTS: Final = 5


def take_object(key: str, *, uploads: UploadStore, objects: UploadObjects, clock: Clock) -> Outcome:
    """Note the object in its slot and say that the upload is ready to be read, if it still is.

    Keys we never gave out are counted and ignored; so is an object that came too late or over another one, which its slot notes.
    Doing it twice says the same. Raises Unavailable when the slot keeps changing.
    """
    ref = UploadRef.of_key(key)
    if ref is None:
        return Outcome(counts={"objects_foreign": 1})
    for _ in range(_ATTEMPTS):
        slot = uploads.slot(ref)
        if slot is None or slot.key != key:
            return Outcome(counts={"objects_foreign": 1})
        if (found := objects.find(key)) is None:
            return Outcome(counts={"objects_gone": 1})
        changed = _changed(slot, found, clock)
        if changed is slot or uploads.replace(changed):
            return _said(changed)
    raise Unavailable("the slot is being changed by others all the time")


def _changed(slot: Slot, found: Arrival, clock: Clock) -> Slot:
    """The slot with what the object means for it; the slot itself when it means nothing new."""
    if slot.state is UploadState.ISSUED:
        return slot.next(state=UploadState.PARKED, arrival=found, progressed_at=clock.now())
    note = "ARRIVED_LATE" if slot.arrival is None else "OVERWRITTEN"
    same = slot.arrival is not None and (slot.arrival.etag, slot.arrival.version_id) == (found.etag, found.version_id)
    return slot if same or note in slot.notes else slot.next(notes=(*slot.notes, note))


def _said(slot: Slot) -> Outcome:
    if slot.arrival is None:
        return Outcome(counts={"objects_late": 1})
    if "OVERWRITTEN" in slot.notes and slot.closed:
        return Outcome(counts={"objects_overwritten": 1})
    return Outcome(says=() if slot.closed else (ready(slot, "arrived"),), counts={"objects_taken": 1})


def ready(slot: Slot, *why: str | int) -> UploadReady:
    """The message that the upload may be read (on), for this reason; the same reason again is the same message."""
    return UploadReady(
        message_id=message_id(UploadReady.kind, slot.tenant_id, slot.originator_id, slot.upload_seq, *why),
        tenant_id=slot.tenant_id,
        correlation_id=slot.ref.upload_id,
        originator_id=slot.originator_id,
        upload_seq=slot.upload_seq,
        key=slot.key,
    )
