"""The signer in KMS: with moto, which has ECDSA, and for Ed25519 with botocore's own check of what is sent."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from bourse.aws.settings import SettingError
from bourse.aws.signers import KmsSigner, operations_signer
from bourse.clock import FixedClock
from bourse.errors import Refused, Unavailable
from bourse.ledger.actions import Account
from bourse.ledger.keys import Key, sign_batch
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.signing import Ed25519Signer, verify
from moto import mock_aws

from tests.ledger.books_builders import DAY, T, held, issue, opened, post, transfer, txn

WORDS = b"bourse/books/1\nbatch\n00\nt1"


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("kms", region_name="eu-west-1")


def made(kms: Any, spec: str = "ECC_NIST_P256") -> str:
    return str(kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"])


def test_a_batch_is_signed_in_kms_and_verified_without_it(kms: Any) -> None:
    operations = KmsSigner("operations", kms, made(kms))
    books = MemoryBooks(FixedClock(DAY))
    books.keys.open_key(T, Key("operations", operations.algorithm, operations.public_key(), DAY))
    opened(books, Account("ann", key_ids=("operations",)), "ben")
    post(books, issue(10, "ann"))
    batch = [txn(transfer(1, "ann", "ben")) for _ in range(3)]
    other = sign_batch(KmsSigner("operations", kms, made(kms)), T, batch)
    with pytest.raises(Refused, match="SIGNATURE_INVALID"):
        books.post(T, batch, DAY, signatures=[other])
    books.post(T, batch, DAY, signatures=[sign_batch(operations, T, batch)])
    assert held(books, "ben") == 3


def test_operations_signs_in_kms_on_aws_and_with_a_secret_elsewhere(kms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = boto3.client("secretsmanager", region_name="eu-west-1")
    manager.create_secret(Name="operations", SecretString="generated at deployment, 64 letters or so")
    monkeypatch.setattr("bourse.aws.signers.client", lambda service: {"kms": kms}[service])
    monkeypatch.setattr("bourse.aws.secrets.client", lambda service: {"secretsmanager": manager}[service])
    with pytest.raises(SettingError, match="OPERATIONS_KEY_SECRET"):
        operations_signer()
    monkeypatch.setenv("OPERATIONS_KEY_SECRET", "operations")
    local = operations_signer()
    assert (local.key_id, local.algorithm, local.public_key()) == ("operations", "ed25519", operations_signer().public_key())
    monkeypatch.setenv("OPERATIONS_KMS_KEY", made(kms))
    aws = operations_signer()
    assert (aws.key_id, aws.algorithm) == ("operations", "ecdsa_p256_sha256")
    for signer in (local, aws):
        assert verify(signer.algorithm, signer.public_key(), WORDS, signer.sign(WORDS))


def test_a_key_the_books_do_not_take_is_a_wrong_deployment_and_a_key_that_is_gone_is_tried_again(kms: Any) -> None:
    with pytest.raises(SettingError, match="ECDSA_SHA_256"):
        KmsSigner("operations", kms, made(kms, "RSA_2048")).sign(WORDS)
    with pytest.raises(Unavailable, match="get public key"):
        KmsSigner("operations", kms, "00000000-0000-0000-0000-000000000000").sign(WORDS)


def test_ed25519_is_asked_for_over_the_bytes_as_they_are() -> None:
    inside = Ed25519Signer.from_secret("operations", "kept in KMS".ljust(32, "."))
    kms = boto3.client("kms", region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    asked = {"KeyId": "alias/operations", "Message": WORDS, "MessageType": "RAW", "SigningAlgorithm": "ED25519_SHA_512"}
    described = {"SigningAlgorithms": ["ED25519_SHA_512", "ED25519_PH_SHA_512"], "PublicKey": inside.public_key()}
    with Stubber(kms) as stub:
        stub.add_response("get_public_key", described, {"KeyId": "alias/operations"})
        stub.add_response("sign", {"Signature": inside.sign(WORDS)}, asked)
        signer = KmsSigner("operations", kms, "alias/operations")
        signature = signer.sign(WORDS)
        assert verify(signer.algorithm, signer.public_key(), WORDS, signature)
        stub.assert_no_pending_responses()
