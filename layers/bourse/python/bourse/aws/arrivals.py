"""Makes a Lambda handler of S3's word that objects arrived; and joins it with a queue's, where one function hears both.

S3 calls the function directly and twice again when it fails. Objects of other buckets are none of ours: they are counted and left.
"""

import traceback
from collections.abc import Callable
from functools import cache
from typing import Any, Final
from urllib.parse import unquote_plus

from bourse.aws import settings
from bourse.aws.report import Report
from bourse.aws.sqs import SqsQueues
from bourse.clock import SystemClock
from bourse.errors import BourseError
from bourse.message import Message, Outcome
from bourse.queues import Queues

Event = dict[str, Any]
Handler = Callable[[Event, Any], Any]
Factory = Callable[[], Any]


def object_worker(
    does: Callable[..., Outcome], bucket: str, clock: Factory = SystemClock, queues: Callable[[], Queues] = SqsQueues.from_env, **ports: Factory
) -> Handler:
    """A handler that does `use_case(key, clock=..., **ports) -> Outcome` for each object created in the bucket that this variable names.

    Every object is tried and what is said is sent, also when another one failed; then the first failure is raised, so that S3 tells again.
    """
    opened: Final = {name: cache(factory) for name, factory in ports.items()}
    the_clock, the_queues = cache(clock), cache(queues)

    def handle(event: Event, context: Any) -> dict[str, int]:
        report = Report(context.function_name, context.aws_request_id)
        said: list[Message] = []
        failed: list[Exception] = []
        records = event.get("Records", ())  # S3's test event has none
        for record in records:
            if not _is_ours(record, settings.text(bucket)):
                report.count([("objects_foreign", 1)])
                continue
            try:
                outcome = does(unquote_plus(record["s3"]["object"]["key"]), clock=the_clock(), **{name: port() for name, port in opened.items()})
            except Exception as error:  # one object must not take the others with it
                failed.append(error)
                report.note(error=f"{type(error).__name__}: {_safe(error)}")
            else:
                said.extend(outcome.says)
                report.count(outcome.counts.items())
        try:
            the_queues().send(said)
        except Exception as error:
            failed.append(error)
            report.note(error=f"{type(error).__name__}: {_safe(error)}")
        report.note(heard=len(records), said=len(said), failed=len(failed), correlation_ids=sorted({message.correlation_id for message in said})[:20])
        report.write(failed=bool(failed))
        if failed:
            raise failed[0]
        return {"taken": len(said)}

    return handle


def _is_ours(record: Event, bucket: str) -> bool:
    told = record.get("s3", {}).get("bucket", {}).get("name")
    return bool(record.get("eventSource") == "aws:s3" and str(record.get("eventName", "")).startswith("ObjectCreated:") and told == bucket)


def _safe(error: Exception) -> str:
    """What may be logged of an error, as in the queue's worker: ours are written to be read, a foreign one's text may quote data."""
    if isinstance(error, BourseError):
        return str(error)[:300]
    frames = traceback.extract_tb(error.__traceback__)
    return f"at {frames[-1].name}:{frames[-1].lineno}" if frames else ""


class Timer:
    """How much time the running invocation has left. `times` wraps the handler whose invocations it watches."""

    def __init__(self) -> None:
        self._left: Callable[[], int] = lambda: 0

    def remaining_ms(self) -> int:
        return self._left()

    def times(self, handler: Handler) -> Handler:
        def handle(event: Event, context: Any) -> Any:
            self._left = context.get_remaining_time_in_millis
            return handler(event, context)

        return handle


def either(objects: Handler, messages: Handler) -> Handler:
    """One handler of two: a queue's batch goes to `messages`, everything else to `objects`."""

    def handle(event: Event, context: Any) -> Any:
        records = event.get("Records") or [{}]
        return (messages if records[0].get("eventSource") == "aws:sqs" else objects)(event, context)

    return handle
