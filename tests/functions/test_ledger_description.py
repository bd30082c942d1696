"""The ledger's routes describe themselves: a summary, an example and every error; and the table of codes is all there is."""

import ast
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from bourse.ledger.codes import CODES

from tests.functions.api import Apis

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ROOT / "layers/bourse/python/bourse/ledger"
SETTLEMENT = {"aurora.py", "memory.py", "posting.py", "settlement.py", "settle_investments.py", "transfers.py", "store.py", "model.py"} | {
    *("aurora_flows.py", "memory_flows.py", "bookings.py", "loan_payments.py", "withdrawals.py", "take_back.py", "unclaimed.py")
}
"""What settles the marketplace beside the general ledger, with codes of its own."""
RAISES = {"Refused", "Conflict", "NotFound", "NotSigned"}
NOT_SERVED = {
    "FEED_INVALID",
    *("LINE_INVALID", "LINE_CHANGED", "LINES_MISSING", "BLOCK_INVALID", "BOOKS_DIFFER", "TENANT_DIFFERS"),
}
"""Of export and import, which no route reaches; a feed is invalid where the shape of a request is."""


@pytest.fixture(scope="module")
def document() -> Any:
    return Apis().call("operator", "GET", "/openapi.json").body


def operations(document: Any) -> list[tuple[str, Any]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        if path.startswith("/v1/ledger/")
        for method, operation in methods.items()
    ]


def test_every_route_has_a_summary_an_example_and_its_errors(document: Any) -> None:
    found = operations(document)
    assert len(found) >= 18
    for name, operation in found:
        assert operation["summary"], name
        answers = operation["responses"]
        assert answers["200"]["content"]["application/json"]["examples"], name
        assert {"422", "503"} <= answers.keys(), name
        for status in answers.keys() - {"200"}:
            [media] = answers[status]["content"].values()
            assert all(one["value"]["status"] == int(status) and one["value"]["detail"] for one in media["examples"].values()), name
        if "requestBody" in operation:
            assert "example" in json.dumps(operation["requestBody"]), name


def test_the_examples_are_of_the_form_that_is_described(document: Any) -> None:
    for name, operation in operations(document):
        content = operation["responses"]["200"]["content"]["application/json"]
        schema = content["schema"] | {"components": document["components"]}
        for example in content["examples"].values():
            jsonschema.validate(example["value"], schema)
            assert example["value"], name


def test_the_example_of_a_transaction_is_posted(document: Any) -> None:
    apis = Apis()
    body = document["paths"]["/v1/ledger/transactions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    example = body.get("examples", [None])[0]
    apis.call("operator", "POST", "/v1/ledger/flavors", {"flavor_id": "usd"})
    apis.call("operator", "POST", "/v1/ledger/accounts", {"account_id": "investor1"})
    jsonschema.validate(example, body | {"components": document["components"]})
    assert apis.call("operator", "POST", "/v1/ledger/transactions", example).status == 200


def raised() -> set[str]:
    nodes = [node for path in LEDGER.rglob("*.py") if path.name not in SETTLEMENT for node in ast.walk(ast.parse(path.read_text()))]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISES]
    return {call.args[0].value for call in calls if call.args and isinstance(call.args[0], ast.Constant)}


def test_every_code_that_is_raised_is_in_the_table() -> None:
    assert raised() - CODES.keys() - NOT_SERVED == set()


def test_every_code_of_the_table_is_described_and_in_the_operators_readme(document: Any) -> None:
    problems = [answer["content"].get("application/problem+json", {}) for _, operation in operations(document) for answer in operation["responses"].values()]
    described = {code for one in problems for code in one.get("examples", {})}
    assert CODES.keys() - described == set()
    text = (ROOT / "functions/operator_api/README.md").read_text()
    assert [code for code, (sentence, sequence) in CODES.items() if f"| `{code}` | {sentence} | {sequence} |" not in text] == []
