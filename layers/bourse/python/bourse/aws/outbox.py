"""The outbox of API commands: what a command said is in its own transaction; after the commit it is sent, or else relayed."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, Final, LiteralString

from bourse import flow
from bourse.aws.postgres import Database
from bourse.aws.report import Report
from bourse.aws.sqs import SqsQueues
from bourse.message import Envelope
from bourse.queues import Queues

_logger: Final = logging.getLogger(__name__)
_ALL_TENANTS: Final = "*"
_BATCH: Final = 100
_DUE: Final[LiteralString] = """
    select message_id, body from foundation.outbox where created_at < now() - make_interval(secs => %s)
    order by created_at, message_id limit %s for update skip locked"""
_DONE: Final[LiteralString] = "delete from foundation.outbox where message_id = any(%s)"


def relay(database: Database, queues: Queues, tenant_id: str, older_than_seconds: int) -> int:
    """Send what waits in the tenant's outbox ('*': everybody's) for so long, oldest first, and remove it; returns how many.

    A message is removed only after the queue took it; a crash between sends it again, under the same id.
    """
    sent = 0
    while True:
        with database.transaction(tenant_id) as cursor:
            rows = cursor.execute(_DUE, [older_than_seconds, _BATCH]).fetchall()
            queues.send([Envelope(row[1]).read(flow.messages()) for row in rows])
            if rows:
                cursor.execute(_DONE, [[row[0] for row in rows]])
        sent += len(rows)
        if len(rows) < _BATCH:
            return sent


def outbox_relay(
    database: Callable[[], Database], queues: Callable[[], Queues] = SqsQueues.from_env, older_than_seconds: int = 10
) -> Callable[..., dict[str, int]]:
    """A handler for a schedule: relays what commands could not send themselves."""
    the_database, the_queues = cache(database), cache(queues)

    def handle(_event: dict[str, Any], context: Any) -> dict[str, int]:
        report = Report(context.function_name, context.aws_request_id)
        sent = relay(the_database(), the_queues(), _ALL_TENANTS, older_than_seconds)
        report.count([("outbox_relayed", sent)])
        report.note(said=sent)
        report.write()
        return {"sent": sent}

    return handle


def flusher(database: Callable[[], Database], queues: Callable[[], Queues]) -> Callable[[str], None]:
    """Sends what a command of the tenant just said. A failure is not the caller's: the row stays, and the relay sends it."""

    def flush(tenant_id: str) -> None:
        try:
            relay(database(), queues(), tenant_id, 0)
        except Exception as error:  # the command is committed and its message is in the outbox: there is nothing to tell the caller
            _logger.warning("left to the relay: %s", type(error).__name__)

    return flush
