"""What the emulator does not check of a queue: high throughput, dead letters of the same type, patience, alarms."""

import pytest
from bourse import flow

from infra.sizes import SIZES
from tests.infra.templates import Resource, Templates, text

QUEUES = {queue.name: queue for queue in flow.queues()}
HEARERS = {hop.source.name: hop.function for hop in flow.FLOW if isinstance(hop.source, flow.Queue)}


def _queue(aws: Templates, name: str) -> Resource:
    return aws.named("SQS::Queue", "QueueName", f"bourse-production-{name}.fifo")


def _mapping(aws: Templates, queue: Resource) -> Resource:
    [mapping] = [
        mapping
        for mapping in aws.of("Lambda::EventSourceMapping")
        if mapping.stack == queue.stack and aws.target(mapping, mapping.properties["EventSourceArn"]).logical_id == queue.logical_id
    ]
    return mapping


def test_the_queues_are_those_of_the_flow_and_their_dead_letters(aws: Templates) -> None:
    expected = {f"bourse-production-{name}{ending}.fifo" for name in QUEUES for ending in ("", "-dlq")}
    assert {queue.properties["QueueName"] for queue in aws.of("SQS::Queue")} == expected


@pytest.mark.parametrize("name", QUEUES)
def test_a_message_that_fails_five_times_goes_to_a_fifo_queue_that_keeps_it_two_weeks(aws: Templates, name: str) -> None:
    queue = _queue(aws, name)
    redrive = queue.properties["RedrivePolicy"]
    assert redrive["maxReceiveCount"] == 5
    dead_letters = aws.target(queue, redrive["deadLetterTargetArn"])
    assert dead_letters.properties["QueueName"] == f"bourse-production-{name}-dlq.fifo"
    assert dead_letters.properties["FifoQueue"] is True
    assert dead_letters.properties["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_every_queue_is_fifo_with_high_throughput_and_encrypted_with_our_key(aws: Templates) -> None:
    for queue in aws.of("SQS::Queue"):
        assert queue.properties["FifoQueue"] is True, str(queue)
        assert queue.properties["DeduplicationScope"] == "messageGroup", str(queue)
        assert queue.properties["FifoThroughputLimit"] == "perMessageGroupId", str(queue)
        assert "Key" in text(queue.properties["KmsMasterKeyId"]), str(queue)


def test_no_queue_is_reached_without_tls(aws: Templates) -> None:
    guarded = {aws.target(policy, queue).logical_id for policy in aws.of("SQS::QueuePolicy") for queue in policy.properties["Queues"] if _denies_plain(policy)}
    assert guarded == {queue.logical_id for queue in aws.of("SQS::Queue")}


def _denies_plain(policy: Resource) -> bool:
    statements = policy.properties["PolicyDocument"]["Statement"]
    return any(one["Effect"] == "Deny" and one.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}} for one in statements)


@pytest.mark.parametrize("name", QUEUES)
def test_a_message_stays_hidden_for_six_times_the_functions_time_out(aws: Templates, name: str) -> None:
    queue = _queue(aws, name)
    function = aws.target(queue, _mapping(aws, queue).properties["FunctionName"])
    assert queue.properties["VisibilityTimeout"] >= 6 * function.properties["Timeout"]


@pytest.mark.parametrize("name", QUEUES)
def test_the_function_of_the_flow_hears_the_queue_and_reports_what_failed(aws: Templates, name: str) -> None:
    queue = _queue(aws, name)
    mapping = _mapping(aws, queue)
    function = aws.target(queue, mapping.properties["FunctionName"])
    assert function.properties["FunctionName"] == f"bourse-production-{HEARERS[name].replace('_', '-')}"
    assert mapping.properties["BatchSize"] <= 10
    assert mapping.properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert 2 <= mapping.properties["ScalingConfig"]["MaximumConcurrency"] <= 1000
    assert "MaximumBatchingWindowInSeconds" not in mapping.properties, "a FIFO queue knows none"


def test_only_what_is_collected_is_held_back(aws: Templates) -> None:
    held = {queue.properties["QueueName"]: queue.properties.get("DelaySeconds", 0) for queue in aws.of("SQS::Queue")}
    collected = {f"bourse-production-{name}.fifo" for name, queue in QUEUES.items() if queue.collect}
    assert {name for name, seconds in held.items() if seconds} == collected
    assert {held[name] for name in collected} == {30}


@pytest.mark.parametrize("name", QUEUES)
def test_somebody_is_told_of_dead_letters_and_of_messages_that_wait(aws: Templates, name: str) -> None:
    queue = _queue(aws, name)
    dead_letters = aws.target(queue, queue.properties["RedrivePolicy"]["deadLetterTargetArn"])
    watched = {
        (alarm.properties["MetricName"], aws.target(alarm, alarm.properties["Dimensions"][0]["Value"]).logical_id): alarm
        for alarm in aws.of("CloudWatch::Alarm")
        if alarm.stack == queue.stack and alarm.properties["Namespace"] == "AWS/SQS"
    }
    dead = watched["ApproximateNumberOfMessagesVisible", dead_letters.logical_id]
    assert (dead.properties["Threshold"], dead.properties["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert ("ApproximateAgeOfOldestMessage", queue.logical_id) in watched


def test_every_alarm_tells_the_topic(aws: Templates) -> None:
    for alarm in aws.of("CloudWatch::Alarm"):
        assert [text(action).split(":")[-1] for action in alarm.properties["AlarmActions"]] == ["bourse-production-alarms"], str(alarm)


def test_every_function_that_has_no_queue_alarms_when_it_fails(aws: Templates) -> None:
    unheard = {hop.function for hop in flow.FLOW if not isinstance(hop.source, (flow.Queue, flow.Http))}
    alarmed = {
        aws.target(alarm, alarm.properties["Dimensions"][0]["Value"]).properties["FunctionName"]
        for alarm in aws.of("CloudWatch::Alarm")
        if alarm.properties["Namespace"] == "AWS/Lambda"
    }
    assert alarmed == {f"bourse-production-{name.replace('_', '-')}" for name in unheard}


def test_every_function_has_a_size() -> None:
    assert set(SIZES) == {*flow.functions(), "authorize", "migrate"}
