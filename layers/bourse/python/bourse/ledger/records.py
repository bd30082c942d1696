"""A port of the general ledger beside `books.py`: what was posted under an id, what became of a hold, statements of accounts.

A statement is of an account and a half-open interval [from, to) of effective times: what it opened with, every entry with the balance
after it, what it closed with, so that one closes where the next one opens. `known_at` leaves out what was recorded later: a statement as of
a past `known_at` is the same for ever. Codes refused with: CURSOR_INVALID, LIMIT_INVALID, INTERVAL_INVALID, FLAVOR_UNKNOWN; NotFound ACCOUNT_UNKNOWN,
TRANSACTION_UNKNOWN, HOLD_UNKNOWN.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal, Protocol

from bourse.errors import Refused
from bourse.ledger.actions import PostedTransaction, Tags
from bourse.ledger.cursors import cursor_of, decode_cursor
from bourse.ledger.filters.times import text_of, time_of
from bourse.ledger.snapshots import packed, unpacked

_DIGITS_MAX: Final = 18


@dataclass(frozen=True, slots=True)
class HoldState:
    """A hold and what became of the tokens it reserved: reserved = posted + released + left.

    What an expired hold has left is given back when its account next spends of the flavor.
    """

    hold_id: str
    account_id: str
    flavor_id: str
    state: Literal["open", "over", "expired"]
    expires_at: datetime | None
    reserved: int
    posted: int
    released: int
    left: int


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """Tokens that came (amount > 0) or went (< 0), and the account's balance of the flavor after that. Tokens that only changed their tags
    within the account are no entry."""

    flavor_id: str
    effective_at: datetime
    recorded_at: datetime
    txn_id: str
    sequence_number: int
    action_no: int
    kind: str
    type: str
    amount: int
    balance: int
    other_account_id: str
    tags: Tags
    """Of the action."""


@dataclass(frozen=True, slots=True)
class StatementTotal:
    """What a statement opens and closes with, of one flavor."""

    flavor_id: str
    opening: int
    closing: int


@dataclass(frozen=True, slots=True)
class Interval:
    """Effective times from `since` on and before `until`."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Statement:
    """One page of a statement: the totals are those of all of it. Entries are by flavor, then effective time, then as they were posted."""

    account_id: str
    totals: Sequence[StatementTotal]
    entries: Sequence[StatementEntry]
    cursor: str | None


class Records(Protocol):
    """Reads one ledger per tenant."""

    def transaction(self, tenant_id: str, txn_id: str, *, cursor: str | None = None, limit: int = 100) -> tuple[PostedTransaction, str | None]:
        """A transaction with a page of its actions, in its order, and where the next page begins. Raises NotFound TRANSACTION_UNKNOWN."""
        ...

    def hold(self, tenant_id: str, hold_id: str, at: datetime) -> HoldState:
        """As it stands at the books' clock `at`. Raises NotFound HOLD_UNKNOWN."""
        ...

    def statement(
        self,
        tenant_id: str,
        account_id: str,
        interval: Interval,
        *,
        flavor_id: str | None = None,
        known_at: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Statement:
        """Of all flavors that moved or stand, or of one. The pages after the first are of what was recorded when that one was asked for."""
        ...


def check_interval(interval: Interval) -> None:
    """Raises Refused INTERVAL_INVALID."""
    if interval.since > interval.until:
        raise Refused("INTERVAL_INVALID", "the interval ends before it begins", "to")


def hold_state(*, over: bool, expired: bool, expires_at: datetime | None, at: datetime) -> Literal["open", "over", "expired"]:
    """An open hold whose time has come is expired, whether or not anybody has noticed."""
    if expired or (not over and expires_at is not None and expires_at <= at):
        return "expired"
    return "over" if over else "open"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of a statement ends, and what the store had recorded when the first one was asked for."""

    flavor_id: str
    effective_at: datetime
    number: int
    seq: int
    recorded: str

    def cursor(self) -> str:
        return cursor_of(self.flavor_id, text_of(self.effective_at), str(self.number), str(self.seq), packed(self.recorded))


def place_of(cursor: str) -> Place:
    """Raises Refused CURSOR_INVALID."""
    flavor_id, at, number, seq, recorded = decode_cursor(cursor, 5)
    effective_at = time_of(at)
    if effective_at is None:
        raise Refused("CURSOR_INVALID", "the cursor is not one we gave", "cursor")
    return Place(flavor_id, effective_at, number_of(number), number_of(seq), unpacked(recorded))


def number_of(text: str) -> int:
    """A whole number of a cursor. Raises Refused CURSOR_INVALID."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise Refused("CURSOR_INVALID", "the cursor is not one we gave", "cursor")
    return int(text)


def with_balances(entries: Iterable[StatementEntry], before: Mapping[str, int]) -> list[StatementEntry]:
    """Entries of a page, each with the balance after it; `before` is what each flavor stood at before its first entry here."""
    stood = dict(before)
    found: list[StatementEntry] = []
    for entry in entries:
        stood[entry.flavor_id] += entry.amount
        found.append(replace(entry, balance=stood[entry.flavor_id]))
    return found
