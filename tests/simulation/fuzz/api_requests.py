"""Requests made of an API's own OpenAPI document, valid and not, through its handler: nothing but what the document says may come back."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.functions.api import Apis
from tests.simulation.fuzz.aim import Names, aimed
from tests.simulation.fuzz.gateway import Gateway

CALLER = {"tenant": "t1", "party": "ada"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PROBLEM = "application/problem+json"


@dataclass
class Ran:
    """Operations that were asked, requests, answers by status, and what no document says: operation and fault -> the request that shows it."""

    operations: list[str] = field(default_factory=list)
    requests: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    faults: dict[tuple[str, str], str] = field(default_factory=dict)


Operation = APIOperation[Any, Any, Any, Any]


def document_of(apis: Apis, audience: str) -> Any:
    """What the API says of itself."""
    return apis.call(audience, "GET", "/openapi.json").body


def tags_of(document: Any) -> list[str]:
    """The groups its operations are in."""
    return sorted({tag for methods in document["paths"].values() for one in methods.values() for tag in one["tags"]})


def ask(apis: Apis, audience: str, tag: str, names: Names, *, examples: int, random: bool = False) -> Ran:
    """Send so many valid and so many invalid requests to each operation of a group, in the document's order."""
    document = document_of(apis, audience)
    gateway = Gateway(apis.apis[audience], CALLER | {"audience": audience})
    ran = Ran()
    for operation in _operations(document, tag):
        ran.operations.append(operation.label)
        spoken = document["paths"][operation.path][operation.method.lower()]
        for mode in GenerationMode:
            if mode is GenerationMode.POSITIVE or _can_be_wrong(spoken):
                _send(operation, mode, names, gateway, spoken, ran, examples, random)
    return ran


def _operations(document: Any, tag: str) -> Iterator[Operation]:
    for found in schemathesis.openapi.from_dict(document).include(tag=tag).get_all_operations():
        assert isinstance(found, Ok), f"the document is wrong: {found}"
        yield found.ok()


def _can_be_wrong(spoken: Any) -> bool:
    """A text in a path is never wrong by its form."""
    return "requestBody" in spoken or any(one["in"] != "path" or one["schema"].get("enum") for one in spoken.get("parameters", []))


def _send(operation: Operation, mode: GenerationMode, names: Names, gateway: Gateway, spoken: Any, ran: Ran, examples: int, random: bool) -> None:
    @settings(max_examples=examples, deadline=None, derandomize=not random, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(operation.as_strategy(generation_mode=mode), st.randoms(use_true_random=False))
    def sent(case: Case[Any], chance: Random) -> None:
        case.path_parameters = {name: quote(one, safe="%") for name, one in aimed(case.path_parameters, names, chance).items()}
        case.query = aimed(case.query, names, chance)
        case.body = aimed(case.body, names, chance)
        response = case.call(app=gateway)
        ran.requests += 1
        ran.answers[response.status_code] += 1
        for fault in _faults(case, response, spoken):
            ran.faults.setdefault((operation.label, fault), f"{case.as_curl_command()} -> {response.status_code} {response.content[:300]!r}")

    sent()


def _faults(case: Case[Any], response: Response, spoken: Any) -> Iterator[str]:
    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as group:
        yield from (f"{type(one).__name__} {response.status_code}" for one in group.exceptions)
        return
    if response.status_code >= 400:
        yield from _undocumented(response, spoken)


def _undocumented(response: Response, spoken: Any) -> Iterator[str]:
    """The ledger's operations name every code they refuse with; of the others, a code is at least one for machines."""
    said = response.json()
    content = spoken["responses"][str(response.status_code)]["content"][PROBLEM]
    if said["status"] != response.status_code:
        yield f"status {said['status']} in an answer of {response.status_code}"
    if any(tag.startswith("ledger ") for tag in spoken["tags"]) and said["code"] not in content.get("examples", {}):
        yield f"code {said['code']} with {response.status_code}"
    if not said["code"].replace("_", "").isupper():
        yield f"code {said['code']!r}"
