"""The deployed local stack, brought up once for these tests in a folder of its own, beside any other that runs."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.stack import Home, Stack
from infra.local.up import up
from tests.local.builders import World
from tests.local.chaos.strikes import end


@pytest.fixture(scope="session")
def home(request: pytest.FixtureRequest) -> Iterator[Home]:
    """The folder of the stack under test; kept, with its logs, when a test failed.

    Not one of pytest's: those are closed to other users whenever another run begins, and under root PostgreSQL is another user.
    """
    folder = Path(tempfile.mkdtemp(prefix="bourse-stack-"))
    yield Home(folder)
    end(Home(folder))
    if request.session.testsfailed:
        print(f"the stack's logs are kept in {folder}")
    else:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def stack(home: Home) -> Stack:
    """The stack under test: servers started, templates deployed, nothing in it. It may be killed and started again."""
    return up(home, print, lasting=True)


@pytest.fixture
def world(request: pytest.FixtureRequest, home: Home, stack: Stack, tmp_path: Path) -> World:
    """A tenant of this test's own on the shared stack: no test sees another's loans, money or files."""
    return World(request.node.name.replace("_", "-")[5:40].strip("-"), home, stack, tmp_path)
