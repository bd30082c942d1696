"""Brings the local stack up and describes it in stack.json; done twice, the second time changes nothing.

A stack that was killed starts empty: its leftovers are found and stopped first.
"""

import fcntl
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final
from urllib.parse import urlsplit

from demo.book import ORIGINATORS
from demo.parties import INVESTORS
from infra.local import down, emulator, postgres, synth
from infra.local.deploy import deploy
from infra.local.stack import REGION, ROOT, Home, Stack, client

Tell = Callable[[str], object]
TENANT: Final = "demo"
_TOKEN_LIFETIME: Final = timedelta(days=30)


def up(home: Home, tell: Tell, *, lasting: bool = False) -> Stack:
    """The stack of this home, running and of the present code: the one that is there, or a new one.

    What is in a lasting one outlives its processes, which may be killed and started again: its database is always its own.
    """
    with _alone(home):
        stack = Stack.read(home)
        if (
            stack
            and stack.assembly == f"local-{synth.digest()}"
            and emulator.running(home)
            and emulator.answers(stack.aws_endpoint)
            and _accepts(stack.postgres)
        ):
            tell(f"local stack: already up at {stack.aws_endpoint}")
            return stack
        if down.down(home):
            tell("local stack: stopped what was left of an earlier one")
        for left in (home.kept, home.s3):
            shutil.rmtree(left, ignore_errors=True)
        return _start(home, tell, lasting=lasting)


def _start(home: Home, tell: Tell, *, lasting: bool) -> Stack:
    began = time.monotonic()
    tell("local stack: starting PostgreSQL and the AWS emulator, synthesising the templates (cached)")
    with ThreadPoolExecutor(3) as pool:
        assembly = pool.submit(synth.assembly, "local")
        endpoint = pool.submit(emulator.start, home, emulator.free_port(), lasting=lasting)
        database = _database(home, own=lasting)
        tell(f"  {urlsplit(database['owner']).path[1:]}: migrated")
        folder = assembly.result()
    tell(f"  templates and servers: {time.monotonic() - began:.1f} s")
    deploy(folder, endpoint.result(), {"DatabaseUrl": database["app"]}, tell)
    stack = _describe(endpoint.result(), database["owner"], folder.name)
    stack.save(home)
    tell(f"local stack: up in {time.monotonic() - began:.1f} s, described in {home.description}")
    return stack


def _database(home: Home, *, own: bool) -> dict[str, str]:
    """A new, migrated database on a server of our own, or on the one DATABASE_URL names: DSNs of its owner and of the functions."""
    from bourse.aws.migrate import migrate

    server = postgres.start(home.postgres, durable=False, binaries=postgres.find_binaries() if own else None)
    name = f"bourse_{blake2b(str(home.folder).encode(), digest_size=4).hexdigest()}"
    server.run("drop database if exists {} with (force)", name)
    server.run("create database {}", name)
    migrate(server.dsn(name))
    server.let_in("bourse_app")
    return {"owner": server.dsn(name), "app": server.dsn(name, "bourse_app")}


def _describe(endpoint: str, dsn: str, assembly: str) -> Stack:
    """Find what was deployed by its names, and sign the first tokens."""
    apis = {_audience(api["Name"]): f"{endpoint}/_aws/execute-api/{api['ApiId']}" for api in client("apigatewayv2", endpoint).get_apis()["Items"]}
    return Stack(
        aws_endpoint=endpoint,
        region=REGION,
        originator_api=apis["originator"],
        investor_api=apis["investor"],
        operator_api=apis["operator"],
        postgres=dsn,
        tokens=tokens_of(endpoint, TENANT),
        assembly=assembly,
        functions=_functions(endpoint),
        queues=_queues(endpoint),
    )


def tokens_of(endpoint: str, tenant_id: str) -> dict[str, str]:
    """Tokens of a tenant's operator and of the demo's parties in it, signed with the stack's own key as the operator's API would sign them."""
    from bourse.aws.tokens import Caller, issue

    secrets = client("secretsmanager", endpoint)
    keys = secrets.get_secret_value(SecretId="bourse-local-token-key")["SecretString"]
    callers = {"operator": Caller(tenant_id, "demo-operator", "operator")}
    callers |= {one.originator_id: Caller(tenant_id, one.originator_id, "originator") for one in ORIGINATORS}
    callers |= {one.investor_id: Caller(tenant_id, one.investor_id, "investor") for one in INVESTORS}
    now = datetime.now(UTC)
    return {name: issue(keys, caller, now, _TOKEN_LIFETIME) for name, caller in callers.items()}


def _functions(endpoint: str) -> dict[str, str]:
    """Name in flow.py (and the functions beside the page) -> deployed name."""
    pages = client("lambda", endpoint).get_paginator("list_functions").paginate()
    deployed = {_plain(function["FunctionName"]): function["FunctionName"] for page in pages for function in page["Functions"]}
    names = sorted(path.name for path in (ROOT / "functions").iterdir() if (path / "handler.py").exists())
    return {name: found for name in names for plain, found in deployed.items() if plain.endswith(name) or f"{name}_" in plain}


def _queues(endpoint: str) -> dict[str, str]:
    """Name in flow.py -> URL; `<name>_dlq` for its dead-letter queue."""
    from bourse import flow

    urls: list[str] = client("sqs", endpoint).list_queues(MaxResults=1000).get("QueueUrls", [])
    found: dict[str, str] = {}
    for url in urls:
        words = _plain(url.rsplit("/", 1)[-1].removesuffix(".fifo")).split("_")
        dead = "_dlq" if {"dlq", "dead"} & set(words) else ""
        found |= {f"{queue.name}{dead}": url for queue in flow.queues() if queue.name in words}
    return found


def _audience(api_name: str) -> str:
    """Whose API this is: bourse-local-originator-api -> originator."""
    return next((word for word in _plain(api_name).split("_") if word in {"originator", "investor", "operator"}), api_name)


def _plain(name: str) -> str:
    """VersionAssets, version-assets and version_assets are the same name."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()


def _accepts(dsn: str) -> bool:
    import psycopg

    try:
        with psycopg.connect(dsn, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """One `up` of a home at a time; a second one waits and then finds the stack up."""
    with home.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        running = up(Home.from_env(), lambda line: print(line, flush=True))
    except Exception as error:
        sys.exit(f"local stack: {error}")
    for name in ("originator_api", "investor_api", "operator_api", "aws_endpoint"):
        print(f"  {name:<15} {getattr(running, name)}")
