"""`Queues` kept on SQS FIFO: group and de-duplication id come from the message, ten messages or 1 MiB a request."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from bourse import flow
from bourse.aws import settings
from bourse.aws.clients import client
from bourse.errors import Unavailable
from bourse.message import BODY_BYTES_MAX, Message, encode

_BATCH_MAX: Final = 10


class SqsQueues:
    """Sends to the queue of the function that hears the message; queue URLs come from QUEUE_<NAME>_URL."""

    def __init__(self, sqs: Any, urls: dict[str, str]) -> None:
        self._sqs = sqs
        self._urls = urls

    @classmethod
    def from_env(cls) -> "SqsQueues":
        return cls(client("sqs"), {})

    def send(self, messages: Iterable[Message]) -> None:
        by_queue: dict[str, list[Message]] = {}
        for message in messages:
            by_queue.setdefault(flow.queue_hearing(type(message)).name, []).append(message)
        for name, said in by_queue.items():
            for batch in _batches(said):
                self._send_batch(self._url(name), batch)

    def _url(self, name: str) -> str:
        if name not in self._urls:
            self._urls[name] = settings.text(f"QUEUE_{name.upper()}_URL")
        return self._urls[name]

    def _send_batch(self, url: str, entries: list[dict[str, str]]) -> None:
        answer = self._sqs.send_message_batch(QueueUrl=url, Entries=entries)
        if failed := answer.get("Failed"):
            raise Unavailable(f"{len(failed)} of {len(entries)} messages were not taken by the queue: {failed[0].get('Code')}")


def _batches(messages: Iterable[Message]) -> Iterator[list[dict[str, str]]]:
    """Entries of SendMessageBatch, each batch within ten messages and 1 MiB; the order is kept."""
    batch: list[dict[str, str]] = []
    octets = 0
    for message in messages:
        body = encode(message)
        if batch and (len(batch) == _BATCH_MAX or octets + len(body) > BODY_BYTES_MAX):
            yield batch
            batch, octets = [], 0
        batch.append({"Id": str(len(batch)), "MessageBody": body, "MessageGroupId": _group(message), "MessageDeduplicationId": message.message_id})
        octets += len(body)
    if batch:
        yield batch


def _group(message: Message) -> str:
    """SQS takes 128 characters of a small alphabet; our ids fit, book and shard names do too."""
    group = message.group()
    assert len(group) <= 128, f"ordering group too long: {group}"
    return group
