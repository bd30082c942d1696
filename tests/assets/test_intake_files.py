"""A whole file's way: in its order, from where it was left, doing nothing twice, ending where it breaks, and saying so."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from struct import pack
from typing import Any

import bson
import pytest
from bourse.assets import cut, frames
from bourse.assets.codes import FILE_CODES, NOTES
from bourse.assets.events import RecordsRead, UploadReady
from bourse.assets.memory_uploads import MemoryObjects, MemoryUploads
from bourse.assets.model import Rejection, UploadRef, UploadState, shard_of
from bourse.assets.uploads import Arrival, Slot
from bourse.assets.versions import ChunkResult
from bourse.clock import FixedClock
from bourse.errors import Refused, Unavailable
from bourse.message import Message, Outcome
from bourse.queues import MemoryQueues

from tests.assets.intake_builders import ORIGINATOR, TENANT, Stage, all_loans, book, loan, raw
from tests.assets.slots import placed

ONE = len(book(1))


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of ten records, so that small files have many."""
    monkeypatch.setattr(cut, "SEGMENT_RECORDS", 10)


# Reading


def test_a_file_of_one_loan_is_read() -> None:
    stage = Stage()
    status = stage.upload(book(1))
    assert (status.state, status.received, status.pending, status.rejected) == ("processing", 1, 1, 0)
    (chunk,) = stage.said()
    assert (chunk.chunk_no, chunk.shard, chunk.group()) == (0, shard_of(ORIGINATOR, "L-0"), f"{TENANT}/{ORIGINATOR}/{chunk.shard:02d}")
    (ref,) = chunk.records
    assert (ref.record_no, ref.byte_offset, ref.loan_id, len(ref.content_hash)) == (0, 0, "L-0", 32)
    assert chunk.correlation_id == status.upload_id


def test_every_record_is_sent_once_in_its_shard_with_its_place() -> None:
    stage = Stage()
    file = book(3000)
    stage.upload(file)
    assert all_loans(stage.said()) == sorted(f"L-{number}" for number in range(3000))
    for shard in range(16):
        mine = [chunk for chunk in stage.said() if chunk.shard == shard]
        assert [chunk.chunk_no for chunk in mine] == list(range(len(mine)))
        numbers = [ref.record_no for chunk in mine for ref in chunk.records]
        assert numbers == sorted(numbers)
        assert all(shard_of(ORIGINATOR, ref.loan_id) == shard and len(chunk.records) <= 200 for chunk in mine for ref in chunk.records)
    for ref in (ref for chunk in stage.said() for ref in chunk.records):
        length = int.from_bytes(file[ref.byte_offset : ref.byte_offset + 4], "little")
        assert bson.decode(file[ref.byte_offset : ref.byte_offset + length])["loan_id"] == ref.loan_id == f"L-{ref.record_no}"


def test_versioning_takes_what_intake_sends_and_the_status_adds_up() -> None:
    stage = Stage()
    file = book(40) + bson.encode(loan("L-3", status="repaid")) + bson.encode(loan("L-77", status="odd"))
    stage.upload(file)
    stage.version()
    status = stage.status()
    assert (status.state, status.received, status.created, status.rejected, status.pending) == ("processed", 42, 40, 2, 0)
    assert [(one.record_no, one.loan_id, one.code) for one in stage.rejections()] == [(41, "L-77", "STATUS_UNKNOWN"), (40, "L-3", "DUPLICATE_LOAN")]


def test_the_same_file_again_changes_nothing() -> None:
    stage = Stage()
    for _ in range(2):
        stage.upload(book(40))
        stage.version()
    status = stage.status(2)
    assert (status.state, status.received, status.unchanged, status.pending) == ("processed", 40, 40, 0)


def test_the_hash_tells_content_and_tenant_apart_and_nothing_else() -> None:
    hashes = set()
    for file in (book(1), book(1, grade="A"), book(1, updated_at=...)):
        stage = Stage()
        stage.upload(file)
        hashes.add(stage.said()[0].records[0].content_hash)
    assert len(hashes) == 2
    assert cut.hash_key_of(b"secret", "one") != cut.hash_key_of(b"secret", "two")


def test_a_compressed_file_is_the_same_file() -> None:
    plain, packed = Stage(), Stage()
    plain.upload(book(300))
    packed.upload(gzip.compress(book(150)) + gzip.compress(book(150, first=150)), compressed=True)
    assert packed.loans() == plain.loans()
    assert [ref.byte_offset for chunk in packed.said() for ref in chunk.records] == [ref.byte_offset for chunk in plain.said() for ref in chunk.records]


def test_one_bad_record_never_stops_its_file() -> None:
    stage = Stage()
    bad = bson.encode(loan("L-bad", principal=1.005))
    status = stage.upload(book(5) + bad + raw() + book(5, first=5))
    assert (status.received, status.rejected, status.pending, status.failure) == (12, 2, 10, None)
    assert [(one.record_no, one.byte_offset, one.loan_id, one.code, one.field) for one in stage.rejections()] == [
        (5, 5 * ONE, "L-bad", "MONEY_DOUBLE", "principal"),
        (6, 5 * ONE + len(bad), None, "FIELD_MISSING", "loan_id"),
    ]


@pytest.mark.parametrize("octets", [70_000, 65_537, 700_000, 16 * 1024 * 1024])
def test_a_record_that_is_too_large_is_skipped(octets: int) -> None:
    stage = Stage()
    large = pack("<i", octets) + b"\7" * (octets - 4)
    status = stage.upload(book(2) + large + book(2, first=2))
    assert (status.state, status.received, status.rejected) == ("processing", 5, 1)
    assert [(one.record_no, one.byte_offset, one.code) for one in stage.rejections()] == [(2, 2 * ONE, "RECORD_TOO_LARGE")]
    assert stage.loans().keys() == {0, 1, 3, 4}


def test_large_records_make_more_and_smaller_messages() -> None:
    stage = Stage()
    stage.upload(b"".join(bson.encode(loan(f"L-{number}", note="".join(chr(33 + (number * place) % 90) for place in range(60_000)))) for number in range(200)))
    assert len(all_loans(stage.said())) == 200
    assert all(sum(len(ref.loan_id) for ref in chunk.records) and len(chunk.documents) < 700_000 for chunk in stage.said())


def broken(file: bytes, **asked: Any) -> tuple[Stage, tuple[str, int, int]]:
    """The stage after a file that breaks, and what its status says: code, offset, record."""
    stage = Stage()
    status = stage.upload(file, **asked)
    assert status.state == "failed"
    assert status.failure is not None
    assert status.failure.code in FILE_CODES
    return stage, (status.failure.code, status.failure.byte_offset, status.failure.record_no)


HOSTILE: dict[str, tuple[bytes, dict[str, Any], str, int, int]] = {
    "no bytes": (b"", {}, "EMPTY_FILE", 0, 0),
    "compressed nothing": (gzip.compress(b""), {"compressed": True}, "EMPTY_FILE", 0, 0),
    "length 0": (pack("<i", 0) + b"\0" * 4, {}, "BAD_FRAME", 0, 0),
    "length 4": (pack("<i", 4) + b"\0" * 4, {}, "BAD_FRAME", 0, 0),
    "negative length": (pack("<i", -1) + b"\0" * 4, {}, "BAD_FRAME", 0, 0),
    "length 2 GB": (pack("<i", 2**31 - 1) + b"\0" * 64, {}, "BAD_FRAME", 0, 0),
    "length above 16 MiB": (pack("<i", 16 * 1024 * 1024 + 1) + b"\0" * 64, {}, "BAD_FRAME", 0, 0),
    "truncated tail": (book(3)[:-1], {}, "TRUNCATED", 2 * ONE, 2),
    "one trailing octet": (book(2) + b"\0", {}, "TRUNCATED", 2 * ONE, 2),
    "three trailing octets": (book(2) + b"\0\0\0", {}, "TRUNCATED", 2 * ONE, 2),
    "zero padding": (book(2) + b"\0" * 512, {}, "BAD_FRAME", 2 * ONE, 2),
    "a broken length in the middle": (book(2) + pack("<i", -7) + book(2), {}, "BAD_FRAME", 2 * ONE, 2),
    "a large record cut off": (book(2) + pack("<i", 100_000) + b"x" * 50_000, {}, "TRUNCATED", 2 * ONE, 2),
    "half of a first record": (book(1)[:50], {}, "TRUNCATED", 0, 0),
    "JSON": (b'{"loan_id": "L-1"}\n' * 9, {}, "NOT_BSON", 0, 0),
    "short JSON": (b"{}", {}, "NOT_BSON", 0, 0),
    "CSV": (b"loan_id,status\nL-1,active\n", {}, "NOT_BSON", 0, 0),
    "UTF-8 BOM": (b"\xef\xbb\xbf{}" + b" " * 99, {}, "NOT_BSON", 0, 0),
    "UTF-16": ("{}".encode("utf-16") * 20, {}, "NOT_BSON", 0, 0),
    "gzip that does not say so": (gzip.compress(book(9)), {}, "NOT_BSON", 0, 0),
    "a zip archive": (b"PK\3\4" + b"\0" * 99, {}, "NOT_BSON", 0, 0),
    "BSON that says it is gzip": (book(2), {"compressed": True}, "BAD_GZIP", 0, 0),
    "gzip cut off": (gzip.compress(book(9))[:-9], {"compressed": True}, "BAD_GZIP", 9 * ONE, 9),
    "gzip with a tail": (gzip.compress(book(9)) + b"tail", {"compressed": True}, "BAD_GZIP", 9 * ONE, 9),
    "gzip with a wrong checksum": (gzip.compress(book(9))[:-8] + b"\1" * 8, {"compressed": True}, "BAD_GZIP", 0, 0),
}


@pytest.mark.parametrize(("file", "asked", "code", "offset", "record"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_file_ends_where_it_breaks_and_what_came_before_is_kept(file: bytes, asked: dict[str, Any], code: str, offset: int, record: int) -> None:
    stage, failure = broken(file, **asked)
    assert failure[0] == code
    if code != "BAD_GZIP":
        assert failure == (code, offset, record)
        assert len(all_loans(stage.said())) == record


def test_a_gzip_bomb_is_stopped() -> None:
    large = pack("<i", 16 * 1024 * 1024) + b"\0" * (16 * 1024 * 1024 - 4)
    bomb = gzip.compress(book(2) + large * 6)
    stage, (code, offset, record) = broken(bomb, compressed=True)
    assert code == "GZIP_BOMB"
    assert len(bomb) * frames.RATIO_MAX <= offset < len(book(2)) + 3 * len(large)
    assert (record, len(all_loans(stage.said()))) == (3, 2)


def test_a_bomb_inside_a_file_that_is_not_compressed_stays_what_it_is() -> None:
    stage = Stage()
    status = stage.upload(bson.encode(loan(blob=gzip.compress(b"\0" * 10_000_000))))
    assert (status.received, status.rejected) == (1, 0)


def test_a_file_of_too_many_records_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "FILE_RECORDS_MAX", 25)
    stage, failure = broken(book(30))
    assert failure[0] == "TOO_MANY_RECORDS"
    assert len(all_loans(stage.said())) == failure[2] == 25


def test_every_code_of_a_file_has_a_test() -> None:
    elsewhere = {"GZIP_BOMB", "TOO_MANY_RECORDS", "SIZE_EXCEEDED", "SIZE_DIFFERS", "CHECKSUM_DIFFERS", "OBJECT_CHANGED"}
    assert set(FILE_CODES) == {code for _, _, code, _, _ in HOSTILE.values()} | elsewhere
    assert set(NOTES) == {"ARRIVED_LATE", "OVERWRITTEN", "RECORDS_DIFFER"}


def test_an_object_larger_than_s3_takes_is_not_read() -> None:
    stage = Stage()
    stage.ask()
    slot = stage.slot()
    arrival = Arrival(size_bytes=5 * 1024**3 + 1, etag="e", written_at=stage.clock.now())
    assert stage.uploads.replace(slot.next(state=UploadState.PARKED, arrival=arrival))
    stage.read(ready_of(slot))
    assert stage.status().failure.code == "SIZE_EXCEEDED"


def ready_of(slot: Slot) -> UploadReady:
    return UploadReady(message_id="m", tenant_id=TENANT, correlation_id="c", originator_id=ORIGINATOR, upload_seq=slot.upload_seq, key=slot.key)


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ({"size_bytes": 17}, "SIZE_DIFFERS"),
        ({"size_bytes": len(book(2)), "checksum_sha256": "A" * 43 + "="}, "CHECKSUM_DIFFERS"),
    ],
)
def test_a_file_that_is_not_what_was_declared_is_not_read(declared: dict[str, Any], code: str) -> None:
    stage, failure = broken(book(2), **declared)
    assert failure == (code, 0, 0)
    assert stage.said() == []


def test_another_number_of_records_than_declared_is_noted() -> None:
    stage = Stage()
    status = stage.upload(book(2), records=3)
    assert (status.state, [note.code for note in status.notes]) == ("processing", ["RECORDS_DIFFER"])
    assert Stage().upload(book(2), records=2).notes == ()


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


def test_a_file_whose_reader_was_lost_is_said_again(small_segments: None) -> None:
    stage = Stage()
    stage.ask()
    stage.told(stage.put(book(30)))
    stage.left_ms = lambda: 0
    stage.read(stage.ready()[0])
    stage.queue = MemoryQueues()  # its continuation is lost, as in a dead letter
    stage.left_ms = lambda: 900_000
    assert stage.sweep().counts == {}
    stage.clock.at += timedelta(minutes=10)
    assert stage.sweep().counts == {"uploads_quiet": 1}
    assert stage.sweep().says == stage.sweep().says
    stage.run()
    assert stage.status().received == 30


# Time runs out, and readers die


def test_a_file_larger_than_one_invocation_goes_on_from_where_it_was_left(small_segments: None) -> None:
    whole, parts = Stage(), Stage()
    whole.upload(book(95))
    parts.left_ms = lambda: 0
    status = parts.upload(book(95))
    assert (status.received, status.state) == (95, "processing")
    assert len(parts.ready()) == 1 + 9
    assert {message_id: message for message_id, message in parts.queue.said.items() if isinstance(message, RecordsRead)} == {
        message.message_id: message for message in whole.said()
    }


def test_a_compressed_file_goes_on_from_where_it_was_left(small_segments: None) -> None:
    whole, parts = Stage(), Stage()
    whole.upload(book(95))
    parts.left_ms = lambda: 0
    parts.upload(gzip.compress(book(95)), compressed=True)
    assert parts.loans() == whole.loans()


def test_a_segment_ends_by_size_as_well_as_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "SEGMENT_BYTES_MAX", 4 * ONE)
    stage = Stage()
    stage.upload(book(10))
    assert stage.slot().progress.segment == 3


def test_the_first_record_is_sent_before_the_last_octet_is_read(small_segments: None) -> None:
    stage = Stage()
    stage.ask()
    stage.told(stage.put(book(50)))

    class Slow(MemoryObjects):
        def read(self, key: str, arrival: Arrival, start: int) -> Iterator[bytes]:
            octets = b"".join(stage.bucket.read(key, arrival, start))
            yield octets[: 15 * ONE]
            assert len(all_loans(stage.said())) == 10
            yield octets[15 * ONE :]

    slow = Slow(stage.clock)
    slow.kept = stage.bucket.kept
    stage.objects = slow
    stage.run()
    assert stage.status().received == 50


class Killed(Exception):
    """The reader died here."""


class Mortal:
    """Kills the reader before or after its n-th effect."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left = at
        self.after = after

    def effect(self, does: Callable[[], Any]) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        came = does()
        if self.left == 0:
            raise Killed
        return came


class MortalUploads(MemoryUploads):
    fate = Mortal(0, after=False)

    def replace(self, slot: Slot) -> bool:
        return bool(self.fate.effect(lambda: super(MortalUploads, self).replace(slot)))

    def keep_rejections(self, ref: UploadRef, segment: int, rejections: Sequence[Rejection]) -> None:
        self.fate.effect(lambda: super(MortalUploads, self).keep_rejections(ref, segment, rejections))


class MortalQueues(MemoryQueues):
    """Each message is an effect of its own: a batch may be sent by half."""

    fate = Mortal(0, after=False)

    def send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.fate.effect(lambda message=message: super(MortalQueues, self).send([message]))


def _story(uploads: MortalUploads, queue: MortalQueues) -> Stage:
    stage = Stage(uploads=uploads, queue=queue)
    stage.left_ms = lambda: 0
    file = book(25) + bson.encode(loan("L-bad", status="odd")) + book(10, first=25) + pack("<i", 3)
    stage.ask()
    stage.ask()
    stage.put(file, 1)
    stage.put(book(15, grade="B"), 2)
    return stage


def _act(stage: Stage, queue: MortalQueues, fate: Mortal) -> int:
    """Play the story to its end, with deliveries repeated after a death; returns the number of effects."""
    uploads = stage.uploads
    assert isinstance(uploads, MortalUploads)
    uploads.fate = queue.fate = fate
    begun = fate.left
    heard: set[str] = set()

    def alive(does: Callable[[], Outcome]) -> None:
        for _ in range(2):
            try:
                does()
            except Killed:
                continue
            return

    for seq in (2, 1):
        alive(lambda seq=seq: stage.told(stage.slot(seq).key))
    while waiting := [one for one in stage.ready() if one.message_id not in heard]:
        heard.add(waiting[0].message_id)
        alive(lambda: stage.read(waiting[0]))
    return begun - fate.left


def _end(stage: Stage) -> Any:
    slots = [stage.slot(seq).model_dump(exclude={"revision"}) for seq in (1, 2)]
    return slots, stage.status(1), stage.status(2), stage.rejections(1), {one.message_id: one for one in stage.said()}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_reader_killed_at_any_effect_loses_nothing_and_does_nothing_twice(small_segments: None, after: bool) -> None:
    queue = MortalQueues()
    untouched = _story(MortalUploads(), queue)
    effects = _act(untouched, queue, Mortal(10**6, after=after))
    expected = _end(untouched)
    assert effects > 50
    assert (expected[1].state, expected[1].received, expected[1].rejected) == ("failed", 36, 1)
    for at in range(1, effects + 1):
        queue = MortalQueues()
        stage = _story(MortalUploads(), queue)
        _act(stage, queue, Mortal(at, after=after))
        assert _end(stage) == expected, f"killed at effect {at}"


def test_two_readers_at_once_do_not_go_backwards(small_segments: None) -> None:
    stage = Stage()
    stage.ask()
    stage.told(stage.put(book(30)))
    (message,) = stage.ready()
    slow = stage.slot().next(state=UploadState.READING)
    assert stage.uploads.replace(slow)

    class Overtaken(MemoryQueues):
        def send(self, messages: Iterable[Message]) -> None:
            stage.queue.send(messages)
            stage.uploads.replace(stage.slot().next(progressed_at=stage.clock.now()))

    from bourse.assets.read_upload import read_upload

    with pytest.raises(Unavailable, match="another reader"):
        read_upload(
            message, uploads=stage.uploads, objects=stage.bucket, chunk_queue=Overtaken(), hash_secret=b"s", remaining_ms=lambda: 900_000, clock=stage.clock
        )
    stage.run()
    assert stage.status().received == 30


def test_the_ratio_of_a_bomb_counts_only_above_a_size() -> None:
    alike = book(1) * 2_000
    assert len(alike) / len(gzip.compress(alike)) > frames.RATIO_MAX / 2
    assert Stage().upload(gzip.compress(alike), compressed=True).received == 2_000


def test_a_deflated_piece_may_hold_back_its_end() -> None:
    packer = zlib.compressobj(wbits=31)
    octets = packer.compress(book(3)) + packer.flush()
    assert b"".join(frames.inflate(octets[at : at + 1] for at in range(len(octets)))) == book(3)


def test_the_status_never_shows_fewer_received_than_settled() -> None:
    stage = Stage()
    stage.ask()
    stage.told(stage.put(book(5)))
    assert stage.uploads.replace(stage.slot().next(state=UploadState.READING))
    (message,) = stage.ready()
    stage.read(message)
    before = stage.slot()
    assert isinstance(stage.uploads, MemoryUploads)
    stage.version()
    stage.uploads.slots[before.ref] = before.model_copy(update={"state": UploadState.READING, "progress": before.progress.model_copy(update={"records": 1})})
    status = stage.status()
    assert (status.received, status.created, status.pending) == (5, 5, 0)


def test_chunk_results_are_what_versioning_keeps() -> None:
    stage = Stage()
    stage.upload(book(3))
    stage.version()
    assert all(isinstance(result, ChunkResult) for result in stage.chunks.kept.values())
