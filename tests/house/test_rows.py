"""tests/ROWS.md maps every requirement row this project owns to the tests that show it; each named test must exist."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.house.source import ROOT

ROW = re.compile(r"^\| (?P<id>[A-Z]\d+[a-g]?) \|(?P<what>[^|]*)\|(?P<tests>[^|]*)\|", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@cache
def _tests_in(path: Path) -> frozenset[str]:
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.FunctionDef, ast.ClassDef)))


def test_every_test_that_a_row_names_exists() -> None:
    wrong = []
    for row in ROW.finditer((ROOT / "tests/ROWS.md").read_text()):
        for file, test in TEST.findall(row["tests"]):
            path = ROOT / file
            if not path.exists() or (test and test not in _tests_in(path)):
                wrong.append(f"{row['id']}: {file}::{test}")
    assert wrong == []


def test_every_row_names_a_test() -> None:
    rows = list(ROW.finditer((ROOT / "tests/ROWS.md").read_text()))
    assert rows
    assert [row["id"] for row in rows if not TEST.search(row["tests"])] == []
