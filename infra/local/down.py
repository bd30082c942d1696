"""Stops the local stack of a home: its emulator, its function workers and its PostgreSQL, by the ids they left there, and nothing else."""

from pathlib import Path

from infra.local import emulator, postgres
from infra.local.stack import Home


def down(home: Home) -> bool:
    """Stop what runs of this home's stack, if anything; True when there was something. Done twice, it finds nothing."""
    ran = emulator.stop(home)
    if _postgres_runs(home.postgres):
        postgres.stop(home.postgres)
        ran = True
    home.description.unlink(missing_ok=True)
    return ran


def _postgres_runs(folder: Path) -> bool:
    """Whether the server of this data folder lives; a pid file that outlived its process is removed."""
    left = folder / "data" / "postmaster.pid"
    try:
        pid = left.read_text().split("\n", 1)[0].strip()
    except (FileNotFoundError, PermissionError):
        return False
    if Path("/proc/self").exists() and "postgres" not in emulator.command_of(int(pid)):
        left.unlink()
        return False
    return True


if __name__ == "__main__":
    print("local stack: down" if down(Home.from_env()) else "local stack: nothing was running")
