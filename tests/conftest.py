"""A real PostgreSQL for the tests that ask for one: one server a run, migrated once, a fresh database for each test."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database

from infra.local import postgres as local_postgres

_MEMORY, _ENOUGH = Path("/dev/shm"), 2 << 30
TEMPLATE = f"bourse_template_{os.getpid()}"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class FreshDatabase:
    """A migrated database of one test: its owner's DSN, and that of the role functions connect as."""

    migrated_dsn: str
    app_dsn: str


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where processes share the tests, one has the local stack and the templates, which take long to make; and what takes longest comes first."""
    here = Path(__file__).parent
    first = {here / name: number for number, name in enumerate(("local", "infra", "trading", "matching"))}
    for item in items:
        if item.path.is_relative_to(here / "local") or item.path.is_relative_to(here / "infra"):
            item.add_marker(pytest.mark.xdist_group("stack"))
    items.sort(key=lambda item: next((number for folder, number in first.items() if item.path.is_relative_to(folder)), len(first)))


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
