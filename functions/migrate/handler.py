"""Deployment -> [PostgreSQL] applies the migrations of this release; as a custom resource or invoked by hand."""

from typing import Any

from bourse.aws.migrate import migrate
from bourse.aws.postgres import conninfo_from_env


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Answers with the names applied now. Deleting the resource removes nothing: a schema outlives its deployment."""
    if event.get("RequestType") == "Delete":
        return {"PhysicalResourceId": event["PhysicalResourceId"]}
    lines: list[str] = []
    applied = migrate(conninfo_from_env(), lines.append)
    return {"PhysicalResourceId": "bourse-schema", "Data": {"applied": ", ".join(applied), "said": "; ".join(lines)}}
