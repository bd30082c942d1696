"""Our own forecaster and classifier: pure rules on versioned tables, in this process."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from bourse.assessment.attributes import attributes_of
from bourse.assessment.forecast import forecast
from bourse.assessment.model import Attributes, Forecast, RiskClass
from bourse.assessment.store import RiskTables, TableStore
from bourse.assessment.tables import KINDS, Class, DecisionTable, Rate, TableKind
from bourse.assets.model import LoanRecord
from bourse.clock import Clock

_KEPT: Final = timedelta(seconds=60)


class TableForecaster:
    """A `CashFlowForecaster` that takes default and loss rates from the tenant's table, by what is known of the loan."""

    def __init__(self, tables: RiskTables) -> None:
        self._tables = tables

    def forecast(self, tenant_id: str, as_of: date, loans: Sequence[LoanRecord]) -> list[Forecast | None]:
        table = self._tables.default_rates(tenant_id)
        return [forecast(loan, as_of, table.decide(attributes_of(loan, as_of)), table.version) for loan in loans]


class TableClassifier:
    """A `RiskClassifier` that takes the class from the tenant's table."""

    def __init__(self, tables: RiskTables) -> None:
        self._tables = tables

    def classify(self, tenant_id: str, loans: Sequence[Attributes]) -> list[RiskClass | None]:
        table = self._tables.risk_classes(tenant_id)
        return [RiskClass(table.decide(known).risk_class, table.version) for known in loans]


class KeptTables:
    """`RiskTables` that asks the store at most once a minute for each tenant and kind."""

    def __init__(self, store: TableStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: dict[tuple[str, TableKind], tuple[datetime, DecisionTable[Any]]] = {}

    def default_rates(self, tenant_id: str) -> DecisionTable[Rate]:
        return self._current(tenant_id, "default_rates")

    def risk_classes(self, tenant_id: str) -> DecisionTable[Class]:
        return self._current(tenant_id, "risk_classes")

    def _current(self, tenant_id: str, kind: TableKind) -> DecisionTable[Any]:
        now = self._clock.now()
        kept = self._kept.get((tenant_id, kind))
        if kept and now - kept[0] < _KEPT:
            return kept[1]
        stored = self._store.active(tenant_id, kind, now)
        table = DecisionTable(stored.label, KINDS[kind]({"rows": stored.rows}).rows)
        self._kept[tenant_id, kind] = (now, table)
        return table
