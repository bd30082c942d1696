"""A posting to books in memory that fails, wherever it fails, leaves the very books it found: it is broken off at one line after the other."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import timedelta
from types import CodeType, FrameType
from typing import Any

import pytest
from bourse.errors import Refused
from bourse.ledger.actions import Account, Action, Distribute, Flavor, PostHold, ReleaseHold, Reserve, Reverse, Transaction
from bourse.ledger.books import Question
from bourse.ledger.execute import Hold
from bourse.ledger.journal_refusals import RefusalTold
from bourse.ledger.keys import sign_batch
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_journal import MemoryJournal
from bourse.ledger.memory_reversal import Reversals
from bourse.ledger.memory_state import Ledger, StoredLot
from bourse.ledger.memory_undo import Undo
from bourse.ledger.signing import Ed25519Signer

from tests.ledger.books_builders import CLOCK, DAY, T, day, issue, opened, post, retire, transfer, txn
from tests.ledger.keys_builders import registered


class Broken(BaseException):
    """What no code expects."""


class Breaking:
    """Breaks off at the n-th of the lines of the ledger that are reached; not while something is taken back."""

    def __init__(self, n: int) -> None:
        self._left = n
        self._reached: set[tuple[CodeType, int]] = set()
        self.paused = False

    def __call__(self, frame: FrameType, event: str, _arg: Any) -> Any:
        if "/bourse/ledger/" not in frame.f_code.co_filename:
            return None
        taking_back = self.paused or (frame.f_code.co_name == "_post_new" and sys.exc_info()[0] is not None)
        if event == "line" and not taking_back and (line := (frame.f_code, frame.f_lineno)) not in self._reached:
            self._reached.add(line)
            self._left -= 1
            if self._left < 0:
                raise Broken
        return self


@contextmanager
def broken_off(n: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    breaking, back, before = Breaking(n), Undo.back, sys.gettrace()

    def unbroken(undo: Undo) -> None:
        breaking.paused = True
        back(undo)
        breaking.paused = False

    monkeypatch.setattr(Undo, "back", unbroken)
    sys.settrace(breaking)
    try:
        yield
    finally:
        sys.settrace(before)
        monkeypatch.undo()


def whole(books: MemoryBooks) -> Any:
    """All there is of the books, to the last field, so that later changes show; what is found by an index follows from it."""
    ledger = books._of(T)
    exact = {one.name: copied(getattr(ledger, one.name)) for one in fields(Ledger) if one.name != "indexes"}
    return [exact, list(books.keys._kept.get(T, []))]


LOT = ("amount", "held", "floor", "opened", "no", "latest_at", "timeline", "touched", "moves")


def copied(value: Any) -> Any:
    """Values that change by what they are now: of lots in holds the name."""
    match value:
        case StoredLot():
            return [
                value.key,
                *(copied(getattr(value, name)) for name in ("amount", "held", "floor", "opened", "no", "latest_at", "timeline", "touched", "moves")),
            ]
        case Hold():
            left = [(one.key, part) for one, part in value.left.items() if isinstance(one, StoredLot)]
            return [value.hold_id, left, value.over, value.expired, value.used, value.expires_at, value.no]
        case Reversals():
            return [copied(getattr(value, one.name)) for one in fields(value)]
        case dict():
            return [(name, copied(one)) for name, one in value.items()]
        case list():
            return [copied(one) for one in value]
        case tuple() if any(isinstance(one, Hold) for one in value):
            return [copied(one) for one in value]
    return value


def some_books() -> MemoryBooks:
    """With lots, tags, holds in all states, what was shared and what was taken back."""
    books = MemoryBooks(CLOCK)
    lenders = [Account(name, floor=None) for name in ("loans", "owed/ben", "owed/cat")]
    opened(books, "ann", "ben", "cat", Account("line", floor=-500), *lenders, flavors=("usd", "loan"))
    post(books, issue(100, "ann", token_tags={"n": 1}), issue(50, "ann", token_tags={"n": 2}), issue(30, "ann"), id="first")
    post(books, issue(7, "ben", "loan", source="loans", source_floor=-900), issue(5, "cat", "loan", source="loans"), id="loans")
    post(books, Distribute("usd", 5, "ann", "loan", retire=False), id="shared")
    post(books, transfer(10, "ann", "ben", where="tags.n = 1"), transfer(3, "ben", "cat"), id="moved", at=day(2))
    post(books, Reserve("open", "usd", 4, "ann"), Reserve("over", "usd", 6, "ann", expires_at=day(1)), id="held")
    post(books, Reverse("moved", (1, 5)), id="back", at=day(2))
    return books


def everything() -> list[Transaction]:
    """Every kind of action, expired holds, an issue's floor, tokens before later ones, a lot that is made for nothing, and guards between."""
    return [
        txn(
            issue(9, "cat", "loan", source="loans", source_floor=-800),
            transfer(20, "ann", "ben", where="tags.n = 2", token_tags={"new": "lot"}),
            Reserve("soon", "usd", 3, "ann", expires_at=day(9)),
            Reserve("gone", "usd", 2, "ben"),
            ReleaseHold("gone"),
            PostHold("open", "cat", 2, keep_rest=True),
            id="new-1",
            at=day(1),
        ),
        txn(PostHold("open", "line"), PostHold("soon", "line", 1), retire(1, "line"), id="new-2", at=day(3)),
        txn(Distribute("usd", 4, "ann", "loan", fee=(1, 4), fee_destination="line"), id="new-3", at=day(3), tags={"t": 1}),
        txn(Reverse("moved"), Reverse("shared", advance_from="owed/{account_id}"), id="new-4", at=day(4)),
        txn(transfer(1, "ann", "ben"), id="new-5", at=DAY),
    ]


def as_found_at_every_line(books: MemoryBooks, does: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many times it was broken off before it came to its end, undone each time."""
    found = whole(books)
    for n in range(100_000):
        try:
            with broken_off(n, monkeypatch):
                does()
        except Broken:
            assert whole(books) == found, f"broken off at step {n}"
        else:
            return n
    raise AssertionError("it never came to its end")


def test_a_posting_broken_off_at_any_line_leaves_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    books = some_books()
    state = MemoryJournal(books).state_hash(T)
    assert as_found_at_every_line(books, lambda: books.post(T, everything(), day(2)), monkeypatch) > 300
    assert MemoryJournal(books).state_hash(T) != state
    assert [one.txn_id for one in books.transactions(T, Question()).items][:5] == ["new-5", "new-4", "new-3", "new-2", "new-1"]
    once = some_books()
    once.post(T, everything(), day(2))
    assert MemoryJournal(books).state_hash(T) == MemoryJournal(once).state_hash(T), "and it does all of it when it is tried again"
    assert list(MemoryJournal(books).records(T)) == list(MemoryJournal(once).records(T))


def test_a_dry_run_broken_off_or_not_leaves_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    books = some_books()
    found = whole(books)
    assert as_found_at_every_line(books, lambda: books.post(T, everything(), day(2), dry_run=True), monkeypatch) > 300
    assert whole(books) == found


LAST = (retire(10**6, "ben"), Reverse("never"), issue(1, "nobody"), transfer(180, "ann", "ben", where="tags.n = 1"), PostHold("over", "ben"))


@pytest.mark.parametrize("last", LAST, ids=lambda one: type(one).__name__)
def test_a_posting_of_many_whose_last_is_refused_leaves_what_it_found(last: Action) -> None:
    books = some_books()
    found = whole(books)
    with pytest.raises(Refused):
        books.post(T, [*everything(), txn(last, id="last", at=day(4))], day(2))
    assert whole(books) == found


def test_a_posting_that_is_refused_and_broken_off_before_leaves_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    books = some_books()
    found = whole(books)

    def refused() -> None:
        with pytest.raises(Refused):
            books.post(T, [*everything()[:2], txn(retire(10**6, "ben"), id="last", at=day(4))], day(2))

    assert as_found_at_every_line(books, refused, monkeypatch) > 200
    assert whole(books) == found


def test_a_refusal_that_is_remembered_is_all_that_is_left() -> None:
    books = some_books()
    found = whole(books)
    with pytest.raises(Refused):
        post(books, transfer(1, "ben", "cat"), retire(10**6, "ben"), id="much")
    assert list(books._of(T).refused) == ["much"]
    assert isinstance(books._of(T).journal.pop(), RefusalTold)
    del books._of(T).refused["much"]
    assert whole(books) == found


def test_a_lot_that_is_asked_for_and_gets_nothing_is_not_kept() -> None:
    books = some_books()
    post(books, transfer(5, "ann", "line", token_tags={"n": 1}))
    found = [key for key in books._of(T).lots if key[0] == "line"]
    post(books, transfer(2, "line", "ben"))
    assert [key for key in books._of(T).lots if key[0] == "line"] == found == [("line", "usd", b'{"n":1}')]
    assert list(books._of(T).of_account["line"]["usd"]) == list(books._of(T).of_flavor["usd"]["line"]) == [b'{"n":1}']


def test_a_signed_posting_broken_off_keeps_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    books = some_books()
    mint: Ed25519Signer = registered(books, "mint")[0]
    books.open_flavor(T, Flavor("eur", key_ids=("mint",)))
    made = [txn(issue(5, "ann", "eur"), id="e1"), txn(transfer(2, "ann", "ben", "eur"), id="e2")]
    signatures = [sign_batch(mint, T, made)]
    assert as_found_at_every_line(books, lambda: books.post(T, made, DAY, signatures=signatures), monkeypatch) > 100
    assert [one.key_id for one in books.keys.kept(T)] == ["mint"]


class Hostile(dict[str, Any]):
    """Tags that can be read so many times."""

    def __init__(self, left: int) -> None:
        super().__init__(kind="hostile")
        self.left = left

    def _read(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Broken

    def __iter__(self) -> Iterator[str]:
        self._read()
        return super().__iter__()

    def keys(self) -> Any:
        self._read()
        return super().keys()

    def items(self) -> Any:
        self._read()
        return super().items()


@pytest.mark.parametrize("where", ["token_tags", "action_tags"])
def test_tags_that_cannot_be_read_to_the_end_leave_nothing_behind(where: str) -> None:
    books = some_books()
    found, broken = whole(books), 0
    for left in range(200):
        hostile = Hostile(left)
        try:
            books.post(T, [txn(transfer(2, "ann", "ben"), id="before"), txn(transfer(3, "ben", "cat", **{where: hostile}), id="hostile")], DAY)
        except Broken:
            hostile.left, broken = 1_000, broken + 1
            assert whole(books) == found
        else:
            hostile.left = 1_000
            break
    assert broken > 2
    assert whole(books) != found


def test_a_clock_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    books = some_books()
    found, times = whole(books), iter([DAY, DAY + timedelta(seconds=1)])

    class Failing:
        def now(self) -> Any:
            if (at := next(times, None)) is None:
                raise Broken
            return at

    monkeypatch.setattr(books, "_clock", Failing())
    with pytest.raises(Broken):
        books.post(T, everything(), day(2))
    assert whole(books) == found
