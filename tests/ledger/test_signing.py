"""Signatures by themselves: test vectors of the standard, both algorithms, and public keys anybody could sign for."""

import pytest
from bourse.errors import Refused
from bourse.ledger.keys import message
from bourse.ledger.signing import Ed25519Signer, canonical_public_key, verify
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.ledger.keys_builders import signer

_DER = bytes.fromhex("302a300506032b6570032100")
"""What stands before the 32 bytes of an Ed25519 key in SubjectPublicKeyInfo (RFC 8410)."""


@pytest.mark.parametrize(
    ("seed", "public", "said", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_ed25519_is_that_of_rfc_8032(seed: str, public: str, said: str, signature: str) -> None:
    one = Ed25519Signer("k", bytes.fromhex(seed))
    assert one.public_key() == _DER + bytes.fromhex(public)
    assert one.sign(bytes.fromhex(said)).hex() == signature
    assert verify("ed25519", one.public_key(), bytes.fromhex(said), bytes.fromhex(signature))
    assert not verify("ed25519", one.public_key(), bytes.fromhex(said) + b".", bytes.fromhex(signature))


def test_ecdsa_over_p256_is_verified_and_a_public_key_has_one_form() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signature = private.sign(b"said", ec.ECDSA(hashes.SHA256()))
    assert verify("ecdsa_p256_sha256", public, b"said", signature)
    assert not verify("ecdsa_p256_sha256", public, b"sad", signature)
    for malformed in (b"", b"\x30", signature[:-1], signature + b"\0", b"\x30\x06\x02\x01\x00\x02\x01\x00"):
        assert not verify("ecdsa_p256_sha256", public, b"said", malformed)
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    assert compressed != public
    assert canonical_public_key("ecdsa_p256_sha256", compressed) == public


def test_a_curve_the_algorithm_does_not_name_is_refused() -> None:
    public = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(Refused, match="KEY_INVALID"):
        canonical_public_key("ecdsa_p256_sha256", public)


_P = 2**255 - 19
_SMALL = [
    0,
    1,
    2707385501144840649318225287225658788936804267575313519463743609750303402022,
    _P - 2707385501144840649318225287225658788936804267575313519463743609750303402022,
    _P - 1,
    _P,
    _P + 1,
]


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", _SMALL)
def test_a_public_key_anybody_could_sign_for_is_refused(y: int, sign: int) -> None:
    point = (y | sign << 255).to_bytes(32, "little")
    zeros = b"\x01" + bytes(63)
    for number in range(1_000):
        if verify("ed25519", _DER + point, str(number).encode(), zeros):
            break
    else:
        pytest.fail("a signature of zeros passes for none of a thousand messages: this point is no danger")
    with pytest.raises(Refused, match="anybody"):
        canonical_public_key("ed25519", _DER + point)


def test_what_is_signed_names_the_tenant_the_scope_and_the_digest_unmistakably() -> None:
    digest = bytes(32)
    assert message("t1", "batch", digest) == b"bourse/books/1\nbatch\n" + b"0" * 64 + b"\nt1"
    assert len({message("t1", "batch", digest), message("t1", "transaction", digest), message("t\n1", "batch", digest), message("t1", "batch", b"1" * 32)}) == 4


def test_a_secret_stands_for_the_same_key_each_time_and_a_short_one_for_none() -> None:
    assert signer("a").public_key() == signer("a").public_key() != signer("b").public_key()
    Ed25519PublicKey.from_public_bytes(signer("a").public_key()[-32:])
    with pytest.raises(AssertionError, match="32 bytes"):
        Ed25519Signer.from_secret("a", "short")
