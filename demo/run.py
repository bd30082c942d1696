"""`make demo`: starts the local stack, does the product's main job on real loans, shows what came of it, and stops the stack.

python -m demo.run --loans 10000            everything, in a minute or two
python -m demo.run --loans 10000 --keep     leave the stack running afterwards (make down stops it)
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

from demo.book import DAY_0, FOUR_WEEKS_LATER, ORIGINATORS, Loan, load, state_on, write_file
from demo.market import Market, Upload
from demo.parties import INVESTORS, target_of
from demo.stages import Stages, console
from demo.tables import Result, show
from demo.watch import Progress, settle_down
from infra.local.arguments import positive
from infra.local.down import down
from infra.local.lines import counted, lines_of
from infra.local.stack import Home, Stack
from infra.local.up import up

_GIVE_UP_SECONDS: Final = 90
_CENTS: Final = 100
_SAYS_COUNTS: Final = ("assess_assets", "plan_purchases", "settle_investments")


def main(arguments: Sequence[str]) -> int:
    """Run the demo; 0 when everything was settled and every sum is zero."""
    wanted = _parser().parse_args(arguments)
    home = Home.from_env()
    screen = console()
    screen.print(f"[bold]Bourse[/bold]: {wanted.loans:,} real loans of 2015, {len(ORIGINATORS)} originators, {len(INVESTORS)} investors", highlight=False)
    try:
        loans = load(wanted.loans)
        if not wanted.keep:
            down(home)  # a demo starts with an empty marketplace
        stack = up(home, lambda line: screen.print(line, highlight=False))
        balanced = tell_the_story(Market(stack), stack, loans, Stages(screen))
    except KeyboardInterrupt:
        screen.print("\ninterrupted: stopping the local stack")
        down(home)
        return 130
    except Exception as error:
        return _explain(error, home)
    if wanted.keep:
        screen.print(f"\nThe stack is still up: addresses and tokens are in {home.description}; make logs, make down.", highlight=False)
    else:
        down(home)
    return 0 if balanced else 1


def tell_the_story(market: Market, stack: Stack, loans: Sequence[Loan], stages: Stages) -> bool:
    """Open the market, send the books of day 0 and of four weeks later, and show what came of it; whether every sum is zero."""
    supply = supply_of(loans)
    rounds: list[Result] = []
    with stages.shown():
        with stages.stage("open the market: parties, cash, portfolios"):
            market.open(supply)
        for day, title in ((DAY_0, "first file"), (FOUR_WEEKS_LATER, "4 weeks later")):
            rounds.append(play(market, stack, loans, day, title, stages))
    balance = market.trial_balance()
    show(console(), rounds, {one.investor_id: market.home(one.investor_id) for one in INVESTORS}, balance)
    return all(row["total"] == 0 for row in balance)


def play(market: Market, stack: Stack, loans: Sequence[Loan], day: date, title: str, stages: Stages) -> Result:
    """Send the books of one day and wait until everything is settled. Raises StuckError, ApiError, UploadRefusedError."""
    before = counted(lines_of(stack, _SAYS_COUNTS))
    sent: list[Upload] = []
    records = 0
    with tempfile.TemporaryDirectory() as folder, stages.stage(f"{title}: write BSON and send it", len(ORIGINATORS)) as stage:
        for number, originator in enumerate(ORIGINATORS, 1):
            file, written = write_file(loans, originator, day, Path(folder))
            sent.append(market.send(originator, file))
            records += written
            stage.reached(number)
    progress = _watch(market, stack, sent, records, title, loans, stages)
    reasons = Counter(rejection["code"] for one in sent for rejection in market.rejections(one))
    metrics = counted(lines_of(stack, _SAYS_COUNTS)) - before
    seconds = {f"{name}": progress.reached[name] for name in ("read", "versioned", "settled") if name in progress.reached}
    return Result(title, progress.counts, reasons, metrics, market.totals(), seconds)


def _watch(market: Market, stack: Stack, sent: Sequence[Upload], records: int, title: str, loans: Sequence[Loan], stages: Stages) -> Progress:
    demand = sum(target_of(one, supply_of(loans)) for one in INVESTORS)
    with (
        stages.stage(f"{title}: read and check records", records) as read,
        stages.stage(f"{title}: compare and keep versions", records) as versioned,
        stages.stage(f"{title}: match and settle, USD", demand // _CENTS) as settled,
    ):

        def seen(progress: Progress) -> None:
            read.reached(progress.counts["received"])
            versioned.reached(progress.counts["received"] - progress.counts["pending"])
            settled.reached(progress.invested_minor // _CENTS)

        return settle_down(market, stack, sent, seen, _GIVE_UP_SECONDS)


def supply_of(loans: Sequence[Loan]) -> int:
    """Minor units of principal for sale on day 0."""
    live = (loan for loan in loans if not loan.arrives_later)
    return sum(state_on(loan, DAY_0).outstanding_minor * int(loan.originator.sellable_share) // 100 for loan in live)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description="The product doing its main job on real loans, on this machine.")
    parser.add_argument(
        "--loans", type=positive, default=10_000, metavar="N", help="how many loans (make demo LOANS=N): 10,000 unless said, up to 100,000 or more"
    )
    parser.add_argument("--keep", action="store_true", help="use the running stack or start one, and leave it running")
    return parser


def _explain(error: Exception, home: Home) -> int:
    """Say what went wrong, where to look and what to do; the stack stays for a look at it."""
    print(f"\nThe demo did not get to its end: {error or type(error).__name__}\n", file=sys.stderr)
    print("  make logs        what the functions said, as long as the stack runs", file=sys.stderr)
    print(f"  {home.emulator_log}  the emulator's log", file=sys.stderr)
    print(f"  {home.postgres / 'server.log'}  PostgreSQL's log", file=sys.stderr)
    print("  make down && make demo   start again from nothing", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
