"""Materialised sums in PostgreSQL: declared, backfilled, dropped, and read by a look-up. `books.add_to_sums` keeps them with every posting."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, LiteralString

import orjson

from bourse.aws.postgres import Database
from bourse.errors import Conflict
from bourse.ledger.aurora_posting import ALONE
from bourse.ledger.books import DeclaredSum, Sum
from bourse.ledger.check import differ
from bourse.ledger.filters import path_of
from bourse.ledger.filters.groups import places_of
from bourse.ledger.sums import check_sum, unknown_sum

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_DECLARE: Final[LiteralString] = """
    insert into books.declared_sum (tenant_id, name, filter, params, group_by, tree, paths) values (%s, %s, %s, %s, %s, %s, %s)
    on conflict do nothing returning sum_no"""
_FILL: Final[LiteralString] = "select books.fill_sum(%s, %s, %s, %s)"
_LOTS_AT_ONCE: Final = 10_000
_DROP: Final[LiteralString] = "select books.drop_sum(%s, %s)"
_RESORT: Final[LiteralString] = "select books.resort_sums(%s, %s, %s, %s, %s)"
_DECLARED: Final[LiteralString] = "select sum_no, name, filter, params, group_by from books.declared_sum where "
_BY_NAME: Final[LiteralString] = 'tenant_id = %s order by name collate "C"'
_GROUPS: Final[LiteralString] = """
    select g.group_values, sum(t.amount)::bigint from books.sum_group g join (
      select group_no, amount from books.sum_total where group_no in (select group_no from books.sum_group where sum_no = %(sum)s)
      union all
      select s.group_no, greatest(0, sum(l.amount)) from books.sum_lot s join books.lot l using (lot_no) where s.sum_no = %(sum)s and s.hot
      group by s.group_no, l.account_no, l.flavor_no, l.tagset_no) t using (group_no)
    where g.sum_no = %(sum)s group by g.group_no, g.group_values having sum(t.amount) > 0"""


class AuroraSums:
    """The summing part of `Books`."""

    _database: Database

    def declare_sum(self, tenant_id: str, declared: DeclaredSum) -> None:
        check_sum(declared)
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(ALONE, [tenant_id])  # so that nothing is posted between what is counted and what is kept
            if (number := insert_sum(cursor, tenant_id, declared)) is not None:
                _in_steps(cursor, _FILL, tenant_id, number)
            elif differ(_find(cursor, tenant_id, declared.name)[1], declared):
                raise Conflict("SUM_DIFFERS", f"there is a sum {declared.name} of something else", "name")

    def drop_sum(self, tenant_id: str, name: str) -> None:
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(ALONE, [tenant_id])
            cursor.execute(_DROP, [tenant_id, name])

    def declared_sums(self, tenant_id: str) -> Sequence[DeclaredSum]:
        with self._database.transaction(tenant_id) as cursor:
            return [_noun(row) for row in cursor.execute(_DECLARED + _BY_NAME, [tenant_id])]

    def read_sum(self, tenant_id: str, name: str) -> Sequence[Sum]:
        with self._database.transaction(tenant_id) as cursor:
            number, declared = _find(cursor, tenant_id, name)
            rows = cursor.execute(_GROUPS, {"sum": number}).fetchall()
        if not declared.group_by:
            return [Sum({}, rows[0][1] if rows else 0)]
        ordered = sorted(rows, key=lambda row: places_of(row[0]))
        return [Sum(dict(zip(declared.group_by, values, strict=True)), amount) for values, amount in ordered]


def paths_of(declared: DeclaredSum) -> list[list[str]]:
    """The groups as `books.values_at` reads them."""
    return [[root, *below] for root, below in (path_of(path, "tokens") for path in declared.group_by)]


def insert_sum(cursor: "Cursor", tenant_id: str, declared: DeclaredSum) -> int | None:
    """Declare a sum in which nothing is counted yet: its number, None where there is one of that name. Raises as `check_sum`."""
    tree, paths, params = (orjson.dumps(one).decode() for one in (check_sum(declared), paths_of(declared), declared.params))
    row = cursor.execute(_DECLARE, [tenant_id, declared.name, declared.filter, params, list(declared.group_by), tree, paths]).fetchone()
    return row[0] if row else None


def resort_sums(cursor: "Cursor", tenant_id: str, what: str, number: int) -> None:
    """After the tags of an account ("a") or flavor ("f") were changed."""
    _in_steps(cursor, _RESORT, tenant_id, what, number)


def count_restored(cursor: "Cursor", tenant_id: str) -> None:
    """After books were restored into a tenant that had declared sums, by one who is alone in it."""
    _in_steps(cursor, _RESORT, tenant_id, "t", 0)


def _in_steps(cursor: "Cursor", statement: LiteralString, *asked: str | int) -> None:
    """A statement for all lots there are, so many at a time that none of them runs into the time-out."""
    after: int | None = 0
    while after is not None:
        row = cursor.execute(statement, [*asked, after, _LOTS_AT_ONCE]).fetchone()
        assert row is not None, "a function answers"
        after = row[0]


def _find(cursor: "Cursor", tenant_id: str, name: str) -> tuple[int, DeclaredSum]:
    row = cursor.execute(_DECLARED + "tenant_id = %s and name = %s", [tenant_id, name]).fetchone()
    if row is None:
        raise unknown_sum(name)
    return row[0], _noun(row)


def _noun(row: Any) -> DeclaredSum:
    return DeclaredSum(row[1], row[2], tuple(row[3]), tuple(row[4]))
