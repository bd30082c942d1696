"""The simulation's DynamoDB answers as AWS documents it, and as moto does; where moto does not, it is written here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import boto3
import moto.dynamodb
import pytest
from botocore.exceptions import ClientError, ParamValidationError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from tests.simulation import dynamodb_expressions
from tests.simulation.dynamodb import DynamoClient
from tests.simulation.dynamodb_tables import Item, Table
from tests.simulation.runs import silence
from tests.simulation.world import World

LIMIT: Final = (
    "If DynamoDB processes the number of items up to the limit [...], it stops the operation and returns the matching values up to that point, "
    "and a key in LastEvaluatedKey (API_Query)"
)
BETWEEN: Final = "The BETWEEN operator requires upper bound to be greater than or equal to lower bound (ValidationException of the service)"
UNUSED: Final = "Value provided in ExpressionAttributeValues unused in expressions (ValidationException of the service)"
TRANSACTION: Final = "The aggregate size of the items in the transaction cannot exceed 4 MB (API_TransactWriteItems)"
EMPTY: Final = "Attribute values of String and Binary type must have a length greater than zero if the attribute is used as a key attribute (API_PutItem)"
COMPARE: Final = "a < b: true if a is less than b, which no text is of a number (Expressions.OperatorsAndFunctions)"
NUMBERS: Final = "Leading and trailing zeroes are trimmed (HowItWorks.NamingRulesDataTypes)"
DIFFERS: Final = {
    "test_a_page_that_ends_with_the_last_item_names_it_all_the_same": f"{LIMIT}; moto looks whether there is more",
    "test_what_breaks_a_rule_is_refused[a range from above]": f"{BETWEEN}; moto finds nothing",
    "test_what_breaks_a_rule_is_refused[a value that is not used]": f"{UNUSED}; moto takes it",
    "test_what_breaks_a_rule_is_refused[a value that is not given]": "moto fails with a KeyError",
    "test_what_breaks_a_rule_is_refused[a transaction of more than 4 MB]": f"{TRANSACTION}; moto counts actions only",
    "test_what_breaks_a_rule_is_refused[an update of an empty key]": f"{EMPTY}; moto makes the item",
    "test_what_is_missing_or_of_another_type_compares_with_nothing[n < :v]": f"{COMPARE}; moto fails with a TypeError",
    "test_numbers_have_no_leading_zeros": f"{NUMBERS}; moto keeps them",
}
"""By test: AWS's sentence, and what moto does instead. Strict: what is repaired leaves the table."""
_BESIDE: Final = {"ResponseMetadata", "ConsumedCapacity", "ItemCollectionMetrics"}


def key(pk: str, sk: str) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def put(pk: str, sk: str, condition: str = "", values: Item | None = None, **attributes: Item) -> Item:
    asked: Item = {"TableName": "t", "Item": key(pk, sk) | attributes}
    return asked | ({"ConditionExpression": condition} if condition else {}) | ({"ExpressionAttributeValues": values} if values else {})


def asks(pk: str, first: str = "", last: str = "", **more: Any) -> Item:
    values = {":pk": {"S": pk}} | ({":first": {"S": first}, ":last": {"S": last}} if last else {})
    return {
        "TableName": "t",
        "KeyConditionExpression": "pk = :pk" + " and sk between :first and :last" * bool(last),
        "ExpressionAttributeValues": values,
        **more,
    }


def modelled() -> Any:
    return DynamoClient({"t": Table("t")})


@pytest.fixture(scope="module")
def moto_client() -> Iterator[Any]:
    with mock_aws():
        yield boto3.Session("test", "test", region_name="us-east-1").client("dynamodb")


def emptied(served: Any) -> Any:
    """The client of a server, with a new table."""
    if served.list_tables()["TableNames"]:
        served.delete_table(TableName="t")
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    texts = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]
    served.create_table(TableName="t", KeySchema=keys, AttributeDefinitions=texts, BillingMode="PAY_PER_REQUEST")
    return served


@pytest.fixture(params=["model", "moto"])
def dynamodb(request: pytest.FixtureRequest) -> Any:
    """The client under test; a test that moto is known to fail must fail there."""
    if request.param == "model":
        return modelled()
    case = f"[{request.node.callspec.params['case']}]" if "case" in request.node.callspec.params else ""
    if reason := DIFFERS.get(request.node.originalname + case):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True, raises=(AssertionError, KeyError, TypeError)))
    return emptied(request.getfixturevalue("moto_client"))


def answer(client: Any, operation: str, asked: Item) -> Any:
    """What came back, or the error: its code, and of a cancelled transaction the reasons."""
    try:
        said = getattr(client, operation)(**asked)
    except ParamValidationError:
        return "ParamValidationError"
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if not isinstance(error, getattr(client.exceptions, code, ClientError)):
            raise TypeError(f"{code} is raised as {type(error)}") from error
        return code, [reason["Code"] for reason in error.response.get("CancellationReasons", ())]
    return {name: value for name, value in said.items() if name not in _BESIDE}


# What AWS documents


def test_what_was_put_is_got_and_what_was_not_is_not_there(dynamodb: Any) -> None:
    dynamodb.put_item(**put("a", "1", n={"N": "5"}, b={"B": b"\x00\xff"}, s={"S": ""}))
    assert answer(dynamodb, "get_item", {"TableName": "t", "Key": key("a", "1"), "ConsistentRead": True}) == {
        "Item": key("a", "1") | {"n": {"N": "5"}, "b": {"B": b"\x00\xff"}, "s": {"S": ""}}
    }
    assert answer(dynamodb, "get_item", {"TableName": "t", "Key": key("a", "2")}) == {}


def test_numbers_have_no_leading_zeros(dynamodb: Any) -> None:
    dynamodb.put_item(**put("a", "1", n={"N": "007"}))
    assert dynamodb.get_item(TableName="t", Key=key("a", "1"))["Item"]["n"] == {"N": "7"}


def test_numbers_compare_as_numbers_and_sort_keys_as_text(dynamodb: Any) -> None:
    for sk in ("s10", "s9", "z", "ä", "S"):
        dynamodb.put_item(**put("a", sk, n={"N": "9"}))
    assert [one["sk"]["S"] for one in dynamodb.query(**asks("a"))["Items"]] == ["S", "s10", "s9", "z", "ä"]
    dynamodb.put_item(**put("a", "z", "n < :n", {":n": {"N": "10"}}))
    assert answer(dynamodb, "put_item", put("a", "s9", "n > :n", {":n": {"N": "10"}})) == ("ConditionalCheckFailedException", [])


@pytest.mark.parametrize("case", ["m < :v", "n < :v", "n = :v"])
def test_what_is_missing_or_of_another_type_compares_with_nothing(dynamodb: Any, case: str) -> None:
    dynamodb.put_item(**put("a", "1", n={"N": "1"}))
    assert answer(dynamodb, "put_item", put("a", "1", case, {":v": {"S": "5"}})) == ("ConditionalCheckFailedException", [])


def test_an_update_makes_what_is_not_there_and_keeps_what_it_does_not_name(dynamodb: Any) -> None:
    update: Item = {"TableName": "t", "UpdateExpression": "SET #n = :n", "ExpressionAttributeNames": {"#n": "number"}}
    one, two = {"ExpressionAttributeValues": {":n": {"N": "1"}}}, {"ExpressionAttributeValues": {":n": {"N": "2"}}}
    dynamodb.update_item(**update, **one, Key=key("a", "1"), ConditionExpression="attribute_not_exists(pk)")
    dynamodb.put_item(**put("a", "2", b={"B": b"x"}))
    dynamodb.update_item(**update, **two, Key=key("a", "2"), ConditionExpression="attribute_not_exists(#n) OR #n < :n")
    made, kept = key("a", "1") | {"number": {"N": "1"}}, key("a", "2") | {"b": {"B": b"x"}, "number": {"N": "2"}}
    assert dynamodb.query(**asks("a"))["Items"] == [made, kept]


def test_a_transaction_is_done_whole_or_tells_the_reason_of_each_action(dynamodb: Any) -> None:
    dynamodb.put_item(**put("a", "1"))
    new = {"Put": put("a", "2", "attribute_not_exists(pk)")}
    taken = {"Put": put("a", "1", "attribute_not_exists(pk)")}
    behind = {"Delete": {"TableName": "t", "Key": key("a", "3"), "ConditionExpression": "attribute_exists(pk)"}}
    asked = {"TransactItems": [new, taken, behind]}
    assert answer(dynamodb, "transact_write_items", asked) == ("TransactionCanceledException", ["None", "ConditionalCheckFailed", "ConditionalCheckFailed"])
    assert len(dynamodb.query(**asks("a"))["Items"]) == 1
    dynamodb.transact_write_items(TransactItems=[new, {"Delete": {"TableName": "t", "Key": key("a", "1")}}])
    assert dynamodb.query(**asks("a"))["Items"] == [key("a", "2")]


def test_a_page_ends_after_its_limit_before_the_filter_or_at_a_megabyte(dynamodb: Any) -> None:
    for sk in "123456":
        dynamodb.put_item(**put("a", sk, n={"N": sk}, b={"B": b"x" * 300_000}))
    page = dynamodb.query(**asks("a"))
    assert ([one["sk"]["S"] for one in page["Items"]], page["LastEvaluatedKey"]) == (["1", "2", "3"], key("a", "3"))
    page = dynamodb.query(**asks("a", ExclusiveStartKey=key("a", "3"), ScanIndexForward=False, ProjectionExpression="n"))
    assert page["Items"] == [{"n": {"N": "2"}}, {"n": {"N": "1"}}]
    asked = asks("a", Limit=2, FilterExpression="n > :n", ProjectionExpression="sk, n")
    asked["ExpressionAttributeValues"][":n"] = {"N": "1"}
    assert {name: value for name, value in dynamodb.query(**asked).items() if name not in _BESIDE} == {
        "Items": [{"sk": {"S": "2"}, "n": {"N": "2"}}],
        "Count": 1,
        "ScannedCount": 2,
        "LastEvaluatedKey": key("a", "2"),
    }


def test_a_page_that_ends_with_the_last_item_names_it_all_the_same(dynamodb: Any) -> None:
    dynamodb.put_item(**put("a", "1"))
    assert dynamodb.query(**asks("a", Limit=1)).get("LastEvaluatedKey") == key("a", "1")


_BIG: Final = {"B": b"x" * 409_600}
REFUSED: Final[dict[str, tuple[str, Item]]] = {
    "an empty key": ("put_item", put("", "1")),
    "an update of an empty key": (
        "update_item",
        {"TableName": "t", "Key": key("a", ""), "UpdateExpression": "SET n = :v", "ExpressionAttributeValues": {":v": {"S": "2"}}},
    ),
    "half a key": ("get_item", {"TableName": "t", "Key": {"pk": {"S": "a"}}}),
    "a key of another type": ("put_item", {"TableName": "t", "Item": {"pk": {"S": "a"}, "sk": {"N": "1"}}}),
    "a partition key of more than 2 KB": ("put_item", put("x" * 2_049, "1")),
    "a sort key of more than 1 KB": ("put_item", put("a", "x" * 1_025)),
    "an item of more than 400 KB": ("put_item", put("a", "1", b=_BIG)),
    "a transaction with such an item": ("transact_write_items", {"TransactItems": [{"Put": put("a", "1", b=_BIG)}]}),
    "a transaction of more than 4 MB": ("transact_write_items", {"TransactItems": [{"Put": put("a", f"{n}", b={"B": b"x" * 390_000})} for n in range(11)]}),
    "a transaction of 101 actions": ("transact_write_items", {"TransactItems": [{"Put": put("a", f"{n}")} for n in range(101)]}),
    "an item twice in a transaction": ("transact_write_items", {"TransactItems": [{"Put": put("a", "1")}] * 2}),
    "a batch of 101 keys": ("batch_get_item", {"RequestItems": {"t": {"Keys": [key("a", f"{n}") for n in range(101)]}}}),
    "a key twice in a batch": ("batch_get_item", {"RequestItems": {"t": {"Keys": [key("a", "1")] * 2}}}),
    "a key changed by an update": (
        "update_item",
        {"TableName": "t", "Key": key("a", "1"), "UpdateExpression": "SET sk = :v", "ExpressionAttributeValues": {":v": {"S": "2"}}},
    ),
    "a range from above": ("query", asks("a", "2", "1")),
    "a value that is not used": ("put_item", put("a", "1", "attribute_not_exists(pk)", {":v": {"S": "1"}})),
    "a value that is not given": ("put_item", put("a", "1", "n = :v")),
    "a name that is not used": ("put_item", put("a", "1", "attribute_not_exists(pk)") | {"ExpressionAttributeNames": {"#n": "n"}}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_a_rule_is_refused(dynamodb: Any, case: str) -> None:
    assert answer(dynamodb, *REFUSED[case]) == ("ValidationException", [])
    assert dynamodb.query(**asks("a"))["Count"] == 0


def test_what_boto3_refuses_itself_and_tables_that_are_not_there(dynamodb: Any) -> None:
    assert answer(dynamodb, "transact_write_items", {"TransactItems": []}) == "ParamValidationError"
    assert answer(dynamodb, "batch_get_item", {"RequestItems": {"t": {"Keys": []}}}) == "ParamValidationError"
    assert answer(dynamodb, "get_item", {"TableName": "u", "Key": key("a", "1")}) == ("ResourceNotFoundException", [])


# Any history


_keys = st.builds(key, st.sampled_from("ab"), st.sampled_from(("s1", "s10", "s2", "t")))
_numbers = st.integers(-2, 12).map(lambda number: {"N": str(number)})
_items = st.builds(lambda one, more: one | {"n": more} if more else one, st.one_of(_keys, st.just(key("a", ""))), st.one_of(st.none(), _numbers))
_conditions = st.one_of(
    st.just({}),
    st.sampled_from(("attribute_not_exists(pk)", "attribute_exists(n)")).map(lambda text: {"ConditionExpression": text}),
    st.builds(
        lambda text, value: {"ConditionExpression": text, "ExpressionAttributeValues": {":v": value}},
        st.sampled_from(("n = :v", "n < :v", "m >= :v", "attribute_not_exists(n) or n <= :v", "(n > :v or m = :v) and attribute_exists(pk)")),
        _numbers,
    ),
)
_puts = st.builds(lambda item, condition: {"TableName": "t", "Item": item} | condition, _items, _conditions)
_deletes = st.builds(lambda one, condition: {"TableName": "t", "Key": one} | condition, _keys, _conditions)
_updates = st.builds(
    lambda one, value, condition: {
        "TableName": "t",
        "Key": one,
        "UpdateExpression": "SET #n = :w",
        **condition,
        "ExpressionAttributeNames": {"#n": "n"},
        "ExpressionAttributeValues": {":w": value} | condition.get("ExpressionAttributeValues", {}),
    },
    _keys,
    _numbers,
    _conditions,
)
_actions = st.one_of(_puts.map(lambda one: {"Put": one}), _deletes.map(lambda one: {"Delete": one}), _updates.map(lambda one: {"Update": one}))
_texts = st.sampled_from(("s1", "s10", "s2", "t"))
_queries = st.builds(
    lambda pk, bounds, forward, start: asks(pk, *sorted(bounds), ScanIndexForward=forward, **({"ExclusiveStartKey": key(pk, start)} if start else {})),
    st.sampled_from("ab"),
    st.one_of(st.just(("", "")), st.tuples(_texts, _texts)),
    st.booleans(),
    st.one_of(st.just(""), _texts),
)
_prefixes = st.builds(
    lambda pk, text: {
        "TableName": "t",
        "KeyConditionExpression": "pk = :pk and begins_with(sk, :sk)",
        "ExpressionAttributeValues": {":pk": {"S": pk}, ":sk": {"S": text}},
    },
    st.sampled_from("ab"),
    _texts,
)
_calls = st.one_of(
    st.tuples(st.just("put_item"), _puts),
    st.tuples(st.just("update_item"), _updates),
    st.tuples(st.just("transact_write_items"), st.lists(_actions, min_size=1, max_size=4).map(lambda actions: {"TransactItems": actions})),
    st.tuples(st.just("get_item"), _keys.map(lambda one: {"TableName": "t", "Key": one, "ConsistentRead": True})),
    st.tuples(
        st.just("batch_get_item"),
        st.lists(_keys, min_size=1, max_size=4).map(lambda keys: {"RequestItems": {"t": {"Keys": keys, "ConsistentRead": True}}}),
    ),
    st.tuples(st.just("query"), st.one_of(_queries, _prefixes)),
)


def _in_order(said: Any) -> Any:
    """A batch answers in no order."""
    if isinstance(said, dict) and "Responses" in said:
        return said | {"Responses": {name: sorted(items, key=str) for name, items in said["Responses"].items()}}
    return said


@settings(max_examples=20, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
@given(history=st.lists(_calls, min_size=15, max_size=40))
def test_of_any_history_the_model_and_moto_tell_the_same(moto_client: Any, history: list[tuple[str, Item]]) -> None:
    one, other = modelled(), emptied(moto_client)
    for operation, asked in history:
        assert _in_order(answer(one, operation, asked)) == _in_order(answer(other, operation, asked)), (operation, asked)


# What only the model has: AWS's choices, and what it does not know


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
