"""BSON as nobody should send it, made of what is valid: names, types, lengths and nesting changed where they stand, files cut, joined and packed."""

import gzip
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random
from struct import pack
from typing import Any

import bson
from bourse.assets.bson_walk import ARRAY, BINARY, DOCUMENT, TEXT, WIDTHS, elements
from bourse.assets.codes import FILE_CODES, RECORD_CODES
from bourse.assets.cut import SEGMENT_BYTES_MAX, Cutter, chunks, newest_of
from bourse.assets.frames import frames, inflate
from bourse.assets.memory_uploads import MemoryObjects
from bourse.assets.record import Loan, RecordReader
from bourse.assets.uploads import Arrival, Slot
from bourse.errors import Refused

from tests.assets.intake_builders import FULL, LOAN, NOON, ORIGINATOR, SECRET, Stage

PEAK_BYTES_MAX = 8 * SEGMENT_BYTES_MAX
"""What reading a file may hold at its worst: a segment of texts whose every letter has six in JSON, and as much again for what is read and sent."""
STEPS_FREE, STEPS_PER_OCTET = 4_000, 6
"""Calls that reading one record may take: making the plan of a shape, and then by its length. One that is read again and again by the octet takes more."""
EVIL_NAMES = [b"", b"_", b"__x", b"$ref", b"a.b", b"x" * 64, b"x" * 65, b"\xff", "é".encode(), b"loan_id", b"principal_minor", b"0", b"01"]
EVIL_TEXTS = [
    b"",
    b"a\0b",
    b"\xf4\x90\x80\x80",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"9" * 400,
    b"1e999",
    b"-0",
    b"NaN",
    b"x" * 70_000,
    b"\xe2\x80\xae",
    b"2026-02-30",
]
LENGTHS = [-(2**31), -1, 0, 1, 4, 5, 2**31 - 1, 64 * 1024, 16 * 1024 * 1024]
GOOD = [bson.encode(FULL), bson.encode(LOAN), bson.encode(LOAN | {"x_tree": {"a": [{"b": [1, 2, {"c": b"bin"}]}]}})]


@dataclass
class Node:
    """One element as it is written: `wrong` is added to its length."""

    kind: int
    name: bytes
    value: "bytes | list[Node]"
    wrong: int = 0

    def written(self) -> bytes:
        return bytes([self.kind & 0xFF]) + self.name + b"\0" + (self.value if isinstance(self.value, bytes) else document(self.value, self.wrong))


def document(nodes: Iterable[Node], wrong: int = 0) -> bytes:
    inside = b"".join(one.written() for one in nodes)
    return pack("<i", _int32(len(inside) + 5 + wrong)) + inside + b"\0"


def _int32(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31


def tree(octets: bytes) -> list[Node]:
    """A valid document as nodes."""

    def node(one: Any) -> Node:
        if one.kind in {DOCUMENT, ARRAY}:
            return Node(one.kind, one.name.encode(), [node(inner) for inner in one.inside])
        return Node(one.kind, one.name.encode(), pack("<i", len(one.raw) - 1) + one.raw if one.kind == BINARY else one.raw)

    return [node(one) for one in elements(octets)]


def record(random: Random) -> bytes:
    """A record with one to four things wrong with it, or that may be."""
    nodes = tree(random.choice(GOOD))
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        _spoil(nodes, random)
    octets = document(nodes, random.choice([0, 0, 0, 0, 1, -1]))
    return octets[: random.randrange(len(octets))] if random.random() < 0.1 else octets


def _spoil(nodes: list[Node], random: Random) -> None:
    """Change one thing in this document, or in one inside it."""
    inner = [one.value for one in nodes if isinstance(one.value, list)]
    if inner and random.random() < 0.4:
        return _spoil(random.choice(inner), random)
    if not nodes:
        return nodes.append(Node(TEXT, b"x", _text(b"x")))
    at = random.randrange(len(nodes))
    return random.choice(_SPOILS)(nodes, at, random)


def _text(octets: bytes, wrong: int = 0) -> bytes:
    return pack("<i", _int32(len(octets) + 1 + wrong)) + octets + b"\0"


def _twice(nodes: list[Node], at: int, random: Random) -> None:
    nodes.insert(random.randint(0, len(nodes)), nodes[at])


def _renamed(nodes: list[Node], at: int, random: Random) -> None:
    nodes[at] = Node(nodes[at].kind, random.choice(EVIL_NAMES), nodes[at].value)


def _retyped(nodes: list[Node], at: int, random: Random) -> None:
    kind = random.choice([*WIDTHS, TEXT, DOCUMENT, ARRAY, BINARY, 0x06, 0x0B, 0x0D, 0x11, 0x7F, 0xFF, 0])
    fitting = {TEXT: _text(b"x"), DOCUMENT: document([]), ARRAY: document([]), BINARY: pack("<i", 1) + b"\0x"}.get(kind, b"\1" * WIDTHS.get(kind, 0))
    nodes[at] = Node(kind, nodes[at].name, fitting if random.random() < 0.7 else nodes[at].value)


def _reworded(nodes: list[Node], at: int, random: Random) -> None:
    nodes[at] = Node(TEXT, nodes[at].name, _text(random.choice(EVIL_TEXTS), random.choice([0, 0, 0, 1, -1, *LENGTHS])))


def _valued(nodes: list[Node], at: int, random: Random) -> None:
    kind = random.choice(list(WIDTHS))
    nodes[at] = Node(kind, nodes[at].name, random.choice([b"\0", b"\xff", b"\x7f", random.randbytes(1)]) * WIDTHS[kind])


def _mislaid(nodes: list[Node], at: int, random: Random) -> None:
    nodes[at] = Node(nodes[at].kind, nodes[at].name, nodes[at].value, random.choice([1, -1, *LENGTHS]))


def _deep(nodes: list[Node], at: int, random: Random) -> None:
    for _ in range(random.choice([1, 6, 7, 8, 40, 2_000])):
        inner = Node(nodes[at].kind, b"0" if (kind := random.choice([DOCUMENT, ARRAY])) == ARRAY else b"a", nodes[at].value)
        nodes[at] = Node(kind, nodes[at].name, document([inner]))


def _wide(nodes: list[Node], at: int, random: Random) -> None:
    count, kind = random.choice([2, 199, 200, 201, 999, 1_001, 3_000]), random.choice([ARRAY, DOCUMENT])
    one = nodes[at] if random.random() < 0.3 else Node(0x10, b"", b"\1\0\0\0")
    nodes[at] = Node(kind, nodes[at].name, [Node(one.kind, b"%d" % number if kind == ARRAY else b"n%d" % number, one.value) for number in range(count)])


def _dropped(nodes: list[Node], at: int, random: Random) -> None:
    del nodes[at : at + random.randint(1, 3)]


_SPOILS: list[Callable[[list[Node], int, Random], None]] = [_twice, _renamed, _retyped, _reworded, _valued, _mislaid, _deep, _wide, _dropped]


def file(random: Random) -> tuple[bytes, bool]:
    """A file of such records among good ones, broken or not, and whether its key says that it is packed."""
    parts = [_framed(record(random)) if random.random() < 0.5 else random.choice(GOOD) for _ in range(random.randint(0, 6))]
    if random.random() < 0.3:
        parts.insert(random.randint(0, len(parts)), pack("<i", random.choice(LENGTHS)) + random.randbytes(random.choice([0, 3, 70_000])))
    octets = b"".join(parts)
    if random.random() < 0.5:
        return octets, random.random() < 0.1
    cuts = sorted(random.randint(0, len(octets)) for _ in range(random.randint(0, 4)))
    members = [gzip.compress(octets[start:stop], random.choice([0, 6]), mtime=0) for start, stop in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    packed = bytearray(b"".join(members) + random.choice([b"", b"", b"\0" * 512, b"garbage", gzip.compress(b"", mtime=0) * 3]))
    if random.random() < 0.4:
        packed[random.randrange(len(packed))] ^= 1 << random.randrange(8)
    return bytes(packed[: random.randint(1, len(packed))] if random.random() < 0.2 else packed), random.random() < 0.95


def _framed(octets: bytes) -> bytes:
    """The record with its true length: what is wrong with it is inside."""
    return pack("<i", max(5, len(octets))) + octets[4:].ljust(1, b"\0")


# What has to be so


def outcome(reader: RecordReader, octets: bytes) -> Any:
    """The loan, or the code and field of its refusal; anything else is raised."""
    try:
        return reader.read(octets)
    except Refused as refused:
        return refused.code, refused.field


def steps(does: Callable[[], Any]) -> int:
    """Calls of functions, Python's and C's, until it is done; none where atheris has put calls of its own between."""
    count = 0
    if "atheris" in sys.modules:
        does()
        return 0

    def seen(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        does()
    finally:
        sys.setprofile(before)
    return count


def check_record(octets: bytes, trained: RecordReader) -> Any:
    """A record is read or refused with a documented code, by a reader that knows its like as by one that does not, in steps that its length bounds."""
    found: list[Any] = []
    taken = steps(lambda: found.append(outcome(RecordReader(ORIGINATOR, NOON), octets)))
    assert taken <= STEPS_FREE + STEPS_PER_OCTET * len(octets), f"{taken} steps for {len(octets)} octets"
    assert outcome(trained, octets) == found[0]
    assert isinstance(found[0], Loan) or found[0][0] in RECORD_CODES
    return found[0]


class _Counting(MemoryObjects):
    """A bucket that knows how many octets were read from it."""

    octets = 0

    def read(self, key: str, arrival: Arrival, start: int) -> Iterator[bytes]:
        for piece in super().read(key, arrival, start):
            self.octets += len(piece)
            yield piece


def check_file(octets: bytes, packed: bool) -> str:
    """A file is read to its end, or to where it breaks with a documented code; each record is taken or rejected with one. It is read once."""
    stage = Stage()
    counting = _Counting(stage.clock)
    counting.kept = stage.bucket.kept
    stage.objects = counting
    status = stage.upload(octets, compressed=packed)
    assert counting.octets <= len(octets)
    assert (status.failure.code if status.failure else None) in {None, *FILE_CODES}
    assert status.state in ({"failed"} if status.failure else {"processing", "processed"})
    rejections = stage.rejections()
    assert {one.code for one in rejections} <= RECORD_CODES.keys()
    assert status.received == len(rejections) + len(stage.loans())
    return status.failure.code if status.failure else "read"


def read_through(slot: Slot, pieces: Iterable[bytes], *, packed: bool) -> str:
    """Reads a file as intake does, and lets each segment go: how it ends."""
    cutter = Cutter(slot, RecordReader(ORIGINATOR, newest_of(slot)))
    end = "read"
    for segment in cutter.segments(frames(inflate(pieces) if packed else pieces), slot.progress):
        for message in chunks(slot, segment, SECRET):
            assert message
        end = segment.failure.code if segment.failure else end
    return end


def peak(does: Callable[[], Any]) -> tuple[Any, int]:
    """What it does, and the most that it held at once in octets."""
    tracemalloc.start()
    try:
        return does(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
