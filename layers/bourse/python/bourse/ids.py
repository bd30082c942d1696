"""Ids say what they name (`inv_…`) and are derived from what caused them, so a replay makes the same id."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

_DIGEST_BYTES: Final = 15  # 120 bits: 24 base32 characters, no padding, and no collision in any book we could hold
_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS: Final = [one + other for one in _BASE32 for other in _BASE32]  # ten bits at a time: base64.b32encode takes three times as long
_SHIFTS: Final = range(110, -1, -10)


def derive(prefix: str, *cause: str | int) -> str:
    """`prefix_` and 24 characters that depend on every part of the cause and on nothing else.

    Parts are length-prefixed before hashing, so ("ab", "c") and ("a", "bc") differ.
    """
    parts = [str(part).encode() for part in cause]
    octets = b"".join([piece for part in parts for piece in (len(part).to_bytes(4, "big"), part)])
    number = int.from_bytes(blake2b(octets, digest_size=_DIGEST_BYTES, person=b"bourse-id").digest(), "big")
    return f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"


def shard(key: str, shards: int) -> int:
    """A stable number in [0, shards) for a key; the ordering group of an asset is made of it."""
    return sharder(key, shards)("")


def sharder(prefix: str, shards: int) -> Callable[[str], int]:
    """A function of the rest of a key whose beginning is known: the same number as `shard` of both together."""
    begun = blake2b(prefix.encode(), digest_size=8, person=b"bourse-shard")

    def rest(key: str) -> int:
        digest = begun.copy()
        digest.update(key.encode())
        return int.from_bytes(digest.digest(), "big") % shards

    return rest
