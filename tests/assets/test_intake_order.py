"""Files in their order, what S3 tells of them (twice, late, never), and what the sweep finds."""

from datetime import timedelta

import pytest
from bourse.assets.events import UploadReady
from bourse.assets.model import UploadRef, UploadState
from bourse.clock import FixedClock
from bourse.errors import Refused

from tests.assets.intake_builders import ORIGINATOR, TENANT, Stage, book, ready_of
from tests.assets.slots import placed

# Order


def test_file_two_before_file_one_waits_for_it() -> None:
    stage = Stage()
    for _ in range(2):
        stage.ask()
    stage.told(stage.put(book(2, grade="B"), 2))
    stage.run()
    assert (stage.status(2).state, stage.said()) == ("parked", [])
    stage.told(stage.put(book(2, grade="A"), 1))
    stage.run()
    assert [chunk.upload_seq for chunk in stage.said()] == sorted(chunk.upload_seq for chunk in stage.said())
    assert (stage.status(1).state, stage.status(2).state) == ("processing", "processing")


def test_a_failed_file_lets_the_next_one_go_on() -> None:
    stage = Stage()
    stage.ask()
    stage.ask()
    stage.told(stage.put(book(1), 2))
    stage.run()
    stage.told(stage.put(b"{}", 1))
    stage.run()
    assert (stage.status(1).state, stage.status(2).state) == ("failed", "processing")


def test_files_of_two_originators_do_not_wait_for_each_other() -> None:
    stage = Stage()
    stage.ask("bank")
    stage.ask()
    stage.told(stage.put(book(1)))
    stage.run()
    assert stage.status().state == "processing"


@pytest.mark.parametrize("hours", range(0, 24 * 3, 5))
def test_a_file_is_the_same_file_at_any_hour_of_any_day(hours: int) -> None:
    """Nobody knows when an originator's day ends, so nothing is made of the clock: the same messages, whenever it came."""
    first, later = Stage(), Stage()
    later.clock = FixedClock(later.clock.now() + timedelta(hours=hours))
    for stage in (first, later):
        stage.upload(book(3))
    assert [chunk.documents for chunk in later.said()] == [chunk.documents for chunk in first.said()]
    assert [chunk.records for chunk in later.said()] == [chunk.records for chunk in first.said()]
    assert later.status().state == first.status().state


def test_a_cancelled_slot_lets_the_next_file_go_on() -> None:
    from bourse.assets.issue_upload import cancel_upload

    stage = Stage()
    stage.ask()
    stage.ask()
    stage.told(stage.put(book(1), 2))
    stage.run()
    for _ in range(2):
        assert cancel_upload(UploadRef(TENANT, ORIGINATOR, 1), uploads=stage.uploads).state == "cancelled"
    stage.clock.at += timedelta(minutes=1)
    stage.sweep()
    stage.run()
    assert (stage.status(1).state, stage.status(2).state) == ("cancelled", "processing")
    with pytest.raises(Refused, match="UPLOAD_ARRIVED"):
        cancel_upload(UploadRef(TENANT, ORIGINATOR, 2), uploads=stage.uploads)
    with pytest.raises(Refused, match="UPLOAD_UNKNOWN"):
        cancel_upload(UploadRef(TENANT, ORIGINATOR, 9), uploads=stage.uploads)


def test_a_closed_slot_between_does_not_let_a_file_overtake_an_open_one() -> None:
    stage = Stage()
    for _ in range(3):
        stage.ask()
    assert stage.uploads.replace(stage.slot(2).next(state=UploadState.CANCELLED))
    stage.told(stage.put(book(1), 3))
    stage.run()
    assert stage.status(3).state == "parked"
    stage.told(stage.put(book(1), 1))
    stage.run()
    assert stage.status(3).state == "processing"


# What S3 tells


def test_an_object_told_twice_is_read_once() -> None:
    stage = Stage()
    stage.ask()
    key = stage.put(book(30))
    said = [stage.told(key).says for _ in range(2)]
    assert said[0] == said[1]
    stage.run()
    once = dict(stage.queue.said)
    assert stage.told(key).says == ()
    for message in said[0]:
        assert isinstance(message, UploadReady)
        assert stage.read(message).counts == {"uploads_heard_again": 1}
    assert stage.queue.said == once


@pytest.mark.parametrize("key", ["", "x", "a/b/c.bson", f"{TENANT}/{ORIGINATOR}/00000001-upl_00000001_aaaaaaaaaaaa.bson", "../../etc/passwd"])
def test_keys_that_are_not_ours_are_counted_and_left(key: str) -> None:
    assert Stage().told(key).counts == {"objects_foreign": 1}


def test_a_key_of_another_ending_than_the_slots_is_not_ours() -> None:
    stage = Stage()
    stage.ask()
    assert stage.told(stage.slot().key + ".gz").counts == {"objects_foreign": 1}


def test_an_object_that_is_gone_again_is_counted() -> None:
    stage = Stage()
    stage.ask()
    assert stage.told(stage.slot().key).counts == {"objects_gone": 1}


def test_a_message_about_an_unknown_upload_is_counted_and_left() -> None:
    stage = Stage()
    stage.ask()
    slot = stage.slot()
    assert stage.read(ready_of(slot)).counts == {"uploads_not_arrived": 1}
    assert stage.read(ready_of(slot.next(upload_seq=7))).counts == {"uploads_unknown": 1}


def test_the_first_object_counts_when_the_key_is_written_again() -> None:
    stage = Stage()
    stage.ask()
    stage.told(stage.put(book(2)))
    for _ in range(2):
        stage.told(stage.put(book(9)))
    stage.run()
    status = stage.status()
    assert (status.received, [note.code for note in status.notes]) == (2, ["OVERWRITTEN"])
    assert stage.told(stage.slot().key).counts == {"objects_overwritten": 1}


def test_a_file_whose_object_is_gone_before_it_is_read_says_so() -> None:
    stage = Stage()
    stage.ask()
    key = stage.put(book(2))
    stage.told(key)
    stage.bucket.kept.clear()
    stage.run()
    assert stage.status().failure.code == "OBJECT_CHANGED"


# The sweep


def test_an_object_never_told_of_is_found_by_the_sweep() -> None:
    stage = Stage()
    stage.ask()
    stage.put(book(3))
    assert stage.sweep().counts == {"uploads_found": 1}
    stage.run()
    assert stage.status().received == 3
    assert stage.sweep().counts == {}


def test_a_slot_nobody_used_expires_and_lets_the_next_file_go_on() -> None:
    stage = Stage()
    stage.ask()
    stage.clock.at += timedelta(minutes=14)
    stage.ask()
    stage.told(stage.put(book(1), 2))
    stage.run()
    for minutes, state in ((5, "issued"), (1, "expired")):
        stage.clock.at += timedelta(minutes=minutes)
        stage.sweep()
        stage.run()
        assert stage.status(1).state == state
    assert stage.status(2).state == "processing"


@pytest.mark.parametrize("state", [UploadState.EXPIRED, UploadState.CANCELLED])
def test_an_object_that_comes_too_late_is_kept_and_not_read(state: UploadState) -> None:
    stage = Stage()
    stage.ask()
    assert stage.uploads.replace(placed(stage.slot(), state=state))
    for _ in range(2):
        assert stage.told(stage.put(book(1))).counts == {"objects_late": 1}
    status = stage.status()
    assert (status.state, status.received, [note.code for note in status.notes]) == (state, 0, ["ARRIVED_LATE"])
    assert stage.read(ready_of(stage.slot())).counts == {"uploads_heard_again": 1}
