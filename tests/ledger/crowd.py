"""Eight writers at once on one PostgreSQL, with every kind of posting, and a part of it submitted by two of them at the same time.

`python -m tests.ledger.crowd --transfers 1000000` starts a server of its own (`--dsn` names another), and prints what came of it and how fast.
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import psycopg
from bourse.aws.migrate import migrate
from bourse.aws.postgres import Database
from bourse.errors import Refused, Unavailable
from bourse.ledger.actions import Account, Distribute, Expect, Flavor, PostHold, ReleaseHold, Reserve, Spending, Transaction
from bourse.ledger.aurora_books import AuroraBooks

from infra.local import postgres as local_postgres
from tests.ledger.books_builders import DAY, day, issue, retire, transfer

TENANT = "crowd"
WRITERS = 8
NAMES = [f"a{number:02}" for number in range(64)]
BLOCK = 100
FIRST = 1_000_000
TRIES = 200
Call = Sequence[Transaction]


def open_all(books: AuroraBooks) -> None:
    for flavor in ("usd", "loan"):
        books.open_flavor(TENANT, Flavor(flavor))
    for name in (*NAMES, "payer", "still"):
        books.open_account(TENANT, Account(name))
    books.open_account(TENANT, Account("fees", floor=None, hot=True))
    made = [issue(FIRST, name, token_tags={"n": number % 3}) for number, name in enumerate(NAMES)]
    made += [issue(number + 1, name, "loan") for number, name in enumerate(NAMES[:20])]
    books.post(TENANT, [Transaction("first", (*made, issue(10**9, "payer"), issue(1, "still")), DAY)], DAY)


def calls_of(block: int) -> list[Call]:
    """The postings of a block, the same whoever asks."""
    random = Random(block)
    return KINDS.get(block % 20, _plain)(random, f"b{block}")


def _pair(random: Random) -> tuple[str, str]:
    one, other = random.sample(NAMES, 2)
    return one, other


def _one(*actions: Any, txn_id: str, **more: Any) -> Call:
    return [Transaction(txn_id, actions, day(5), **more)]


def _plain(random: Random, name: str) -> list[Call]:
    return [[Transaction(f"{name}.{n}", (transfer(random.randrange(1, 50), *_pair(random)),), day(5)) for n in range(BLOCK)]]


def _with_fees(random: Random, name: str) -> list[Call]:
    def one(n: int) -> Call:
        source, destination = _pair(random)
        return _one(transfer(random.randrange(1, 50), source, destination), transfer(1, source, "fees"), txn_id=f"{name}.{n}")

    return [one(n) for n in range(10)]


def _filtered(random: Random, name: str) -> list[Call]:
    where = "tags.n = 1 OR NOT EXISTS(tags.n)"
    return [_one(transfer(random.randrange(1, 50), *_pair(random), where=where, carry_tags=n % 2 == 0), txn_id=f"{name}.{n}") for n in range(10)]


def _new_tags(random: Random, name: str) -> list[Call]:
    return [[Transaction(f"{name}.{n}", (transfer(5, *_pair(random), order="pro_rata", token_tags={"of": name}),), day(5)) for n in range(5)]]


def _held(random: Random, name: str) -> list[Call]:
    source, destination = _pair(random)
    hold = f"{name}.hold"
    calls = [_one(Reserve(hold, "usd", 40, source), txn_id=f"{name}.0"), _one(PostHold(hold, destination, 25, keep_rest=True), txn_id=f"{name}.1")]
    return [*calls, _one(ReleaseHold(hold), txn_id=f"{name}.2")]


def _distributed(random: Random, name: str) -> list[Call]:
    share = Distribute("usd", random.randrange(1, 500), "payer", "loan", fee=(1, 100), fee_destination="fees", retire=False)
    sale = transfer(1, *random.sample(NAMES[:20], 2), flavor="loan")
    return [_one(sale, txn_id=f"{name}.0"), _one(share, txn_id=f"{name}.1")]


def _guarded(random: Random, name: str) -> list[Call]:
    still = (Expect("account_id = 'still'", amount=1, count=1),)
    share = Distribute("usd", 7, "payer", "loan", Spending("account_id != 'a01'"), retire=False)
    tagged = transfer(3, *_pair(random), where="amount > 0", token_tags={"of": name})
    return [_one(share, txn_id=f"{name}.0", expect=still), _one(tagged, txn_id=f"{name}.1", expect=still)]


def _late(random: Random, name: str) -> list[Call]:
    return [[Transaction(f"{name}.{n}", (transfer(random.randrange(1, 20), *_pair(random)),), day(n % 5))] for n in range(5)]


def _in_and_out(random: Random, name: str) -> list[Call]:
    return [_one(issue(90, random.choice(NAMES)), retire(30, random.choice(NAMES)), txn_id=f"{name}.{n}") for n in range(10)]


KINDS: dict[int, Callable[[Random, str], list[Call]]] = {
    1: _with_fees,
    3: _filtered,
    5: _new_tags,
    7: _held,
    9: _distributed,
    11: _guarded,
    13: _late,
    15: _in_and_out,
}


def write(dsn: str, writer: int, blocks: int) -> Counter[str]:
    """Post the blocks of one writer, and of his neighbour every fifth. Returns how often what came of it."""
    seen: Counter[str] = Counter()
    with closing(Database(dsn)) as database:
        books = AuroraBooks(database)
        for block in range(blocks):
            mine = block % WRITERS == writer
            if mine or (block % 5 == 0 and (block + 1) % WRITERS == writer):
                for call in calls_of(block):
                    _post(books, call, seen)
            if mine and block % 97 == 0:
                books.tag_account(TENANT, NAMES[block % len(NAMES)], {"block": block})
    return seen


def _post(books: AuroraBooks, call: Call, seen: Counter[str]) -> None:
    for _ in range(TRIES):
        try:
            for one, asked in zip(books.post(TENANT, call, day(5)), call, strict=True):
                seen["posted before" if one.before else "posted"] += 1
                seen["actions"] += 0 if one.before else len(asked.actions)
            return
        except Unavailable:
            seen["tried again"] += 1
        except Refused as refused:
            seen[refused.code] += 1
            return
    seen["given up"] += 1


def crowd(dsn: str, blocks: int, pool: Executor) -> Counter[str]:
    """All writers at once, on books that `open_all` opened."""
    running = [pool.submit(write, dsn, writer, blocks) for writer in range(WRITERS)]
    return sum((one.result() for one in running), Counter())


def blocks_for(transfers: int) -> int:
    """How many blocks have that many actions."""
    of_twenty = sum(len(one.actions) for block in range(20) for call in calls_of(block) for one in call)
    return -(-transfers * 20 // of_twenty)


CHECKS = {
    "transactions": "select count(*) from books.txn",
    "actions": "select count(*) from (select distinct txn_no, action_no from books.move) m",
    "flavors that do not sum to zero": "select count(*) from (select from books.lot group by flavor_no having sum(amount) <> 0) f",
    "lots below their floor": "select count(*) from books.lot where amount - held < floor",
    "lots that are not the sum of their moves": """
      select count(*) from books.lot l left join (select lot, sum(change) as amount from (
        select dst as lot, amount as change from books.move union all select src, -amount from books.move) m group by lot) s on s.lot = l.lot_no
      where l.amount <> coalesce(s.amount, 0)""",
    "lots below their floor at a past instant": """
      select count(distinct l.lot_no) from books.lot l join (
        select lot, sum(sum(change)) over (partition by lot order by effective_at) as amount from (
          select dst as lot, effective_at, amount as change from books.move union all select src, effective_at, -amount from books.move) m
        group by lot, effective_at) s on s.lot = l.lot_no where s.amount < l.floor""",
    "lots that hold back what no hold holds": """
      select count(*) from books.lot l left join (select lot_no, sum(amount) as held from books.hold_move group by 1) h using (lot_no)
      where l.held <> coalesce(h.held, 0)""",
    "deadlocks": "select deadlocks from pg_stat_database where datname = current_database()",
}


def checked(dsn: str) -> dict[str, int]:
    with psycopg.connect(dsn, autocommit=True) as owner:
        return {name: owner.execute(query).fetchone()[0] for name, query in CHECKS.items()}


@contextmanager
def server_of_our_own() -> Iterator[tuple[str, str]]:
    """A durable server with an empty ledger: the owner's DSN, and the functions'."""
    home = Path(tempfile.mkdtemp(prefix="bourse-crowd-"))
    server = local_postgres.start(home, durable=True)
    try:
        server.run("create database {}", "crowd")
        migrate(server.dsn("crowd"))
        server.let_in("bourse_app")
        yield server.dsn("crowd"), server.dsn("crowd", "bourse_app")
    finally:
        local_postgres.stop(home)
        shutil.rmtree(home, ignore_errors=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfers", type=int, default=1_000_000)
    asked = parser.parse_args(arguments)
    with server_of_our_own() as (owner, app):
        with closing(Database(app)) as database:
            open_all(AuroraBooks(database))
        begun = perf_counter()
        with ProcessPoolExecutor(WRITERS, mp_context=get_context("spawn")) as pool:
            seen = crowd(app, blocks_for(asked.transfers), pool)
        seconds = perf_counter() - begun
        found = checked(owner)
    for name, number in (*sorted(seen.items()), *found.items()):
        print(f"{number:>12,}  {name}")
    print(f"{seen['actions'] / seconds:>12,.0f}  actions a second, {WRITERS} writers, {seconds:,.0f} s")
    return 0 if is_sound(seen, found) else 1


def is_sound(seen: Counter[str], found: dict[str, int]) -> bool:
    """Whether each transaction was posted for the first time once (the one that opened the books apart), and nothing is wrong with the books."""
    wrong = {name: number for name, number in found.items() if number and name not in {"transactions", "actions"}}
    return not wrong and not seen["given up"] and found["transactions"] == seen["posted"] + 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
