"""The checker: nothing in books as they are kept, and of each thing that was tampered with exactly the difference it makes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.actions import Account, Distribute, Flavor, PostHold, ReleaseHold, Reserve, Reverse
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.aurora_seal import AuroraSeals
from bourse.ledger.checker import PARTS, Difference, Witness

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, day, issue, opened, post, retire, transfer, txn

Owner = psycopg.Connection[Any]


@pytest.fixture
def books(database: Database) -> AuroraBooks:
    """Books with something of everything, sealed in three blocks, and a transaction that is not sealed yet."""
    made, seals = AuroraBooks(database), AuroraSeals(database)
    opened(made, "ann", "ben", "cat", "dan", Account("line", floor=-50), Account("loans", {"type": "company"}, floor=None), flavors=("usd", "loan"))
    post(made, issue(100, "ann", token_tags={"n": 1}), issue(500, "ben", "loan", source="loans", source_floor=-900), id="first", at=day(1))
    post(made, issue(101, "cat", "loan", source="loans"), issue(1_000, "line"), id="second", at=day(2))
    seals.seal(T, 1_000)
    post(made, transfer(30, "ann", "ben", where="tags.n = $1", params=(1,), carry_tags=True), transfer(1_020, "line", "cat"), id="third", at=day(2))
    post(made, Reserve("h1", "usd", 10, "ann"), Reserve("h2", "usd", 20, "ben"), Reserve("h3", "usd", 5, "ben", expires_at=day(3)), at=day(2))
    post(made, PostHold("h2", "ann", 5, keep_rest=True), at=day(3))
    post(made, transfer(900, "cat", "line"), now=day(4), at=day(4))
    made.tag_account(T, "ann", {"type": "investor"})
    seals.seal(T, 1_000)
    post(made, Distribute("usd", 100, "line", "loan", fee=(1, 100)), Distribute("usd", 50, "line", "loan"), at=day(5), id="paid")
    post(made, transfer(8, "line", "cat"), at=day(5), id="taken-back")
    post(made, Reverse("taken-back", (1, 4)), at=day(5), id="back-1")
    post(made, Reverse("paid"), at=day(5), id="paid-back")
    post(made, Distribute("usd", 77, "line", "loan"), at=day(5), id="paid-again")
    post(made, retire(3, "ben", where="tags.n = 1"), now=day(4), at=day(4), id="expires-h3")
    made.open_account(T, Account("gone"))
    made.close_account(T, "gone")
    seals.seal(T, 1_000)
    post(made, issue(1, "dan"), at=day(6), id="unsealed")
    post(made, Reverse("taken-back", (1, 2)), at=day(5), id="back-2")
    return made


@pytest.fixture
def owner(books: AuroraBooks, fresh_database: FreshDatabase) -> Iterator[Owner]:
    """The owner of the tables, whom no trigger stops."""
    with psycopg.connect(fresh_database.migrated_dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = 'replica'")
        yield connection


@pytest.fixture
def check(books: AuroraBooks, database: Database) -> Callable[..., list[Difference]]:
    return lambda **more: list(AuroraChecker(database).differences(T, **more))


def test_books_as_they_are_kept_have_no_difference(check: Callable[..., list[Difference]]) -> None:
    told: list[tuple[str, int]] = []
    assert check(progress=lambda part, count: told.append((part, count))) == []
    assert list(dict.fromkeys(part for part, _ in told)) == list(PARTS)
    assert told[-1] == ("chain", 24)
    assert check() == [], "looking changes nothing"


LOT = """(select lot_no from books.lot join books.account using (account_no) join books.flavor using (flavor_no)
  where account_id = '{}' and flavor_id = '{}' and tagset_no {} 0)"""
ACCOUNT = "(select account_no from books.account where account_id = '{}')"
UNSEALED = "(select txn_no from books.txn where txn_id = 'unsealed')"
SRC, DST = (f"(select {end} from books.move where txn_no = {UNSEALED})" for end in ("src", "dst"))
ANN, BEN, LOANS = LOT.format("ann", "usd", "<>"), LOT.format("ben", "usd", "<>"), LOT.format("loans", "loan", "=")
CAT, LINE, BEN_LOAN = LOT.format("cat", "usd", "="), LOT.format("line", "usd", "="), LOT.format("ben", "loan", "=")
TXN = "(select txn_no from books.txn where txn_id = '{}')"
FREE = "drop policy overdraft on books.lot; "


PLANTED: Sequence[tuple[str, str, list[tuple[str, str, str, str]]]] = [
    ("the amount of a lot", f"update books.lot set amount = amount + 5 where lot_no = {ANN}", [("LOT_AMOUNT", 'ann usd {"n": 1}', "70", "75")]),
    ("what is held of a lot", f"update books.lot set held = held - 1 where lot_no = {ANN}", [("LOT_HELD", 'ann usd {"n": 1}', "10", "9")]),
    ("the floor of a lot", f"update books.lot set floor = -1 where lot_no = {BEN_LOAN}", [("LOT_FLOOR", "ben loan {}", "0", "-1")]),
    ("no floor any more", f"update books.lot set floor = null where lot_no = {BEN_LOAN}", [("LOT_FLOOR", "ben loan {}", "0", "none")]),
    ("the floor an issue set", f"update books.lot set floor = -901 where lot_no = {LOANS}", [("LOT_FLOOR", "loans loan {}", "-900", "-901")]),
    (
        "the latest time of a lot",
        f"update books.lot set latest_at = '2020-01-01T00:00Z' where lot_no = {LINE}",
        [("LOT_LATEST", "line usd {}", "2026-01-10 09:00:00+00", "2020-01-01 00:00:00+00")],
    ),
    ("the order of spending", f"update books.lot set opened_no = 0 where lot_no = {ANN}", [("LOT_OPENED", 'ann usd {"n": 1}', "at most ?", "0")]),
    (
        "the end of the order",
        f"update books.lot set opened_no = 999999::bigint << 20 where lot_no = {ANN}",
        [("LOT_OPENED", 'ann usd {"n": 1}', "at most ?", "999999")],
    ),
    (
        "a lot closed alone",
        f"update books.lot set closed = true where lot_no = {CAT}",
        [("LOT_CLOSED", "cat usd {}", "false", "true")],
    ),
    (
        "a lot below its floor",
        FREE
        + f"""update books.move set src = dst, dst = src where txn_no = {UNSEALED};
          update books.lot set amount = -1 where lot_no = {SRC};
          update books.lot set amount = amount + 2 where lot_no = {DST}""",
        [("LOT_NEGATIVE", "dan usd {}", "0", "-1")],
    ),
    (
        "a lot below its floor at an earlier instant",
        f"""update books.txn set effective_at = '2026-01-05T08:00Z' where txn_no = {TXN.format("expires-h3")};
          update books.move set effective_at = '2026-01-05T08:00Z' where txn_no = {TXN.format("expires-h3")}""",
        [
            ("HASH_MISMATCH", "entry ?", "?", "?"),
            ("LOT_LATEST", "ben usd ?", "?", "?"),
            ("LOT_NEGATIVE", "ben usd ? at 2026-01-05 08:00:00+00", "0", "-3"),
        ],
    ),
    (
        "a lot that is not there",
        f"delete from books.lot where lot_no = {DST}",
        [("LOT_MISSING", "lot ?", "a lot", "none")],
    ),
    (
        "a move from one flavor to another",
        f"""update books.lot set tagset_no = 1, flavor_no = (select flavor_no from books.flavor where flavor_id = 'loan')
          where lot_no = {DST}""",
        [("FLAVOR_NOT_ZERO", "unsealed/0", "usd", "loan")],
    ),
    (
        "a transaction without moves",
        f"""insert into books.txn (txn_no, tenant_id, txn_id, kind, digest, effective_at, correlation_id, tags)
          values (nextval('books.txn_no'), '{T}', 'empty', 'k', '\\x00', now(), '', '{{}}')""",
        [("TXN_WITHOUT_MOVES", "empty", "moves", "none")],
    ),
    ("a move without its transaction", "delete from books.txn where txn_id = 'unsealed'", [("MOVE_WITHOUT_TXN", "transaction ?", "a transaction", "none")]),
    (
        "moves with a gap",
        f"update books.move set seq = 3 where txn_no = {TXN.format('second')} and seq = 2",
        [("MOVE_SEQUENCE", "second", "1 to 2", "1 to 3")],
    ),
    (
        "a move at another time",
        f"update books.move set effective_at = '2026-01-11T10:00Z' where txn_no = {UNSEALED}",
        [("LOT_LATEST", "?", "2026-01-11 10:00:00+00", "2026-01-11 09:00:00+00")] * 2
        + [("MOVE_TIME", "unsealed", "2026-01-11 09:00:00+00", "2026-01-11 10:00:00+00")],
    ),
    ("a hold that is over", "update books.hold set is_over = true where hold_id = 'h1'", [("HOLD_DIFFERS", "h1", "?", "over t, expired f?")]),
    ("a hold that has not expired", "update books.hold set expired = false where hold_id = 'h3'", [("HOLD_DIFFERS", "h3", "?", "over t, expired f?")]),
    (
        "a hold of another account",
        "update books.hold set account_no = (select account_no from books.account where account_id = 'cat') where hold_id = 'h1'",
        [("HOLD_DIFFERS", "h1", "?", "?account and flavor f?")],
    ),
    (
        "more is taken back than was moved",
        f"update books.reversed_move set amount = 9 where txn_no = {TXN.format('back-2')}",
        [("REVERSAL_DIFFERS", "back-2, move 1", "9", "4"), ("REVERSAL_DIFFERS", "taken-back, move 1", "at most 8", "11")],
    ),
    (
        "a part that was taken back is gone",
        f"update books.reversal set part_no = 3 where txn_no = {TXN.format('back-2')}",
        [("REVERSAL_DIFFERS", "taken-back", "parts 1 to 2", "parts to 3")],
    ),
    (
        "what rounding left owed",
        f"update books.owed set owed = '1/7' where account_no = {ACCOUNT.format('ben')} and flavor_no <> over_flavor_no",
        [("OWED_DIFFERS", "ben usd over loan", "?", "1/7")],
    ),
    (
        "what rounding left owed is gone",
        f"delete from books.owed where account_no = {ACCOUNT.format('ben')} and flavor_no <> over_flavor_no",
        [("OWED_DIFFERS", "ben usd over loan", "?", "none")],
    ),
    (
        "tags of an account",
        "update books.account set tags = '{\"type\": \"company\"}' where account_id = 'ann'",
        [("TAGS_DIFFER", "account ann", '{"type": "investor"}', '{"type": "company"}'), *[("TERM_DIFFERS", "account ann", "?", "?")] * 2],
    ),
    (
        "tags of a flavor",
        "update books.flavor set tags = '{\"a\": 1}' where flavor_id = 'usd'",
        [("TAGS_DIFFER", "flavor usd", "{}", '{"a": 1}'), ("TERM_DIFFERS", "flavor usd", "?", "none")],
    ),
    (
        "a set of tags that nothing has",
        f"insert into books.tagset (tenant_id, tags, digest) values ('{T}', '{{\"z\": 1}}', '\\x00')",
        [("TAGSET_DIFFERS", "tag set ?", "00", "?"), ("TERM_DIFFERS", "tag set ?", "?", "none")],
    ),
    (
        "a set of tags with a fraction",
        f"insert into books.tagset (tenant_id, tags, digest) values ('{T}', '{{\"z\": 1.5}}', '\\x00')",
        [("TAGSET_DIFFERS", "tag set ?", "00", "?"), ("TERM_DIFFERS", "tag set ?", "?", "none")],
    ),
    ("a word of a sealed transaction", "update books.txn set correlation_id = 'x' where txn_id = 'third'", [("HASH_MISMATCH", "entry ?third?", "?", "?")]),
    (
        "a filter as it was asked",
        f'update books.asked set document = document || \'{{"filter": ""}}\' where txn_no = {TXN.format("third")}',
        [("HASH_MISMATCH", "entry ?third?", "?", "?")],
    ),
    (
        "tags as they were told once",
        "update books.tags_told set tags = '{}' where since_no = (select min(since_no) from books.tags_told where tags <> '{}')",
        [("HASH_MISMATCH", "entry ?loans?", "?", "?"), ("TAGS_DIFFER", "account loans", "{}", "?")],
    ),
    (
        "a sealed entry is gone",
        "delete from books.tags_told where since_no = (select min(since_no) from books.tags_told where what = 'f')",
        [("ACCOUNT_DIFFERS", "flavor usd", "a flavor that was opened", "one that never was"), ("ENTRY_MISSING", "entry 1 of block 1", "?", "none")],
    ),
    (
        "an entry that was slipped in below",
        """insert into books.tags_told (tenant_id, what, no, since_no, tags, xid)
          select tenant_id, what, no, 0, tags, 1 from books.tags_told order by since_no limit 1""",
        [("ENTRY_UNSEALED", "entry 0", "in a block", "in none")],
    ),
    ("a block is gone", "delete from books.block where block_no = 2", [("BLOCK_GAP", "block 2", "block 2", "block 3")]),
    ("the last block is gone", "delete from books.block where block_no = 3", [("BLOCK_GAP", "block 3", "3 blocks", "2 blocks")]),
    ("the first block is gone", "delete from books.block where block_no = 1", [("BLOCK_GAP", "block 1", "block 1", "block 2")]),
    (
        "the hash of a block",
        "update books.block set hash = sha256('x') where block_no = 2",
        [("BLOCK_DIFFERS", "block 2", "?", "?"), ("BLOCK_DIFFERS", "block 3, previous", "?", "?")],
    ),
    ("the end of the chain", "update books.chain set hash = sha256('x')", [("BLOCK_DIFFERS", "the end of the chain", "?", "?")]),
    (
        "two entries of a block change places",
        """update books.block set numbers = numbers[2:2] || numbers[1:1] || numbers[3:],
          hashes = substr(hashes, 33, 32) || substr(hashes, 1, 32) || substr(hashes, 65) where block_no = 1""",
        [("BLOCK_DIFFERS", "block 1", "?", "?")],
    ),
    (
        "an entry is sealed twice",
        """with b as (update books.block set numbers = numbers || numbers[1:1], hashes = hashes || substr(hashes, 1, 32),
             hash = sha256(previous || int8send(block_no) || hashes || substr(hashes, 1, 32)) where block_no = 3 returning hash)
           update books.chain set hash = (select hash from b)""",
        [("ENTRY_TWICE", "entry ?", "in one block", "in more")],
    ),
]


def fits(pattern: str, text: str) -> bool:
    """`?` stands for any text."""
    first, *parts = pattern.split("?")
    if not parts:
        return text == pattern
    if not text.startswith(first) or not text.endswith(parts[-1]):
        return False
    return all(part in text for part in parts)


@pytest.mark.parametrize(("planted", "expected"), [one[1:] for one in PLANTED], ids=[one[0] for one in PLANTED])
def test_what_was_tampered_with_is_exactly_what_is_told(
    owner: Owner, check: Callable[..., list[Difference]], planted: str, expected: list[tuple[str, str, str, str]]
) -> None:
    owner.execute(planted)
    found = sorted((one.code, one.place, one.expected, one.found) for one in check())
    assert [one[0] for one in found] == [one[0] for one in expected], found
    for is_, wanted in zip(found, expected, strict=True):
        assert all(fits(pattern, text) for pattern, text in zip(wanted, is_, strict=True)), (is_, wanted)


def test_a_whole_new_chain_is_told_by_the_hash_that_was_noted_elsewhere(owner: Owner, check: Callable[..., list[Difference]], database: Database) -> None:
    """Who can write everything forges a chain without a fault; the note of one block's hash gives it away."""
    [noted] = owner.execute("select hash from books.block where block_no = 2").fetchone() or [b""]
    assert check(witness=Witness(2, noted)) == []
    owner.execute("update books.txn set correlation_id = 'forged' where txn_id = 'first'")
    owner.execute("delete from books.block")
    owner.execute("update books.chain set block_no = 0, until_xid = 0, hash = decode(repeat('00', 32), 'hex')")
    while AuroraSeals(database).seal(T, 12):
        pass
    assert check() == []
    assert [one.code for one in check(witness=Witness(2, noted))] == ["WITNESS_DIFFERS"]
    assert [(one.code, one.found) for one in check(witness=Witness(99, noted))] == [("WITNESS_DIFFERS", "none")]


def test_another_tenants_books_are_not_looked_at(owner: Owner, check: Callable[..., list[Difference]], database: Database) -> None:
    other = AuroraBooks(database)
    for name in ("ann", "ben"):
        other.open_account("t2", Account(name))
    other.open_flavor("t2", Flavor("usd"))
    other.post("t2", [txn(issue(10, "ann"), id="o")], DAY)
    AuroraSeals(database).seal("t2", 100)
    owner.execute("update books.txn set kind = 'x' where tenant_id = 't2'")
    owner.execute("update books.lot set amount = amount + 1 where tenant_id = 't2'")
    assert check() == []
    assert sorted(one.code for one in AuroraChecker(database).differences("t2")) == ["HASH_MISMATCH", "LOT_AMOUNT", "LOT_AMOUNT"]


def test_refusals_leave_no_difference(books: AuroraBooks, check: Callable[..., list[Difference]]) -> None:
    with pytest.raises(Refused):
        post(books, issue(5, "ann"), transfer(10**9, "ann", "ben"))
    post(books, ReleaseHold("h1"))
    assert check() == []
