"""Requests to the API over one kept connection. Every request may be sent again: what is posted twice under one id is posted once."""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from .errors import LedgerError, Unavailable, error_of

ROOT: Final = "/v1/ledger"
_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_FIRST_WAIT_MS: Final = 40
_WAIT_MAX_MS: Final = 15_000
_PLAIN: Final = (str, int, type(None))


class Connection:
    """Not for two threads at once: give each its own."""

    def __init__(self, url: str, token: str, *, timeout_seconds: int = 30, tries_max: int = 8, wait: Callable[[Any], object] = time.sleep) -> None:
        """`url` is the API's, `https://…`. A failed try is repeated after 40 ms, 80 ms, 160 ms …, at random up to that, but not before Retry-After."""
        parts = urlsplit(url)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError(f"{url!r} is no address of an API")
        self._https: Final = parts.scheme == "https"
        self._where: Final = (parts.hostname, parts.port)
        self._prefix: Final = parts.path.rstrip("/")
        self._headers: Final = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
        self._timeout_seconds: Final = timeout_seconds
        self._tries_max: Final = tries_max
        self._wait: Final = wait
        self._open: HTTPConnection | None = None

    def close(self) -> None:
        """Give the connection back; the next request opens a new one."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def ask(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """The JSON of the answer. Raises LedgerError, TypeError for a body with fractions."""
        text = None if body is None else json.dumps(exact(body, "body"), allow_nan=False)
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        target = self._prefix + path + (f"?{urlencode(asked)}" if asked else "")
        failed: LedgerError | None = None
        for number in range(self._tries_max):
            if number:
                self._wait(_pause(number, failed))
            try:
                status, headers, answer = self._once(method, target, text)
            except (OSError, HTTPException) as error:
                self.close()
                failed = Unavailable(0, "NO_ANSWER", f"{type(error).__name__}: {error}")
                continue
            if status < 400:
                return json.loads(answer, parse_float=Decimal)
            failed = error_of(status, _problem(answer), headers.get("x-request-id"), headers.get("retry-after", ""))
            if status not in _AGAIN:
                raise failed
        assert failed is not None, "there was at least one try"
        raise failed

    def pages(self, method: str, path: str, asked: Mapping[str, Any], items: str = "items", first: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """The items of a list, fetched page by page as they are read: asked in the body of a POST, in the query of a GET. `first` is a page that was
        fetched before. Raises LedgerError."""
        page = first
        if page is not None:
            yield from page[items]
        while page is None or page["cursor"] is not None:
            wanted = asked if page is None else {**asked, "cursor": page["cursor"]}
            page = self.ask(method, path, **{"query" if method == "GET" else "body": wanted})
            yield from page[items]

    def _once(self, method: str, target: str, text: str | None) -> tuple[int, dict[str, str], bytes]:
        if self._open is None:
            kind = HTTPSConnection if self._https else HTTPConnection
            self._open = kind(*self._where, timeout=self._timeout_seconds)
        self._open.request(method, target, None if text is None else text.encode(), self._headers)
        answer = self._open.getresponse()
        octets = answer.read()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, octets


def step(name: str) -> str:
    """An id as a part of a path, slashes and all."""
    return quote(name, safe="/:@=+")


def exact(value: Any, where: str) -> Any:
    """The value, when it is JSON without fractions. Raises TypeError with the place of the first that is not."""
    if isinstance(value, Mapping):
        return {_name(name, where): exact(one, f"{where}.{name}") for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [exact(one, f"{where}.{number}") for number, one in enumerate(value)]
    if not isinstance(value, _PLAIN):
        raise TypeError(f"{where} is {type(value).__name__}: the ledger takes texts, whole numbers, truths, objects and lists of them")
    return value


def _name(name: Any, where: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{where} has the name {name!r}, which is no text")
    return name


def _pause(number: int, failed: LedgerError | None) -> Any:
    """Seconds before the next try."""
    longest = min(_FIRST_WAIT_MS * 2 ** (number - 1), _WAIT_MAX_MS)
    least = failed.retry_after_seconds * 1_000 if failed else 0
    return max(least, secrets.randbelow(longest) + 1) / 1_000


def _problem(answer: bytes) -> dict[str, Any]:
    """The problem document; of an answer that is none, nothing."""
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
