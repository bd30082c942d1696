"""What nobody should send to the ledger's API, on PostgreSQL: every answer is a problem document below 500 with its code, and nothing is kept."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Unavailable
from bourse.ledger.cursors import cursor_of

from tests.functions.api import Answer, Apis

L = "/v1/ledger"
AT = "2026-01-05T09:00:00Z"
ISSUE = {"type": "issue", "flavor_id": "usd", "amount": 5, "destination": "ann"}
TXN = {"txn_id": "t", "effective_at": AT, "actions": [ISSUE]}
LISTS = [f"{L}/{noun}/list" for noun in ("transactions", "accounts", "flavors", "tokens", "actions")]
SUMS = [f"{L}/tokens/sum", f"{L}/actions/sum"]
NUL, LONE = "\\u0000", "\\ud800"


@pytest.fixture
def apis(database: Database) -> Iterator[Apis]:
    """The ledger of t1 holds 100 dollars of ann's; that of t2 has an account of its own."""
    made = Apis.on(database)
    for tenant in ("t1", "t2"):
        made.call("operator", "POST", f"{L}/flavors", {"flavor_id": "usd"}, tenant=tenant)
        made.call("operator", "POST", f"{L}/accounts", {"account_id": "ann"}, tenant=tenant)
    made.call("operator", "POST", f"{L}/accounts", {"account_id": "secret"}, tenant="t2")
    seed = TXN | {"txn_id": "seed", "actions": [ISSUE | {"amount": 100}]}
    assert made.call("operator", "POST", f"{L}/transactions", seed).status == 200
    yield made
    assert total(made) == 100


def total(apis: Apis) -> int:
    amount = apis.call("operator", "POST", f"{L}/tokens/sum", {}).body[0]["amount"]
    assert isinstance(amount, int)
    return amount


def post(apis: Apis, path: str, body: object = None, **more: Any) -> Answer:
    return apis.call("operator", "POST", path, body, **more)


def code(answer: Answer, *statuses: int) -> str:
    assert answer.status in (statuses or (422,)), answer
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.body["code"])


# Amounts


@pytest.mark.parametrize(
    "amount", ["5.0", "1e3", "1E400", "-1", "0", "9223372036854775808", "1" + "0" * 400, "true", "false", '"5"', "null", "[5]", "{}", '{"$numberLong": "5"}']
)
def test_only_a_json_integer_is_an_amount(apis: Apis, amount: str) -> None:
    raw = json.dumps(TXN).replace('"amount": 5', f'"amount": {amount}')
    answer = post(apis, f"{L}/transactions", raw=raw)
    assert (code(answer), answer.body["field"]) == ("AMOUNT_INVALID", "actions.0.amount")
    each = post(apis, f"{L}/transactions/bulk", raw=f'{{"mode": "continue", "transactions": [{raw}]}}')
    assert [one["problem"] for one in each.body["results"]] == [answer.body]
    atomic = post(apis, f"{L}/transactions/bulk", raw=f'{{"mode": "atomic", "transactions": [{raw}]}}')
    assert (code(atomic), atomic.body["field"]) == ("AMOUNT_INVALID", "transactions.0.actions.0.amount")


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity", "05", "+5", "0x5", "5_0", "1" + "0" * 5_000])
def test_a_number_that_is_none_in_json_is_refused(apis: Apis, amount: str) -> None:
    raw = json.dumps(TXN).replace('"amount": 5', f'"amount": {amount}')
    assert code(post(apis, f"{L}/transactions", raw=raw)) == "INVALID"


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "1.0", "true", '"5"', "1e2", "null", "9" * 30])
@pytest.mark.parametrize("path", LISTS)
def test_a_limit_is_a_whole_number_to_a_thousand(apis: Apis, path: str, limit: str) -> None:
    assert code(post(apis, path, raw=f'{{"limit": {limit}}}')) == "INVALID"


@pytest.mark.parametrize("floor", ["1", "0.0", "-5.5", "true", '"-5"', "[]", "-9223372036854775808", "-" + "9" * 40])
def test_a_floor_is_a_whole_number_not_above_zero(apis: Apis, floor: str) -> None:
    assert code(post(apis, f"{L}/accounts", raw=f'{{"account_id": "new", "floor": {floor}}}')) in {"FLOOR_INVALID", "INVALID"}
    assert apis.call("operator", "GET", f"{L}/accounts/new").status == 404


def test_an_account_never_holds_more_than_can_be_counted_and_sums_of_many_are_told_whole(apis: Apis) -> None:
    most, accounts = 2**63 - 1, [f"rich{number}" for number in range(3)]
    for name in accounts:
        post(apis, f"{L}/accounts", {"account_id": name})
        post(apis, f"{L}/accounts", {"account_id": f"of-{name}", "floor": None})
        rich = ISSUE | {"amount": most, "destination": name, "source": f"of-{name}"}
        assert post(apis, f"{L}/transactions", TXN | {"txn_id": name, "actions": [rich]}).status == 200
        once_more = post(apis, f"{L}/transactions", TXN | {"txn_id": f"{name}-more", "actions": [rich | {"amount": 1, "source": "of-rich0"}]})
        assert (code(once_more), once_more.body["field"].startswith("actions")) == ("AMOUNT_INVALID", True)
        filtered = {"type": "transfer", "flavor_id": "usd", "amount": 1, "source": "ann", "destination": name, "filter": "amount > 0"}
        assert code(post(apis, f"{L}/transactions", TXN | {"txn_id": f"{name}-filtered", "actions": [filtered]})) == "AMOUNT_INVALID"
    assert total(apis) == 3 * most + 100
    assert post(apis, f"{L}/actions/sum", {}).body[0]["amount"] == 3 * most + 100
    assert code(post(apis, f"{L}/transactions", TXN | {"expect": [{"filter": "", "amount": most}]})) == "GUARD_FAILED"
    assert [(row["debits"], row["credits"]) for row in apis.call("operator", "GET", f"{L}/trial-balance").body] == [(3 * most + 100,) * 2]
    for name in accounts:
        back = {"type": "retire", "flavor_id": "usd", "amount": most, "source": name, "destination": f"of-{name}"}
        assert post(apis, f"{L}/transactions", TXN | {"txn_id": f"back-{name}", "actions": [back]}).status == 200


# Shapes


def test_fields_nobody_knows_are_refused(apis: Apis) -> None:
    assert code(post(apis, f"{L}/transactions", TXN | {"tenant_id": "t2"})) == "FIELD_UNKNOWN"
    assert code(post(apis, f"{L}/transactions", TXN | {"actions": [ISSUE | {"tenant_id": "t2"}]})) == "FIELD_UNKNOWN"
    for path in (*LISTS, *SUMS, f"{L}/accounts", f"{L}/flavors", f"{L}/transactions/bulk"):
        assert code(post(apis, path, {"tenant_id": "t2", "account_id": "x", "flavor_id": "x"})) == "INVALID"
    assert code(apis.call("operator", "PATCH", f"{L}/accounts/ann", {"hot": True})) == "INVALID"


@pytest.mark.parametrize("raw", ["", "{", "[]", "null", '"x"', "5", "[" * 100_000, '{"a":' * 50_000, "\x00", "{'a': 1}"])
@pytest.mark.parametrize("path", [f"{L}/transactions", f"{L}/transactions/bulk", f"{L}/tokens/list", f"{L}/actions/sum", f"{L}/accounts"])
def test_a_body_that_is_none_is_refused(apis: Apis, path: str, raw: str) -> None:
    assert post(apis, path, raw=raw).status in {400, 422}


def test_deep_json_is_refused_wherever_it_stands(apis: Apis) -> None:
    for depth in (9, 200, 900, 20_000):
        deep = '{"a":' * depth + "1" + "}" * depth
        for raw in (
            json.dumps(TXN | {"tags": "?"}).replace('"?"', deep),
            json.dumps(TXN | {"actions": [ISSUE | {"token_tags": "?"}]}).replace('"?"', deep),
            json.dumps(TXN | {"actions": "?"}).replace('"?"', deep),
            json.dumps(TXN | {"actions": [ISSUE | {"amount": "?"}]}).replace('"?"', deep),
        ):
            assert post(apis, f"{L}/transactions", raw=raw).status in {400, 422}
        assert post(apis, f"{L}/accounts", raw=f'{{"account_id": "deep", "tags": {deep}}}').status in {400, 422}
        assert post(apis, f"{L}/tokens/list", raw=f'{{"params": [{deep}]}}').status in {400, 422}


@pytest.mark.parametrize("text", [NUL, LONE, f"\\\\{NUL}", LONE * 2])
def test_a_text_no_store_takes_is_refused_wherever_it_stands(apis: Apis, text: str) -> None:
    transactions = [
        TXN | {"txn_id": "t?"},
        TXN | {"kind": "k?"},
        TXN | {"effective_at": "?"},
        TXN | {"tags": {"a": "?"}},
        TXN | {"tags": {"a?": 1}},
        TXN | {"?": 1},
        TXN | {"actions": [ISSUE | {"destination": "a?"}]},
        TXN | {"actions": [ISSUE | {"a?": 1}]},
        TXN | {"actions": [{"type": "?"}]},
        TXN | {"actions": [{"type": "retire", "flavor_id": "usd", "amount": 1, "source": "ann", "filter": "tags.a = '?'"}]},
        TXN | {"actions": [{"type": "retire", "flavor_id": "usd", "amount": 1, "source": "ann", "filter": "tags.a = $1", "params": ["?"]}]},
        TXN | {"actions": [{"type": "retire", "flavor_id": "usd", "amount": 1, "source": "ann", "order": "tags.?"}]},
        TXN | {"actions": [{"type": "transfer", "flavor_id": "usd", "amount": 1, "source": "ann", "destination": "ann", "carry_tags": ["?"]}]},
        TXN | {"expect": [{"filter": "tags.a = '?'"}]},
    ]
    for body in transactions:
        assert post(apis, f"{L}/transactions", raw=json.dumps(body).replace("?", text)).status == 422
    asked = [{"filter": "tags.a = '?'"}, {"filter": "tags.a = $1", "params": ["?"]}, {"cursor": "?"}, {"?": 1}]
    for path in LISTS:
        for body in asked:
            assert post(apis, path, raw=json.dumps(body).replace("?", text)).status == 422
    for path in SUMS:
        for body in (*asked[:2], {"group_by": ["tags.?"]}):
            assert post(apis, path, raw=json.dumps(body).replace("?", text)).status == 422
    for body in ({"account_id": "?"}, {"account_id": "x", "tags": {"a": "?"}}, {"account_id": "x", "tags": {"?": 1}}):
        assert post(apis, f"{L}/accounts", raw=json.dumps(body).replace("?", text)).status == 422


def test_ten_thousand_actions_are_one_transaction_and_one_more_is_none(apis: Apis) -> None:
    one = {"type": "issue", "flavor_id": "usd", "amount": 1, "destination": "ann"}
    done = post(apis, f"{L}/transactions", TXN | {"actions": [one] * 10_000})
    assert (done.status, total(apis)) == (200, 10_100)
    assert code(post(apis, f"{L}/transactions", TXN | {"txn_id": "u", "actions": [one] * 10_001})) == "TOO_MANY_ACTIONS"
    assert post(apis, f"{L}/transactions", TXN | {"actions": [one] * 10_000}).body["before"]
    page = apis.call("operator", "GET", f"{L}/transactions/t").body
    assert (len(page["actions"]), page["cursor"] is None) == (1_000, False)
    back = {"type": "retire", "flavor_id": "usd", "amount": 10_000, "source": "ann"}
    assert post(apis, f"{L}/transactions", TXN | {"txn_id": "back", "actions": [back]}).status == 200


def test_a_body_that_is_too_large_is_refused(apis: Apis) -> None:
    assert post(apis, f"{L}/transactions", raw=" " * 1_000_001).status == 413


# Filters and cursors

HOSTILE = [
    "' or 1=1 --",
    "account_id = 'x'; drop table books.move; --",
    "account_id = 'x' or ''=''",
    "true",
    "tags.a) or (1=1",
    "tags.'a'",
    'tags."a" = 1',
    "tags.a = %s",
    "account_id = (select account_id from books.account)",
    "pg_sleep(10)",
    "account_id like 'a%'",
    "tags->>'a' = 1",
    "tags.a = $0",
    "tags.a = $99999999999999999999",
    "tags.a = 99999999999999999999",
    "tenant_id = 't2'",
    "account_tags = 'x'",
    "NOT " * 100 + "amount = 1",
    "(" * 200 + "amount = 1" + ")" * 200,
    "amount = 1 AND " * 600 + "amount = 1",
    "x" * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_filter_is_refused_and_reaches_no_sql(apis: Apis, text: str) -> None:
    for path in (*LISTS, *SUMS):
        assert code(post(apis, path, {"filter": text})) in {"FILTER_INVALID", "FILTER_PARAMS"}
    spend = {"type": "retire", "flavor_id": "usd", "amount": 1, "source": "ann", "filter": text}
    answer = post(apis, f"{L}/transactions", TXN | {"actions": [spend]})
    assert (code(answer) in {"FILTER_INVALID", "FILTER_PARAMS"}, answer.body["field"].startswith("actions.0.")) == (True, True)
    guarded = post(apis, f"{L}/transactions", TXN | {"expect": [{"filter": text, "amount": 1}]})
    assert code(guarded) in {"FILTER_INVALID", "FILTER_PARAMS"}


@pytest.mark.parametrize("value", ["' or 1=1 --", "'; drop table books.move; --", "%s", "$1", "\\", '"', "{}", "[]", "null", "-1", "💥"])
def test_a_hostile_value_is_a_value(apis: Apis, value: str) -> None:
    for path in (f"{L}/tokens/list", f"{L}/accounts/list", f"{L}/flavors/list", f"{L}/transactions/list"):
        assert post(apis, path, {"filter": "tags.a = $1", "params": [value]}).body == {"items": [], "cursor": None, "previous": None}
    assert post(apis, f"{L}/tokens/sum", {"filter": "account_id = $1", "params": [value], "group_by": ["tags.a"]}).body == []


@pytest.mark.parametrize("path", ["account_id; drop table books.move", "1", "2", "tags.a') --", "", ".", "tags.", "tenant_id", "x" * 2_000, "snapshot.x"])
def test_a_hostile_group_is_refused(apis: Apis, path: str) -> None:
    answer = post(apis, f"{L}/tokens/sum", {"group_by": [path]})
    if path == "tags.a') --":
        assert answer.body == [{"group": {path: None}, "amount": 100, "count": 1, "min": 100, "max": 100}]
    else:
        assert code(answer) == "GROUP_BY_INVALID"
    assert code(post(apis, f"{L}/tokens/sum", {"group_by": ["tags.a"] * 9})) == "INVALID"


@pytest.mark.parametrize("bound", [("amount) > 0 or (1", "=", 1), ("amount", "= 1 or 1 =", 1), ("pg_sleep(9)", ">", 1), ("amount", ">", 2**200)])
def test_a_hostile_bound_is_refused(apis: Apis, bound: tuple[str, str, int]) -> None:
    of, op, value = bound
    assert code(post(apis, f"{L}/tokens/sum", {"having": [{"of": of, "op": op, "value": value}]})) == "HAVING_INVALID"


CURSORS = [
    "x",
    "' or 1=1 --",
    "A" * 5_000,
    cursor_of("9" * 30),
    cursor_of("1", "9" * 30),
    cursor_of("x"),
    cursor_of("a", "b"),
    cursor_of("a", "b", "c", "d"),
    "bnVsbA",
    "💥",
]


@pytest.mark.parametrize("cursor", CURSORS)
def test_a_cursor_that_was_made_up_is_refused(apis: Apis, cursor: str) -> None:
    for path in LISTS:
        if not (path.endswith(("accounts/list", "flavors/list")) and cursor in {cursor_of("x"), cursor_of("9" * 30)}):  # a name like any other
            assert code(post(apis, path, {"cursor": cursor})) in {"CURSOR_INVALID", "INVALID"}
    window = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z", "cursor": cursor}
    assert code(apis.call("operator", "GET", f"{L}/statements/ann", query=window)) in {"CURSOR_INVALID", "INVALID"}
    assert code(apis.call("operator", "GET", f"{L}/transactions/seed", query={"cursor": cursor})) in {"CURSOR_INVALID", "INVALID"}


# Others


def test_what_is_another_tenants_is_not_there(apis: Apis) -> None:
    for path in ("accounts/secret", "transactions/none", "holds/none", "flavors/none"):
        assert apis.call("operator", "GET", f"{L}/{path}").status == 404
    assert apis.call("operator", "GET", f"{L}/transactions/seed", tenant="t2").status == 404
    assert post(apis, f"{L}/tokens/list", {}, tenant="t2").body["items"] == []
    assert post(apis, f"{L}/transactions/list", {}, tenant="t2").body["items"] == []
    assert [one["account_id"] for one in post(apis, f"{L}/accounts/list", {"filter": "id = 'secret'"}).body["items"]] == []
    assert code(post(apis, f"{L}/transactions", TXN | {"actions": [ISSUE | {"destination": "secret"}]})) == "ACCOUNT_UNKNOWN"
    window = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
    assert apis.call("operator", "GET", f"{L}/statements/secret", query=window).status == 404
    assert apis.call("operator", "GET", f"{L}/statements/ann", query=window, tenant="t2").body["entries"] == []
    assert apis.call("operator", "GET", f"{L}/trial-balance", tenant="t2").body == []
    assert apis.call("operator", "PATCH", f"{L}/accounts/secret", {"closed": True}).status == 404


ROUTES = [
    *[("POST", path) for path in (*LISTS, *SUMS)],
    *[("POST", f"{L}/{path}") for path in ("transactions", "transactions/bulk", "accounts", "flavors")],
    *[("GET", f"{L}/{path}") for path in ("transactions/seed", "accounts/ann", "flavors/usd", "holds/h", "statements/ann", "trial-balance")],
    *[("PATCH", f"{L}/{path}") for path in ("accounts/ann", "flavors/usd")],
    *[("POST", f"{L}/{path}") for path in ("transactions/to-sign", "keys", "keys/rotate", "keys/revoke", "templates", "templates/render", "templates/run")],
    *[("GET", f"{L}/{path}") for path in ("feeds", "feeds/f", "sums", "sums/s", "keys", "keys/k", "default-quorum", "templates", "templates/t")],
    *[("PUT", f"{L}/{path}") for path in ("feeds/f", "sums/s", "default-quorum")],
    *[("DELETE", f"{L}/{path}") for path in ("feeds/f", "sums/s")],
    ("PATCH", f"{L}/feeds/f"),
]
PUBLIC_KEY = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
KEY: dict[str, Any] = {"key_id": "k", "algorithm": "ed25519", "public_key": PUBLIC_KEY, "valid_from": AT}
TEMPLATE: dict[str, Any] = {"template_id": "t", "version": 1, "parameters": {}, "document": {"actions": [ISSUE]}}
RUN: dict[str, Any] = {"template_id": "t", "version": 1, "txn_id": "t", "effective_at": AT, "values": {}}
BODIES: dict[str, Any] = {
    f"{L}/transactions": TXN,
    f"{L}/transactions/bulk": {"mode": "atomic", "transactions": [TXN]},
    f"{L}/accounts": {"account_id": "ann"},
    f"{L}/flavors": {"flavor_id": "usd"},
    f"{L}/accounts/ann": {"tags": {}},
    f"{L}/flavors/usd": {"tags": {}},
    f"{L}/transactions/to-sign": {"transactions": [TXN]},
    f"{L}/keys": KEY,
    f"{L}/keys/rotate": KEY | {"previous_until": AT},
    f"{L}/keys/revoke": {"key_id": "k"},
    f"{L}/default-quorum": {"key_ids": []},
    f"{L}/templates": TEMPLATE,
    f"{L}/templates/render": RUN,
    f"{L}/templates/run": RUN,
    f"{L}/feeds/f": {"kind": "actions"},
    f"{L}/sums/s": {},
}
ACKNOWLEDGED: dict[str, Any] = {"old_cursor": cursor_of("1", "0", "0"), "new_cursor": cursor_of("1", "0", "0")}


def body_of(method: str, path: str) -> Any:
    """A request that could be answered."""
    if method in {"GET", "DELETE"}:
        return None
    return ACKNOWLEDGED if (method, path) == ("PATCH", f"{L}/feeds/f") else BODIES.get(path, {})


@pytest.mark.parametrize("believed", ["investor", "originator", "", "OPERATOR"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_but_an_operator_gets_an_answer(apis: Apis, method: str, path: str, believed: str) -> None:
    window = {"from": AT, "to": AT} if "statements" in path else None
    answer = apis.call("operator", method, path, body_of(method, path), believed=believed, query=window)
    assert (answer.status, code(answer, 404)) == (404, "PATH")


@pytest.mark.parametrize("audience", ["investor", "originator"])
def test_the_other_apis_have_no_ledger(apis: Apis, audience: str) -> None:
    for method, path in ROUTES:
        assert apis.call(audience, method, path, body_of(method, path)).status in {404, 405}


@pytest.mark.parametrize(
    "made_up", ["x", "%00", "..", "../../v1/totals", "x" * 5_000, "é", "a b", "'; drop table books.move; --", "💥" * 64, "a/b", "a%2Fb", "list"]
)
def test_an_id_that_was_made_up_is_not_there(apis: Apis, made_up: str) -> None:
    window = {"from": AT, "to": AT}
    for noun in ("transactions", "accounts", "flavors", "holds", "statements"):
        answer = apis.call("operator", "GET", f"{L}/{noun}/{made_up}", query=window if noun == "statements" else None)
        assert answer.status in {404, 422}, answer


def test_a_database_that_does_not_answer_is_unavailable_and_says_when_to_come_again(apis: Apis) -> None:
    class Broken:
        @property
        def keys(self) -> Any:
            return self

        def __getattr__(self, _name: str) -> Any:
            def fails(*_: Any, **__: Any) -> Any:
                raise Unavailable("the database did not do it: password=hunter2")

            return fails

    kept = apis.books, apis.records, apis.balances, apis.templates
    apis.books = apis.records = apis.balances = apis.templates = Broken()
    for method, path in ROUTES:
        query = {"from": AT, "to": AT} if "statements" in path else None
        if path.endswith("to-sign"):
            continue  # it needs no database
        answer = apis.call("operator", method, path, body_of(method, path), query=query)
        assert (answer.status, answer.body["code"], answer.headers["retry-after"]) == (503, "UNAVAILABLE", "2")
        assert "hunter2" not in json.dumps(answer.body)
    apis.books, apis.records, apis.balances, apis.templates = kept
