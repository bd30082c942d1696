"""How fast intake reads, against pymongo's plain decode of the same file, and whether its memory grows with the file.

python -m tests.bench.bench_intake            # INTAKE_RECORDS=1000000: the longer file whose peak memory is compared
"""

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
from bourse.assets.events import UploadReady
from bourse.assets.memory_uploads import MemoryUploads
from bourse.assets.model import UploadState
from bourse.assets.read_upload import read_upload
from bourse.assets.uploads import Arrival, Slot
from bourse.clock import FixedClock
from bourse.message import Message, encode
from bson.decimal128 import Decimal128

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
_PIECE = 256 * 1024
_PATH = os.pathsep.join(path for path in sys.path if path)


class FileObjects:
    """The bucket, as a local file read in pieces."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, _key: str, _arrival: Arrival, start: int) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            file.seek(start)
            while piece := file.read(_PIECE):
                yield piece


class Wire:
    """A queue that lets messages go, if asked to only after it has encoded them as SQS carries them."""

    def __init__(self, *, encodes: bool) -> None:
        self._encodes = encodes
        self.records = self.octets = 0

    def send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.octets += len(encode(message)) if self._encodes else 0
            self.records += len(getattr(message, "records", ()))


class LeanUploads(MemoryUploads):
    """Keeps no rejections: what is measured is intake, not the keeper."""

    def keep_rejections(self, *_: Any) -> None:
        return None


def flat(number: int) -> dict[str, Any]:
    """A record of the kind most originators send: about 570 octets, no schedule."""
    return {
        "loan_id": f"LC-{number:08d}",
        "updated_at": NOW - timedelta(seconds=number % 100_000),
        "status": "active",
        "currency": "USD",
        "principal": Decimal128(f"{5000 + number % 30000}.00"),
        "outstanding_principal": Decimal128(f"{4000 + number % 20000}.{number % 100:02d}"),
        "interest_rate": Decimal128(f"{5 + number % 20}.{number % 100:02d}"),
        "term_months": (36, 60)[number % 2],
        "issued_on": f"2025-{1 + number % 12:02d}-{1 + number % 28:02d}",
        "grade": "ABCDEFG"[number % 7],
        "sub_grade": f"{'ABCDEFG'[number % 7]}{1 + number % 5}",
        "country": ("ES", "PL", "DE")[number % 3],
        "borrower": {
            "id": f"B-{number:08d}",
            "birth_year": 1950 + number % 50,
            "income_month": Decimal128(f"{2000 + number % 5000}.00"),
            "employment": "employed",
        },
        "next_due_on": f"2026-02-{1 + number % 28:02d}",
        "days_past_due": number % 31,
        "partial_sale": True,
        "sellable_share": Decimal128("90"),
        "purpose": "debt_consolidation",
        "region": f"R{number % 50}",
    }


def scheduled(number: int) -> dict[str, Any]:
    """The same with a schedule of 36 rows."""
    rows = [
        {
            "due_on": f"{2026 + row // 12}-{1 + row % 12:02d}-01",
            "principal": Decimal128(f"{100 + (number + row) % 900}.{row:02d}"),
            "interest": Decimal128(f"{(number * 7 + row) % 90}.{row:02d}"),
        }
        for row in range(36)
    ]
    return flat(number) | {"schedule": rows}


def write(path: Path, make: Callable[[int], dict[str, Any]], records: int) -> None:
    with path.open("wb") as file:
        for number in range(records):
            file.write(bson.encode(make(number)))


def plain_decode(path: Path) -> float:
    """CPU seconds of pymongo's own loop over the file."""
    gc.collect()
    begun = time.process_time()
    with path.open("rb") as file:
        for _ in bson.decode_file_iter(file):
            pass
    return time.process_time() - begun


def intake(path: Path, *, encodes: bool = False) -> tuple[float, Wire]:
    """CPU seconds of reading the file: framing, validation, canonical form, hash, chunks and their compression."""
    gc.collect()
    uploads, wire = LeanUploads(), Wire(encodes=encodes)
    slot = uploads.issue(Slot(tenant_id="demo", originator_id="acme", upload_seq=0, issued_at=NOW, expires_at=NOW), None)
    arrival = Arrival(size_bytes=path.stat().st_size, etag="e", written_at=NOW)
    uploads.replace(slot.next(state=UploadState.PARKED, arrival=arrival))
    message = UploadReady(message_id="m", tenant_id="demo", correlation_id="c", originator_id="acme", upload_seq=1, key=slot.key)
    objects: Any = FileObjects(path)
    begun = time.process_time()
    outcome = read_upload(
        message, uploads=uploads, objects=objects, chunk_queue=wire, hash_secret=b"s" * 32, remaining_ms=lambda: 900_000, clock=FixedClock(NOW)
    )
    spent = time.process_time() - begun
    assert outcome.counts["records_rejected"] == 0, outcome.counts
    assert wire.records == outcome.counts["records_received"]
    return spent, wire


def peak_mb(path: Path) -> float:
    """Peak resident memory of a fresh process that reads the file and encodes what it sends."""
    code = (
        "import resource, sys; from pathlib import Path; from tests.bench.bench_intake import intake;"
        "intake(Path(sys.argv[1]), encodes=True); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": _PATH})
    return int(answer.stdout) / 1024


def speed(name: str, make: Callable[[int], dict[str, Any]], records: int, folder: Path) -> str:
    """One row: the best of five rounds, each of the three side by side, so that a busy machine slows them alike."""
    path = folder / "speed.bson"
    write(path, make, records)
    rounds = [(plain_decode(path), intake(path), intake(path, encodes=True)) for _ in range(5)]
    decode, read, sent = min(one[0] for one in rounds), min(one[1][0] for one in rounds), min(one[2][0] for one in rounds)
    octets = rounds[0][2][1].octets / records
    return (
        f"{name:<14} {path.stat().st_size / records:>7.0f} {records:>9,} {records / decode:>13,.0f} {records / read:>13,.0f} {decode / read:>6.2f}"
        f" {records / sent:>14,.0f} {decode / sent:>6.2f} {octets:>12.0f}"
    )


def main() -> None:
    longest = int(os.environ.get("INTAKE_RECORDS", "1000000"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        heads = ("decode rec/s", 13), ("intake rec/s", 13), ("ratio", 6), ("encoded rec/s", 14), ("ratio", 6), ("octets sent", 12)
        print(f"{'record':<14} {'octets':>7} {'records':>9} " + " ".join(f"{head:>{width}}" for head, width in heads))
        print(speed("flat", flat, 100_000, folder))
        print(speed("with 36 rows", scheduled, 10_000, folder))
        print("CPU time of one core. decode: pymongo's decode_file_iter. intake: framing, validation, canonical form, hash, chunks, compression; goal: ratio")
        print(">= 0.45. encoded: the same with every message encoded as SQS carries it.\n")
        peaks = {}
        for records in (10_000, longest):
            write(folder / "memory.bson", flat, records)
            peaks[records] = min(peak_mb(folder / "memory.bson") for _ in range(2))
            print(f"peak memory reading {records:>9,} records: {peaks[records]:6.1f} MB", flush=True)
        print(f"growth: {peaks[longest] - peaks[10_000]:.1f} MB, goal <= 4 MB")


if __name__ == "__main__":
    main()
