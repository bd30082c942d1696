"""The checker works out again who had to sign what: of each signature that was taken out, and each quorum that was changed, just what stood on it."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.ledger.actions import Account, Action, Distribute, Flavor, PostHold, ReleaseHold, Reserve, Reverse
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.books import Books
from bourse.ledger.keys import sign_batch

from tests.ledger.books_builders import DAY, T, day, issue, retire, transfer, txn
from tests.ledger.journal_builders import exported, in_memory, in_postgresql, restored
from tests.ledger.keys_builders import key_of, registered, signed, signer

LINE = ("line-1", "line-2", "line-3")
SIGNED: Sequence[tuple[str, Sequence[Action], Sequence[str], Sequence[str]]] = [
    # What is posted, by whom it is signed, and whom it asks.
    ("money", [issue(1_000, "ann"), issue(500, "ben"), issue(100, "line")], [], []),
    ("made", [issue(100, "ann", "loan"), issue(30, "line", "loan"), issue(20, "ann", "note"), issue(20, "cat", "note")], ["loan-key"], ["flavor loan"]),
    ("bonds", [issue(10, "cat", "bond")], ["loan-key"], ["flavor bond"]),
    ("paid", [transfer(10, "ann", "ben")], ["ann-key"], ["account ann"]),
    ("filtered", [transfer(10, "ann", "ben", where="flavor_id = 'usd'")], ["ann-key"], ["account ann"]),
    ("credit", [transfer(105, "line", "cat")], ["line-1", "line-3"], ["account line"]),
    ("both", [transfer(5, "line", "cat", "loan")], ["line-1", "line-3", "loan-key"], ["account line", "flavor loan"]),
    ("held", [Reserve("h", "usd", 20, "ann")], ["ann-key"], ["account ann"]),
    ("posted", [PostHold("h", "ben", 5, keep_rest=True)], ["ann-key"], ["account ann"]),
    ("let-go", [ReleaseHold("h")], ["ann-key"], ["account ann"]),
    ("expiring", [Reserve("h2", "usd", 20, "ann", expires_at=day(1))], ["ann-key"], ["account ann"]),
    ("shared", [Distribute("usd", 10, "ben", "loan", fee=(1, 10))], ["loan-key"], ["flavor loan"]),
    ("shared-out", [Distribute("usd", 10, "ben", "loan", retire=False)], [], []),
    ("shared-too", [Distribute("usd", 10, "ben", "note")], ["ann-key"], ["account ann"]),
    ("own-share", [Distribute("usd", 10, "ann", "bond")], ["ann-key", "loan-key"], ["account ann", "flavor bond"]),
    ("gone", [retire(3, "ann", "loan")], ["ann-key"], ["account ann"]),
    ("gone-back", [Reverse("gone")], ["loan-key"], ["flavor loan"]),
    ("free", [transfer(7, "ben", "cat")], [], []),
    ("free-back", [Reverse("free")], [], []),
]
DEFAULTS: Sequence[tuple[str, Sequence[Action], Sequence[str], Sequence[str]]] = [
    ("late", [transfer(7, "ben", "cat")], ["default-key"], ["the default"]),
    ("late-back", [Reverse("late")], ["default-key"], ["the default"]),
    ("late-money", [issue(9, "ben")], ["default-key"], ["the default"]),
    ("late-share", [Distribute("usd", 10, "ben", "note")], ["ann-key", "default-key"], ["account ann", "the default"]),
    ("late-paid", [transfer(1, "ann", "ben")], ["ann-key"], ["account ann"]),
    ("expired", [transfer(1, "ann", "ben")], ["ann-key"], ["account ann"]),
]
Owner = psycopg.Connection[Any]


def post_all(books: Books) -> None:
    registered(books, "ann-key", "loan-key", "default-key", *LINE)
    for flavor in (Flavor("usd"), Flavor("note"), Flavor("loan", key_ids=("loan-key",)), Flavor("bond", key_ids=("loan-key",))):
        books.open_flavor(T, flavor)
    for account in (Account("ann", key_ids=("ann-key",)), Account("ben"), Account("cat"), Account("line", floor=-50, key_ids=LINE, quorum=2)):
        books.open_account(T, account)
    for name, actions, keys, _ in SIGNED:
        signed(books, txn(*actions, id=name), *map(signer, keys))
    books.keys.set_default(T, ["default-key"], None, DAY)
    for name, actions, keys, _ in DEFAULTS:
        signed(books, txn(*actions, id=name, at=day(2)), *map(signer, keys), now=day(2))
    books.keys.rotate_key(T, key_of(signer("ann-key", "newer"), valid_from=day(1)), day(3))


@pytest.fixture
def books(database: Database) -> AuroraBooks:
    made = AuroraBooks(database)
    post_all(made)
    return made


@pytest.fixture
def owner(books: AuroraBooks, migrated_dsn: str) -> Iterator[Owner]:
    """The owner of the tables, whom no trigger stops. The default was told long before what was posted under it, and after all else."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = 'replica'")
        connection.execute("update books.txn set recorded_at = recorded_at - interval '1 hour'")
        connection.execute("update books.txn set recorded_at = recorded_at + interval '2 hours' where txn_id like 'late%' or txn_id = 'expired'")
        yield connection


def unmet(database: Database) -> list[tuple[str, str, str]]:
    """What the checker finds of quorums: whose of which transaction, how many were wanted, who signed."""
    return sorted((one.place, one.expected, one.found) for one in AuroraChecker(database).differences(T) if one.code == "QUORUM_NOT_MET")


def test_books_in_which_everything_is_signed_are_clean(books: AuroraBooks, owner: Owner, database: Database) -> None:
    assert list(AuroraChecker(database).differences(T)) == []


def test_without_signatures_all_that_asked_for_some_is_found_and_nothing_else(owner: Owner, database: Database) -> None:
    owner.execute("delete from books.signature")
    expected = sorted(f"{name}, {asked}" for name, _, _, asks in (*SIGNED, *DEFAULTS) for asked in asks)
    assert [place for place, _, _ in unmet(database)] == expected
    assert {found for _, _, found in unmet(database)} == {"none"}


ALL_OF_ANN = [f"{name}, account ann" for name, _, _, asks in (*SIGNED, *DEFAULTS) if "account ann" in asks]
PLANTED: Sequence[tuple[str, str, list[str], str, str]] = [
    (
        "one signature of two",
        "delete from books.signature where key_id = 'line-3' and posting_no = (select txn_no from books.txn where txn_id = 'credit')",
        ["credit, account line"],
        "2 of line-1, line-2, line-3",
        "line-1",
    ),
    (
        "a quorum that was less",
        "update books.account set quorum = 3 where account_id = 'line'",
        ["both, account line", "credit, account line"],
        "3 of line-1, line-2, line-3",
        "line-1, ?line-3",
    ),
    (
        "an account that named others",
        "update books.account set key_ids = '{line-1,line-2}', quorum = null where account_id = 'line'",
        ["both, account line", "credit, account line"],
        "2 of line-1, line-2",
        "line-1, ?line-3",
    ),
    (
        "a flavor that named none",
        "update books.flavor set key_ids = '{line-2}' where flavor_id = 'note'",
        ["late-share, flavor note", "made, flavor note", "shared-too, flavor note"],
        "1 of line-2",
        "?",
    ),
    (
        "the default",
        "update books.default_quorum set key_ids = '{line-1,default-key}'",
        [f"{name}, the default" for name, _, _, asks in DEFAULTS if "the default" in asks],
        "2 of line-1, default-key",
        "?default-key",
    ),
    (
        "a signature over another transaction",
        """update books.signature set txn_nos = array[(select txn_no from books.txn where txn_id = 'free')], posting_no = 0
           where posting_no = (select txn_no from books.txn where txn_id = 'held')""",
        ["held, account ann"],
        "1 of ann-key",
        "none",
    ),
    (
        "a key that was revoked before",
        """insert into books.key_revocation (tenant_id, key_id, version, revoked_at, reason, xid)
           select tenant_id, 'ann-key', 1, '2020-01-01Z', '', 3 from books.chain""",
        ALL_OF_ANN,
        "1 of ann-key",
        "?",
    ),
    (
        "a key that was replaced before",
        "update books.key set previous_until = '2020-01-01Z', xid = 3 where key_id = 'ann-key' and version = 2",
        ALL_OF_ANN,
        "1 of ann-key",
        "?",
    ),
    ("a key that began later", "update books.key set valid_from = '2030-01-01Z' where key_id = 'ann-key'", ALL_OF_ANN, "1 of ann-key", "?"),
    (
        "a revocation that was told afterwards says nothing of what had been posted",
        "insert into books.key_revocation (tenant_id, key_id, version, revoked_at, reason) select tenant_id, 'ann-key', 2, '2020-01-01Z', '' from books.chain",
        [],
        "",
        "",
    ),
]


@pytest.mark.parametrize(("planted", "places", "expected", "found"), [one[1:] for one in PLANTED], ids=[one[0] for one in PLANTED])
def test_what_was_changed_behind_the_books_back_is_what_is_told(
    owner: Owner, database: Database, planted: str, places: list[str], expected: str, found: str
) -> None:
    owner.execute(planted)  # type: ignore[arg-type]
    told = unmet(database)
    assert [one[0] for one in told] == sorted(places)
    assert {one[1] for one in told} <= {expected}
    assert all(part in one[2] for one in told for part in found.split("?"))


def test_a_later_signature_over_an_older_transaction_does_not_make_up_for_its_own(books: AuroraBooks, owner: Owner, database: Database) -> None:
    again = [txn(*SIGNED[3][1], id="paid"), txn(transfer(1, "ann", "ben"), id="next", at=day(2))]
    books.post(T, again, day(2), signatures=[sign_batch(signer("ann-key"), T, again)])
    assert unmet(database) == []
    owner.execute("delete from books.signature where posting_no = (select txn_no from books.txn where txn_id = 'paid')")
    assert unmet(database) == [("paid, account ann", "1 of ann-key", "none")]


def test_a_revocation_that_is_dated_back_leaves_books_clean(books: AuroraBooks, database: Database) -> None:
    """A lost key is revoked from when it was lost on; what it had signed since cannot be undone by that."""
    books.keys.revoke_key(T, "line-1", day(-1))
    books.keys.rotate_key(T, key_of(signer("loan-key", "another"), valid_from=day(-1)), day(-1))
    assert list(AuroraChecker(database).differences(T)) == []


def test_who_still_remembers_the_default_of_before_is_no_fault(database: Database, app_dsn: str) -> None:
    """A default is seen everywhere within a minute; until then either is right."""
    one, elsewhere = AuroraBooks(database), Database(app_dsn)
    registered(one, "default-key")
    one.open_flavor(T, Flavor("usd"))
    other = AuroraBooks(elsewhere)
    one.open_account(T, Account("ann"))
    other.post(T, [txn(issue(5, "ann"), id="before")], DAY)
    one.keys.set_default(T, ["default-key"], None, DAY)
    other.post(T, [txn(issue(5, "ann"), id="after")], DAY)
    elsewhere.close()
    assert list(AuroraChecker(database).differences(T)) == []


def test_books_that_were_carried_are_checked_alike(database: Database) -> None:
    made, into = in_memory(), in_postgresql(database)
    post_all(made.books)
    restored(into, exported(made))
    assert list(AuroraChecker(database).differences(T)) == []
