"""Worlds of fresh seeds and of those that once broke; planted faults, each found; one trace, killed at each of its points."""

import subprocess
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from bourse import flow

from tests.simulation import __main__ as command
from tests.simulation.coverage import possible
from tests.simulation.faults import FAULTS, Options
from tests.simulation.mutants import HARMLESS, MUTANTS, Mutant, caught
from tests.simulation.runs import Summary, silence, simulate
from tests.simulation.world import HTTPS_EVERY, World

REGRESSIONS = (
    192,  # an originator's request was answered 500 when DynamoDB was too busy: clients of stores raise Unavailable now (aws/clients.py), which is 503
    4000950,  # rows for readers depended on the order in which they were shown, where two bids had one number: bids are ordered by their ids then
    5641,  # an offer whose reservations were gone was withdrawn, and readers saw it open for ever: now a book tells what becomes of what it told (Book.shown)
)
"""Seeds of worlds that once broke by a fault of the marketplace, with what was done about it."""
PARTS, SEEDS = 8, 150
WORLDS_MAX = 1_000
WHOLE_TRACE = 8160
"""A seed whose undisturbed world runs every function, and in which people ask by HTTP."""


def _fresh() -> int:
    """Another seed for each commit, the same one on every machine."""
    root = Path(__file__).resolve().parents[2]
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return int(found.stdout[:10], 16) if found.returncode == 0 else 20_261_121


@pytest.mark.parametrize("part", range(PARTS))
def test_in_worlds_of_fresh_seeds_every_promise_holds(part: int) -> None:
    """A seed that is told here replays: python -m tests.simulation --seed N"""
    first = _fresh() + part * SEEDS
    summary = simulate(range(first, first + SEEDS))
    assert summary.broken == []
    assert summary.seeds == SEEDS
    assert summary.calls() <= possible(), "coverage.py reads the code wrongly"
    assert {"money", "versions", "chunks", "chain", "structures", "records", "deposits", "books", "plans", "model", "journal"} <= summary.evaluated.keys()


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_in_worlds_that_once_broke_every_promise_holds(seed: int) -> None:
    assert simulate([seed]).broken == []


def test_the_same_seed_is_the_same_world_step_by_step() -> None:
    with silence():
        for seed in range(20):
            one, other = World(seed).run(), World(seed).run()
            assert (one.trace(), one.steps, one.cuts, one.faults) == (other.trace(), other.steps, other.cuts, other.faults)
            assert one.stores.reasons() == other.stores.reasons()


def test_each_fault_is_on_in_some_worlds_and_off_in_others_one_world_in_ten_has_none_and_one_has_them_at_one_function() -> None:
    drawn = [World(seed).options for seed in range(400)]
    for name in FAULTS:
        assert 100 < sum(getattr(one, name) > 0 for one in drawn) < 300, name
    assert 20 < drawn.count(Options()) < 70
    aimed = [one for one in drawn if one.aim]
    assert 20 < len(aimed) < 70
    assert {one.aim for one in aimed} == {hop.function for hop in flow.FLOW if isinstance(hop.source, flow.Queue)}


class Watched(World):
    """Notes whom faults strike."""

    def __init__(self, seed: int, options: Options) -> None:
        super().__init__(seed, options)
        self.struck = set[str]()

    def _strikes(self, fault: str) -> bool:
        strikes = super()._strikes(fault)
        self.struck |= {self.function} if strikes else set()
        return strikes


def test_faults_that_are_aimed_strike_one_function_only() -> None:
    with silence():
        worlds = [Watched(seed, Options(aim="match_offers", crash_after=0.2)).run() for seed in range(10)]
    assert set().union(*(world.struck for world in worlds)) == {"match_offers"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_fault_is_found(mutant: Mutant) -> None:
    with silence():
        found = caught(mutant, range(mutant.seed, mutant.seed + WORLDS_MAX))
    assert found is not None, f"{WORLDS_MAX} worlds held: the simulation does not see this"


@pytest.mark.parametrize("mutant", HARMLESS, ids=lambda mutant: mutant.name)
def test_a_fault_that_something_else_holds_does_no_harm(mutant: Mutant) -> None:
    with silence():
        assert caught(mutant, range(60)) is None


@pytest.mark.parametrize("part", range(4))
def test_killed_at_each_point_of_a_trace_through_every_function_the_world_comes_to_its_end(part: int) -> None:
    with silence():
        whole = World(WHOLE_TRACE, Options()).run()
        assert {function for function, _, _ in whole.points} >= set(flow.functions()), "the trace touches every function, the APIs included"
        for cut in range(1 + part, whole.cuts + 1, 4):
            world = World(WHOLE_TRACE, Options(), kill_at=cut).run()
            assert world.faults["crash"] == 1, f"cut {cut} was reached"


def test_every_function_of_the_flow_is_in_the_world() -> None:
    """What people ask for by HTTP is asked so in some worlds; all else is run by the very handler in each."""
    with silence():
        run = {function for seed in range(0, 8 * HTTPS_EVERY, HTTPS_EVERY) for function, _, _ in World(seed).run().points}
    assert run - {"people"} == set(flow.functions())


def test_a_run_that_is_stopped_tells_what_it_found_up_to_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(seeds: Iterable[int], told: Callable[[Summary], None], **more: Any) -> None:
        simulate(islice(seeds, 3), told)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "simulate", stopped)
    monkeypatch.setattr("sys.argv", ["simulation", "--minutes", "60", "--from", "5"])
    assert command.main() == 0
    said = capsys.readouterr().out
    assert said.startswith("Seeds from 5\nStopped before its time; up to then:\n- 3 seeds")
    assert "- Broken: 0." in said
