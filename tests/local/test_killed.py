"""Nothing is lost to a kill: workers, the database and the emulator die in mid-run, and the end is as if nothing had happened."""

from collections import Counter
from dataclasses import replace

import pytest

from infra.local.stack import Stack
from tests.local.builders import World, book, hide_for
from tests.local.chaos.facts import differences
from tests.local.chaos.job import FILES, do
from tests.local.chaos.strikes import HEARS, Storm, Strike, drawn

pytestmark = pytest.mark.local

LOANS = 80
HIDDEN_SECONDS = 4
STRIKES = [
    *(Strike("worker", function, 0) for function in HEARS),
    Strike("database", "settle_investments", 0),
    Strike("emulator", "match_offers", 25),
]
"""Early ones: how many messages a function hears of the same loans is for the moment to decide (a batch of ten may become one message), so that late in
its work there may be no moment in which one more is in its hands."""


@pytest.fixture
def impatient(stack: Stack) -> Stack:
    """The stack with queues that deliver a dead worker's message again after a moment."""
    hide_for(stack, HIDDEN_SECONDS)
    return stack


def test_killed_workers_database_and_emulator_lose_nothing_and_do_nothing_twice(world: World, impatient: Stack) -> None:
    loans = book(LOANS)
    calm = do(replace(world, tenant_id="undisturbed"), loans, FILES[:1])
    storm = Storm(replace(world, tenant_id="disturbed"), calm.handled[0], print)
    stormy = do(storm.world, loans, FILES[:1], lambda _, sent: storm.rage(STRIKES, sent))
    struck = Counter(strike.victim for strike in storm.struck)
    assert struck["database"] == struck["emulator"] == 1
    assert struck["worker"] >= len(HEARS) // 2  # some work so fast on so small a file that they are not caught every time
    assert calm.broken == stormy.broken == []
    assert list(differences(calm.facts, stormy.facts)) == []
    assert len(calm.facts["versions of loans"]) > LOANS * 9 // 10
    assert len(calm.facts["bids decided"]) > LOANS * 8 // 10


def test_a_row_that_is_lost_and_one_that_is_made_are_both_told() -> None:
    told = list(differences({"bids": {"a", "b"}, "loans": {"x"}}, {"bids": {"b", "c"}, "loans": {"x"}}))
    assert told == ["bids: lost a", "bids: not in the undisturbed run c"]


def test_a_seed_draws_every_worker_the_emulator_and_the_database_twice_and_another_seed_draws_them_otherwise() -> None:
    strikes = [strike for of_file in drawn(1, 1, len(FILES)) for strike in of_file]
    assert {strike.function for strike in strikes if strike.victim == "worker"} == set(HEARS)
    assert Counter(strike.victim for strike in strikes) == {"worker": len(HEARS), "database": 2, "emulator": 1}
    assert drawn(1, 1, len(FILES)) == drawn(1, 1, len(FILES)) != drawn(2, 1, len(FILES))
