"""Books with keys carried by their journal: signatures verify again, a revoked key stays revoked, and posting goes on with the same keys."""

import os
from collections.abc import Iterator

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.signing import recheck

from infra.local import postgres as local_postgres
from tests.conftest import TEMPLATE
from tests.ledger.books_builders import T, day, refused, transfer, txn
from tests.ledger.journal_builders import Store, exported, in_memory, in_postgresql, restored, seal_all, something_of_everything, with_keys
from tests.ledger.keys_builders import key_of, signed, signer
from tests.ledger.test_carry import again, kinds, texts_of


@pytest.fixture(params=["memory", "aurora"])
def store(request: pytest.FixtureRequest) -> Store:
    return in_memory() if request.param == "memory" else in_postgresql(request.getfixturevalue("database"))


@pytest.fixture
def another_database(postgres: local_postgres.Server) -> Iterator[Database]:
    name = f"bourse_carried_{os.getpid()}"
    postgres.run("create database {} template {} strategy file_copy", name, TEMPLATE)
    database = Database(postgres.dsn(name, "bourse_app"))
    yield database
    database.close()
    postgres.run("drop database {} with (force)", name)


@pytest.fixture(params=["memory", "aurora"])
def other(request: pytest.FixtureRequest) -> Store:
    """Another store of either kind for the same tenant."""
    return in_memory() if request.param == "memory" else in_postgresql(request.getfixturevalue("another_database"))


def rechecked(store: Store) -> list[str | None]:
    keys = store.books.keys
    return [recheck(T, one, keys.versions(T, one.key_id)[one.version - 1]) for one in keys.kept(T)]


def test_books_with_keys_are_carried_to_any_store_in_the_same_state_and_to_the_octet(store: Store, other: Store) -> None:
    something_of_everything(store)
    with_keys(store)
    seal_all(store)
    lines = exported(store)
    assert {"key", "revocation", "default", "signature"} <= set(kinds(lines))
    said = restored(other, lines)
    assert said.state == store.journal.state_hash(T) == other.journal.state_hash(T)
    assert exported(other) == lines
    assert restored(other, lines).entries == 0, "imported twice changes nothing"
    assert exported(other) == lines


def test_signatures_verify_again_and_the_same_keys_go_on(store: Store, other: Store) -> None:
    something_of_everything(store)
    operations, newer = with_keys(store)
    restored(other, exported(store))
    assert rechecked(store) == rechecked(other) == [None] * 6
    assert [(one.key_id, one.version, one.signed) for one in other.books.keys.kept(T)] == [
        (one.key_id, one.version, one.signed) for one in store.books.keys.kept(T)
    ]
    assert list(other.books.keys.versions(T, "operations")) == list(store.books.keys.versions(T, "operations"))
    for books in (store.books, other.books):
        assert books.keys.versions(T, "old")[0].revoked_at == day(1)
        move = txn(transfer(1, "dan2", "dan", "eur"), id="next", at=day(3))
        assert refused(lambda books=books, move=move: signed(books, move, signer("old"), now=day(3)))[0] == "KEY_REVOKED"
        assert refused(lambda books=books, move=move: signed(books, move, operations, now=day(3)))[0] == "KEY_REVOKED"
        assert refused(lambda books=books, move=move: signed(books, move, now=day(3)))[0] == "SIGNATURE_MISSING"
        signed(books, move, newer, now=day(3))
        assert signed(books, move, now=day(3)).before, "what was posted once is answered again without"
        with pytest.raises(Conflict, match="public key"):
            books.keys.open_key(T, key_of(signer("thief", "operations")))
        assert books.keys.rotate_key(T, key_of(signer("operations", "third"), valid_from=day(4)), day(5)) == 3
    for one in (store, other):
        seal_all(one)
    assert store.journal.state_hash(T) == other.journal.state_hash(T)


def test_what_carried_books_add_is_chained_to_what_they_came_with(store: Store, other: Store, another_database: Database) -> None:
    something_of_everything(store)
    _, newer = with_keys(store)
    restored(other, exported(store))
    signed(other.books, txn(transfer(1, "dan2", "dan", "eur"), id="next", at=day(3)), newer, now=day(3))
    seal_all(other)
    further = in_postgresql(another_database)
    if not isinstance(other.journal, type(further.journal)):
        restored(further, exported(other))
    assert list(AuroraChecker(another_database).differences(T)) == []
    assert rechecked(further) == [None] * 7


def test_signed_books_are_of_one_tenant_only(store: Store) -> None:
    """What is signed names the tenant: in the books of another nothing would verify."""
    something_of_everything(store)
    with_keys(store)
    lines = exported(store)
    empty = store.journal.state_hash("t2")
    with pytest.raises(Conflict) as caught:
        restored(store, lines, "t2")
    assert (caught.value.code, caught.value.field) == ("TENANT_DIFFERS", f"lines.{kinds(lines).index('signature') + 1}")
    assert store.journal.state_hash("t2") == empty


@pytest.mark.parametrize(
    ("was", "is_"),
    [
        ('"algorithm":"ed25519"', '"algorithm":"rsa"'),
        ('"version":1,"algorithm"', '"version":0,"algorithm"'),
        ('"version":1,"algorithm"', '"version":"1","algorithm"'),
        ('"previous_until":null', '"previous_until":"2026-01-05T09:00:00"'),
        ('"entry":"default","keys":["operations","old"],"quorum":1', '"entry":"default","keys":["operations","old"],"quorum":3'),
        ('"scope":"batch"', '"scope":"all"'),
        ('"scope":"transaction"', '"scope":"batches"'),
        ('"place":1', '"place":0'),
        ('"signed":["made"]', '"signed":[]'),
    ],
)
def test_what_is_no_entry_about_keys_is_refused_with_its_line(store: Store, was: str, is_: str) -> None:
    lines = _keyed_lines()
    number = next(place for place, text in enumerate(lines, 1) if was in text)
    lines[number - 1] = lines[number - 1].replace(was, is_, 1)
    assert refused(lambda: restored(store, again(lines))) == ("LINE_INVALID", f"lines.{number}")


@pytest.mark.parametrize("without", ['"entry":"key","key_id":"old"', '"entry":"transaction","txn_id":"made"', '"entry":"key","key_id":"mint"'])
def test_what_speaks_of_keys_or_transactions_that_were_not_told_is_refused(store: Store, without: str) -> None:
    lines = [text for text in _keyed_lines() if without not in text]
    assert refused(lambda: restored(store, again(lines)))[0] == "BOOKS_DIFFER"


def test_two_keys_with_one_public_key_do_not_come_in(store: Store) -> None:
    lines = _keyed_lines()
    place = next(place for place, text in enumerate(lines) if '"entry":"key","key_id":"old"' in text)
    lines.insert(place + 1, lines[place].replace('"key_id":"old"', '"key_id":"twin"'))
    assert refused(lambda: restored(store, again(lines)))[0] == "BOOKS_DIFFER"


def _keyed_lines() -> list[str]:
    """The texts of signed books without their blocks, which nobody could forge."""
    made = in_memory()
    something_of_everything(made)
    with_keys(made)
    return [text for text in texts_of(exported(made)) if '"block"' not in text]


def test_both_stores_tell_the_same_of_keys(database: Database) -> None:
    told = []
    for store in (in_memory(), in_postgresql(database)):
        something_of_everything(store)
        with_keys(store)
        about = ('{"entry":"key"', '{"entry":"revocation"', '{"entry":"default"', '{"entry":"signature"')
        told.append([text.split(',"recorded_at"')[0] for text in texts_of(exported(store)) if text.startswith(about)])
    assert told[0] == told[1]


def test_every_signature_is_sealed_under_the_number_it_has_from_its_posting(database: Database, migrated_dsn: str) -> None:
    store = in_postgresql(database)
    something_of_everything(store)
    with_keys(store)
    seal_all(store)
    with psycopg.connect(migrated_dsn) as owner:
        sealed = owner.execute("select array_agg(n) from books.block, unnest(numbers) n where tenant_id = %s and n >= 1::bigint << 62", [T]).fetchone()
        kept = owner.execute("select array_agg(books.signature_entry(posting_no, place)) from books.signature").fetchone()
    assert sealed is not None
    assert kept is not None
    assert sorted(sealed[0]) == sorted(kept[0])
    assert len(sealed[0]) == 6
