"""Reads what is signed and who signed it from JSON, strictly: signatures, public keys, and what a signer is shown before signing."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bourse.errors import Refused
from bourse.ledger.actions import Transaction, canonical
from bourse.ledger.check import check, check_name
from bourse.ledger.documents import shown
from bourse.ledger.keys import SIGNATURES_MAX, Signature, batch_digest, message

_FIELDS: Final = ("key_id", "signature", "txn_id")
_BASE64_MAX: Final = 4_096
SIGNATURE_SCHEMA: Final = {
    "type": "object",
    "title": "signature",
    "additionalProperties": False,
    "required": ["key_id", "signature"],
    "properties": {
        "key_id": {"type": "string"},
        "signature": {"type": "string", "contentEncoding": "base64", "description": "Over the message that `/v1/ledger/transactions/to-sign` tells"},
        "txn_id": {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "description": "The one transaction it is over; null: over all of this request in their order",
        },
    },
}
SIGNATURES_SCHEMA: Final = {"type": "array", "maxItems": SIGNATURES_MAX, "items": SIGNATURE_SCHEMA}


@dataclass(frozen=True, slots=True)
class ToSign:
    """What a key signs: the very bytes, which are text, and the digest that stands in them as 64 hexadecimal figures. `document` is the canonical JSON of the
    transaction, whose BLAKE2b-256 is the digest; None for a batch, whose digest is that of its transactions' digests one after the other."""

    scope: Literal["transaction", "batch"]
    digest: str
    message: str
    txn_id: str | None = None
    document: str | None = None


def to_sign(tenant_id: str, transactions: Sequence[Transaction]) -> tuple[ToSign, list[ToSign]]:
    """What a key signs of a batch, and of each transaction alone. Raises Refused, Conflict for what no posting could be."""
    check(transactions)
    digests = [one.digest() for one in transactions]
    each = [
        ToSign("transaction", digest.hex(), message(tenant_id, "transaction", digest).decode(), one.txn_id, canonical(one.document()).decode())
        for one, digest in zip(transactions, digests, strict=True)
    ]
    digest = batch_digest(digests)
    return ToSign("batch", digest.hex(), message(tenant_id, "batch", digest).decode()), each


def signatures_of(value: Any, where: str = "signatures") -> tuple[Signature, ...]:
    """Raises Refused FIELD_INVALID, FIELD_UNKNOWN, FIELD_MISSING, NAME_INVALID, SIGNATURE_INVALID, TOO_MANY_SIGNATURES with the place."""
    if not isinstance(value, list):
        raise Refused("FIELD_INVALID", "signatures are a list", where)
    if len(value) > SIGNATURES_MAX:
        raise Refused("TOO_MANY_SIGNATURES", f"a posting may have {SIGNATURES_MAX} signatures", where)
    return tuple([_signature(one, f"{where}.{number}") for number, one in enumerate(value)])


def octets_of(value: Any, code: str, where: str) -> bytes:
    """The bytes of a base64 text. Raises Refused with the code."""
    try:
        if not isinstance(value, str) or not 0 < len(value) <= _BASE64_MAX:
            raise ValueError(value)
        return b64decode(value.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        raise Refused(code, "it is written in base64, with its padding", where) from None


def _signature(value: Any, where: str) -> Signature:
    if not isinstance(value, dict):
        raise Refused("FIELD_INVALID", "a signature is a JSON object", where)
    for name in value:
        if name not in _FIELDS:
            raise Refused("FIELD_UNKNOWN", f"a signature has no such field: it has {', '.join(_FIELDS)}", f"{where}.{shown(name)}")
    for name in _FIELDS[:2]:
        if name not in value:
            raise Refused("FIELD_MISSING", f"a signature needs {name}", f"{where}.{name}")
    txn_id = value.get("txn_id")
    check_name(value["key_id"], f"{where}.key_id")
    if txn_id is not None:
        check_name(txn_id, f"{where}.txn_id")
    return Signature(value["key_id"], octets_of(value["signature"], "SIGNATURE_INVALID", f"{where}.signature"), txn_id)
