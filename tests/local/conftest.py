"""A local stack of the tests' own: the CDK template on the emulator with a real PostgreSQL, in a folder of its own, stopped afterwards."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import down, up
from infra.local.stack import Home, Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The deployed stack, up for the whole run."""
    folder = Path(tempfile.mkdtemp(prefix="bourse-stack-"))
    home = Home(folder)
    try:
        yield up.up(home, print)
    finally:
        down.down(home)
        shutil.rmtree(folder, ignore_errors=True)
