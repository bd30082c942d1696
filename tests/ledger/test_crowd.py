"""Many writers at once on a real PostgreSQL: nothing is lost, doubled, overdrawn or oversold, and nobody waits crosswise."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.events import BidsReturned
from bourse.ledger.model import Receipt
from bourse.message import Outcome

from tests.ledger.builders import TENANT, AuroraKeeper, assert_sound, bid, chunk, closed, pay_in, pay_out, settle

THREADS = 8
INVESTORS = [f"inv-{n}" for n in range(12)]
Task = Callable[[AuroraLedger], object]


def at_once(keeper: AuroraKeeper, tasks: list[Task]) -> list[object]:
    """Do the tasks on eight connections that start together; an exception of one is the test's."""
    barrier = threading.Barrier(THREADS)

    def run(mine: list[Task]) -> list[object]:
        with closing(Database(keeper.app_dsn)) as database:
            barrier.wait()
            return [task(AuroraLedger(database)) for task in mine]

    with ThreadPoolExecutor(THREADS) as pool:
        return [answer for answers in pool.map(run, [tasks[n::THREADS] for n in range(THREADS)]) for answer in answers]


def deadlocks(keeper: AuroraKeeper) -> int:
    return keeper.rows("select deadlocks::int from pg_stat_database where datname = current_database()")[0][0]


def returned_ids(outcome: Outcome) -> set[str]:
    return {one.bid_id for message in outcome.says if isinstance(message, BidsReturned) for one in message.bids}


@pytest.mark.parametrize("seed", range(3))
def test_chunks_heard_three_times_by_eight_workers_are_settled_once(aurora: AuroraKeeper, seed: int) -> None:
    chance = random.Random(seed)
    for investor in INVESTORS:
        pay_in(aurora.ledger, investor, 20_000)
    chunks = [_chunk(chance, number) for number in range(24)]
    deliveries = chunks * 3
    chance.shuffle(deliveries)
    outcomes = at_once(aurora, [lambda ledger, one=one: (one.message_id, settle(ledger, one)) for one in deliveries])

    said: dict[str, list[set[str]]] = {}
    for cause, outcome in outcomes:
        said.setdefault(cause, []).append(returned_ids(outcome))
    assert all(len(answers) == 3 and answers[0] == answers[1] == answers[2] for answers in said.values())
    fates = aurora.rows("select outcome, count(*)::int from ledger.bid group by 1")
    assert sum(count for _, count in fates) == len({one.bid_id for published in chunks for one in published.bids})
    assert dict(fates)["settled"] == aurora.rows("select count(*)::int from books.txn where kind = 'purchase'")[0][0]
    assert dict(fates)["returned"] == sum(len(answers[0]) for answers in said.values()) > 0
    assert deadlocks(aurora) == 0
    assert_sound(aurora)


def _chunk(chance: random.Random, number: int):
    bids = []
    for n in range(12):
        principal = chance.randrange(100, 3000)
        amounts = {"principal": principal, "sell_amount": principal - 10, "buy_amount": principal + chance.randrange(0, 20)}
        facts = {"investor_id": chance.choice(INVESTORS), "loan_id": f"L{chance.randrange(6)}", "bucket_id": chance.choice(("safe", "bold"))}
        bids.append(bid(f"{number}-{n}", originator_id=f"orig-{number % 3}", offer_volume=9000, **facts, **amounts))
    return chunk(*bids, number=number)


def test_purchases_deposits_and_withdrawals_of_the_same_investors_go_side_by_side(aurora: AuroraKeeper) -> None:
    chance = random.Random(11)
    tasks: list[Task] = []
    for number in range(30):
        investor, other = chance.sample(INVESTORS, 2)
        tasks += [lambda ledger, who=investor, n=number: pay_in(ledger, who, 700, f"in-{n}")] * 2
        tasks.append(lambda ledger, who=other, n=number: _try_pay_out(ledger, who, 300, f"out-{n}"))
        tasks.append(partial(settle, published=_chunk(chance, number)))
        tasks.append(lambda ledger, n=number: ledger.close_loans(TENANT, f"orig-{n % 3}", [closed(f"L{n % 2}", n)]))
    chance.shuffle(tasks)
    answers = at_once(aurora, tasks)

    paid_in = {answer.txn_id for answer in answers if isinstance(answer, Receipt) and answer.amount == 700}
    assert len(paid_in) == 30
    assert sum(1 for answer in answers if isinstance(answer, Receipt) and answer.amount == 700 and not answer.booked_before) == 30
    assert deadlocks(aurora) == 0
    assert_sound(aurora)


def _try_pay_out(ledger: AuroraLedger, investor_id: str, amount: int, external_id: str) -> Receipt | None:
    try:
        return pay_out(ledger, investor_id, amount, external_id)
    except Refused:
        return None


def test_of_eight_withdrawals_at_once_only_as_many_happen_as_there_is_money_for(aurora: AuroraKeeper) -> None:
    pay_in(aurora.ledger, "ivy", 3500)
    tasks: list[Task] = [lambda ledger, n=n: _try_pay_out(ledger, "ivy", 1000, f"out-{n}") for n in range(8)]
    assert sum(1 for answer in at_once(aurora, tasks) if answer) == 3
    assert aurora.balances()["cash/ivy", "EUR"] == 500
    assert_sound(aurora)


def test_of_eight_equal_deposits_at_once_one_is_booked_and_all_get_its_receipt(aurora: AuroraKeeper) -> None:
    answers = at_once(aurora, [lambda ledger: pay_in(ledger, "ivy", 1000, "wire-1")] * 8)
    assert len({answer.txn_id for answer in answers}) == 1
    assert sorted(answer.booked_before for answer in answers) == [False] + [True] * 7
    assert aurora.balances()["cash/ivy", "EUR"] == 1000


def test_of_bids_on_one_loan_by_eight_workers_no_more_is_sold_than_was_offered(aurora: AuroraKeeper) -> None:
    for investor in INVESTORS:
        pay_in(aurora.ledger, investor, 100_000)
    chunks = [chunk(bid(n, investor_id=INVESTORS[n % 12], offer_volume=5500), number=n) for n in range(16)]
    at_once(aurora, [lambda ledger, one=one: settle(ledger, one) for one in chunks])
    assert aurora.balances()["loans/acme", "loan/acme/L1"] == -5000
    assert_sound(aurora)


def test_a_loan_that_closes_while_bids_arrive_is_closed_for_every_bid_after_it(aurora: AuroraKeeper) -> None:
    pay_in(aurora.ledger, "ivy", 1_000_000)
    tasks: list[Task] = [lambda ledger, n=n: settle(ledger, chunk(bid(n), number=n)) for n in range(24)]
    tasks.insert(12, lambda ledger: ledger.close_loans(TENANT, "acme", [closed("L1", 2)]))
    at_once(aurora, tasks)
    settled = aurora.rows("select count(*)::int from ledger.bid where outcome = 'settled'")[0][0]
    assert aurora.balances().get(("loans/acme", "loan/acme/L1"), 0) == -1000 * settled
    [late] = [m for m in settle(aurora.ledger, chunk(bid("late"), number="late")).says if isinstance(m, BidsReturned)]
    assert late.bids[0].reason == "loan_closed"
    assert_sound(aurora)
