"""Builds the two layers every function runs on: the locked dependencies, stripped, and our own package; both with byte code.

A layer is built once for each state of its inputs and kept under build/layers. Byte code is compiled by the runtime's own
Python and never checked against its source again, which is 2 to 3 times faster than compiling at each cold start.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.stage import ROOT, Stage

_LOCK: Final = ROOT / "layers" / "dependencies" / "requirements.txt"
_PACKAGE: Final = ROOT / "layers" / "bourse" / "python" / "bourse"
_KEPT: Final = 4
_BUILD: Final = ROOT / "build" / "layers"
_VERSION: Final = "3.13"
"""Of the runtime on AWS, see RUNTIME in constructs/function.py."""
_PYTHON_VARIABLE: Final = "BOURSE_PYTHON_313"
_PLATFORM: Final = (
    "--platform=manylinux2014_aarch64",
    "--platform=manylinux_2_28_aarch64",
    f"--python-version={_VERSION}",
    "--implementation=cp",
)
_PIP: Final = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "--quiet", "install")
_PIP_OPTIONS: Final = ("--require-hashes", "--only-binary=:all:", "--no-deps", "--no-compile")

# Of cffi cryptography imports the compiled backend beside it, and nothing of the package or of the parser that builds with it.
# Of pymongo only its `bson` is ours to use; the driver, and dnspython which it needs, would be 5 MB that nothing imports.
_NOT_SHIPPED: Final = (
    "pymongo",
    "pymongo-*.dist-info",
    "gridfs",
    "dns",
    "dnspython-*.dist-info",
    "cffi",
    "cffi-*.dist-info",
    "pycparser",
    "pycparser-*.dist-info",
    "bin",
    "boto3/examples",
    "boto3/data",
    "aws_lambda_powertools/utilities/kafka",
    "botocore/data/*/*/examples-1.json",
    "**/tests",
    "**/test",
    "**/*.pyi",
    "**/py.typed",
    "**/*.dist-info/RECORD",
    "**/*.dist-info/INSTALLER",
    "**/*.dist-info/REQUESTED",
    "**/*.dist-info/WHEEL",
    "**/*.dist-info/direct_url.json",
    "**/*.dist-info/sboms",
)
# botocore describes 400 services in 20 MB; these are the ones a function may call (sts and sso: how botocore finds credentials).
_SERVICES: Final = ("dynamodb", "kms", "rds", "s3", "secretsmanager", "sqs", "sso", "sso-oidc", "sts")


class LayerError(Exception):
    """A layer could not be built; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """The machine a layer is for: its wheels, and the Python that makes its byte code (none: the layer ships without)."""

    name: str
    pip: tuple[str, ...]
    python: Path | None

    @property
    def tag(self) -> str:
        return f"{self.name}-{_version_of(self.python).replace('.', '') if self.python else 'source'}"


def target_of(stage: Stage) -> Target:
    """The emulator runs functions on this machine's Python, AWS on its own; see `python_of_runtime`."""
    return Target("local", (), Path(sys.executable)) if stage.local else Target("aws", _PLATFORM, python_of_runtime())


@cache
def python_of_runtime() -> Path | None:
    """A Python of the runtime's version: the one BOURSE_PYTHON_313 names, or python3.13 on PATH, if it runs."""
    for candidate in (os.environ.get(_PYTHON_VARIABLE), shutil.which(f"python{_VERSION}")):
        if candidate and _version_of(Path(candidate)).startswith(_VERSION):
            return Path(candidate)
    return None


def refuse_without_byte_code(stage: Stage) -> None:
    """Raises LayerError when what is about to be deployed would start two to three times slower than it should."""
    if target_of(stage).python is None:
        raise LayerError(f"deploying needs a Python {_VERSION} for the layers' byte code: put python{_VERSION} on PATH or set {_PYTHON_VARIABLE}")


class Layers:
    """The assets of the layers of one stage, built when they are not there yet."""

    def __init__(self, stage: Stage) -> None:
        target = target_of(stage)
        self._built: Final = {"dependencies": dependencies(target), "bourse": package(target)}
        self._stage: Final = stage

    def of(self, scope: Construct) -> list[lambda_.LayerVersion]:
        """A version of each layer in this stack, from the same assets."""
        return [
            lambda_.LayerVersion(
                scope,
                f"{name.title()}Layer",
                layer_version_name=self._stage.called(name),
                code=lambda_.Code.from_asset(str(folder), asset_hash=blake2b(folder.name.encode(), digest_size=32).hexdigest()),
                compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
                compatible_architectures=[lambda_.Architecture.ARM_64],
                description=f"{name} for {folder.name}",
            )
            for name, folder in self._built.items()
        ]


def dependencies(target: Target) -> Path:
    """The folder of the dependencies' layer: python/ with the locked packages, nothing in it that no function imports."""

    def build(folder: Path) -> None:
        command = [sys.executable, *_PIP, *_PIP_OPTIONS, *target.pip, f"--target={folder / 'python'}", f"--requirement={_LOCK}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        if done.returncode:
            raise LayerError(f"pip could not install {_LOCK.relative_to(ROOT)} for {target.name}:\n{done.stderr[-2000:]}")
        strip(folder / "python")

    return _built("dependencies", target, [_LOCK, Path(__file__)], build)


def package(target: Target) -> Path:
    """The folder of our own layer: python/bourse."""
    files = sorted(path for path in _PACKAGE.rglob("*") if path.is_file() and path.suffix not in {".md", ".pyc"})

    def build(folder: Path) -> None:
        for path in files:
            copy = folder / "python" / path.relative_to(_PACKAGE.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)

    return _built("bourse", target, [*files, Path(__file__)], build)


def strip(packages: Path) -> None:
    """Remove what no function uses: two thirds of it."""
    for pattern in _NOT_SHIPPED:
        for path in sorted(packages.glob(pattern)):
            _remove(path)
    for service in (path for path in (packages / "botocore" / "data").iterdir() if path.is_dir() and path.name not in _SERVICES):
        _remove(service)


def _built(name: str, target: Target, inputs: list[Path], build: Callable[[Path], None]) -> Path:
    """The folder for this state of the inputs, made in a folder beside it and then renamed, so it is whole or not there."""
    folder = _BUILD / f"{name}-{target.tag}-{_digest(inputs, target)}"
    if not folder.exists():
        fresh = folder.with_name(f".{folder.name}-{os.getpid()}")
        _remove(fresh)
        fresh.mkdir(parents=True)
        build(fresh)
        if target.python:
            _compile(fresh / "python", target.python)
        try:
            fresh.rename(folder)
        except OSError:  # another synthesis was faster with the same
            _remove(fresh)
        _prune(f"{name}-{target.tag}-")
    return folder


def _prune(prefix: str) -> None:
    """Remove what earlier states of the inputs left, but the latest few: a synthesis or a stack beside this one may still use those."""
    old = sorted((path for path in _BUILD.iterdir() if path.name.startswith(prefix)), key=_made_at, reverse=True)
    for path in old[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)  # a synthesis beside this one may be removing it too


def _made_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _digest(inputs: list[Path], target: Target) -> str:
    state = blake2b(target.tag.encode(), digest_size=16)
    for path in inputs:
        state.update(str(path.relative_to(ROOT)).encode() + b"\0" + blake2b(path.read_bytes()).digest())
    return state.hexdigest()


def _compile(packages: Path, python: Path) -> None:
    """Byte code beside every source. `unchecked-hash`: the source is never read again, and times in a zip do not matter."""
    options = ["-q", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "-s", str(packages), "-p", "/opt/python"]
    done = subprocess.run([python, "-m", "compileall", *options, packages], capture_output=True, text=True, check=False, env=_environment())
    if done.returncode:
        raise LayerError(f"{python} could not compile {packages}:\n{(done.stdout + done.stderr)[-2000:]}")


@cache
def _version_of(python: Path) -> str:
    """'3.13', or nothing when this is no Python that runs."""
    try:
        done = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _environment() -> dict[str, str]:
    """Without what would make byte code differ or let pip see this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"PYTHONHASHSEED": "0"}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
