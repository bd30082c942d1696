"""Makes a Lambda handler of a schedule: at each tick it does this, with these ports, and says what came of it."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from bourse.aws.report import Report
from bourse.aws.sqs import SqsQueues
from bourse.clock import SystemClock
from bourse.message import Outcome
from bourse.queues import Queues

Factory = Callable[[], Any]


def schedule_worker(
    does: Callable[..., Outcome], clock: Factory = SystemClock, queues: Callable[[], Queues] = SqsQueues.from_env, **ports: Factory
) -> Callable[[dict[str, Any], Any], dict[str, int]]:
    """A handler that does `use_case(clock=..., **ports) -> Outcome`. What fails is raised, counted by the alarm, and done at the next tick."""
    opened: Final = {name: cache(factory) for name, factory in ports.items()}
    the_clock, the_queues = cache(clock), cache(queues)

    def handle(_event: dict[str, Any], context: Any) -> dict[str, int]:
        report = Report(context.function_name, context.aws_request_id)
        try:
            outcome = does(clock=the_clock(), **{name: port() for name, port in opened.items()})
            the_queues().send(outcome.says)
        except Exception as error:
            report.note(error=type(error).__name__, failed=1)
            report.write(failed=True)
            raise
        report.count(outcome.counts.items())
        report.note(said=len(outcome.says), correlation_ids=sorted({message.correlation_id for message in outcome.says})[:20])
        report.write()
        return {"said": len(outcome.says)}

    return handle
