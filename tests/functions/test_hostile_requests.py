"""What nobody should send, on the stores of AWS: every answer is a problem document below 500, nothing is kept, and no log tells of it."""

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bourse.assessment.aurora import AuroraTables
from bourse.aws import door
from bourse.aws.postgres import Database
from bourse.ledger.aurora import AuroraLedger
from bourse.parties.aurora import AuroraParties
from bourse.trading.aurora import AuroraPortfolios

from tests.functions.api import Answer, Apis, event
from tests.functions.aws_stores import aws_stores
from tests.functions.test_apis import DEPOSIT, PORTFOLIO, PRODUCT

AUDIENCES = ("originator", "investor", "operator")
COMMANDS = (("originator", "/v1/uploads"), ("investor", "/v1/portfolios"), ("operator", "/v1/deposits"))
NUL, LONE = "\\u0000", "\\ud800"


@pytest.fixture
def apis(database: Database) -> Iterator[Apis]:
    """The three APIs on PostgreSQL, DynamoDB and S3, open for business."""
    with aws_stores() as stores:
        made = Apis(parties=AuroraParties(database), ledger=AuroraLedger(database), tables=AuroraTables(database), trading=AuroraPortfolios(database), **stores)
        assert made.call("operator", "POST", "/v1/products/consumer/versions", PRODUCT).status == 200
        assert made.call("operator", "POST", "/v1/investors", {"investor_id": "ada", "name": "Ada"}).status == 200
        assert made.call("operator", "POST", "/v1/originators", {"originator_id": "ada", "name": "Ada", "product_id": "consumer"}).status == 200
        yield made


def assert_refused(answer: Answer, *statuses: int) -> None:
    assert answer.status in (statuses or range(400, 500)), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"title", "status", "code", "detail"} <= answer.body.keys()


def assert_nothing_kept(apis: Apis) -> None:
    assert apis.call("originator", "GET", "/v1/uploads").body == []
    assert apis.call("investor", "GET", "/v1/portfolios").body == []
    assert [one["investor_id"] for one in apis.call("operator", "GET", "/v1/investors").body] == ["ada"]
    assert apis.call("operator", "GET", "/v1/trial-balance").body == []


def sent(apis: Apis, audience: str, path: str, **facts: Any) -> Answer:
    """The answer to a POST whose event has these facts of its own."""
    request = event("POST", path, caller={"tenant": "t1", "party": "ada", "audience": audience})
    return apis.send(audience, request | facts)


def test_a_body_that_is_no_json_text_is_refused(apis: Apis) -> None:
    good = {"originator": "{}", "investor": json.dumps(PORTFOLIO), "operator": json.dumps(DEPOSIT)}
    for audience, path in COMMANDS:
        for media in ("multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain", "image/png", "x" * 3_000):
            assert_refused(sent(apis, audience, path, headers={"content-type": media}, body=good[audience]), 415)
        for octets in (b"\xff\xfe\x00", b"\x80" * 100):
            assert_refused(sent(apis, audience, path, body=b64encode(octets).decode(), isBase64Encoded=True), 400)
        assert_refused(sent(apis, audience, path, body="not base64!", isBase64Encoded=True), 400)
        for raw in (
            "",
            "{",
            "[]",
            "null",
            '"x"',
            "1",
            f"[{good[audience]}]",
            "[" * 100_000,
            '{"a":' * 50_000,
            "\x00",
            '{"a": NaN}',
            '{"a": ' + "9" * 5_000 + "}",
        ):
            assert_refused(sent(apis, audience, path, body=raw), 400, 422)
        assert_refused(sent(apis, audience, path, body=" " * (door.BODY_CHARACTERS_MAX + 1)), 413)
    assert_nothing_kept(apis)


def test_json_is_read_however_its_type_is_spelled_and_whether_or_not_the_gateway_encoded_it(apis: Apis) -> None:
    for number, media in enumerate(("APPLICATION/JSON", "application/json; charset=utf-8", "")):
        body = json.dumps(DEPOSIT | {"external_id": str(number)}).encode()
        assert sent(apis, "operator", "/v1/deposits", headers={"Content-Type": media}, body=b64encode(body).decode(), isBase64Encoded=True).status == 200


def test_a_text_no_store_takes_is_refused(apis: Apis) -> None:
    texts = {
        "/v1/investors": '{"investor_id": "ben", "name": "B%s"}',
        "/v1/deposits": json.dumps(DEPOSIT | {"external_id": "w%s"}),
        "/v1/risk-tables/risk_classes/versions": '{"rows": [], "reason": "%s"}',
    }
    for text in (NUL, LONE, f"\\\\{NUL}"):
        for path, body in texts.items():
            refused = sent(apis, "operator", path, body=body % text)
            assert_refused(refused, 422)
            assert refused.body["code"] == ("INVALID" if text == LONE else "NUL_IN_TEXT")
        assert_refused(sent(apis, "investor", "/v1/portfolios", body=json.dumps(PORTFOLIO).replace("Income", text)), 422)
        assert_refused(sent(apis, "investor", "/v1/portfolios", body=json.dumps(PORTFOLIO).replace('"ES"', f'"{text}"')), 422)
        assert_refused(sent(apis, "originator", "/v1/uploads", body=json.dumps({"content_type": "a/?"}).replace("?", text)), 422)
    assert_nothing_kept(apis)
    kept = sent(apis, "operator", "/v1/investors", body='{"investor_id": "ben", "name": "\\\\u0000"}')
    assert (kept.status, kept.body["name"]) == (200, "\\u0000")


@pytest.mark.parametrize("amount", ["true", "false", '"5"', "5.0", "5e3", "1e999", "null", "[5]", '{"$numberLong": "5"}', "-1", "0", "1" + "0" * 400])
def test_only_a_whole_number_is_an_amount_of_money(apis: Apis, amount: str) -> None:
    assert_refused(sent(apis, "operator", "/v1/deposits", body=json.dumps(DEPOSIT).replace("2000000", amount)), 422)
    for name in ("target_volume", "per_loan_max"):
        assert_refused(sent(apis, "investor", "/v1/portfolios", body=json.dumps(PORTFOLIO | {name: "?"}).replace('"?"', amount)), 422)
    for name in ("size_bytes", "records"):
        if (name, amount) not in {("records", "0"), ("records", "null"), ("size_bytes", "null")}:
            assert_refused(sent(apis, "originator", "/v1/uploads", body=json.dumps({name: "?"}).replace('"?"', amount)), 422)
    assert_nothing_kept(apis)


@pytest.mark.parametrize(
    ("audience", "path", "query"),
    [
        ("originator", "/v1/settlements", {"after": "a\x00"}),
        ("originator", "/v1/settlements", {"after": "x" * 65}),
        ("originator", "/v1/settlements", {"limit": "0"}),
        ("originator", "/v1/uploads", {"before_seq": "0"}),
        ("originator", "/v1/uploads", {"before_seq": "9" * 30}),
        ("originator", "/v1/uploads", {"before_seq": "1,2"}),
        ("originator", "/v1/uploads", {"before_seq": "' or 1=1 --"}),
        ("originator", "/v1/uploads", {"limit": "101"}),
        ("investor", "/v1/statement", {}),
        ("investor", "/v1/statement", {"currency": "USD", "since": "yesterday", "until": "2026-02-01T00:00:00Z"}),
        ("investor", "/v1/statement", {"currency": "USD", "since": "2026-01-01T00:00:00", "until": "2026-02-01T00:00:00Z"}),
        ("investor", "/v1/statement", {"currency": "' or ''='", "since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}),
        ("operator", "/v1/originators/ada/uploads", {"before_seq": "-1"}),
        ("operator", "/v1/originators/ada/uploads", {"limit": "1e3"}),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(apis: Apis, audience: str, path: str, query: dict[str, str]) -> None:
    assert_refused(apis.call(audience, "GET", path, query=query), 422)


@pytest.mark.parametrize("made_up", ["x", "%00", "..", "%2e%2e%2f", "x" * 5_000, "é", "a b", "'; drop table ledger.posting; --", "💥" * 64, "a/b", "a%2Fb"])
def test_an_id_that_was_made_up_is_not_there(apis: Apis, made_up: str) -> None:
    for path in ("/v1/uploads/{}", "/v1/uploads/{}/rejections", "/v1/assets/{}"):
        assert_refused(apis.call("originator", "GET", path.format(made_up)), 404)
    for path in ("/v1/portfolios/{}", "/v1/portfolios/{}/versions"):
        assert_refused(apis.call("investor", "GET", path.format(made_up)), 404)
    assert_refused(apis.call("investor", "POST", f"/v1/portfolios/{made_up}/activate", {}), 404)
    for path in ("/v1/originators/{}/uploads", "/v1/originators/{}/uploads/x/rejections"):
        assert_refused(apis.call("operator", "GET", path.format(made_up)), 404, 422)


def test_a_time_without_its_offset_is_no_time_to_begin_a_table(apis: Apis) -> None:
    table = {"rows": [{}], "reason": "spring", "active_from": datetime(2027, 1, 1, tzinfo=UTC).isoformat().removesuffix("+00:00")}
    refused = apis.call("operator", "POST", "/v1/risk-tables/risk_classes/versions", table)
    assert_refused(refused, 422)
    assert refused.body["field"] == "active_from"


@pytest.mark.parametrize("audience", AUDIENCES)
def test_a_token_for_another_audience_opens_nothing(apis: Apis, audience: str) -> None:
    paths = {"originator": "/v1/uploads", "investor": "/v1/home", "operator": "/v1/investors"}
    for other in AUDIENCES:
        answer = apis.call(audience, "GET", paths[audience], believed=other)
        assert answer.status == (200 if other == audience else 404)


def test_a_fault_of_ours_is_in_no_log_with_what_it_says(apis: Apis, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """The driver's messages quote rows."""

    def broken(_tenant: str) -> Any:
        raise RuntimeError("Key (name)=(Ada Lovelace) already exists")

    apis.ledger.trial_balance = broken
    assert apis.call("operator", "GET", "/v1/trial-balance").status == 500
    assert "Lovelace" not in caplog.text + "".join(capfd.readouterr())
