"""The ports of assessment: where assessments are kept, the tables that decide, and the terms offers are made at."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bourse.assessment.model import Assessment, OriginatorTerms
from bourse.assessment.tables import Class, DecisionTable, Rate, StoredTable, TableKind


class AssessmentStore(Protocol):
    """Keeps every assessment of every version of every loan beside the versions. What is kept is never changed."""

    def keep(self, tenant_id: str, originator_id: str, assessments: Sequence[Assessment]) -> None:
        """Keep the assessments; one of the same version by the same model versions that is there already stays as it is."""
        ...


class TermsStore(Protocol):
    """Knows at what terms an originator sells."""

    def terms(self, tenant_id: str, originator_id: str) -> OriginatorTerms | None:
        """The terms as they are now, or None for an originator without a product, or whom nobody knows."""
        ...


class RiskTables(Protocol):
    """The tables in force for a tenant: his own, else everybody's."""

    def default_rates(self, tenant_id: str) -> DecisionTable[Rate]: ...

    def risk_classes(self, tenant_id: str) -> DecisionTable[Class]: ...


class TableStore(Protocol):
    """Keeps every version of every table.

    Promise: a version is never changed. In force at a time is, of those active by then, the one that became active last (of two,
    the higher version); a tenant's own goes before everybody's, of which there always is one.
    """

    def active(self, tenant_id: str, kind: TableKind, at: datetime) -> StoredTable:
        """The table in force for the tenant at that time."""
        ...

    def publish(self, table: StoredTable, active_from: datetime, author: str, reason: str) -> None:
        """Keep the next version of the tenant's table. Raises Conflict TABLE_VERSION when its number is not the next."""
        ...

    def history(self, tenant_id: str, kind: TableKind) -> Sequence[StoredTable]:
        """All versions of the tenant's own table, oldest first."""
        ...
