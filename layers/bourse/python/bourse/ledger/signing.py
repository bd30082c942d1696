"""Signing and verifying, and which public keys are taken. Pure; the library is imported at the first key, which costs 40 ms."""

from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal, get_args

from bourse.errors import Refused
from bourse.ledger.keys import Algorithm, KeptSignature, KeyVersion, batch_digest, message

_SECRET_BYTES_MIN: Final = 32
_SIGNATURE_BYTES_MAX: Final = 80
# The points of small order on edwards25519, sign bit aside: with one of them as public key a signature of zeros is valid for any message.
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(point)
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


class Ed25519Signer:
    """A `Signer` whose private key is in memory: for the local stack, for tests, and for clients who keep their own keys."""

    algorithm: Final[Algorithm] = "ed25519"

    def __init__(self, key_id: str, private_key: bytes) -> None:
        """`private_key`: the 32 bytes of the seed."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self.key_id: Final = key_id
        self._private: Final[Ed25519PrivateKey] = Ed25519PrivateKey.from_private_bytes(private_key)

    @classmethod
    def from_secret(cls, key_id: str, secret: str) -> "Ed25519Signer":
        """The key that a random text of at least 32 bytes stands for, such as a generated secret: the same text, the same key."""
        assert len(secret.encode()) >= _SECRET_BYTES_MIN, f"a secret has at least {_SECRET_BYTES_MIN} bytes"
        return cls(key_id, blake2b(secret.encode(), digest_size=32, person=b"bourse/ed25519").digest())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._private.sign(message)

    def public_key(self) -> bytes:
        return _der(self._private.public_key())


def verify(algorithm: Algorithm, public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is the key's, over these bytes. Whatever is no signature is not."""
    from cryptography.exceptions import InvalidSignature

    if not isinstance(signature, bytes) or len(signature) > _SIGNATURE_BYTES_MAX:
        return False
    key = _loaded(public_key)
    try:
        if algorithm == "ed25519":
            key.verify(signature, message)
        else:
            key.verify(signature, message, _ecdsa())
    except InvalidSignature:
        return False
    return True


def canonical_public_key(algorithm: Algorithm, public_key: bytes) -> bytes:
    """The one way to write a public key, so that the same key is the same bytes. Raises Refused KEY_INVALID."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if algorithm not in get_args(Algorithm):
        raise Refused("KEY_INVALID", f"the algorithm of a key is one of {', '.join(get_args(Algorithm))}", "algorithm")
    try:
        key = _loaded(bytes(public_key))
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise Refused("KEY_INVALID", "a public key is written as DER SubjectPublicKeyInfo", "public_key") from None
    fits = isinstance(key, Ed25519PublicKey) if algorithm == "ed25519" else isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    if not fits:
        raise Refused("KEY_INVALID", f"the public key is not one of {algorithm}", "public_key")
    if isinstance(key, Ed25519PublicKey):
        point = key.public_bytes_raw()
        if point[:31] + bytes([point[31] & 0x7F]) in _SMALL_ORDER:
            raise Refused("KEY_INVALID", "anybody could sign for this public key", "public_key")
    return _der(key)


def recheck(tenant_id: str, kept: KeptSignature, version: KeyVersion) -> Literal["SIGNATURE_COVERS_OTHERS", "SIGNATURE_INVALID", "KEY_NOT_VALID"] | None:
    """What is wrong with a kept signature, for the checker: SIGNATURE_COVERS_OTHERS (the transactions it covers are not what was signed),
    SIGNATURE_INVALID, KEY_NOT_VALID (the key did not sign at that time), or None."""
    digests = [digest for _, digest in kept.signed]
    wanted = batch_digest(digests) if kept.scope == "batch" else b"".join(digests)
    if wanted != kept.digest:
        return "SIGNATURE_COVERS_OTHERS"
    if not verify(version.algorithm, version.public_key, message(tenant_id, kept.scope, kept.digest), kept.signature):
        return "SIGNATURE_INVALID"
    return None if version.signs_at(kept.accepted_at) else "KEY_NOT_VALID"


@lru_cache(1_024)
def _loaded(public_key: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    return load_der_public_key(public_key)


def _der(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    written: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return written


def _ecdsa() -> Any:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    return ECDSA(SHA256())
