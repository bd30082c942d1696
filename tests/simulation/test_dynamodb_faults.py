"""What only the model of DynamoDB has: the choices of AWS that a world draws, and the refusal of what it does not know."""

from pathlib import Path
from typing import Any

import moto.dynamodb
import pytest

from tests.simulation import dynamodb_expressions
from tests.simulation.dynamodb import DynamoClient
from tests.simulation.dynamodb_asks import answer, asks, key, modelled, put
from tests.simulation.dynamodb_tables import Item, Table
from tests.simulation.runs import silence
from tests.simulation.world import World


class Scripted:
    """Each fault strikes when it is named; `events` is what happened, `then` what happens meanwhile."""

    def __init__(self, *faults: str) -> None:
        self.faults, self.events = list(faults), list[str]()
        self.then: Any = lambda: None

    def cut(self, name: str, after: bool) -> None:
        self.events.append(f"{'after' if after else 'before'} {name}")

    def touches(self, operation: str, table: str, pk: str, sk: str) -> None:
        self.events.append(f"{table} {pk}/{sk}")

    def strikes(self, fault: str) -> bool:
        return bool(self.faults) and self.faults[0] == fault and bool(self.faults.pop(0))

    def chosen(self, most: int) -> int:
        return 0

    def meanwhile(self) -> None:
        self.then()


def stirred(*faults: str) -> tuple[DynamoClient, DynamoClient, Scripted]:
    """A client where these faults strike, a calm one of the same table, and the script."""
    table, script = Table("t"), Scripted(*faults)
    return DynamoClient({"t": table}, script), DynamoClient({"t": table}), script


def test_a_call_is_cut_before_and_after_its_effect_and_tells_what_it_touches() -> None:
    client, _, script = stirred()
    client.put_item(**put("a", "1"))
    client.query(**asks("a"))
    assert script.events == ["t a/1", "before dynamodb.put_item", "after dynamodb.put_item", "t a/", "before dynamodb.query", "after dynamodb.query"]


def test_a_read_that_may_be_stale_is_and_a_consistent_one_is_not() -> None:
    client, calm, script = stirred()
    for number in "12":
        calm.put_item(**put("a", "1", n={"N": number}))
    script.faults = ["stale"]
    assert client.get_item(TableName="t", Key=key("a", "1"), ConsistentRead=True)["Item"]["n"] == {"N": "2"}
    assert client.get_item(TableName="t", Key=key("a", "1"))["Item"]["n"] == {"N": "1"}
    calm.put_item(**put("a", "2"))
    script.faults = ["stale"]
    assert len(client.query(**asks("a"))["Items"]) == 1


def test_a_conflict_cancels_and_names_the_action_it_met() -> None:
    client, calm, _ = stirred("conflict", "conflict")
    asked = {"TransactItems": [{"Put": put("a", "1")}, {"Put": put("a", "2")}]}
    assert answer(client, "transact_write_items", asked) == ("TransactionCanceledException", ["TransactionConflict", "None"])
    assert answer(client, "put_item", put("a", "1")) == ("TransactionConflictException", [])
    assert calm.query(**asks("a"))["Items"] == []


def test_keys_that_are_left_unprocessed_are_told() -> None:
    client, calm, _ = stirred("unprocessed")
    for sk in "123":
        calm.put_item(**put("a", sk))
    asked = {"Keys": [key("a", sk) for sk in "123"], "ConsistentRead": True}
    said = client.batch_get_item(RequestItems={"t": asked})
    assert (said["Responses"]["t"], said["UnprocessedKeys"]) == ([key("a", "1")], {"t": {"Keys": [key("a", "2"), key("a", "3")], "ConsistentRead": True}})


def test_a_batch_may_be_read_in_two_moments() -> None:
    client, calm, script = stirred("torn")
    script.then = lambda: calm.transact_write_items(TransactItems=[{"Put": put("a", sk)} for sk in "12"])
    assert client.batch_get_item(RequestItems={"t": {"Keys": [key("a", "1"), key("a", "2")]}})["Responses"]["t"] == [key("a", "2")]


def test_a_write_that_boto3_does_again_may_meet_itself() -> None:
    client, calm, _ = stirred("retried")
    assert answer(client, "put_item", put("a", "1", "attribute_not_exists(pk)")) == ("ConditionalCheckFailedException", [])
    assert calm.query(**asks("a"))["Count"] == 1


@pytest.mark.parametrize(
    ("operation", "asked"),
    [
        ("scan", {"TableName": "t"}),
        ("delete_item", {"TableName": "t", "Key": key("a", "1")}),
        ("get_item", {"TableName": "t", "Key": key("a", "1"), "ProjectionExpression": "pk"}),
        ("query", asks("a", IndexName="i")),
        ("put_item", put("a", "1", "n <> :v", {":v": {"N": "1"}})),
        ("put_item", put("a", "1", m={"M": {}})),
        ("put_item", put("a", "1", n={"N": "1.5"})),
        ("update_item", {"TableName": "t", "Key": key("a", "1"), "UpdateExpression": "REMOVE n"}),
        ("transact_write_items", {"TransactItems": [{"ConditionCheck": {"TableName": "t", "Key": key("a", "1")}}]}),
        ("transact_write_items", {"TransactItems": [{"Put": put("a", "1")}], "ClientRequestToken": "x"}),
    ],
)
def test_what_the_model_does_not_know_it_says(operation: str, asked: Item) -> None:
    with pytest.raises(AssertionError, match="the simulation's DynamoDB"):
        getattr(modelled(), operation)(**asked)


def test_no_expression_of_ours_names_an_attribute_by_a_word_dynamodb_keeps_for_itself() -> None:
    with silence():
        for seed in range(10, 16):
            World(seed).run()
    kept = set((Path(moto.dynamodb.__file__).parent / "parsing" / "reserved_keywords.txt").read_text().split())
    assert len(kept) > 500
    assert {"pk", "sk", "revision", "version"} <= dynamodb_expressions.seen
    assert not {word for word in dynamodb_expressions.seen if word.upper() in kept}
