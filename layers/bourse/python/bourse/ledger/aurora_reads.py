"""Reads of the general ledger in PostgreSQL: tokens and actions by filter, sums of them by group, now or as of two times."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.ledger.actions import PostedMove, Token
from bourse.ledger.aurora_paging import SEEN, seen_by, since, walk_actions, walk_tokens
from bourse.ledger.aurora_pins import PinNumbers, lots_with, moves_by, moves_with, pin_numbers, pins_of, roots_of, split_by_fields
from bourse.ledger.books import AsOf, Page, Question, Sum
from bourse.ledger.filters import Bound, Grouping, Sql, bind, condition, group_value, groupings_of, parse
from bourse.ledger.filters.groups import check_having, places_of
from bourse.ledger.filters.sql import Columns, having_condition
from bourse.ledger.paging import Asking, token_key

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor
    from bourse.aws.reading import Reading

_LOTS_NOW: Final[LiteralString] = "select l.account_no, l.flavor_no, l.tagset_no, l.amount, l.held from books.lot l where l.amount <> 0"
# Whoever asks for a time after the lot's latest entry gets what it has; of a long history the stretches are read, of any other the moves.
_LOTS_AS_OF: Final[LiteralString] = """
    select l.account_no, l.flavor_no, l.tagset_no,
      case when l.latest_at <= asked.at then l.amount
        when l.summed_until > '-infinity' then (select total::bigint from books.lowest(l.lot_no, asked.at, asked.at + interval '1 microsecond'))
        else (select coalesce(sum(change), 0)::bigint from books.changes(l.lot_no, '-infinity', asked.at + interval '1 microsecond')) end as amount,
      0::bigint as held
    from books.lot l, (select %s::timestamptz as at) asked where true"""
_LOTS_AS_KNOWN: Final[LiteralString] = """
    select l.account_no, l.flavor_no, l.tagset_no, s.amount, 0::bigint as held from books.lot l cross join lateral (
      select coalesce(sum(m.change), 0)::bigint as amount from (
        select txn_no, effective_at, amount as change from books.move where dst = l.lot_no
        union all select txn_no, effective_at, -amount from books.move where src = l.lot_no) m
      where m.effective_at <= coalesce(%s::timestamptz, 'infinity')
        and exists (select from books.txn x where x.txn_no = m.txn_no and x.recorded_at <= %s::timestamptz)) s where true"""
# Lots of an account that differ in nothing but their slot are one; what stands below zero is no token, but what others' were issued from.
_TOKENS: Final[LiteralString] = """
    from (select account_no, flavor_no, tagset_no, books.total(amount) as amount, books.total(held) as held from ({lots}) lot
          group by account_no, flavor_no, tagset_no having books.total(amount) > 0) k"""
Joins = tuple[tuple[LiteralString, frozenset[str]], ...]
"""What is joined in this order, and the fields and targets of pins that need it. Every row has its other side, so what no field needs changes nothing."""
_TOKEN_JOINS: Final[Joins] = (
    (" join books.account a using (account_no)", frozenset({"account_id", "account_tags"})),
    (" join books.flavor f using (flavor_no)", frozenset({"flavor_id", "flavor_tags"})),
    (" left join books.tagset t using (tagset_no)", frozenset({"tags"})),
)
_TOKEN_COLUMNS: Final[Columns] = {
    "account_id": "a.account_id",
    "account_tags": "a.tags",
    "flavor_id": "f.flavor_id",
    "flavor_tags": "f.tags",
    "tags": "coalesce(t.tags, '{}')",
    "amount": "k.amount",
}
_TOKEN_KEYS: Final[Joins] = (
    ("account_no", frozenset({"account_id", "account_tags"})),
    ("flavor_no", frozenset({"flavor_id", "flavor_tags"})),
    ("tagset_no", frozenset({"tags"})),
)
_ACTION_JOINS: Final[Joins] = (
    (" join books.txn x using (txn_no)", frozenset({"id", "transaction_id", "recorded_at", "snapshot"})),
    (" join books.lot s on s.lot_no = m.src", frozenset({"flavor", "source", "flavor_id", "source_account_id", "snapshot"})),
    (" join books.lot d on d.lot_no = m.dst", frozenset({"destination", "destination_account_id", "snapshot"})),
    (" join books.account sa on sa.account_no = s.account_no", frozenset({"source_account_id", "snapshot"})),
    (" join books.account da on da.account_no = d.account_no", frozenset({"destination_account_id", "snapshot"})),
    (" join books.flavor f on f.flavor_no = s.flavor_no", frozenset({"flavor_id", "snapshot"})),
    (" left join books.tagset g on g.tagset_no = m.tagset_no", frozenset({"tags", "snapshot"})),
    (" left join books.tagset st on st.tagset_no = s.tagset_no left join books.tagset dt on dt.tagset_no = d.tagset_no", frozenset({"snapshot"})),
)
_MOVE_KEYS: Final[Joins] = (
    ("m.src", frozenset({"flavor", "source", "flavor_id", "source_account_id"})),
    ("m.dst", frozenset({"destination", "destination_account_id"})),
    ("m.tagset_no", frozenset({"tags"})),
)
_SUMMED: Final[LiteralString] = " from (select "
_OF_MOVES: Final = frozenset({"timestamp", "amount", "type"})
_PINS_OF_MOVES: Final = frozenset({"tagset", "txn", "type"})
"""Fields and targets of pins that a move has by itself."""
_OF_EACH_MOVE: Final = frozenset({*_OF_MOVES, "id", "transaction_id", "recorded_at", "snapshot"})
Measures = Mapping[str, LiteralString]
"""How the amount, count, min and max of a group are counted."""
_LOTS: Final[Measures] = {"amount": "coalesce(sum(k.amount), 0)", "count": "count(*)", "min": "min(k.amount)", "max": "max(k.amount)"}
_MOVES: Final[Measures] = {"amount": "coalesce(sum(m.amount), 0)", "count": "count(*)", "min": "min(m.amount)", "max": "max(m.amount)"}
_PARTS_OF_LOTS: Final[LiteralString] = "sum(amount) as amount, count(*) as n, min(amount) as least, max(amount) as most"
_PARTS_OF_MOVES: Final[LiteralString] = "sum(m.amount) as amount, count(*) as n, min(m.amount) as least, max(m.amount) as most"
_SUMS_OF_LOTS: Final[Measures] = {"amount": "coalesce(sum(k.amount), 0)", "count": "coalesce(sum(k.n), 0)", "min": "min(k.least)", "max": "max(k.most)"}
_SUMS_OF_MOVES: Final[Measures] = {"amount": "coalesce(sum(m.amount), 0)", "count": "coalesce(sum(m.n), 0)", "min": "min(m.least)", "max": "max(m.most)"}
ACTIONS: Final[LiteralString] = " from books.move m" + "".join([text for text, _ in _ACTION_JOINS])
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

_PAGE: Final[LiteralString] = "with page as materialized (select m.txn_no, m.seq from books.move m"


def read_tokens(cursor: "Cursor", known: PinNumbers, asked: Asking[Token]) -> Page[Token]:
    pins, bound = pins_of(_bound(asked.question, "tokens"))
    where, (begins, order) = condition(bound, _TOKEN_COLUMNS), walk_tokens(asked)
    tokens = _tokens(lots_with(cursor, pins, known), asked.as_of, frozenset(_TOKEN_COLUMNS), since=since(asked))
    query = "select a.account_id, f.flavor_id, coalesce(t.tags, '{}'), k.amount, k.held" + SEEN + tokens.text
    query += " where " + where.text + begins.text + order + " limit %s"
    rows = cursor.execute(query, [*tokens.params, *where.params, *begins.params, asked.limit + 1]).fetchall()
    return asked.page([(token_key(one), one) for one in (Token(*row[:5]) for row in rows)], seen_by(asked, rows))


def read_token_sums(reading: "Reading", known: PinNumbers, question: Question, as_of: AsOf) -> Sequence[Sum]:
    (pins, bound), groups = pins_of(_bound(question, "tokens")), _groups(question, "tokens")
    roots = roots_of(bound) | {one.root for one in groups}
    tokens = _tokens(lots_with(reading, pins, known), as_of, roots, summed=True)
    return _sums(reading, question, _SUMS_OF_LOTS if _is_summed(roots) else _LOTS, groups, tokens, condition(bound, _TOKEN_COLUMNS), _TOKEN_COLUMNS)


def read_tokens_total(cursor: "Cursor", question: Question) -> tuple[int, int]:
    """The amount and the number of the lots that match."""
    pins, bound = pins_of(_bound(question, "tokens"))
    tokens, where = _tokens(lots_with(cursor, pins, {}), AsOf(), roots_of(bound)), condition(bound, _TOKEN_COLUMNS)
    query = "select coalesce(sum(k.amount), 0), count(*)" + tokens.text + " where " + where.text
    row = cursor.execute(query, [*tokens.params, *where.params]).fetchone()
    assert row is not None, "a sum has a row"
    return int(row[0]), row[1]


def read_actions(cursor: "Cursor", known: PinNumbers, asked: Asking[PostedMove]) -> Page[PostedMove]:
    pinned, bound = pins_of(_bound(asked.question, "actions"))
    where, pins, (begins, order) = condition(bound, ACTION_COLUMNS), moves_with(cursor, pinned, known), walk_actions(asked)
    query = _PAGE + _joined(_ACTION_JOINS, roots_of(bound) | {pin.target for pin in pinned})
    query += " where " + where.text + pins.text + begins.text + order + " limit %s) " + MOVE + SEEN
    query += " from page join books.move m using (txn_no, seq)" + _joined(_ACTION_JOINS, frozenset(ACTION_COLUMNS)) + order
    rows = cursor.execute(query, [*where.params, *pins.params, *begins.params, asked.limit + 1]).fetchall()
    return asked.page([((str(row[1]), str(row[13])), PostedMove(*row[:13])) for row in rows], seen_by(asked, rows))


def read_action_sums(reading: "Reading", known: PinNumbers, question: Question) -> Sequence[Sum]:
    (pinned, bound), groups = pins_of(_bound(question, "actions")), _groups(question, "actions")
    inner, outer = split_by_fields(bound, _OF_MOVES)
    grouped = {one.root for one in groups}
    inner_pins, outer_pins = [pin for pin in pinned if pin.target in _PINS_OF_MOVES], [pin for pin in pinned if pin.target not in _PINS_OF_MOVES]
    needed = roots_of(outer) | {pin.target for pin in outer_pins} | grouped
    if needed & _OF_EACH_MOVE:
        where, pins = condition(bound, ACTION_COLUMNS), moves_with(reading, pinned, known)
        moves = Sql(" from books.move m" + _joined(_ACTION_JOINS, needed | roots_of(bound) | {pin.target for pin in pinned}))
        return _sums(reading, question, _MOVES, groups, moves, Sql(where.text + pins.text, [*where.params, *pins.params]), ACTION_COLUMNS)
    # Sums by what the moves are between, before anything is joined: of a year's fees that is one lot.
    numbers = pin_numbers(reading, pinned, known)
    where, pins = condition(inner, ACTION_COLUMNS), moves_by(inner_pins, numbers)
    keys: list[LiteralString] = [key for key, fields in _MOVE_KEYS if fields & needed]
    listed: LiteralString = ", ".join(keys)
    query = _SUMMED + (listed + ", " if keys else "") + _PARTS_OF_MOVES + " from books.move m where " + where.text + pins.text
    moves = Sql(query + (" group by " + listed if keys else "") + ") m" + _joined(_ACTION_JOINS, needed), [*where.params, *pins.params])
    where, pins = condition(outer, ACTION_COLUMNS), moves_by(outer_pins, numbers)
    return _sums(reading, question, _SUMS_OF_MOVES, groups, moves, Sql(where.text + pins.text, [*where.params, *pins.params]), ACTION_COLUMNS)


def _sums(reading: "Reading", question: Question, measures: Measures, groups: Sequence[Grouping], source: Sql, where: Sql, columns: Columns) -> Sequence[Sum]:
    values = [group_value(one, columns) for one in groups]
    query: LiteralString = "select " + ", ".join([measures["amount"], measures["count"], measures["min"], measures["max"]])
    for value in values:
        query += ", " + value.text
    query += source.text + " where " + where.text
    having = having_condition(question.having, measures)
    places: LiteralString = ", ".join([_PLACES[number] for number in range(len(groups))])
    query += (" group by " + places if groups else "") + having.text
    params = [param for value in values for param in value.params]
    rows = reading.last(query, [*params, *source.params, *where.params, *having.params]).fetchall()
    found = sorted(rows, key=lambda row: places_of(row[4:])) if groups else rows
    return [Sum(dict(zip(question.group_by, values, strict=True)), int(amount), int(count), least, most) for amount, count, least, most, *values in found]


_PLACES: Final[tuple[LiteralString, ...]] = ("5", "6", "7", "8", "9", "10", "11", "12")
_parsed: Final = lru_cache(maxsize=256)(parse)


def where_of(question: Question, kind: str, columns: Columns) -> Sql:
    """The condition of a question, for columns that are joined already."""
    return condition(_bound(question, kind), columns)


def _bound(question: Question, kind: str) -> Bound:
    return bind(_parsed(question.filter), kind, question.params)


def _groups(question: Question, kind: str) -> list[Grouping]:
    check_having(question.having)
    return groupings_of(question.group_by, kind)


def _tokens(pins: Sql, as_of: AsOf, roots: frozenset[str], *, summed: bool = False, since: Sql | None = None) -> Sql:
    """The lots that pins leave, as of these times, joined with what its fields need. `summed`: as sums by what the fields tell apart. `since`: more rows,
    to be taken off."""
    lots, params = _LOTS_NOW, list[Any]()
    if as_of.known_at is not None:
        lots, params = _LOTS_AS_KNOWN, [as_of.effective_at, as_of.known_at]
    elif as_of.effective_at is not None:
        lots, params = _LOTS_AS_OF, [as_of.effective_at]
    before, after = _TOKENS.split("{lots}")
    keys: list[LiteralString] = [key for key, fields in _TOKEN_KEYS if fields & roots]
    if summed and _is_summed(roots):
        listed: LiteralString = ", ".join(keys)
        before = " from (select " + (listed + ", " if keys else "") + _PARTS_OF_LOTS + before
        after += (" group by " + listed if keys else "") + ") k"
    off = Sql(since.text + pins.text, [*since.params, *pins.params]) if since and since.text else Sql("")
    return Sql(before + lots + pins.text + off.text + after + _joined(_TOKEN_JOINS, roots), [*params, *pins.params, *off.params])


def _is_summed(roots: frozenset[str]) -> bool:
    """Whether sums of tokens are made by number before names are read."""
    return "amount" not in roots and not all(fields & roots for _, fields in _TOKEN_KEYS)


def _joined(joins: Joins, roots: frozenset[str]) -> LiteralString:
    made: LiteralString = ""
    for text, fields in joins:
        if fields & roots:
            made += text
    return made
