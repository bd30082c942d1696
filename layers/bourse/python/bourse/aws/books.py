"""The operator's command for the books of the general ledger: check, trial balance, explain, post, export, import, seal, witness.

    DATABASE_URL=... python -m bourse.aws.books check --tenant t1 --witness 12:9f86d0...
    DATABASE_URL=... python -m bourse.aws.books witness --tenant t1
    DATABASE_URL=... python -m bourse.aws.books explain --tenant t1 --account cash/ada --flavor USD
    DATABASE_URL=... python -m bourse.aws.books post --tenant t1 < opening_balances.jsonl
    DATABASE_URL=... python -m bourse.aws.books export --tenant t1 > t1.jsonl
    DATABASE_URL=... python -m bourse.aws.books import --tenant t2 < t1.jsonl

The database is the one `bourse.aws.postgres.conninfo_from_env` reads from the environment. Ends with 0 when all is well, 1 when a check found
differences or an import was refused, 2 for a command that cannot be read, 3 when the database did not do it.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TextIO

import orjson

from bourse.aws.postgres import Database
from bourse.clock import SystemClock
from bourse.errors import Refused, Unavailable
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.aurora_explain import AuroraExplains
from bourse.ledger.aurora_journal import AuroraJournal
from bourse.ledger.aurora_seal import AuroraSeals
from bourse.ledger.books import AsOf, Question
from bourse.ledger.carry import export_lines, import_lines
from bourse.ledger.checker import PARTS, Code, Witness
from bourse.ledger.explain import LIMITS, Limits, explained_text
from bourse.ledger.findings import FINDINGS
from bourse.ledger.lines import post_lines
from bourse.ledger.seal import ENTRIES_MAX
from bourse.ledger.trial_balance import Balance, totals

WELL, DIFFERENT, UNAVAILABLE = 0, 1, 3
LINES_TOLD = 100_000


def main(arguments: Sequence[str], out: TextIO, told: TextIO, lines: TextIO) -> int:
    """Run one command; results to `out`, progress to `told`, an import from `lines`. Its exit code."""
    asked = _parser().parse_args(arguments)
    database = Database.from_env()
    try:
        return int(asked.does(asked, database, out, told, lines))
    except Refused as refused:
        told.write(f"refused: {refused}{f', at {refused.field}' if refused.field else ''}\n")
        return DIFFERENT
    except Unavailable as unavailable:
        told.write(f"{unavailable}\n")
        return UNAVAILABLE
    finally:
        database.close()


def _check(asked: argparse.Namespace, database: Database, out: TextIO, told: TextIO, _lines: TextIO) -> int:
    """Each difference as it is found; in the end, of each kind, what it means and what to do."""
    found: Counter[Code] = Counter()
    begun = time.monotonic_ns()

    def progress(part: str, count: int) -> None:
        minutes, seconds = divmod((time.monotonic_ns() - begun) // 1_000_000_000, 60)
        told.write(f"{minutes}:{seconds:02} {part} ({PARTS.index(part) + 1} of {len(PARTS)}){f': {count:,}' if count else ''}\n")
        told.flush()

    for one in AuroraChecker(database).differences(asked.tenant, witness=asked.witness, progress=progress):
        found[one.code] += 1
        out.write(f"{one.code} {one.place}: expected {one.expected}, found {one.found}\n")
    told.writelines(f"{code} ({count:,}): {FINDINGS[code].means}.\n  What to do: {FINDINGS[code].do}.\n" for code, count in found.items())
    told.write(f"{found.total():,} differences\n")
    return DIFFERENT if found else WELL


def _balance(asked: argparse.Namespace, database: Database, out: TextIO, _told: TextIO, _lines: TextIO) -> int:
    balances: list[Balance] = []
    out.write("flavor\taccount\tdebits\tcredits\tbalance\n")
    for one in AuroraJournal(database).trial_balance(asked.tenant, AsOf(asked.effective_at, asked.known_at)):
        balances.append(one)
        out.write(f"{one.flavor_id}\t{one.account_id}\t{one.debits}\t{one.credits}\t{one.balance}\n")
    sums = list(totals(balances))
    out.writelines(f"{total.flavor_id}\t{total.accounts} accounts\t{total.debits}\t{total.credits}\t{total.credits - total.debits}\n" for total in sums)
    return WELL if all(total.debits == total.credits for total in sums) else DIFFERENT


def _explain(asked: argparse.Namespace, database: Database, out: TextIO, _told: TextIO, _lines: TextIO) -> int:
    limits = Limits(depth=asked.depth, steps=asked.steps)
    question = Question("account_id = $1 AND flavor_id = $2", (asked.account, asked.flavor))
    out.write(explained_text(AuroraExplains(database).explain(asked.tenant, question, limits)))
    return WELL


def _post(asked: argparse.Namespace, database: Database, out: TextIO, told: TextIO, lines: TextIO) -> int:
    """Prints a line for each transaction that is posted by now, also when one after it is refused."""
    count = before = 0
    try:
        for posted in post_lines(asked.tenant, _counted(lines, told), SystemClock().now(), books=AuroraBooks(database)):
            count, before = count + len(posted), before + sum(one.before for one in posted)
            out.writelines(orjson.dumps(one).decode() + "\n" for one in posted)
    finally:
        told.write(f"{count - before:,} transactions were posted, {before:,} were posted before\n")
    return WELL


def _export(asked: argparse.Namespace, database: Database, out: TextIO, told: TextIO, _lines: TextIO) -> int:
    out.writelines(line + "\n" for line in _counted(export_lines(AuroraJournal(database), asked.tenant), told))
    return WELL


def _import(asked: argparse.Namespace, database: Database, _out: TextIO, told: TextIO, lines: TextIO) -> int:
    restored = import_lines(AuroraJournal(database), asked.tenant, _counted(lines, told))
    told.write(f"{restored.entries:,} entries were imported; the state is {restored.state}\n")
    return WELL


def _counted(lines: Iterable[str], told: TextIO) -> Iterator[str]:
    """The lines, telling every so many how many there were."""
    for count, line in enumerate(lines, 1):
        if count % LINES_TOLD == 0:
            told.write(f"{count:,} lines\n")
            told.flush()
        yield line


def _witness_of(asked: argparse.Namespace, database: Database, out: TextIO, told: TextIO, _lines: TextIO) -> int:
    """The last block, as --witness takes it."""
    if (last := AuroraSeals(database).last(asked.tenant)) is None:
        told.write("nothing is sealed yet\n")
        return DIFFERENT
    out.write(f"{last.block_no}:{last.hash.hex()}\n")
    return WELL


def _seal(asked: argparse.Namespace, database: Database, out: TextIO, told: TextIO, _lines: TextIO) -> int:
    """Prints the new blocks as --witness takes them."""
    seals = AuroraSeals(database)
    while sealed := seals.seal(asked.tenant, ENTRIES_MAX):
        told.write(f"{sealed.entries:,} entries\n")
        out.write(f"{sealed.block_no}:{sealed.hash.hex()}\n")
    return WELL


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bourse.aws.books", description="The books of one tenant.")
    commands = parser.add_subparsers(required=True, metavar="check|balance|explain|post|export|import|witness|seal")
    check = _command(commands, "check", _check, "derive everything again from the journal, and print each difference")
    check.add_argument("--witness", type=_witness, metavar="NO:HASH", help="the hash of a block as it was noted elsewhere")
    balance = _command(commands, "balance", _balance, "the trial balance, in columns with tabs between them")
    for name, of in (("--effective-at", "what had happened by then"), ("--known-at", "what was known by then")):
        balance.add_argument(name, type=_time, metavar="TIME", help=f"{of}, such as 2026-01-31T00:00:00+00:00")
    explain = _command(commands, "explain", _explain, "say where an account's tokens of a flavor came from, action by action")
    for name in ("--account", "--flavor"):
        explain.add_argument(name, required=True, metavar="ID")
    explain.add_argument("--depth", type=int, default=LIMITS.depth, help="so many actions behind each other are followed")
    explain.add_argument("--steps", type=int, default=LIMITS.steps, help="so many actions are told")
    _command(commands, "post", _post, "post transactions from lines of JSON, each as the API takes it; done again it changes nothing")
    _command(commands, "export", _export, "write the books as lines of JSON")
    _command(commands, "import", _import, "read such lines into a tenant that has no books; done again it changes nothing")
    _command(commands, "witness", _witness_of, "print the number and hash of the last block, to be noted where nobody who can write the database can")
    _command(commands, "seal", _seal, "seal what can be sealed now, and print the hash of each new block")
    return parser


def _command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, does: object, says: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=says, description=says.capitalize() + ".")
    command.add_argument("--tenant", required=True, help="whose books")
    command.set_defaults(does=does)
    return command


def _witness(text: str) -> Witness:
    block_no, _, hash_ = text.partition(":")
    if len(hash_) != 64:
        raise argparse.ArgumentTypeError("a witness is a block's number, a colon, and 64 hexadecimal digits")
    return Witness(int(block_no), bytes.fromhex(hash_))


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError("a time has its offset, such as +00:00")
    return at


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdout, sys.stderr, sys.stdin))
