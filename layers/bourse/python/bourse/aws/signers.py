"""A `Signer` whose private key never leaves KMS. One request signs a whole batch; verifying needs no KMS, only the public key.

KMS has Ed25519 (key spec ECC_NIST_EDWARDS25519) and ECDSA over P-256 (ECC_NIST_P256), both for the bytes as they are: MessageType RAW,
because DIGEST would make Ed25519 another algorithm (Ed25519ph).
"""

from typing import Any, Final

from bourse.aws import settings
from bourse.aws.clients import client
from bourse.errors import Unavailable
from bourse.ledger.keys import Algorithm

_SIGNING_ALGORITHM: Final[dict[Algorithm, str]] = {"ed25519": "ED25519_SHA_512", "ecdsa_p256_sha256": "ECDSA_SHA_256"}


class KmsSigner:
    """Signs as `key_id` with an asymmetric KMS key (SIGN_VERIFY)."""

    def __init__(self, key_id: str, kms: Any, kms_key: str) -> None:
        """`kms_key` is the id, ARN or alias of the KMS key; what algorithm it has, KMS is asked once."""
        self.key_id: Final = key_id
        self._kms: Final = kms
        self._kms_key: Final = kms_key
        self._described: tuple[Algorithm, bytes] | None = None

    @classmethod
    def from_env(cls, key_id: str = "operations") -> "KmsSigner":
        """The KMS key that <KEY_ID>_KMS_KEY names."""
        return cls(key_id, client("kms"), settings.text(f"{key_id.upper()}_KMS_KEY"))

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
