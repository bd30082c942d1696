"""Arrays as PostgreSQL sends them itself: a number is neither written out here nor read there, which is half of what it costs to hand it over.

The format is that of `array_send` (src/backend/utils/adt/arrayfuncs.c): dimensions, whether there are nulls, the type of the elements, how many, the
first one's index, then each element's size and bytes. All of it is big-endian.
"""

import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Final

_HEAD: Final = struct.Struct(">iiIii")
_EMPTY: Final = struct.Struct(">iiI")
_BIGINT, _INT, _TEXT, _BYTEA = 20, 23, 25, 17
"""Types of elements, by their numbers in pg_type."""
_SIZES: Final = tuple(struct.pack(">i", size) for size in range(256))
_TURNED: Final = sys.byteorder == "little"


class Packed(bytes):
    """An argument in the binary form of its type."""


def bigints(column: Sequence[int]) -> Packed:
    """A `bigint[]`. Raises OverflowError for a number that is none."""
    numbers = array("q", column)
    if _TURNED:
        numbers.byteswap()
    halves = array("i", numbers.tobytes())
    words = array("i", bytes(12 * len(column)))
    words[::3] = array("i", _SIZES[8]) * len(column)
    words[1::3], words[2::3] = halves[::2], halves[1::2]
    return _packed(_BIGINT, len(column), words.tobytes())


def ints(column: Sequence[int]) -> Packed:
    """An `int[]`. Raises OverflowError for a number that is none."""
    numbers = array("i", column)
    if _TURNED:
        numbers.byteswap()
    words = array("i", bytes(8 * len(column)))
    words[::2] = array("i", _SIZES[4]) * len(column)
    words[1::2] = numbers
    return _packed(_INT, len(column), words.tobytes())


def texts(column: Sequence[str]) -> Packed:
    """A `text[]`."""
    return _packed(_TEXT, len(column), b"".join([_sized(one.encode()) for one in column]))


def byteas(column: Sequence[bytes]) -> Packed:
    """A `bytea[]`."""
    return _packed(_BYTEA, len(column), b"".join([_sized(one) for one in column]))


def _sized(one: bytes) -> bytes:
    return (_SIZES[len(one)] if len(one) < len(_SIZES) else struct.pack(">i", len(one))) + one


def _packed(kind: int, count: int, elements: bytes) -> Packed:
    return Packed(_HEAD.pack(1, 0, kind, count, 1) + elements if count else _EMPTY.pack(0, 0, kind))
