"""Templates kept in a dict: for tests and the simulation, with the same promise as PostgreSQL's."""

from collections.abc import Sequence
from typing import Final

from bourse.errors import Conflict
from bourse.ledger.cursors import check_limit, cursor_of, decode_cursor
from bourse.ledger.templates import Template, check_template, not_next, unknown_template


class MemoryTemplates:
    """A `Templates`."""

    def __init__(self) -> None:
        self._versions: Final[dict[tuple[str, str], list[Template]]] = {}

    def save(self, tenant_id: str, template: Template) -> None:
        check_template(template)
        versions = self._versions.get((tenant_id, template.template_id), [])
        if template.version > len(versions) + 1:
            raise not_next(template)
        if template.version <= len(versions):
            if versions[template.version - 1].terms() != template.terms():
                raise Conflict("TEMPLATE_DIFFERS", f"version {template.version} of {template.template_id} says something else", "version")
            return
        self._versions[tenant_id, template.template_id] = [*versions, template]

    def template(self, tenant_id: str, template_id: str, version: int | None = None) -> Template:
        versions = self._versions.get((tenant_id, template_id), [])
        number = len(versions) if version is None else version
        if not 0 < number <= len(versions):
            raise unknown_template(template_id)
        return versions[number - 1]

    def templates(self, tenant_id: str, *, cursor: str | None = None, limit: int = 100) -> tuple[Sequence[Template], str | None]:
        check_limit(limit)
        after = decode_cursor(cursor, 1)[0] if cursor else ""
        names = sorted(template_id for tenant, template_id in self._versions if tenant == tenant_id and template_id > after)
        return [self._versions[tenant_id, name][-1] for name in names[:limit]], cursor_of(names[limit - 1]) if len(names) > limit else None
