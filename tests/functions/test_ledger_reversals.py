"""The reversal as an action of a document: whole, a part, amounts; what its answers show; and each of its refusals at its place."""

from typing import Any

import pytest

from tests.functions.api import Answer, Apis

L = "/v1/ledger"
AT = "2026-01-05T09:00:00Z"
LATER = "2026-01-05T10:00:00Z"


@pytest.fixture
def apis(stored: Apis) -> Apis:
    """Ann was issued 101 and passed 40 on to ben."""
    stored.call("operator", "POST", f"{L}/flavors", {"flavor_id": "usd"})
    for name in ("ann", "ben", "cat"):
        stored.call("operator", "POST", f"{L}/accounts", {"account_id": name})
    issue = {"type": "issue", "flavor_id": "usd", "amount": 101, "destination": "ann"}
    assert post(stored, "sale", issue, transfer(40)).status == 200
    return stored


def transfer(amount: int, source: str = "ann", to: str = "ben") -> dict[str, Any]:
    return {"type": "transfer", "flavor_id": "usd", "amount": amount, "source": source, "destination": to}


def post(apis: Apis, txn_id: str, *actions: dict[str, Any], at: str = AT, **more: Any) -> Answer:
    return apis.call("operator", "POST", f"{L}/transactions", {"txn_id": txn_id, "effective_at": at, "actions": list(actions)}, **more)


def back(apis: Apis, named: str, *, at: str = LATER, query: dict[str, str] | None = None, **terms: Any) -> Answer:
    return post(apis, named, {"type": "reverse", "txn_id": "sale", **terms}, at=at, query=query)


def held(apis: Apis) -> dict[str, int]:
    rows = apis.call("operator", "POST", f"{L}/tokens/sum", {"group_by": ["account_id"]}).body
    return {row["group"]["account_id"]: row["amount"] for row in rows if row["amount"]}


def told(apis: Apis, txn_id: str) -> Any:
    return apis.call("operator", "GET", f"{L}/transactions/{txn_id}").body


def test_the_whole_of_it_is_taken_back_newest_first(apis: Apis) -> None:
    assert back(apis, "back", action_tags={"why": "typed wrong"}).status == 200
    assert held(apis) == {}
    shown = told(apis, "back")
    assert [(one["type"], one["amount"], one["source"], one["destination"], one["action_tags"]) for one in shown["actions"]] == [
        ("transfer", 40, "ben", "ann", {"why": "typed wrong"}),
        ("retire", 101, "ann", "world", {"why": "typed wrong"}),
    ]
    assert (shown["reverses"], shown["reversed_by"], told(apis, "sale")["reversed_by"]) == (["sale"], [], ["back"])
    [listed] = apis.call("operator", "POST", f"{L}/transactions/list", {"filter": "id = 'back'"}).body["items"]
    assert listed == {name: value for name, value in shown.items() if name not in {"actions", "cursor"}}


def test_parts_of_it_add_up_to_the_whole(apis: Apis) -> None:
    for number in range(3):
        assert back(apis, f"third-{number}", part=[1, 3]).status == 200
    assert held(apis) == {}
    assert [sum(one["amount"] for one in told(apis, f"third-{number}")["actions"]) for number in range(3)] == [46, 47, 48]
    assert told(apis, "sale")["reversed_by"] == ["third-0", "third-1", "third-2"]
    assert refused(back(apis, "more", part=[1, 3])) == ("REVERSED_BEFORE", "actions.0.txn_id")


def test_a_part_of_less_than_a_token_counts_and_moves_nothing_until_it_adds_up_to_one(apis: Apis) -> None:
    assert back(apis, "bit", part=[1, 1_000]).status == 200
    assert (told(apis, "bit")["actions"], held(apis)) == ([], {"ann": 61, "ben": 40})
    assert back(apis, "most", part=[999, 1_000]).status == 200
    assert held(apis) == {}


def test_amounts_of_its_actions_are_taken_back_and_the_rest_later(apis: Apis) -> None:
    assert back(apis, "some", amounts=[[1, 15]]).status == 200
    assert held(apis) == {"ann": 76, "ben": 25}
    assert back(apis, "that", amounts=[[1, None]]).status == 200
    assert held(apis) == {"ann": 101}
    assert back(apis, "rest").status == 200
    assert held(apis) == {}


def test_a_dry_reversal_answers_as_the_reversal_would_and_leaves_nothing(apis: Apis) -> None:
    for terms in ({}, {"part": [1, 2]}, {"amounts": [[1, 40]]}):
        assert back(apis, "dry", query={"dry_run": "true"}, **terms).body["before"] is False
    assert (held(apis), told(apis, "sale")["reversed_by"]) == ({"ann": 61, "ben": 40}, [])
    assert [back(apis, "back", part=[1, 2]).body["before"] for _ in range(2)] == [False, True]
    assert told(apis, "sale")["reversed_by"] == ["back"]


def test_a_reversal_is_reversed_like_any_other(apis: Apis) -> None:
    back(apis, "back")
    assert post(apis, "again", {"type": "reverse", "txn_id": "back"}, at=LATER).status == 200
    assert held(apis) == {"ann": 61, "ben": 40}
    assert told(apis, "back")["reversed_by"] == ["again"]


def refused(answer: Answer) -> tuple[str, str | None]:
    assert answer.status == 422, answer
    return answer.body["code"], answer.body.get("field")


@pytest.mark.parametrize(
    ("terms", "code", "field"),
    [
        ({"txn_id": "nothing"}, "TRANSACTION_UNKNOWN", "txn_id"),
        ({"txn_id": 5}, "NAME_INVALID", "txn_id"),
        ({"part": [2, 1]}, "REVERSAL_INVALID", "part"),
        ({"part": [0, 1]}, "REVERSAL_INVALID", "part"),
        ({"part": [1, 2], "amounts": [[0, 1]]}, "REVERSAL_INVALID", "part"),
        ({"amounts": [[0, 1], [0, 2]]}, "REVERSAL_INVALID", "amounts"),
        ({"amounts": [[7, 1]]}, "REVERSAL_AMOUNT", "amounts"),
        ({"amounts": [[-1, 1]]}, "REVERSAL_INVALID", "amounts.0"),
        ({"amounts": [[1, 41]]}, "REVERSAL_AMOUNT", "amounts"),
        ({"amounts": [[1, 0]]}, "AMOUNT_INVALID", "amounts.0.1"),
        ({"amount": 5}, "FIELD_UNKNOWN", "amount"),
    ],
)
def test_what_cannot_be_taken_back_is_refused_at_its_place(apis: Apis, terms: dict[str, Any], code: str, field: str) -> None:
    assert refused(back(apis, "back", **terms)) == (code, f"actions.0.{field}")
    assert held(apis) == {"ann": 61, "ben": 40}


def test_spent_tokens_and_an_earlier_time_stop_it(apis: Apis) -> None:
    assert refused(back(apis, "early", at="2026-01-05T08:00:00Z"))[0] == "REVERSAL_TOO_EARLY"
    post(apis, "on", transfer(30, "ben", "cat"))
    answer = back(apis, "back")
    assert refused(answer)[0] == "TOKENS_SPENT"
    assert "cat" in answer.body["detail"]
    assert held(apis) == {"ann": 61, "ben": 10, "cat": 30}
