"""How problem documents are described: what every request can be answered with, beside the errors a route says itself."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

MEDIA: Final = "application/problem+json"
_TEXT: Final = {"type": "string"}
_SCHEMA: Final = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable, for machines"},
        "detail": {"type": "string", "description": "For people"},
        "field": {"type": "string", "description": "What is at fault, such as actions.3.amount"},
        "errors": {"type": "array", "items": {"type": "object", "properties": {"field": _TEXT, "code": _TEXT, "detail": _TEXT}}},
    },
}
INVALID: Final = "the request has not the form described here; `errors` names each field"
UNAVAILABLE: Final = "try again in a moment; doing it twice changes nothing"
_ALL: Final[dict[HTTPStatus, dict[str, str]]] = {
    HTTPStatus.NOT_FOUND: {"PATH": "there is no such path"},
    HTTPStatus.UNPROCESSABLE_ENTITY: {"INVALID": INVALID, "NUL_IN_TEXT": "a text holds the character NUL, which no text may"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"UNAVAILABLE": UNAVAILABLE},
}
_BODIES: Final[dict[HTTPStatus, dict[str, str]]] = {
    HTTPStatus.BAD_REQUEST: {"BODY_NOT_TEXT": "the body is not text in UTF-8", "BODY_TOO_DEEP": "the body is nested too deeply"},
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: {"BODY_TOO_LARGE": "a body has at most 1,000,000 characters"},
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: {"MEDIA_TYPE": "send JSON, with Content-Type: application/json"},
}
_CONFLICT: Final = "it contradicts what is already there; `code` says how"


def problems(status: HTTPStatus, sentences: Mapping[str, str]) -> dict[str, Any]:
    """The description of an answer: a problem document with one of these codes (code -> sentence)."""
    examples = {
        code: {"value": {"type": "about:blank", "title": status.phrase, "status": status.value, "code": code, "detail": sentence}}
        for code, sentence in sentences.items()
    }
    return {"description": ", ".join(sentences), "content": {MEDIA: {"schema": _SCHEMA, "examples": examples}}}


def with_problems(responses: Mapping[int, Any], *, body: bool, command: bool) -> dict[int, Any]:
    """The answers of an operation, with those every request can get: what the framework says of its own 422, which nobody gets, is left out.

    `body`: it takes one. `command`: it changes something, so it may contradict what is there, where the route does not say how.
    """
    own = {status: one for status, one in responses.items() if status < HTTPStatus.BAD_REQUEST or MEDIA in one.get("content", {})}
    made = {**own, **{status.value: _joined(own.get(status.value), status, said) for status, said in {**_ALL, **(_BODIES if body else {})}.items()}}
    if command and HTTPStatus.UNPROCESSABLE_ENTITY not in own:
        made.setdefault(HTTPStatus.CONFLICT.value, {"description": _CONFLICT, "content": {MEDIA: {"schema": _SCHEMA}}})
    return {status: made[status] for status in sorted(made)}


def _joined(own: Any, status: HTTPStatus, sentences: Mapping[str, str]) -> dict[str, Any]:
    """What a route says of a status itself, and these codes."""
    every = problems(status, sentences)
    if own is None:
        return every
    examples = {**every["content"][MEDIA]["examples"], **own["content"][MEDIA]["examples"]}
    return {"description": ", ".join(examples), "content": {MEDIA: {"schema": _SCHEMA, "examples": examples}}}
