"""Keys and what they sign: the nouns, the bytes that are signed, and the port of the register of public keys.

A private key is never in the books: whoever signs holds a `Signer`. What is signed are the digests of whole transactions, with the
tenant, so a signature is of no use for another request, another batch or another tenant's books.

Codes refused with: KEY_UNKNOWN, KEY_REVOKED (also of a version that a newer one has replaced), KEY_INVALID, QUORUM_INVALID,
SIGNATURE_MISSING, SIGNATURE_INVALID, QUORUM_NOT_MET, TOO_MANY_SIGNATURES. Conflict: KEY_DIFFERS.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, Protocol

from bourse.ledger.actions import Account, Flavor, Transaction

Algorithm = Literal["ed25519", "ecdsa_p256_sha256"]
KEYS_MAX: Final = 32
"""Of an account or flavor."""
SIGNATURES_MAX: Final = 1_000
"""Of a posting."""
_PREFIX: Final = "bourse/books/1"


@dataclass(frozen=True, slots=True)
class Key:
    """A public key as it is registered: DER SubjectPublicKeyInfo, as `openssl` and KMS write it."""

    key_id: str
    algorithm: Algorithm
    public_key: bytes
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """A version of a key as the register knows it. It signs in [valid_from, the earlier of ends_at and revoked_at)."""

    key_id: str
    version: int
    algorithm: Algorithm
    public_key: bytes
    valid_from: datetime
    ends_at: datetime | None = None
    """When the version after it takes over for good."""
    revoked_at: datetime | None = None

    def signs_at(self, at: datetime) -> bool:
        return self.valid_from <= at and not self.is_over(at)

    def is_over(self, at: datetime) -> bool:
        return any(end is not None and end <= at for end in (self.ends_at, self.revoked_at))


@dataclass(frozen=True, slots=True)
class Signature:
    """A key's signature over one transaction of a posting, or, where `txn_id` is None, over the posting's whole batch."""

    key_id: str
    signature: bytes
    txn_id: str | None = None


@dataclass(frozen=True, slots=True)
class KeptSignature:
    """A signature a posting stood on, as the books keep it for ever."""

    posting_no: int
    """The first sequence number of the posting; with `place` it names the signature."""
    place: int
    key_id: str
    version: int
    scope: Literal["transaction", "batch"]
    digest: bytes
    signature: bytes
    signed: tuple[tuple[str, bytes], ...]
    """(id, digest) of the transactions it covers, in the order they were signed."""
    accepted_at: datetime


class Quorum(NamedTuple):
    """`needed` of these keys have to sign; none where no key is named."""

    key_ids: frozenset[str]
    needed: int


OPEN: Final = Quorum(frozenset(), 0)


def quorum_of(named: Account | Flavor) -> Quorum:
    """What an account or flavor asks for by itself."""
    return make_quorum(named.key_ids, named.quorum) if named.key_ids else OPEN


@lru_cache(1_024)
def make_quorum(key_ids: tuple[str, ...], quorum: int | None) -> Quorum:
    return Quorum(frozenset(key_ids), len(key_ids) if quorum is None else quorum) if key_ids else OPEN


def batch_digest(digests: Sequence[bytes]) -> bytes:
    """32 bytes for the transactions of a posting in their order."""
    return blake2b(b"".join(digests), digest_size=32).digest()


def message(tenant_id: str, scope: Literal["transaction", "batch"], digest: bytes) -> bytes:
    """The very bytes that are signed."""
    return "\n".join((_PREFIX, scope, digest.hex(), tenant_id)).encode()


class Signer(Protocol):
    """Holds a private key, or knows where it is."""

    @property
    def key_id(self) -> str: ...

    @property
    def algorithm(self) -> Algorithm: ...

    def sign(self, message: bytes) -> bytes:
        """At most 4,096 bytes are signed. Raises Unavailable."""
        ...

    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo, to be registered."""
        ...


def sign_batch(signer: Signer, tenant_id: str, transactions: Sequence[Transaction]) -> Signature:
    """One signature for all transactions of a posting, exactly these in this order."""
    digest = batch_digest([one.digest() for one in transactions])
    return Signature(signer.key_id, signer.sign(message(tenant_id, "batch", digest)))


def sign_transaction(signer: Signer, tenant_id: str, transaction: Transaction) -> Signature:
    """A signature for one transaction, whatever it is posted together with."""
    return Signature(signer.key_id, signer.sign(message(tenant_id, "transaction", transaction.digest())), transaction.txn_id)


class Keys(Protocol):
    """The register of public keys of each tenant. Its facts are added only; a key is never taken out, so that old signatures can be verified."""

    def open_key(self, tenant_id: str, key: Key) -> None:
        """Register version 1 of a key. The same again changes nothing.

        Raises Refused NAME_INVALID, KEY_INVALID, TIME_INVALID; Conflict KEY_DIFFERS, also where another key has this public key:
        one holder must not count twice towards a quorum.
        """
        ...

    def rotate_key(self, tenant_id: str, key: Key, previous_until: datetime) -> int:
        """Register the next version of a key, revoked or not; earlier ones sign until `previous_until`. Returns the version.

        What was signed before is to be posted by then. With the newest version's public key it changes nothing. Raises as `open_key`,
        and Refused KEY_UNKNOWN.
        """
        ...

    def revoke_key(self, tenant_id: str, key_id: str, at: datetime, reason: str = "") -> None:
        """From `at` on no version there is so far signs anything. Once more changes nothing: the first time stays.

        It waits for postings under way; none that is recorded later stands on the key. Raises Refused KEY_UNKNOWN.
        """
        ...

    def set_default(self, tenant_id: str, key_ids: Sequence[str], quorum: int | None, at: datetime) -> None:
        """The keys of all accounts and flavors that name none themselves; without any, those are open to whoever may call.

        Raises Refused KEY_UNKNOWN, QUORUM_INVALID.
        """
        ...

    def versions(self, tenant_id: str, key_id: str) -> Sequence[KeyVersion]:
        """All versions of a key, oldest first, as they are now. Raises Refused KEY_UNKNOWN."""
        ...

    def listed(self, tenant_id: str, *, cursor: str | None = None, limit: int = 100) -> tuple[Sequence[KeyVersion], str | None]:
        """The newest version of each key, by their names, and where the next page begins. Raises Refused CURSOR_INVALID, LIMIT_INVALID."""
        ...

    def default(self, tenant_id: str) -> Quorum:
        """The default as it is now."""
        ...

    def trusted(self, tenant_id: str, key_ids: Sequence[str]) -> tuple[Quorum, Mapping[str, Sequence[KeyVersion]]]:
        """The tenant's default, and the versions of those of the keys that there are; may be as old as the register says it may."""
        ...

    def kept(self, tenant_id: str, *, after: tuple[int, int] = (0, 0), limit: int = 100) -> Sequence[KeptSignature]:
        """Signatures that postings stood on, by (posting_no, place), those after `after`."""
        ...
