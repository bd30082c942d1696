"""The layers: what is locked and nothing else, small, importable on their own, with byte code that is never checked again."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra import layers
from infra.layers import LayerError, Target, dependencies, package, target_of
from infra.stage import Stage
from tests.infra.templates import ROOT

LOCAL = target_of(Stage("local"))
AWS = target_of(Stage("production"))
_EVERY_IMPORT = """
import sys
sys.path[:0] = sys.argv[1:]
import importlib, pathlib
package = pathlib.Path(sys.argv[2])
for path in sorted(package.rglob("*.py")):
    importlib.import_module(".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__"))
import psycopg, boto3, botocore.docs.docstring
from bourse.ledger.signing import Ed25519Signer, verify
signer = Ed25519Signer("k", bytes(32))
assert verify("ed25519", signer.public_key(), b"said", signer.sign(b"said"))
for service in {services}:
    boto3.client(service, region_name="us-east-1")
strange = [name for name in sys.modules if name.split(".")[0] in ("pymongo", "dns", "gridfs", "cffi")]
assert not strange, strange
"""


@pytest.fixture(scope="module", params=["local", "aws"])
def target(request: pytest.FixtureRequest) -> Target:
    return {"local": LOCAL, "aws": AWS}[request.param]


def test_the_dependencies_are_what_is_locked_without_what_nothing_imports(target: Target) -> None:
    folder = dependencies(target) / "python"
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "layers/dependencies/requirements.txt").read_text(), re.MULTILINE))
    shipped = {path.name.rsplit("-", 1)[0].replace("_", "-").removesuffix("-dist-info") for path in folder.glob("*.dist-info")}
    shipped = {re.sub(r"-[0-9][^-]*$", "", name) for name in shipped}
    assert locked - shipped == {"pymongo", "dnspython", "tzdata", "cffi", "pycparser"}
    assert (folder / "bson" / "__init__.py").exists()
    assert not [name for name in ("pymongo", "gridfs", "dns", "bin") if (folder / name).exists()]
    assert not list(folder.rglob("tests"))


def test_a_layer_leaves_room_below_the_limit_of_lambda(target: Target) -> None:
    total = sum(path.stat().st_size for layer in (dependencies(target), package(target)) for path in layer.rglob("*") if path.is_file())
    assert total < 64_000_000, "250 MB is the limit; what is loaded at a cold start is what counts"


def test_every_module_of_ours_is_imported_from_the_layers_alone() -> None:
    folders = [str(dependencies(LOCAL) / "python"), str(package(LOCAL) / "python")]
    script = _EVERY_IMPORT.format(services=[name for name in layers._SERVICES if not name.startswith("sso")])
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_source_has_byte_code_that_is_never_checked_again(target: Target) -> None:
    if target.python is None:
        assert not list(package(target).rglob("*.pyc")), "byte code of another Python would be compiled away at each start"
        return
    for layer in (dependencies(target), package(target)):
        compiled = {path.parent.parent / f"{path.name.split('.')[0]}.py": path for path in layer.rglob("__pycache__/*.pyc")}
        sources = set(layer.rglob("*.py"))
        assert sources == set(compiled)
        flags = {path.read_bytes()[4:8] for path in compiled.values()}
        assert flags == {b"\x01\x00\x00\x00"}, "1 is a hash that is not checked"


def test_the_layer_for_aws_is_for_arm64_whatever_machine_builds_it() -> None:
    compiled = list((dependencies(AWS) / "python").rglob("*.so"))
    assert compiled
    machine = {path.read_bytes()[18:20] for path in compiled}
    assert machine == {b"\xb7\x00"}, "183 is AArch64 in an ELF header"


def test_our_layer_is_the_package_with_its_migrations() -> None:
    shipped = package(LOCAL) / "python" / "bourse"
    wanted = {path.relative_to(layers._PACKAGE) for path in layers._PACKAGE.rglob("*") if path.suffix in {".py", ".sql", ".json"}}
    assert wanted <= {path.relative_to(shipped) for path in shipped.rglob("*")}
    assert not list(shipped.rglob("*.md"))


def test_a_layer_is_built_once_for_each_state_of_its_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_BUILD", tmp_path)
    built: list[Path] = []

    def build(folder: Path) -> None:
        (folder / "python").mkdir()
        (folder / "python" / "one.py").write_text("a = 1\n")
        built.append(folder)

    source = ROOT / "cdk.json"
    first = layers._built("one", LOCAL, [source], build)
    assert layers._built("one", LOCAL, [source], build) == first
    assert len(built) == 1
    assert layers._built("one", LOCAL, [source, ROOT / "pyproject.toml"], build) != first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], "nothing half-built is left"


def test_a_package_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = ROOT / "build" / f"{tmp_path.name}.txt"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(layers, "_BUILD", tmp_path)
    monkeypatch.setattr(layers, "_LOCK", lock)
    try:
        with pytest.raises(LayerError, match=r"(?i)hash"):
            dependencies(LOCAL)
    finally:
        lock.unlink()
