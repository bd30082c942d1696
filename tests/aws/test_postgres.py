"""The database as functions reach it: transactions of a tenant, rows of that tenant only, and connections that break."""

from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest
from bourse.aws import migrate as migrating
from bourse.aws.migrate import Migration, MigrationError, migrate, migrations
from bourse.aws.postgres import Database, conninfo_from_env, say
from bourse.errors import Unavailable
from bourse.message import decode
from bourse.trading.events import BalancesChanged

from infra.local import postgres as local_postgres


def _changed(tenant_id: str = "t1", number: int = 1) -> BalancesChanged:
    return BalancesChanged(message_id=f"msg_{number}", tenant_id=tenant_id, correlation_id="c", portfolio_id="por_1", window=1)


def _waiting(database: Database, tenant_id: str) -> list[str]:
    with database.transaction(tenant_id) as cursor:
        return [row[0] for row in cursor.execute("select message_id from foundation.outbox order by 1")]


def test_what_a_transaction_wrote_is_there_after_it_and_what_a_failed_one_wrote_is_not(database: Database) -> None:
    with database.transaction("t1") as cursor:
        say(cursor, [_changed(number=1)])
    with pytest.raises(psycopg.errors.DivisionByZero):
        _say_and_run(database, "select 1 / 0")
    assert _waiting(database, "t1") == ["msg_1"]


def test_a_tenant_sees_and_writes_its_own_rows_only(database: Database) -> None:
    with database.transaction("t1") as cursor:
        say(cursor, [_changed("t1")])
    assert _waiting(database, "t2") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.transaction("t2") as cursor:
        say(cursor, [_changed("t1", number=2)])


def test_a_session_without_a_tenant_sees_nothing_also_after_one_that_had_one(app_dsn: str, database: Database) -> None:
    with database.transaction("t1") as cursor:
        say(cursor, [_changed()])
    with psycopg.connect(app_dsn, autocommit=True) as bare:
        assert bare.execute("select count(*) from foundation.outbox").fetchone() == (0,)
        with bare.transaction():
            bare.execute("select set_config('app.tenant', 't1', true)")
            assert bare.execute("select count(*) from foundation.outbox").fetchone() == (1,)
        assert bare.execute("select count(*) from foundation.outbox").fetchone() == (0,)


def test_the_relay_sees_the_outbox_of_every_tenant_and_can_delete_from_it(database: Database) -> None:
    for tenant_id in ("t1", "t2"):
        with database.transaction(tenant_id) as cursor:
            say(cursor, [_changed(tenant_id)])
    with database.transaction("*") as cursor:
        rows = cursor.execute("select tenant_id, message_id, body from foundation.outbox order by 1 for update skip locked").fetchall()
        assert [decode(body, BalancesChanged).tenant_id for _, _, body in rows] == ["t1", "t2"]
        cursor.execute("delete from foundation.outbox where tenant_id = 't1'")
    assert _waiting(database, "t1") == []
    assert _waiting(database, "t2") == ["msg_1"]


def test_a_message_said_twice_waits_once(database: Database) -> None:
    for _ in range(2):
        with database.transaction("t1") as cursor:
            say(cursor, [_changed()])
    assert _waiting(database, "t1") == ["msg_1"]


def test_a_connection_that_died_idle_is_replaced_without_a_word(database: Database, migrated_dsn: str) -> None:
    with database.transaction("t1") as cursor:
        pid = cursor.connection.info.backend_pid
    _kill(migrated_dsn, pid)
    assert _waiting(database, "t1") == []


def test_a_call_on_a_connection_that_died_idle_is_done_again_only_where_it_may_be(database: Database, migrated_dsn: str) -> None:
    asked = ["t1", '{"accounts": [["ann", {}, 0, false]], "flavors": [], "tagsets": []}']
    for again in (True, False):
        with database.transaction("t1") as cursor:
            pid = cursor.connection.info.backend_pid
        _kill(migrated_dsn, pid)
        if again:
            assert '"ann"' in database.call("books.open_missing", asked, again=True)
        else:
            with pytest.raises(Unavailable):
                database.call("books.open_missing", asked)


def test_a_connection_that_dies_inside_a_transaction_is_unavailable_and_leaves_nothing(database: Database, migrated_dsn: str) -> None:
    with pytest.raises(Unavailable, match="AdminShutdown"):
        _say_and_run(database, "select 1", killed_by=migrated_dsn)
    assert _waiting(database, "t1") == []


def test_a_connection_that_dies_before_the_commit_is_unavailable(database: Database, migrated_dsn: str) -> None:
    with pytest.raises(Unavailable):
        _say_and_run(database, None, killed_by=migrated_dsn)
    assert _waiting(database, "t1") == []


def test_a_database_that_is_not_there_is_unavailable() -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable), nowhere.transaction("t1"):
        pass


def test_fractions_in_stored_json_are_exact(database: Database) -> None:
    with database.transaction("t1") as cursor:
        row = cursor.execute("""select '{"rate": 0.1}'::jsonb""").fetchone()
    assert row is not None
    assert repr(row[0]) == "{'rate': Decimal('0.1')}"


def _say_and_run(database: Database, statement: LiteralString | None, killed_by: str | None = None) -> None:
    """One transaction: a message is said, the connection is killed, a statement is run."""
    with database.transaction("t1") as cursor:
        say(cursor, [_changed(number=2)])
        if killed_by:
            _kill(killed_by, cursor.connection.info.backend_pid)
        if statement:
            cursor.execute(statement)


def _kill(dsn: str, pid: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as other:
        assert other.execute("select pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)


def test_the_role_of_the_functions_passes_no_security_and_owns_nothing(migrated_dsn: str) -> None:
    with psycopg.connect(migrated_dsn) as owner:
        assert owner.execute("select rolsuper, rolbypassrls, rolcreaterole from pg_roles where rolname = 'bourse_app'").fetchone() == (False, False, False)
        assert owner.execute("select count(*) from pg_class join pg_roles r on r.oid = relowner where rolname = 'bourse_app'").fetchone() == (0,)


def test_every_table_that_names_a_tenant_is_isolated(migrated_dsn: str) -> None:
    with psycopg.connect(migrated_dsn) as owner:
        open_tables = owner.execute("""
            select c.oid::regclass::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
            where c.relkind in ('r', 'p') and not (c.relrowsecurity and c.relforcerowsecurity)""").fetchall()
    assert open_tables == []


def test_every_view_that_shows_a_tenant_asks_with_the_rights_of_its_reader(migrated_dsn: str) -> None:
    with psycopg.connect(migrated_dsn) as owner:
        open_views = owner.execute("""
            select c.oid::regclass::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
            where c.relkind = 'v' and not coalesce(c.reloptions @> '{security_invoker=true}', false)""").fetchall()
    assert open_views == []


def test_migrating_twice_applies_nothing_the_second_time(migrated_dsn: str) -> None:
    lines: list[str] = []
    assert migrate(migrated_dsn, lines.append) == ()
    assert lines == [f"0 applied, {len(migrations())} were there already"]


def test_a_migration_that_changed_after_it_was_applied_is_refused_by_name(migrated_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = migrations()
    monkeypatch.setattr(migrating, "migrations", lambda: (Migration(first.name, first.sql + "-- more"), *rest))
    with pytest.raises(MigrationError, match=r"0001_foundation\.sql was applied and has changed"):
        migrate(migrated_dsn)


def test_a_migration_that_fails_leaves_nothing_and_the_run_is_repeated_after_the_repair(migrated_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = migrations()
    broken = Migration("9998_broken", "create table foundation.half (id int); select 1 / 0")
    monkeypatch.setattr(migrating, "migrations", lambda: (*there, broken))
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(migrated_dsn)
    repaired = Migration("9998_broken", "create table foundation.half (id int)")
    monkeypatch.setattr(migrating, "migrations", lambda: (*there, repaired))
    assert migrate(migrated_dsn) == ("9998_broken",)


def test_a_database_ahead_of_the_release_is_left_as_it_is(migrated_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    *older, newest = migrations()
    monkeypatch.setattr(migrating, "migrations", lambda: tuple(older))
    lines: list[str] = []
    assert migrate(migrated_dsn, lines.append) == ()
    assert f"{newest.name}: applied by a newer release, left as it is" in lines


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere/bourse")
    assert conninfo_from_env() == "postgresql://somewhere/bourse"


def test_on_aws_the_password_is_a_token_and_the_line_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for name, value in {"DATABASE_HOST": "db.example", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}.items():
        monkeypatch.setenv(name, value)
    conninfo = conninfo_from_env()
    assert "host=db.example" in conninfo
    assert "user=bourse_app" in conninfo
    assert "sslmode=require" in conninfo
    assert "X-Amz-Signature" in conninfo


@pytest.mark.parametrize("wheel", [False, True], ids=["the system's", "the wheel's"])
def test_a_local_server_keeps_its_data_over_a_restart(tmp_path: Path, wheel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if wheel:
        monkeypatch.setattr("shutil.which", lambda _: None)
        monkeypatch.setattr(Path, "glob", _without_system_folders(Path.glob))
    binaries = local_postgres.find_binaries()
    assert ("site-packages" in str(binaries)) == wheel
    server = local_postgres.start(tmp_path, durable=False)
    try:
        server.run("create database {}", "kept")
    finally:
        local_postgres.stop(tmp_path)
    server = local_postgres.start(tmp_path, durable=False)
    try:
        assert ("kept",) in server.run("select datname::text from pg_database")
    finally:
        local_postgres.stop(tmp_path)


def test_what_was_committed_outlives_a_crash_of_the_local_server_and_its_clients_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    server = local_postgres.start(tmp_path, durable=False)
    try:
        server.run("create table kept (number int)")
        kept = Database(server.url)
        with kept.transaction("t") as cursor:
            cursor.execute("insert into kept values (1)")
        local_postgres.stop(tmp_path, crash=True)
        with pytest.raises(Unavailable), kept.transaction("t") as cursor:
            cursor.execute("select 1")
        assert local_postgres.start(tmp_path, durable=False, port=urlsplit(server.url).port) == server
        with kept.transaction("t") as cursor:
            assert cursor.execute("select number from kept").fetchall() == [(1,)]
        kept.close()
    finally:
        local_postgres.stop(tmp_path)


def _without_system_folders(glob):
    return lambda self, pattern: iter(()) if str(self).startswith("/usr/lib") else glob(self, pattern)


def test_the_migrations_need_no_superuser_as_there_is_none_on_aurora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    server = local_postgres.start(tmp_path, durable=False)
    try:
        server.run("create role rds_iam")
        server.run("create role boss login createrole createdb nosuperuser")
        server.run("grant rds_iam to boss with admin option")
        server.let_in("boss")
        server.run("create database shop owner boss")
        assert migrate(server.dsn("shop", "boss")) == tuple(migration.name for migration in migrations())
        assert ("rds_iam",) in server.run(
            "select r.rolname::text from pg_auth_members m join pg_roles r on r.oid = roleid where member = 'bourse_app'::regrole"
        )
    finally:
        local_postgres.stop(tmp_path)
