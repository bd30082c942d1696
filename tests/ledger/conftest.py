"""The keepers of the ledger the contract tests run against."""

from collections.abc import Iterator

import pytest

from tests.conftest import FreshDatabase
from tests.ledger.builders import AuroraKeeper, Keeper, MemoryKeeper


@pytest.fixture
def aurora(fresh_database: FreshDatabase) -> Iterator[AuroraKeeper]:
    """The ledger on a PostgreSQL of this test's own."""
    keeper = AuroraKeeper(fresh_database.app_dsn, fresh_database.migrated_dsn)
    yield keeper
    keeper.close()


@pytest.fixture(params=["memory", "aurora"])
def keeper(request: pytest.FixtureRequest) -> Keeper:
    """Each keeper in turn."""
    found: Keeper = MemoryKeeper() if request.param == "memory" else request.getfixturevalue("aurora")
    return found
