"""The health of an API is that of the database behind it, and of the schema in it."""

from collections.abc import Iterator

import pytest
from bourse.aws.api import Api
from bourse.aws.health import with_health
from bourse.aws.migrate import migrations
from bourse.aws.postgres import Database

from tests.conftest import FreshDatabase
from tests.functions.api import CONTEXT, event

CALLER = {"tenant": "t1", "party": "ops", "audience": "operator"}


@pytest.fixture
def database(fresh_database: FreshDatabase) -> Iterator[Database]:
    made = Database(fresh_database.app_dsn)
    yield made
    made.close()


def health(database: Database) -> tuple[int, str]:
    api = Api("operator")
    answer = with_health(api, lambda: database)(event("GET", "/v1/health", caller=CALLER), CONTEXT)
    return answer["statusCode"], answer["body"]


def test_a_database_that_answers_at_the_codes_schema_is_healthy(database: Database) -> None:
    status, body = health(database)
    assert (status, migrations()[-1].name in body) == (200, True)


def test_a_schema_older_than_the_code_is_not(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = migrations()[-1].__class__("9999_to_come", "")
    monkeypatch.setattr("bourse.aws.health.migrations", lambda: (*migrations(), newer))
    status, body = health(database)
    assert (status, "SCHEMA_OLD" in body, "9999_to_come" in body) == (503, True, True)


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    status, body = health(Database("postgresql://nobody@127.0.0.1:1/none"))
    assert (status, "UNAVAILABLE" in body) == (503, True)
