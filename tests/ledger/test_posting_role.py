"""Posting runs with the rights of `bourse_books`, which no policy holds back: it keeps to its tenant by itself, whatever numbers it is given."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.ledger.actions import Account, Flavor, Issue, Transaction, Transfer
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_names import Names
from bourse.ledger.aurora_plain import arguments_of
from bourse.ledger.aurora_rows import POST, POST_ONE
from bourse.ledger.books import Question

from infra.local.postgres import Server
from tests.conftest import FreshDatabase

AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
MINE, THEIRS = "t1", "t2"
TAGS = {"source": "bank"}
_MOVE = "insert into books.move select txn_no, seq + 9, action_no, type, {}, dst, {}, tagset_no, effective_at, tenant_id from books.move limit 1"
_UNSOUND = (
    ("overdraft", "update books.lot set amount = -1 where amount > 0"),
    ("overdraft", "update books.lot set held = -1 where amount > 0"),
    ("overdraft", "update books.lot set held = amount + 1 where amount > 0"),
    ("sound", _MOVE.format("src", 0)),
    ("sound", _MOVE.format("dst", 1)),
)
"""What a policy refuses whoever writes, the owner of the tables too."""


@pytest.fixture
def books(database: Database) -> AuroraBooks:
    """Two tenants with the same names and the same money."""
    made = AuroraBooks(database)
    for tenant_id in (MINE, THEIRS):
        made.open_flavor(tenant_id, Flavor("USD"))
        for name in ("a", "b"):
            made.open_account(tenant_id, Account(name))
        made.post(tenant_id, [Transaction("in", (Issue("USD", 100, "a", TAGS), Issue("USD", 100, "b", TAGS)), AT)], AT)
    return made


def _amounts(books: AuroraBooks) -> list[Any]:
    return [(tenant_id, one.account_id, one.amount) for tenant_id in (MINE, THEIRS) for one in books.tokens(tenant_id, Question()).items]


def _known(database: Database, tenant_id: str) -> Names:
    names = Names()
    with database.transaction(tenant_id) as cursor:
        names.learn(cursor, tenant_id, ["a", "b", "world"], ["USD"])
    names.tagsets(lambda: database.transaction(tenant_id), tenant_id, [TAGS])
    return names


@pytest.mark.parametrize("one", [True, False], ids=[POST_ONE, POST])
@pytest.mark.parametrize("which", ["source", "destination"])
def test_an_account_of_another_tenant_neither_gives_nor_gets(books: AuroraBooks, database: Database, which: str, one: bool) -> None:
    before = _amounts(books)
    mixed = _known(database, MINE).of(MINE)
    name = {"source": "a", "destination": "b"}[which]
    mixed.accounts[name] = replace(mixed.accounts[name], no=_known(database, THEIRS).of(THEIRS).accounts[name].no)
    asked = [Transaction("steal", (Transfer("USD", 5, "a", "b", token_tags=TAGS),), AT)]
    with pytest.raises(psycopg.Error) as refused:
        database.call(POST_ONE if one else POST, arguments_of(asked, MINE, mixed, 0, one=one, checked=False).arguments)
    assert refused.value.sqlstate in {"BK001", "BK005", "23502"}  # not enough, a lot to be opened, an account that is not there
    assert _amounts(books) == before


def test_lots_of_another_tenant_are_not_posted_to_by_their_number(books: AuroraBooks, database: Database) -> None:
    before = _amounts(books)
    known = _known(database, MINE).of(MINE)
    arguments = arguments_of([Transaction("steal", (Transfer("USD", 5, "a", "b", token_tags=TAGS),), AT)], MINE, known, 0, one=False, checked=False).arguments
    with database.transaction(THEIRS) as cursor:
        theirs = [row[0] for row in cursor.execute("select lot_no from books.lot where amount > 0 order by account_no")]
    arguments[7] = "{" + ",".join(map(str, theirs)) + "}"
    with pytest.raises(psycopg.Error) as refused:
        database.call(POST, arguments)
    assert refused.value.sqlstate == "BK001"
    assert _amounts(books) == before


def test_nobody_logs_in_as_the_role_and_it_owns_nothing_but_the_two_functions(migrated_dsn: str) -> None:
    with psycopg.connect(migrated_dsn) as owner:
        role = owner.execute("select rolcanlogin, rolsuper, rolbypassrls, rolcreaterole from pg_roles where rolname = 'bourse_books'").fetchone()
        functions = owner.execute("""
            select p.oid::regproc::text from pg_proc p join pg_roles r on r.oid = p.proowner where rolname = 'bourse_books' order by 1""").fetchall()
        definers = owner.execute("select p.oid::regproc::text from pg_proc p where prosecdef order by 1").fetchall()
        tables = owner.execute("select count(*) from pg_class join pg_roles r on r.oid = relowner where rolname = 'bourse_books'").fetchone()
        may = owner.execute("select pg_has_role('bourse_app', 'bourse_books', 'member'), has_schema_privilege('bourse_books', 'books', 'create')").fetchone()
    assert role == (False, False, False, False)
    assert functions == [(POST,), (POST_ONE,)]
    assert definers == [("books.note_new_transactions",), (POST,), (POST_ONE,)], "the first is the owner's, and takes nothing"
    assert tables == (0,)
    assert may == (False, False)


def test_an_owner_who_is_no_superuser_migrates_and_functions_post(postgres: Server, fresh_database: FreshDatabase) -> None:
    """As on Aurora, whose administrator may make roles and databases and no more."""
    del fresh_database  # the roles are there already, as in a second database of one server
    administrator, name = "bourse_administrator", "bourse_of_administrator"
    postgres.run("create role {} login createrole createdb", administrator)
    try:
        postgres.let_in("bourse_administrator")
        postgres.run("grant bourse_books, bourse_app to {} with admin option", administrator)
        postgres.run("create database {} owner {}", name, administrator)
        migrate(postgres.dsn(name, administrator))
        database = Database(postgres.dsn(name, "bourse_app"))
        books = AuroraBooks(database)
        books.open_flavor(MINE, Flavor("USD"))
        books.open_account(MINE, Account("a"))
        books.post(MINE, [Transaction("in", (Issue("USD", 100, "a", TAGS),), AT)], AT)
        books.post(MINE, [Transaction(f"in{n}", (Issue("USD", 100, "a", TAGS),), AT) for n in range(3)], AT)
        assert [one.amount for one in books.sum_tokens(MINE, Question("account_id = 'a'"))] == [400]
        database.close()
        with psycopg.connect(postgres.dsn(name, administrator), autocommit=True) as owner:
            owner.execute("select set_config('app.tenant', %s, false)", [MINE])
            for policy, change in _UNSOUND:
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f'policy "{policy}"'):
                    owner.execute(change)
    finally:
        postgres.run("drop database if exists {} with (force)", name)
        postgres.run("drop role {}", administrator)
