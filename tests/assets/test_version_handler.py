"""functions/version_assets as it is deployed: from a queue's record through the tables to the next queue."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from bourse.assets.events import AssetsVersioned, RecordsRead
from bourse.aws import clients
from bourse.message import decode, encode
from moto import mock_aws

from tests.assets.version_builders import chunk, loan, make_tables

HANDLER = Path(__file__).resolve().parents[2] / "functions/version_assets/handler.py"
CONTEXT = SimpleNamespace(function_name="version_assets", aws_request_id="r-1")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Tables and queues, and the environment that names them."""
    for name, value in (("AWS_DEFAULT_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")):
        monkeypatch.setenv(name, value)
    clients.client.cache_clear()
    with mock_aws():
        dynamodb, sqs = boto3.client("dynamodb"), boto3.client("sqs")
        make_tables(dynamodb, "pipeline", "versions")
        queues = {
            name: sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"] for name in ("assessments", "offers", "settlements")
        }
        for name, value in {"TABLE_PIPELINE": "pipeline", "TABLE_VERSIONS": "versions", **{f"QUEUE_{n.upper()}_URL": url for n, url in queues.items()}}.items():
            monkeypatch.setenv(name, value)
        yield {"sqs": sqs, **queues}
    clients.client.cache_clear()


def handler() -> Any:
    spec = importlib.util.spec_from_file_location("handler_of_version_assets", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


def record(message: RecordsRead, body: str | None = None) -> dict[str, Any]:
    return {
        "messageId": message.message_id,
        "body": body or encode(message),
        "attributes": {"MessageGroupId": message.group(), "SentTimestamp": "1700000000000"},
    }


def test_a_chunk_from_the_queue_ends_in_the_tables_and_the_next_queue(aws: dict[str, Any]) -> None:
    first = chunk(loan("L-1"), loan("L-2", status="repaid"))
    assert handler()({"Records": [record(first)]}, CONTEXT) == {"batchItemFailures": []}
    [heard] = aws["sqs"].receive_message(QueueUrl=aws["assessments"])["Messages"]
    assert [asset.loan_id for asset in decode(heard["Body"], AssetsVersioned).assets] == ["L-1"]
    for name in ("offers", "settlements"):
        [told] = aws["sqs"].receive_message(QueueUrl=aws[name])["Messages"]
        assert json.loads(told["Body"])["correlation_id"] == "upl_1"


def test_a_spoilt_chunk_fails_alone(aws: dict[str, Any]) -> None:
    good, spoilt = chunk(loan("L-1")), chunk(loan("L-2"), shard=1)
    body = encode(spoilt.model_copy(update={"documents": b"?"}))
    answer = handler()({"Records": [record(spoilt, body), record(good)]}, CONTEXT)
    assert answer == {"batchItemFailures": [{"itemIdentifier": spoilt.message_id}]}
    assert "Messages" in aws["sqs"].receive_message(QueueUrl=aws["assessments"])
