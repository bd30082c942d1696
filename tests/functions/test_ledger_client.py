"""The client by itself: tries again with the same id, raises what the API says, pages as it is read, lets no fraction through."""

import ast
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from functions.operator_api.client.bourse_ledger_client import (
    Builder,
    Conflict,
    InsufficientFunds,
    Ledger,
    NotAllowed,
    NotFound,
    Posted,
    Refused,
    Reserved,
    Unavailable,
    major_units,
    minor_units,
)
from tests.functions.api import Apis
from tests.functions.ledger_server import Fault, Server, serving, token

FOLDER = Path(__file__).resolve().parents[2] / "functions/operator_api/client/bourse_ledger_client"
AT = "2026-01-05T09:00:00Z"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Apis()) as made:
        yield made


@pytest.fixture
def waits() -> list[Any]:
    """Seconds the client would have slept."""
    return []


@pytest.fixture
def ledger(server: Server, waits: list[Any]) -> Iterator[Ledger]:
    with Ledger(server.url, token(), wait=waits.append) as made:
        made.flavors.open("usd")
        for name in ("ann", "ben"):
            made.accounts.open(name)
        yield made


def issue(ledger: Ledger, txn_id: str, amount: int = 100) -> Builder:
    return ledger.transaction(txn_id, AT).issue("usd", amount, destination="ann")


# Trying again


@pytest.mark.parametrize("fault", ["lost_before", "lost_after", "503", "502"])
def test_a_failed_try_is_repeated_and_nothing_is_done_twice(server: Server, ledger: Ledger, waits: list[Any], fault: Fault) -> None:
    server.faults = [fault, fault]
    posted = issue(ledger, "dep-1").transact()
    assert (posted.txn_id, posted.before) == ("dep-1", fault == "lost_after")
    assert [one.amount for one in ledger.tokens.sum()] == [100]
    assert len(waits) == 2
    assert all(0 < wait <= 15 for wait in waits)
    assert all(wait >= 2 for wait in waits) or fault != "503", "Retry-After is the least"


def test_after_the_last_try_it_is_unavailable_and_later_the_same_goes_on(server: Server) -> None:
    with Ledger(server.url, token(), wait=lambda _: None, tries_max=3) as ledger:
        ledger.flavors.open("usd")
        ledger.accounts.open("ann")
        server.faults = ["lost_after"] * 3
        with pytest.raises(Unavailable) as caught:
            issue(ledger, "dep-1").transact()
        assert caught.value.code == "NO_ANSWER"
        server.faults = ["503"] * 3
        with pytest.raises(Unavailable) as caught:
            issue(ledger, "dep-1").transact()
        assert (caught.value.status, caught.value.code) == (503, "UNAVAILABLE")
        assert issue(ledger, "dep-1").transact().before
        assert ledger.tokens.sum()[0].amount == 100


def test_nobody_listens(server: Server) -> None:
    with Ledger("http://127.0.0.1:1", token(), wait=lambda _: None, tries_max=2) as ledger, pytest.raises(Unavailable):
        ledger.trial_balance()


def test_what_is_refused_is_not_tried_again(server: Server, ledger: Ledger, waits: list[Any]) -> None:
    before = len(server.asked)
    with pytest.raises(InsufficientFunds) as caught:
        ledger.transaction("t", AT).retire("usd", 1, source="ann").transact()
    assert (len(server.asked) - before, waits) == (1, [])
    assert (caught.value.status, caught.value.code, caught.value.field, caught.value.request_id) == (422, "INSUFFICIENT_FUNDS", "actions.0.amount", "r-9")
    assert str(caught.value) == "INSUFFICIENT_FUNDS: 1 are wanted and 0 match (at actions.0.amount)"


# Errors


def test_each_refusal_is_an_exception_of_its_own(server: Server, ledger: Ledger) -> None:
    issue(ledger, "dep-1").reserve("h", "usd", 60, source="ann").transact()
    with pytest.raises(Reserved):
        ledger.transaction("t1", AT).retire("usd", 41, source="ann").transact()
    with pytest.raises(Conflict, match="ACCOUNT_DIFFERS"):
        ledger.accounts.open("ann", {"type": "other"})
    for missing in (lambda: ledger.accounts.get("x"), lambda: ledger.flavors.get("x"), lambda: ledger.transactions.get("x"), lambda: ledger.hold("x")):
        with pytest.raises(NotFound):
            missing()
    with pytest.raises(Refused, match="FILTER_INVALID") as caught:
        list(ledger.tokens.list("tags.x ="))
    assert type(caught.value) is Refused


@pytest.mark.parametrize("bearer", ["x", "", token(audience="investor"), token(audience="originator")])
def test_a_token_that_is_not_the_operators_opens_nothing(server: Server, bearer: str) -> None:
    with Ledger(server.url, bearer) as ledger, pytest.raises(NotAllowed) as caught:
        ledger.trial_balance()
    assert caught.value.status == 403


def test_another_tenants_token_sees_another_ledger(server: Server, ledger: Ledger) -> None:
    issue(ledger, "dep-1").transact()
    with Ledger(server.url, token("t2")) as other:
        assert (list(other.tokens.list()), list(other.transactions.list()), other.trial_balance()) == ([], [], [])
        for missing in (lambda: other.accounts.get("ann"), lambda: other.transactions.get("dep-1"), lambda: other.statement("ann", AT, AT)):
            with pytest.raises(NotFound):
                missing()
        other.flavors.open("usd", {"mine": True})
        other.accounts.open("ann")
        assert not issue(other, "dep-1", 7).transact().before
    assert ledger.tokens.sum()[0].amount == 100


# Nouns


def test_what_was_posted_is_read_as_it_was_built(ledger: Ledger) -> None:
    at = datetime(2026, 1, 5, 10, tzinfo=UTC)
    made = ledger.transaction("deal/7", at, kind="sale", tags={"deal": 7})
    made.issue("usd", 100, destination="ann", token_tags={"n": 1}, action_tags={"type": "deposit"})
    made.transfer("usd", 40, source="ann", destination="ben", where="tags.n=$1", params=[1], order="lifo", carry_tags=["n"])
    made.reserve("h/1", "usd", 20, source="ann", expires_at=datetime(2026, 2, 1, tzinfo=UTC)).post_hold("h/1", destination="ben", amount=5, keep_rest=True)
    posted = made.transact()
    found = ledger.transactions.get("deal/7")
    assert (found.sequence_number, found.recorded_at, found.kind, found.tags, found.effective_at) == (
        posted.sequence_number,
        posted.recorded_at,
        "sale",
        {"deal": 7},
        at,
    )
    assert [(one.type, one.amount, one.token_tags) for one in found.actions] == [("issue", 100, {"n": 1}), ("transfer", 40, {"n": 1}), ("transfer", 5, {})]
    hold = ledger.hold("h/1")
    assert (hold.state, hold.left, hold.expires_at) == ("open", 15, datetime(2026, 2, 1, tzinfo=UTC))
    ledger.transaction("deal/8", at).release_hold("h/1").transact()
    assert (ledger.hold("h/1").state, ledger.hold("h/1").released) == ("over", 15)


def test_a_posting_is_taken_back_in_parts_and_once_only(ledger: Ledger) -> None:
    issue(ledger, "dep-1").transact()
    ledger.transaction("half", AT).reverse("dep-1", part=(1, 2)).transact()
    assert ledger.tokens.sum()[0].amount == 50
    ledger.transaction("some", AT).reverse("dep-1", amounts=[(0, 20)]).transact()
    ledger.transaction("rest", AT).reverse("dep-1").transact()
    assert (ledger.tokens.sum()[0].amount, ledger.transactions.get("dep-1").reversed_by) == (0, ["half", "some", "rest"])
    with pytest.raises(Refused, match="REVERSED_BEFORE"):
        ledger.transaction("more", AT).reverse("dep-1").transact()


def test_accounts_and_flavors_are_opened_tagged_and_closed(ledger: Ledger) -> None:
    assert ledger.accounts.open("cash/ada", {"type": "investor"}, floor=None, hot=True) == ledger.accounts.get("cash/ada")
    assert ledger.accounts.tag("cash/ada", {"type": "former"}).tags == {"type": "former"}
    assert ledger.accounts.close("cash/ada").closed
    assert [one.account_id for one in ledger.accounts.list("tags.type='former'")] == ["cash/ada"]
    assert ledger.flavors.tag("usd", {"type": "currency"}) == ledger.flavors.get("usd")
    assert [one.flavor_id for one in ledger.flavors.list()] == ["usd"]


def test_lists_fetch_page_after_page_as_they_are_read(server: Server, ledger: Ledger) -> None:
    for number in range(7):
        issue(ledger, f"t{number}", number + 1).transact()
    before = len(server.asked)
    listed = ledger.actions.list("amount > $1", [1], page=2)
    assert (len(server.asked) - before, next(listed).amount, len(server.asked) - before) == (0, 7, 1)
    assert [one.amount for one in listed] == [6, 5, 4, 3, 2]
    assert len(server.asked) - before == 3
    statement = ledger.statement("ann", AT, "2026-01-06T00:00:00Z", page=3)
    assert [one.balance for one in statement.entries] == [1, 3, 6, 10, 15, 21, 28]


def test_many_transactions_go_in_one_call_all_or_each(server: Server, ledger: Ledger) -> None:
    poor = ledger.transaction("poor", AT).retire("usd", 1_000, source="ann")
    with pytest.raises(InsufficientFunds) as caught:
        ledger.transactions.post_all([issue(ledger, "a"), poor])
    assert caught.value.field == "transactions.1.actions.0.amount"
    assert ledger.tokens.sum()[0].amount == 0
    before = len(server.asked)
    first, second, third = ledger.transactions.post_each([issue(ledger, "a"), poor, issue(ledger, "b")])
    assert len(server.asked) - before == 1
    assert isinstance(first, Posted)
    assert isinstance(third, Posted)
    assert isinstance(second, InsufficientFunds)
    assert (second.code, second.field) == ("INSUFFICIENT_FUNDS", "actions.0.amount")
    assert [one.before for one in ledger.transactions.post_all([issue(ledger, "a"), issue(ledger, "b")], dry_run=True)] == [True, True]


def test_sums_are_told_as_of_two_times(ledger: Ledger) -> None:
    issue(ledger, "a").transact()
    assert ledger.tokens.sum(effective_at=datetime(2026, 1, 1, tzinfo=UTC))[0].amount == 0
    assert ledger.tokens.sum(known_at="2020-01-01T00:00:00Z")[0].amount == 0
    assert ledger.trial_balance(effective_at="2026-01-05T08:59:59Z") == []
    with pytest.raises(ValueError, match="zone"):
        ledger.tokens.sum(effective_at=datetime(2026, 1, 1))


# Whole numbers only


@pytest.mark.parametrize("amount", [1.0, 0.1 + 0.2, True, "5", Decimal(5), None])
def test_an_amount_that_is_no_whole_number_never_leaves(server: Server, ledger: Ledger, amount: Any) -> None:
    before = len(server.asked)
    for build in (
        lambda made: made.issue("usd", amount, destination="ann"),
        lambda made: made.transfer("usd", amount, source="ann", destination="ben"),
        lambda made: made.retire("usd", amount, source="ann"),
        lambda made: made.reserve("h", "usd", amount, source="ann"),
        lambda made: made.distribute("usd", amount, source="ann", over_flavor_id="usd"),
        lambda made: made.distribute("usd", 5, source="ann", over_flavor_id="usd", fee=(amount, 100)),
    ):
        with pytest.raises(TypeError, match="whole number"):
            build(ledger.transaction("t", AT))
    assert len(server.asked) == before


@pytest.mark.parametrize(("tags", "place"), [({"rate": 0.1}, "rate"), ({"a": [1, {"b": Decimal("0.1")}]}, "a.1.b"), ({"at": datetime(2026, 1, 1)}, "at")])
def test_a_fraction_in_tags_never_leaves(ledger: Ledger, tags: dict[str, Any], place: str) -> None:
    made = ledger.transaction("t", AT).issue("usd", 1, destination="ann", token_tags=tags)
    with pytest.raises(TypeError, match=f"transaction.actions.0.token_tags.{place}"):
        made.transact()
    with pytest.raises(TypeError, match=f"body.tags.{place}"):
        ledger.accounts.tag("ann", tags)
    with pytest.raises(TypeError, match="no text"):
        ledger.accounts.tag("ann", {1: "a"})


EXACT: list[tuple[Any, int, int]] = [
    ("110.00", 2, 11_000),
    ("0.1", 2, 10),
    (Decimal("1E+2"), 2, 10_000),
    (7, 2, 700),
    ("-3.50", 2, -350),
    ("1.500", 2, 150),
    ("12", 0, 12),
    ("1.234", 3, 1_234),
]


@pytest.mark.parametrize(("amount", "digits", "minor"), EXACT)
def test_decimal_texts_become_minor_units_exactly(amount: Any, digits: int, minor: int) -> None:
    assert minor_units(amount, digits) == minor
    assert major_units(minor, digits) == Decimal(amount)
    assert minor_units("92233720368547758.07") == 2**63 - 1


@pytest.mark.parametrize("amount", [1.5, 1.0, True, None, b"1"])
def test_an_amount_that_may_not_be_exact_is_refused(amount: Any) -> None:
    with pytest.raises(TypeError):
        minor_units(amount)
    with pytest.raises(TypeError):
        major_units(amount)


@pytest.mark.parametrize("amount", ["0.001", "1.005", "NaN", "Infinity", "", "1,50", "1e-3", "92233720368547758.08", "1e999999", "1e-999999"])
def test_an_amount_the_ledger_cannot_count_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match=r"number|amount|minor|counts"):
        minor_units(amount)


def test_the_client_needs_nothing_but_python() -> None:
    nodes = [node for path in FOLDER.glob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    needed = {one.name for node in nodes if isinstance(node, ast.Import) for one in node.names}
    needed |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    assert needed
    assert {name.split(".")[0] for name in needed} <= sys.stdlib_module_names


@pytest.mark.parametrize("url", ["", "operator.example.com", "ftp://x", "file:///etc/passwd", "https://"])
def test_an_address_is_one_of_an_api(url: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        Ledger(url, "t")
