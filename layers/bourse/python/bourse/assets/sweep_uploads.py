"""Every minute: what S3 did not tell, nobody used, or a lost reader left behind is found, closed or said again."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from bourse.assets.model import UploadState
from bourse.assets.read_upload import waits, wake_next
from bourse.assets.take_object import ready
from bourse.assets.uploads import Slot, UploadObjects, UploadStore
from bourse.clock import Clock
from bourse.message import Message, Outcome

GRACE: Final = timedelta(minutes=5)
"""An upload begun in time may end later; so long after the slot's end it is still taken."""
QUIET: Final = timedelta(minutes=10)
"""A file being read makes progress every second: after this its reader is lost."""


def sweep_uploads(*, uploads: UploadStore, objects: UploadObjects, clock: Clock) -> Outcome:
    """Look after every open slot: say objects never announced, close expired slots, wake files that wait for nothing or stand still.

    Doing it twice in a minute says the same messages.
    """
    said: list[Message] = []
    counts: Counter[str] = Counter()
    for ref in uploads.open():
        slot = uploads.slot(ref)
        if slot is None or slot.closed:
            continue
        outcome = _look_after(slot, uploads, objects, clock)
        said += outcome.says
        counts.update(outcome.counts)
    return Outcome(tuple(said), dict(counts))


def _look_after(slot: Slot, uploads: UploadStore, objects: UploadObjects, clock: Clock) -> Outcome:
    now = clock.now()
    if slot.arrival is None:
        if objects.exists(slot.key):
            return Outcome((ready(slot, "swept", _minute(now)),), {"uploads_found": 1})
        if now < slot.expires_at + GRACE or not uploads.replace(slot.next(state=UploadState.EXPIRED)):
            return Outcome()
        return Outcome(wake_next(slot, uploads), {"uploads_expired": 1})
    still_since = slot.progressed_at or slot.issued_at
    if slot.state is UploadState.PARKED and not waits(slot, uploads) and now - still_since >= timedelta(minutes=1):
        return Outcome((ready(slot, "swept", _minute(now)),), {"uploads_woken": 1})
    if slot.state is UploadState.READING and now - still_since >= QUIET:
        return Outcome((ready(slot, "swept", _minute(now)),), {"uploads_quiet": 1})
    return Outcome()


def _minute(now: datetime) -> int:
    return int(now.timestamp()) // 60
