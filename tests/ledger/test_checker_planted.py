"""What follows from the journal without being asked, and keys: of each thing that was tampered with exactly the difference it makes."""

from collections.abc import Iterator, Sequence
from typing import Any, get_args

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.checker import Code

from tests.ledger import test_checker
from tests.ledger.books_builders import T
from tests.ledger.journal_builders import everything, in_postgresql
from tests.ledger.test_checker import fits

Owner = psycopg.Connection[Any]


@pytest.fixture
def owner(database: Database, migrated_dsn: str) -> Iterator[Owner]:
    """The owner of the tables of books with everything in them, whom no trigger stops."""
    everything(in_postgresql(database))
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = 'replica'")
        yield connection


GROUP = "(select g.group_no from books.sum_group g join books.declared_sum using (sum_no) where name = 'by-account' and group_values ->> 0 = 'ben' limit 1)"
OLD_TIMER = "(select lot_no from books.lot join books.account using (account_no) where account_id = 'old-timer')"
PLANTED: Sequence[tuple[str, str, list[tuple[str, str, str, str]]]] = [
    (
        "the total of a sum",
        f"update books.sum_total set amount = amount + 7 where ctid = (select ctid from books.sum_total where group_no = {GROUP} limit 1)",
        [("SUM_DIFFERS", 'by-account, group ["ben"?', "?", "?")],
    ),
    (
        "a lot that left its sum",
        f"delete from books.sum_lot where lot_no = {OLD_TIMER}",
        [("SUM_DIFFERS", "by-account, group ?old-timer?", "0", "5999"), ("SUM_DIFFERS", "by-account, old-timer usd {}", "group ?", "not in it")],
    ),
    (
        "a lot whose sums are not known",
        f"update books.lot set sums_known = false where lot_no = {OLD_TIMER}",
        [("SUM_DIFFERS", "by-account, old-timer usd {}", "not in it", "group ?"), ("SUM_DIFFERS", "old-timer usd {}", "its sums are known", "they are not")],
    ),
    (
        "what a sum asks",
        "update books.declared_sum set tree = '[\"all\", []]' where name = 'loans'",
        [("SUM_DIFFERS", "loans", "?flavor_id?loan?", "[['all', []], []]")],
    ),
    (
        "a stretch of a long history",
        f"""update books.stretch set low = low - 1 where level = 1 and begins_at = (
              select max(begins_at) from books.stretch where lot_no = {OLD_TIMER} and level = 1)""",
        [("STRETCH_DIFFERS", "old-timer usd {}, level 1 from ?", "?", "?")],
    ),
    (
        "a gap in a long history",
        "update books.lot set summed_until = summed_until + interval '1 minute' where summed_until > '-infinity'",
        [("STRETCH_DIFFERS", "old-timer usd {}, level 1 from ?", "?", "?"), ("STRETCH_DIFFERS", "old-timer usd {}, level 2 from ?", "?", "?")],
    ),
    (
        "what an account is found by",
        "delete from books.term where what = 'a' and no = (select account_no from books.account where account_id = 'loans')",
        [("TERM_DIFFERS", "account loans", "term ?", "none")],
    ),
    (
        "a refusal of what was posted",
        "update books.refusal set txn_id = 'first'",
        [("HASH_MISMATCH", "entry ?", "?", "?"), ("REFUSAL_DIFFERS", "first", "refused and never posted", "posted")],
    ),
    (
        "a refusal that may pass",
        "update books.refusal set code = 'RESERVED'",
        [("HASH_MISMATCH", "entry ?", "?", "?"), ("REFUSAL_DIFFERS", "refused", "INSUFFICIENT_FUNDS", "RESERVED")],
    ),
    ("a refusal that was taken out, so that it can be posted", "delete from books.refusal", [("ENTRY_MISSING", "entry ? of block ?", "?", "none")]),
    (
        "a refusal of what nobody asked for, so that it never can be posted",
        """insert into books.refusal (tenant_id, txn_id, digest, code, detail, xid)
           select tenant_id, 'salary', digest, code, detail, xid from books.refusal""",
        [("ENTRY_UNSEALED", "entry ?", "in a block", "in none")],
    ),
    (
        "a feed in the future",
        "update books.feed set xid = 1::bigint << 50, txn_no = 0, seq = 0 where feed_id = 'all'",
        [("FEED_DIFFERS", "all", "at most ?", "?")],
    ),
    (
        "two keys with one public key",
        """alter table books.key drop constraint one_holder_one_key;
           insert into books.key (tenant_id, key_id, version, algorithm, public_key, valid_from, xid)
           select tenant_id, 'twin', 1, algorithm, public_key, valid_from, 1::bigint << 50 from books.key where key_id = 'mint'""",
        [("KEY_TWICE", "key mint and key twin", "a public key of its own", "one public key")],
    ),
    (
        "a revocation that never was",
        "delete from books.key_revocation",
        [("ENTRY_MISSING", "entry ? of block ?", "?", "none")],
    ),
    (
        "a key of a signature is gone",
        "delete from books.key where key_id = 'old'",
        [
            ("ENTRY_MISSING", "entry ? of block ?", "?", "none"),
            ("KEY_DIFFERS", "default since ?", "a key old", "none"),
            ("KEY_DIFFERS", "revocation of key old, version 1", "such a version", "none"),
            ("KEY_DIFFERS", "signature 1 of by-old by key old", "version 1 of the key", "none"),
        ],
    ),
    (
        "a signature over something else",
        "update books.signature set txn_nos = txn_nos[1:1] where cardinality(txn_nos) = 2",
        [
            ("HASH_MISMATCH", "entry ?", "?", "?"),
            ("QUORUM_NOT_MET", "both-2, account dan", "1 of mint", "operations"),
            ("SIGNATURE_COVERS_OTHERS", "signature 1 of both-1 by key mint, version 1", "?", "?"),
        ],
    ),
    (
        "a forged signature",
        "update books.signature set signature = set_byte(signature, 5, 255 - get_byte(signature, 5)) where key_id = 'old'",
        [("HASH_MISMATCH", "entry ?", "?", "?"), ("SIGNATURE_INVALID", "signature 1 of by-old by key old, version 1", "?", "?")],
    ),
    (
        "a key that signed before its time",
        "update books.key set valid_from = '2026-02-01T00:00Z' where key_id = 'old'",
        [("HASH_MISMATCH", "entry ?", "?", "?"), ("KEY_NOT_VALID", "signature 1 of by-old by key old, version 1", "?", "?")],
    ),
    (
        "a template says something else",
        "update books.template set document = jsonb_set(document, '{actions, 0, destination}', '\"eve\"') where version = 2",
        [("HASH_MISMATCH", "entry ?", "?", "?")],
    ),
    (
        "a version of a template is gone",
        "delete from books.template where template_id = 'pay' and version = 1",
        [("ENTRY_MISSING", "entry ? of block ?", "?", "none"), ("TEMPLATE_DIFFERS", "template pay", "versions 1 to 1", "versions 2 to 2")],
    ),
    (
        "a version of a template before the one it follows",
        """update books.template set version = version + 10 where template_id = 'pay';
           update books.template set version = 13 - version where template_id = 'pay'""",
        [
            ("HASH_MISMATCH", "entry ?", "?", "?"),
            ("HASH_MISMATCH", "entry ?", "?", "?"),
            ("TEMPLATE_DIFFERS", "template pay, version 1", "told as number 2", "kept as number 1"),
            ("TEMPLATE_DIFFERS", "template pay, version 2", "told as number 1", "kept as number 2"),
        ],
    ),
    (
        "a template after the fact",
        """insert into books.template (tenant_id, template_id, version, parameters, document, xid)
           select tenant_id, 'sold', 1, parameters, document, xid from books.template where template_id = 'pay' and version = 1""",
        [("ENTRY_UNSEALED", "entry ?", "in a block", "in none")],
    ),
    (
        "a closed account is open again",
        "update books.account set closed_at = null where account_id = 'gone'",
        [("ACCOUNT_DIFFERS", "account gone", "closed", "open")],
    ),
    ("a lot of a hot account", f"update books.lot set slot = 3 where lot_no = {OLD_TIMER}", [("LOT_SLOT", "old-timer usd {} 3", "0 to 0", "3")]),
    (
        "a transaction at another place",
        "update books.txn set xid = 3 where txn_id = 'last'",
        [("ENTRY_MOVED", "entry ? of block ?", "?", "3")],
    ),
]


@pytest.mark.parametrize(("planted", "expected"), [one[1:] for one in PLANTED], ids=[one[0] for one in PLANTED])
def test_what_was_tampered_with_is_exactly_what_is_told(owner: Owner, database: Database, planted: str, expected: list[tuple[str, str, str, str]]) -> None:
    owner.execute(planted)
    found = sorted((one.code, one.place, one.expected, one.found) for one in AuroraChecker(database).differences(T))
    assert [one[0] for one in found] == [one[0] for one in expected], found
    for is_, wanted in zip(found, expected, strict=True):
        assert all(fits(pattern, text) for pattern, text in zip(wanted, is_, strict=True)), (is_, wanted)


def test_every_kind_of_difference_is_planted() -> None:
    planted = [*test_checker.PLANTED, *PLANTED]
    assert {code for _, _, expected in planted for code, *_ in expected} == set(get_args(Code)) - {"WITNESS_DIFFERS"}
