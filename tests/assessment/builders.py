"""Loans, versions, terms and the shipped tables for the tests of assessment."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import bourse
import orjson
from bourse.assessment.assess_assets import assess_assets
from bourse.assessment.local import KeptTables, TableClassifier, TableForecaster
from bourse.assessment.memory import MemoryAssessments, MemoryTables, MemoryTerms
from bourse.assessment.model import OriginatorTerms
from bourse.assessment.provider import CashFlowForecaster, RiskClassifier
from bourse.assessment.store import AssessmentStore, TermsStore
from bourse.assets.events import AssetsVersioned, AssetVersion
from bourse.assets.model import LoanRecord
from bourse.clock import FixedClock
from bourse.message import Outcome, message_id

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TERMS = OriginatorTerms("consumer", True, Decimal("0.995"), 2_500, 30, days_past_due_max=60, currencies=frozenset({"USD", "EUR"}))
LOAN: dict[str, Any] = {
    "loan_id": "L-1",
    "status": "active",
    "currency": "USD",
    "principal_minor": 1_200_000,
    "outstanding_principal_minor": 1_150_055,
    "interest_rate": "12.99",
    "term_months": 36,
    "grade": "C",
    "country": "US",
    "borrower": {"id": "B-1", "birth_year": 1990, "income_month_minor": 400_000, "employment": "employed"},
    "extras": {"sub_grade": "C2"},
}


def loan(**facts: Any) -> LoanRecord:
    """A loan record; a fact given as None is missing."""
    return LoanRecord.model_validate({name: value for name, value in (LOAN | facts).items() if value is not None})


def versioned(*loans: dict[str, Any], version: int = 1, seq: int = 1, said_at: datetime = NOON, originator: str = "acme") -> AssetsVersioned:
    """The message of these loans (facts over LOAN), as version_assets says it."""
    assets = []
    for facts in loans:
        document = {name: value for name, value in (LOAN | facts).items() if value is not None}
        text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()
        assets.append(AssetVersion(loan_id=document["loan_id"], version=version, change="created", document=text))
    return AssetsVersioned(
        message_id=message_id(AssetsVersioned.kind, originator, seq, version),
        tenant_id="demo",
        correlation_id=f"upl_{seq}",
        originator_id=originator,
        upload_seq=seq,
        shard=3,
        said_at=said_at,
        assets=tuple(assets),
    )


def shipped_tables() -> dict[str, Any]:
    """Everybody's tables as the migration ships them."""
    sql = (Path(bourse.__file__).parent / "migrations/0020_assessment.sql").read_text()
    found = re.findall(r"\('\*', '(\w+)', 1, .*?, '(\[.*?\])'\)", sql, re.DOTALL)
    return {kind: orjson.loads(rows) for kind, rows in found}


def memory_tables() -> MemoryTables:
    return MemoryTables(shipped_tables())


def local_models(clock: FixedClock | None = None) -> tuple[TableForecaster, TableClassifier]:
    tables = KeptTables(memory_tables(), clock or FixedClock(NOON))
    return TableForecaster(tables), TableClassifier(tables)


@dataclass
class Stage:
    """All that assess_assets needs; hears messages."""

    assessments: AssessmentStore = field(default_factory=MemoryAssessments)
    terms: TermsStore = field(default_factory=lambda: MemoryTerms({("demo", "acme"): TERMS}))
    forecaster: CashFlowForecaster = field(default_factory=lambda: local_models()[0])
    classifier: RiskClassifier = field(default_factory=lambda: local_models()[1])
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOON))

    def hear(self, *messages: AssetsVersioned) -> Outcome:
        outcome = Outcome()
        for message in messages:
            outcome = assess_assets(
                message, forecaster=self.forecaster, classifier=self.classifier, assessments=self.assessments, terms=self.terms, clock=self.clock
            )
        return outcome


def texts(values: Sequence[Decimal]) -> list[str]:
    return [str(value) for value in values]
