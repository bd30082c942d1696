"""The health of an API: does what stands behind it answer, and is the schema the one that this code was written for."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Final, LiteralString

from pydantic import BaseModel, Field

from bourse.aws.api import VERSION, Api, problem
from bourse.aws.migrate import migrations
from bourse.aws.postgres import Database
from bourse.errors import Unavailable

_APPLIED: Final[LiteralString] = "select name from foundation.migration order by name desc limit 1"


class SchemaOld(Unavailable):
    """The database waits for its migrations."""


class Health(BaseModel):
    """What answers, and in which version."""

    status: Annotated[str, Field(examples=["ok"])] = "ok"
    version: str = VERSION
    schema_version: Annotated[str, Field(description="The newest migration that was applied")]


def schema_version(database: Database, tenant_id: str) -> str:
    """The newest migration of the database. Raises Unavailable when it does not answer, SchemaOld when the code needs a newer one."""
    with database.transaction(tenant_id) as cursor:
        row = cursor.execute(_APPLIED).fetchone()
    applied, needed = (str(row[0]) if row else ""), migrations()[-1].name
    if applied < needed:
        raise SchemaOld(f"the schema is at {applied or 'nothing'}, the code needs {needed}: run migrate")
    return applied


def with_health(api: Api, database: Callable[[], Database]) -> Api:
    """The API with `GET /v1/health`, for whoever may use it."""
    api.app.exception_handler(SchemaOld)(lambda error: problem(HTTPStatus.SERVICE_UNAVAILABLE, "SCHEMA_OLD", str(error)))

    @api.app.get("/v1/health", summary="Whether everything behind this API answers", tags=["health"])
    def health() -> Health:
        return Health(schema_version=schema_version(database(), api.caller().tenant_id))

    return api
