"""The register of keys, and keys that are rotated and revoked: the same promise in memory and in PostgreSQL."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from bourse.errors import Conflict
from bourse.ledger.actions import Account, Flavor
from bourse.ledger.books import Books, Question
from bourse.ledger.keys import KEYS_MAX, Key, Signature

from tests.ledger.books_builders import DAY, T, day, opened, refused, transfer, txn
from tests.ledger.keys_builders import ANN, BEFORE, K1, K2, K3, key_of, signed, signer, with_keys


@pytest.fixture
def books(empty_books: Books) -> Books:
    return with_keys(empty_books)


# Rotation and revocation


def test_a_rotated_key_signs_with_both_versions_for_a_while_and_then_with_the_new_one(books: Books) -> None:
    new = signer("ann-key", "new material")
    assert books.keys.rotate_key(T, key_of(new, valid_from=day(1)), previous_until=day(2)) == 2
    assert books.keys.rotate_key(T, key_of(new, valid_from=day(1)), previous_until=day(3)) == 2, "told twice it changes nothing"
    assert refused(lambda: signed(books, transfer(1, "ann", "ben"), new, now=DAY)) == ("SIGNATURE_INVALID", "signatures.0")
    signed(books, transfer(1, "ann", "ben"), ANN, now=DAY)
    signed(books, transfer(1, "ann", "ben"), ANN, now=day(1))
    signed(books, transfer(1, "ann", "ben"), new, now=day(1))
    assert refused(lambda: signed(books, transfer(1, "ann", "ben"), ANN, now=day(2))) == ("KEY_REVOKED", "signatures.0.key_id")
    signed(books, transfer(1, "ann", "ben"), new, now=day(2))
    assert [one.version for one in books.keys.kept(T)] == [1, 1, 2, 2]


def test_a_revoked_key_signs_nothing_from_then_on_and_its_holder_may_be_given_a_new_one(books: Books) -> None:
    books.keys.revoke_key(T, "ann-key", day(1), "lost")
    books.keys.revoke_key(T, "ann-key", day(5))
    signed(books, transfer(1, "ann", "ben"), ANN, now=DAY)
    for now in (day(1), day(9)):
        assert refused(lambda at=now: signed(books, transfer(1, "ann", "ben"), ANN, now=at)) == ("KEY_REVOKED", "signatures.0.key_id")
    wrong = [Signature("ann-key", bytes(64))]
    assert refused(lambda: books.post(T, [txn(transfer(1, "ann", "ben"))], day(1), signatures=wrong))[0] == "KEY_REVOKED"
    assert books.keys.versions(T, "ann-key")[0].revoked_at == day(1)
    new = signer("ann-key", "new material")
    assert books.keys.rotate_key(T, key_of(new, valid_from=day(2)), day(2)) == 2
    assert refused(lambda: signed(books, transfer(1, "ann", "ben"), ANN, now=day(3)))[0] == "KEY_REVOKED"
    signed(books, transfer(1, "ann", "ben"), new, now=day(3))
    books.keys.revoke_key(T, "ann-key", day(4))
    assert refused(lambda: signed(books, transfer(1, "ann", "ben"), new, now=day(4)))[0] == "KEY_REVOKED"
    assert [one.revoked_at for one in books.keys.versions(T, "ann-key")] == [day(1), day(4)]


def test_a_quorum_that_lost_a_key_is_met_by_the_others(books: Books) -> None:
    books.keys.revoke_key(T, "k1", DAY)
    assert refused(lambda: signed(books, transfer(1, "vault", "ben"), K1, K2)) == ("KEY_REVOKED", "signatures.0.key_id")
    signed(books, transfer(1, "vault", "ben"), K2, K3)


def test_a_key_that_is_not_valid_yet_is_not_known_yet(books: Books) -> None:
    late = signer("late")
    books.keys.open_key(T, key_of(late, valid_from=day(3)))
    assert refused(lambda: signed(books, transfer(1, "ben", "ann"), late)) == ("KEY_UNKNOWN", "signatures.0.key_id")
    signed(books, transfer(1, "ben", "ann"), late, now=day(3))


# The register


def test_a_key_is_opened_once_and_another_under_its_name_is_a_conflict(books: Books) -> None:
    books.keys.open_key(T, key_of(ANN))
    assert len(books.keys.versions(T, "ann-key")) == 1
    for other in (key_of(signer("ann-key", "other")), key_of(ANN, valid_from=DAY)):
        with pytest.raises(Conflict, match="KEY_DIFFERS"):
            books.keys.open_key(T, other)


def test_nobody_holds_two_keys_of_a_quorum_under_two_names(books: Books) -> None:
    double = replace(key_of(ANN), key_id="not-ann")
    with pytest.raises(Conflict) as caught:
        books.keys.open_key(T, double)
    assert (caught.value.code, caught.value.field) == ("KEY_DIFFERS", "public_key")
    with pytest.raises(Conflict, match="KEY_DIFFERS"):
        books.keys.rotate_key(T, replace(key_of(ANN), key_id="k1"), DAY)
    books.keys.open_key("t2", double)


def test_accounts_and_flavors_name_keys_there_are_and_a_quorum_they_can_meet(books: Books) -> None:
    terms: list[tuple[dict[str, Any], tuple[str, str]]] = [
        ({"key_ids": ("k1", "nobody")}, ("KEY_UNKNOWN", "key_ids.1")),
        ({"key_ids": ("k1", "k1")}, ("QUORUM_INVALID", "key_ids")),
        ({"key_ids": ("k1",), "quorum": 2}, ("QUORUM_INVALID", "quorum")),
        ({"key_ids": ("k1",), "quorum": 0}, ("QUORUM_INVALID", "quorum")),
        ({"key_ids": ("k1",), "quorum": True}, ("QUORUM_INVALID", "quorum")),
        ({"quorum": 1}, ("QUORUM_INVALID", "quorum")),
        ({"key_ids": ("'; drop",)}, ("NAME_INVALID", "key_ids.0")),
        ({"key_ids": tuple(f"k{number}" for number in range(KEYS_MAX + 1))}, ("QUORUM_INVALID", "key_ids")),
    ]
    for named, answer in terms:
        assert refused(lambda more=named: books.open_account(T, Account("new", **more))) == answer
        assert refused(lambda more=named: books.open_flavor(T, Flavor("new", **more))) == answer
        assert refused(lambda more=named: books.keys.set_default(T, more.get("key_ids", ()), more.get("quorum"), DAY)) == answer
    opened(books, Account("vault", key_ids=("k1", "k2", "k3"), quorum=2), flavors=(Flavor("coin", key_ids=("mint",)),))
    with pytest.raises(Conflict, match="ACCOUNT_DIFFERS"):
        books.open_account(T, Account("vault", key_ids=("k1", "k2", "k3"), quorum=1))
    with pytest.raises(Conflict) as caught:
        books.open_flavor(T, Flavor("coin"))
    assert (caught.value.code, caught.value.field) == ("FLAVOR_DIFFERS", "key_ids")


def test_lists_of_accounts_and_flavors_tell_the_keys_they_name(books: Books) -> None:
    accounts = {one.account_id: (one.key_ids, one.quorum) for one in books.accounts(T, Question()).items}
    assert accounts == {"ann": (("ann-key",), None), "ben": ((), None), "vault": (("k1", "k2", "k3"), 2), "world": ((), None)}
    assert [(one.flavor_id, one.key_ids) for one in books.flavors(T, Question()).items] == [("coin", ("mint",)), ("usd", ())]


def test_what_is_no_key_is_not_opened(books: Books) -> None:
    bad: list[tuple[Key, tuple[str, str]]] = [
        (key_of(ANN, valid_from=datetime(2026, 1, 1)), ("TIME_INVALID", "valid_from")),
        (replace(key_of(ANN), key_id=""), ("NAME_INVALID", "key_id")),
        (replace(key_of(ANN), algorithm="rsa"), ("KEY_INVALID", "algorithm")),
        (replace(key_of(ANN), algorithm="ecdsa_p256_sha256"), ("KEY_INVALID", "public_key")),
        (replace(key_of(ANN), public_key=b"nothing"), ("KEY_INVALID", "public_key")),
        (replace(key_of(ANN), public_key="text"), ("KEY_INVALID", "public_key")),
    ]
    for key, answer in bad:
        assert refused(lambda one=key: books.keys.open_key(T, one)) == answer
    assert refused(lambda: books.keys.rotate_key(T, key_of(signer("nobody")), DAY)) == ("KEY_UNKNOWN", "key_id")
    assert refused(lambda: books.keys.revoke_key(T, "nobody", DAY)) == ("KEY_UNKNOWN", "key_id")
    assert refused(lambda: books.keys.versions(T, "nobody")) == ("KEY_UNKNOWN", "key_id")


def test_a_tenants_keys_are_nobody_elses(books: Books) -> None:
    assert refused(lambda: books.keys.versions("t2", "ann-key"))[0] == "KEY_UNKNOWN"
    assert refused(lambda: books.open_account("t2", Account("x", key_ids=("ann-key",))))[0] == "KEY_UNKNOWN"
    signed(books, transfer(1, "ann", "ben"), ANN)
    assert books.keys.kept("t2") == []
    assert books.keys.versions(T, "ann-key")[0].valid_from == BEFORE
