"""The outbox of API commands in memory, behind the very statements that the relay asks of the database."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from bourse.aws import outbox as relay
from bourse.clock import Clock
from bourse.message import Message, encode


class Outbox(list[Message]):
    """What the stores say in their transactions, each id once while it waits; the stores take it for their list."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.rows: dict[tuple[str, str], tuple[datetime, str]] = {}

    def append(self, message: Message) -> None:
        self.rows.setdefault((message.tenant_id, message.message_id), (self._clock.now(), encode(message)))

    def extend(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.append(message)


class OutboxDatabase:
    """As much of `Database` as the relay needs."""

    def __init__(self, outbox: Outbox, clock: Clock, cut: Callable[[str, bool], None]) -> None:
        self._outbox, self._clock, self._cut = outbox, clock, cut

    @contextmanager
    def transaction(self, tenant_id: str) -> Iterator["OutboxDatabase"]:
        self._tenant, self._done = tenant_id, list[tuple[str, str]]()
        self._cut("database.transaction", False)
        yield self
        for key in self._done:
            self._outbox.rows.pop(key, None)
        self._cut("database.commit", True)

    def execute(self, statement: str, params: Sequence[Any]) -> "OutboxDatabase":
        if statement == relay._DONE:
            self._done = list(zip(*params, strict=True))
            return self
        assert statement == relay._DUE, "the relay has another statement: teach it to the simulation"
        seconds, tenants, messages, most = params
        skipped, before = set(zip(tenants, messages, strict=True)), self._clock.now() - timedelta(seconds=seconds)
        due = [(at, *key, body) for key, (at, body) in self._outbox.rows.items() if at <= before and key not in skipped and self._tenant in {"*", key[0]}]
        self._rows = [row[1:] for row in sorted(due)[:most]]
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows
