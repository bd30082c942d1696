"""Who may lean on whom: ground floor, events, models, rules, adapters; and nobody below the edge knows AWS, the time or chance."""

import ast
from pathlib import Path

from tests.house.source import DOMAINS, PACKAGE, domain_files, imports, name, product_files, tree

GROUND = ("errors", "ids", "money", "clock", "message", "queues")
DRIVERS = ("boto3", "botocore", "psycopg", "urllib3", "pybreaker")
ADAPTERS = ("dynamodb", "aurora", "s3", "http", "sqs")
NOT_AN_ARGUMENT = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "uuid.uuid4", "uuid.uuid1"}


def _is_adapter(path: Path) -> bool:
    return path.stem.split("_")[0] in ADAPTERS or path.parent.name == "aws"


def test_only_adapters_know_a_driver() -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in product_files()
        if not _is_adapter(path)
        for module, line in imports(path)
        if module.split(".")[0] in DRIVERS
    ]
    assert wrong == []


def test_the_ground_floor_leans_on_nothing_above_it() -> None:
    wrong = [
        f"{stem}.py:{line} imports {module}"
        for stem in GROUND
        for module, line in imports(PACKAGE / f"{stem}.py")
        if module.startswith("bourse.") and module.split(".")[1] not in GROUND
    ]
    assert wrong == []


def test_events_lean_on_the_ground_floor_only() -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in sorted(PACKAGE.glob("*/events.py"))
        for module, line in imports(path)
        if module.startswith("bourse.") and module.split(".")[1] not in GROUND
    ]
    assert wrong == []


def test_a_domain_leans_on_models_below_it_and_on_events_only() -> None:
    assert [wrong for path in domain_files() for wrong in _upward(path)] == []


def _upward(path: Path) -> list[str]:
    own = path.relative_to(PACKAGE).parts[0]
    wrong = []
    for module, line in imports(path):
        parts = module.split(".")
        if parts[0] != "bourse" or len(parts) < 3 or parts[1] not in DOMAINS or parts[1] == own:
            continue
        below = DOMAINS.index(parts[1]) < DOMAINS.index(own)
        if parts[2] != "events" and not (below and parts[2] == "model"):
            wrong.append(f"{name(path)}:{line} imports {module}")
    return wrong


def test_domains_do_not_know_aws() -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in domain_files()
        if not _is_adapter(path)
        for module, line in imports(path)
        if module.startswith("bourse.aws")
    ]
    assert wrong == []


def test_the_present_and_chance_are_arguments_in_the_domains() -> None:
    wrong = []
    for path in domain_files():
        wrong += [f"{name(path)}:{line} imports random" for module, line in imports(path) if module == "random"]
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and f"{node.value.id}.{node.attr}" in NOT_AN_ARGUMENT:
                wrong.append(f"{name(path)}:{node.lineno} calls {node.value.id}.{node.attr}")
    assert wrong == []
