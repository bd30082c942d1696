"""The outbox of API commands: what a command said is in its own transaction; after the commit it is sent, or else relayed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, LiteralString

from bourse import flow
from bourse.aws.postgres import Database
from bourse.aws.report import Report
from bourse.aws.sqs import SqsQueues
from bourse.errors import Refused
from bourse.message import Envelope
from bourse.queues import Queues

_logger: Final = logging.getLogger(__name__)
_ALL_TENANTS: Final = "*"
_BATCH: Final = 100
_DUE: Final[LiteralString] = """
    select tenant_id, message_id, body from foundation.outbox
    where created_at < now() - make_interval(secs => %s) and (tenant_id, message_id) not in (select * from unnest(%s::text[], %s::text[]))
    order by created_at, message_id limit %s for update skip locked"""
_DONE: Final[LiteralString] = "delete from foundation.outbox where (tenant_id, message_id) in (select * from unnest(%s::text[], %s::text[]))"


@dataclass(frozen=True, slots=True)
class Relayed:
    """How many messages were sent, and how many could not be read: those stay where they are, for somebody to look at."""

    sent: int
    unreadable: int


def relay(database: Database, queues: Queues, tenant_id: str, older_than_seconds: int) -> Relayed:
    """Send what waits in the tenant's outbox ('*': everybody's) for so long, oldest first, and remove it.

    A message is removed only after the queue took it; a crash between sends it again, under the same id. One that cannot be read
    (an older release wrote it, say) holds up no other.
    """
    sent, unreadable = 0, _Keys()
    while True:
        with database.transaction(tenant_id) as cursor:
            rows = cursor.execute(_DUE, [older_than_seconds, unreadable.tenants, unreadable.messages, _BATCH]).fetchall()
            said, done = [], _Keys()
            for tenant, message_id, body in rows:
                try:
                    said.append(Envelope(body).read(flow.messages()))
                except Refused:
                    unreadable.add(tenant, message_id)
                else:
                    done.add(tenant, message_id)
            queues.send(said)
            if said:
                cursor.execute(_DONE, [done.tenants, done.messages])
        sent += len(said)
        if len(rows) < _BATCH:
            return Relayed(sent, len(unreadable.messages))


@dataclass(slots=True)
class _Keys:
    """Keys of outbox rows, as the two columns a statement takes."""

    tenants: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def add(self, tenant_id: str, message_id: str) -> None:
        self.tenants.append(tenant_id)
        self.messages.append(message_id)


def outbox_relay(
    database: Callable[[], Database], queues: Callable[[], Queues] = SqsQueues.from_env, older_than_seconds: int = 10
) -> Callable[..., dict[str, int]]:
    """A handler for a schedule: relays what commands could not send themselves."""
    the_database, the_queues = cache(database), cache(queues)

    def handle(_event: dict[str, Any], context: Any) -> dict[str, int]:
        report = Report(context.function_name, context.aws_request_id)
        relayed = relay(the_database(), the_queues(), _ALL_TENANTS, older_than_seconds)
        report.count([("outbox_relayed", relayed.sent), ("outbox_unreadable", relayed.unreadable)])
        report.note(said=relayed.sent, failed=relayed.unreadable)
        report.write(failed=bool(relayed.unreadable))
        return {"sent": relayed.sent, "unreadable": relayed.unreadable}

    return handle


def flusher(database: Callable[[], Database], queues: Callable[[], Queues]) -> Callable[[str], None]:
    """Sends what a command of the tenant just said. A failure is not the caller's: the row stays, and the relay sends it."""

    def flush(tenant_id: str) -> None:
        try:
            relay(database(), queues(), tenant_id, 0)
        except Exception as error:  # the command is committed and its message is in the outbox: there is nothing to tell the caller
            _logger.warning("left to the relay: %s", type(error).__name__)

    return flush
