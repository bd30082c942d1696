"""A whole file's way: in its order, from where it was left, doing nothing twice, ending where it breaks, and saying so."""

import gzip
import zlib
from struct import pack
from typing import Any

import bson
import pytest
from bourse.assets import cut, frames
from bourse.assets.codes import FILE_CODES, NOTES
from bourse.assets.memory_uploads import MemoryUploads
from bourse.assets.model import UploadState, shard_of
from bourse.assets.uploads import Arrival
from bourse.assets.versions import ChunkResult

from tests.assets.intake_builders import ORIGINATOR, TENANT, Stage, all_loans, book, loan, raw, ready_of

ONE = len(book(1))


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
