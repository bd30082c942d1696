"""Makes a Lambda handler of a sentence: it hears these messages, does this, with these ports.

The queue is the outbox: a use case writes idempotently and returns what it says; the messages are sent, and only then is
the batch acknowledged. Data errors are the use case's to reject; whatever it raises fails that message's group and no other.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from bourse.aws.report import Report
from bourse.aws.sqs import SqsQueues
from bourse.clock import SystemClock
from bourse.errors import BourseError
from bourse.message import Envelope, Message, Outcome
from bourse.queues import Queues

UseCase = Callable[..., Outcome]
Factory = Callable[[], Any]
Event = dict[str, Any]


def queue_worker(
    does: Mapping[type[Message], UseCase],
    clock: Factory = SystemClock,
    queues: Callable[[], Queues] = SqsQueues.from_env,
    **ports: Factory,
) -> Callable[[Event, Any], Event]:
    """A handler for batches of a FIFO queue.

    `does` maps each message type heard to `use_case(message, clock=..., **ports) -> Outcome`. Ports are factories, called at
    the first message and kept while the environment is warm, so the module imports without environment or credentials.
    """
    kinds: Final = {heard.kind: heard for heard in does}
    opened: Final = {name: cache(factory) for name, factory in ports.items()}
    the_clock, the_queues = cache(clock), cache(queues)

    def handle(event: Event, context: Any) -> Event:
        report = Report(context.function_name, context.aws_request_id)
        batch = _Batch(event["Records"], report)

        def work(record: Event) -> Outcome:
            message = Envelope(record["body"]).read(kinds)
            return does[type(message)](message, clock=the_clock(), **{name: port() for name, port in opened.items()})

        batch.run(work)
        batch.say(the_queues())
        return batch.answer()

    return handle


class _Batch:
    """The records of one invocation: run group by group, said together, answered with the ones that failed."""

    def __init__(self, records: list[Event], report: Report) -> None:
        self._records = records
        self._report = report
        self._failed: list[str] = []
        self._said: list[Message] = []
        self._note_heard()

    def run(self, work: Callable[[Event], Outcome]) -> None:
        """Do the work of each record in order; after a failure the rest of that group is left for the redelivery."""
        halted: set[str] = set()
        for record in self._records:
            group = record["attributes"]["MessageGroupId"]
            if group in halted:
                self._failed.append(record["messageId"])
                continue
            try:
                outcome = work(record)
            except Exception as error:  # whatever a group's message breaks must not take the other groups with it
                halted.add(group)
                self._failed.append(record["messageId"])
                self._report.note(error=f"{type(error).__name__}: {_safe(error)}")
            else:
                self._said.extend(outcome.says)
                self._report.count(outcome.counts.items())

    def say(self, queues: Queues) -> None:
        """Send what was said. A failure here fails the whole batch: all of it is heard, and said, again."""
        try:
            queues.send(self._said)
        except Exception as error:
            self._report.note(error=f"{type(error).__name__}: {_safe(error)}", failed=len(self._records))
            self._report.write(failed=True)
            raise

    def answer(self) -> Event:
        self._report.note(said=len(self._said), failed=len(self._failed))
        self._report.write(failed=bool(self._failed))
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in self._failed]}

    def _note_heard(self) -> None:
        correlation_ids = {_peek(record["body"], "correlation_id") for record in self._records}
        oldest = min(int(record["attributes"].get("SentTimestamp", 0)) for record in self._records)
        age_ms = max(0, int(time.time() * 1000) - oldest) if oldest else 0
        self._report.note(heard=len(self._records), correlation_ids=sorted(correlation_ids)[:20], oldest_ms=age_ms)
        self._report.count([("messages_heard", len(self._records)), ("queue_age_ms", age_ms)])


def _peek(body: str, name: str) -> str:
    """A head field of an envelope without reading its facts; the head stands first in every body we make."""
    _, found, rest = body[:400].partition(f'"{name}":"')
    return rest.partition('"')[0] if found else "unreadable"


def _safe(error: Exception) -> str:
    """What may be logged of an error: ours are written to be read; of a foreign one only where it rose, for its text may quote data."""
    if isinstance(error, BourseError):
        return str(error)[:300]
    frames = traceback.extract_tb(error.__traceback__)
    return f"at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
