"""The fifteen rules, as far as a machine can check them: sizes, floats, first lines, handlers of one sentence, and docs that are true."""

import ast
import re
from pathlib import Path

from tests.house.source import PACKAGE, ROOT, name, product_files, tree

FUNCTION_LINES_MAX = 40
FILE_LINES_MAX = 400
HANDLER_LINES_MAX = 30
# Where a double has to be met to be refused or taken exactly; each of these is tested with doubles.
MEETS_DOUBLES = {"assets/record.py", "assets/bson_codec.py", "assets/fields.py", "assets/normalise.py"}


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the function without its docstring: a promise may be as long as it must."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    promised = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - promised


def _all_files() -> list[Path]:
    return [*product_files(), *(path for top in ("tests", "infra", "demo") for path in sorted((ROOT / top).rglob("*.py")))]


def test_a_function_fits_on_a_screen() -> None:
    lengths = {f"{name(path)}:{one.lineno} {one.name}": _length(one) for path in product_files() for one in _functions(path)}
    long = {one: lines for one, lines in lengths.items() if lines > FUNCTION_LINES_MAX}
    assert long == {}


def test_a_file_is_a_room_one_can_look_over() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _all_files()}
    assert {path: lines for path, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_the_first_line_of_a_file_says_what_it_is_for() -> None:
    assert [name(path) for path in product_files() if not ast.get_docstring(tree(path))] == []


def test_no_float_comes_near_money() -> None:
    wrong = []
    for path in product_files():
        if path.is_relative_to(PACKAGE) and str(path.relative_to(PACKAGE)) in MEETS_DOUBLES:
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Name) and node.id in {"float", "round"}:
                wrong.append(f"{name(path)}:{node.lineno} uses {node.id}")
            if isinstance(node, ast.Constant) and isinstance(node.value, float) and "aws" not in path.parts and path.stem != "http":
                wrong.append(f"{name(path)}:{node.lineno} has the float {node.value}")
    assert wrong == []


def test_a_handler_is_one_sentence() -> None:
    handlers = sorted((ROOT / "functions").glob("*/handler.py"))
    lengths = {name(path): len(path.read_text().splitlines()) for path in handlers}
    assert handlers
    assert {path: lines for path, lines in lengths.items() if lines > HANDLER_LINES_MAX} == {}


def test_locks_carry_hashes_and_name_no_host() -> None:
    for lock in [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "layers/dependencies/requirements.txt"]:
        text = lock.read_text()
        assert "://" not in text, name(lock)
        assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", text) if "==" in block), name(lock)


def test_bson_is_pymongos_and_never_the_other_package_of_that_name() -> None:
    for lock in [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "layers/dependencies/requirements.txt"]:
        assert not re.search(r"^bson==", lock.read_text(), re.MULTILINE), name(lock)


def test_documents_name_files_that_exist() -> None:
    wrong = []
    documents = [*ROOT.glob("*.md"), *ROOT.glob("functions/*/*.md"), *ROOT.glob("infra/**/*.md"), *PACKAGE.glob("*/*.md"), *ROOT.glob("tests/*.md")]
    for document in documents:
        targets = re.findall(r"\]\(([^)#: ]+)(?:#[^)]*)?\)", document.read_text())
        wrong += [f"{name(document)} names {target}" for target in targets if not (document.parent / target).exists()]
    assert wrong == []


def test_nothing_is_left_for_later_in_the_code() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError|HACK)\b")
    left = [
        f"{name(path)}:{number}"
        for path in product_files()
        if path.name != "message.py"  # the base class says there that a message must name its group
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert left == []
