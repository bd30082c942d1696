"""Secrets read from Secrets Manager, kept while the environment is warm and read again after five minutes."""

import time
from typing import Final

from bourse.aws.clients import client
from bourse.aws.settings import text

_KEEP_SECONDS: Final = 300
_kept: dict[str, tuple[int, str]] = {}


def secret(variable: str) -> str:
    """The secret whose id the environment variable holds. A rotated secret is seen after five minutes at most."""
    name = text(variable)
    read_at, value = _kept.get(name, (0, ""))
    now = time.monotonic_ns() // 10**9
    if not value or now - read_at > _KEEP_SECONDS:
        value = client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
        _kept[name] = (now, value)
    return value
