"""The ledger's API for its tests: on the books in memory and in PostgreSQL alike, and behind a real HTTP server."""

from collections.abc import Iterator

import pytest
from bourse.aws.postgres import Database

from tests.functions.api import Apis
from tests.functions.ledger_server import Server, serving


@pytest.fixture(params=["memory", "aurora"])
def stored(request: pytest.FixtureRequest) -> Iterator[Apis]:
    """The APIs over empty books of either kind."""
    database = Database(request.getfixturevalue("fresh_database").app_dsn) if request.param == "aurora" else None
    yield Apis.on(database)
    if database:
        database.close()


@pytest.fixture
def server(stored: Apis) -> Iterator[Server]:
    """The same behind HTTP."""
    with serving(stored) as made:
        yield made
