"""The BSON door under structure-aware fuzzing: nothing but documented codes, in steps and memory that are bounded."""

import gzip
import zlib
from collections.abc import Iterator
from random import Random
from struct import pack
from types import SimpleNamespace
from typing import Any

import bson
import pytest
from bourse.assets import frames as framing
from bourse.assets.frames import MEMBERS_FREE, RECORD_BYTES_MAX, Broken, inflate
from bourse.assets.record import RecordReader
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.assets.intake_builders import LOAN, NOON, ORIGINATOR, Stage, book, loan
from tests.simulation.fuzz.bson_door import GOOD, PEAK_BYTES_MAX, check_file, check_record, file, peak, read_through, record

SEEDS = st.integers(0, 2**63)
TRAINED = RecordReader(ORIGINATOR, NOON)
for _ in range(2):
    for good in GOOD:
        TRAINED.read(good)
MIB = 1024 * 1024
EMPTY = gzip.compress(b"", mtime=0)


@settings(max_examples=700, deadline=None, derandomize=True, database=None)
@given(SEEDS)
def test_a_spoiled_record_is_read_or_refused_with_a_documented_code_in_bounded_steps(seed: int) -> None:
    octets = record(Random(seed))
    if len(octets) <= RECORD_BYTES_MAX:  # what is larger is not looked at
        check_record(octets, TRAINED)


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(SEEDS)
def test_a_spoiled_file_is_read_once_and_to_where_it_breaks(seed: int) -> None:
    check_file(*file(Random(seed)))


def packed(one: bytes, times: int) -> Iterator[bytes]:
    """The same octets again and again in one gzip member, in pieces; it is never whole anywhere."""
    packer = zlib.compressobj(9, wbits=31)
    for _ in range(times):
        yield packer.compress(one)
    yield packer.flush()


ZEROS = pack("<i", RECORD_BYTES_MAX) + bytes(RECORD_BYTES_MAX - 4)
LARGE = bson.encode(LOAN | {"x_text": "x" * 60_000})
ESCAPED = bson.encode(LOAN | {"x_text": "\x01" * 40_000})
SKIPPED = pack("<i", 16 * MIB) + bytes(16 * MIB - 4)


@pytest.mark.parametrize(
    ("one", "times", "end"),
    [
        (ZEROS, 640, "GZIP_BOMB"),
        (SKIPPED, 3, "GZIP_BOMB"),
        (bytes(RECORD_BYTES_MAX), 640, "BAD_FRAME"),
        (LARGE, 250, "read"),
        (ESCAPED, 250, "read"),
    ],
    ids=["zeros", "skipped", "no-frames", "large", "escaped"],
)
def test_whatever_a_packed_file_holds_its_reading_holds_little(one: bytes, times: int, end: str) -> None:
    stage = Stage()
    stage.ask(compressed=True)
    slot = stage.slot()
    stage.bucket.put(slot.key, b"x")
    stage.told(slot.key)
    found, most = peak(lambda: read_through(stage.slot(), packed(one, times), packed=True))
    assert found == end
    assert most < PEAK_BYTES_MAX


def test_members_of_a_few_octets_cost_no_more_than_their_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    """zlib copies what comes after a member: 13,000 empty members in a piece of 256 KiB cost 1.7 GB."""
    fed = 0

    class Counted:
        def __init__(self, **more: Any) -> None:
            self._member = zlib.decompressobj(**more)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._member, name)

        def decompress(self, octets: bytes, most: int) -> bytes:
            nonlocal fed
            fed += len(octets)
            return self._member.decompress(octets, most)

    monkeypatch.setattr(framing, "zlib", SimpleNamespace(decompressobj=Counted, error=zlib.error))
    piece = EMPTY * 4_000
    assert list(inflate([piece])) == []
    assert fed <= 1024 * 4_000, "at most a step for each member, and not the rest of the piece"
    fed, text = 0, Random(1).randbytes(MIB)
    whole = gzip.compress(text)
    assert b"".join(inflate([whole[:300_000], whole[300_000:]])) == text
    assert fed <= 2 * len(whole) + 2 * 300_000


def test_a_file_of_empty_members_is_given_up() -> None:
    """It fills no segment, so nobody would look at the clock until the function's time was over, again and again."""
    with pytest.raises(Broken, match="BAD_GZIP"):
        list(inflate(EMPTY * 1_000 for _ in range(50)))
    assert check_file(gzip.compress(book(3)) + EMPTY * MEMBERS_FREE, True) == "BAD_GZIP"
    assert check_file(gzip.compress(book(3)) + EMPTY * 100, True) == "read"


def test_a_member_for_each_record_is_read() -> None:
    members = [gzip.compress(bson.encode(loan(f"L-{number}")), 1) for number in range(500)]
    repeats = -(-(MEMBERS_FREE + 500) // len(members))
    assert sum(map(len, inflate(members * repeats))) == repeats * sum(len(gzip.decompress(one)) for one in members)
