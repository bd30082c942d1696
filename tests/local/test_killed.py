"""A killed worker loses nothing: function processes and database sessions die in mid-run, and the end is as if nothing had happened."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from infra.local.stack import Stack, client
from tests.local.builders import HARBOR, World, book, documents, hide_for, kill_workers

pytestmark = pytest.mark.local

LOANS = 1_000
HIDDEN_SECONDS = 4
LOOK_SECONDS = 0.01
HEARS = {
    "intake": "uploads",
    "version_assets": "assets",
    "assess_assets": "assessments",
    "match_offers": "offers",
    "settle_investments": "settlements",
    "plan_purchases": "balances",
}
SESSIONS = "sessions of the database"


@pytest.fixture
def impatient(stack: Stack) -> Stack:
    """The stack with queues that deliver a dead worker's message again after a moment."""
    hide_for(stack, HIDDEN_SECONDS)
    return stack


def test_killed_workers_and_database_sessions_lose_nothing_and_book_nothing_twice(world: World, impatient: Stack) -> None:
    file = documents(book(LOANS, HARBOR), HARBOR)
    calm = replace(world, tenant_id="undisturbed")
    stormy = replace(world, tenant_id="disturbed")
    _everything_is_settled(calm, file)
    with killer(stormy) as victims:
        _everything_is_settled(stormy, file)
    assert victims >= {*HEARS, SESSIONS} - {"intake"}  # which reads so small a file too fast to be caught every time
    assert stormy.versions() == calm.versions()
    assert stormy.sold() == calm.sold() != {}
    assert stormy.market.totals() == calm.market.totals()
    assert [row["total"] for row in stormy.market.trial_balance()] == [0, 0]


def _everything_is_settled(world: World, file: list[dict[str, object]]) -> None:
    world.open_for_one_who_buys_everything(dollars=20_000_000)
    sent = world.send(HARBOR, file)
    world.settle(sent)
    counts = world.market.counts([sent])
    assert counts["created"] + counts["rejected"] == counts["received"] == len(file)


@contextmanager
def killer(world: World) -> Iterator[set[str]]:
    """Kills each function's process once, when it is seen with a message in its hands, and then the database's sessions once."""
    victims: set[str] = set()
    over = threading.Event()

    def strike() -> None:
        sqs = client("sqs", world.stack.aws_endpoint)
        while not over.wait(LOOK_SECONDS):
            for function, queue in HEARS.items():
                wanted = function not in victims or (function == "settle_investments" and SESSIONS not in victims)
                if wanted and _in_hand(sqs, world.stack.queues[queue]):
                    if function in victims:
                        _end_all_sessions(world)
                        victims.add(SESSIONS)
                    elif kill_workers(world.home, world.stack.functions[function]):
                        victims.add(function)

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        yield victims
    finally:
        over.set()
        thread.join()


def _in_hand(sqs: object, url: str) -> bool:
    name = "ApproximateNumberOfMessagesNotVisible"
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]) > 0


def _end_all_sessions(world: World) -> None:
    with psycopg.connect(world.stack.postgres, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'bourse_app'")
