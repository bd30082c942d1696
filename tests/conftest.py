"""A real PostgreSQL for the tests that ask for one: one server a run, migrated once, a fresh database for each test."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

import psycopg
import pytest
from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from xdist.scheduler import LoadScopeScheduling

from infra.local import postgres as local_postgres

_MEMORY, _ENOUGH = Path("/dev/shm"), 2 << 30
TEMPLATE = f"bourse_template_{os.getpid()}"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class FreshDatabase:
    """A migrated database of one test: its owner's DSN, and that of the role functions connect as."""

    migrated_dsn: str
    app_dsn: str

    def until_somebody_waits(self) -> None:
        """Come back when a session of this database waits for what another has locked."""
        with psycopg.connect(self.migrated_dsn, autocommit=True) as watcher:
            for _ in range(6_000):
                if watcher.execute("select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()").fetchone():
                    return
                sleep(0.01)  # PostgreSQL tells nobody that a session begins to wait: one can only look
        raise AssertionError("nobody waited")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """How processes share the tests: one by one, but one process has all that need the local stack or the templates, which take long to make."""

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "stack" if nodeid.startswith(("tests/local/", "tests/infra/")) else nodeid

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process waits for it at the end."""
    items.sort(key=lambda item: item.path.parent.name not in {"trading", "matching"})


def _memory() -> Path | None:
    """A file system in memory with room, if there is one: a thousand small databases are made and dropped, each of a thousand files."""
    try:
        return _MEMORY if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ENOUGH else None
    except OSError:
        return None


@pytest.fixture(scope="session")
def postgres() -> Iterator[local_postgres.Server]:
    """The server, with a template database that every migration was applied to."""
    home = Path(tempfile.mkdtemp(prefix="bourse-postgres-", dir=_memory()))
    server = local_postgres.start(home, durable=False)
    try:
        server.run("create database {}", TEMPLATE)
        migrate(server.dsn(TEMPLATE))
        server.let_in("bourse_app")
        yield server
    finally:
        if server.home:
            local_postgres.stop(home)
        else:
            server.run("drop database if exists {} with (force)", TEMPLATE)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def fresh_database(postgres: local_postgres.Server) -> Iterator[FreshDatabase]:
    """A copy of the template: about 20 ms, and nothing of another test in it."""
    name = f"bourse_test_{os.getpid()}_{next(_numbers)}"
    postgres.run("create database {} template {} strategy file_copy", name, TEMPLATE)
    yield FreshDatabase(postgres.dsn(name), postgres.dsn(name, "bourse_app"))
    postgres.run("drop database {} with (force)", name)


@pytest.fixture
def migrated_dsn(fresh_database: FreshDatabase) -> str:
    """The owner's DSN of this test's database."""
    return fresh_database.migrated_dsn


@pytest.fixture
def app_dsn(fresh_database: FreshDatabase) -> str:
    """The DSN of this test's database for the role bourse_app."""
    return fresh_database.app_dsn


@pytest.fixture
def database(app_dsn: str) -> Iterator[Database]:
    """This test's database as functions reach it."""
    opened = Database(app_dsn)
    yield opened
    opened.close()
