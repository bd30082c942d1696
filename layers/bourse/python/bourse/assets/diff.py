"""What a record is, compared with the stored version, and where that leads: the routing rules of the whole pipeline. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import orjson

from bourse.assets.events import RecordRef
from bourse.assets.model import Cause, Change, Head, LoanStatus, Rejection

DOCUMENT_BYTES_MAX: Final = 256 * 1024
"""The largest record we version: an item of the store holds 400 KB, and the message that carries it 1 MB."""
_NESTED: Final = ("borrower", "extras")
_EFFECTIVE: Final = (Change.CREATED, Change.CHANGED, Change.WITHDRAWN)


class Step(StrEnum):
    """What a new version of a loan causes."""

    ASSESS = "assess"
    """It can be on sale: assess it, which makes or replaces its sell offer."""
    WITHDRAW_OFFER = "withdraw_offer"
    """Its sell offer is void, also one that is still on its way to the book."""
    CLOSE_LOAN = "close_loan"
    """Nothing of it is settled any more, and those who hold a part of it are owed what follows."""


_SELL: Final = (Step.ASSESS,)
_STOP: Final = (Step.WITHDRAW_OFFER, Step.CLOSE_LOAN)
_ACTIVE, _REPAID, _WITHDRAWN, _DEFAULTED = LoanStatus.ACTIVE, LoanStatus.REPAID, LoanStatus.WITHDRAWN, LoanStatus.DEFAULTED

ROUTES: Final[Mapping[tuple[LoanStatus | None, LoanStatus], tuple[Change, tuple[Step, ...]]]] = {
    (None, _ACTIVE): (Change.CREATED, _SELL),
    (None, _REPAID): (Change.CREATED, _STOP),
    (None, _WITHDRAWN): (Change.CREATED, _STOP),
    (None, _DEFAULTED): (Change.CREATED, _STOP),
    (_ACTIVE, _ACTIVE): (Change.CHANGED, _SELL),
    (_ACTIVE, _REPAID): (Change.WITHDRAWN, _STOP),
    (_ACTIVE, _WITHDRAWN): (Change.WITHDRAWN, _STOP),
    (_ACTIVE, _DEFAULTED): (Change.WITHDRAWN, _STOP),
    (_REPAID, _ACTIVE): (Change.CHANGED, _SELL),
    (_REPAID, _REPAID): (Change.CHANGED, _STOP),
    (_REPAID, _WITHDRAWN): (Change.CHANGED, _STOP),
    (_REPAID, _DEFAULTED): (Change.CHANGED, _STOP),
    (_WITHDRAWN, _ACTIVE): (Change.CHANGED, _SELL),
    (_WITHDRAWN, _REPAID): (Change.CHANGED, _STOP),
    (_WITHDRAWN, _WITHDRAWN): (Change.CHANGED, _STOP),
    (_WITHDRAWN, _DEFAULTED): (Change.CHANGED, _STOP),
    (_DEFAULTED, _ACTIVE): (Change.CHANGED, _SELL),
    (_DEFAULTED, _REPAID): (Change.CHANGED, _STOP),
    (_DEFAULTED, _WITHDRAWN): (Change.CHANGED, _STOP),
    (_DEFAULTED, _DEFAULTED): (Change.CHANGED, _STOP),
}
"""(status before, status now) -> what the record counts as, and the steps its version takes. None: the loan was never seen.

A version that leaves its currency also takes WITHDRAW_OFFER in the book it leaves, whatever its status (`Head.moved_from`).
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one record is. `head` is the version it made, for created, changed and withdrawn; `new` says it is yet to be written."""

    record: RecordRef
    change: Change
    head: Head | None = None
    new: bool = False
    superseded: bool = False
    """Its version was followed by a later file's already: it counts, and nothing more is said of it."""
    rejection: Rejection | None = None

    @property
    def effective(self) -> bool:
        """True when the record made a version."""
        return self.change in _EFFECTIVE


@dataclass(slots=True)
class Diff:
    """Decides the records of one chunk, in order. `heads` are the stored versions; what a record makes is the next one's head.

    `seen` are the loans that earlier chunks of the same file brought without news (loan id -> record number), and `before` the
    versions this file made that a later file has followed since (loan id -> version).
    """

    upload_seq: int
    at: datetime
    heads: dict[str, Head]
    seen: dict[str, int] = field(default_factory=dict)
    before: Mapping[str, Head] = field(default_factory=dict)

    def decide(self, record: RecordRef, document: bytes) -> Decision:
        """What the record is. Each record is exactly one of the six kinds of `Change`."""
        head = self.heads.get(record.loan_id)
        cause = Cause(self.upload_seq, record.record_no)
        if len(document) > DOCUMENT_BYTES_MAX:
            return _reject(record, "RECORD_TOO_LARGE", f"a record may have {DOCUMENT_BYTES_MAX} bytes in canonical form")
        if head is None:
            return self._next(record, document, None)
        if head.cause == cause:
            return Decision(record, head.change, head)
        same = head.content_hash == record.content_hash or head.document == document
        if head.cause.upload_seq == self.upload_seq:
            return Decision(record, Change.UNCHANGED) if same else _twice(record, head.cause.record_no)
        if head.cause.upload_seq > self.upload_seq:
            return self._late(record, same, cause)
        return self._news(record, document, head, same)

    def _news(self, record: RecordRef, document: bytes, head: Head, same: bool) -> Decision:
        if record.updated_at and head.updated_at and record.updated_at < head.updated_at:
            return self._no_news(record, Change.STALE)
        if same:
            return self._no_news(record, Change.UNCHANGED)
        if (first := self.seen.get(record.loan_id)) is not None and first != record.record_no:
            return _twice(record, first)
        return self._next(record, document, head)

    def _next(self, record: RecordRef, document: bytes, head: Head | None) -> Decision:
        """The version this record makes after `head`."""
        made = version_after(head, record, document, Cause(self.upload_seq, record.record_no), self.at)
        self.heads[record.loan_id] = made
        return Decision(record, made.change, made, new=True)

    def _no_news(self, record: RecordRef, change: Change) -> Decision:
        self.seen.setdefault(record.loan_id, record.record_no)
        return Decision(record, change)

    def _late(self, record: RecordRef, same: bool, cause: Cause) -> Decision:
        """A later file came first, as when this chunk is driven again from the dead letters: newer facts stay."""
        made = self.before.get(record.loan_id)
        if made is None:
            return Decision(record, Change.UNCHANGED if same else Change.STALE)
        if made.cause == cause:
            return Decision(record, made.change, made, superseded=True)
        return Decision(record, Change.UNCHANGED) if made.content_hash == record.content_hash else _twice(record, made.cause.record_no)


def version_after(head: Head | None, record: RecordRef, document: bytes, cause: Cause, at: datetime) -> Head:
    """The version that a record with news makes after `head` (None: it is the first)."""
    facts = orjson.loads(document)
    status = LoanStatus(facts["status"])
    change, _ = ROUTES[head.status if head else None, status]
    made = Head(record.loan_id, 1, record.content_hash, record.updated_at, status, cause, document, change, learned_at=at)
    if head is None:
        return made
    before = orjson.loads(head.document)
    moved_from = before["currency"] if before["currency"] != facts["currency"] else None
    return replace(made, version=head.version + 1, changed_fields=changed_fields(before, facts), moved_from=moved_from)


def steps(head: Head) -> tuple[Step, ...]:
    """The steps a version takes. They depend on its status only: what was before decides the count, not the way."""
    return ROUTES[None, head.status][1]


def changed_fields(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the fields that differ, sorted; those of the borrower and of extras with their parent's name, a schedule as a whole."""
    return tuple(sorted(_changed(before, now, "")))


def _changed(before: Mapping[str, Any], now: Mapping[str, Any], parent: str) -> Iterator[str]:
    for name in before.keys() | now.keys():
        was, is_now = before.get(name), now.get(name)
        if not parent and name in _NESTED:
            yield from _changed(was or {}, is_now or {}, f"{name}.")
        elif _canonical(was) != _canonical(is_now):
            yield parent + name


def _canonical(value: Any) -> bytes:
    """Compared as JSON, because Python holds 1, 1.0 and True for equal."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _twice(record: RecordRef, first: int) -> Decision:
    return _reject(record, "DUPLICATE_LOAN", f"record {first} of this file describes the same loan differently; it is the one that counts", "loan_id")


def _reject(record: RecordRef, code: str, message: str, fault: str | None = None) -> Decision:
    rejection = Rejection(record_no=record.record_no, byte_offset=record.byte_offset, loan_id=record.loan_id, code=code, message=message, field=fault)
    return Decision(record, Change.REJECTED, rejection=rejection)
