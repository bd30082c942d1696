"""Snapshots of PostgreSQL as cursors carry them: short, also where very many were writing when one was taken. Pure.

A snapshot is `100:180:103,104,171`: all below the first number is seen, nothing from the second on, and of what is between all but those listed. Packed, the
list is the distances from one number to the next, seven bits an octet, the lowest first, in base64: `100:180:~AwFD`.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from typing import Final

SNAPSHOT: Final = re.compile(r"([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,18}(?:,[0-9]{1,18})*)?", re.ASCII)
_PACKED: Final = re.compile(r"([0-9]{1,18}):([0-9]{1,18}):~([A-Za-z0-9_-]+)", re.ASCII)
_BITS: Final = 7
_MORE: Final = 1 << _BITS


def packed(snapshot: str) -> str:
    """The short text of a snapshot; of what is none, or lists nothing, the text itself."""
    found = SNAPSHOT.fullmatch(snapshot)
    if found is None or not found[3]:
        return snapshot
    listed = [int(one) for one in found[3].split(",")]
    if listed != sorted(listed) or listed[0] < int(found[1]):
        return snapshot
    distances = [after - before for before, after in zip([int(found[1]), *listed], listed, strict=False)]
    return f"{found[1]}:{found[2]}:~{urlsafe_b64encode(bytes(_octets(distances))).decode().rstrip('=')}"


def unpacked(text: str) -> str:
    """The snapshot of a short text; of what is none, or is not as `packed` writes it, the text itself, which no store takes."""
    found = _PACKED.fullmatch(text)
    if found is None:
        return text
    number, listed = int(found[1]), []
    try:
        for distance in _numbers(urlsafe_b64decode(found[3] + "=" * (-len(found[3]) % 4))):
            number += distance
            listed.append(str(number))
    except (binascii.Error, ValueError):
        return text
    snapshot = f"{found[1]}:{found[2]}:{','.join(listed)}"
    return snapshot if packed(snapshot) == text else text


def _octets(numbers: Iterable[int]) -> Iterator[int]:
    for number in numbers:
        left = number
        while left >= _MORE:
            yield left % _MORE + _MORE
            left //= _MORE
        yield left


def _numbers(octets: bytes) -> Iterator[int]:
    """Raises ValueError where the last number does not end."""
    number, place = 0, 0
    for octet in octets:
        number += octet % _MORE << place
        place += _BITS
        if octet < _MORE:
            yield number
            number, place = 0, 0
    if place:
        raise ValueError("a number does not end")
