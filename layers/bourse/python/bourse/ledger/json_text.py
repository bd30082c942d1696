"""JSON in the very octets PostgreSQL's jsonb has for it: names by length, then by octets, and times in UTC. Pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any


def jsonb_text(value: Any) -> str:
    """The text PostgreSQL's jsonb has for a value without floats."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Decimal():
            return format(value, "f")
        case str():
            return json.dumps(value, ensure_ascii=False)
        case Mapping():
            ordered = sorted(value.items(), key=lambda one: (len(one[0].encode()), one[0].encode()))
            return "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {jsonb_text(one)}" for name, one in ordered) + "}"
        case Sequence():
            return "[" + ", ".join(jsonb_text(one) for one in value) + "]"
    raise TypeError(f"{type(value).__name__} is not written as JSON here")


def exact_json(text: str | bytes) -> Any:
    """JSON whose fractions are Decimal."""
    return json.loads(text, parse_float=Decimal)


def time_text(at: datetime) -> str:
    """A time in UTC as PostgreSQL writes it in JSON: without zone, and no more digits than it has."""
    text = at.astimezone(UTC).replace(tzinfo=None).isoformat()
    return text.rstrip("0") if "." in text else text


def time_or_null(at: datetime | None) -> str:
    return "null" if at is None else f'"{time_text(at)}"'


def time_or_none(text: str | None) -> datetime | None:
    return None if text is None else known_time(text)


def known_time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
