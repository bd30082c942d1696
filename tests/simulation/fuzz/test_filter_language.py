"""The ledger's filter language by its grammar and nearly: books in memory and in PostgreSQL answer alike, or both refuse it."""

from random import Random

import pytest
from bourse.aws.postgres import Database
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books
from bourse.ledger.memory_books import MemoryBooks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.books_builders import CLOCK
from tests.simulation.fuzz.filter_texts import Asked, asked, books_with_something, check


@pytest.fixture
def stores(database: Database) -> list[Books]:
    """The same books of both kinds."""
    return [books_with_something(MemoryBooks(CLOCK)), books_with_something(AuroraBooks(database))]


@settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**63))
def test_a_filter_means_the_same_everywhere_or_is_none(stores: list[Books], seed: int) -> None:
    check(asked(Random(seed)), stores)


@pytest.mark.parametrize("more", ["", ", tags.zqx:time", ", '2018-02-01T00:00:00Z'"])
def test_a_long_list_of_times_of_a_deep_tag_is_a_filter(stores: list[Books], more: str) -> None:
    """It took three parameters for each name of the path and each time, and a statement of PostgreSQL has at most 65,535: UNAVAILABLE, for ever."""
    path = "tags" + ".zq" * 18
    text = f"{path}:time IN ({','.join(['$1'] * 3_100)}{more})"
    assert check(Asked("tokens", text, ("2018-02-01T00:00:00Z",)), stores) == "nothing"
    assert check(Asked("tokens", f"tags.zqwhen:time IN ($1, $2{more})", ("2018-02-01T00:00:00Z", "2018-02-01T00:30:00+00:30")), stores) == "something"
