"""One kept connection to PostgreSQL and transactions that belong to a tenant; the adapters of the domains stand on it.

    with database.transaction("t1") as cursor:
        cursor.execute("select ... from parties.investor where investor_id = %s", [investor_id])

Row-level security shows a transaction the rows of its tenant and no others. The driver is imported when the first
connection is opened, because importing it costs 190 ms of a function's start.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeVar

import orjson

from bourse.aws import settings
from bourse.aws.libpq import results, send, understood
from bourse.aws.packed import Packed
from bourse.aws.reading import Kept, Reading
from bourse.errors import Unavailable
from bourse.message import Message, encode

if TYPE_CHECKING:
    from json import JSONDecoder

    import psycopg
    from psycopg import pq
    from psycopg.adapt import Dumper

    Connection = psycopg.Connection[tuple[Any, ...]]
    Cursor = psycopg.Cursor[tuple[Any, ...]]

_Read = TypeVar("_Read")
Argument = str | Packed | None
_CONNECT_SECONDS: Final = 5
_NEVER: Final = 2**31
_OUTBOX: Final[LiteralString] = """
    insert into foundation.outbox (tenant_id, message_id, kind, body)
    select * from unnest(%s::text[], %s::text[], %s::text[], %s::text[])
    on conflict (tenant_id, message_id) do nothing"""


class Database:
    """A database reached over one connection, which is opened at the first transaction, kept, and replaced when it broke.

    Not for two threads at once: a Lambda environment has one, others open a Database each.
    """

    def __init__(self, conninfo: str | Callable[[], str]) -> None:
        """`conninfo` is a libpq connection string, or gives one for each new connection (an IAM token lives 15 minutes)."""
        self._conninfo: Final = conninfo if callable(conninfo) else lambda: conninfo
        self._connection: Connection | None = None
        self._prepared: set[str] = set()
        self._kept = Kept()

    @classmethod
    def from_env(cls) -> "Database":
        """The database the environment names, see `conninfo_from_env`."""
        return cls(conninfo_from_env)

    @contextmanager
    def transaction(self, tenant_id: str, *, one_snapshot: bool = False) -> "Iterator[Cursor]":
        """A cursor inside one transaction of the tenant: committed at the end of the block, rolled back when it raises.

        With `one_snapshot` all its statements see what was committed when it began: for what reads in more than one.
        Raises Unavailable for what may succeed when done again: a lost or refused connection, a deadlock, a time-out.
        Unavailable at the end leaves open whether the commit happened; the caller does the same thing again. What else the
        driver raises (a violated constraint, a refused change) comes through unchanged.
        """
        import psycopg

        assert tenant_id, "a transaction belongs to a tenant"
        try:
            connection, begun = self._begin(tenant_id, one_snapshot=one_snapshot)
            with begun, connection.cursor() as cursor:
                yield cursor
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable(f"the database did not do it: {type(error).__name__}") from error
        finally:
            if self._connection is not None and self._connection.broken:
                self.close()

    def read(self, tenant_id: str, ask: Callable[[Reading], _Read]) -> _Read:
        """What `ask` reads in one transaction of the tenant, all of one snapshot, with as few round trips as can be: nothing is written in it.

        It is done again on a new connection when the kept one has died. Raises as `transaction` does.
        """
        assert tenant_id, "a transaction belongs to a tenant"
        if self._connection is not None:
            try:
                return self._read(tenant_id, ask)
            except Unavailable:
                if self._connection is not None:
                    raise
        return self._read(tenant_id, ask)

    def _read(self, tenant_id: str, ask: Callable[[Reading], _Read]) -> _Read:
        with self._in_touch() as connection:
            reading = Reading(connection, self._kept, tenant_id)
            try:
                return ask(reading)
            finally:
                reading.end()

    @contextmanager
    def snapshot(self, tenant_id: str) -> "Iterator[Cursor]":
        """A cursor that sees the tenant's rows as they are now, however long it reads: for reports that take longer than a function may.

        Read only. `cursor.connection.cursor(name)` gives others of the same snapshot. Raises as `transaction` does.
        """
        import psycopg

        try:
            with _connect(self._conninfo()) as connection:
                connection.isolation_level, connection.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
                for setting, value in (("app.tenant", tenant_id), ("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0")):
                    connection.execute("select set_config(%s, %s, true)", [setting, value])
                with connection.cursor() as cursor:
                    yield cursor
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable(f"the database did not do it: {type(error).__name__}") from error

    def call(self, function: LiteralString, arguments: Sequence[Argument], *, within: tuple[LiteralString, str] | None = None, again: bool = False) -> str:
        """Call a function of the database, which is a transaction of its own and names its tenant itself: one round trip. What it returned, as text.

        Arguments are texts as the database reads its types, or in their binary form; None is null. It is prepared once for a connection, so it must be a
        function: the plan of anything else would be kept from when its tables were small. It goes to libpq as it is, a third of the time a cursor takes.
        `within`: another function and its text, which is called with the text and what the first returned, in the same transaction.
        With `again` it may be done twice, and is, on a new connection, when the kept one has died.
        Raises as `transaction` does, and ValueError for a NUL, which would end an argument.
        """
        if again and self._connection is not None:
            try:
                return self.call(function, arguments, within=within)
            except Unavailable:
                if self._connection is not None:
                    raise
        values, formats = _values(arguments, within)
        with self._in_touch() as connection:
            name = self._prepare(connection, function, len(arguments), within)
            result = understood(connection.pgconn.exec_prepared(name, values, formats))  # type: ignore[arg-type]  # the stub does not know that None is null
        return _answer(result)

    def begin_call(self, function: LiteralString, arguments: Sequence[Argument], *, within: tuple[LiteralString, str] | None = None) -> Callable[[], str]:
        """Begin a call and return at once; what is returned waits for it to end, and gives or raises what `call` would have.

        Until then the connection is busy and takes nothing else: who begins a call ends it.
        """
        from psycopg import OperationalError

        values, formats = _values(arguments, within)
        with self._in_touch() as connection:
            pgconn = connection.pgconn
            pgconn.send_query_prepared(self._prepare(connection, function, len(arguments), within), values, formats)
            send(pgconn)

        def end() -> str:
            with self._in_touch():
                answers = list(results(pgconn))
                if not answers:
                    raise OperationalError("no result")
                return _answer(understood(answers[0]))

        return end

    @contextmanager
    def _in_touch(self) -> "Iterator[Connection]":
        """The kept connection. A failure of it is Unavailable, and a broken one is given up."""
        import psycopg

        try:
            yield self._open()
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable(f"the database did not do it: {type(error).__name__}") from error
        finally:
            if self._connection is not None and self._connection.broken:
                self.close()

    def _prepare(self, connection: "Connection", function: LiteralString, count: int, within: tuple[LiteralString, str] | None) -> bytes:
        """The name of the prepared statement of a call."""
        outer = within[0] if within else ""
        name = f"{outer}/{function}"
        if name not in self._prepared:
            inner = f"{function}({', '.join([f'${place}' for place in range(1, count + 1)])})"
            statement = f"select {outer}(${count + 1}, {inner})" if outer else f"select {inner}"
            understood(connection.pgconn.prepare(name.encode(), statement.encode()))
            self._prepared.add(name)
        return name.encode()

    def close(self) -> None:
        """Give the connection back; the next transaction opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _begin(self, tenant_id: str, *, one_snapshot: bool) -> "tuple[Connection, Any]":
        """A connection inside a transaction of the tenant. A kept connection may have died idle, so one new one is tried."""
        import psycopg

        if self._connection is not None and not self._connection.closed:
            try:
                return self._connection, _enter(self._connection, tenant_id, one_snapshot=one_snapshot)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self.close()
        connection = self._open()
        return connection, _enter(connection, tenant_id, one_snapshot=one_snapshot)

    def _open(self) -> "Connection":
        """The connection there is, or a new one."""
        if self._connection is None or self._connection.closed:
            self._connection = _connect(self._conninfo())
            self._prepared.clear()
            self._kept = Kept()
        return self._connection


def _values(arguments: Sequence[Argument], within: tuple[LiteralString, str] | None) -> tuple[list[bytes | None], list[int] | None]:
    """The arguments of a call as libpq takes them, and which of them are binary (None: none is)."""
    given = (*arguments, within[1]) if within else arguments
    if "\0" in "".join([one for one in given if isinstance(one, str)]):
        raise ValueError("an argument has a NUL")
    values = [one.encode() if isinstance(one, str) else one for one in given]
    return values, [1 if type(one) is Packed else 0 for one in given] if Packed in map(type, given) else None


def _answer(result: "pq.abc.PGresult") -> str:
    answer = result.get_value(0, 0)
    assert answer is not None, "a call answers"
    return bytes(answer).decode()


@contextmanager
def _transaction(connection: "Connection") -> Iterator[None]:
    """Commits or rolls back a transaction that was begun already."""
    try:
        yield
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    else:
        connection.commit()


def _enter(connection: "Connection", tenant_id: str, *, one_snapshot: bool) -> Any:
    """Begins (the driver sends BEGIN with the first statement) and names the tenant, for this transaction only."""
    from psycopg import IsolationLevel

    connection.isolation_level = IsolationLevel.REPEATABLE_READ if one_snapshot else None
    connection.execute("select set_config('app.tenant', %s, true)", [tenant_id])
    return _transaction(connection)


def _connect(conninfo: str) -> "Connection":
    import psycopg
    from psycopg.types.json import set_json_dumps, set_json_loads

    # Nothing but what asks for it is prepared: a plan kept from when a table was small reads all of it once it is large, for as long as the connection lives.
    connection = psycopg.connect(conninfo, connect_timeout=_CONNECT_SECONDS, application_name="bourse", prepare_threshold=_NEVER)
    set_json_dumps(orjson.dumps, connection)
    set_json_loads(_exact_json, connection)
    connection.adapters.register_dumper(Packed, _packed_dumper())
    return connection


@cache
def _packed_dumper() -> "type[Dumper]":
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class PackedDumper(Dumper):
        """Sends what is binary already as it is; its type is what the statement says."""

        format = Format.BINARY

        def dump(self, obj: Packed) -> bytes:
            return obj

    return PackedDumper


def _exact_json(text: str | bytes) -> Any:
    """JSON whose fractions are Decimal: a float read from the store would be a float near money."""
    read = text if isinstance(text, str) else bytes(text).decode()
    if read[:1] == read[-1:] == '"' and "\\" not in read:
        return read[1:-1]  # most are names, and a decoder takes five times as long to say so
    return _exact_decoder().decode(read)


@cache
def _exact_decoder() -> "JSONDecoder":
    """Made once: to make it takes longer than to read a value."""
    import json
    from decimal import Decimal

    return json.JSONDecoder(parse_float=Decimal)


def say(cursor: "Cursor", messages: Iterable[Message]) -> None:
    """Write messages to the outbox in the transaction of `cursor`; one that waits there already stays as it is."""
    said = list(messages)
    columns = [[m.tenant_id for m in said], [m.message_id for m in said], [m.kind for m in said], [encode(m) for m in said]]
    if said:
        cursor.execute(_OUTBOX, columns)


def conninfo_from_env() -> str:
    """DATABASE_URL, or DATABASE_HOST, _PORT, _NAME and _USER with an IAM token as password, over TLS.

    DATABASE_SECRET (a secret of Secrets Manager with username and password) is for the migration, which logs in as owner.
    DATABASE_CA names a file with the authorities to trust; with it the server's certificate and name are verified.
    """
    if url := os.environ.get("DATABASE_URL"):
        return url
    from psycopg.conninfo import make_conninfo

    where: dict[str, str] = {
        "host": settings.text("DATABASE_HOST"),
        "port": settings.text("DATABASE_PORT", "5432"),
        "dbname": settings.text("DATABASE_NAME", "bourse"),
    }
    authority = os.environ.get("DATABASE_CA")
    trust = {"sslmode": "verify-full", "sslrootcert": authority} if authority else {"sslmode": "require"}
    return make_conninfo(**where, **trust, **_credentials(where["host"], int(where["port"])))


def _credentials(host: str, port: int) -> dict[str, str]:
    from bourse.aws.clients import client

    if secret := os.environ.get("DATABASE_SECRET"):
        stored = orjson.loads(client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
        return {"user": stored["username"], "password": stored["password"]}
    user = settings.text("DATABASE_USER", "bourse_app")
    return {"user": user, "password": client("rds").generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user)}
