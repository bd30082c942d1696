"""What the house tests look at: the product's Python files, parsed once."""

import ast
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "layers/bourse/python/bourse"
DOMAINS: Final = ("parties", "assets", "assessment", "trading", "matching", "ledger", "payments", "reporting", "audit")
"""Lowest first: a domain may import the model of those before it, and the events of any."""


def product_files() -> list[Path]:
    """Every Python file that is deployed."""
    return sorted([*PACKAGE.rglob("*.py"), *(ROOT / "functions").rglob("*.py")])


def domain_files() -> list[Path]:
    """Every Python file of a business domain."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] in DOMAINS]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


@cache
def imports(path: Path) -> tuple[tuple[str, int], ...]:
    """The modules a file imports, with the line; `from bourse.assets import model` is `bourse.assets.model`."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, node.lineno))
            if node.module.count(".") < 2 and node.module.startswith("bourse"):
                found += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return tuple(found)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))
