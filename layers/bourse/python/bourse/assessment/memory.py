"""The ports of assessment kept in dicts, with the same promises: for tests and the simulation."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from bourse.assessment.model import Assessment, OriginatorTerms
from bourse.assessment.tables import DEFAULT_TENANT, KINDS, StoredTable, TableKind
from bourse.errors import Conflict


class MemoryAssessments:
    """An `AssessmentStore`. `kept` holds each assessment's JSON by (tenant, originator, loan, version, models' versions)."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str, int, str], dict[str, Any]] = {}

    def keep(self, tenant_id: str, originator_id: str, assessments: Sequence[Assessment]) -> None:
        for one in assessments:
            self.kept.setdefault((tenant_id, originator_id, one.loan_id, one.version, one.model_version), orjson.loads(one.as_json()))


class MemoryTerms:
    """A `TermsStore` over a dict of (tenant, originator)."""

    def __init__(self, known: Mapping[tuple[str, str], OriginatorTerms]) -> None:
        self.known = dict(known)

    def terms(self, tenant_id: str, originator_id: str) -> OriginatorTerms | None:
        return self.known.get((tenant_id, originator_id))


class MemoryTables:
    """A `TableStore` that begins with everybody's tables. `reads` counts how often it was asked."""

    def __init__(self, everybodys: Mapping[TableKind, list[Any]]) -> None:
        self.reads = 0
        self._stored: list[tuple[datetime, StoredTable]] = []
        for kind, rows in everybodys.items():
            self.publish(StoredTable(DEFAULT_TENANT, kind, 1, rows), datetime.min.replace(tzinfo=UTC), "bourse", "the tables we ship")

    def active(self, tenant_id: str, kind: TableKind, at: datetime) -> StoredTable:
        self.reads += 1
        in_force = [(active_from, table) for active_from, table in self._stored if table.kind == kind and active_from <= at]
        own = [found for found in in_force if found[1].owner == tenant_id]
        everybodys = [found for found in in_force if found[1].owner == DEFAULT_TENANT]
        return max(own or everybodys, key=lambda found: (found[0], found[1].version))[1]

    def publish(self, table: StoredTable, active_from: datetime, author: str, reason: str) -> None:  # noqa: ARG002 - kept for people only
        if table.version != len(self.history(table.owner, table.kind)) + 1:
            raise Conflict("TABLE_VERSION", "somebody else published a version of this table", "version")
        KINDS[table.kind]({"rows": table.rows})
        self._stored.append((active_from, table))

    def history(self, tenant_id: str, kind: TableKind) -> Sequence[StoredTable]:
        return [table for _, table in self._stored if (table.owner, table.kind) == (tenant_id, kind)]
