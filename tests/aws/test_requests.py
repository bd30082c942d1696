"""What is asked of AWS is counted in the units AWS bills."""

from collections.abc import Iterator

import boto3
import pytest
from bourse.aws import requests
from moto import mock_aws


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(requests, "COUNTING", True)
    requests.drain()
    with mock_aws():
        yield
    requests.drain()


def _client(service: str) -> object:
    client = boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    requests.watch(client, service)
    return client


def test_an_sqs_batch_is_billed_by_64_kilobytes_of_its_payload(counting: None) -> None:
    sqs = _client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    requests.drain()
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": "x" * 40_000} for n in range(3)])
    assert requests.drain() == {"sqs.SendMessageBatch": 1, "sqs.SendMessageBatch.units": 2}


def test_a_dynamodb_write_is_billed_by_kilobyte_and_a_consistent_read_by_four(counting: None) -> None:
    dynamodb = _client("dynamodb")
    dynamodb.create_table(
        TableName="t",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )
    requests.drain()
    dynamodb.put_item(TableName="t", Item={"pk": {"S": "a"}, "body": {"B": b"x" * 5_000}})
    dynamodb.get_item(TableName="t", Key={"pk": {"S": "a"}}, ConsistentRead=True)
    counted = requests.drain()
    assert counted["dynamodb.PutItem.units"] == 5
    assert counted["dynamodb.GetItem.units"] == 2


def test_a_size_is_names_and_values_as_aws_counts_them() -> None:
    assert requests.size({"pk": {"S": "ab"}, "n": {"N": "12345"}, "b": {"B": b"xyz"}}) == 2 + 2 + 1 + 4 + 1 + 3


def test_nothing_is_counted_unless_it_was_asked_for() -> None:
    with mock_aws():
        _client("sqs").list_queues()
    assert requests.drain() == {}
