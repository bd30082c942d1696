"""Every operation of every API is asked with what its document calls valid and what it does not: only documented answers come back."""

import pytest
from bourse.aws.postgres import Database

from tests.functions.api import Apis
from tests.simulation.fuzz.api_requests import ask, document_of, tags_of
from tests.simulation.fuzz.api_world import NAMES, market

EXAMPLES = 6
"""Valid requests to an operation, and as many invalid ones."""
GROUPS = [(audience, tag) for apis in [Apis()] for audience in apis.apis for tag in tags_of(document_of(apis, audience))]


@pytest.mark.parametrize(("audience", "tag"), GROUPS, ids=lambda one: one.replace(" ", "-"))
def test_every_answer_is_one_that_the_document_describes(database: Database, audience: str, tag: str) -> None:
    with market(database, audience, on_aws=audience == "originator") as apis:
        ran = ask(apis, audience, tag, NAMES, examples=EXAMPLES)
    assert ran.operations
    assert ran.faults == {}
    assert 200 in ran.answers, "what is valid is also taken, somewhere"
