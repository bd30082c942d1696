"""The simulation's queue keeps what AWS documents of SQS FIFO, and where moto or the emulator do not, it is written here."""

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.local import emulator
from infra.local.stack import Home
from tests.simulation.sqs import BATCH_OCTETS_MAX, Fifo, Receipt, SqsClient

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
RECEIVES_MAX: Final = 2
_numbers = itertools.count(1)

DELETED: Final = "If you use an old ReceiptHandle, the request will succeed, but the message might not be deleted (API_DeleteMessage)"
EXPIRED: Final = (
    "if a consumer whose message processing time is longer than the visibility timeout tries to delete [...], the action fails (API_ReceiveMessage)"
)
BURIED: Final = "the original message's deduplication ID will be replaced with the original message's ID (sqs-configure-dead-letter-queue-redrive)"
MOVED: Final = "All redriven messages are considered new messages with a new messageID and enqueueTime (sqs-configure-dead-letter-queue-redrive)"
KNOWN: Final = "Amazon SQS continues to keep track of the message deduplication ID even after the message is received and deleted (API_SendMessage)"
SCOPE: Final = "DeduplicationScope: whether message deduplication occurs at the message group or queue level (API_CreateQueue)"
ORDER: Final = "For each message group ID, all messages are sent and received in strict order (FIFO-queues-understanding-logic)"
NUMBER: Final = "SequenceNumber continues to increase for a particular MessageGroupId (API_SendMessage)"
SIZE: Final = "the maximum total payload size [is] 1 MiB 1,048,576 bytes (API_SendMessageBatch)"
TEXT: Final = "If a message contains characters outside the allowed set, Amazon SQS rejects the message (API_SendMessageBatch)"
DIFFERS: Final = {
    "moto": {
        "test_sequence_numbers_grow": f"{NUMBER}; moto draws them by lot",
        "test_a_duplicate_is_known_after_the_first_was_deleted": f"{KNOWN}; moto compares with what it still has",
        "test_the_same_deduplication_id_in_another_group_is_another_message": f"{SCOPE}; moto always takes the queue",
        "test_what_ran_out_of_visibility_comes_again_before_the_rest_of_its_group": f"{ORDER}; moto passes over the first of the batch",
        "test_an_old_receipt_does_not_delete_what_was_received_again": f"{DELETED}; moto deletes, by an old receipt of any age",
        "test_a_receipt_whose_visibility_ran_out_does_not_delete": f"{EXPIRED}; moto deletes",
        "test_a_dead_letter_has_its_message_id_as_deduplication_id": f"{BURIED}; moto keeps the old one",
        "test_redriven_messages_are_new_and_keep_their_order": f"{MOVED}; moto has no StartMessageMoveTask",
        "test_the_limit_of_a_batch_counts_octets": f"{SIZE}; moto counts characters",
        "test_what_breaks_a_limit_is_refused[InvalidMessageContents]": f"{TEXT}; moto takes it",
    },
    "emulator": {
        "test_deleting_twice_is_deleting_once": f"{DELETED}; it answers the second time with ReceiptHandleIsInvalid",
        "test_a_receipt_whose_visibility_ran_out_does_not_delete": f"{EXPIRED}; it deletes",
        "test_a_dead_letter_has_its_message_id_as_deduplication_id": f"{BURIED}; it keeps the old one",
        "test_redriven_messages_are_new_and_keep_their_order": f"{MOVED}; it has no StartMessageMoveTask",
    },
}
"""By subject and test: AWS's sentence, and what is done instead. Strict: whoever is repaired leaves the table."""


class Modelled:
    """A queue and its dead letters, of the simulation."""

    def __init__(self, visibility_seconds: int = 30, delay_seconds: int = 0) -> None:
        self.dead = Fifo("loans-dlq.fifo", visibility_seconds=30)
        self.queue = Fifo("loans.fifo", visibility_seconds=visibility_seconds, receive_max=RECEIVES_MAX, dead=self.dead, delay_seconds=delay_seconds)
        self.now = START
        self.client = SqsClient({"url": self.queue}, lambda: self.now)

    def send(self, *entries: dict[str, Any]) -> dict[str, Any]:
        return self.client.send_message_batch(QueueUrl="url", Entries=list(entries))

    def receive(self, most: int = 10, *, dead: bool = False) -> list[dict[str, Any]]:
        return (self.dead if dead else self.queue).receive(self.now, most)

    def delete(self, *records: dict[str, Any]) -> list[bool]:
        return [one in {Receipt.DONE, Receipt.GONE} for one in self.queue.delete([record["receiptHandle"] for record in records], self.now)]

    def hide(self, record: dict[str, Any], seconds: int) -> None:
        assert self.queue.change_visibility([record["receiptHandle"]], seconds, self.now) == [Receipt.DONE]

    def redrive(self) -> None:
        self.queue.redrive(self.now)

    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)


class Served:
    """The same on a server, by boto3. `pass_time` is the server's way to let seconds pass."""

    def __init__(self, sqs: Any, pass_time: Callable[[int], object], visibility_seconds: int = 30, delay_seconds: int = 0) -> None:
        self._sqs, self.pass_time = sqs, pass_time
        name = f"loans-{next(_numbers)}"
        fifo = {"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
        fifo["VisibilityTimeout"] = str(visibility_seconds)
        self._dead = sqs.create_queue(QueueName=f"{name}-dlq.fifo", Attributes=fifo)["QueueUrl"]
        self._dead_arn = sqs.get_queue_attributes(QueueUrl=self._dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": self._dead_arn, "maxReceiveCount": RECEIVES_MAX})
        self._url = sqs.create_queue(QueueName=f"{name}.fifo", Attributes=fifo | {"DelaySeconds": str(delay_seconds), "RedrivePolicy": policy})["QueueUrl"]

    def send(self, *entries: dict[str, Any]) -> dict[str, Any]:
        return dict(self._sqs.send_message_batch(QueueUrl=self._url, Entries=list(entries)))

    def receive(self, most: int = 10, *, dead: bool = False) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(QueueUrl=self._dead if dead else self._url, MaxNumberOfMessages=most, AttributeNames=["All"], WaitTimeSeconds=0)
        names = {"messageId": "MessageId", "receiptHandle": "ReceiptHandle", "body": "Body", "attributes": "Attributes"}
        return [{ours: one[theirs] for ours, theirs in names.items()} for one in answer.get("Messages", [])]

    def delete(self, *records: dict[str, Any]) -> list[bool]:
        entries = [{"Id": str(place), "ReceiptHandle": record["receiptHandle"]} for place, record in enumerate(records)]
        done = {one["Id"] for one in self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries).get("Successful", [])}
        return [entry["Id"] in done for entry in entries]

    def hide(self, record: dict[str, Any], seconds: int) -> None:
        self._sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=seconds)

    def redrive(self) -> None:
        self._sqs.start_message_move_task(SourceArn=self._dead_arn)


Subject = Modelled | Served


class _MotoClock:
    """A clock for moto that the test moves. Each look takes a millisecond, because moto shows what is due only after its time."""

    def __init__(self) -> None:
        self._milliseconds = int(START.timestamp()) * 1000

    def seconds(self) -> float:
        self._milliseconds += 1
        return self._milliseconds / 1000

    def pass_time(self, seconds: int) -> None:
        self._milliseconds += seconds * 1000


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of an emulator of these tests' own; without an emulator they are skipped."""
    home = Home(tmp_path_factory.mktemp("sqs"))
    try:
        endpoint = emulator.start(home, emulator.free_port())
    except RuntimeError as why:
        pytest.skip(str(why))
    yield boto3.Session("test", "test", region_name="us-east-1").client("sqs", endpoint_url=endpoint)
    emulator.stop(home)


@pytest.fixture(params=["model", "moto", pytest.param("emulator", marks=pytest.mark.local)])
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Subject]]:
    """Makes the queue under test; a test that its server is known to fail must fail."""
    code = request.node.callspec.params.get("code")
    if reason := DIFFERS.get(request.param, {}).get(request.node.originalname + (f"[{code}]" if code else "")):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True, raises=(AssertionError, ClientError, NotImplementedError)))
    if request.param == "model":
        yield Modelled
    elif request.param == "emulator":
        sqs = request.getfixturevalue("emulated")
        yield lambda **seconds: Served(sqs, lambda passed: sleep(passed + 0.1), **seconds)
    else:
        clock = _MotoClock()
        monkeypatch.setattr("moto.sqs.models.unix_time", clock.seconds)
        monkeypatch.setattr("moto.sqs.models.unix_time_millis", lambda: 1000 * clock.seconds())
        with mock_aws():
            sqs = boto3.Session("test", "test", region_name="us-east-1").client("sqs")
            yield lambda **seconds: Served(sqs, clock.pass_time, **seconds)


@pytest.fixture
def queue(opened: Callable[..., Subject]) -> Subject:
    return opened()


@pytest.fixture
def fleeting(opened: Callable[..., Subject]) -> Subject:
    """A queue whose visibility is over soon, for the emulator's seconds are real: for tests to which it is all the same if it is over earlier."""
    return opened(visibility_seconds=1)


def entry(body: str, group: str = "g", deduplication_id: str | None = None) -> dict[str, Any]:
    return {"Id": body.replace(" ", "_"), "MessageBody": body, "MessageGroupId": group, "MessageDeduplicationId": deduplication_id or body}


def bodies(records: list[dict[str, Any]]) -> list[str]:
    return [record["body"] for record in records]


def refusal(queue: Subject, *entries: dict[str, Any]) -> str:
    """AWS's code, whether the whole batch was refused or one entry."""
    try:
        failed = queue.send(*entries).get("Failed")
    except ClientError as error:
        return str(error.response["Error"]["Code"]).removeprefix("AWS.SimpleQueueService.")
    return str(failed[0]["Code"]) if failed else "taken"


def test_a_batch_is_received_in_its_order_as_it_was_sent(queue: Subject) -> None:
    sent = queue.send(entry("a"), entry("b"), entry("c"))["Successful"]
    records = queue.receive()
    assert bodies(records) == ["a", "b", "c"]
    assert [record["messageId"] for record in records] == [one["MessageId"] for one in sent]
    told = [[record["attributes"][name] for name in ("MessageGroupId", "MessageDeduplicationId", "ApproximateReceiveCount")] for record in records]
    assert told == [["g", "a", "1"], ["g", "b", "1"], ["g", "c", "1"]]
    assert all(int(record["attributes"]["SentTimestamp"]) > 1_700_000_000_000 for record in records)


def test_sequence_numbers_grow(queue: Subject) -> None:
    sent = queue.send(*map(entry, "abcdefghij"))["Successful"]
    numbers = [int(record["attributes"]["SequenceNumber"]) for record in queue.receive()]
    assert numbers == sorted(set(numbers)) == [int(one["SequenceNumber"]) for one in sent]


def test_a_duplicate_is_taken_and_not_kept(queue: Subject) -> None:
    answer = queue.send(entry("a", deduplication_id="1"), entry("again", deduplication_id="1"))
    answer["Successful"] += queue.send(entry("later", deduplication_id="1"))["Successful"]
    assert [one["Id"] for one in answer["Successful"]] == ["a", "again", "later"]
    assert bodies(queue.receive()) == ["a"]


def test_a_duplicate_is_known_after_the_first_was_deleted(queue: Subject) -> None:
    queue.send(entry("a"))
    queue.delete(*queue.receive())
    assert queue.send(entry("a"))["Successful"]
    assert queue.receive() == []


def test_the_same_deduplication_id_in_another_group_is_another_message(queue: Subject) -> None:
    queue.send(entry("a", "g", "1"), entry("b", "h", "1"))
    assert sorted(bodies(queue.receive())) == ["a", "b"]


def test_five_minutes_later_a_duplicate_is_a_new_message(queue: Subject, request: pytest.FixtureRequest) -> None:
    if "emulator" in request.node.callspec.id:
        pytest.skip("its five minutes are real ones")
    queue.send(entry("a"))
    queue.pass_time(299)
    queue.send(entry("a"))
    assert len(queue.receive()) == 1
    queue.pass_time(30)
    queue.send(entry("a"))
    assert len(queue.receive()) == 2


def test_a_group_in_flight_gives_nothing_and_the_others_do(queue: Subject) -> None:
    queue.send(entry("a1"), entry("a2"), entry("b1", "h"))
    assert bodies(queue.receive(1)) == ["a1"]
    assert bodies(queue.receive()) == ["b1"]
    assert queue.receive() == []


def test_one_batch_holds_several_groups_each_in_order(queue: Subject) -> None:
    queue.send(*(entry(f"{group}{number}", group) for number in range(3) for group in "gh"))
    received = bodies(queue.receive())
    assert [[body for body in received if body[0] == group] for group in "gh"] == [["g0", "g1", "g2"], ["h0", "h1", "h2"]]


def test_a_group_waits_for_the_last_of_its_batch(queue: Subject) -> None:
    queue.send(entry("a"), entry("b"), entry("c"))
    first, second = queue.receive(2)
    queue.delete(first)
    assert queue.receive() == []
    queue.delete(second)
    assert bodies(queue.receive()) == ["c"]


def test_what_ran_out_of_visibility_comes_again_before_the_rest_of_its_group(fleeting: Subject) -> None:
    fleeting.send(entry("a"), entry("b"), entry("c"))
    first = fleeting.receive(2)
    fleeting.pass_time(1)
    again = fleeting.receive()
    assert bodies(again) == ["a", "b", "c"]
    assert [record["attributes"]["ApproximateReceiveCount"] for record in again] == ["2", "2", "1"]
    assert [one["messageId"] for one in again[:2]] == [one["messageId"] for one in first]
    assert not {one["receiptHandle"] for one in again} & {one["receiptHandle"] for one in first}


def test_what_failed_comes_again_in_order_when_it_is_returned(queue: Subject) -> None:
    """As batchItemFailures leave it: the first was deleted, the other two failed; returned in either order they come in theirs."""
    queue.send(entry("a"), entry("b"), entry("c"), entry("d"))
    first, second, third = queue.receive(3)
    queue.delete(first)
    queue.hide(third, 0)
    assert queue.receive() == []
    queue.hide(second, 0)
    assert bodies(queue.receive()) == ["b", "c", "d"]


def test_what_is_hidden_for_longer_stays_hidden_until_then(fleeting: Subject) -> None:
    fleeting.send(entry("a"))
    [record] = fleeting.receive()
    fleeting.hide(record, 600)
    fleeting.pass_time(1)
    assert fleeting.receive() == []
    fleeting.hide(record, 1)
    fleeting.pass_time(1)
    assert bodies(fleeting.receive()) == ["a"]


def test_deleting_twice_is_deleting_once(queue: Subject) -> None:
    queue.send(entry("a"), entry("b"))
    [first] = queue.receive(1)
    assert [queue.delete(first), queue.delete(first)] == [[True], [True]]
    assert bodies(queue.receive()) == ["b"]


def test_an_old_receipt_does_not_delete_what_was_received_again(queue: Subject) -> None:
    queue.send(entry("a"))
    [old] = queue.receive()
    queue.hide(old, 0)
    [new] = queue.receive()
    queue.delete(old)
    queue.hide(new, 0)
    assert queue.receive() == []
    assert bodies(queue.receive(dead=True)) == ["a"]


def test_a_receipt_whose_visibility_ran_out_does_not_delete(fleeting: Subject) -> None:
    fleeting.send(entry("a"))
    [old] = fleeting.receive()
    fleeting.pass_time(1)
    fleeting.delete(old)
    assert bodies(fleeting.receive()) == ["a"]


def test_what_was_received_too_often_goes_to_the_dead_letters_in_order_and_its_group_goes_on(queue: Subject) -> None:
    queue.send(entry("a"), entry("b"), entry("c"))
    for _ in range(RECEIVES_MAX):
        first, second = queue.receive(2)
        queue.hide(first, 0)
        queue.hide(second, 0)
    assert bodies(queue.receive()) == ["c"]
    dead = queue.receive(dead=True)
    assert [(one["body"], one["messageId"]) for one in dead] == [("a", first["messageId"]), ("b", second["messageId"])]
    assert {one["attributes"]["MessageGroupId"] for one in dead} == {"g"}
    assert [one["attributes"]["ApproximateReceiveCount"] for one in dead] == [str(RECEIVES_MAX + 1)] * 2, "counted across all queues"


def bury(queue: Subject, *entries: dict[str, Any]) -> list[str]:
    """Send and receive until all are dead letters; their message ids."""
    sent = queue.send(*entries)["Successful"]
    for _ in range(RECEIVES_MAX):
        for record in queue.receive():
            queue.hide(record, 0)
    assert queue.receive() == []
    return [one["MessageId"] for one in sent]


def test_a_dead_letter_has_its_message_id_as_deduplication_id(queue: Subject) -> None:
    message_ids = bury(queue, entry("a"), entry("b"))
    assert [one["attributes"]["MessageDeduplicationId"] for one in queue.receive(dead=True)] == message_ids


def test_redriven_messages_are_new_and_keep_their_order(queue: Subject) -> None:
    old = bury(queue, entry("a"), entry("b", "h"), entry("c"))
    queue.send(entry("d"))
    queue.pass_time(1)
    queue.redrive()
    records = queue.receive()
    assert sorted(bodies(records)) == ["a", "b", "c", "d"]
    assert [record["body"] for record in records if record["attributes"]["MessageGroupId"] == "g"] == ["d", "a", "c"]
    assert not {record["messageId"] for record in records} & set(old)
    assert {record["attributes"]["ApproximateReceiveCount"] for record in records} == {"1"}
    assert len({record["attributes"]["SentTimestamp"] for record in records}) == 2


def test_a_delayed_queue_keeps_its_messages_back(opened: Callable[..., Subject]) -> None:
    queue = opened(delay_seconds=30)
    queue.send(entry("a"), entry("b"))
    assert queue.receive() == []


def test_a_delayed_queue_gives_its_messages_after_the_delay(opened: Callable[..., Subject]) -> None:
    queue = opened(delay_seconds=1)
    queue.send(entry("a"), entry("b"))
    queue.pass_time(1)
    assert bodies(queue.receive()) == ["a", "b"]


LIMITS: Final = {
    "EmptyBatchRequest": [],
    "TooManyEntriesInBatchRequest": [entry(str(number)) for number in range(11)],
    "BatchEntryIdsNotDistinct": [entry("a"), entry("a", deduplication_id="2")],
    "InvalidBatchEntryId": [entry("a") | {"Id": "a b"}],
    "BatchRequestTooLong": [entry("a") | {"MessageBody": "a" * (BATCH_OCTETS_MAX // 2)}, entry("b") | {"MessageBody": "b" * (BATCH_OCTETS_MAX // 2 + 1)}],
    "MissingParameter": [{name: value for name, value in entry("a").items() if name != "MessageGroupId"}],
    "InvalidParameterValue": [entry("a") | {"DelaySeconds": 5}],
    "InvalidMessageContents": [entry("a") | {"MessageBody": "bell \x07"}],
}


@pytest.mark.parametrize("code", LIMITS)
def test_what_breaks_a_limit_is_refused(queue: Subject, code: str) -> None:
    assert refusal(queue, *LIMITS[code]) == code
    assert queue.receive() == []


def test_the_limit_of_a_batch_counts_octets(queue: Subject) -> None:
    full = entry("a") | {"MessageBody": "ä" * (BATCH_OCTETS_MAX // 2)}
    assert refusal(queue, full, entry("b")) == "BatchRequestTooLong"
    assert len(queue.send(full)["Successful"]) == 1
