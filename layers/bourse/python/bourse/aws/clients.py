"""boto3 clients, made once per environment with the time-outs and retries every function shares; those of stores raise Unavailable when they are used up.

boto3 is imported with the first client: it costs 165 ms, which an API that answers from PostgreSQL alone need not pay.
"""

from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from bourse.aws import requests
from bourse.errors import Unavailable

if TYPE_CHECKING:
    from botocore.config import Config

_CONFIG: Final[dict[str, Any]] = {"connect_timeout": 3, "read_timeout": 20, "retries": {"mode": "standard", "max_attempts": 4}}
_LATER: Final = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException", "TransactionConflictException", "TransactionInProgressException"}
)
_STORES: Final = frozenset({"dynamodb", "s3"})


@cache
def client(service: str) -> Any:
    """The service's client. `Any`, because boto3 makes its clients at run time; only adapters touch one."""
    import boto3

    made = boto3.client(service, config=_config(service))
    requests.watch(made, service)
    return Patient(made) if service in _STORES else made


class Patient:
    """A client whose calls raise Unavailable where no answer came, or none now: whether the call was done is unknown, and it may be made again."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        self.__dict__[name] = _patient(found) if callable(found) and not isinstance(found, type) else found
        return self.__dict__[name]


def _patient(call: Callable[..., Any]) -> Callable[..., Any]:
    from botocore import exceptions

    def ask(*args: Any, **request: Any) -> Any:
        try:
            return call(*args, **request)
        except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
            raise Unavailable(f"a store did not answer: {type(error).__name__}") from error
        except exceptions.ClientError as error:
            code, status = error.response["Error"]["Code"], error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise Unavailable(f"a store is too busy: {code}") from error
            raise

    return ask


def _config(service: str) -> "Config":
    """S3 must be told to sign with SigV4 and to use virtual hosts: boto3's default drops signed headers silently."""
    from botocore.config import Config

    if service == "s3":
        return Config(**_CONFIG, signature_version="s3v4", s3={"addressing_style": "virtual"})
    return Config(**_CONFIG)
