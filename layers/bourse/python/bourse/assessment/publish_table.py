"""Business people change a decision table: the new version is checked, kept beside the old ones, and in force from its time on."""

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from bourse.assessment.store import TableStore
from bourse.assessment.tables import DEFAULT_TENANT, KINDS, StoredTable, TableKind
from bourse.clock import Clock
from bourse.errors import Refused


def publish_table(
    tenant_id: str,
    kind: str,
    rows: list[Any],
    *,
    active_from: datetime | None,
    author: str,
    reason: str,
    tables: TableStore,
    clock: Clock,
) -> StoredTable:
    """Publish the tenant's next version of a table. `active_from` None means now; an earlier time is refused, for it would rewrite history.

    Publishing the rows that are the latest version already changes nothing and returns it. Raises Refused TABLE_KIND, TABLE_INVALID
    (its field says which row), TABLE_TENANT and TABLE_PAST; Conflict TABLE_VERSION when somebody else was faster.
    """
    if kind not in KINDS:
        raise Refused("TABLE_KIND", f"a table is one of {sorted(KINDS)}", "kind")
    if tenant_id == DEFAULT_TENANT:
        raise Refused("TABLE_TENANT", "everybody's tables are shipped with a release", "tenant_id")
    canonical = _checked(kind, rows)
    now = clock.now()
    if active_from is not None and active_from < now:
        raise Refused("TABLE_PAST", "a table cannot have been in force before it was published", "active_from")
    own = tables.history(tenant_id, kind)
    if own and active_from is None and own[-1].rows == canonical:
        return own[-1]
    table = StoredTable(tenant_id, kind, own[-1].version + 1 if own else 1, canonical)
    tables.publish(table, active_from or now, author, reason)
    return table


def _checked(kind: TableKind, rows: list[Any]) -> list[Any]:
    try:
        checked = KINDS[kind]({"rows": rows})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Refused("TABLE_INVALID", first["msg"], ".".join(map(str, first["loc"]))) from error
    return [row.model_dump(mode="json", exclude_defaults=True) for row in checked.rows]
