"""What the adapters really do is what the roles allow and the environment names: the emulator asks nobody for permission."""

import ast
import importlib.util
from types import ModuleType
from typing import Any, Final

import pytest
from bourse import flow

from tests.infra.templates import ROOT, Templates, text

ACTIONS: Final = {
    "get_item": "dynamodb:GetItem",
    "put_item": "dynamodb:PutItem",
    "update_item": "dynamodb:UpdateItem",
    "delete_item": "dynamodb:DeleteItem",
    "batch_get_item": "dynamodb:BatchGetItem",
    "batch_write_item": "dynamodb:BatchWriteItem",
    "query": "dynamodb:Query",
    "scan": "dynamodb:Scan",
    "get_all": "dynamodb:BatchGetItem",
    "query_all": "dynamodb:Query",
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "delete_object": "s3:DeleteObject",
    "list_objects_v2": "s3:ListBucket",
    "generate_presigned_url": "s3:PutObject",
    "generate_presigned_post": "s3:PutObject",
}
"""A call in an adapter -> the action IAM is asked for. The last two sign what the signer itself must be allowed."""
IN_TRANSACTION: Final = {name: f"dynamodb:{name}Item" for name in ("Put", "Update", "Delete")} | {"ConditionCheck": "dynamodb:ConditionCheckItem"}
"""A transaction asks for each of its parts, and has no action of its own."""
_OF_AWS: Final = ("dynamodb:", "s3:")


def _handler(function: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"handler_of_{function}", ROOT / "functions" / function / "handler.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _adapters(function: str) -> dict[str, type[Any]]:
    """The adapters that a handler names: each `Name.from_env` in it."""
    tree = ast.parse((ROOT / "functions" / function / "handler.py").read_text())
    named = [node.value.id for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "from_env" and isinstance(node.value, ast.Name)]
    module = _handler(function)
    return {name: getattr(module, name) for name in named}


def _does(adapter: type[Any]) -> set[str]:
    """The actions of every call and every part of a transaction in the adapter's class."""
    tree = ast.parse((ROOT / "layers/bourse/python" / f"{adapter.__module__.replace('.', '/')}.py").read_text())
    [body] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == adapter.__name__]
    calls = [node.func for node in ast.walk(body) if isinstance(node, ast.Call)]
    names = {func.attr if isinstance(func, ast.Attribute) else func.id for func in calls if isinstance(func, (ast.Attribute, ast.Name))}
    parts = {key.value for node in ast.walk(body) if isinstance(node, ast.Dict) for key in node.keys if isinstance(key, ast.Constant)}
    return {ACTIONS[name] for name in names if name in ACTIONS} | {IN_TRANSACTION[part] for part in parts if part in IN_TRANSACTION}


def _may(aws: Templates, function: str) -> set[str]:
    return {action for action, _ in aws.allowed(aws.functions()[function]) if action.startswith(_OF_AWS)}


ADAPTERS: Final = {function: _adapters(function) for function in flow.functions()}
USED: Final = {adapter for adapters in ADAPTERS.values() for adapter in adapters.values()}
IN_PARTS: Final = (":read", ":sign", ":list")
"""A function that reaches a store so uses only some methods of its adapter."""
WHOLE: Final = [name for name in ADAPTERS if not any(store.endswith(IN_PARTS) for hop in flow.FLOW if hop.function == name for store in hop.reaches)]


def test_the_adapters_on_aws_are_found_and_what_they_do_is_seen() -> None:
    seen = {adapter.__name__: _does(adapter) for adapter in USED}
    assert {"dynamodb:UpdateItem", "dynamodb:PutItem", "dynamodb:GetItem", "s3:PutObject", "s3:GetObject"} <= seen["DynamoBooks"]
    assert "dynamodb:DeleteItem" in seen["DynamoUploads"]
    assert {"version_assets", "assess_assets", "match_offers"} <= set(WHOLE)


@pytest.mark.parametrize("function", WHOLE)
def test_a_function_that_uses_all_of_its_adapters_may_do_all_they_do(aws: Templates, function: str) -> None:
    needed = {action for adapter in ADAPTERS[function].values() for action in _does(adapter)}
    assert needed <= _may(aws, function)


def test_whatever_an_adapter_does_some_function_that_uses_it_may_do(aws: Templates) -> None:
    for adapter in USED:
        users = [function for function, adapters in ADAPTERS.items() if adapter in adapters.values()]
        assert _does(adapter) <= {action for function in users for action in _may(aws, function)}, adapter.__name__


def test_no_function_may_do_to_data_what_none_of_its_adapters_does(aws: Templates) -> None:
    reading = {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query", "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"}
    for function, adapters in ADAPTERS.items():
        done = {action for adapter in adapters.values() for action in _does(adapter)}
        assert _may(aws, function) - reading <= done, function


@pytest.mark.parametrize("function", [name for name, adapters in ADAPTERS.items() if adapters])
def test_every_adapter_finds_its_settings_in_what_the_function_is_told(aws: Templates, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("TABLE_PIPELINE", "TABLE_VERSIONS", "TABLE_BOOKS", "TABLE_OFFERS", "BUCKET_UPLOADS", "BUCKET_SNAPSHOTS", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in aws.functions()[function].properties["Environment"]["Variables"].items():
        monkeypatch.setenv(name, text(value))
    for adapter in ADAPTERS[function].values():
        assert adapter.from_env()
