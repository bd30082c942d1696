"""Ids and shards: derived from the cause, from all of it, and from nothing else."""

from bourse.ids import derive, shard
from hypothesis import given
from hypothesis import strategies as st

causes = st.lists(st.text(max_size=20), max_size=4)


@given(causes, causes)
def test_two_causes_make_two_ids_and_one_cause_makes_one(one: list[str], other: list[str]) -> None:
    assert (derive("x", *one) == derive("x", *other)) == (one == other)


def test_an_id_says_what_it_names_and_stays_the_same_for_ever() -> None:
    assert derive("bid", "a", 1) == "bid_253zww6tjqyd7wti24wph5xj"


@given(st.text(), st.integers(min_value=1, max_value=64))
def test_a_shard_is_within_its_range(key: str, shards: int) -> None:
    assert 0 <= shard(key, shards) < shards


def test_keys_spread_evenly_over_shards() -> None:
    filled = [0] * 16
    for number in range(16_000):
        filled[shard(f"loan-{number}", 16)] += 1
    assert min(filled) > 850
    assert max(filled) < 1150
