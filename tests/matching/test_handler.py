"""The deployed function, from a queue's event to the queue of settlements, on emulated AWS."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from bourse.aws.clients import client
from bourse.matching.events import BidsPublished
from bourse.message import Message, decode, encode
from moto import mock_aws

from tests.matching import builders as make
from tests.matching.test_stores import make_tables

HANDLER = Path(__file__).resolve().parents[2] / "functions/match_offers/handler.py"


def _handler() -> Any:
    spec = importlib.util.spec_from_file_location("match_offers_handler", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


def _event(*messages: Message) -> dict[str, Any]:
    records = [
        {"messageId": message.message_id, "body": encode(message), "attributes": {"MessageGroupId": message.group(), "SentTimestamp": "1700000000000"}}
        for message in messages
    ]
    return {"Records": records}


def test_offers_in_bids_out_and_the_same_bids_from_an_environment_that_starts_cold(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client.cache_clear()
        sqs = boto3.client("sqs")
        url = sqs.create_queue(QueueName="settlements.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        make_tables(boto3.client("dynamodb"), boto3.client("s3"))
        for name, value in {"TABLE_BOOKS": "books", "TABLE_OFFERS": "offers", "BUCKET_SNAPSHOTS": "snapshots", "QUEUE_SETTLEMENTS_URL": url}.items():
            monkeypatch.setenv(name, value)
        context = SimpleNamespace(function_name="match_offers", aws_request_id="r-1")
        event = _event(make.buys(make.buy(volume=300)), make.sells(make.sell("s1", volume=200), make.sell("s2", volume=200)))
        assert _handler()(event, context) == {"batchItemFailures": []}
        assert _handler()(event, context) == {"batchItemFailures": []}
        bodies = [message["Body"] for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]]
    client.cache_clear()
    (said,) = {decode(body, BidsPublished) for body in bodies}
    assert [(bid.offer_id, bid.principal) for bid in said.bids] == [("s1", 200), ("s2", 100)]
