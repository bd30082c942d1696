"""Runs worlds for some minutes: `make simulate MINUTES=60`, or `python -m tests.simulation --minutes 60 --from 0`.

    python -m tests.simulation --seed 4711          one world again, step by step
    python -m tests.simulation --mutants            the planted faults, each with the seed that finds it
    python -m tests.simulation --upgrades           the planted upgrades: those that may be deployed hold, the others are found
    python -m tests.simulation --beside v1.0        this code is deployed over that of a commit, in each world

Ends with 1 when a promise was broken (or a planted fault was not found); the seed that is printed replays it exactly.
"""

import argparse
import secrets
import subprocess
import sys
import time

from tests.simulation.mutants import MUTANTS, caught
from tests.simulation.promises import Broken
from tests.simulation.runs import Summary, silence, simulate
from tests.simulation.upgrades import ALLOWED, FORBIDDEN, first_broken, upgrade_of, world_of, worlds
from tests.simulation.versions import Release, at
from tests.simulation.world import World

TELL_EVERY = 500
HOLD = 100
"""Worlds in which an upgrade that may be deployed must hold."""
LOOK = 2_000
"""Worlds in which a planted fault is looked for."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="The whole marketplace in worlds where everything goes wrong.")
    parser.add_argument("--minutes", type=float, default=3, help="for how long, of CPU time")
    parser.add_argument("--from", dest="first", type=int, help="the first seed; without it, a random one")
    parser.add_argument("--seed", type=int, help="run this one world and print each step")
    parser.add_argument("--mutants", action="store_true", help="plant known faults and look for each")
    parser.add_argument("--upgrades", action="store_true", help="deploy known upgrades in the middle of everything, and look for those that must not be")
    parser.add_argument("--beside", metavar="REF", help="deploy this code over that of a commit")
    asked = parser.parse_args()
    if asked.minutes <= 0:
        parser.error("--minutes is more than 0")
    try:
        old = at(asked.beside) if asked.beside else None
    except subprocess.CalledProcessError:
        parser.error(f"--beside {asked.beside}: there is no such commit here")
    if asked.seed is not None:
        return _one(asked.seed, old)
    if asked.upgrades:
        return _upgrades()
    return _mutants() if asked.mutants else _many(asked.minutes, secrets.randbits(40) if asked.first is None else asked.first, old)


def _one(seed: int, old: Release | None) -> int:
    world = World(seed, old=old) if old else world_of(seed)
    world.log = []
    sys.stdout.write(f"seed {seed}: {world.options}\n")
    if old is None and (upgrade := upgrade_of(seed)):
        sys.stdout.write(f"deployed: {upgrade.name}\n")
    broken = None
    with silence():
        try:
            world.run()
        except BaseException as found:
            if type(found).__name__ != Broken.__name__:  # a world of another copy of the code breaks by its own class
                raise
            broken = found
    sys.stdout.writelines(f"{line}\n" for line in world.log)
    sys.stdout.write(f"{world.steps} steps, trace {world.trace()}: {broken or 'all promises hold'}\n")
    return 1 if broken else 0


def _many(minutes: float, first: int, old: Release | None) -> int:
    summary = Summary()

    def told(so_far: Summary) -> None:
        nonlocal summary
        summary = so_far
        if summary.seeds % TELL_EVERY == 0:
            sys.stderr.write(f"{summary.seeds:,} seeds, {summary.steps:,} steps, {len(summary.broken)} broken\n")
            sys.stderr.flush()

    sys.stdout.write(f"Seeds from {first}\n")
    until = time.process_time() + 60 * minutes
    try:
        simulate(range(first, first + 10**9), told, until=until, old=old, upgrades=old is None)
    except KeyboardInterrupt:
        sys.stdout.write("Stopped before its time; up to then:\n")
    sys.stdout.writelines(f"{line}\n" for line in summary.lines())
    return 1 if summary.broken else 0


def _mutants() -> int:
    missed = 0
    with silence():
        for mutant in MUTANTS:
            found = caught(mutant, range(LOOK))
            missed += found is None
            sys.stdout.write(f"{mutant.name}: {f'seed {found[0]}, step {found[1]}, {found[2][:120]}' if found else 'NOT FOUND'}\n")
            sys.stdout.flush()
    return 1 if missed else 0


def _upgrades() -> int:
    wrong = 0
    for upgrade in ALLOWED:
        broken = worlds(upgrade, range(HOLD)).broken
        wrong += bool(broken)
        sys.stdout.write(f"{upgrade.name}: {f'BROKEN, seed {broken[0][0]}: {broken[0][3][:120]}' if broken else f'{HOLD} worlds hold'}\n")
        sys.stdout.flush()
    for upgrade in FORBIDDEN:
        found = first_broken(upgrade, range(LOOK))
        wrong += found is None
        sys.stdout.write(f"{upgrade.name}: {f'seed {found[0]}, step {found[1]}, {found[2][:120]}' if found else 'NOT FOUND'}\n")
        sys.stdout.flush()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
