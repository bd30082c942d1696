"""What `books.post` takes (migrations/0050_books.sql, as 0062_lighter_postings.sql left it): columns of transactions, lots and moves, as arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString

from bourse.aws import packed
from bourse.aws.postgres import Argument
from bourse.ledger.actions import Tags, Transaction, canonical

AUTO: Final = -1
"""Instead of a tag set: the oldest lot of the account that is not empty."""
_TYPES: Final = {"issue": "i", "transfer": "t", "retire": "r"}
POST: Final[LiteralString] = "books.post"
POST_ONE: Final[LiteralString] = "books.post_one"


def numbers(column: Iterable[Any]) -> str:
    """An array literal of whole numbers or nulls."""
    return "{" + ",".join(["NULL" if one is None else str(one) for one in column]) + "}"


def same(column: Sequence[Any]) -> Sequence[Any]:
    """The first alone where all are the same, as in most columns of most batches: what is not written need not be read."""
    return column[:1] if column and column.count(column[0]) == len(column) else column


def texts(column: Iterable[str | None]) -> str:
    """An array literal of texts or nulls; most columns have few different ones."""
    column = list(column)
    written = {one: "NULL" if one is None else _quoted(one) for one in set(column)}
    return "{" + ",".join([written[one] for one in column]) + "}"


def _quoted(text: str) -> str:
    if text.isalnum() and text.lower() != "null":
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(slots=True)
class LotRow:
    """What happens to a lot. `key`: (account, flavor, tag set, slot) by their numbers."""

    key: tuple[int, int, int, int]
    no: int | None
    floor: int | None
    set_floor: int | None = None
    net: int = 0
    held: int = 0
    low: int = 0
    since: datetime | None = None
    at: datetime | None = None
    rank: int | None = None
    known: bool = False


@dataclass(slots=True)
class Columns:
    """One call of `books.post` in the making."""

    transactions: Sequence[Transaction]
    lots: list[LotRow] = field(default_factory=list)
    moves: list[tuple[int, int, int, str, int, int, int, int]] = field(default_factory=list)
    """(transaction from 1, place in it, action, type, source from 1, destination from 1, amount, tag set of the action)"""
    expect: list[tuple[int, int]] = field(default_factory=list)

    def arguments(self, tenant_id: str) -> list[Argument]:
        """The 31 arguments of POST."""
        lots, moves = self.lots, list(zip(*self.moves, strict=True)) or [()] * 8
        keys = list(zip(*(lot.key for lot in lots), strict=True)) or [()] * 4
        expect = list(zip(*self.expect, strict=True)) or [(), ()]
        return [
            tenant_id,
            *heads(self.transactions),
            numbers([lot.no for lot in lots]),
            *(numbers(column) for column in keys),
            numbers([lot.floor for lot in lots]),
            numbers([lot.set_floor for lot in lots]),
            numbers([lot.net for lot in lots]),
            numbers([lot.held for lot in lots]),
            numbers([lot.low for lot in lots]),
            times([lot.since for lot in lots]),
            times([lot.at for lot in lots]),
            numbers([lot.rank for lot in lots]),
            "{" + ",".join(["t" if lot.known else "f" for lot in lots]) + "}",
            *(numbers(column) for column in moves[:3]),
            "{" + ",".join([_TYPES[type_] for type_ in moves[3]]) + "}",
            *(numbers(column) for column in moves[4:]),
            *(numbers(column) for column in expect),
        ]


def heads(transactions: Sequence[Transaction]) -> list[Argument]:
    """The columns of the transactions themselves."""
    return [
        packed.texts([one.txn_id for one in transactions]),
        texts(same([one.kind for one in transactions])),
        packed.byteas([one.digest() for one in transactions]),
        times(same([one.effective_at for one in transactions])),
        texts(same([one.correlation_id for one in transactions])),
        texts(same([tags_text(one.tags) if one.tags else "{}" for one in transactions])),
    ]


def tags_text(tags: Tags) -> str:
    return canonical(dict(tags)).decode() if tags else "{}"


def times(column: Sequence[datetime | None]) -> str:
    written = {one: "NULL" if one is None else f'"{one.isoformat()}"' for one in set(column)}
    return "{" + ",".join([written[one] for one in column]) + "}"
