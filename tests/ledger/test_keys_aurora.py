"""Keys on a real PostgreSQL: what ends a key ends it at once, a signature is kept with its posting or not at all, and costs no round trip."""

from collections.abc import Callable
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused, Unavailable
from bourse.ledger.actions import Account, Flavor
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_keys import KEEP, AuroraKeys
from bourse.ledger.authority import Warrant
from bourse.ledger.keys import KeptSignature, sign_batch
from bourse.ledger.signing import recheck

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, day, held, issue, opened, picture, post, refused, retire, transfer, txn
from tests.ledger.keys_builders import key_of, registered, signed, signer
from tests.ledger.killing import deaths

ANN, OPERATIONS = signer("ann-key"), signer("operations")


@pytest.fixture
def books(database: Database) -> AuroraBooks:
    made = AuroraBooks(database)
    registered(made, "ann-key", "operations")
    opened(made, Account("ann", key_ids=("ann-key",)), "ben", "cat", flavors=("usd", Flavor("coin", key_ids=("operations",))))
    post(made, issue(1_000, "ann"), issue(1_000, "ben"))
    return made


# What ends a key


@pytest.mark.parametrize("where", ["", "flavor_id = 'usd'"])
def test_a_key_revoked_elsewhere_signs_nothing_here_from_the_next_posting_on(books: AuroraBooks, elsewhere: AuroraBooks, where: str) -> None:
    signed(books, transfer(1, "ann", "ben", where=where), ANN)
    elsewhere.keys.revoke_key(T, "ann-key", DAY)
    _, remembered = books.keys.trusted(T, ["ann-key"])
    assert remembered["ann-key"][0].revoked_at is None, "here it is remembered as good"
    assert refused(lambda: signed(books, transfer(1, "ann", "ben", where=where), ANN)) == ("KEY_REVOKED", "signatures.0.key_id")
    assert held(books, "ann") == 999


def test_a_version_replaced_elsewhere_signs_nothing_here_once_its_time_is_over(books: AuroraBooks, elsewhere: AuroraBooks) -> None:
    signed(books, transfer(1, "ann", "ben"), ANN)
    new = signer("ann-key", "new")
    elsewhere.keys.rotate_key(T, key_of(new, valid_from=DAY), previous_until=day(1))
    signed(books, transfer(1, "ann", "ben"), ANN)
    assert refused(lambda: signed(books, transfer(1, "ann", "ben"), ANN, now=day(1)))[0] == "KEY_REVOKED"
    signed(books, transfer(1, "ann", "ben"), new, now=day(1))


def test_nothing_recorded_after_a_revocation_stands_on_the_key(fresh_database: FreshDatabase, books: AuroraBooks) -> None:
    """Four writers post as fast as they can while the key is revoked."""
    begun, posted, outcomes = Event(), [], []

    def write(number: int) -> None:
        other = Database(fresh_database.app_dsn)
        mine = AuroraBooks(other)
        try:
            for turn in range(1_000):
                posted.append(signed(mine, txn(transfer(1, "ann", "ben"), id=f"w{number}.{turn}"), ANN).sequence_number)
                begun.set()
        except Refused as error:
            outcomes.append(error.code)
        finally:
            other.close()

    writers = [Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    assert begun.wait(30)
    books.keys.revoke_key(T, "ann-key", DAY)
    revoked_after = post(books, issue(1, "ben")).sequence_number
    for writer in writers:
        writer.join(60)
    assert set(outcomes) == {"KEY_REVOKED"} or set(outcomes) == {"KEY_REVOKED", "INSUFFICIENT_FUNDS"}
    assert max(posted) < revoked_after
    kept = books.keys.kept(T, limit=5_000)
    assert sorted(one.posting_no for one in kept) == sorted(posted)


def test_a_default_set_elsewhere_is_seen_here_within_the_time_the_register_says(database: Database, books: AuroraBooks, elsewhere: AuroraBooks) -> None:
    now = [0]
    keys = AuroraKeys(database, KEEP, lambda: now[0])
    assert not keys.trusted(T, [])[0].needed
    elsewhere.keys.set_default(T, ("operations",), None, DAY)
    now[0] = (KEEP - timedelta(microseconds=1)) // timedelta(microseconds=1) * 1_000
    assert not keys.trusted(T, [])[0].needed
    now[0] = KEEP // timedelta(microseconds=1) * 1_000
    assert keys.trusted(T, [])[0].key_ids == {"operations"}
    assert refused(lambda: post(elsewhere, transfer(1, "ben", "cat")))[0] == "SIGNATURE_MISSING"


# What it costs


def _statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    original = psycopg.Cursor.execute

    def execute(self: Any, query: Any, *arguments: Any, **more: Any) -> Any:
        said.append(str(query))
        return original(self, query, *arguments, **more)

    def call(self: Any, function: str, *arguments: Any, within: tuple[str, str] | None = None) -> Any:
        said.append(function if within is None else f"{within[0]}({function})")
        return original_call(self, function, *arguments, within=within)

    original_call = Database.call
    monkeypatch.setattr(psycopg.Cursor, "execute", execute)
    monkeypatch.setattr(Database, "call", call)
    return said


def test_a_signed_posting_is_one_round_trip_and_one_without_keys_never_asks_whose_they_are(books: AuroraBooks, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = [txn(transfer(1, "ann", "cat")) for _ in range(3)]
    books.post(T, batch, DAY, signatures=[sign_batch(ANN, T, batch)])
    books.open_flavor("t2", Flavor("usd"))
    for name in ("ben", "cat"):
        books.open_account("t2", Account(name))
    books.post("t2", [txn(issue(10, "ben")), txn(transfer(1, "ben", "cat"))], DAY)
    batch = [txn(transfer(1, "ann", "cat")) for _ in range(3)]
    signatures = [sign_batch(ANN, T, batch)]
    said = _statements(monkeypatch)
    books.post(T, batch, DAY, signatures=signatures)
    assert said == ["books.keep_signatures(books.post)"]
    monkeypatch.setattr(Warrant, "require", lambda *_: pytest.fail("nobody named keys in these books"))
    books.post("t2", [txn(transfer(1, "ben", "cat"))], DAY)
    assert said[1:] == ["books.post_one"]


# All or nothing


@pytest.mark.parametrize("where", ["", "flavor_id = 'usd'"])
def test_killed_at_any_statement_neither_posting_nor_signature_is_there_and_the_retry_makes_both(
    fresh_database: FreshDatabase, books: AuroraBooks, where: str
) -> None:
    move = txn(transfer(5, "ann", "ben", where=where), id="victim")
    before, killed = picture(books), 0
    for _ in deaths(fresh_database.app_dsn, lambda mine: signed(mine, move, ANN), _killer(fresh_database)):
        killed += 1
        assert (picture(books), books.keys.kept(T)) == (before, [])
    assert killed >= 3
    assert signed(books, move, ANN).before
    assert [one.signed for one in books.keys.kept(T)] == [((move.txn_id, move.digest()),)]


@pytest.mark.parametrize("name", ["open_key", "rotate_key", "revoke_key", "set_default"])
def test_the_register_killed_at_any_statement_is_as_before_and_the_retry_does_it(fresh_database: FreshDatabase, books: AuroraBooks, name: str) -> None:
    arguments: tuple[Any, ...] = {
        "open_key": (key_of(signer("fresh")),),
        "rotate_key": (key_of(signer("ann-key", "new"), valid_from=DAY), DAY),
        "revoke_key": ("ann-key", DAY),
        "set_default": (("operations",), None, DAY),
    }[name]

    def told() -> list[Any]:
        with psycopg.connect(fresh_database.migrated_dsn) as owner:
            owner.execute("select set_config('app.tenant', %s, true)", [T])
            queries = ("key_id, version from books.key", "key_id, version from books.key_revocation", "key_ids from books.default_quorum")
            return [sorted(owner.execute(f"select {query}").fetchall(), key=str) for query in queries]

    before, killed = told(), 0
    for _ in deaths(fresh_database.app_dsn, lambda mine: getattr(mine.keys, name)(T, *arguments), _killer(fresh_database)):
        killed += 1
        assert told() == before
    assert killed >= 2
    after = told()
    assert after != before
    if name != "set_default":
        getattr(books.keys, name)(T, *arguments)
        assert told() == after


@pytest.mark.parametrize("where", ["", "flavor_id = 'usd'"])
def test_when_the_answer_is_lost_the_retry_changes_nothing(
    fresh_database: FreshDatabase, books: AuroraBooks, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = txn(transfer(5, "ann", "ben", where=where))
    other = Database(fresh_database.app_dsn)
    with monkeypatch.context() as patched:
        answers = {name: getattr(AuroraBooks, name) for name in ("_post_plain", "_post_decided")}
        for name, does in answers.items():
            patched.setattr(AuroraBooks, name, lambda *them, does=does, **more: _lost(does(*them, **more)))
        with pytest.raises(Unavailable, match="lost"):
            signed(AuroraBooks(other), move, ANN)
    other.close()
    told, kept = picture(books), books.keys.kept(T)
    assert (held(books, "ann"), len(kept)) == (995, 1)
    assert signed(books, move, ANN).before
    assert (picture(books), books.keys.kept(T)) == (told, kept)


def _lost(_answer: object) -> Any:
    raise Unavailable("the answer was lost")


def _killer(database: FreshDatabase) -> Callable[[int, pytest.MonkeyPatch], None]:
    """From its n-th statement on, a connection is dead; a call of a function is a statement."""

    def kill(point: int, patched: pytest.MonkeyPatch) -> None:
        left = iter(range(point))
        original, original_call = psycopg.Cursor.execute, Database.call

        def execute(self: Any, *arguments: Any, **more: Any) -> Any:
            if next(left, None) is None:
                self.connection.close()
            return original(self, *arguments, **more)

        def call(self: Any, *arguments: Any, **more: Any) -> Any:
            if next(left, None) is None:
                pid = self._open().info.backend_pid
                patched.setattr(psycopg.Cursor, "execute", original)
                with psycopg.connect(database.migrated_dsn, autocommit=True) as owner:
                    owner.execute("select pg_terminate_backend(%s, 5000)", [pid])
                patched.setattr(psycopg.Cursor, "execute", execute)
            return original_call(self, *arguments, **more)

        patched.setattr(psycopg.Cursor, "execute", execute)
        patched.setattr(Database, "call", call)

    return kill


# What is kept


def test_keys_signatures_and_what_accounts_ask_for_are_never_changed(fresh_database: FreshDatabase, books: AuroraBooks) -> None:
    signed(books, transfer(1, "ann", "ben"), ANN)
    books.keys.revoke_key(T, "ann-key", DAY)
    books.keys.set_default(T, ("operations",), 1, DAY)
    for dsn in (fresh_database.migrated_dsn, fresh_database.app_dsn):
        for statement in (
            "update books.key set public_key = 'x'",
            "delete from books.key_revocation",
            "update books.default_quorum set key_ids = '{}'",
            "delete from books.signature",
            "update books.account set key_ids = '{}'",
            "update books.account set quorum = null",
            "update books.flavor set key_ids = '{operations,ann-key}', quorum = 1",
        ):
            with psycopg.connect(dsn) as connection:
                connection.execute("select set_config('app.tenant', %s, true)", [T])
                with pytest.raises((psycopg.errors.RestrictViolation, psycopg.errors.InsufficientPrivilege)):
                    connection.execute(statement)


@pytest.mark.parametrize(
    ("table", "change", "finding"),
    [
        ("books.txn", "set digest = set_byte(digest, 0, get_byte(digest, 0) # 1) where txn_id = 'second'", "SIGNATURE_COVERS_OTHERS"),
        ("books.signature", "set signature = set_byte(signature, 0, get_byte(signature, 0) # 1)", "SIGNATURE_INVALID"),
        ("books.signature", "set digest = set_byte(digest, 31, 0)", "SIGNATURE_COVERS_OTHERS"),
        ("books.signature", "set accepted_at = '2020-01-01Z'", "KEY_NOT_VALID"),
        ("books.signature", "set txn_nos = txn_nos[:1]", "SIGNATURE_COVERS_OTHERS"),
        ("books.signature", "set txn_nos = array[txn_nos[2], txn_nos[1]]", "SIGNATURE_COVERS_OTHERS"),
        ("books.signature", "set txn_nos = array[txn_nos[1], -1]", "SIGNATURE_COVERS_OTHERS"),
    ],
)
def test_a_journal_that_was_tampered_with_is_no_longer_what_was_signed(
    fresh_database: FreshDatabase, books: AuroraBooks, table: str, change: str, finding: str
) -> None:
    batch = [txn(transfer(1, "ann", "ben")), txn(retire(2, "ann"), id="second")]
    books.post(T, batch, DAY, signatures=[sign_batch(ANN, T, batch)])
    assert _rechecked(books) == [None]
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        owner.execute("select set_config('app.tenant', %s, true)", [T])
        owner.execute(f"alter table {table} disable trigger append_only")
        assert owner.execute(f"update {table} {change}").rowcount == 1
    assert _rechecked(books) == [finding]


def _rechecked(books: AuroraBooks) -> list[str | None]:
    def version_of(one: KeptSignature) -> Any:
        return books.keys.versions(T, one.key_id)[one.version - 1]

    return [recheck(T, one, version_of(one)) for one in books.keys.kept(T)]
