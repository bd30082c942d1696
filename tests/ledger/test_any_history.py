"""Any history of deposits, withdrawals, purchases, closings and repetitions: sound after each step, and alike on every keeper."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bourse.errors import Conflict, Refused
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.ledger.builders import NOON, AuroraKeeper, Keeper, MemoryKeeper, assert_sound, bid, chunk, closed, pay_in, pay_out, settle

INVESTORS = st.sampled_from(("ivy", "sam", "kim"))
LOANS = st.sampled_from(("L1", "L2"))
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Step:
    what: str
    facts: tuple[Any, ...]


def _transfers(what: str) -> st.SearchStrategy[Step]:
    return st.builds(lambda *facts: Step(what, facts), INVESTORS, st.integers(1, 5000), st.integers(1, 6))


_bids = st.tuples(
    st.integers(1, 30), INVESTORS, LOANS, st.integers(1, 2000), st.integers(0, 50), st.integers(0, 50), st.booleans(), st.none() | st.integers(1, 6000)
)
STEPS = st.lists(
    st.one_of(
        _transfers("pay_in"),
        _transfers("pay_out"),
        st.builds(lambda *facts: Step("close", facts), LOANS, st.integers(1, 4)),
        st.lists(_bids, min_size=1, max_size=6).map(lambda bids: Step("settle", tuple(bids))),
    ),
    max_size=12,
)


def do(keeper: Keeper, tenant_id: str, step: Step) -> Any:
    """What the step answered: the messages said, the receipt, or the refusal."""
    ledger = keeper.ledger
    try:
        match step.what, step.facts:
            case "pay_in", (investor, amount, number):
                return pay_in(ledger, investor, amount, str(number), tenant_id=tenant_id)
            case "pay_out", (investor, amount, number):
                return pay_out(ledger, investor, amount, str(number), tenant_id=tenant_id)
            case "close", (loan, version):
                return ledger.close_loans(tenant_id, "acme", [closed(loan, version)])
            case _:
                return settle(ledger, chunk(*(_bid(*facts) for facts in step.facts), number=str(step.facts), tenant_id=tenant_id))
    except (Refused, Conflict) as refusal:
        return refusal.code


def _bid(number: int, investor: str, loan: str, principal: int, discount: int, fee: int, whole: bool, volume: int | None) -> Any:
    sell = max(0, principal - discount)
    amounts = {"principal": principal, "sell_amount": sell, "buy_amount": sell + fee}
    return bid(number, investor_id=investor, loan_id=loan, **amounts, completes=whole, offer_volume=volume)


def play(keeper: Keeper, tenant_id: str, steps: Sequence[Step]) -> list[Any]:
    answers = []
    for step in steps:
        before = keeper.balances(tenant_id)
        answers.append(answer := do(keeper, tenant_id, step))
        if isinstance(answer, str):
            assert keeper.balances(tenant_id) == before, "a refusal moves nothing"
        assert_sound(keeper, tenant_id)
    return answers


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_after_every_step_of_any_history_the_books_are_sound(steps: list[Step]) -> None:
    play(MemoryKeeper(), "t1", steps)


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_a_history_played_again_in_full_moves_nothing_more(steps: list[Step]) -> None:
    keeper = MemoryKeeper()
    play(keeper, "t1", steps)
    booked = _purchases(keeper)
    fates = {key: kept.one.reason for key, kept in keeper.ledger._bids.items()}
    play(keeper, "t1", [step for step in steps if step.what == "settle"])
    assert _purchases(keeper) >= booked
    assert {key: kept.one.reason for key, kept in keeper.ledger._bids.items() if key in fates} == fates


def _purchases(keeper: MemoryKeeper) -> set[str]:
    return {asked.txn_id for asked, _ in keeper.ledger.books.journal("t1") if asked.kind == "purchase"}


@given(STEPS)
@settings(max_examples=40, deadline=None, phases=(Phase.reuse, Phase.generate), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_and_postgresql_answer_any_history_alike(aurora: AuroraKeeper, steps: list[Step]) -> None:
    tenant_id = f"t{next(_numbers)}"
    memory = MemoryKeeper()
    assert play(aurora, tenant_id, steps) == play(memory, tenant_id, steps)
    assert aurora.balances(tenant_id) == memory.balances(tenant_id)
    assert aurora.ledger.trial_balance(tenant_id, NOON) == memory.ledger.trial_balance(tenant_id, NOON)
    assert aurora.ledger.totals(tenant_id) == memory.ledger.totals(tenant_id)
    assert aurora.ledger.sold_loans(tenant_id, "acme", 10, "") == memory.ledger.sold_loans(tenant_id, "acme", 10, "")
    for loan_id in ("L1", "L2"):
        assert aurora.ledger.bids_of_loan(tenant_id, "acme", loan_id) == memory.ledger.bids_of_loan(tenant_id, "acme", loan_id)
