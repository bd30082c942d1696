"""The ports of versioning: where versions of loans are kept for ever, and what each chunk of a file came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from bourse.assets.model import Change, Head, Rejection


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """Names one chunk of one file; chunks of a shard are versioned in the order of their numbers."""

    tenant_id: str
    originator_id: str
    upload_seq: int
    shard: int
    chunk_no: int


@dataclass(frozen=True, slots=True)
class Made:
    """The version that one record of a chunk made: all that is needed, with the record itself, to say it again."""

    record_no: int
    version: int
    change: Change
    changed_fields: tuple[str, ...] = ()
    moved_from: str | None = None


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What a chunk came to. Kept once; whoever works on the chunk again says what it says, and nothing else."""

    digest: str
    """Of the chunk's records: a chunk cut differently under the same name would be a bug."""
    decided_at: datetime
    counts: Mapping[Change, int]
    made: tuple[Made, ...] = ()
    no_news: Mapping[str, int] = field(default_factory=dict)
    """Loans that were unchanged or stale -> their record number; a later record that differs contradicts them."""
    rejections: tuple[Rejection, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredAssessment:
    """One assessment of one version, as its row says. `facts` is what assessment/model.py calls an Assessment, as JSON."""

    version: int
    model_version: str
    facts: dict[str, Any]


class VersionStore(Protocol):
    """Keeps every version of every loan, and knows the latest.

    Promise: a version is written once, with the number after the one before it, and never changed. Loans of two originators
    or tenants never meet, whatever their ids.
    """

    def heads(self, tenant_id: str, originator_id: str, loan_ids: Sequence[str]) -> dict[str, Head]:
        """The latest version of each loan that has one, read consistently and as one set."""
        ...

    def append(self, tenant_id: str, originator_id: str, versions: Sequence[Head]) -> frozenset[str]:
        """Write new versions, each if the latest of its loan is the one before it.

        Returns the loans that were not written, because the latest version is another than expected or is being written
        at this moment; the caller reads the heads again and decides again. A version and its head are written together.
        """
        ...

    def made_by(self, tenant_id: str, originator_id: str, upload_seq: int, loan_ids: Sequence[str]) -> dict[str, Head]:
        """The version this file made of each loan, among all its versions, where it made one. For repairs: one read a loan."""
        ...

    def history(self, tenant_id: str, originator_id: str, loan_id: str) -> tuple[tuple[Head, ...], tuple[StoredAssessment, ...]]:
        """Every version of a loan, oldest first, and every assessment of any of them. Both empty when the loan was never seen."""
        ...


class ChunkStore(Protocol):
    """Keeps what each chunk came to, once."""

    def result(self, ref: ChunkRef) -> ChunkResult | None:
        """What the chunk came to, or None when no attempt has come that far."""
        ...

    def keep(self, ref: ChunkRef, result: ChunkResult) -> ChunkResult:
        """Keep the result, unless another attempt's is kept already. Returns the one that is kept."""
        ...

    def no_news_before(self, ref: ChunkRef, loan_ids: Sequence[str]) -> dict[str, int]:
        """Those of the loans that earlier chunks of the same file and shard brought without news -> their record number."""
        ...
