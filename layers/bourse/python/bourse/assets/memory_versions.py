"""Versions and chunk results kept in dicts, with the same promises as the tables: for tests and the simulation."""

from collections.abc import Sequence

from bourse.assets.model import Head
from bourse.assets.versions import ChunkRef, ChunkResult, StoredAssessment

Loan = tuple[str, str, str]


class MemoryVersions:
    """A `VersionStore`. `stored` holds every version of every loan, oldest first, by (tenant, originator, loan)."""

    def __init__(self) -> None:
        self.stored: dict[Loan, tuple[Head, ...]] = {}
        self.assessed: dict[Loan, tuple[StoredAssessment, ...]] = {}

    def heads(self, tenant_id: str, originator_id: str, loan_ids: Sequence[str]) -> dict[str, Head]:
        return {loan_id: self.stored[loan][-1] for loan_id in loan_ids if (loan := (tenant_id, originator_id, loan_id)) in self.stored}

    def append(self, tenant_id: str, originator_id: str, versions: Sequence[Head]) -> frozenset[str]:
        fenced = set()
        for version in versions:
            loan = (tenant_id, originator_id, version.loan_id)
            before = self.stored.get(loan, ())
            if len(before) == version.version - 1:
                self.stored[loan] = (*before, version)
            else:
                fenced.add(version.loan_id)
        return frozenset(fenced)

    def made_by(self, tenant_id: str, originator_id: str, upload_seq: int, loan_ids: Sequence[str]) -> dict[str, Head]:
        made = {}
        for loan_id in loan_ids:
            for version in self.stored.get((tenant_id, originator_id, loan_id), ()):
                if version.cause.upload_seq == upload_seq:
                    made[loan_id] = version
        return made

    def history(self, tenant_id: str, originator_id: str, loan_id: str) -> tuple[tuple[Head, ...], tuple[StoredAssessment, ...]]:
        loan = (tenant_id, originator_id, loan_id)
        return self.stored.get(loan, ()), self.assessed.get(loan, ())


class MemoryChunks:
    """A `ChunkStore`. `kept` holds each chunk's result."""

    def __init__(self) -> None:
        self.kept: dict[ChunkRef, ChunkResult] = {}

    def result(self, ref: ChunkRef) -> ChunkResult | None:
        return self.kept.get(ref)

    def keep(self, ref: ChunkRef, result: ChunkResult) -> ChunkResult:
        return self.kept.setdefault(ref, result)

    def no_news_before(self, ref: ChunkRef, loan_ids: Sequence[str]) -> dict[str, int]:
        seen: dict[str, int] = {}
        asked = set(loan_ids)
        for other, result in sorted(self.kept.items(), key=lambda item: item[0].chunk_no):
            same_file = (other.tenant_id, other.originator_id, other.upload_seq, other.shard) == (ref.tenant_id, ref.originator_id, ref.upload_seq, ref.shard)
            if same_file and other.chunk_no < ref.chunk_no:
                for loan_id in asked & result.no_news.keys():
                    seen.setdefault(loan_id, result.no_news[loan_id])
        return seen
