"""Any one cell of any table of the books, changed behind their back, is found and named by the checker."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.checker import Difference

from tests.ledger.books_builders import T
from tests.ledger.journal_builders import everything, in_postgresql

NOT_DERIVED: Final = {
    "account.closed_at": "when it was closed is said nowhere else; that it was closed is",
    "lot.opened_no": "which of two lots rose above zero first, when two postings ran at once, is told by nothing; its bounds are planted in test_checker.py",
    "lot.version": "counts changes for who decides by it",
    "lot.floor_moved": "what `books.post` tells itself of its own statement",
    "hold.version": "counts changes for who decides by it",
    "block.sealed_at": "when a block was sealed is said nowhere else",
    "feed.feed_id": "a feed is what its consumer said",
    "feed.kind": "a feed is what its consumer said",
    "feed.filter": "a feed is what its consumer said",
    "feed.params": "a feed is what its consumer said",
    "feed.since": "what was visible when a feed was opened, which no later snapshot tells",
    "feed.opened_at": "when a feed was opened is said nowhere else",
    "feed.tenant_id": "a feed is what its consumer said",
    "declared_sum.name": "a sum has the name that was given to it",
    "sum_total.slot": "which of a group's slots a writer added to is by chance; what they come to is not",
}
"""Columns that follow from nothing else, with the reason."""
_TXN: Final = "(select txn_id from books.txn x where x.txn_no = r.{0})"
_LOT: Final = "(select a.account_id from books.lot l join books.account a using (account_no) where l.lot_no = r.{0})"
NAMES: Final = {
    "template": "r.template_id, 'entry ' || r.entry_no",
    "account": "r.account_id, 'entry ' || (select min(since_no) from books.tags_told t where t.what = 'a' and t.no = r.account_no)",
    "flavor": "r.flavor_id",
    "tags_told": "'entry ' || r.since_no",
    "tagset": "'tag set ' || r.tagset_no",
    "lot": "(select account_id from books.account a where a.account_no = r.account_no), 'lot ' || r.lot_no",
    "txn": "r.txn_id, 'entry ' || r.txn_no",
    "move": _TXN.format("txn_no"),
    "hold": "r.hold_id, 'hold ' || r.hold_no, (select x.txn_id from books.hold_move m join books.txn x using (txn_no) where m.hold_no = r.hold_no limit 1)",
    "hold_move": _TXN.format("txn_no"),
    "owed": "(select account_id from books.account a where a.account_no = r.account_no)",
    "owed_change": _TXN.format("txn_no"),
    "asked": _TXN.format("txn_no"),
    "refusal": "r.txn_id, 'entry ' || r.entry_no",
    "told": "'entry ' || r.told_no",
    "block": "'block ' || r.block_no, 'block ' || (r.block_no + 1)",
    "chain": "'the end of the chain', 'block'",
    "reversal": f"{_TXN.format('txn_no')}, {_TXN.format('of_txn_no')}",
    "reversed_move": f"{_TXN.format('txn_no')}, {_TXN.format('of_txn_no')}",
    "key": "r.key_id, 'entry ' || r.entry_no",
    "key_revocation": "r.key_id, 'entry ' || r.entry_no",
    "default_quorum": "'default since', 'entry ' || r.entry_no",
    "signature": "'entry ' || books.signature_entry(r.posting_no, r.place), " + _TXN.format("posting_no"),
    "feed": "r.feed_id",
    "declared_sum": "r.name, 'sum ' || r.sum_no",
    "sum_group": "r.group_values::text, 'group ' || r.group_no, (select name from books.declared_sum d where d.sum_no = r.sum_no)",
    "sum_lot": _LOT.format("lot_no"),
    "sum_total": "(select group_values::text from books.sum_group g where g.group_no = r.group_no), 'group ' || r.group_no",
    "stretch": _LOT.format("lot_no"),
    "term": """case r.what when 'a' then (select account_id from books.account where account_no = r.no)
      when 'f' then (select flavor_id from books.flavor where flavor_no = r.no) else 'tag set ' || r.no end""",
}
"""What a finding may call a row of the table by; one of these is in its place. The end of a block is the beginning of the next."""
WHERE: Final = {
    "account": "r.account_id <> 'world'",
    "lot": "r.amount > 0",
    "feed": "r.txn_no > 0",
    "sum_total": "r.amount > 0",
    "sum_group": "exists (select from books.sum_lot s join books.lot l using (lot_no) where s.group_no = r.group_no and not s.hot and l.amount > 0)",
    "default_quorum": "r.default_no = (select min(default_no) from books.default_quorum)",
}
CHANGED: Final = {
    "bigint": "coalesce({c}, 0) + 1000003",
    "integer": "coalesce({c}, 0) + 1003",
    "smallint": "coalesce({c}, 0) + 33",
    "numeric": "{c} + 1",
    "text": "coalesce({c}, '') || 'x'",
    "boolean": "not {c}",
    "timestamp with time zone": "case when {c} is null or {c} in ('infinity', '-infinity') then '2020-01-01T00:00Z' else {c} - interval '1 year' end",
    "jsonb": "case jsonb_typeof({c}) when 'object' then {c} || '{{\"zz\": 1}}' else {c} || '[1]' end",
    "bytea": "set_byte({c}, 0, 255 - get_byte({c}, 0))",
    '"char"': "case {c} when 'a' then 'f' when 'i' then 't' when 'f' then 'a' else 'i' end",
    "_text": "{c} || array['x']",
    "_int8": "{c} || 999999::bigint",
    "pg_snapshot": "'1:1:'",
}
"""Another value of the type."""
Owner = psycopg.Connection[Any]


@pytest.fixture
def owner(database: Database, migrated_dsn: str) -> Iterator[Owner]:
    """The owner of books with everything in them, whom neither trigger nor check stops."""
    everything(in_postgresql(database))
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = 'replica'")
        checks = connection.execute(
            "select conrelid::regclass::text, conname from pg_constraint c join pg_class t on t.oid = conrelid"
            " where contype = 'c' and t.relnamespace = 'books'::regnamespace"
        ).fetchall()
        for table, name in checks:
            connection.execute(f"alter table {table} drop constraint {name}")
        connection.execute("drop policy overdraft on books.lot")
        connection.execute("drop policy sound on books.move")
        for table, name in connection.execute(
            "select attrelid::regclass::text, attname from pg_attribute a join pg_class t on t.oid = attrelid"
            " where attidentity = 'a' and relnamespace = 'books'::regnamespace"
        ).fetchall():
            connection.execute(f"alter table {table} alter column {name} drop identity")
        yield connection


def columns(owner: Owner) -> Sequence[tuple[str, str, str]]:
    return owner.execute(
        """select table_name, column_name, case data_type when 'ARRAY' then udt_name else data_type end
           from information_schema.columns join information_schema.tables using (table_schema, table_name)
           where table_schema = 'books' and table_type = 'BASE TABLE' order by table_name, ordinal_position"""
    ).fetchall()


def test_whatever_cell_is_changed_a_finding_names_its_row(owner: Owner, database: Database) -> None:
    check = AuroraChecker(database)
    assert list(check.differences(T)) == []
    unnoticed, unnamed, looked_at = [], [], []
    for table, column, type_ in columns(owner):
        name = f"{table}.{column}"
        row = owner.execute(
            f"""select r.ctid, array[{NAMES[table]}]::text[], to_jsonb(r) from books.{table} r
                where {WHERE.get(table, "true")} order by r.{column} is null, md5(r.ctid::text) limit 1"""
        ).fetchone()
        assert row is not None, f"there is something of {table}"
        found, is_other = _changed(owner, check, table, column, CHANGED[type_].format(c=column), row[0])
        assert is_other, f"{name} was changed"
        looked_at.append(name)
        if name in NOT_DERIVED:
            continue
        if not found:
            unnoticed.append(name)
        elif not any(known in one.place for one in found for known in row[1] if known):
            unnamed.append((name, row[1], [(one.code, one.place[:300]) for one in found[:3]]))
    assert not unnoticed, unnoticed
    assert not unnamed, unnamed
    assert NOT_DERIVED.keys() <= set(looked_at)
    assert list(check.differences(T)) == [], "all of it was put back"


def _changed(owner: Owner, check: AuroraChecker, table: str, column: str, other: str, ctid: str) -> tuple[list[Difference], bool]:
    """What the checker finds while the cell is changed, and whether it was."""
    with owner.transaction():
        [was] = owner.execute(f"select {column}::text from books.{table} where ctid = %s", [ctid]).fetchone() or [None]
        owner.execute(f"create temporary table kept as select {column} as it from books.{table} where ctid = %s", [ctid])
        [is_, now] = owner.execute(f"update books.{table} set {column} = {other} where ctid = %s returning {column}::text, ctid", [ctid]).fetchone() or [
            None,
            None,
        ]
    try:
        found = list(check.differences(T))
    except Exception as error:
        found = [Difference("LOT_AMOUNT", f"BROKE {error!r}", "", "")]
    owner.execute(f"update books.{table} set {column} = (select it from kept) where ctid = %s", [now])
    owner.execute("drop table kept")
    return found, was != is_
