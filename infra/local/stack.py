"""Where a local stack keeps its things, and what `make up` says about it in stack.json.

Several stacks may run side by side: each has a home folder, `.local` or the one BOURSE_LOCAL names.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
SHARED: Final = ROOT / ".local"
"""What stacks share: the emulator's environment, synthesised templates."""
REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one stack."""

    folder: Path

    @classmethod
    def from_env(cls) -> "Home":
        """`.local` of this checkout, or the folder BOURSE_LOCAL names; made when it is not there."""
        folder = Path(os.environ.get("BOURSE_LOCAL") or SHARED).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    @property
    def description(self) -> Path:
        return self.folder / "stack.json"

    @property
    def emulator_log(self) -> Path:
        return self.folder / "ministack.log"

    @property
    def emulator_pid(self) -> Path:
        return self.folder / "ministack.pid"

    @property
    def s3(self) -> Path:
        return self.folder / "s3"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def kept(self) -> Path:
        """Where an emulator that is to outlive its process writes what is in it."""
        return self.folder / "kept"

    @property
    def lock(self) -> Path:
        return self.folder / "up.lock"


@dataclass(frozen=True, slots=True)
class Stack:
    """A running local stack: stack.json. The three APIs are base URLs; paths such as /v1/uploads are appended."""

    aws_endpoint: str
    region: str
    originator_api: str
    investor_api: str
    operator_api: str
    postgres: str
    """DSN of the database, as its administrator."""
    tokens: dict[str, str]
    """Bearer tokens: `operator`, and the demo parties by id."""
    assembly: str
    """Digest of the templates and code that were deployed; `make up` starts anew when it changed."""
    functions: dict[str, str]
    """Name in flow.py -> name of the deployed Lambda function."""
    queues: dict[str, str]
    """Name in flow.py -> URL of the deployed queue; `<name>_dlq` for its dead-letter queue."""

    def save(self, home: Home) -> None:
        """Write stack.json, readable by its owner only: it holds tokens."""
        fresh = home.description.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(asdict(self), indent=2) + "\n")
        fresh.replace(home.description)

    @classmethod
    def read(cls, home: Home) -> "Stack | None":
        """What stack.json says, or None when no stack was brought up (or by another release)."""
        try:
            return cls(**json.loads(home.description.read_text()))
        except (FileNotFoundError, TypeError, ValueError):
            return None


def client(service: str, endpoint: str) -> Any:
    """A boto3 client of the emulator, with the emulator's credentials whatever the machine has."""
    import boto3
    from botocore.config import Config

    config = Config(signature_version="s3v4" if service == "s3" else None, retries={"mode": "standard", "max_attempts": 3}, read_timeout=120)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, config=config, **keys)
