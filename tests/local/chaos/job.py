"""The job that is done twice, once in peace and once in a storm: the demo's loans, originators and two files, and takers for whom order does not matter.

Seven investors, one for each grade, each with one bucket of his grade and the wish and the cash for far more than there is: every loan has one taker,
who takes all of it at once. So what everybody ends up with is wholly determined by the files. (The demo's own twelve investors compete: who gets
which loan is then a matter of who comes first.)
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

from demo.book import DAY_0, FOUR_WEEKS_LATER, ORIGINATORS, Loan, write_file
from demo.market import Upload
from demo.parties import INVESTORS
from demo.run import supply_of
from demo.watch import settle_down
from tests.local.builders import World
from tests.local.chaos.facts import Facts, facts_of
from tests.local.chaos.promises import broken
from tests.local.chaos.strikes import handled

_MORE_THAN_THERE_IS: Final = 2_000
"""Times the size of an investor of the demo: what one loan may take of a portfolio is then larger than any loan."""
TAKERS: Final = tuple(
    replace(investor, weight=_MORE_THAN_THERE_IS, portfolio=f"grade {grade}", buckets=((grade.lower(), "100", ({"field": "grade", "in": [grade]},)),))
    for grade, investor in zip("ABCDEFG", INVESTORS, strict=False)
)
FILES: Final = ((DAY_0, "first file"), (FOUR_WEEKS_LATER, "4 weeks later"))
_GIVE_UP_SECONDS: Final = 240
"""Longer than a minute's schedule on a machine that has much else to do."""
Meanwhile = Callable[[int, Sequence[Upload]], object]
"""What happens while the files of this number are on their way."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    facts: Facts
    broken: list[str]
    """Promises that do not hold in it."""
    handled: list[Counter[str]]
    """For each file, function -> messages it handled."""


def do(world: World, loans: Sequence[Loan], files: Sequence[tuple[date, str]], meanwhile: Meanwhile = lambda _number, _sent: None) -> Outcome:
    """Open the market, send the files of each day, and wait until nothing moves. Raises StuckError."""
    world.market.open(supply_of(loans), TAKERS)
    sent: list[Upload] = []
    counts: list[Counter[str]] = []
    for number, (day, _) in enumerate(files):
        before = handled(world)
        on_their_way = _send(world, loans, day)
        meanwhile(number, on_their_way)
        settle_down(world.market, world.stack, on_their_way, lambda _: None, _GIVE_UP_SECONDS)
        counts.append(handled(world) - before)
        sent += on_their_way
    return Outcome(facts_of(world, sent), list(broken(world)), counts)


def _send(world: World, loans: Sequence[Loan], day: date) -> list[Upload]:
    with tempfile.TemporaryDirectory() as folder:
        return [world.market.send(one, write_file(loans, one, day, Path(folder))[0]) for one in ORIGINATORS]
