"""A small client of Bourse's HTTP APIs, with nothing but the standard library: what an originator or investor needs to get going."""

import http.client
import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

_TIMEOUT_SECONDS: Final = 60


class ApiError(Exception):
    """The API refused: `status`, and the problem document it answered (RFC 9457)."""

    def __init__(self, method: str, url: str, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{method} {url}: {status} {problem.get('code', '')} {problem.get('detail', problem.get('message', ''))}")
        self.status: Final = status
        self.problem: Final = problem


class Api:
    """One API for one caller."""

    def __init__(self, base: str, token: str) -> None:
        self._base: Final = base
        self._token: Final = token

    def get(self, path: str) -> Any:
        """The answer's JSON. Raises ApiError."""
        return self.call("GET", path)

    def post(self, path: str, body: dict[str, Any], *, key: str | None = None) -> Any:
        """The answer's JSON; `key` is the idempotency key. Raises ApiError."""
        return self.call("POST", path, body, {"Idempotency-Key": key} if key else {})

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """The answer's JSON. Raises ApiError."""
        return self.call("PUT", path, body)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> Any:
        """The answer's JSON. Raises ApiError for a status of 400 and above."""
        sent = {"Authorization": f"Bearer {self._token}", "Accept": "application/json", **(headers or {})}
        payload = None if body is None else json.dumps(body).encode()
        if payload is not None:
            sent["Content-Type"] = "application/json"
        status, octets = request(method, self._base + path, payload, sent)
        answer = _read(octets)
        if status >= http.client.BAD_REQUEST:
            raise ApiError(method, path, status, answer if isinstance(answer, dict) else {"detail": str(answer)[:500]})
        return answer


def request(method: str, url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
    """One HTTP request: status and body of the answer."""
    parts = urlsplit(url)
    made = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = made(parts.netloc, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def upload(slot: dict[str, Any], file: Path) -> int:
    """Send a file to the presigned request of an upload slot: the HTTP status of the store's answer."""
    target = slot["upload"]
    if target["method"] == "PUT":
        return request("PUT", target["url"], file.read_bytes(), target.get("headers", {}))[0]
    kind, body = _form(target["fields"], file.read_bytes())
    return request("POST", target["url"], body, {"Content-Type": kind})[0]


def _form(fields: dict[str, str], content: bytes) -> tuple[str, bytes]:
    """A multipart form with the signed fields first and the file last, as S3 wants it."""
    boundary = "bourse-demo-boundary-9f2c"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'.encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(parts) + content + f"\r\n--{boundary}--\r\n".encode()


def _read(octets: bytes) -> Any:
    try:
        return json.loads(octets or b"null")
    except ValueError:
        return octets.decode(errors="replace")
