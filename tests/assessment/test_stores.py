"""The promises of assessment's stores, in memory and on AWS alike."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import boto3
import pytest
from bourse.assessment.dynamodb import DynamoAssessments
from bourse.assessment.memory import MemoryAssessments
from bourse.assessment.model import Assessment
from bourse.assets.asset_history import asset_history
from bourse.assets.dynamodb_versions import DynamoChunks, DynamoVersions
from moto import mock_aws

from tests.assessment.builders import NOON, Stage, loan, local_models, versioned
from tests.assets import version_builders
from tests.simulation.dynamodb import DynamoClient
from tests.simulation.dynamodb_tables import Table


def assessment(loan_id: str = "L-1", version: int = 1, risk_class: str = "C", model: str = "classes-1") -> Assessment:
    [forecast] = local_models()[0].forecast("demo", NOON.date(), [loan(loan_id=loan_id)])
    assert forecast is not None
    return Assessment(loan_id, version, 1, NOON, "C", risk_class, "USD", forecast, model)


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")
        version_builders.make_tables(client, "pipeline", "versions")
        yield client


class Keeper:
    """A store of assessments and a way to look into it: the classes kept of a loan, by version and models."""

    def __init__(self, dynamodb: Any = None) -> None:
        self.store = DynamoAssessments(dynamodb, "versions") if dynamodb else MemoryAssessments()
        self.versions = DynamoVersions(dynamodb, "pipeline", "versions") if dynamodb else None

    def classes(self, loan_id: str, originator: str = "acme") -> dict[tuple[int, str], str]:
        if self.versions:
            return {(one.version, one.model_version): one.facts["risk_class"] for one in self.versions.history("demo", originator, loan_id)[1]}
        assert isinstance(self.store, MemoryAssessments)
        return {key[3:]: facts["risk_class"] for key, facts in self.store.kept.items() if key[:3] == ("demo", originator, loan_id)}


@pytest.fixture
def simulated() -> DynamoClient:
    return DynamoClient({name: Table(name) for name in ("pipeline", "versions")})


@pytest.fixture(params=["memory", "dynamodb", "simulated"])
def keeper(request: pytest.FixtureRequest) -> Keeper:
    return Keeper() if request.param == "memory" else Keeper(request.getfixturevalue(request.param))


def test_assessments_are_kept_by_version_and_models(keeper: Keeper) -> None:
    keeper.store.keep("demo", "acme", [assessment(), assessment(version=2, risk_class="B"), assessment(version=2, model="classes-2", risk_class="A")])
    rates = "default_rates-default-1+"
    assert keeper.classes("L-1") == {(1, f"{rates}classes-1"): "C", (2, f"{rates}classes-1"): "B", (2, f"{rates}classes-2"): "A"}
    assert keeper.classes("L-1", "bank") == {}


def test_an_assessment_that_is_kept_is_never_changed_and_the_others_are_kept_all_the_same(keeper: Keeper) -> None:
    keeper.store.keep("demo", "acme", [assessment("L-1")])
    keeper.store.keep("demo", "acme", [assessment("L-1", risk_class="A"), assessment("L-2")])
    assert set(keeper.classes("L-1").values()) == {"C"}
    assert set(keeper.classes("L-2").values()) == {"C"}


def test_a_whole_message_of_assessments_is_kept(keeper: Keeper) -> None:
    many = [assessment(f"L-{number}") for number in range(200)]
    for _ in range(2):
        keeper.store.keep("demo", "acme", many)
    assert all(len(keeper.classes(one.loan_id)) == 1 for one in many)
    keeper.store.keep("demo", "acme", [])


def test_two_hundred_assessments_are_two_requests_and_two_write_units_each(dynamodb: Any) -> None:
    from tests.assets.test_version_stores import Counted

    counted = Counted(dynamodb)
    DynamoAssessments(counted, "versions").keep("demo", "acme", [assessment(f"L-{number}") for number in range(200)])
    assert counted.requests == {"transact_write_items": 2}
    assert counted.write_units == 400


def test_the_history_of_a_loan_shows_versions_and_assessments_together(dynamodb: Any) -> None:
    versions = DynamoVersions(dynamodb, "pipeline", "versions")
    version_builders.Stage(versions, DynamoChunks(dynamodb, "pipeline")).hear(version_builders.chunk(version_builders.loan()))
    Stage(assessments=DynamoAssessments(dynamodb, "versions")).hear(versioned({}))
    history = asset_history("demo", "acme", "L-1", versions=versions)
    assert [one.version for one in history.versions] == [1]
    [found] = history.assessments
    assert (found.version, found.model_version) == (1, "default_rates-default-1+risk_classes-default-1")
    assert (found.facts["grade"], found.facts["risk_class"]) == ("C", "C")
    assert found.facts["forecast"]["cash_flow"][0]["due_on"] == "2026-02-28"


def test_exact_numbers_are_kept_as_text() -> None:
    odd = assessment()
    exact = replace(odd, forecast=replace(odd.forecast, expected_return=Decimal("8.63560000000000000001")))
    assert b'"expected_return":"8.63560000000000000001"' in exact.as_json()
