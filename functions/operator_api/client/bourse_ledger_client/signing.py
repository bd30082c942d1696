"""Signing transactions with keys that never leave their holder: `sign` is any callable that takes the bytes to sign and gives the signature.

What is signed are four lines of text: `bourse/books/1`, `transaction` or `batch`, a digest in hexadecimal, the tenant. The digest is made here, from
the document as it is sent, and held against the ledger's: nobody on the way can have another transaction signed.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

from .connection import ROOT, Connection

_FIRST: Final = "bourse/books/1"
_DEFAULTS: Final[Mapping[str, Any]] = {
    **{name: {} for name in ("token_tags", "action_tags")},
    **{name: [] for name in ("params", "over_params", "amounts")},
    **dict.fromkeys(("filter", "over_filter"), ""),
    **dict.fromkeys(("order", "over_order"), "fifo"),
    **dict.fromkeys(("carry_tags", "keep_rest"), False),
    "retire": True,
    "fee": [0, 1],
    "fee_destination": "world",
    "rule": "deficit",
}
_WORLD_AT: Final = {"issue": "source", "retire": "destination"}


@dataclass(frozen=True, slots=True)
class Signer:
    """A key's name in the ledger's register, and what signs with it: 64 bytes of Ed25519, or ECDSA over P-256 with SHA-256 in DER."""

    key_id: str
    sign: Callable[[bytes], bytes]


class DigestDiffers(Exception):
    """The ledger, or somebody on the way to it, would have had another transaction signed. Nothing was signed."""


def canonical(document: Mapping[str, Any]) -> bytes:
    """The one way to write a transaction: sorted names, no spaces, times in UTC, nothing that is its default."""
    shown = {
        "txn_id": document["txn_id"],
        "kind": document.get("kind", "transaction"),
        "effective_at": _utc(document["effective_at"]),
        "tags": document.get("tags", {}),
        "actions": [_action(one) for one in document["actions"]],
    }
    if document.get("expect"):
        shown["expect"] = [{name: one for name, one in guard.items() if one is not None and (name, one) != ("params", [])} for guard in document["expect"]]
    return json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(document: Mapping[str, Any]) -> bytes:
    """32 bytes that differ where the transaction differs."""
    return blake2b(canonical(document), digest_size=32).digest()


def sign_each(connection: Connection, documents: Sequence[Mapping[str, Any]], signers: Iterable[Signer]) -> list[dict[str, Any]]:
    """A signature of each signer over each transaction, whatever it is posted together with. Raises DigestDiffers."""
    told = connection.ask("POST", f"{ROOT}/transactions/to-sign", body={"transactions": documents})["transactions"]
    messages = [(one["txn_id"], _checked("transaction", digest(one), found)) for one, found in zip(documents, told, strict=True)]
    return [_signature(signer, message, txn_id) for signer in signers for txn_id, message in messages]


def sign_all(connection: Connection, documents: Sequence[Mapping[str, Any]], signers: Iterable[Signer]) -> list[dict[str, Any]]:
    """A signature of each signer over all transactions at once, exactly these in this order. Raises DigestDiffers."""
    told = connection.ask("POST", f"{ROOT}/transactions/to-sign", body={"transactions": documents})["batch"]
    batch = blake2b(b"".join(digest(one) for one in documents), digest_size=32).digest()
    message = _checked("batch", batch, told)
    return [_signature(signer, message, None) for signer in signers]


def _checked(scope: str, mine: bytes, told: Mapping[str, Any]) -> bytes:
    """The bytes to sign, when they are what this program asked for."""
    message: str = told["message"]
    lines = message.split("\n")
    if len(lines) != 4 or lines[:3] != [_FIRST, scope, mine.hex()]:
        raise DigestDiffers(f"the digest is {mine.hex()}, and what was told to be signed is {message!r}")
    return message.encode()


def _signature(signer: Signer, message: bytes, txn_id: str | None) -> dict[str, Any]:
    shown = {"key_id": signer.key_id, "signature": b64encode(signer.sign(message)).decode()}
    return shown if txn_id is None else {**shown, "txn_id": txn_id}


def _action(action: Mapping[str, Any]) -> dict[str, Any]:
    left_out = {**_DEFAULTS, _WORLD_AT.get(action["type"], ""): "world"}
    found = {name: one for name, one in action.items() if one is not None and not (name in left_out and _same(one, left_out[name]))}
    return {**found, "expires_at": _utc(found["expires_at"])} if "expires_at" in found else found


def _same(one: Any, default: Any) -> bool:
    return type(one) is type(default) and bool(one == default)


def _utc(time: str) -> str:
    return datetime.fromisoformat(time).astimezone(UTC).isoformat()
