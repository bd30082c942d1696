"""Both stages, synthesised once a test session, side by side."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.infra.templates import Templates, synthesise


@dataclass(frozen=True)
class Assemblies:
    """What was synthesised: for AWS twice, to compare, and for the emulator."""

    aws: Templates
    aws_again: Templates
    local: Templates


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> Assemblies:
    home = tmp_path_factory.mktemp("assemblies")
    stages = {"aws": "production", "aws_again": "production", "local": "local"}

    def make(name: str) -> Templates:
        folder: Path = home / name
        done = synthesise(stages[name], folder)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return Templates(folder)

    with ThreadPoolExecutor(2) as pool:
        made = dict(zip(stages, pool.map(make, stages), strict=True))
    return Assemblies(**made)


@pytest.fixture
def aws(assemblies: Assemblies) -> Templates:
    """What would be deployed to AWS."""
    return assemblies.aws


@pytest.fixture
def local(assemblies: Assemblies) -> Templates:
    """What is deployed to the emulator."""
    return assemblies.local
