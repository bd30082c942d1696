"""boto3 clients, made once per environment with the time-outs and retries every function shares.

boto3 is imported with the first client: it costs 165 ms, which an API that answers from PostgreSQL alone need not pay.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from bourse.aws import requests

if TYPE_CHECKING:
    from botocore.config import Config

_CONFIG: Final[dict[str, Any]] = {"connect_timeout": 3, "read_timeout": 20, "retries": {"mode": "standard", "max_attempts": 4}}


@cache
def client(service: str) -> Any:
    """The service's client. `Any`, because boto3 makes its clients at run time; only adapters touch one."""
    import boto3

    made = boto3.client(service, config=_config(service))
    requests.watch(made, service)
    return made


def _config(service: str) -> "Config":
    """S3 must be told to sign with SigV4 and to use virtual hosts: boto3's default drops signed headers silently."""
    from botocore.config import Config

    if service == "s3":
        return Config(**_CONFIG, signature_version="s3v4", s3={"addressing_style": "virtual"})
    return Config(**_CONFIG)
