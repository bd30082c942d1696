"""Reads of the general ledger in PostgreSQL: tokens and actions by filter, sums of them by group, now or as of two times."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.errors import Refused
from bourse.ledger.actions import PostedMove, Token
from bourse.ledger.books import AsOf, Page, Question, Sum
from bourse.ledger.cursors import cursor_of, decode_cursor
from bourse.ledger.filters import Sql, bind, condition, group_value, parse, path_of
from bourse.ledger.filters.sql import Columns

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_LOTS_NOW: Final[LiteralString] = "select account_no, flavor_no, tagset_no, amount, held from books.lot where amount <> 0"
_LOTS_AS_OF: Final[LiteralString] = """
    select l.account_no, l.flavor_no, l.tagset_no, s.amount, 0::bigint as held from books.lot l cross join lateral (
      select coalesce(sum(m.change), 0)::bigint as amount from (
        select txn_no, effective_at, amount as change from books.move where dst = l.lot_no
        union all select txn_no, effective_at, -amount from books.move where src = l.lot_no) m
      where m.effective_at <= coalesce(%s::timestamptz, 'infinity')
        and exists (select from books.txn x where x.txn_no = m.txn_no and x.recorded_at <= coalesce(%s::timestamptz, 'infinity'))) s"""
# Lots of an account that differ in nothing but their slot are one; what stands below zero is no token, but what others' were issued from.
_TOKENS: Final[LiteralString] = """
    from (select account_no, flavor_no, tagset_no, sum(amount)::bigint as amount, sum(held)::bigint as held from ({lots}) lot
          group by account_no, flavor_no, tagset_no having sum(amount) > 0) k
    join books.account a using (account_no) join books.flavor f using (flavor_no) left join books.tagset t using (tagset_no)"""
_TOKEN_COLUMNS: Final[Columns] = {
    "account_id": "a.account_id",
    "account_tags": "a.tags",
    "flavor_id": "f.flavor_id",
    "flavor_tags": "f.tags",
    "tags": "coalesce(t.tags, '{}')",
    "amount": "k.amount",
}
ACTIONS: Final[LiteralString] = """
    from books.move m join books.txn x using (txn_no) join books.lot s on s.lot_no = m.src join books.lot d on d.lot_no = m.dst
    join books.account sa on sa.account_no = s.account_no join books.account da on da.account_no = d.account_no
    join books.flavor f on f.flavor_no = s.flavor_no left join books.tagset g on g.tagset_no = m.tagset_no
    left join books.tagset st on st.tagset_no = s.tagset_no left join books.tagset dt on dt.tagset_no = d.tagset_no"""
_TYPE: Final[LiteralString] = "case m.type when 'i' then 'issue' when 't' then 'transfer' else 'retire' end"
ACTION_COLUMNS: Final[Columns] = {
    "id": "(x.txn_id || '/' || m.action_no)",
    "transaction_id": "x.txn_id",
    "timestamp": "m.effective_at",
    "recorded_at": "x.recorded_at",
    "type": _TYPE,
    "amount": "m.amount",
    "flavor_id": "f.flavor_id",
    "source_account_id": "sa.account_id",
    "destination_account_id": "da.account_id",
    "tags": "coalesce(g.tags, '{}')",
    "snapshot": """jsonb_build_object('action_tags', coalesce(g.tags, '{}'), 'token_tags', coalesce(case when m.type = 'r' then st.tags else dt.tags end, '{}'),
      'transaction_tags', x.tags, 'flavor_tags', books.tags_at('f', f.flavor_no, m.txn_no),
      'source_account_tags', books.tags_at('a', sa.account_no, m.txn_no), 'destination_account_tags', books.tags_at('a', da.account_no, m.txn_no))""",
}
MOVE: Final[LiteralString] = (
    "select x.txn_id, m.txn_no, m.action_no, "
    + _TYPE
    + """, f.flavor_id, m.amount, sa.account_id, da.account_id, coalesce(st.tags, '{}'), coalesce(dt.tags, '{}'), coalesce(g.tags, '{}'),
    m.effective_at, x.recorded_at, m.seq"""
)


def read_tokens(cursor: "Cursor", question: Question, as_of: AsOf, cursor_text: str | None, limit: int) -> Page[Token]:
    where = where_of(question, "tokens", _TOKEN_COLUMNS)
    after = decode_cursor(cursor_text, 3) if cursor_text else None
    more, params = after_of("(a.account_id, f.flavor_id, coalesce(t.tags, '{}')::text)", "(%s, %s, %s)", after, ">")
    query = "select a.account_id, f.flavor_id, coalesce(t.tags, '{}'), k.amount, k.held, coalesce(t.tags, '{}')::text" + _tokens_of(as_of)
    query += " where " + where.text + more + " order by a.account_id, f.flavor_id, coalesce(t.tags, '{}')::text limit %s"
    rows = cursor.execute(query, [*_times(as_of), *where.params, *params, limit + 1]).fetchall()
    items = [Token(*row[:5]) for row in rows[:limit]]
    return Page(items, cursor_of(rows[limit - 1][0], rows[limit - 1][1], rows[limit - 1][5]) if len(rows) > limit else None)


def read_token_sums(cursor: "Cursor", question: Question, as_of: AsOf) -> Sequence[Sum]:
    return _sums(cursor, question, "tokens", _TOKEN_COLUMNS, _tokens_of(as_of), "k.amount", as_of)


def read_tokens_total(cursor: "Cursor", question: Question) -> tuple[int, int]:
    """The amount and the number of the lots that match."""
    where = where_of(question, "tokens", _TOKEN_COLUMNS)
    query = "select coalesce(sum(k.amount), 0)::bigint, count(*)" + _tokens_of(AsOf()) + " where " + where.text
    row = cursor.execute(query, where.params).fetchone()
    assert row is not None, "a sum has a row"
    return row[0], row[1]


def read_actions(cursor: "Cursor", question: Question, cursor_text: str | None, limit: int) -> Page[PostedMove]:
    where = where_of(question, "actions", ACTION_COLUMNS)
    after = decode_cursor(cursor_text, 2) if cursor_text else None
    more, params = after_of("(m.txn_no, m.seq)", "(%s::bigint, %s::int)", after, "<")
    query = MOVE + ACTIONS + " where " + where.text + more + " order by m.txn_no desc, m.seq desc limit %s"
    rows = cursor.execute(query, [*where.params, *params, limit + 1]).fetchall()
    items = [PostedMove(*row[:13]) for row in rows[:limit]]
    return Page(items, cursor_of(str(rows[limit - 1][1]), str(rows[limit - 1][13])) if len(rows) > limit else None)


def read_action_sums(cursor: "Cursor", question: Question) -> Sequence[Sum]:
    return _sums(cursor, question, "actions", ACTION_COLUMNS, ACTIONS, "m.amount", None)


def _sums(cursor: "Cursor", question: Question, kind: str, columns: Columns, source: LiteralString, amount: LiteralString, as_of: AsOf | None) -> Sequence[Sum]:
    where = where_of(question, kind, columns)
    groups = [group_value(*path_of(path, kind), columns) for path in question.group_by]
    query: LiteralString = "select coalesce(sum(" + amount + "), 0)::bigint"
    for group in groups:
        query += ", " + group.text
    query += source + " where " + where.text
    if groups:
        places: LiteralString = ", ".join([_PLACES[number] for number in range(len(groups))])
        query += " group by " + places + " order by " + places
    params = [param for group in groups for param in group.params]
    rows = cursor.execute(query, [*params, *(_times(as_of) if as_of else ()), *where.params])
    return [Sum(dict(zip(question.group_by, row[1:], strict=True)), row[0]) for row in rows]


_PLACES: Final[tuple[LiteralString, ...]] = ("2", "3", "4", "5", "6", "7", "8", "9")
GROUPS_MAX: Final = len(_PLACES)


def where_of(question: Question, kind: str, columns: Columns) -> Sql:
    if len(question.group_by) > GROUPS_MAX:
        raise Refused("GROUP_BY_INVALID", f"a sum has at most {GROUPS_MAX} groups", "group_by")
    return condition(bind(parse(question.filter), kind, question.params), columns)


def _tokens_of(as_of: AsOf) -> LiteralString:
    before, after = _TOKENS.split("{lots}")
    return before + (_LOTS_AS_OF if _times(as_of) else _LOTS_NOW) + after


def _times(as_of: AsOf) -> list[Any]:
    """The parameters of _LOTS_AS_OF, where that is what is read."""
    return [] if as_of.effective_at is None and as_of.known_at is None else [as_of.effective_at, as_of.known_at]


def after_of(columns: LiteralString, values: LiteralString, after: Sequence[str] | None, sign: LiteralString) -> tuple[LiteralString, list[Any]]:
    return (" and " + columns + " " + sign + " " + values, list(after)) if after else ("", [])
