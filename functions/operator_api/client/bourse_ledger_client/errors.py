"""What the ledger refuses, as exceptions: `code` is stable and for programs, `field` the place at fault, `detail` a sentence for people.

LedgerError
├── Refused               the request is wrong, or the books do not allow it; the same request is refused again
│   ├── InsufficientFunds fewer tokens match than are wanted
│   ├── Reserved          enough is there, but held back: try again when the holds are over
│   └── GuardFailed       what was expected is not so any more: read again, decide again
├── NotFound              there is no such account, flavor, transaction, hold, feed or sum
├── Conflict              something else was posted or opened under this id, or a feed has moved on
├── NotAllowed            the token is not valid here
└── Unavailable           no answer after all tries; doing the same again later is safe, with the same id
"""

from collections.abc import Mapping
from typing import Any, Final


class LedgerError(Exception):
    """The root: catching it catches all that the ledger answers."""

    def __init__(self, status: int, code: str, detail: str, field: str | None = None, request_id: str | None = None, retry_after: str = "") -> None:
        super().__init__(f"{code}: {detail}" + (f" (at {field})" if field else ""))
        self.status: Final = status
        self.code: Final = code
        self.detail: Final = detail
        self.field: Final = field
        self.request_id: Final = request_id
        self.retry_after_seconds: Final = int(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0


class Refused(LedgerError):
    """The request is wrong, or the books do not allow it."""


class InsufficientFunds(Refused):
    """Fewer tokens match than are wanted. Under the same transaction id it stays refused: a new attempt needs a new id."""


class Reserved(Refused):
    """Enough is there, but held back."""


class GuardFailed(Refused):
    """What was expected is not so any more."""


class NotFound(LedgerError):
    """There is no such thing."""


class Conflict(LedgerError):
    """Something else was posted or opened under this id; `field` says what differs."""


class NotAllowed(LedgerError):
    """The token is not valid here."""


class Unavailable(LedgerError):
    """No answer after all tries."""


_BY_CODE: Final[dict[str, type[LedgerError]]] = {"INSUFFICIENT_FUNDS": InsufficientFunds, "RESERVED": Reserved, "GUARD_FAILED": GuardFailed}
_BY_STATUS: Final[dict[int, type[LedgerError]]] = {401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Conflict}


def error_of(status: int, problem: Mapping[str, Any], request_id: str | None = None, retry_after: str = "") -> LedgerError:
    """The exception for a problem document."""
    code, detail = str(problem.get("code", f"HTTP_{status}")), str(problem.get("detail", problem.get("message", "")))
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (Refused if status < 500 else Unavailable)
    return kind(status, code, detail, problem.get("field"), request_id, retry_after)
