"""Where a store does not answer, or not now, whoever asks is told that he may ask again; what he did wrong he is told as it is."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ParamValidationError, ReadTimeoutError
from botocore.stub import Stubber
from bourse.aws.clients import Patient
from bourse.errors import Unavailable

GET: dict[str, Any] = {"TableName": "t", "Key": {"pk": {"S": "a"}}}


def stubbed(code: str, status: int = 400) -> Patient:
    dynamodb = boto3.client("dynamodb", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    stubber = Stubber(dynamodb)
    stubber.add_client_error("get_item", service_error_code=code, http_status_code=status)
    stubber.activate()
    return Patient(dynamodb)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ProvisionedThroughputExceededException", 400),
        ("ThrottlingException", 400),
        ("RequestLimitExceeded", 400),
        ("TransactionConflictException", 400),
        ("InternalServerError", 500),
        ("ServiceUnavailable", 503),
    ],
)
def test_what_is_too_busy_now_is_unavailable(code: str, status: int) -> None:
    with pytest.raises(Unavailable, match=code):
        stubbed(code, status).get_item(**GET)


@pytest.mark.parametrize("code", ["ConditionalCheckFailedException", "ValidationException", "AccessDeniedException", "TransactionCanceledException"])
def test_what_will_be_refused_again_stays_what_it_is(code: str) -> None:
    with pytest.raises(ClientError, match=code):
        stubbed(code).get_item(**GET)


@pytest.mark.parametrize("error", [ReadTimeoutError(endpoint_url="u"), ConnectTimeoutError(endpoint_url="u"), EndpointConnectionError(endpoint_url="u")])
def test_no_answer_is_unavailable(error: Exception) -> None:
    class Silent:
        exceptions = "the client's own"

        def get_object(self, **_: Any) -> None:
            raise error

    client = Patient(Silent())
    with pytest.raises(Unavailable, match="did not answer"):
        client.get_object(Bucket="b", Key="k")
    assert client.exceptions == "the client's own"


def test_a_request_that_was_never_sent_is_a_fault_of_ours() -> None:
    with pytest.raises(ParamValidationError):
        stubbed("ThrottlingException").get_item(TableName="t")
