"""What the journal tells of requests that were refused for good. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bourse.ledger.json_text import jsonb_text, known_time, time_text

_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class RefusalTold:
    """A request was refused for good: the same id is refused again, whatever the books could do by then."""

    txn_id: str
    digest: bytes
    code: str
    detail: str
    field: str | None
    recorded_at: datetime


def refusal_line(entry: RefusalTold) -> str:
    """The one line of a refusal."""
    return (
        f'{{"entry":"refusal","txn_id":"{entry.txn_id}","digest":"{entry.digest.hex()}","code":"{entry.code}","detail":{jsonb_text(entry.detail)},'
        f'"field":{jsonb_text(entry.field)},"recorded_at":"{time_text(entry.recorded_at)}"}}'
    )


def refusal_told(said: dict[str, Any]) -> RefusalTold:
    """The entry, made of what its line says."""
    return RefusalTold(**{**said, "digest": bytes.fromhex(said["digest"]), "recorded_at": known_time(said["recorded_at"])})


def is_whole_refusal(entry: RefusalTold) -> bool:
    """Whether its words are what they must be."""
    words = all(isinstance(one, str) for one in (entry.txn_id, entry.code, entry.detail, entry.field or ""))
    return words and len(entry.digest) == _DIGEST_BYTES
