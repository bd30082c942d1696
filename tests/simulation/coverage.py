"""The cut points there could be: what each function's code calls of its ports, read from the code itself.

A handler names its adapters; the modules it leads to call ports by their names; an adapter of DynamoDB calls boto3's client, by itself or by
`bourse.aws.items`. A point of the worlds that is not found here would be an error of this reading, so a test compares the two.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from bourse import flow
from bourse.clock import FixedClock

from tests.house.source import PACKAGE, ROOT, imports, tree
from tests.simulation.environments import OTHERS, STANDS
from tests.simulation.people import MORNING, drawn
from tests.simulation.stores import Stores
from tests.simulation.tables import PORTS

Point = tuple[str, str]
"""A function, and a call: of a port, a client, the queue or the database."""
CLIENTS: Final = {"dynamodb": "dynamodb", "_dynamodb": "dynamodb", "s3": "s3", "_s3": "s3"}
OUTBOX: Final = ("database.transaction", "database.commit")
APIS: Final = [hop.function for hop in flow.FLOW if isinstance(hop.source, flow.Http)]
ASKED: Final = [PACKAGE / path for path in ("assets/issue_upload.py", "ledger/transfers.py", "trading/portfolios.py")]
"""Where people's requests go without HTTP."""
ITEMS: Final = PACKAGE / "aws" / "items.py"


def possible() -> frozenset[Point]:
    """Every point there could be. Each is cut twice, before its effect and after it."""
    found = {(function, call) for function in flow.functions() for call in _of_function(function)}
    adapters = {adapter for function in APIS for adapter in _adapters(_handler(function))}
    return frozenset(found | {("people", call) for call in (*_of_ports(ASKED, adapters, memory=True), *OUTBOX, "queue.send")})


def _handler(function: str) -> Path:
    return ROOT / "functions" / function / "handler.py"


def _of_function(function: str) -> Iterator[str]:
    hops = [hop for hop in flow.FLOW if hop.function == function]
    yield from _of_ports(_closure(_handler(function)), _adapters(_handler(function)), memory=function not in APIS)
    if any(hop.says for hop in hops):
        yield "queue.send"
        if function in {*APIS, "relay_outbox"}:
            yield from OUTBOX


def _of_ports(files: Iterable[Path], adapters: Iterable[tuple[str, str]], *, memory: bool) -> Iterator[str]:
    """What these files call of these adapters. Worlds whose people ask by HTTP have tables, not `memory`."""
    called = {call for path in files for call in _calls(path)}
    for module, name in adapters:
        port = (STANDS | OTHERS)[module, name]
        methods = {method for receiver, method in called if receiver == port and hasattr(_memory().get(port), method)}
        if memory or port not in PORTS:
            yield from (f"{port}.{method}" for method in methods)
        if port in PORTS:
            yield from (call for method in methods for call in _of_method(_path(module), name, method))


@cache
def _memory() -> dict[str, object]:
    """The ports' adapters in memory: what has the name of a port and other methods is something else."""
    return Stores(FixedClock(MORNING), drawn(0)).ports


def _adapters(handler: Path) -> set[tuple[str, str]]:
    nodes = [node for node in ast.walk(tree(handler)) if isinstance(node, ast.ImportFrom)]
    named = {(str(node.module), alias.name) for node in nodes for alias in node.names}
    return named & (STANDS | OTHERS).keys()


@cache
def _closure(path: Path) -> frozenset[Path]:
    """The files of ours that a file leads to, adapters left out: what they call is theirs."""
    found, new = {path}, [path]
    while new:
        for module, _ in imports(new.pop()):
            other = _path(module)
            if other.exists() and other not in found and not other.name.startswith(("aurora", "dynamodb", "memory", "s3")):
                found.add(other)
                new.append(other)
    return frozenset(found)


def _path(module: str) -> Path:
    base = PACKAGE.parent / Path(*module.split("."))
    return base.with_suffix(".py")


@cache
def _calls(path: Path) -> frozenset[tuple[str, str]]:
    """Calls in a file: the last name of what is called on, and the method."""
    calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return frozenset((receiver, call.attr) for call in calls if (receiver := _name(call.value)))


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.lstrip("_")
        case ast.Call(func=func):
            return _name(func)
    return ""


def _of_method(path: Path, adapter: str, method: str) -> set[str]:
    """What a method of an adapter asks of boto3's clients, by whatever of its own file it calls."""
    [cls] = [node for node in tree(path).body if isinstance(node, ast.ClassDef) and node.name == adapter]
    bodies = {node.name: node for node in (*tree(ITEMS).body, *tree(path).body, *cls.body) if isinstance(node, ast.FunctionDef)}
    done, todo, found = set[str](), [method], set[str]()
    while todo:
        name = todo.pop()
        if name in done or name not in bodies:
            continue
        done.add(name)
        for node in ast.walk(bodies[name]):
            if isinstance(node, ast.Call):
                todo.append(node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
                if isinstance(node.func, ast.Attribute) and (client := CLIENTS.get(_raw(node.func.value))):
                    found.add(f"{client}.{node.func.attr}")
    return found


def _raw(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
