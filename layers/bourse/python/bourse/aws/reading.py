"""A transaction that only reads, in as few round trips as it has statements: its beginning goes with the first of them, its end with the last.

Statements are prepared once for a connection and planned at each asking, so none keeps a plan from when its tables were small. They go to libpq as they
are: what a cursor does around each takes as long as a short one takes the server.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from select import POLLIN
from typing import TYPE_CHECKING, Any, Final, LiteralString, Protocol

from bourse.aws.libpq import send, understood, wait

if TYPE_CHECKING:
    import psycopg
    from psycopg import pq

_BEGIN: Final[LiteralString] = "begin isolation level repeatable read read only"
_TENANT: Final[LiteralString] = "select set_config('app.tenant', $1, true)"
_PLANNED_ANEW: Final[LiteralString] = "select set_config('plan_cache_mode', 'force_custom_plan', true)"
_COMMIT: Final[LiteralString] = "commit"
_KEPT_MAX: Final = 100
_CALLS: Final[tuple[LiteralString, ...]] = ("books.as_time(", "books.changes(", "books.lowest(", "books.tags_at(")
"""Functions whose own statements would be planned anew at each call as well: what calls one of them is not kept."""


class Rows(Protocol):
    """What a statement found."""

    def fetchone(self) -> tuple[Any, ...] | None: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


class Reader(Protocol):
    """A cursor, or a Reading."""

    def execute(self, query: LiteralString, params: Sequence[Any] = ..., /) -> Rows: ...


class Kept:
    """The statements a connection has prepared: those asked for last."""

    def __init__(self) -> None:
        self._names: Final[dict[str, bytes]] = {}
        self._count = 0

    def name(self, text: str) -> bytes | None:
        """What a statement is prepared as; None where it is not."""
        if (name := self._names.pop(text, None)) is not None:
            self._names[text] = name
        return name

    def next_name(self) -> bytes:
        self._count += 1
        return b"reading%d" % self._count

    def keep(self, text: str, name: bytes) -> bytes | None:
        """Remembers it. The name of one that is to be given up for it."""
        self._names[text] = name
        return self._names.pop(next(iter(self._names))) if len(self._names) > _KEPT_MAX else None


class Found:
    """The rows of a statement."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows: Final = rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows)


class Reading:
    """A transaction of a tenant that reads one snapshot: `execute` as a cursor's, and `last`, with which it is over.

    Statements have %s for parameters, cast where their place does not say their type, and no other %. Raises what a cursor would.
    """

    def __init__(self, connection: "psycopg.Connection[Any]", kept: Kept, tenant_id: str) -> None:
        from psycopg import adapt

        self._connection: Final = connection
        self._kept: Final = kept
        self._tenant_id: Final = tenant_id
        self._transformer: Final = adapt.Transformer(connection)
        self._begun = self._replans = False

    def execute(self, query: LiteralString, params: Sequence[Any] = (), /) -> Found:
        return self._ask(query, params, last=False)

    def last(self, query: LiteralString, params: Sequence[Any] = (), /) -> Found:
        return self._ask(query, params, last=True)

    def _ask(self, query: LiteralString, params: Sequence[Any], *, last: bool) -> Found:
        from psycopg import adapt

        values = self._transformer.dump_sequence(params, [adapt.PyFormat.TEXT] * len(params))
        text = _numbered(query)
        trip = _Trip(self._connection.pgconn, self._kept)
        if not self._begun:
            trip.add(_BEGIN)
            trip.add(_TENANT, [self._tenant_id.encode()])
            self._begun = True
        keeps = not any(call in text for call in _CALLS)
        if keeps and not self._replans:
            trip.add(_PLANNED_ANEW)
            self._replans = True
        place = trip.add(text, values, keeps=keeps)
        if last:
            trip.add(_COMMIT)
        self._transformer.set_pgresult(result := trip.make()[place])
        return Found(self._transformer.load_rows(0, result.ntuples, tuple))

    def end(self) -> None:
        """Ends what `last` has not ended. Where a trip was broken off, its answers are still to come, and the connection is of no use to anybody."""
        from psycopg import pq

        pgconn = self._connection.pgconn
        if pgconn.pipeline_status != pq.PipelineStatus.OFF:
            self._connection.close()
        elif not self._connection.closed and pgconn.transaction_status != pq.TransactionStatus.IDLE:
            self._connection.rollback()


class _Trip:
    """Statements that are sent together."""

    def __init__(self, pgconn: "pq.abc.PGconn", kept: Kept) -> None:
        self._pgconn: Final = pgconn
        self._kept: Final = kept
        self._asked: list[tuple[str, list[bytes | None], bool]] = []

    def add(self, text: str, values: Sequence[Any] = (), *, keeps: bool = True) -> int:
        """The place of its result."""
        self._asked.append((text, [None if one is None else bytes(one) for one in values], keeps))
        return len(self._asked) - 1

    def make(self) -> "list[pq.abc.PGresult]":
        """All of their results, or what the first that failed raises."""
        pgconn, made, asked = self._pgconn, dict[str, bytes](), list[str | None]()
        pgconn.enter_pipeline_mode()
        for text, values, keeps in self._asked:
            name = self._kept.name(text) if keeps else None
            if keeps and name is None:
                made[text] = name = self._kept.next_name()
                pgconn.send_prepare(name, text.encode())
                asked.append(text)
            if name is None:
                pgconn.send_query_params(text.encode(), values)
            else:
                pgconn.send_query_prepared(name, values)
            asked.append(None)
        pgconn.pipeline_sync()
        send(pgconn)
        answers = []
        for _ in asked:
            answers.append(_next(pgconn))
            pgconn.get_result()  # nothing: the end of this one's
        _next(pgconn)
        pgconn.exit_pipeline_mode()
        for new, answer in zip(asked, answers, strict=True):
            understood(answer)
            if new is not None and (old := self._kept.keep(new, made[new])):
                understood(pgconn.exec_(b"deallocate " + old))
        return [answer for new, answer in zip(asked, answers, strict=True) if new is None]


def _next(pgconn: "pq.abc.PGconn") -> "pq.abc.PGresult":
    """The next result of a pipeline."""
    while pgconn.is_busy():
        wait(pgconn, POLLIN)
        pgconn.consume_input()
    if (result := pgconn.get_result()) is None:
        raise _gone(pgconn)
    return result


def _gone(pgconn: "pq.abc.PGconn") -> "psycopg.OperationalError":
    from psycopg import OperationalError

    return OperationalError(pgconn.get_error_message())


@lru_cache(maxsize=256)
def _numbered(query: LiteralString) -> str:
    """With $1, $2, … for each %s."""
    first, *others = query.split("%s")
    assert "%" not in query.replace("%s", ""), "a % in it that is no parameter's"
    return first + "".join([f"${place}{other}" for place, other in enumerate(others, 1)])
