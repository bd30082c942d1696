"""Lists walked page by page, both ways: what a cursor holds, and what a page has beside its items. Pure.

A cursor says where to go on in one list, as one snapshot of the books shows it: the item it stands at, which way it goes, and what had been recorded
when the first page was asked for. It carries a digest over all of that and over the question: tenant, kind, filter, parameters, times. So one that was
damaged, or is asked with another question or for another tenant, is refused. The digest has no key, because a cursor holds no authority: whoever computes
one himself gets another place in a list that his tenant and his filter let him read anyway, and where it leads nowhere, he gets nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Generic, TypeVar

from bourse.errors import Refused
from bourse.ledger.actions import Token, canonical
from bourse.ledger.books import NOW, AsOf, Page, Question
from bourse.ledger.cursors import check_limit, cursor_of, decode_cursor
from bourse.ledger.lots import tagset_digest
from bourse.ledger.snapshots import SNAPSHOT, packed, unpacked

T = TypeVar("T")
_PARTS: Final = {"tokens": 3, "actions": 2, "transactions": 1, "accounts": 1, "flavors": 1}
_NUMBERS: Final = {"actions": (18, 9), "transactions": (18,)}
"""Kind -> the digits of what its items are found by: what PostgreSQL's bigint and int hold, whatever the digits."""
_FORWARD, _BACK = "f", "b"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: after the item with this key, or with `back` before it. `seen` is the snapshot as PostgreSQL writes one: all below the first
    number is seen, nothing from the second on, and of what is between all but the numbers listed."""

    key: tuple[str, ...]
    back: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Asking(Generic[T]):
    """A page that is asked for: `place` None is the first one."""

    tenant_id: str
    kind: str
    question: Question
    as_of: AsOf
    limit: int
    place: Place | None

    @property
    def back(self) -> bool:
        return self.place is not None and self.place.back

    def page(self, rows: Sequence[tuple[tuple[str, ...], T]], seen: str) -> Page[T]:
        """The page of these keys and items: in the order of the walk, one more than the limit where there are more."""
        shown = rows[: self.limit][:: -1 if self.back else 1]
        if not shown:
            return Page([], None)
        more = len(rows) > self.limit
        before, after = (more, True) if self.back else (self.place is not None, more)
        last = self._cursor(Place(shown[-1][0], back=False, seen=seen)) if after else None
        first = self._cursor(Place(shown[0][0], back=True, seen=seen)) if before else None
        return Page([item for _, item in shown], last, first)

    def _cursor(self, place: Place) -> str:
        return cursor_of(*place.key, _BACK if place.back else _FORWARD, packed(place.seen), _digest(self, place))


def asking(tenant_id: str, kind: str, question: Question, cursor: str | None, limit: int, as_of: AsOf = NOW) -> "Asking[Any]":
    """Raises Refused LIMIT_INVALID, and CURSOR_INVALID for a cursor that was not given for this question."""
    asked: Asking[Any] = Asking(tenant_id, kind, question, as_of, check_limit(limit), None)
    if cursor is None:
        return asked
    *key, way, seen, digest = decode_cursor(cursor, _PARTS[kind] + 3)
    place = Place(tuple(key), way == _BACK, unpacked(seen))
    if way not in {_FORWARD, _BACK} or digest != _digest(asked, place) or not _is_sound(kind, place):
        raise Refused("CURSOR_INVALID", "the cursor is not one that was given for this question", "cursor")
    return Asking(tenant_id, kind, question, as_of, limit, place)


def token_key(one: Token) -> tuple[str, str, str]:
    """What a cursor says of a lot: its tags by their digest, as they may be long."""
    return one.account_id, one.flavor_id, tagset_digest(one.tags).hex() if one.tags else ""


def _digest(asked: "Asking[Any]", place: Place) -> str:
    times = [time and time.isoformat() for time in (asked.as_of.effective_at, asked.as_of.known_at)]
    question = [asked.tenant_id, asked.kind, asked.question.filter, list(asked.question.params), times]
    return blake2b(canonical([*question, list(place.key), place.back, place.seen]), digest_size=16).hexdigest()


def _is_sound(kind: str, place: Place) -> bool:
    """Whether a store can read it, also where somebody computed the digest himself."""
    digits = _NUMBERS.get(kind, ())
    numbers = all(one.isascii() and one.isdigit() and len(one) <= most for one, most in zip(place.key, digits, strict=False))
    tags = kind != "tokens" or re.fullmatch("([0-9a-f]{32})?", place.key[2])
    found = SNAPSHOT.fullmatch(place.seen)
    if not numbers or not tags or found is None:
        return False
    lowest, end, listed = int(found[1]), int(found[2]), [int(one) for one in (found[3] or "").split(",") if one]
    return 0 < lowest <= end and listed == sorted(set(listed)) and all(lowest <= one < end for one in listed)
