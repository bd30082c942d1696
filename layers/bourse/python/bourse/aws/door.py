"""What a request has to be before anybody looks at it: not too large, JSON, and text that every store takes."""

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

from bourse.errors import Refused

Event = dict[str, Any]
BODY_CHARACTERS_MAX: Final = 1_000_000
_JSON: Final = "application/json"
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of NUL in JSON; after an odd number of backslashes it is the text "u0000"."""


class TurnedAway(Refused):
    """The request is not one we look at; `status` is the answer's."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.status: Final = status


def admitted(event: Event, wholes: Iterable[str] = ()) -> Event:
    """The request as routes read it: its body plain text, and what follows a path of `wholes` one parameter, slashes and all.

    The gateway decodes paths, so an id with a slash arrives as two steps of the path; here its slashes become %2F again.
    Raises TurnedAway.
    """
    query = event.get("rawQueryString") or ""
    if "%00" in query or "\x00" in query:
        raise TurnedAway(HTTPStatus.UNPROCESSABLE_ENTITY, "NUL_IN_TEXT", "a parameter holds the character NUL, which no text may")
    path = event.get("rawPath", "")
    for whole in wholes:
        if path.startswith(whole):
            path = whole + unquote(path.removeprefix(whole)).replace("/", "%2F")
    return {**event, "rawPath": path, **(_body(event) if event.get("body") else {})}


def parameter(step: str) -> str:
    """The parameter that `admitted` made one step of the path."""
    return step.replace("%2F", "/")


def read_json(text: str) -> dict[str, Any]:
    """The object of a body. Raises JSONDecodeError for anything else, RecursionError for one nested too deeply."""
    try:
        found = json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # Python reads no integer of more than 4,300 digits
        raise json.JSONDecodeError(str(error), "", 0) from None
    if not isinstance(found, dict):
        raise json.JSONDecodeError("a body is one JSON object", "", 0)
    return found


def _body(event: Event) -> Event:
    """The fields of the event that change when its body is plain text."""
    body: str = event["body"]
    if len(body) > BODY_CHARACTERS_MAX:
        raise TurnedAway(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BODY_TOO_LARGE", f"a body has at most {BODY_CHARACTERS_MAX} characters")
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    media = headers.get("content-type", _JSON).split(";")[0].strip().lower()
    if media not in {_JSON, ""}:
        raise TurnedAway(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "MEDIA_TYPE", f"send JSON, with Content-Type: {_JSON}")
    if event.get("isBase64Encoded"):
        try:
            body = b64decode(body, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise TurnedAway(HTTPStatus.BAD_REQUEST, "BODY_NOT_TEXT", "the body is not text in UTF-8") from None
    if _NUL.search(body):
        raise TurnedAway(HTTPStatus.UNPROCESSABLE_ENTITY, "NUL_IN_TEXT", "a text holds the character NUL, which no text may")
    return {"body": body, "isBase64Encoded": False, "headers": headers | {"content-type": _JSON}}


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number")
