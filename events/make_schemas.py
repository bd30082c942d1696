"""Writes events/schemas/<kind>.json from the message types: `make schemas`. tests/house checks that they are true."""

import json
from pathlib import Path

from bourse import flow

HERE = Path(__file__).resolve().parent


def main() -> None:
    """One JSON schema per kind of message that travels."""
    for kind, message in flow.messages().items():
        (HERE / "schemas" / f"{kind}.json").write_text(json.dumps(message.model_json_schema(), indent=2) + "\n")


if __name__ == "__main__":
    main()
