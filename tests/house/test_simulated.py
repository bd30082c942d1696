"""Everything the flow names is in the simulated worlds: a function, what wakes it, and every store and service it reaches."""

import ast
import re

import pytest
from bourse import flow
from bourse.clock import FixedClock

from tests.house.source import ROOT, tree
from tests.simulation.environments import OTHERS, STANDS
from tests.simulation.people import MORNING, drawn
from tests.simulation.stores import Stores
from tests.simulation.world import BUCKETS, HEARERS, SCHEDULES

APIS = {hop.function for hop in flow.FLOW if isinstance(hop.source, flow.Http)}
ADAPTER = re.compile(r"\.(aurora|dynamodb|s3|http)[a-z_]*$|^bourse\.aws\.postgres$")
"""How modules are named that reach out of the process. The queues' client and secrets are the world's own, for every environment."""


def _adapters(function: str) -> set[tuple[str, str]]:
    handler = tree(ROOT / "functions" / function / "handler.py")
    imports = [node for node in ast.walk(handler) if isinstance(node, ast.ImportFrom) and node.module and ADAPTER.search(node.module)]
    return {(str(node.module), alias.name) for node in imports for alias in node.names}


def test_every_function_of_the_flow_is_woken_in_the_world() -> None:
    assert {*HEARERS.values(), *SCHEDULES, *BUCKETS.values(), *APIS} == set(flow.functions()), "teach tests/simulation/world.py what wakes it"


@pytest.mark.parametrize("function", flow.functions())
def test_what_a_function_reaches_has_its_place_in_the_world(function: str) -> None:
    missing = _adapters(function) - STANDS.keys() - OTHERS.keys()
    assert not missing, "give it an adapter in memory in tests/simulation/stores.py and its name in environments.py"


def test_every_place_in_the_world_is_filled() -> None:
    filled = Stores(FixedClock(MORNING), drawn(0)).ports.keys() | {"database"}
    assert {*STANDS.values(), *OTHERS.values()} <= filled
