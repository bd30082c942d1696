"""What the tests of the deployed stack share: a tenant with its market, files to send, and the processes to kill."""

import gzip
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import bson
import psycopg

from demo.api import Api, request, upload
from demo.book import DAY_0, ORIGINATORS, Loan, Originator, load, records
from demo.market import Market, Upload
from demo.watch import Progress, settle_down
from infra.local.stack import Home, Stack, client
from infra.local.up import tokens_of

HARBOR, PRAIRIE = ORIGINATORS
GIVE_UP_SECONDS = 60.0


@dataclass(frozen=True)
class World:
    """One tenant on the stack."""

    tenant_id: str
    home: Home
    shared: Stack
    folder: Path

    @cached_property
    def stack(self) -> Stack:
        """The stack, seen with this tenant's tokens."""
        return replace(self.shared, tokens=tokens_of(self.shared.aws_endpoint, self.tenant_id))

    @cached_property
    def market(self) -> Market:
        return Market(self.stack)

    def api(self, audience: str, party: str) -> Api:
        """An API of the stack for a party of this tenant."""
        return Api(getattr(self.stack, f"{audience}_api"), self.stack.tokens[party])

    def send(self, originator: Originator, documents: Iterable[dict[str, Any]]) -> Upload:
        """Send these records as one file of the originator."""
        return self.send_octets(originator, b"".join(map(bson.encode, documents)))

    def send_octets(self, originator: Originator, octets: bytes) -> Upload:
        """Send these octets as they are, compressed if the originator does that."""
        packed = gzip.compress(octets) if originator.suffix == ".bson.gz" else octets
        slot = self.slot(originator, compressed=originator.suffix == ".bson.gz")
        assert self.put(slot, packed) in {200, 204}
        return Upload(originator.originator_id, slot["upload_id"])

    def slot(self, originator: Originator = HARBOR, **asked: Any) -> dict[str, Any]:
        """An upload slot with the request to make."""
        slot: dict[str, Any] = self.api("originator", originator.originator_id).post("/v1/uploads", asked)
        return slot

    def put(self, slot: dict[str, Any], octets: bytes) -> int:
        """Make the slot's request with these octets: the store's status."""
        file = self.folder / "octets"
        file.write_bytes(octets)
        return upload(slot, file)

    def settle(self, *sent: Upload, show: Callable[[Progress], object] = lambda _: None) -> Progress:
        """Wait until nothing moves any more."""
        return settle_down(self.market, self.stack, sent, show, GIVE_UP_SECONDS)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database as its administrator; `%(tenant)s` is this tenant."""
        with psycopg.connect(self.stack.postgres) as connection:
            return connection.execute(statement, {"tenant": self.tenant_id}).fetchall()

    def sold(self) -> dict[str, int]:
        """Loan -> principal settled, in minor units."""
        rows = self.query("select loan_id, sum(principal)::bigint from ledger.bid where tenant_id = %(tenant)s and outcome = 'settled' group by 1")
        return dict(rows)

    def versions(self) -> Counter[str]:
        """Loan -> how many versions of it are kept."""
        kept: Counter[str] = Counter()
        pages = client("dynamodb", self.stack.aws_endpoint).get_paginator("scan").paginate(TableName="bourse-local-versions", ProjectionExpression="pk, sk")
        for item in (item for page in pages for item in page["Items"]):
            kind, tenant_id, _, loan_id = item["pk"]["S"].split("#")
            if tenant_id == self.tenant_id and kind == "A" and item["sk"]["S"].startswith("v#"):
                kept[loan_id] += 1
        return kept


def book(count: int, originator: Originator | None = None) -> list[Loan]:
    """Loans of the demo that are there on day 0, of one originator or of both."""
    loans = [loan for loan in load(count) if not loan.arrives_later]
    return [loan for loan in loans if originator is None or loan.originator is originator]


def documents(loans: Sequence[Loan], originator: Originator, day: date = DAY_0) -> list[dict[str, Any]]:
    """The originator's file of that day, the flawed records included."""
    return list(records((loan for loan in loans if loan.originator is originator), day))


def get(url: str) -> tuple[int, bytes]:
    """A request without a token."""
    return request("GET", url, None, {})


def workers(home: Home, function: str = "") -> list[int]:
    """The processes that run a deployed function, or all of them, for the emulator of this home."""
    wanted = f"{home.folder}/tmp/ministack-lambda-{function and f'{function}-'}"
    listed = subprocess.run(["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=False) if not Path("/proc/self").exists() else None
    if listed:
        return [int(line.split()[0]) for line in listed.stdout.splitlines() if wanted in line]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if wanted in command:
                found.append(int(entry.name))
    return found


def kill_workers(home: Home, function: str = "") -> int:
    """Kill them, as a machine that goes away would; how many there were."""
    killed = 0
    for pid in workers(home, function):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed += 1
    return killed


def hide_for(stack: Stack, seconds: int) -> None:
    """How long a message whose worker died stays hidden: on AWS six times the time-out, in a test a moment."""
    sqs = client("sqs", stack.aws_endpoint)
    for name, url in stack.queues.items():
        if not name.endswith("_dlq"):
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(seconds)})
