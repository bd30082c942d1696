"""Runs every benchmark of this folder, each in a process of its own: `make bench`, `make bench ONLY=imports`, `make bench LOANS=100000`."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run `bench_<name>.py` as modules; 0 when all ran to their end."""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="make bench", description="Measure, and print the tables.")
    parser.add_argument("--loans", default="10000")
    parser.add_argument("only", nargs="*", help=f"some of: {', '.join(names)}")
    arguments = parser.parse_args()
    failed = []
    for name in arguments.only or names:
        command = [sys.executable, "-m", f"tests.bench.bench_{name}"]
        print(f"\n$ python {' '.join(command[1:])}", flush=True)
        if subprocess.run(command, env={**os.environ, "LOANS": arguments.loans}, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
