"""Applies the numbered SQL files of bourse/migrations, each once for ever, one migrator at a time.

    DATABASE_URL=... python -m bourse.aws.migrate

Each file is one transaction with the row that remembers it, so a failed file leaves nothing behind and the run is repeated
after the repair. A file that was applied must never change: its checksum is kept and compared.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.errors import BourseError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

_NAME: Final = re.compile(r"^(\d{4}_[a-z0-9_]+)\.sql$")
_LOCK: Final = 0x626F75727365  # "bourse"
_SHELF: Final[LiteralString] = """
    create schema if not exists foundation;
    create table if not exists foundation.migration (
      name text primary key, checksum text not null, applied_at timestamptz not null default now())"""


class MigrationError(BourseError):
    """The files and the database do not fit together; the text names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: its name without the ending, and its text."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, whatever line ends a checkout gave it."""
        return sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()


def migrations() -> tuple[Migration, ...]:
    """The files of this release in the order of their numbers. Raises MigrationError when two share a number."""
    folder = resources.files("bourse") / "migrations"
    found = sorted((match[1], path.read_text()) for path in folder.iterdir() if (match := _NAME.match(path.name)))
    numbers = [name[:4] for name, _ in found]
    if len(set(numbers)) != len(numbers):
        raise MigrationError(f"two migrations share a number: {[name for name, _ in found]}")
    return tuple(Migration(name, sql) for name, sql in found)


def migrate(conninfo: str, tell: Callable[[str], object] = lambda _: None) -> tuple[str, ...]:
    """Bring the database to this release and return the names applied now; done again, it applies nothing.

    `conninfo` is the owner's. `tell` gets a line per file. Raises MigrationError when an applied file has changed since,
    and the driver's error when a file fails: then the files before it are applied, and it is not.
    """
    import psycopg

    with psycopg.connect(conninfo, autocommit=True, application_name="bourse-migrate") as connection:
        connection.execute("select pg_advisory_lock(%s)", [_LOCK])  # released with the session, however it ends
        connection.execute(_SHELF)
        applied: dict[str, str] = dict(connection.execute("select name, checksum from foundation.migration").fetchall())
        planned = migrations()
        _compare(planned, applied, tell)
        fresh = [migration for migration in planned if migration.name not in applied]
        for migration in fresh:
            _apply(connection, migration)
            tell(f"{migration.name}: applied")
        tell(f"{len(fresh)} applied, {len(applied)} were there already")
        return tuple(migration.name for migration in fresh)


def _compare(planned: tuple[Migration, ...], applied: dict[str, str], tell: Callable[[str], object]) -> None:
    for migration in planned:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(f"{migration.name}.sql was applied and has changed since: restore it and put the change into a new file")
    for name in sorted(applied.keys() - {migration.name for migration in planned}):
        tell(f"{name}: applied by a newer release, left as it is")


def _apply(connection: "Connection", migration: Migration) -> None:
    with connection.transaction():
        connection.execute(migration.sql)  # a file of this package, and no text of anybody's
        connection.execute("insert into foundation.migration (name, checksum) values (%s, %s)", [migration.name, migration.checksum])


if __name__ == "__main__":
    from bourse.aws.postgres import conninfo_from_env

    migrate(conninfo_from_env(), lambda line: sys.stdout.write(line + "\n"))
