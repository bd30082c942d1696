"""functions/settle_investments as it is deployed: from a queue's record through PostgreSQL to the next queues."""

import gc
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from bourse.assets.events import LoansClosed
from bourse.aws import clients
from bourse.ledger.events import BidsReturned
from bourse.message import Message, decode, encode
from bourse.trading.events import BalancesChanged
from moto import mock_aws

from tests.ledger.builders import NOON, TENANT, AuroraKeeper, assert_sound, bid, chunk, closed, pay_in

HANDLER = Path(__file__).resolve().parents[2] / "functions/settle_investments/handler.py"
CONTEXT = SimpleNamespace(function_name="settle_investments", aws_request_id="r-1")


@pytest.fixture
def sqs(aurora: AuroraKeeper, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The queues the function says to, and the environment that names them and the database."""
    for name, value in (("AWS_DEFAULT_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", aurora.app_dsn)
    clients.client.cache_clear()
    with mock_aws():
        queues = boto3.client("sqs")
        for name in ("offers", "balances"):
            url = queues.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
            monkeypatch.setenv(f"QUEUE_{name.upper()}_URL", url)
        secret = boto3.client("secretsmanager").create_secret(Name="operations", SecretString="of this test only, and long enough")
        monkeypatch.setenv("OPERATIONS_KEY_SECRET", secret["ARN"])
        yield queues
    clients.client.cache_clear()


def cold_start() -> Any:
    """The function in a new environment."""
    spec = importlib.util.spec_from_file_location("handler_of_settle_investments", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


def record(message: Message) -> dict[str, Any]:
    return {
        "messageId": message.message_id,
        "body": encode(message),
        "attributes": {"MessageGroupId": message.group(), "SentTimestamp": "1700000000000"},
    }


def heard(sqs: Any, queue: str) -> list[str]:
    answer = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName=f"{queue}.fifo")["QueueUrl"], MaxNumberOfMessages=10)
    return [message["Body"] for message in answer.get("Messages", ())]


@pytest.mark.filterwarnings("ignore:.*Connection.*was deleted while still open:ResourceWarning")  # kept while the environment is warm
def test_bids_from_the_queue_end_in_the_books_and_the_next_queues(aurora: AuroraKeeper, sqs: Any) -> None:
    pay_in(aurora.ledger, "ivy", 1500)
    over = LoansClosed(message_id="m-closed", tenant_id=TENANT, correlation_id="upl_1", originator_id="acme", said_at=NOON, loans=(closed("L2"),))
    event = {"Records": [record(over), record(chunk(bid(1), bid(2), bid(3, loan_id="L2")))]}
    assert cold_start()(event, CONTEXT) == {"batchItemFailures": []}
    [returned] = heard(sqs, "offers")
    assert [(one.bid_id, one.reason) for one in decode(returned, BidsReturned).bids] == [("bid_2", "insufficient_cash"), ("bid_3", "loan_closed")]
    [changed] = heard(sqs, "balances")
    assert decode(changed, BalancesChanged).portfolio_id == "ivy-pension"
    assert aurora.balances()["cash/ivy", "EUR"] == 490
    assert aurora.rows("select distinct correlation_id from books.txn where kind = 'purchase'") == [("upl_1",)]
    assert_sound(aurora)
    gc.collect()


@pytest.mark.filterwarnings("ignore:.*Connection.*was deleted while still open:ResourceWarning")
def test_a_worker_that_dies_between_the_commit_and_the_queues_says_it_at_the_redelivery(
    aurora: AuroraKeeper, sqs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay_in(aurora.ledger, "ivy", 1500)
    event = {"Records": [record(chunk(bid(1), bid(2)))]}
    urls = {name: sqs.get_queue_url(QueueName=f"{name}.fifo")["QueueUrl"] for name in ("offers", "balances")}
    monkeypatch.setenv("QUEUE_OFFERS_URL", urls["offers"].replace("offers", "gone"))
    with pytest.raises(Exception, match="NonExistentQueue"):
        cold_start()(event, CONTEXT)
    settled = aurora.balances()
    assert settled["cash/ivy", "EUR"] == 490
    monkeypatch.setenv("QUEUE_OFFERS_URL", urls["offers"])
    assert cold_start()(event, CONTEXT) == {"batchItemFailures": []}
    assert [one.bid_id for one in decode(heard(sqs, "offers")[0], BidsReturned).bids] == ["bid_2"]
    assert len(heard(sqs, "balances")) == 1
    assert aurora.balances() == settled
    gc.collect()
