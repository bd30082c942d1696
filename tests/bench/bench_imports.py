"""How long each function's handler takes to import: a new interpreter, best of five, beside boto3 alone; on a shared machine read the ratio."""

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
BUDGET_MS = 450
ROUNDS = 5
_TIMED = "import time; t = time.perf_counter(); {code}; print(int((time.perf_counter() - t) * 1000))"


def main() -> None:
    """Print the table, slowest first."""
    alone = _best("import boto3", ROOT)
    milliseconds = {"(boto3 alone)": alone}
    for handler in sorted((ROOT / "functions").glob("*/handler.py")):
        milliseconds[handler.parent.name] = _best("import handler", handler.parent)
    table = Table(title=f"import time of each handler, ms (best of {ROUNDS}, budget {BUDGET_MS})")
    table.add_column("function")
    table.add_column("ms", justify="right")
    table.add_column("x boto3", justify="right")
    table.add_column("")
    for name, value in sorted(milliseconds.items(), key=lambda pair: -pair[1]):
        table.add_row(name, str(value), f"{value / alone:.2f}", "over budget" if value > BUDGET_MS else "")
    Console(width=90).print(table)


def _best(code: str, folder: Path) -> int:
    """Milliseconds inside the interpreter: what Lambda's init adds to starting Python."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "layers/bourse/python"), str(folder)])}
    command = [sys.executable, "-c", _TIMED.format(code=code)]
    return min(int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout) for _ in range(ROUNDS))


if __name__ == "__main__":
    main()
