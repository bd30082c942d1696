"""The ledger's API: what an operator's systems send and get, on the books in memory and in PostgreSQL alike."""

import csv
import io
from typing import Any

import pytest

from tests.functions.api import Answer, Apis

L = "/v1/ledger"
AT = "2026-01-05T09:00:00Z"


@pytest.fixture
def apis(stored: Apis) -> Apis:
    """The operator's API with dollars and three accounts in the ledger; one of them has a slash in its name."""
    assert call(stored, "POST", "/flavors", {"flavor_id": "usd", "tags": {"type": "currency"}}).status == 200
    for name in ("ann", "ben", "cash/ada"):
        assert call(stored, "POST", "/accounts", {"account_id": name, "tags": {"type": "investor"}}).status == 200
    return stored


def call(apis: Apis, method: str, path: str, body: object = None, **more: Any) -> Answer:
    return apis.call("operator", method, L + path, body, party="ops", **more)


def issue(amount: int, to: str = "ann", **more: Any) -> dict[str, Any]:
    return {"type": "issue", "flavor_id": "usd", "amount": amount, "destination": to, **more}


def transfer(amount: int, source: str = "ann", to: str = "ben", **more: Any) -> dict[str, Any]:
    return {"type": "transfer", "flavor_id": "usd", "amount": amount, "source": source, "destination": to, **more}


def txn(txn_id: str, *actions: dict[str, Any], at: str = AT, **more: Any) -> dict[str, Any]:
    return {"txn_id": txn_id, "effective_at": at, "actions": list(actions), **more}


def post(apis: Apis, *asked: Any, **more: Any) -> Answer:
    return call(apis, "POST", "/transactions", txn(*asked, **more))


def held(apis: Apis, account: str) -> int:
    amount = call(apis, "POST", "/tokens/sum", {"filter": "account_id = $1", "params": [account]}).body[0]["amount"]
    assert isinstance(amount, int)
    return amount


def problem(answer: Answer) -> tuple[int, str, str | None]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status, answer.body["code"], answer.body.get("field")


# Posting


def test_a_transaction_is_posted_once_for_ever(apis: Apis) -> None:
    first, again = post(apis, "dep-1", issue(100)), post(apis, "dep-1", issue(100), at="2026-01-05T11:00:00+02:00")
    assert (first.status, again.status) == (200, 200)
    assert (first.body["before"], again.body) == (False, first.body | {"before": True})
    assert problem(post(apis, "dep-1", issue(101))) == (409, "TRANSACTION_DIFFERS", "actions.0.amount")
    assert held(apis, "ann") == 100


def test_a_dry_run_answers_as_the_posting_would_and_leaves_nothing(apis: Apis) -> None:
    dry = call(apis, "POST", "/transactions", txn("dep-1", issue(100), transfer(40)), query={"dry_run": "true"})
    assert (dry.status, dry.body["txn_id"], dry.body["before"]) == (200, "dep-1", False)
    assert problem(call(apis, "POST", "/transactions", txn("dep-2", transfer(1)), query={"dry_run": "true"})) == (422, "INSUFFICIENT_FUNDS", "actions.0.amount")
    assert held(apis, "ann") == 0
    assert call(apis, "GET", "/transactions/dep-1").status == 404
    assert post(apis, "dep-1", issue(100), transfer(40)).body["before"] is False


def test_a_refusal_names_its_code_and_its_place(apis: Apis) -> None:
    assert problem(post(apis, "a", issue(10), issue(5), transfer(16))) == (422, "INSUFFICIENT_FUNDS", "actions.2.amount")
    assert problem(post(apis, "b", issue(10), issue(5) | {"amount": 5.0})) == (422, "AMOUNT_INVALID", "actions.1.amount")
    assert problem(post(apis, "c", issue(10, "nobody"))) == (422, "ACCOUNT_UNKNOWN", "actions.0.destination")
    assert problem(post(apis, "d", transfer(1, filter="tags.x ="))) == (422, "FILTER_INVALID", "actions.0.filter")
    assert problem(post(apis, "e", issue(1), expect=[{"filter": "", "amount": 7}])) == (422, "GUARD_FAILED", "expect.0.amount")
    assert held(apis, "ann") == 0


def test_what_was_posted_under_an_id_is_told_with_its_actions_in_pages(apis: Apis) -> None:
    post(apis, "sale/1", issue(100), transfer(30), transfer(20), kind="sale", tags={"deal": 7}, at="2026-01-04T00:00:00Z")
    found = call(apis, "GET", "/transactions/sale/1")
    assert found.status == 200
    assert (found.body["kind"], found.body["effective_at"], found.body["tags"]) == ("sale", "2026-01-04T00:00:00Z", {"deal": 7})
    assert found.body["correlation_id"] == "r-1"
    assert [(one["type"], one["amount"], one["source"], one["destination"]) for one in found.body["actions"]] == [
        ("issue", 100, "world", "ann"),
        ("transfer", 30, "ann", "ben"),
        ("transfer", 20, "ann", "ben"),
    ]
    first = call(apis, "GET", "/transactions/sale%2F1", query={"limit": "2"}).body
    rest = call(apis, "GET", "/transactions/sale/1", query={"limit": "2", "cursor": first["cursor"]}).body
    assert [*first["actions"], *rest["actions"]] == found.body["actions"]
    assert rest["cursor"] is None
    assert problem(call(apis, "GET", "/transactions/other")) == (404, "TRANSACTION_UNKNOWN", "txn_id")


def test_transactions_are_listed_by_filter_newest_first(apis: Apis) -> None:
    for number in range(5):
        post(apis, f"t{number}", issue(number + 1, action_tags={"even": number % 2 == 0}))
    asked = {"filter": "actions(tags.even = $1)", "params": [True], "limit": 2}
    first = call(apis, "POST", "/transactions/list", asked).body
    second = call(apis, "POST", "/transactions/list", asked | {"cursor": first["cursor"]}).body
    assert [one["txn_id"] for one in [*first["items"], *second["items"]]] == ["t4", "t2", "t0"]
    assert second["cursor"] is None


def test_a_reversal_gives_back_and_both_transactions_say_so(apis: Apis) -> None:
    post(apis, "sale", issue(100), transfer(30))
    back = post(apis, "back", {"type": "reverse", "txn_id": "sale", "amounts": [[1, 10]]})
    assert (back.status, held(apis, "ben")) == (200, 20)
    assert problem(post(apis, "more", {"type": "reverse", "txn_id": "sale", "amounts": [[1, 21]]})) == (422, "REVERSAL_AMOUNT", "actions.0.amounts")
    post(apis, "rest", {"type": "reverse", "txn_id": "sale"})
    assert (held(apis, "ann"), held(apis, "ben")) == (0, 0)
    assert call(apis, "GET", "/transactions/sale").body["reversed_by"] == ["back", "rest"]
    assert call(apis, "GET", "/transactions/rest").body["reverses"] == ["sale"]
    assert problem(post(apis, "again", {"type": "reverse", "txn_id": "sale"})) == (422, "REVERSED_BEFORE", "actions.0.txn_id")


# Many at once


def bulk(apis: Apis, mode: str, *transactions: Any, **more: Any) -> Answer:
    return call(apis, "POST", "/transactions/bulk", {"mode": mode, "transactions": list(transactions), **more})


def test_an_atomic_bulk_posts_all_or_nothing_and_names_the_transaction_at_fault(apis: Apis) -> None:
    asked = [txn("a", issue(10)), txn("b", transfer(6)), txn("c", issue(1)), txn("d", issue(1), transfer(9)), txn("e", issue(1))]
    assert problem(bulk(apis, "atomic", *asked)) == (422, "INSUFFICIENT_FUNDS", "transactions.3.actions.1.amount")
    assert problem(bulk(apis, "atomic", asked[0], {**asked[1], "kind": 5})) == (422, "NAME_INVALID", "transactions.1.kind")
    assert problem(bulk(apis, "atomic", asked[0], txn("a", issue(11)))) == (409, "TRANSACTION_DIFFERS", "transactions.1.txn_id")
    assert held(apis, "ann") == 0
    done = bulk(apis, "atomic", *asked[:3]).body["results"]
    assert [(one["status"], one["posted"]["txn_id"], one["posted"]["before"]) for one in done] == [(200, "a", False), (200, "b", False), (200, "c", False)]
    again = bulk(apis, "atomic", *asked[:3], asked[4]).body["results"]
    assert [one["posted"]["before"] for one in again] == [True, True, True, False]
    assert (held(apis, "ann"), held(apis, "ben")) == (6, 6)


REFUSED = [
    txn("no-amount", {"type": "issue", "flavor_id": "usd", "destination": "ann"}),
    txn("fraction", issue(5) | {"amount": 0.5}),
    txn("poor", transfer(1_000_000)),
    txn("nobody", issue(1, "nobody")),
    txn("gold", issue(1) | {"flavor_id": "gold"}),
    txn("first", issue(2)),
    txn("backdated", transfer(1), at="2025-01-01T00:00:00Z"),
    txn("no-hold", {"type": "release_hold", "hold_id": "h"}),
    txn("guard", issue(1), expect=[{"filter": "", "count": 99}]),
    txn("empty"),
    txn("self", {"type": "retire", "flavor_id": "usd", "amount": 1, "source": "ann", "destination": "ann"}),
    5,
]


def test_a_continued_bulk_says_of_each_what_a_call_of_its_own_would_say(apis: Apis) -> None:
    post(apis, "first", issue(1))
    singles = [call(apis, "POST", "/transactions", one) if isinstance(one, dict) else None for one in REFUSED]
    good = [txn("g1", issue(7)), txn("g2", transfer(3))]
    results = bulk(apis, "continue", good[0], *REFUSED, good[1]).body["results"]
    assert [results[0]["status"], results[-1]["status"]] == [200, 200]
    for single, item in zip(singles, results[1:-1], strict=True):
        assert item["posted"] is None
        if single is not None:
            assert (item["status"], item["problem"]) == (single.status, single.body)
    assert results[-2]["problem"]["code"] == "FIELD_INVALID"
    assert (held(apis, "ann"), held(apis, "ben")) == (5, 3)
    assert [one["posted"]["before"] for one in bulk(apis, "continue", *good).body["results"]] == [True, True]


def test_a_dry_bulk_leaves_nothing(apis: Apis) -> None:
    for mode in ("atomic", "continue"):
        assert bulk(apis, mode, txn("a", issue(10)), txn("b", issue(5)), dry_run=True).body["results"][1]["posted"]["txn_id"] == "b"
    assert held(apis, "ann") == 0


def test_the_same_transaction_twice_in_a_bulk_is_posted_once(apis: Apis) -> None:
    results = bulk(apis, "continue", txn("a", issue(10)), txn("a", issue(10)), txn("a", issue(11))).body["results"]
    assert [(one["status"], (one["posted"] or {}).get("before")) for one in results] == [(200, False), (200, True), (409, None)]
    assert held(apis, "ann") == 10


NO_BULKS: list[dict[str, Any]] = [
    {},
    {"mode": "atomic"},
    {"mode": "some", "transactions": [txn("a")]},
    {"mode": "atomic", "transactions": []},
    {"mode": "atomic", "transactions": [txn("a")] * 1_001},
    {"mode": "atomic", "transactions": [txn("a")], "dry_run": "true"},
]


@pytest.mark.parametrize("body", NO_BULKS)
def test_a_bulk_has_a_mode_and_one_to_a_thousand_transactions(apis: Apis, body: dict[str, Any]) -> None:
    assert call(apis, "POST", "/transactions/bulk", body).status == 422


# Accounts and flavors


def test_an_account_is_opened_once_read_tagged_anew_and_closed(apis: Apis) -> None:
    body = {"account_id": "line/1", "tags": {"type": "borrower"}, "floor": -50}
    shown = body | {"hot": False, "closed": False, "key_ids": [], "quorum": None}
    assert call(apis, "POST", "/accounts", body).body == call(apis, "POST", "/accounts", body).body == shown
    assert problem(call(apis, "POST", "/accounts", body | {"floor": 0})) == (409, "ACCOUNT_DIFFERS", "account_id")
    assert call(apis, "GET", "/accounts/line/1").body == call(apis, "GET", "/accounts/line%2F1").body == shown
    assert call(apis, "PATCH", "/accounts/line/1", {"tags": {"type": "former"}}).body["tags"] == {"type": "former"}
    post(apis, "a", issue(5, "line/1"))
    assert problem(call(apis, "PATCH", "/accounts/line/1", {"closed": True})) == (422, "ACCOUNT_NOT_EMPTY", "account_id")
    post(apis, "b", {"type": "retire", "flavor_id": "usd", "amount": 5, "source": "line/1"})
    assert call(apis, "PATCH", "/accounts/line/1", {"closed": True}).body == shown | {"tags": {"type": "former"}, "closed": True}
    assert call(apis, "PATCH", "/accounts/line/1", {"closed": True}).status == 200
    assert problem(post(apis, "c", issue(5, "line/1"))) == (422, "ACCOUNT_CLOSED", "actions.0.destination")


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "FIELD_MISSING", "tags"),
        ({"tags": {}, "closed": True}, "FIELD_MISSING", "tags"),
        ({"closed": False}, "FIELD_INVALID", "closed"),
        ({"closed": "yes"}, "INVALID", "closed"),
        ({"tags": {"rate": 0.5}}, "TAGS_INVALID", "tags.rate"),
        ({"tags": []}, "INVALID", "tags"),
        ({"floor": -5}, "INVALID", "floor"),
    ],
)
def test_a_change_is_new_tags_or_the_end(apis: Apis, body: dict[str, Any], code: str, field: str) -> None:
    assert problem(call(apis, "PATCH", "/accounts/ann", body)) == (422, code, field)
    assert problem(call(apis, "PATCH", "/accounts/nobody", {"tags": {}})) == (404, "ACCOUNT_UNKNOWN", "account_id")


def test_accounts_and_flavors_are_listed_by_filter_and_by_name(apis: Apis) -> None:
    asked = {"filter": "tags.type = $1", "params": ["investor"], "limit": 2}
    first = call(apis, "POST", "/accounts/list", asked).body
    second = call(apis, "POST", "/accounts/list", asked | {"cursor": first["cursor"]}).body
    assert [one["account_id"] for one in [*first["items"], *second["items"]]] == ["ann", "ben", "cash/ada"]
    assert call(apis, "POST", "/flavors/list", {"filter": "id = 'usd'"}).body == {
        "items": [{"flavor_id": "usd", "tags": {"type": "currency"}, "key_ids": [], "quorum": None}],
        "cursor": None,
        "previous": None,
    }


def test_a_flavor_is_opened_once_read_and_tagged_anew(apis: Apis) -> None:
    loan = {"flavor_id": "loan/acorn/1", "tags": {"type": "loan"}}
    assert call(apis, "POST", "/flavors", loan).body == call(apis, "POST", "/flavors", loan).body == loan | {"key_ids": [], "quorum": None}
    assert problem(call(apis, "POST", "/flavors", loan | {"tags": {}})) == (409, "FLAVOR_DIFFERS", "tags")
    assert call(apis, "PATCH", "/flavors/loan/acorn/1", {"tags": {"type": "repaid"}}).body == call(apis, "GET", "/flavors/loan/acorn/1").body
    assert call(apis, "GET", "/flavors/loan/acorn/1").body["tags"] == {"type": "repaid"}
    assert problem(call(apis, "GET", "/flavors/gold")) == (404, "FLAVOR_UNKNOWN", "flavor_id")
    assert problem(call(apis, "PATCH", "/flavors/gold", {"tags": {}})) == (404, "FLAVOR_UNKNOWN", "flavor_id")


# Tokens, actions, holds


def test_tokens_are_listed_and_summed_now_and_as_of_two_times(apis: Apis) -> None:
    post(apis, "a", issue(100, token_tags={"n": 1}), issue(50, token_tags={"n": 2}), at="2026-01-01T00:00:00Z")
    post(apis, "b", transfer(30, token_tags={"n": 3}, filter="tags.n = $1", params=[2]), at="2026-01-03T00:00:00Z")
    asked = {"filter": "flavor_id = 'usd'", "limit": 2}
    first = call(apis, "POST", "/tokens/list", asked).body
    second = call(apis, "POST", "/tokens/list", asked | {"cursor": first["cursor"]}).body
    found = sorted((one["account_id"], one["tags"]["n"], one["amount"], one["held"]) for one in [*first["items"], *second["items"]])
    assert found == [("ann", 1, 100, 0), ("ann", 2, 20, 0), ("ben", 3, 30, 0)]
    by_n = call(apis, "POST", "/tokens/sum", {"group_by": ["accountId", "tags.n"], "effective_at": "2026-01-02T00:00:00Z"}).body
    assert sorted((one["group"]["tags.n"], one["amount"]) for one in by_n) == [(1, 100), (2, 50)]
    assert call(apis, "POST", "/tokens/sum", {"known_at": "2020-01-01T00:00:00Z"}).body == [{"group": {}, "amount": 0, "count": 0, "min": None, "max": None}]
    assert problem(call(apis, "POST", "/tokens/sum", {"effective_at": "yesterday"})) == (422, "TIME_INVALID", "effective_at")


def test_actions_are_listed_newest_first_and_summed(apis: Apis) -> None:
    post(apis, "a", issue(100, action_tags={"type": "deposit"}))
    post(apis, "b", transfer(40, action_tags={"type": "sale"}))
    listed = call(apis, "POST", "/actions/list", {"filter": "source_account_id = 'ann'"}).body
    assert [(one["txn_id"], one["action_no"], one["amount"], one["action_tags"]) for one in listed["items"]] == [("b", 0, 40, {"type": "sale"})]
    sums = call(apis, "POST", "/actions/sum", {"group_by": ["tags.type"]}).body
    assert sorted((one["group"]["tags.type"], one["amount"]) for one in sums) == [("deposit", 100), ("sale", 40)]
    by_month = call(apis, "POST", "/actions/sum", {"group_by": ["month(timestamp)"], "having": [{"of": "count", "op": ">=", "value": 2}]}).body
    assert by_month == [{"group": {"month(timestamp)": "2026-01"}, "amount": 140, "count": 2, "min": 40, "max": 100}]
    assert problem(call(apis, "POST", "/actions/sum", {"group_by": ["nothing"]})) == (422, "GROUP_BY_INVALID", "group_by")


def test_a_hold_is_told_by_its_id(apis: Apis) -> None:
    reserve = {"type": "reserve", "hold_id": "order/1", "flavor_id": "usd", "amount": 60, "source": "ann", "expires_at": "2026-02-01T00:00:00Z"}
    post(apis, "a", issue(100), reserve)
    post(apis, "b", {"type": "post_hold", "hold_id": "order/1", "destination": "ben", "amount": 20, "keep_rest": True})
    assert call(apis, "GET", "/holds/order/1").body == {
        "hold_id": "order/1",
        "account_id": "ann",
        "flavor_id": "usd",
        "state": "open",
        "expires_at": "2026-02-01T00:00:00Z",
        "reserved": 60,
        "posted": 20,
        "released": 0,
        "left": 40,
    }
    assert problem(call(apis, "GET", "/holds/other")) == (404, "HOLD_UNKNOWN", "hold_id")


# Statements and the trial balance


JANUARY = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}


def test_a_statement_is_read_page_by_page_and_its_totals_are_those_of_all_of_it(apis: Apis) -> None:
    post(apis, "before", issue(10, "cash/ada"), at="2025-12-31T23:59:59Z")
    for number in range(3):
        post(apis, f"t{number}", issue(number + 1, "cash/ada", action_tags={"type": "deposit"}), at=f"2026-01-0{number + 1}T00:00:00Z")
    post(apis, "after", issue(100, "cash/ada"), at="2026-02-01T00:00:00Z")
    first = call(apis, "GET", "/statements/cash/ada", query=JANUARY | {"limit": "2"}).body
    second = call(apis, "GET", "/statements/cash/ada", query=JANUARY | {"limit": "2", "cursor": first["cursor"]}).body
    assert first["totals"] == second["totals"] == [{"flavor_id": "usd", "opening": 10, "closing": 16}]
    entries = [*first["entries"], *second["entries"]]
    assert [(one["txn_id"], one["amount"], one["balance"], one["other_account_id"], one["tags"]) for one in entries] == [
        (f"t{number}", number + 1, balance, "world", {"type": "deposit"}) for number, balance in enumerate((11, 13, 16))
    ]
    assert (first["account_id"], second["cursor"]) == ("cash/ada", None)


def test_a_statement_as_csv_has_its_balances_before_and_after_the_entries(apis: Apis) -> None:
    for number in range(3):
        post(apis, f"t{number}", issue(number + 1, "ann", action_tags={"note": 'a "quoted", one'}), at=f"2026-01-0{number + 1}T00:00:00Z")
    asked = JANUARY | {"format": "csv", "limit": "2"}
    first = call(apis, "GET", "/statements/ann", query=asked)
    second = call(apis, "GET", "/statements/ann", query=asked | {"cursor": first.headers["x-next-cursor"]})
    assert (first.status, first.headers["content-type"]) == (200, "text/csv")
    assert "x-next-cursor" not in second.headers
    rows = [row for page in (first, second) for row in csv.DictReader(io.StringIO(page.body, newline=""))]
    assert [(row["type"], row["amount"], row["balance"]) for row in rows] == [
        ("opening", "", "0"),
        ("issue", "1", "1"),
        ("issue", "2", "3"),
        ("issue", "3", "6"),
        ("closing", "", "6"),
    ]
    assert (rows[1]["effective_at"], rows[1]["tags"]) == ("2026-01-01T00:00:00Z", '{"note":"a \\"quoted\\", one"}')


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({}, "INVALID", "from"),
        (JANUARY | {"from": "2026-01-01"}, "TIME_INVALID", "from"),
        (JANUARY | {"from": "1767225600"}, "TIME_INVALID", "from"),
        (JANUARY | {"to": "2025-01-01T00:00:00Z"}, "INTERVAL_INVALID", "to"),
        (JANUARY | {"known_at": "now"}, "TIME_INVALID", "known_at"),
        (JANUARY | {"flavor_id": "gold"}, "FLAVOR_UNKNOWN", "flavor_id"),
        (JANUARY | {"flavor_id": "' or 1=1 --"}, "FLAVOR_UNKNOWN", "flavor_id"),
        (JANUARY | {"cursor": "x"}, "CURSOR_INVALID", "cursor"),
        (JANUARY | {"limit": "0"}, "INVALID", "limit"),
        (JANUARY | {"limit": "1e3"}, "INVALID", "limit"),
        (JANUARY | {"format": "xlsx"}, "INVALID", "format"),
    ],
)
def test_a_statement_that_makes_no_sense_is_refused(apis: Apis, query: dict[str, str], code: str, field: str) -> None:
    assert problem(call(apis, "GET", "/statements/ann", query=query)) == (422, code, field)
    assert problem(call(apis, "GET", "/statements/nobody", query=JANUARY)) == (404, "ACCOUNT_UNKNOWN", "account_id")


def test_the_trial_balance_balances(apis: Apis) -> None:
    post(apis, "a", issue(100), transfer(40), at="2026-01-03T00:00:00Z")
    assert call(apis, "GET", "/trial-balance").body == [{"flavor_id": "usd", "accounts": 3, "debits": 140, "credits": 140}]
    assert call(apis, "GET", "/trial-balance", query={"effective_at": "2026-01-02T00:00:00Z"}).body == []
    assert problem(call(apis, "GET", "/trial-balance", query={"known_at": "x"})) == (422, "TIME_INVALID", "known_at")
