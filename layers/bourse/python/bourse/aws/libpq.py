"""What the driver's own calls leave to whoever goes to libpq directly: waiting for an answer, and raising what the server refused."""

from collections.abc import Iterator
from select import POLLIN, POLLOUT, poll
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from psycopg import pq

_UNDERSTOOD: Final = frozenset({1, 2})
"""PGRES_COMMAND_OK and PGRES_TUPLES_OK, without the driver's import: this is asked of every result."""


def results(pgconn: "pq.abc.PGconn") -> "Iterator[pq.abc.PGresult]":
    """Those of the statement that was sent, waited for where other threads can go on; the connection is busy until all are taken."""
    while True:
        while pgconn.is_busy():
            wait(pgconn, POLLIN)
            pgconn.consume_input()
        if (result := pgconn.get_result()) is None:
            return
        yield result


def send(pgconn: "pq.abc.PGconn") -> None:
    """Sends all that waits to be."""
    while pgconn.flush():
        wait(pgconn, POLLOUT)


def wait(pgconn: "pq.abc.PGconn", event: int) -> None:
    """Until the connection can be read (POLLIN) or written (POLLOUT)."""
    waiting = poll()
    waiting.register(pgconn.socket, event)
    waiting.poll()


def understood(result: "pq.abc.PGresult") -> "pq.abc.PGresult":
    """The result, unless it is a failure: then what psycopg would have raised."""
    if result.status not in _UNDERSTOOD:
        from psycopg import OperationalError, errors, pq

        if not result.error_field(pq.DiagnosticField.SQLSTATE):  # not the server said so: it is gone
            raise OperationalError(result.get_error_message())
        raise errors.error_from_result(result)
    return result
