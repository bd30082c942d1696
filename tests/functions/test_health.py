"""The health of an API is that of the database behind it, and of the schema in it."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from bourse.aws.api import VERSION, Api
from bourse.aws.health import with_health
from bourse.aws.migrate import migrations
from bourse.aws.postgres import Database

from tests.functions.api import CONTEXT, event

ROOT = Path(__file__).resolve().parents[2]
CALLER = {"tenant": "t1", "party": "ops", "audience": "operator"}


def health(database: Database, **caller: str) -> tuple[int, str]:
    api = Api("operator")
    answer = with_health(api, lambda: database)(event("GET", "/v1/health", caller=CALLER | caller), CONTEXT)
    return answer["statusCode"], answer["body"]


def test_a_database_that_answers_at_the_codes_schema_is_healthy(database: Database) -> None:
    status, body = health(database)
    assert (status, json.loads(body)) == (200, {"status": "ok", "version": VERSION, "schema_version": migrations()[-1].name})


def test_a_token_for_another_audience_learns_nothing(database: Database) -> None:
    assert health(database, audience="investor")[0] == 404


@pytest.mark.parametrize("audience", ["originator", "investor", "operator"])
def test_the_deployed_handlers_tell_their_health(audience: str, app_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler as the folder has it, on the database its environment names."""
    monkeypatch.setenv("DATABASE_URL", app_dsn)
    spec = spec_from_file_location(f"{audience}_handler", ROOT / "functions" / f"{audience}_api" / "handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    answer = module.handler(event("GET", "/v1/health", caller=CALLER | {"audience": audience}), CONTEXT)
    module.database().close()
    assert (answer["statusCode"], json.loads(answer["body"])["schema_version"]) == (200, migrations()[-1].name)


def test_a_schema_older_than_the_code_is_not(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = migrations()[-1].__class__("9999_to_come", "")
    monkeypatch.setattr("bourse.aws.health.migrations", lambda: (*migrations(), newer))
    status, body = health(database)
    assert (status, "SCHEMA_OLD" in body, "9999_to_come" in body) == (503, True, True)


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    status, body = health(Database("postgresql://nobody@127.0.0.1:1/none"))
    assert (status, "UNAVAILABLE" in body) == (503, True)
