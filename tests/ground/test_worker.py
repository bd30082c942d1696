"""The worker: says what a use case returns, then acknowledges; a group that fails is heard again, the others are not."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from bourse.assets.events import UploadReady
from bourse.aws import report
from bourse.aws.worker import queue_worker
from bourse.errors import Refused, Unavailable
from bourse.message import Message, Outcome, encode
from bourse.queues import MemoryQueues

CONTEXT = SimpleNamespace(function_name="intake", aws_request_id="r-1")


def ready(originator: str, seq: int) -> UploadReady:
    return UploadReady(
        message_id=f"msg_{originator}_{seq}", tenant_id="t", correlation_id=f"cor_{originator}_{seq}", originator_id=originator, upload_seq=seq, key="k"
    )


def event(*messages: Message) -> dict[str, Any]:
    records = [
        {"messageId": message.message_id, "body": encode(message), "attributes": {"MessageGroupId": message.group(), "SentTimestamp": "1700000000000"}}
        for message in messages
    ]
    return {"Records": records}


def failed(answer: dict[str, Any]) -> list[str]:
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def worker(does: Any, queues: Any = None) -> Any:
    return queue_worker({UploadReady: does}, queues=lambda: queues or MemoryQueues())


def test_what_a_use_case_returns_is_said_before_the_batch_is_acknowledged() -> None:
    queues = MemoryQueues()
    next_one = ready("acme", 2)
    assert failed(worker(lambda message, clock: Outcome(says=(next_one,)), queues)(event(ready("acme", 1)), CONTEXT)) == []
    assert list(queues.said.values()) == [next_one]


def test_a_failure_holds_back_the_rest_of_its_group_and_no_other_group() -> None:
    heard: list[str] = []

    def does(message: UploadReady, clock: Any) -> Outcome:
        heard.append(message.message_id)
        if message.message_id == "msg_acme_1":
            raise Unavailable("the store is away")
        return Outcome()

    answer = worker(does)(event(ready("acme", 1), ready("bank", 1), ready("acme", 2), ready("bank", 2)), CONTEXT)
    assert heard == ["msg_acme_1", "msg_bank_1", "msg_bank_2"]
    assert failed(answer) == ["msg_acme_1", "msg_acme_2"]


def test_when_the_queue_does_not_take_what_was_said_all_is_heard_again() -> None:
    class Away:
        def send(self, messages: Any) -> None:
            raise Unavailable("the queue is away")

    with pytest.raises(Unavailable):
        worker(lambda message, clock: Outcome(says=(ready("acme", 2),)), Away())(event(ready("acme", 1)), CONTEXT)


def test_a_message_nobody_here_hears_fails_and_ends_in_the_dead_letter_queue() -> None:
    body = event(ready("acme", 1))
    body["Records"][0]["body"] = body["Records"][0]["body"].replace("upload_ready.v1", "other.v1")
    assert failed(worker(lambda message, clock: Outcome())(body, CONTEXT)) == ["msg_acme_1"]


def test_ports_are_opened_at_the_first_message_and_kept() -> None:
    opened: list[str] = []

    def store() -> str:
        opened.append("store")
        return "the store"

    seen: list[Any] = []

    def does(message: Any, store: Any, clock: Any) -> Outcome:
        seen.append(store)
        return Outcome()

    handler = queue_worker({UploadReady: does}, queues=MemoryQueues, store=store)
    assert opened == []
    handler(event(ready("acme", 1)), CONTEXT)
    handler(event(ready("acme", 2)), CONTEXT)
    assert opened == ["store"]
    assert seen == ["the store", "the store"]


def test_one_line_is_logged_with_correlation_ids_and_metrics_and_without_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(report._logger.registered_handler, "stream", written)

    def does(message: UploadReady, clock: Any) -> Outcome:
        if message.originator_id == "bank":
            raise ValueError("Jane Doe's income is 1")
        if message.originator_id == "gone":
            raise Refused("SLOT_UNKNOWN", "there is no such slot")
        return Outcome(counts={"records_created": 3})

    worker(does)(event(ready("acme", 1), ready("bank", 1)), CONTEXT)
    worker(does)(event(ready("gone", 1)), CONTEXT)
    first, second = (json.loads(line) for line in written.getvalue().splitlines())
    assert first["correlation_ids"] == ["cor_acme_1", "cor_bank_1"]
    assert first["records_created"] == 3
    assert {"Name": "records_created", "Unit": "Count"} in first["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    assert (first["level"], first["failed"]) == ("ERROR", 1)
    assert "Jane" not in json.dumps(first)
    assert second["error"] == "Refused: SLOT_UNKNOWN: there is no such slot"
