"""Choices read from octets, so that a fuzzer that changes octets changes what a generator chooses."""

from random import Random


class Choices(Random):
    """A Random whose bits are those of the octets, and zero after their end."""

    def __init__(self, octets: bytes) -> None:
        super().__init__(0)
        self._octets = octets
        self._at = 0

    def getrandbits(self, k: int) -> int:
        size = (k + 7) // 8
        taken = self._octets[self._at : self._at + size]
        self._at += size
        return int.from_bytes(taken.ljust(size, b"\0"), "big") >> (size * 8 - k)

    def random(self) -> float:
        return self.getrandbits(16) / 65_536
