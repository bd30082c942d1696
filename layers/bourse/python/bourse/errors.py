"""What can go wrong, as a tree. Refuse with `Refused`, retry with `Unavailable`, assert what only a bug could break.

BourseError
├── Refused            the caller's data or command is wrong; the same call will be refused again
│   ├── NotFound       there is no such thing, or it belongs to somebody else (never say which)
│   └── Conflict       it contradicts what is already there (a reused key with another body, a lost race)
└── Unavailable        infrastructure said no; the same call may succeed later, so the message is redelivered
"""

from typing import Final


class BourseError(Exception):
    """The root: catching it catches everything this package raises on purpose."""


class Refused(BourseError):
    """The caller is told `code` (stable, upper case, for machines), a sentence for people, and the field at fault."""

    def __init__(self, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: Final = code
        self.detail: Final = detail
        self.field: Final = field


class NotFound(Refused):
    """There is no such thing for this caller."""


class Conflict(Refused):
    """The command contradicts what is already stored."""


class Unavailable(BourseError):
    """A store, queue or service did not answer as promised; raising it makes the queue deliver the message again."""
