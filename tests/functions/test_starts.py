"""What an API imports before its first request: nothing that only some requests need. `make bench ONLY=imports` has the times."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAITS = ("boto3", "psycopg", "jwt", "bson", "pymongo", "cryptography", "urllib3", "aws_lambda_powertools.event_handler.openapi.swagger_ui")
"""Imported at the first client, connection, token, or page of description: 20 to 190 ms each."""
_SAID = "import sys, handler; print(*[name for name in sys.argv[1:] if name in sys.modules])"


@pytest.mark.parametrize("audience", ["originator", "investor", "operator"])
def test_an_api_starts_without_what_only_some_requests_need(audience: str) -> None:
    folder = ROOT / "functions" / f"{audience}_api"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(ROOT / "layers/bourse/python"), str(folder)])}
    done = subprocess.run([sys.executable, "-c", _SAID, *WAITS], env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
