"""The world of planning, on both keepers."""

import pytest

from tests.trading.worlds import World, aurora_world, memory_world


@pytest.fixture(params=["memory", "aurora"])
def world(request: pytest.FixtureRequest) -> World:
    return memory_world() if request.param == "memory" else aurora_world(request.getfixturevalue("database"))
