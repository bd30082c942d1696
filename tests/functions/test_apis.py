"""The investor's and the operator's API: what callers send, what they get, and what they do not get away with."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from bourse.assets import codes
from bourse.trading.events import BalancesChanged
from bourse.trading.model import Limit
from bourse.trading.plan_purchases import plan_purchases

from tests.functions.api import CLOCK, Apis

PRODUCT = {"currencies": ["USD"], "sell_ratio": "0.995", "buy_ratio": "1.005", "lot_min": 2500}
PORTFOLIO = {
    "portfolio_id": "income",
    "name": "Income",
    "product_id": "consumer",
    "currency": "USD",
    "target_volume": 1_000_000,
    "per_loan_max": 25_000,
    "buckets": [
        {
            "bucket_id": "good",
            "target_share": "75",
            "criteria": [{"field": "grade", "in": ["A", "B"]}, {"field": "country", "in": ["ES"]}, {"field": "age", "min": 28, "max": 35}],
        },
        {"bucket_id": "low", "target_share": "25", "criteria": [{"field": "grade", "not_in": ["A", "B"]}]},
    ],
}
DEPOSIT = {"investor_id": "ada", "currency": "USD", "amount": 2_000_000, "system": "wire", "external_id": "w-1"}


@pytest.fixture
def apis() -> Apis:
    made = Apis()
    assert made.call("operator", "POST", "/v1/products/consumer/versions", PRODUCT).status == 200
    assert made.call("operator", "POST", "/v1/investors", {"investor_id": "ada", "name": "Ada"}).status == 200
    return made


def test_the_portfolio_of_the_example_can_be_created_and_activated(apis: Apis) -> None:
    created = apis.call("investor", "POST", "/v1/portfolios", PORTFOLIO)
    assert created.status == 200
    criteria = created.body["terms"]["buckets"][0]["criteria"]
    assert [(one["field"], one["op"]) for one in criteria] == [("grade", "in"), ("country", "in"), ("age", "between")]
    assert apis.call("investor", "POST", "/v1/portfolios/income/activate").body["status"] == "active"
    assert [one["portfolio"]["portfolio_id"] for one in apis.call("investor", "GET", "/v1/home").body["portfolios"]] == ["income"]
    assert apis.flushed == ["t1"]


def test_a_portfolio_says_of_each_bucket_why_it_does_not_buy(apis: Apis) -> None:
    apis.call("investor", "POST", "/v1/portfolios", PORTFOLIO)
    shown = apis.call("investor", "GET", "/v1/portfolios/income").body
    assert [(one["bucket_id"], one["target"], one["limited_by"], one["why"]) for one in shown["buckets"]] == [
        ("good", 750_000, "status", "The portfolio is draft: only an active one buys."),
        ("low", 250_000, "status", "The portfolio is draft: only an active one buys."),
    ]
    assert (shown["portfolio"]["terms"]["target_volume"], shown["plan"]) == (1_000_000, None)
    apis.call("investor", "POST", "/v1/portfolios/income/activate")
    apis.call("investor", "PUT", "/v1/portfolios/income", {name: value for name, value in PORTFOLIO.items() if name != "portfolio_id"} | {"name": "More"})
    cause = BalancesChanged(message_id="msg_1", tenant_id="t1", correlation_id="c", portfolio_id="income", window=1)
    plan_purchases(cause, plans=apis.trading, clock=CLOCK)
    poor = apis.call("investor", "GET", "/v1/portfolios/income").body
    assert [one["version"] for one in poor["versions"]] == [1, 2]
    assert (poor["plan"]["terms_version"], poor["plan"]["cash_free"]) == (2, 0)
    assert [(one["offered"], one["limited_by"], one["waits_for_supply"]) for one in poor["buckets"]] == [(0, "cash", False), (0, "cash", False)]
    assert apis.call("investor", "GET", "/v1/portfolios/income", party="ben").status == 404
    assert apis.call("investor", "GET", "/v1/portfolios/income", tenant="t2").status == 404


def test_creating_twice_is_creating_once(apis: Apis) -> None:
    assert apis.call("investor", "POST", "/v1/portfolios", PORTFOLIO).body == apis.call("investor", "POST", "/v1/portfolios", PORTFOLIO).body
    other = apis.call("investor", "POST", "/v1/portfolios", PORTFOLIO | {"target_volume": 1})
    assert (other.status, other.body["code"]) == (422, "LOT_TOO_LARGE") or other.status in (409, 422)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"buckets": [{"bucket_id": "a", "target_share": "99"}]}, "buckets"),
        ({"buckets": [{"bucket_id": "a", "target_share": "101"}]}, "buckets.0.target_share"),
        ({"buckets": []}, "buckets"),
        ({"target_volume": 12.5}, "target_volume"),
        ({"target_volume": -1}, "target_volume"),
        ({"target_volume": 10**30}, "target_volume"),
        ({"currency": "usd"}, "currency"),
        ({"portfolio_id": "../../etc"}, "portfolio_id"),
        ({"tenant_id": "t2"}, "tenant_id"),
        ({"status": "active"}, "status"),
        ({"buckets": [{"bucket_id": "a", "target_share": "100", "criteria": [{"field": "age"}]}]}, "buckets.0.criteria.0"),
        ({"buckets": [{"bucket_id": "a", "target_share": "100", "criteria": [{"field": "age", "min": "NaN"}]}]}, "buckets.0.criteria.0.min"),
        ({"buckets": [{"bucket_id": "a", "target_share": "100", "criteria": [{"field": "age", "min": 35, "max": 28}]}]}, "buckets.0.criteria.0"),
        ({"buckets": [{"bucket_id": "a", "target_share": "100", "criteria": [{"field": "grade", "in": []}]}]}, "buckets.0.criteria.0.in"),
    ],
)
def test_a_wrong_portfolio_is_refused_with_the_field_at_fault(apis: Apis, change: dict[str, Any], field: str) -> None:
    refused = apis.call("investor", "POST", "/v1/portfolios", PORTFOLIO | change)
    assert refused.status == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert field in [error["field"] for error in refused.body["errors"]]


def test_a_deposit_is_booked_once_for_ever(apis: Apis) -> None:
    first, again = (apis.call("operator", "POST", "/v1/deposits", DEPOSIT) for _ in range(2))
    assert (first.body["booked_before"], again.body["booked_before"]) == (False, True)
    other = apis.call("operator", "POST", "/v1/deposits", DEPOSIT | {"amount": 1})
    assert (other.status, other.body["code"], other.body["field"]) == (409, "TRANSFER_DIFFERS", "external_id")
    assert [(row["currency"], row["total"]) for row in apis.call("operator", "GET", "/v1/trial-balance").body] == [("USD", 0)]


def test_more_than_there_is_cannot_be_withdrawn(apis: Apis) -> None:
    apis.call("operator", "POST", "/v1/deposits", DEPOSIT)
    refused = apis.call("operator", "POST", "/v1/withdrawals", DEPOSIT | {"amount": 2_000_001})
    assert (refused.status, refused.body["code"]) == (422, "INSUFFICIENT_CASH")
    assert apis.call("operator", "POST", "/v1/withdrawals", DEPOSIT | {"amount": 2_000_000}).status == 200


def test_the_statement_shows_every_move_with_the_balance_after_it(apis: Apis) -> None:
    apis.call("operator", "POST", "/v1/deposits", DEPOSIT)
    apis.call("operator", "POST", "/v1/withdrawals", DEPOSIT | {"amount": 5_000})
    window = {"currency": "USD", "since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}
    lines = apis.call("investor", "GET", "/v1/statement", query=window).body
    assert sorted(line["amount"] for line in lines) == [-5_000, 2_000_000]
    assert apis.call("investor", "GET", "/v1/statement", query=window | {"until": "2026-01-01T00:00:00Z"}).body == []


def test_a_product_and_a_rate_change_without_code_and_every_version_is_kept(apis: Apis) -> None:
    apis.call("operator", "POST", "/v1/products/consumer/versions", PRODUCT | {"buy_ratio": "1.010"})
    versions = apis.call("operator", "GET", "/v1/products/consumer/versions").body
    assert [one["terms"]["buy_ratio"] for one in versions] == ["1.005", "1.010"]
    assert apis.call("operator", "PUT", "/v1/investors/ada/rates/consumer", {"buy_ratio": "1.001"}).status == 200
    refused = apis.call("operator", "PUT", "/v1/investors/ada/rates/consumer", {"buy_ratio": "0.9"})
    assert (refused.status, refused.body["code"]) == (422, "RATE_BELOW_SELL")


def test_what_belongs_to_another_is_not_there(apis: Apis) -> None:
    apis.call("investor", "POST", "/v1/portfolios", PORTFOLIO)
    assert apis.call("investor", "POST", "/v1/portfolios/income/activate", party="ben").status == 404
    assert apis.call("investor", "POST", "/v1/portfolios/income/activate", tenant="t2").status == 404
    assert apis.call("investor", "GET", "/v1/portfolios", party="ben").body == []
    assert apis.call("investor", "GET", "/v1/portfolios/income/versions", party="ben").status == 404


def test_a_token_of_another_audience_opens_nothing(apis: Apis) -> None:
    assert apis.call("operator", "GET", "/v1/trial-balance", believed="investor").status == 404


@pytest.mark.parametrize("raw", ["", "{", "[]", "null", '"x"', "[" * 100_000, '{"a":' * 50_000, "\x00", '{"portfolio_id": NaN}'])
def test_a_body_that_is_none_is_refused_and_nothing_breaks(apis: Apis, raw: str) -> None:
    refused = apis.call("investor", "POST", "/v1/portfolios", raw=raw)
    assert refused.status in (400, 422)
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_body_that_is_too_large_is_refused(apis: Apis) -> None:
    assert apis.call("investor", "POST", "/v1/portfolios", raw=" " * 1_000_001).status == 413


def test_an_unknown_path_is_a_problem_document(apis: Apis) -> None:
    missing = apis.call("investor", "GET", "/v1/nothing")
    assert (missing.status, missing.body["code"]) == (404, "PATH")


def test_a_fault_of_ours_tells_nothing_but_the_request_id(apis: Apis) -> None:
    def broken(_tenant: str) -> Any:
        raise RuntimeError("password=hunter2")

    apis.ledger.trial_balance = broken
    failed = apis.call("operator", "GET", "/v1/trial-balance")
    assert (failed.status, failed.body["code"], failed.headers["x-request-id"]) == (500, "INTERNAL", "r-1")
    assert "hunter2" not in json.dumps(failed.body)


# powertools leaves the files of its Swagger page to the garbage collector
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("audience", ["investor", "operator", "originator"])
def test_the_description_of_an_api_is_made_from_its_code(apis: Apis, audience: str) -> None:
    document = apis.call(audience, "GET", "/openapi.json").body
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) >= 7
    assert all(operation["summary"] for operation in operations)
    page = apis.call(audience, "GET", "/docs")
    assert page.status == 200
    assert "swagger" in page.body


def test_the_originators_readme_lists_every_code_with_its_sentence() -> None:
    text = (Path(__file__).resolve().parents[2] / "functions/originator_api/README.md").read_text()
    for table in (codes.RECORD_CODES, codes.FILE_CODES, codes.NOTES):
        assert [code for code, sentence in table.items() if f"| `{code}` | {sentence} |" not in text] == []


def test_the_investors_readme_lists_every_limit_of_an_offer() -> None:
    text = (Path(__file__).resolve().parents[2] / "functions/investor_api/README.md").read_text()
    assert [limit for limit in get_args(Limit) if f"| `{limit}` |" not in text] == []
