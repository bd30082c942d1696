"""Terms and decision tables read from PostgreSQL: one query each."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, LiteralString

import orjson

from bourse.assessment.local import KeptTables
from bourse.assessment.model import OriginatorTerms
from bourse.assessment.store import RiskTables
from bourse.assessment.tables import DEFAULT_TENANT, StoredTable, TableKind
from bourse.aws.postgres import Database
from bourse.clock import SystemClock
from bourse.errors import Conflict
from bourse.parties.model import OriginatorStatus, ProductTerms

_TERMS: Final[LiteralString] = """
    select originator.status, product.product_id, product.terms
    from parties.originator
    join parties.product_version product using (tenant_id, product_id)
    where originator.tenant_id = %s and originator.originator_id = %s
    order by product.version desc limit 1"""
_ACTIVE: Final[LiteralString] = """
    select tenant_id, version, rows from assessment.risk_table
    where tenant_id in (%s, '*') and kind = %s and active_from <= %s
    order by tenant_id = '*', active_from desc, version desc limit 1"""
_HISTORY: Final[LiteralString] = "select version, rows from assessment.risk_table where tenant_id = %s and kind = %s order by version"
_PUBLISH: Final[LiteralString] = """
    insert into assessment.risk_table (tenant_id, kind, version, active_from, rows, author, reason)
    select %(tenant)s, %(kind)s, %(version)s, %(active_from)s, %(rows)s, %(author)s, %(reason)s
    where %(version)s = 1 + (select coalesce(max(version), 0) from assessment.risk_table where tenant_id = %(tenant)s and kind = %(kind)s)
    on conflict do nothing"""


@cache
def database_from_env() -> Database:
    """One connection for all that assessment reads."""
    return Database.from_env()


@cache
def tables_from_env() -> RiskTables:
    """The tables in force, kept for a minute while the function is warm."""
    return KeptTables(AuroraTables(database_from_env()), SystemClock())


class AuroraTerms:
    """A `TermsStore` over the tables of parties."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def from_env(cls) -> "AuroraTerms":
        return cls(database_from_env())

    def terms(self, tenant_id: str, originator_id: str) -> OriginatorTerms | None:
        with self._database.transaction(tenant_id) as cursor:
            found = cursor.execute(_TERMS, [tenant_id, originator_id]).fetchone()
        if found is None:
            return None
        status, product_id, terms = found[0], found[1], ProductTerms.model_validate(found[2])
        return OriginatorTerms(
            product_id=product_id,
            active=status == OriginatorStatus.ACTIVE,
            sell_ratio=terms.sell_ratio,
            lot_min=terms.lot_min,
            offer_days=terms.offer_days,
            days_past_due_max=terms.days_past_due_max,
            currencies=frozenset(terms.currencies),
        )


class AuroraTables:
    """A `TableStore` over assessment.risk_table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def from_env(cls) -> "AuroraTables":
        return cls(database_from_env())

    def active(self, tenant_id: str, kind: TableKind, at: datetime) -> StoredTable:
        with self._database.transaction(tenant_id) as cursor:
            found = cursor.execute(_ACTIVE, [tenant_id, kind, at]).fetchone()
        assert found is not None, "the migration ships everybody's tables"
        owner, version, rows = found
        return StoredTable(owner, kind, version, rows)

    def publish(self, table: StoredTable, active_from: datetime, author: str, reason: str) -> None:
        assert table.owner != DEFAULT_TENANT, "everybody's tables come with a migration"
        facts: dict[str, Any] = {
            "tenant": table.owner,
            "kind": table.kind,
            "version": table.version,
            "active_from": active_from,
            "rows": orjson.dumps(table.rows).decode(),
            "author": author,
            "reason": reason,
        }
        with self._database.transaction(table.owner) as cursor:
            if cursor.execute(_PUBLISH, facts).rowcount != 1:
                raise Conflict("TABLE_VERSION", "somebody else published a version of this table", "version")

    def history(self, tenant_id: str, kind: TableKind) -> Sequence[StoredTable]:
        with self._database.transaction(tenant_id) as cursor:
            found = cursor.execute(_HISTORY, [tenant_id, kind]).fetchall()
        return [StoredTable(tenant_id, kind, version, rows) for version, rows in found]
