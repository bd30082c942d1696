"""Templates kept in the journal of books in memory: for tests and the simulation, with the same promise as PostgreSQL's."""

from collections.abc import Sequence
from typing import Final

from bourse.errors import Conflict
from bourse.ledger.cursors import check_limit, cursor_of, decode_cursor
from bourse.ledger.journal_templates import TemplateTold, told_of_template
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_state import Ledger
from bourse.ledger.templates import Template, check_template, not_next, unknown_template


class MemoryTemplates:
    """A `Templates`. What it holds is what the journal of the books tells."""

    def __init__(self, books: MemoryBooks) -> None:
        self._books: Final = books

    def save(self, tenant_id: str, template: Template) -> None:
        check_template(template)
        ledger = self._books._of(tenant_id)
        versions = versions_of(ledger, template.template_id)
        if template.version > len(versions) + 1:
            raise not_next(template)
        if template.version <= len(versions):
            if versions[template.version - 1].template().terms() != template.terms():
                raise Conflict("TEMPLATE_DIFFERS", f"version {template.version} of {template.template_id} says something else", "version")
            return
        ledger.journal.append(told_of_template(template, self._books._clock.now()))

    def template(self, tenant_id: str, template_id: str, version: int | None = None) -> Template:
        versions = versions_of(self._books._of(tenant_id), template_id)
        number = len(versions) if version is None else version
        if not 0 < number <= len(versions):
            raise unknown_template(template_id)
        return versions[number - 1].template()

    def templates(self, tenant_id: str, *, cursor: str | None = None, limit: int = 100) -> tuple[Sequence[Template], str | None]:
        check_limit(limit)
        after = decode_cursor(cursor, 1)[0] if cursor else ""
        newest = {one.template_id: one for one in self._books._of(tenant_id).journal if isinstance(one, TemplateTold)}
        names = sorted(name for name in newest if name > after)
        return [newest[name].template() for name in names[:limit]], cursor_of(names[limit - 1]) if len(names) > limit else None


def versions_of(ledger: Ledger, template_id: str) -> list[TemplateTold]:
    """The versions of a template, oldest first."""
    return [one for one in ledger.journal if isinstance(one, TemplateTold) and one.template_id == template_id]
