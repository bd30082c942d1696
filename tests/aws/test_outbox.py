"""What a command said leaves the outbox once a queue took it: at once, or by the relay; a bad row and a dead queue lose nothing."""

from collections.abc import Iterable
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from bourse.aws.outbox import flusher, outbox_relay, relay
from bourse.aws.postgres import Database, say
from bourse.errors import Unavailable
from bourse.message import Message
from bourse.queues import MemoryQueues
from bourse.trading.events import BalancesChanged, balances_changed

NINE = datetime(2026, 1, 5, 9, tzinfo=UTC)
CONTEXT = SimpleNamespace(function_name="relay_outbox", aws_request_id="r-1")


class DeadQueues:
    """Takes nothing."""

    def send(self, messages: Iterable[Message]) -> None:
        raise Unavailable("the queue is away")


def said(number: int, tenant_id: str = "t1") -> BalancesChanged:
    return balances_changed(tenant_id, "income", "c", NINE, 30, str(number))


def waiting(database: Database, tenant_id: str = "t1") -> int:
    with database.transaction(tenant_id) as cursor:
        row = cursor.execute("select count(*) from foundation.outbox").fetchone()
    return int(row[0]) if row else 0


def command(database: Database, *messages: BalancesChanged) -> None:
    for message in messages:
        with database.transaction(message.tenant_id) as cursor:
            say(cursor, [message])


def test_the_relay_sends_what_every_tenant_left_and_a_second_run_sends_nothing(database: Database) -> None:
    command(database, said(1), said(2), said(3, "t2"))
    queues = MemoryQueues()
    assert relay(database, queues, "*", 0).sent == 3
    assert set(queues.said) == {said(1).message_id, said(2).message_id, said(3, "t2").message_id}
    assert relay(database, queues, "*", 0).sent == 0


def test_what_was_said_just_now_is_left_to_the_command_that_said_it(database: Database) -> None:
    command(database, said(1))
    assert relay(database, MemoryQueues(), "*", 10).sent == 0
    assert waiting(database) == 1


def test_a_queue_that_takes_nothing_loses_nothing(database: Database) -> None:
    command(database, said(1))
    with pytest.raises(Unavailable):
        relay(database, DeadQueues(), "*", 0)
    flusher(lambda: database, DeadQueues)("t1")
    assert waiting(database) == 1
    assert relay(database, MemoryQueues(), "*", 0).sent == 1


def test_a_command_sends_only_what_its_own_tenant_said(database: Database) -> None:
    command(database, said(1), said(2, "t2"))
    queues = MemoryQueues()
    flusher(lambda: database, lambda: queues)("t1")
    assert list(queues.said) == [said(1).message_id]
    assert waiting(database, "t2") == 1


def test_rows_nobody_can_read_hold_up_no_other_and_stay(database: Database) -> None:
    with database.transaction("t1") as cursor:
        for number in range(150):
            row = ["t1", f"bad_{number:03d}", '{"kind": "old.v0", "message_id": "m", "correlation_id": "c", "encoding": "json", "facts": {}}']
            cursor.execute("insert into foundation.outbox (tenant_id, message_id, kind, body, created_at) values (%s, %s, 'old.v0', %s, '2020-01-01')", row)
    command(database, said(1))
    queues = MemoryQueues()
    relayed = relay(database, queues, "*", 0)
    assert (relayed.sent, relayed.unreadable) == (1, 150)
    assert list(queues.said) == [said(1).message_id]
    assert waiting(database) == 150


def test_more_than_a_batch_is_sent_in_one_run(database: Database) -> None:
    with database.transaction("t1") as cursor:
        say(cursor, [said(number) for number in range(250)])
    assert relay(database, MemoryQueues(), "*", 0).sent == 250
    assert waiting(database) == 0


def test_the_scheduled_function_tells_how_many_it_sent(database: Database) -> None:
    command(database, said(1))
    queues = MemoryQueues()
    handler = outbox_relay(lambda: database, lambda: queues, older_than_seconds=0)
    assert handler({}, CONTEXT) == {"sent": 1, "unreadable": 0}
