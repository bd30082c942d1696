"""`make chaos`: the demo's job on the local stack, in peace and then in storms drawn from a seed, and what the two differ in.

python -m tests.local.chaos --loans 1000 --seed 1 --rounds 3     one undisturbed run, and three in which everything is killed
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from demo.book import Loan, load
from demo.market import Upload
from demo.watch import StuckError
from infra.local.arguments import positive
from infra.local.stack import Home
from infra.local.up import TENANT, up
from tests.local.builders import World, hide_for
from tests.local.chaos.facts import differences
from tests.local.chaos.job import FILES, Outcome, do
from tests.local.chaos.strikes import Storm, drawn, end

_HIDDEN_SECONDS: Final = 8
"""How long a message stays hidden whose worker died; on AWS six times the function's time-out."""
_SHOWN_MAX: Final = 20
_TERMINATED: Final = 128 + signal.SIGTERM
"""Who is told to end ends as after an interruption: the stacks lie in folders that nobody would look in."""


def main(arguments: Sequence[str]) -> int:
    """Run it and say what was found; 0 when the storms changed nothing."""
    wanted = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    loans = load(wanted.loans)
    print(f"chaos: {wanted.loans:,} loans, seed {wanted.seed}, {wanted.rounds} rounds\n\nundisturbed, on a stack of its own:", flush=True)
    with _stack() as world:
        calm = do(world, loans, FILES)
    found = [f"undisturbed: {one}" for one in calm.broken]
    for round_no in range(1, wanted.rounds + 1):
        print(f"\nround {round_no}, on a fresh stack:", flush=True)
        found += [f"round {round_no}: {one}" for one in _disturbed(loans, calm, wanted.seed, round_no)]
    return _told(calm, found)


def _disturbed(loans: Sequence[Loan], calm: Outcome, seed: int, round_no: int) -> list[str]:
    """What a run in a storm broke, and what it came to that the undisturbed one did not."""
    began = time.monotonic()
    plan = drawn(seed, round_no, len(FILES))
    with _stack() as world:

        def tell(line: str) -> None:
            print(f"  {time.monotonic() - began:6.1f} s  {line}", flush=True)

        storms: list[Storm] = []

        def meanwhile(number: int, sent: Sequence[Upload]) -> None:
            tell(f"{FILES[number][1]}: sent")
            storms.append(Storm(world, calm.handled[number], tell))
            for left in storms[-1].rage(plan[number], sent):
                tell(f"not killed, as there was no such moment: {left}")

        try:
            outcome = do(world, loans, FILES, meanwhile)
        except StuckError as error:
            return [f"it did not come to its end: {error}"]
        tell("everything is settled")
        stopped = [f"by the clock did not run again: {name}" for storm in storms for name in storm.schedules_that_stopped()]
        return [*stopped, *outcome.broken, *differences(calm.facts, outcome.facts)]


def _told(calm: Outcome, found: Sequence[str]) -> int:
    print("\ncompared, row by row:")
    for table, rows in calm.facts.items():
        print(f"  {table:<32} {len(rows):>8,} rows")
    print("\ndiffered, or broke a promise:" if found else "\nnothing differed, and every promise held")
    for line in found[:_SHOWN_MAX]:
        print(f"  {line[:400]}")
    if len(found) > _SHOWN_MAX:
        print(f"  and {len(found) - _SHOWN_MAX:,} more")
    return 1 if found else 0


@contextmanager
def _stack() -> Iterator[World]:
    """A fresh stack in a folder of its own, whose queues deliver a dead worker's message again after a moment."""
    with tempfile.TemporaryDirectory(prefix="bourse-chaos-") as folder:
        home = Home(Path(folder))
        try:
            stack = up(home, lambda line: print(f"  {line}", flush=True), lasting=True)
            hide_for(stack, _HIDDEN_SECONDS)
            yield World(TENANT, home, stack, Path(folder))
        finally:
            end(home)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make chaos", description="Kill what the demo's job runs on, and compare with an undisturbed run.")
    parser.add_argument("--loans", type=positive, default=1_000, metavar="N", help="how many of the demo's loans (make chaos LOANS=N)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="draws what is killed, and after how much progress (SEED=S)")
    parser.add_argument("--rounds", type=positive, default=1, metavar="K", help="how many disturbed runs, each on a fresh stack (ROUNDS=K)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
