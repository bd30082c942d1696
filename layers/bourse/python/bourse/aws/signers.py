"""Who signs for the marketplace: a `Signer` whose private key never leaves KMS, or, on the local stack, one made of a secret.

One request to KMS signs a whole batch; verifying needs no KMS, only the public key.
KMS has Ed25519 (key spec ECC_NIST_EDWARDS25519) and ECDSA over P-256 (ECC_NIST_P256), both for the bytes as they are: MessageType RAW,
because DIGEST would make Ed25519 another algorithm (Ed25519ph).
"""

import os
from typing import Any, Final

from bourse.aws import settings
from bourse.aws.clients import client
from bourse.aws.secrets import secret
from bourse.errors import Unavailable
from bourse.ledger.keys import Algorithm, Signer
from bourse.ledger.signing import Ed25519Signer

OPERATIONS: Final = "operations"

_SIGNING_ALGORITHM: Final[dict[Algorithm, str]] = {"ed25519": "ED25519_SHA_512", "ecdsa_p256_sha256": "ECDSA_SHA_256"}


def operations_signer() -> Signer:
    """The marketplace's own key: in KMS where OPERATIONS_KMS_KEY names one, else the one the secret of OPERATIONS_KEY_SECRET stands for."""
    if kms_key := os.environ.get("OPERATIONS_KMS_KEY"):
        return KmsSigner(OPERATIONS, client("kms"), kms_key)
    return Ed25519Signer.from_secret(OPERATIONS, secret("OPERATIONS_KEY_SECRET"))


class KmsSigner:
    """Signs as `key_id` with an asymmetric KMS key (SIGN_VERIFY)."""

    def __init__(self, key_id: str, kms: Any, kms_key: str) -> None:
        """`kms_key` is the id, ARN or alias of the KMS key; what algorithm it has, KMS is asked once."""
        self.key_id: Final = key_id
        self._kms: Final = kms
        self._kms_key: Final = kms_key
        self._described: tuple[Algorithm, bytes] | None = None

    @property
    def algorithm(self) -> Algorithm:
        return self._describe()[0]

    def public_key(self) -> bytes:
        return self._describe()[1]

    def sign(self, message: bytes) -> bytes:
        """Raises Unavailable where KMS does not sign."""
        asked = {"KeyId": self._kms_key, "Message": message, "MessageType": "RAW", "SigningAlgorithm": _SIGNING_ALGORITHM[self.algorithm]}
        return bytes(self._call("sign", asked)["Signature"])

    def _describe(self) -> tuple[Algorithm, bytes]:
        if self._described is None:
            answer = self._call("get_public_key", {"KeyId": self._kms_key})
            fits = [ours for ours, theirs in _SIGNING_ALGORITHM.items() if theirs in answer["SigningAlgorithms"]]
            if not fits:
                raise settings.SettingError(f"the KMS key {self._kms_key} signs by none of {', '.join(_SIGNING_ALGORITHM.values())}")
            self._described = fits[0], bytes(answer["PublicKey"])
        return self._described

    def _call(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(self._kms, name)(**asked)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"KMS did not {name.replace('_', ' ')}: {type(error).__name__}") from error
        return answer
