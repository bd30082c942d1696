"""An id is posted or refused for good, never both, however two submissions of it meet."""

from contextlib import closing
from threading import Event, Thread
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.aurora_plain import arguments_of
from bourse.ledger.aurora_posting import call_of
from bourse.ledger.aurora_rows import POST

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, held, issue, opened, post, refused, transfer, txn

_WAITS = "select count(*) from pg_locks where locktype = 'advisory' and not granted"


@pytest.fixture
def books(database: Database) -> AuroraBooks:
    made = opened(AuroraBooks(database), "ann", "ben")
    post(made, issue(5, "ann"))
    post(made, transfer(1, "ann", "ben"))
    return made


@pytest.mark.parametrize("outcome", ["committed", "rolled back"])
def test_what_is_being_posted_meanwhile_is_not_refused_for_good(
    books: AuroraBooks, elsewhere: AuroraBooks, database: Database, fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    """One submission has seen too little money and is about to remember that; the other came after the money and has not committed yet."""
    asked, refuse, over = txn(transfer(9, "ann", "ben"), id="twice"), elsewhere._refuse, Event()

    def end(transaction: Any) -> None:
        with closing(Database(fresh_database.app_dsn)) as other, other.transaction(T) as watching:
            while not over.wait(0.01) and watching.execute(_WAITS).fetchone() == (0,):
                pass
        transaction.__exit__(*((None, None, None) if outcome == "committed" else (KeyError, KeyError(), None)))

    def after_the_other(*given: Any, **more: Any) -> Any:
        post(books, issue(5, "ann"))
        transaction = database.transaction(T)
        cursor = transaction.__enter__()
        call = arguments_of([asked], T, books._names.of(T), 0, one=False, checked=False)
        cursor.execute(call_of(POST, call.arguments), call.arguments)
        ending = Thread(target=end, args=[transaction])
        ending.start()
        try:
            return refuse(*given, **more)
        finally:
            over.set()
            ending.join()

    monkeypatch.setattr(elsewhere, "_refuse", after_the_other)
    if outcome == "committed":
        assert elsewhere.post(T, [asked], DAY)[0].before
    else:
        assert refused(lambda: elsewhere.post(T, [asked], DAY))[0] == "INSUFFICIENT_FUNDS"
        assert refused(lambda: books.post(T, [asked], DAY))[0] == "INSUFFICIENT_FUNDS", "for good"
    assert held(books, "ben") == (10 if outcome == "committed" else 1)
    assert list(AuroraChecker(database).differences(T)) == []
