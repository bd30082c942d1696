"""Cuts a stream of octets into records by their own lengths, inflating it before where it is compressed. Memory does not grow with the file.

A length is believed only within bounds, so no header can make us read the rest of the file into memory; and where the frame
breaks, what came before stands.
"""

import zlib
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final

from bourse.errors import Refused

RECORD_BYTES_MAX: Final = 64 * 1024
"""A record above this is rejected and skipped."""
FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""A length above this cannot be BSON's: the frame is broken."""
FRAME_BYTES_MIN: Final = 5
INFLATED_BYTES_MAX: Final = 20 * 1024**3
RATIO_MAX: Final = 200
RATIO_FREE_BYTES: Final = 16 * 1024 * 1024
"""So much may be inflated before the ratio counts: small files of equal records compress beyond all measure."""
MEMBERS_FREE: Final = 10_000
"""So many members a gzip file may have, whatever is in them."""
MEMBER_BYTES_MEAN_MIN: Final = 128
"""With more, they hold at least so much on average: a member for each record is well above it."""
_PIECE_BYTES: Final = 256 * 1024
_STEP_BYTES: Final = 1024
_OTHER_FORMATS: Final = (b"\x1f\x8b\x08", b"PK\x03\x04", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"BZh", b"\xfd7zX", b"\x28\xb5\x2f\xfd", b"PAR1")
_PRINTABLE: Final = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n")
_length_at: Final = Struct("<i").unpack_from


class Broken(Refused):
    """The file cannot be read on from `byte_offset`; its code is one of `codes.FILE_CODES`."""

    def __init__(self, code: str, detail: str, byte_offset: int) -> None:
        super().__init__(code, detail)
        self.byte_offset: Final = byte_offset


Frame = tuple[int, int, bytes | None]
"""One record: the offset where it begins, its length, and its octets, or None when it is too large to be one of ours."""


def frames(pieces: Iterable[bytes], byte_offset: int = 0) -> Iterator[Frame]:
    """The records of a stream whose first octet is at `byte_offset` of the file. Raises Broken BAD_FRAME, NOT_BSON or TRUNCATED."""
    buffer, at = b"", 0
    large, skip = 0, 0  # the length of a record that is skipped, and how much of it is still to come
    for piece in pieces:
        if skip > len(piece):
            skip -= len(piece)
            continue
        buffer, at, skip = buffer[at:] + piece[skip:], 0, 0
        end = len(buffer)
        if large:
            yield byte_offset, large, None
            byte_offset, large = byte_offset + large, 0
        while end - at >= 4:
            length = _length_at(buffer, at)[0]
            data = buffer[at : at + length] if FRAME_BYTES_MIN <= length <= RECORD_BYTES_MAX else None
            if data is None:
                _check_length(length, byte_offset, buffer[at : at + 8])
            if end - at < length:
                if data is None:
                    large, skip, at = length, length - (end - at), end
                break
            yield byte_offset, length, data
            at += length
            byte_offset += length
    if large or at < len(buffer):
        _fail_at_end(buffer[at:], byte_offset)


def _check_length(length: int, byte_offset: int, head: bytes) -> None:
    """Raises Broken for a length no record can have."""
    if byte_offset == 0 and _is_other_format(head):
        raise Broken("NOT_BSON", "the file does not begin like BSON", 0)
    if not FRAME_BYTES_MIN <= length <= FRAME_BYTES_MAX:
        raise Broken("BAD_FRAME", f"a record cannot have {length} bytes", byte_offset)


def _is_other_format(head: bytes) -> bool:
    return head.startswith(_OTHER_FORMATS) or all(octet in _PRINTABLE for octet in head)


def _fail_at_end(rest: bytes, byte_offset: int) -> None:
    if byte_offset == 0 and rest and _is_other_format(rest[:8]):
        raise Broken("NOT_BSON", "the file does not begin like BSON", 0)
    raise Broken("TRUNCATED", "the file ends inside a record", byte_offset)


def inflate(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The octets of a gzip stream of one or more members, in pieces. Raises Broken BAD_GZIP or GZIP_BOMB at the offset inflated so far.

    A member is given twice as much each time as the time before: zlib copies what comes after a member's end, so members of a few
    octets would otherwise cost the rest of a piece each.
    """
    packed = inflated = members = step = 0
    member = None
    for piece in pieces:
        packed += len(piece)
        rest = memoryview(piece)
        while rest:
            if member is None:
                member, step, members = zlib.decompressobj(wbits=31), _STEP_BYTES, members + 1
                _check_members(members, inflated)
            given = rest[:step]
            try:
                out = member.decompress(given, _PIECE_BYTES)
            except zlib.error as error:
                raise Broken("BAD_GZIP", "the compressed file is damaged", inflated) from error
            inflated += len(out)
            if inflated > INFLATED_BYTES_MAX or (inflated > RATIO_FREE_BYTES and inflated > packed * RATIO_MAX):
                raise Broken("GZIP_BOMB", "the file inflates beyond all measure", inflated)
            if out:
                yield out
            rest, step = rest[len(given) - len(member.unused_data if member.eof else member.unconsumed_tail) :], step * 2
            member = None if member.eof else member
    while member is not None and (out := member.decompress(b"", _PIECE_BYTES)):  # what it still held back
        inflated += len(out)
        yield out
    if member is not None and not member.eof:
        raise Broken("BAD_GZIP", "the compressed file ends too early", inflated)


def _check_members(members: int, inflated: int) -> None:
    """A member costs time whatever it holds, and a file of empty ones never fills a segment, so nobody would look at the clock. Raises Broken BAD_GZIP."""
    if members > MEMBERS_FREE and members * MEMBER_BYTES_MEAN_MIN > inflated:
        raise Broken("BAD_GZIP", "the compressed file is made of too many members with too little in them", inflated)


def drop(pieces: Iterable[bytes], octets: int) -> Iterator[bytes]:
    """The stream without its first `octets`: a compressed file cannot be entered in the middle."""
    for piece in pieces:
        if octets < len(piece):
            yield piece[octets:]
        octets = max(0, octets - len(piece))
