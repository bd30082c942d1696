"""What the journal tells of saved templates: each version as it was saved. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from bourse.errors import Refused
from bourse.ledger.actions import canonical
from bourse.ledger.check import NAME
from bourse.ledger.json_text import exact_json, jsonb_text, known_time, time_text
from bourse.ledger.templates import VERSION_MAX, Kind, Template


@dataclass(frozen=True, slots=True)
class TemplateTold:
    """A version of a template was saved, the first or the one after the newest."""

    template_id: str
    version: int
    parameters: Mapping[str, Any]
    document: Mapping[str, Any]
    recorded_at: datetime

    def template(self) -> Template:
        return Template(self.template_id, self.version, self.parameters, self.document)


def told_of_template(template: Template, recorded_at: datetime) -> TemplateTold:
    """The entry of a version that is saved now."""
    parameters, document = (exact_json(canonical(dict(one))) for one in (template.parameters, template.document))
    return TemplateTold(template.template_id, template.version, parameters, document, recorded_at)


def template_line(entry: TemplateTold) -> str:
    """The one line of an entry about a template."""
    return (
        f'{{"entry":"template","template_id":"{entry.template_id}","version":{entry.version},"parameters":{jsonb_text(entry.parameters)},'
        f'"document":{jsonb_text(entry.document)},"recorded_at":"{time_text(entry.recorded_at)}"}}'
    )


def template_told(said: dict[str, Any]) -> TemplateTold:
    """The entry, made of what its line says."""
    return TemplateTold(**{**said, "recorded_at": known_time(said["recorded_at"])})


def is_whole_template(entry: TemplateTold) -> bool:
    """Whether it is one that a store can keep. What could be posted with it is looked at when it is run, by the rules of then."""
    if not (NAME.fullmatch(entry.template_id) and type(entry.version) is int and 0 < entry.version <= VERSION_MAX):
        return False
    if not (isinstance(entry.parameters, Mapping) and isinstance(entry.document, Mapping)):
        return False
    try:
        canonical(entry.document)
    except Refused:
        return False
    return all(kind in get_args(Kind) for kind in entry.parameters.values())
