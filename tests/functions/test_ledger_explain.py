"""The route and the command that say where tokens came from, on the books in memory and in PostgreSQL alike."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from bourse.aws import books as command
from bourse.aws.postgres import Database
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_explain import AuroraExplains
from bourse.ledger.aurora_journal import AuroraJournal
from bourse.ledger.aurora_records import AuroraRecords

from tests.conftest import FreshDatabase
from tests.functions.api import Answer, Apis

L = "/v1/ledger"
FEE = {"n": 1}


@pytest.fixture(params=["memory", "aurora"])
def apis(request: pytest.FixtureRequest) -> Iterator[Apis]:
    """Ann was issued 100, and ben has 30 of them in two lots."""
    database = Database(request.getfixturevalue("fresh_database").app_dsn) if request.param == "aurora" else None
    ports = {"books": AuroraBooks(database), "records": AuroraRecords(database), "balances": AuroraJournal(database)} if database else {}
    made = Apis(**ports, explains=AuroraExplains(database) if database else None)
    lend(made)
    yield made
    if database:
        database.close()


def lend(apis: Apis) -> None:
    call(apis, "/flavors", {"flavor_id": "usd"})
    for name in ("ann", "ben"):
        call(apis, "/accounts", {"account_id": name})
    moves: list[dict[str, Any]] = [{"type": "issue", "amount": 100, "destination": "ann"}]
    moves += [{"type": "transfer", "amount": amount, "source": "ann", "destination": "ben", **more} for amount, more in ((20, {}), (10, {"token_tags": FEE}))]
    actions = [{"flavor_id": "usd"} | one for one in moves]
    assert call(apis, "/transactions", {"txn_id": "one", "effective_at": "2026-01-05T09:00:00Z", "actions": actions}).status == 200


def call(apis: Apis, path: str, body: object) -> Answer:
    return apis.call("operator", "POST", L + path, body, party="ops")


def test_tokens_are_explained_as_a_tree(apis: Apis) -> None:
    answer = call(apis, "/tokens/explain", {"filter": "account_id = $1", "params": ["ben"]})
    assert (answer.status, answer.body["cut"], answer.body["left_out"]) == (200, 0, 0)
    found = {one["token"]["amount"]: one["sources"] for one in answer.body["lots"]}
    for amount, [source] in found.items():
        [issued] = source["sources"]
        assert (source["amount"], source["end"], source["action"]["source"], source["action"]["amount"]) == (amount, None, "ann", amount)
        assert (issued["amount"], issued["end"], issued["action"]["amount"], issued["sources"]) == (amount, "issued", 100, [])
    assert sorted(found) == [10, 20]


def test_one_lot_is_explained_and_cut_where_it_is_asked_to_be(apis: Apis) -> None:
    lot = {"account_id": "ben", "flavor_id": "usd", "tags": FEE}
    answer = call(apis, "/tokens/explain", {"lot": lot, "depth": 1})
    [found] = answer.body["lots"]
    assert (found["token"]["amount"], found["sources"][0]["end"], answer.body["cut"]) == (10, "depth", 10)
    assert call(apis, "/tokens/explain", {"lot": lot | {"tags": {"n": 2}}}).body == {"lots": [], "left_out": 0, "cut": 0}
    first = call(apis, "/tokens/explain", {"lots": 1}).body
    assert (first["lots"][0]["token"]["amount"], first["left_out"]) == (70, 30)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"filter": "nothing = 1"}, "FILTER_INVALID", "filter"),
        ({"filter": "account_id = $1", "params": ["ben"], "lot": {"account_id": "ben", "flavor_id": "usd"}}, "FIELD_INVALID", "lot"),
        ({"lot": {"account_id": "\ud800", "flavor_id": "usd"}}, "NAME_INVALID", "lot.account_id"),
        ({"lot": {"account_id": "ben", "flavor_id": "usd", "tags": {"n": 0.5}}}, "TAGS_INVALID", "lot.tags.n"),
    ],
)
def test_what_cannot_be_explained_is_refused(apis: Apis, body: object, code: str, field: str) -> None:
    answer = call(apis, "/tokens/explain", body)
    assert (answer.status, answer.body["code"], answer.body.get("field")) == (422, code, field)


@pytest.mark.parametrize("limit", [{"depth": 0}, {"depth": 65}, {"steps": 0}, {"lots": 101}])
def test_limits_are_bounded(apis: Apis, limit: dict[str, int]) -> None:
    assert call(apis, "/tokens/explain", limit).status == 422


def test_the_command_prints_what_a_person_reads(fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database.app_dsn)
    database = Database(fresh_database.app_dsn)
    lend(Apis(books=AuroraBooks(database), records=AuroraRecords(database), balances=AuroraJournal(database), explains=AuroraExplains(database)))
    database.close()
    out, told = io.StringIO(), io.StringIO()
    assert command.main(["explain", "--tenant", "t1", "--account", "ben", "--flavor", "usd"], out, told, io.StringIO()) == 0
    assert out.getvalue() == (
        'ben has 10 usd {"n":1}\n'
        "  10 from ann by transfer one/2 of 10 at 2026-01-05T09:00:00Z\n"
        "    10 from world by issue one/0 of 100 at 2026-01-05T09:00:00Z: made by it\n"
        "ben has 20 usd\n"
        "  20 from ann by transfer one/1 of 20 at 2026-01-05T09:00:00Z\n"
        "    20 from world by issue one/0 of 100 at 2026-01-05T09:00:00Z: made by it\n"
    )
    assert command.main(["explain", "--tenant", "t1", "--account", "ben", "--flavor", "usd", "--depth", "65"], out, told, io.StringIO()) == 1
    assert told.getvalue().startswith("refused: ")
