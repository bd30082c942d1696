"""Lists of the general ledger in PostgreSQL: transactions with their actions, accounts, flavors, by filter."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.aws.postgres import Database
from bourse.ledger.actions import Account, Flavor, PostedMove, PostedTransaction
from bourse.ledger.aurora_paging import NO_SNAPSHOT, SEEN, seen_by, walk_names, walk_transactions
from bourse.ledger.aurora_reads import ACTION_COLUMNS, ACTIONS, MOVE
from bourse.ledger.books import Page, Question
from bourse.ledger.filters import Sql, bind, condition, parse
from bourse.ledger.filters.sql import Columns
from bourse.ledger.paging import Asking, asking

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

TRANSACTION: Final[LiteralString] = """
    select w.txn_id, w.txn_no, w.kind, w.effective_at, w.recorded_at, w.tags, w.correlation_id,
      array(select o.txn_id from books.reversal r join books.txn o on o.txn_no = r.of_txn_no where r.txn_no = w.txn_no order by r.action_no),
      array(select o.txn_id from books.reversal r join books.txn o on o.txn_no = r.txn_no where r.of_txn_no = w.txn_no order by r.part_no)"""
_COLUMNS: Final[Columns] = {
    "id": "w.txn_id",
    "timestamp": "w.effective_at",
    "recorded_at": "w.recorded_at",
    "sequence_number": "w.txn_no",
    "kind": "w.kind",
    "tags": "w.tags",
    "actions": "exists (select " + ACTIONS + " where m.txn_no = w.txn_no and {})",
}
# The account everything is issued from is there before anybody used it.
_ACCOUNTS: Final[LiteralString] = """
    select a.account_id, a.tags, a.floor, a.hot, a.closed_at is not null, a.key_ids, a.quorum
    from (select account_id, tags, floor, hot, closed_at, key_ids, quorum from books.account
          union all select 'world', '{}', null, true, null, '{}', null where not exists (select from books.account where account_id = 'world')) a where """
_ACCOUNT_COLUMNS: Final[Columns] = {"id": "a.account_id", "tags": "a.tags"}
_FLAVORS: Final[LiteralString] = "select f.flavor_id, f.tags, f.key_ids, f.quorum from books.flavor f where "
_FLAVOR_COLUMNS: Final[Columns] = {"id": "f.flavor_id", "tags": "f.tags"}


class AuroraLists:
    """The listing part of `Books`."""

    _database: Database

    def transactions(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[PostedTransaction]:
        asked = asking(tenant_id, "transactions", question, cursor, limit)
        where, (begins, order) = where_transactions(question), walk_transactions(asked)
        query = TRANSACTION + SEEN + " from books.txn w where " + where.text + begins.text + order + " limit %s"
        with self._database.transaction(tenant_id) as reading:
            rows = reading.execute(query, [*where.params, *begins.params, limit + 1]).fetchall()
            found = with_actions(reading, rows)
        return asked.page([((str(one.sequence_number),), one) for one in found], seen_by(asked, rows))

    def accounts(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[Account]:
        asked = asking(tenant_id, "accounts", question, cursor, limit)
        return asked.page([((row[0],), Account(*row)) for row in self._by_name(asked)], NO_SNAPSHOT)

    def flavors(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[Flavor]:
        asked = asking(tenant_id, "flavors", question, cursor, limit)
        return asked.page([((row[0],), Flavor(*row)) for row in self._by_name(asked)], NO_SNAPSHOT)

    def _by_name(self, asked: Asking[Any]) -> list[Any]:
        select, columns = (_ACCOUNTS, _ACCOUNT_COLUMNS) if asked.kind == "accounts" else (_FLAVORS, _FLAVOR_COLUMNS)
        where = condition(bind(parse(asked.question.filter), asked.kind, asked.question.params), columns)
        begins, order = walk_names(asked, columns["id"])
        query = select + where.text + begins.text + order + " limit %s"
        with self._database.transaction(asked.tenant_id) as reading:
            rows = reading.execute(query, [*where.params, *begins.params, asked.limit + 1]).fetchall()
        return [(*terms, tuple(key_ids), quorum) for *terms, key_ids, quorum in rows]


def where_transactions(question: Question) -> Sql:
    """The condition on transactions `w`."""
    return condition(bind(parse(question.filter), "transactions", question.params), _COLUMNS, {"actions": ACTION_COLUMNS})


def with_actions(cursor: "Cursor", rows: Sequence[Any]) -> list[PostedTransaction]:
    """Rows of TRANSACTION as transactions with their actions."""
    actions: dict[int, list[PostedMove]] = {row[1]: [] for row in rows}
    query = MOVE + ACTIONS + " where m.txn_no = any(%s) order by m.txn_no, m.seq"
    for row in cursor.execute(query, [list(actions)]) if actions else ():
        actions[row[1]].append(PostedMove(*row[:13]))
    return [
        PostedTransaction(txn_id, no, kind, at, recorded_at, tags, correlation_id, tuple(actions[no]), tuple(reverses), tuple(reversed_by))
        for txn_id, no, kind, at, recorded_at, tags, correlation_id, reverses, reversed_by, *_ in rows
    ]
