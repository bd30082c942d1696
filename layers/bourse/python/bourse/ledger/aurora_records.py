"""The records of the general ledger in PostgreSQL: read from the tables of `aurora_books.py`; statements are in `aurora_statements.py`."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.aws.postgres import Database
from bourse.errors import NotFound
from bourse.ledger.actions import PostedMove, PostedTransaction
from bourse.ledger.aurora_lists import TRANSACTION
from bourse.ledger.aurora_reads import ACTIONS, MOVE
from bourse.ledger.aurora_statements import read_statement
from bourse.ledger.cursors import check_limit, cursor_of, decode_cursor
from bourse.ledger.records import HoldState, Interval, Statement, check_interval, hold_state, number_of

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_HOLD: Final[LiteralString] = """
    select a.account_id, f.flavor_id, h.is_over, h.expired, h.expires_at, coalesce(sum(m.amount) filter (where m.type = 'reserve'), 0)::bigint,
      coalesce(-sum(m.amount) filter (where m.type = 'post'), 0)::bigint,
      coalesce(-sum(m.amount) filter (where m.type in ('release', 'expire')), 0)::bigint
    from books.hold h join books.account a using (account_no) join books.flavor f using (flavor_no) left join books.hold_move m using (hold_no)
    where h.tenant_id = %s and h.hold_id = %s group by h.hold_no, a.account_id, f.flavor_id"""


class AuroraRecords:
    """A `Records`."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    def transaction(self, tenant_id: str, txn_id: str, *, cursor: str | None = None, limit: int = 100) -> tuple[PostedTransaction, str | None]:
        check_limit(limit)
        after = number_of(decode_cursor(cursor, 1)[0]) if cursor else 0
        with self._database.transaction(tenant_id) as reading:
            row = reading.execute(TRANSACTION + " from books.txn w where w.tenant_id = %s and w.txn_id = %s", [tenant_id, txn_id]).fetchone()
            no, kind, at, recorded_at, tags, correlation_id, reverses, reversed_by = _found(row, "transaction", txn_id)[1:]
            rows = reading.execute(MOVE + ACTIONS + " where m.txn_no = %s and m.seq > %s order by m.seq limit %s", [no, after, limit + 1]).fetchall()
        actions = tuple([PostedMove(*row[:13]) for row in rows[:limit]])
        found = PostedTransaction(txn_id, no, kind, at, recorded_at, tags, correlation_id, actions, tuple(reverses), tuple(reversed_by))
        return found, cursor_of(str(rows[limit - 1][13])) if len(rows) > limit else None

    def hold(self, tenant_id: str, hold_id: str, at: datetime) -> HoldState:
        with self._database.transaction(tenant_id) as reading:
            row = reading.execute(_HOLD, [tenant_id, hold_id]).fetchone()
        account_id, flavor_id, over, expired, expires_at, reserved, posted, released = _found(row, "hold", hold_id)
        state = hold_state(over=over, expired=expired, expires_at=expires_at, at=at)
        return HoldState(hold_id, account_id, flavor_id, state, expires_at, reserved, posted, released, reserved - posted - released)

    def statement(
        self,
        tenant_id: str,
        account_id: str,
        interval: Interval,
        *,
        flavor_id: str | None = None,
        known_at: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Statement:
        check_interval(interval)
        with self._database.transaction(tenant_id) as reading:
            account_no = self._number(reading, tenant_id, account_id)
            return read_statement(reading, account_id, account_no, interval, flavor_id, known_at, cursor, check_limit(limit))

    @staticmethod
    def _number(reading: "Cursor", tenant_id: str, account_id: str) -> int:
        row = reading.execute("select account_no from books.account where tenant_id = %s and account_id = %s", [tenant_id, account_id]).fetchone()
        return int(_found(row, "account", account_id)[0])


def _found(row: Sequence[Any] | None, noun: str, name: str) -> Sequence[Any]:
    if row is None:
        raise NotFound(f"{noun.upper()}_UNKNOWN", f"there is no {noun} {name}", f"{'txn' if noun == 'transaction' else noun}_id")
    return row
