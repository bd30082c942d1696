"""The operator's API behind a real HTTP server, with its authorizer: what the gateway does, for clients that know nothing of Lambda."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from bourse.aws.authorizer import token_authorizer
from bourse.aws.tokens import Caller, issue

from tests.functions.api import KEY, Apis, event

Fault = Literal["lost_before", "lost_after", "503", "502"]
AUTHORIZER = SimpleNamespace(function_name="authorize", aws_request_id="r-1")


def token(tenant: str = "t1", audience: str = "operator") -> str:
    return issue(KEY, Caller(tenant, "ops", audience), datetime.now(UTC), timedelta(days=1))


class Server(ThreadingHTTPServer):
    """Its address, what it was asked, and what will go wrong with the next requests. Each connection has a thread, and one is answered at a time."""

    def __init__(self, apis: Apis) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self._apis = apis
        self._authorize = token_authorizer(lambda: KEY, lambda: "operator")
        self._one_at_a_time = threading.Lock()

    def answer(self, method: str, target: str, headers: dict[str, str], body: str | None) -> tuple[int, dict[str, str], str]:
        parts = urlsplit(target)
        self.asked.append((method, target))
        allowed = self._authorize({"headers": headers}, AUTHORIZER)
        if not allowed["isAuthorized"]:
            return 403, {"content-type": "application/json"}, json.dumps({"message": "Forbidden"})
        request = event(method, unquote(parts.path), caller=allowed["context"], query=dict(parse_qsl(parts.query)), raw=body)
        with self._one_at_a_time:
            found = self._apis.apis["operator"](request, SimpleNamespace(function_name="api", aws_request_id="r-9"))
        shown = dict(found.get("headers") or {}) | {name: value[0] for name, value in (found.get("multiValueHeaders") or {}).items()}
        return found["statusCode"], shown, found["body"]


class Handler(BaseHTTPRequestHandler):
    """A connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._any()

    def do_POST(self) -> None:
        self._any()

    def do_PATCH(self) -> None:
        self._any()

    def do_PUT(self) -> None:
        self._any()

    def do_DELETE(self) -> None:
        self._any()

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode() or None
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault == "503":
            self._say(503, {"retry-after": "2"}, json.dumps({"code": "UNAVAILABLE", "detail": "later"}))
        elif fault == "502":
            self._say(502, {}, "<html>Bad Gateway</html>")
        elif fault == "lost_before":
            self.close_connection = True
        else:
            status, shown, text = self.server.answer(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            if fault == "lost_after":
                self.close_connection = True
                return
            self._say(status, shown, text)

    def _say(self, status: int, headers: dict[str, str], text: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing: the tests' output is their own."""


@contextmanager
def serving(apis: Apis) -> Iterator[Server]:
    """The API at an address of this machine."""
    server = Server(apis)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
