"""The AWS emulator (MiniStack) as a process of its own on 127.0.0.1: started on a free port, found again by its pid, stopped."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from infra.local.stack import REGION, ROOT, SHARED, Home

_EXECUTABLE: Final = SHARED / "ministack-venv" / "bin" / "ministack"
_SETTINGS: Final = {
    "BIND_HOST": "127.0.0.1",
    "MINISTACK_HOST": "127.0.0.1",
    "IOT_MTLS_ENABLED": "0",
    "SFTP_ENABLED": "0",
    "LOG_LEVEL": "WARNING",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "MINISTACK_REGION": REGION,
}
_STARTED: Final[list[subprocess.Popen[bytes]]] = []
"""It outlives this process on purpose; a Popen that is forgotten warns that its child still runs."""
_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 15
_LOOK_SECONDS: Final = 0.05
# A function must see its layers and nothing of this checkout or of the developer's AWS account.
_KEPT_OUT: Final = ("PYTHONPATH", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "VIRTUAL_ENV", "DATABASE_URL")


def start(home: Home, port: int, *, lasting: bool = False) -> str:
    """Start the emulator for this home on this port and return its endpoint. Raises RuntimeError with the log's tail when it does not answer.

    A lasting one writes all that is in it to `home.kept` when it is stopped, and begins with what is there.
    """
    if not _EXECUTABLE.exists():
        raise RuntimeError("the emulator is not installed: `make up` installs it")
    scratch = home.folder / "tmp"
    scratch.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in _KEPT_OUT}
    environment = {**kept, **_SETTINGS, "GATEWAY_PORT": str(port), "TMPDIR": str(scratch), "S3_DATA_DIR": str(home.s3)}
    if lasting:
        environment |= {"PERSIST_STATE": "1", "S3_PERSIST": "1", "STATE_DIR": str(home.kept)}
    with home.emulator_log.open("a" if lasting else "w") as log:
        process = subprocess.Popen([_EXECUTABLE], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    _STARTED.append(process)
    home.emulator_pid.write_text(str(process.pid))
    endpoint = f"http://127.0.0.1:{port}"
    give_up = time.monotonic() + _START_SECONDS
    while not answers(endpoint):
        if process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"the emulator did not start; {home.emulator_log} ends with:\n{home.emulator_log.read_text()[-2000:]}")
        time.sleep(0.1)
    return endpoint


def stop(home: Home, *, at_once: bool = False) -> bool:
    """Stop this home's emulator and its function workers; True when one was running. A pid that is somebody else's now is left alone.

    At once: it has no time to end what it does, nor to write down what is in it.
    """
    pid = running(home)
    if pid is not None:
        os.kill(pid, signal.SIGKILL if at_once else signal.SIGTERM)
        if not gone(pid, _STOP_SECONDS):
            os.kill(pid, signal.SIGKILL)
            gone(pid, _STOP_SECONDS)
    home.emulator_pid.unlink(missing_ok=True)
    return pid is not None


def running(home: Home) -> int | None:
    """The pid of this home's emulator, if that process lives and is an emulator of this checkout."""
    try:
        pid = int(home.emulator_pid.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if str(_EXECUTABLE) in command_of(pid) else None


def answers(endpoint: str) -> bool:
    """Whether an emulator answers there."""
    try:
        with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2) as answer:  # noqa: S310  # our own http endpoint
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command_of(pid: int) -> str:
    """The command line of a living process, empty when there is none (a zombie has none)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
        return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout


def gone(pid: int, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> bool:
    """Whether the emulator ended within these seconds; ours is collected then, so that it does not linger as a zombie.

    `meanwhile` is done again and again.
    """
    give_up = time.monotonic() + seconds
    while _lives(pid) and time.monotonic() < give_up:
        meanwhile()
        time.sleep(_LOOK_SECONDS)  # it need not be our child, so its end cannot be waited for, only looked for
    return not _lives(pid)


def _lives(pid: int) -> bool:
    for process in _STARTED:
        if process.pid == pid:
            return process.poll() is None
    return bool(command_of(pid))
