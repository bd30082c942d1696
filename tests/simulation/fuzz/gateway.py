"""The gateway as a WSGI application: a request becomes the event HTTP API makes of it, and the handler's answer a response. No socket is opened."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

Environ = dict[str, Any]
Starts = Callable[[str, list[tuple[str, str]]], object]
CONTEXT = SimpleNamespace(function_name="api", aws_request_id="r-1")


class Gateway:
    """One audience's API, behind an authorizer that has let this caller in."""

    def __init__(self, handler: Callable[[dict[str, Any], Any], dict[str, Any]], caller: dict[str, str]) -> None:
        self._handler = handler
        self._caller = caller

    def __call__(self, environ: Environ, starts: Starts) -> Iterable[bytes]:
        answer = self._handler(self._event(environ), CONTEXT)
        headers = [(name, str(value)) for name, value in (answer.get("headers") or {}).items()]
        headers += [(name, value) for name, values in (answer.get("multiValueHeaders") or {}).items() for value in values]
        starts(f"{answer['statusCode']} -", headers)
        return [(answer["body"] or "").encode()]

    def _event(self, environ: Environ) -> dict[str, Any]:
        """Paths come decoded, names of headers in small letters, equal parameters of a query joined by commas, octets that are no text in base64."""
        path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
        octets = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        query: dict[str, str] = {}
        for name, value in parse_qsl(environ["QUERY_STRING"], keep_blank_values=True):
            query[name] = f"{query[name]},{value}" if name in query else value
        headers = {name.removeprefix("HTTP_").replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
        body, packed = _text(octets)
        return {
            "version": "2.0",
            "routeKey": "ANY /v1/{proxy+}",
            "rawPath": path,
            "rawQueryString": environ["QUERY_STRING"],
            "headers": headers | ({"content-type": environ["CONTENT_TYPE"]} if environ.get("CONTENT_TYPE") else {}),
            "queryStringParameters": query,
            "requestContext": {"http": {"method": environ["REQUEST_METHOD"], "path": path}, "stage": "$default", "authorizer": {"lambda": self._caller}},
            "body": body,
            "isBase64Encoded": packed,
        }


def _text(octets: bytes) -> tuple[str | None, bool]:
    if not octets:
        return None, False
    try:
        return octets.decode(), False
    except UnicodeDecodeError:
        return b64encode(octets).decode(), True
