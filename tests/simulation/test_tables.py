"""Worlds with the adapters of DynamoDB: without faults they end as those in memory do, and whoever touches another tenant's item is told."""

from typing import Any

import pytest
from bourse.assets.events import offer_id_of

from tests.simulation import world as worlds
from tests.simulation.faults import OF_TABLES, Options
from tests.simulation.promises import Broken
from tests.simulation.runs import silence
from tests.simulation.world import MEMORY_EVERY, World, on_tables

TWO_TENANTS = next(seed for seed in range(100) if on_tables(seed) and len(World(seed).people.tenants) == 2)


def _ended(seed: int) -> dict[str, Any]:
    world = World(seed, Options()).run()
    stores = world.stores
    return {
        "trace": world.trace(),
        "versions": stores.versions.stored,
        "chunks": stores.chunks.kept,
        "slots": stores.uploads.slots,
        "assessments": set(stores.assessments.kept),
        "books": {book_id: stores.books.load(book_id, ()) for book_id in stores.books._journals},
        "offers": {offer_id: stores.offers.view(offer_id) for offer_id in sorted(offer_id_of(*loan) for loan in stores.versions.stored)},
        "bids": stores.reasons(),
    }


@pytest.mark.parametrize("seed", [2, 3, 4, 6, 7, 10, 11, 12])
def test_a_world_without_faults_is_the_same_in_memory_and_on_tables(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with silence():
        monkeypatch.setattr(worlds, "on_tables", lambda _: True)
        tables = _ended(seed)
        monkeypatch.setattr(worlds, "on_tables", lambda _: False)
        assert tables == _ended(seed)
    assert tables["chunks"], "something was kept"


def test_books_of_worlds_meet_snapshots_and_bodies_too_large_for_an_item() -> None:
    with silence():
        kept = [name for seed in range(8) if (tables := World(seed).run().tables) for name in tables.objects]
    assert any("/snapshot-" in key for _, key in kept)
    assert any("/large/" in key for _, key in kept)


def test_the_faults_of_tables_strike() -> None:
    rates: dict[str, Any] = dict.fromkeys(OF_TABLES, 0.2)
    struck, called, often = set[str](), set[str](), Options(**rates)
    with silence():
        for seed in (seed for seed in range(30) if on_tables(seed)):
            world = World(seed, often).run()
            struck |= world.faults.keys()
            called |= {name for _, name, _ in world.points}
            if {*OF_TABLES} - {"stale"} <= struck:
                break
    assert struck == {*OF_TABLES} - {"stale"}, "what our functions read, they read consistently"
    assert {f"dynamodb.{name}" for name in ("transact_write_items", "query", "get_item", "batch_get_item", "put_item", "update_item")} <= called
    assert not on_tables(1 + MEMORY_EVERY), "some worlds are in memory"


@pytest.mark.parametrize(
    ("table", "pk", "sk"),
    [
        ("pipeline", "U#t1#o10", "slot#00000001"),
        ("pipeline", "OPEN#3", "t1#o10#00000001"),
        ("versions", "A#t1#o10#L-0", "v#0000000001"),
        ("books", "t1/USD/consumer", "head"),
        ("offers", offer_id_of("t1", "o10", "L-0"), ""),
    ],
)
def test_a_function_that_touches_another_tenants_item_is_told(table: str, pk: str, sk: str) -> None:
    world = World(TWO_TENANTS)
    assert world.tables is not None
    world.tables.tenant_of_offer[offer_id_of("t1", "o10", "L-0")] = "t1"
    client = world.port("uploads")._dynamodb
    key = {"pk": {"S": pk}} | ({"sk": {"S": sk}} if sk else {})
    world.function, world.tenants = "intake", frozenset({"t1"})
    client.get_item(TableName=table, Key=key)
    world.tenants = frozenset({"t0"})
    with pytest.raises(Broken, match=r"intake asked dynamodb.get_item of tenant t1 while hearing \['t0'\]"):
        client.get_item(TableName=table, Key=key)
