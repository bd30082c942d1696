"""Amounts explained in PostgreSQL: one question for each level of the chain, answered by `books.came_by` (migrations/0059_explain.sql)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, LiteralString

from bourse.aws.postgres import Database
from bourse.ledger.actions import PostedMove, Tags, Token
from bourse.ledger.aurora_reads import MOVE, read_tokens, read_tokens_total
from bourse.ledger.books import Question
from bourse.ledger.explain import LIMITS, LOTS_LONG, Asked, Came, End, Explained, Explanation, Limits, Missing, MoveKey, explain_lots
from bourse.ledger.lots import tagset_digest
from bourse.ledger.paging import asking

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

# One lot of each: those of a hot account that differ in nothing but their slot are found by any of them.
_LOTS: Final[LiteralString] = """
    select (select min(l.lot_no) from books.lot l
            where l.account_no = (select account_no from books.account where account_id = u.account)
              and l.flavor_no = (select flavor_no from books.flavor where flavor_id = u.flavor)
              and l.tagset_no = case when u.tagged then (select tagset_no from books.tagset where digest = u.digest) else 0 end)
    from unnest(%s::text[], %s::text[], %s::bytea[], %s::boolean[]) with ordinality u(account, flavor, digest, tagged, n) order by u.n"""
_AMOUNTS: Final[LiteralString] = """
    select t.tags, sum(l.amount)::bigint, sum(l.held)::bigint from books.lot l left join books.tagset t using (tagset_no)
    where (l.account_no, l.flavor_no, l.tagset_no) in (select account_no, flavor_no, tagset_no from books.lot where lot_no = %s)
    group by t.tags having sum(l.amount) > 0"""
_CAME: Final[LiteralString] = "select * from books.came_by(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::bigint[], %s::int[], %s::bigint[], %s, %s, %s)"
# Looked up one by one by their keys: as joins of nine tables, the planner would read all there is.
_ACTIONS: Final[LiteralString] = """ from unnest(%s::bigint[], %s::int[]) u(no, seq)
    cross join lateral (select * from books.move where txn_no = u.no and seq = u.seq offset 0) m
    cross join lateral (select txn_id, recorded_at from books.txn where txn_no = m.txn_no offset 0) x
    cross join lateral (select account_no, flavor_no, tagset_no from books.lot where lot_no = m.src offset 0) s
    cross join lateral (select account_no, tagset_no from books.lot where lot_no = m.dst offset 0) d
    cross join lateral (select account_id from books.account where account_no = s.account_no offset 0) sa
    cross join lateral (select account_id from books.account where account_no = d.account_no offset 0) da
    cross join lateral (select flavor_id from books.flavor where flavor_no = s.flavor_no offset 0) f
    left join lateral (select tags from books.tagset where tagset_no = m.tagset_no offset 0) g on true
    left join lateral (select tags from books.tagset where tagset_no = s.tagset_no offset 0) st on true
    left join lateral (select tags from books.tagset where tagset_no = d.tagset_no offset 0) dt on true"""


class AuroraExplains:
    """An `Explains`."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    def explain(self, tenant_id: str, question: Question, limits: Limits = LIMITS) -> Explanation:
        with self._database.transaction(tenant_id, one_snapshot=True) as cursor:
            found = read_tokens(cursor, {}, asking(tenant_id, "tokens", question, None, limits.lots))
            shown = sum(one.amount for one in found.items)
            whole = shown if found.cursor is None else read_tokens_total(cursor, question)[0]
            return Explanation(_explained(cursor, found.items, limits), whole - shown)

    def explain_lot(self, tenant_id: str, account_id: str, flavor_id: str, tags: Tags, limits: Limits = LIMITS) -> Explanation:
        with self._database.transaction(tenant_id, one_snapshot=True) as cursor:
            [lot] = _lots(cursor, [(account_id, flavor_id, tags)])
            found = [Token(account_id, flavor_id, said or {}, *amounts) for said, *amounts in cursor.execute(_AMOUNTS, [lot])]
            return Explanation(_explained(cursor, found, limits), 0)


def _explained(cursor: "Cursor", tokens: Sequence[Token], limits: Limits) -> tuple[Explained, ...]:
    numbers = _lots(cursor, [(one.account_id, one.flavor_id, one.tags) for one in tokens])
    return explain_lots(_AuroraFlows(cursor), list(zip(tokens, numbers, strict=True)), limits)


def _lots(cursor: "Cursor", named: Sequence[tuple[str, str, Tags]]) -> list[int | None]:
    """A number of each lot; None for one that there is not."""
    digests, tagged = [tagset_digest(tags) for _, _, tags in named], [bool(tags) for _, _, tags in named]
    rows = cursor.execute(_LOTS, [[one for one, _, _ in named], [one for _, one, _ in named], digests, tagged])
    return [row[0] for row in rows]


class _AuroraFlows:
    """A `Flows`."""

    def __init__(self, cursor: "Cursor") -> None:
        self._cursor: Final = cursor
        self._read = 0

    def came(self, asked: Sequence[Asked], limits: Limits, steps: int) -> Sequence[Sequence[Came | Missing]]:
        spent = [one.spent or (None, (None, None)) for one in asked]
        moves = [[at for at, _ in spent], [key[0] for _, key in spent], [key[1] for _, key in spent]]
        params = [
            [one.lot for one in asked],
            [one.amount for one in asked],
            *moves,
            [one.first for one in asked],
            limits.moves,
            limits.moves * LOTS_LONG - self._read,
            steps,
        ]
        found: list[list[Came | Missing]] = [[] for _ in asked]
        for need, txn_no, seq, at, source, type_, contra, first, amount, missing in self._cursor.execute(_CAME, params):
            if not need:
                self._read += amount
                continue
            end: End | None = "issued" if type_ == "i" else "contra" if contra else None
            found[need - 1].append(Missing(amount, missing) if missing else Came((txn_no, seq), at, source, first, amount, end))
        return found

    def actions(self, moves: Sequence[MoveKey]) -> Mapping[MoveKey, PostedMove]:
        query = MOVE + _ACTIONS
        rows = self._cursor.execute(query, [[no for no, _ in moves], [seq for _, seq in moves]]) if moves else ()
        return {(row[1], row[13]): PostedMove(*row[:13]) for row in rows}
