"""boto3 clients, made once per environment with the time-outs and retries every function shares."""

from functools import cache
from typing import Any, Final

import boto3
from botocore.config import Config

from bourse.aws import requests

_CONFIG: Final = Config(
    connect_timeout=3,
    read_timeout=20,
    retries={"mode": "standard", "max_attempts": 4},
)


@cache
def client(service: str) -> Any:
    """The service's client. `Any`, because boto3 makes its clients at run time; only adapters touch one."""
    made = boto3.client(service, config=_config(service))
    requests.watch(made, service)
    return made


def _config(service: str) -> Config:
    """S3 must be told to sign with SigV4 and to use virtual hosts: boto3's default drops signed headers silently."""
    if service == "s3":
        return _CONFIG.merge(Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))
    return _CONFIG
