"""The port every function says its messages through, and its in-memory keeper for tests and the simulation."""

from collections.abc import Iterable
from typing import Protocol

from bourse.message import Message


class Queues(Protocol):
    """Says messages.

    Promise: when `send` returns, every message will be heard at least once, those of one group in the order given, unless
    a message of the same id was said in the last minutes (then it is that one). Raises Unavailable when any was not taken;
    the caller says all of them again.
    """

    def send(self, messages: Iterable[Message]) -> None: ...


class MemoryQueues:
    """Keeps what was said in a list, each id once."""

    def __init__(self) -> None:
        self.said: dict[str, Message] = {}

    def send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.said.setdefault(message.message_id, message)
