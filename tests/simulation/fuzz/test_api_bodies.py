"""Every operation of every API is asked with what its document calls valid and what it does not: only documented answers come back."""

import pytest
from bourse.aws.api import Api
from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused

from tests.functions.api import Apis
from tests.simulation.fuzz.api_requests import ask, document_of, tags_of
from tests.simulation.fuzz.api_world import NAMES, market

EXAMPLES = 5
"""Valid requests to an operation, and as many invalid ones."""
GROUPS = [(audience, tag) for apis in [Apis()] for audience in apis.apis for tag in tags_of(document_of(apis, audience))]


@pytest.mark.parametrize(("audience", "tag"), GROUPS, ids=lambda one: one.replace(" ", "-"))
def test_every_answer_is_one_that_the_document_describes(database: Database, audience: str, tag: str) -> None:
    with market(database, audience, on_aws=audience == "originator") as apis:
        ran = ask(apis, audience, tag, NAMES, examples=EXAMPLES)
    assert ran.operations
    assert ran.faults == {}
    assert 200 in ran.answers, "what is valid is also taken, somewhere"


@pytest.mark.parametrize("audience", ["originator", "investor", "operator"])
def test_every_operation_says_what_any_request_can_be_answered_with(audience: str) -> None:
    document = document_of(Apis(), audience)
    for methods in document["paths"].values():
        for operation in methods.values():
            answers = operation["responses"]
            assert {"200", "404", "422", "503"} <= answers.keys()
            assert ("requestBody" in operation) == ({"400", "413", "415"} <= answers.keys())
            assert all([*answer["content"]] == ["application/problem+json"] for status, answer in answers.items() if status != "200")
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()


def test_what_no_document_describes_is_found() -> None:
    """Planted: a fault of ours, a status that is not said, a code that the operation does not name."""
    apis = Apis()

    def broken(*_: object, **__: object) -> object:
        raise RuntimeError("planted")

    apis.trading.portfolios = broken
    found = ask(apis, "investor", "portfolios", NAMES, examples=1).faults
    assert ("GET /v1/portfolios", "ServerError 500") in found
    api, apis = Api("investor"), Apis()

    @api.app.get("/v1/status", tags=["ledger planted"])
    def status() -> int:
        raise Conflict("CONTRADICTS", "planted")

    @api.app.get("/v1/code", tags=["ledger planted"])
    def code() -> int:
        raise Refused("NOT_SAID", "planted")

    apis.apis["investor"] = api
    assert ask(apis, "investor", "ledger planted", NAMES, examples=1).faults.keys() == {
        ("GET /v1/status", "UndefinedStatusCode 409"),
        ("GET /v1/code", "code NOT_SAID with 422"),
    }
