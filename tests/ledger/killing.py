"""Somebody whose connection to the books dies at his first statement, then at his second, and so on until he is done."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Unavailable
from bourse.ledger.aurora_books import AuroraBooks

_STATEMENTS_MAX = 60


def kill_at(point: int, patched: pytest.MonkeyPatch) -> None:
    """From its n-th statement on, a connection is dead."""
    left = iter(range(point))
    original = psycopg.Cursor.execute

    def execute(self: Any, *arguments: Any, **more: Any) -> Any:
        if next(left, None) is None:
            self.connection.close()
        return original(self, *arguments, **more)

    patched.setattr(psycopg.Cursor, "execute", execute)


def deaths(app_dsn: str, does: Callable[[AuroraBooks], object], kills: Callable[[int, pytest.MonkeyPatch], None] = kill_at) -> Iterator[None]:
    """Do it again and again with books of its own; comes back after each death, to see what that left."""
    for point in range(1, _STATEMENTS_MAX):
        with closing(Database(app_dsn)) as database, pytest.MonkeyPatch.context() as patched:
            kills(point, patched)
            try:
                does(AuroraBooks(database))
            except Unavailable:
                pass
            else:
                return
        yield
    raise AssertionError("it is never done")
