"""Feeds and materialised sums over HTTP, through the client, on the books in memory and in PostgreSQL alike."""

from collections.abc import Iterator
from typing import Any

import pytest

from functions.operator_api.client.bourse_ledger_client import Conflict, Ledger, NotFound, Refused, Transaction
from tests.functions.ledger_server import Server, token

AT = "2026-01-05T09:00:00Z"


@pytest.fixture
def ledger(server: Server) -> Iterator[Ledger]:
    with Ledger(server.url, token(), wait=lambda _: None) as made:
        made.flavors.open("usd", tags={"type": "currency"})
        for name in ("ann", "ben"):
            made.accounts.open(name, tags={"type": "investor"})
        yield made


def deposit(ledger: Ledger, number: int) -> None:
    made = ledger.transaction(f"wire-{number}", AT).issue("usd", number, destination="ann", action_tags={"type": "deposit"})
    made.transfer("usd", 1, source="ann", destination="ben", action_tags={"type": "gift"}).transact()


# Feeds


def test_a_feed_is_opened_read_acknowledged_and_read_on(ledger: Ledger) -> None:
    deposit(ledger, 1)
    opened = ledger.feeds.open("deposits/new", "actions", "tags.type = $1", ["deposit"])
    assert opened == ledger.feeds.open("deposits/new", "actions", "tags.type = $1", ["deposit"])
    for number in (2, 3, 4):
        deposit(ledger, number)
    first = ledger.feeds.page("deposits/new", 2)
    assert [one.amount for one in first.items if not isinstance(one, Transaction)] == [2, 3]
    assert ledger.feeds.page("deposits/new", 2) == first, "until it is acknowledged, a page is the same"
    ledger.feeds.acknowledge("deposits/new", first.cursor, first.cursors[0])
    rest = ledger.feeds.page("deposits/new")
    assert [one.txn_id for one in rest.items] == ["wire-3", "wire-4"]
    assert rest.cursor == first.cursors[0]


def test_an_acknowledgement_from_elsewhere_is_a_conflict_and_moves_nothing(ledger: Ledger) -> None:
    ledger.feeds.open("f", "actions")
    deposit(ledger, 5)
    page = ledger.feeds.page("f", 1)
    ledger.feeds.acknowledge("f", page.cursor, page.cursors[0])
    for new in (page.cursors[0], page.next_cursor):
        with pytest.raises(Conflict) as caught:
            ledger.feeds.acknowledge("f", page.cursor, new)
        assert (caught.value.status, caught.value.code, caught.value.field) == (409, "FEED_MOVED_ON", "old_cursor")
    with pytest.raises(Refused, match="CURSOR_INVALID"):
        ledger.feeds.acknowledge("f", page.cursors[0], page.cursor)
    assert [one.amount for one in ledger.feeds.page("f").items if not isinstance(one, Transaction)] == [1]


def test_a_lost_acknowledgement_is_no_lost_item_and_no_endless_loop(server: Server, ledger: Ledger) -> None:
    ledger.feeds.open("f", "transactions", start="beginning")
    for number in (1, 2, 3):
        deposit(ledger, number)
    consumed = []
    for one in ledger.feeds.consume("f", 2):
        consumed.append(one.txn_id)
        if one.txn_id == "wire-2":
            server.faults = ["lost_after"]
    assert consumed == ["wire-1", "wire-2", "wire-3"]
    assert ("PATCH", "/v1/ledger/feeds/f") in server.asked
    assert list(ledger.feeds.consume("f")) == []


def test_a_consumer_that_dies_in_the_middle_gets_the_page_again(ledger: Ledger) -> None:
    ledger.feeds.open("f", "transactions", start="beginning")
    for number in (1, 2, 3):
        deposit(ledger, number)
    dying = ledger.feeds.consume("f", 2)
    assert [next(dying).txn_id, next(dying).txn_id] == ["wire-1", "wire-2"]
    dying.close()
    assert [one.txn_id for one in ledger.feeds.consume("f", 2)] == ["wire-1", "wire-2", "wire-3"]


def test_a_feed_of_transactions_hands_out_their_actions(ledger: Ledger) -> None:
    ledger.feeds.open("f", "transactions", "actions(tags.type = 'gift')", start="beginning")
    deposit(ledger, 7)
    [fed] = ledger.feeds.page("f").items
    assert isinstance(fed, Transaction)
    assert (fed.txn_id, [(one.type, one.amount) for one in fed.actions]) == ("wire-7", [("issue", 7), ("transfer", 1)])
    assert fed == ledger.transactions.get("wire-7")


def test_feeds_are_listed_by_name_and_dropped(ledger: Ledger) -> None:
    for name in ("b", "a"):
        ledger.feeds.open(name, "actions", "amount > $1", [5])
    assert [(one.feed_id, one.filter, one.params, one.start) for one in ledger.feeds.list()] == [(name, "amount > $1", [5], "now") for name in ("a", "b")]
    for _ in range(2):
        ledger.feeds.drop("a")
    assert [one.feed_id for one in ledger.feeds.list()] == ["b"]
    for ask in (lambda: ledger.feeds.page("a"), lambda: ledger.feeds.acknowledge("a", *cursors(ledger))):
        with pytest.raises(NotFound) as caught:
            ask()
        assert (caught.value.code, caught.value.field) == ("FEED_UNKNOWN", "feed_id")


def cursors(ledger: Ledger) -> tuple[str, str]:
    page = ledger.feeds.page("b")
    return page.cursor, page.next_cursor


def test_another_feed_under_the_same_name_is_a_conflict(ledger: Ledger) -> None:
    ledger.feeds.open("f", "actions", "tags.a = $1", [1])
    others: list[tuple[Any, ...]] = [("transactions", "tags.a = $1", [1]), ("actions", "tags.b = $1", [1]), ("actions", "tags.a = $1", [2])]
    for other in others:
        with pytest.raises(Conflict, match="FEED_DIFFERS"):
            ledger.feeds.open("f", *other)
    with pytest.raises(Conflict, match="FEED_DIFFERS"):
        ledger.feeds.open("f", "actions", "tags.a = $1", [1], start="beginning")


def test_a_feed_is_its_tenants_own(server: Server, ledger: Ledger) -> None:
    ledger.feeds.open("f", "actions", start="beginning")
    deposit(ledger, 1)
    with Ledger(server.url, token("t2")) as other:
        assert other.feeds.list() == []
        with pytest.raises(NotFound):
            other.feeds.page("f")
        other.feeds.open("f", "transactions", start="beginning")
        assert other.feeds.page("f").items == []
        other.feeds.drop("f")
    assert len(ledger.feeds.page("f").items) == 2


# Materialised sums


def test_a_declared_sum_is_what_summing_says_before_and_after_each_posting(ledger: Ledger) -> None:
    question: tuple[str, list[Any], list[str]] = ("account_tags.type = $1 AND flavor_tags.type = $2", ["investor", "currency"], ["account_id", "flavor_id"])
    deposit(ledger, 10)
    declared = ledger.sums.declare("cash/by-account", *question)
    assert declared == ledger.sums.declare("cash/by-account", *question)
    for number in (20, 30):
        assert ledger.sums.read("cash/by-account") == ledger.tokens.sum(*question)
        deposit(ledger, number)
    assert [(one.group["account_id"], one.amount) for one in ledger.sums.read("cash/by-account")] == [("ann", 57), ("ben", 3)]
    assert [(one.name, one.filter, one.params, one.group_by) for one in ledger.sums.list()] == [("cash/by-account", *question)]


def test_a_sum_is_dropped_and_then_not_there(ledger: Ledger) -> None:
    ledger.sums.declare("all")
    assert [one.amount for one in ledger.sums.read("all")] == [0]
    for _ in range(2):
        ledger.sums.drop("all")
    with pytest.raises(NotFound) as caught:
        ledger.sums.read("all")
    assert (caught.value.code, ledger.sums.list()) == ("SUM_UNKNOWN", [])


def test_a_sum_says_nothing_of_the_amount_and_has_one_question(ledger: Ledger) -> None:
    with pytest.raises(Refused) as caught:
        ledger.sums.declare("s", "amount > $1", [5])
    assert (caught.value.code, caught.value.field) == ("SUM_INVALID", "filter")
    with pytest.raises(Refused, match="GROUP_BY_INVALID"):
        ledger.sums.declare("s", group_by=["tenant_id"])
    ledger.sums.declare("s", "account_id = $1", ["ann"])
    with pytest.raises(Conflict, match="SUM_DIFFERS"):
        ledger.sums.declare("s", "account_id = $1", ["ben"])


def test_a_sum_is_its_tenants_own(server: Server, ledger: Ledger) -> None:
    ledger.sums.declare("s")
    deposit(ledger, 9)
    with Ledger(server.url, token("t2")) as other:
        assert other.sums.list() == []
        with pytest.raises(NotFound):
            other.sums.read("s")
        other.sums.declare("s")
        assert [one.amount for one in other.sums.read("s")] == [0]
        other.sums.drop("s")
    assert [one.amount for one in ledger.sums.read("s")] == [9]
