"""Cursors of lists: opaque to whoever gets one, and refused when they were made up."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import orjson

from bourse.errors import Refused, Unavailable

PAGE_MAX: Final = 1_000
CURSOR_MAX: Final = 4_096
"""Characters."""
_DIGITS_MAX: Final = (18, 9)
"""Of the number of a transaction and of a move in it: what PostgreSQL's bigint and int hold, whatever the digits."""


def cursor_of(*parts: str) -> str:
    """Raises Unavailable where it would be longer than any request may have it: some 2,000 transactions were writing when the first page was read."""
    made = urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")
    if len(made) > CURSOR_MAX:
        raise Unavailable("too many transactions are being written for a list that goes on: try again, or ask for all of it in one page")
    return made


def decode_cursor(text: str, parts: int) -> list[str]:
    """What a cursor holds. Raises Refused CURSOR_INVALID for one we did not give."""
    try:
        found = orjson.loads(urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
        if not isinstance(found, list) or len(found) != parts or not all(isinstance(one, str) and "\0" not in one for one in found):
            raise ValueError(text)
        if parts == 2 and not all(one.isascii() and one.isdigit() and len(one) <= digits for one, digits in zip(found, _DIGITS_MAX, strict=True)):
            raise ValueError(text)
    except (ValueError, UnicodeError):
        raise Refused("CURSOR_INVALID", "the cursor is not one we gave", "cursor") from None
    return found


def check_limit(limit: int) -> int:
    """Raises Refused LIMIT_INVALID."""
    if not 1 <= limit <= PAGE_MAX:
        raise Refused("LIMIT_INVALID", f"a page has 1 to {PAGE_MAX} items", "limit")
    return limit
