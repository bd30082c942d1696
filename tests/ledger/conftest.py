"""The keepers of the ledger the contract tests run against."""

from collections.abc import Iterator

import pytest
from bourse.aws.postgres import Database
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books
from bourse.ledger.memory_books import MemoryBooks

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import CLOCK
from tests.ledger.builders import AuroraKeeper, Keeper, MemoryKeeper


@pytest.fixture
def aurora(fresh_database: FreshDatabase) -> Iterator[AuroraKeeper]:
    """The ledger on a PostgreSQL of this test's own."""
    keeper = AuroraKeeper(fresh_database.app_dsn, fresh_database.migrated_dsn)
    yield keeper
    keeper.close()


@pytest.fixture
def elsewhere(fresh_database: FreshDatabase) -> Iterator[AuroraBooks]:
    """The same books in another environment, which remembers what it read."""
    other = Database(fresh_database.app_dsn)
    yield AuroraBooks(other)
    other.close()


@pytest.fixture(params=["memory", "aurora"])
def keeper(request: pytest.FixtureRequest) -> Keeper:
    """Each keeper in turn."""
    found: Keeper = MemoryKeeper() if request.param == "memory" else request.getfixturevalue("aurora")
    return found


@pytest.fixture(params=["memory", "aurora"])
def empty_books(request: pytest.FixtureRequest) -> Iterator[Books]:
    """Books of either kind in which nothing is."""
    if request.param == "memory":
        yield MemoryBooks(CLOCK)
        return
    database = Database(request.getfixturevalue("fresh_database").app_dsn)
    yield AuroraBooks(database)
    database.close()
