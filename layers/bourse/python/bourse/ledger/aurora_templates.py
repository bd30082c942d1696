"""Templates kept in PostgreSQL, in a table that is only added to, and made there of the records of a journal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.aws.postgres import Database
from bourse.errors import Conflict
from bourse.ledger.actions import canonical
from bourse.ledger.cursors import check_limit, cursor_of, decode_cursor
from bourse.ledger.journal import Entry
from bourse.ledger.journal_templates import TemplateTold
from bourse.ledger.json_text import jsonb_text
from bourse.ledger.templates import VERSION_MAX, Template, check_template, not_next, unknown_template

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_SAVE: Final[LiteralString] = """
    insert into books.template (tenant_id, template_id, version, parameters, document)
    select %(tenant)s, %(id)s, %(version)s::int, %(parameters)s, %(document)s
    where %(version)s::int = 1
      or exists (select from books.template where tenant_id = %(tenant)s and template_id = %(id)s and version = %(version)s::int - 1)
    on conflict do nothing returning version"""
_TEMPLATE: Final[LiteralString] = "select template_id, version, parameters, document from books.template where tenant_id = %s and "
_VERSION: Final[LiteralString] = _TEMPLATE + "template_id = %s and version = %s"
_NEWEST: Final[LiteralString] = _TEMPLATE + "template_id = %s order by version desc limit 1"
_LISTED: Final[LiteralString] = """
    select distinct on (template_id collate "C") template_id, version, parameters, document from books.template
    where tenant_id = %s and template_id collate "C" > %s order by template_id collate "C", version desc limit %s"""

# The lines of those that could not be written: a version that is told twice, or before the one it follows.
_RESTORE: Final[LiteralString] = """
    with told as (
      select * from unnest(%(no)s::bigint[], %(line)s::int[], %(id)s::text[], %(version)s::int[], %(parameters)s::jsonb[], %(document)s::jsonb[],
        %(saved)s::timestamptz[]) u(entry_no, line, template_id, version, parameters, document, saved_at)),
    written as (
      insert into books.template (tenant_id, entry_no, template_id, version, parameters, document, saved_at)
      select %(tenant)s, entry_no, template_id, version, parameters, document, saved_at from told t
      where version = 1 or exists (select from told p where (p.template_id, p.version) = (t.template_id, t.version - 1) and p.entry_no < t.entry_no)
        or exists (select from books.template p where (p.tenant_id, p.template_id, p.version) = (%(tenant)s, t.template_id, t.version - 1))
      on conflict do nothing returning entry_no)
    select line from told where entry_no not in (select entry_no from written) order by line limit 1"""


class AuroraTemplates:
    """A `Templates`."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    def save(self, tenant_id: str, template: Template) -> None:
        check_template(template)
        asked = {
            "tenant": tenant_id,
            "id": template.template_id,
            "version": template.version,
            "parameters": canonical(dict(template.parameters)).decode(),
            "document": canonical(dict(template.document)).decode(),
        }
        with self._database.transaction(tenant_id) as cursor:
            if cursor.execute(_SAVE, asked).fetchone() is not None:
                return
            row = cursor.execute(_VERSION, [tenant_id, template.template_id, template.version]).fetchone()
        if row is None:
            raise not_next(template)
        if _noun(row).terms() != template.terms():
            raise Conflict("TEMPLATE_DIFFERS", f"version {template.version} of {template.template_id} says something else", "version")

    def template(self, tenant_id: str, template_id: str, version: int | None = None) -> Template:
        if version is not None and not 0 < version <= VERSION_MAX:
            raise unknown_template(template_id)
        with self._database.transaction(tenant_id) as cursor:
            found = cursor.execute(_NEWEST, [tenant_id, template_id]) if version is None else cursor.execute(_VERSION, [tenant_id, template_id, version])
            row = found.fetchone()
        if row is None:
            raise unknown_template(template_id)
        return _noun(row)

    def templates(self, tenant_id: str, *, cursor: str | None = None, limit: int = 100) -> tuple[Sequence[Template], str | None]:
        check_limit(limit)
        after = decode_cursor(cursor, 1)[0] if cursor else ""
        with self._database.transaction(tenant_id) as reading:
            rows = reading.execute(_LISTED, [tenant_id, after, limit + 1]).fetchall()
        return [_noun(row) for row in rows[:limit]], cursor_of(rows[limit - 1][0]) if len(rows) > limit else None


def _noun(row: Any) -> Template:
    return Template(*row)


def write_templates(cursor: "Cursor", tenant_id: str, entries: Sequence[tuple[int, int, Entry]]) -> None:
    """Those of these (number, line, entry) that are templates. Raises Conflict BOOKS_DIFFER for a version that does not follow those told before."""
    told = [(no, line, entry) for no, line, entry in entries if isinstance(entry, TemplateTold)]
    asked = {
        "tenant": tenant_id,
        "no": [no for no, _, _ in told],
        "line": [line for _, line, _ in told],
        "id": [one.template_id for _, _, one in told],
        "version": [one.version for _, _, one in told],
        "parameters": [jsonb_text(one.parameters) for _, _, one in told],
        "document": [jsonb_text(one.document) for _, _, one in told],
        "saved": [one.recorded_at for _, _, one in told],
    }
    if told and (row := cursor.execute(_RESTORE, asked).fetchone()):
        raise Conflict("BOOKS_DIFFER", f"line {row[0]} tells a version of a template that does not follow those before", f"lines.{row[0]}")
