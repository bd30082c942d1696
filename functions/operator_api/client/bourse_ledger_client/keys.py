"""The register of public keys: who may sign what leaves an account, or makes tokens of a flavor."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from .connection import ROOT, Connection, step
from .nouns import DefaultQuorum, KeyVersion, read, rfc3339

Algorithm = Literal["ed25519", "ecdsa_p256_sha256"]
Time = str | datetime


class Keys:
    """Public keys and their versions. A private key is never sent."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection

    def register(self, key_id: str, public_key: bytes, valid_from: Time, *, algorithm: Algorithm = "ed25519") -> KeyVersion:
        """`public_key`: DER SubjectPublicKeyInfo. The same again changes nothing. Raises Conflict, also where another key has this public key."""
        return read(KeyVersion, self._connection.ask("POST", f"{ROOT}/keys", body=_key(key_id, public_key, valid_from, algorithm)))

    def rotate(self, key_id: str, public_key: bytes, valid_from: Time, *, previous_until: Time, algorithm: Algorithm = "ed25519") -> KeyVersion:
        """The next version; earlier ones sign until `previous_until`. With the newest one's public key it changes nothing."""
        body = {**_key(key_id, public_key, valid_from, algorithm), "previous_until": rfc3339(previous_until)}
        return read(KeyVersion, self._connection.ask("POST", f"{ROOT}/keys/rotate", body=body))

    def revoke(self, key_id: str, *, at: Time | None = None, reason: str = "") -> KeyVersion:
        """From then on, or from now on, no version there is so far signs anything. Once more changes nothing."""
        body = {"key_id": key_id, "at": None if at is None else rfc3339(at), "reason": reason}
        return read(KeyVersion, self._connection.ask("POST", f"{ROOT}/keys/revoke", body=body))

    def versions(self, key_id: str) -> Sequence[KeyVersion]:
        """Oldest first. Raises NotFound."""
        return [read(KeyVersion, one) for one in self._connection.ask("GET", f"{ROOT}/keys/{step(key_id)}")]

    def list(self, *, page: int = 100) -> Iterator[KeyVersion]:
        """The newest version of each key, by their names."""
        for one in self._connection.pages("GET", f"{ROOT}/keys", {"limit": page}):
            yield read(KeyVersion, one)

    def default(self) -> DefaultQuorum:
        """The keys of all accounts and flavors that name none themselves."""
        return read(DefaultQuorum, self._connection.ask("GET", f"{ROOT}/default-quorum"))

    def set_default(self, key_ids: Sequence[str], quorum: int | None = None) -> DefaultQuorum:
        """`quorum` of these keys must sign, all of them if it is not given; without any key, what names none is open to whoever may call."""
        return read(DefaultQuorum, self._connection.ask("PUT", f"{ROOT}/default-quorum", body={"key_ids": [*key_ids], "quorum": quorum}))


def _key(key_id: str, public_key: bytes, valid_from: Time, algorithm: str) -> dict[str, Any]:
    return {"key_id": key_id, "algorithm": algorithm, "public_key": b64encode(public_key).decode(), "valid_from": rfc3339(valid_from)}
