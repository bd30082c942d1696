"""A month's files on a local stack of its own: seconds per stage, where the processor time goes, and what AWS would bill.

LOANS=10000 python -m tests.bench.bench_end_to_end
"""

import itertools
import os
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demo.book import DAY_0, FOUR_WEEKS_LATER, Loan, load
from demo.market import Market
from demo.run import play, supply_of
from demo.stages import Stages
from demo.tables import Result
from infra.local.down import down
from infra.local.lines import lines_of
from infra.local.stack import Home, Stack
from infra.local.up import up
from tests.bench.bill import PRICES_PER_MILLION, cost, memories, quantities

PER = 100_000
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run both months and print the tables."""
    os.environ["BOURSE_COUNT_REQUESTS"] = "1"  # heard by the functions, which inherit it from the emulator
    wanted = int(os.environ.get("LOANS", "10000"))
    loans = load(wanted)
    screen = Console(width=110)
    with tempfile.TemporaryDirectory(prefix="bourse-bench-") as folder:
        home = Home(Path(folder))
        try:
            stack = up(home, print)
            market = Market(stack)
            market.open(supply_of(loans))
            began = _cpu_seconds(home)
            rounds = [_round(market, stack, home, loans, day, title) for day, title in ((DAY_0, "first file"), (FOUR_WEEKS_LATER, "4 weeks later"))]
            screen.print(_stages(wanted, rounds))
            screen.print(_processor(began, rounds))
            screen.print(_bill(wanted, stack))
        finally:
            down(home)


def _round(market: Market, stack: Stack, home: Home, loans: list[Loan], day: date, title: str) -> tuple[Result, float, Counter[str]]:
    """One month: its result, its wall seconds, and the processor seconds used until its end."""
    began = time.monotonic()
    with open(os.devnull, "w") as nowhere:
        result = play(market, stack, loans, day, title, Stages(Console(file=nowhere)))
    return result, time.monotonic() - began, _cpu_seconds(home)


def _stages(wanted: int, rounds: list[tuple[Result, float, Counter[str]]]) -> Table:
    table = Table("", *[result.title for result, _, _ in rounds], title=f"{wanted:,} loans: seconds after the files were sent, {os.cpu_count()} cores")
    for name in ("read", "versioned", "settled"):
        table.add_row(name, *[f"{result.seconds.get(name, 0):.1f}" for result, _, _ in rounds])
    table.add_row("until nothing moved any more", *[f"{seconds:.1f}" for _, seconds, _ in rounds])
    earlier = [0, *[sum(row["investments"] for row in result.totals) for result, _, _ in rounds]]
    table.add_row("investments", *[f"{now - before:,}" for before, now in itertools.pairwise(earlier)])
    return table


def _processor(began: Counter[str], rounds: list[tuple[Result, float, Counter[str]]]) -> Table:
    marks = [began, *[used for _, _, used in rounds]]
    table = Table("process", *[result.title for result, _, _ in rounds], title="processor seconds")
    for name in sorted(marks[-1], key=lambda one: -marks[-1][one]):
        table.add_row(name, *[f"{now[name] - before[name]}" for before, now in itertools.pairwise(marks)])
    table.add_row("together", *[f"{now.total() - before.total()}" for before, now in itertools.pairwise(marks)])
    return table


def _bill(wanted: int, stack: Stack) -> Table:
    """Both months and the investors' set-up together, scaled to 100,000 loans."""
    used = quantities(lines_of(stack), memories(stack))
    table = Table("", "for this run", f"per {PER:,} loans", "$ per million", f"$ per {PER:,} loans", title="AWS requests counted at the client, both files")
    scaled = {name: count * PER // wanted for name, count in used.items()}
    dollars = cost(scaled)
    for name, price in PRICES_PER_MILLION.items():
        table.add_row(name, f"{used[name]:,}", f"{scaled.get(name, 0):,}", f"{price}", f"{dollars[name]:.3f}")
    table.add_row("together", "", "", "", f"{sum(dollars.values(), Decimal()):.3f}")
    return table


def _cpu_seconds(home: Home) -> Counter[str]:
    """Processor seconds of the stack's living processes by kind; only on Linux, elsewhere none."""
    used: Counter[str] = Counter()
    if sys.platform != "linux":
        return used
    emulator, database = home.emulator_pid.read_text(), (home.postgres / "data" / "postmaster.pid").read_text().split()[0]
    for entry in (one for one in Path("/proc").iterdir() if one.name.isdigit()):
        try:
            words = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if emulator in {entry.name, words[1]} and "ministack" in command:
            name = command.partition("ministack-lambda-bourse-local-")[2].rpartition("-")[0] or "the emulator"
        elif database in {entry.name, words[1]}:
            name = "PostgreSQL"
        else:
            continue
        used[name] += (int(words[11]) + int(words[12])) // _TICKS_PER_SECOND
    return used


if __name__ == "__main__":
    main()
