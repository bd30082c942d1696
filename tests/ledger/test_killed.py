"""The connection dies before any statement, at the commit, or after it: the books are those of before or of after, never between."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from bourse.assets.events import LoansClosed
from bourse.aws.postgres import Database
from bourse.clock import FixedClock
from bourse.errors import Unavailable
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.settle_investments import close_loans

from tests.ledger.builders import NOON, TENANT, WINDOW, AuroraKeeper, assert_sound, bid, chunk, closed, pay_in, pay_out, settle

AFTER_COMMIT = 10_000


class MortalDatabase(Database):
    """Its server process is killed before the n-th statement of the transaction, or, with AFTER_COMMIT, its answer is lost."""

    def __init__(self, keeper: AuroraKeeper, dies_at: int) -> None:
        super().__init__(keeper.app_dsn)
        self._keeper, self._dies_at, self._count, self.died = keeper, dies_at, 0, False

    @contextmanager
    def transaction(self, tenant_id: str, *, one_snapshot: bool = False) -> Iterator[Any]:
        with super().transaction(tenant_id, one_snapshot=one_snapshot) as cursor:
            yield _MortalCursor(cursor, self._step)
            self._step(cursor)  # the commit
            wrote = cursor.execute("select pg_current_xact_id_if_assigned() is not null").fetchone()
        if self._dies_at == AFTER_COMMIT and wrote == (True,):
            self.died = True
            raise Unavailable("the answer to the commit was lost")

    def _step(self, cursor: Any) -> None:
        self._count += 1
        if self._count == self._dies_at:
            self.died = True
            with psycopg.connect(self._keeper.owner_dsn, autocommit=True) as other:
                other.execute("select pg_terminate_backend(%s, 5000)", [cursor.connection.info.backend_pid])


class _MortalCursor:
    def __init__(self, cursor: Any, step: Callable[[Any], None]) -> None:
        self._cursor, self._step = cursor, step

    def execute(self, *arguments: Any, **more: Any) -> Any:
        self._step(self._cursor)
        return self._cursor.execute(*arguments, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


_KEPT = {
    "transactions": "select txn_id, kind, digest, effective_at, correlation_id, tags from books.txn",
    "moves": """
        select x.txn_id, m.seq, m.action_no, m.type, m.src, m.dst, m.amount, t.tags from books.move m join books.txn x using (txn_no)
        left join books.tagset t using (tagset_no)""",
    "lots": """
        select a.account_id, f.flavor_id, t.tags, sum(l.amount), sum(l.held), min(l.floor) from books.lot l join books.account a using (account_no)
        join books.flavor f using (flavor_no) left join books.tagset t using (tagset_no) group by 1, 2, 3""",  # slots of a hot account depend on who wrote
    "refusals": "select * from books.refusal",
    "holds": """
        select h.hold_id, h.is_over, h.expired, m.type, m.amount, x.txn_id from books.hold h left join books.hold_move m using (hold_no)
        left join books.txn x using (txn_no)""",
    "owed": "select over_flavor_no, flavor_no, account_no, owed from books.owed",
    "reversals": """
        select o.txn_id, r.part_no, x.txn_id from books.reversal r join books.txn o on o.txn_no = r.of_txn_no join books.txn x on x.txn_no = r.txn_no""",
    "loans": "select * from ledger.loan",
    "buckets": "select * from ledger.bucket_total",
    "bids": "select bid_id, outcome, reason, principal from ledger.bid",
    "outbox": "select tenant_id, message_id, body from foundation.outbox",
}


def books(keeper: AuroraKeeper) -> dict[str, list[str]]:
    """All that is kept, but for numbers, when it was recorded, and names: an account may be open already and nothing lies in it."""
    return {what: sorted(map(str, keeper.rows(query))) for what, query in _KEPT.items()}


def deaths(keeper: AuroraKeeper, act: Callable[[AuroraLedger], Any]) -> Iterator[tuple[int, Exception | None]]:
    """Do it with the connection dying at each statement in turn, until it lives to the end; then with the answer lost."""
    for dies_at in [*range(1, 100), AFTER_COMMIT]:
        database = MortalDatabase(keeper, dies_at)
        try:
            act(AuroraLedger(database))
            failure = None
        except Unavailable as error:
            failure = error
        finally:
            database.close()
        if not database.died:
            break
        yield dies_at, failure


ACTS: dict[str, Callable[[AuroraLedger], Any]] = {
    "settle_investments": lambda ledger: settle(ledger, chunk(bid(1), bid(2), bid(3, loan_id="L2"), bid(4, investor_id="sam"), number=1)).says,
    "deposit": lambda ledger: pay_in(ledger, "ivy", 500, "wire").txn_id,
    "withdraw": lambda ledger: pay_out(ledger, "ivy", 500, "wire").txn_id,
    "close_loans": lambda ledger: _close(ledger).counts,
}


def _close(ledger: AuroraLedger) -> Any:
    said = LoansClosed(message_id="m", tenant_id=TENANT, correlation_id="c", originator_id="acme", said_at=NOON, loans=(closed("L9"),))
    return close_loans(said, ledger=ledger, window_seconds=WINDOW, clock=FixedClock(NOON))


@pytest.mark.parametrize("name", ACTS)
def test_killed_at_any_statement_nothing_has_happened_and_the_redelivery_does_it(aurora: AuroraKeeper, name: str) -> None:
    act = ACTS[name]
    pay_in(aurora.ledger, "ivy", 2500, "start")
    aurora.open_portfolio("ivy", "pension")
    before = books(aurora)
    places = 0
    for dies_at, failure in deaths(aurora, act):
        assert isinstance(failure, Unavailable), dies_at
        assert books(aurora) == before, f"half done when killed at statement {dies_at}"
        places += 1
    assert places >= 2
    after = books(aurora)  # the run that nothing killed
    assert after != before
    act(aurora.ledger)
    assert books(aurora) == after
    assert_sound(aurora)


@pytest.mark.parametrize("name", ACTS)
def test_when_the_answer_to_the_commit_is_lost_the_redelivery_changes_nothing_and_says_the_same(aurora: AuroraKeeper, name: str) -> None:
    act = ACTS[name]
    pay_in(aurora.ledger, "ivy", 2500, "start")
    aurora.open_portfolio("ivy", "pension")
    with closing(MortalDatabase(aurora, AFTER_COMMIT)) as mortal, pytest.raises(Unavailable, match="lost"):
        act(AuroraLedger(mortal))
    after = books(aurora)
    first, second = act(aurora.ledger), act(aurora.ledger)
    assert first == second
    assert books(aurora) == after
    assert_sound(aurora)
