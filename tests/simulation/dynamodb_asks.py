"""Asks DynamoDB: requests by their keys, and what came back."""

from typing import Any, Final

from botocore.exceptions import ClientError, ParamValidationError

from tests.simulation.dynamodb import DynamoClient
from tests.simulation.dynamodb_tables import Item, Table

BESIDE: Final = {"ResponseMetadata", "ConsumedCapacity", "ItemCollectionMetrics"}


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
    return {name: value for name, value in said.items() if name not in BESIDE}
