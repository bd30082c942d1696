"""Records, chunks and files for the tests of versioning, as intake would make them."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson
from bourse.assets.events import RecordRef, RecordsRead
from bourse.assets.memory_versions import MemoryChunks, MemoryVersions
from bourse.assets.model import shard_of
from bourse.assets.version_assets import version_assets
from bourse.assets.versions import ChunkStore, VersionStore
from bourse.clock import FixedClock
from bourse.message import Message, Outcome, message_id

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LOAN: dict[str, Any] = {
    "status": "active",
    "currency": "USD",
    "principal_minor": 1_200_000,
    "outstanding_principal_minor": 1_150_055,
    "interest_rate": "12.99",
    "term_months": 36,
    "grade": "C",
    "country": "US",
    "borrower": {"id": "B-1", "birth_year": 1985, "income_month_minor": 400_000, "employment": "employed"},
    "extras": {"sub_grade": "C2"},
}


def loan(loan_id: str = "L-1", updated_at: datetime | None = None, **facts: Any) -> tuple[dict[str, Any], datetime | None]:
    """A record in canonical form, and when the originator says it changed; a fact given as None is missing."""
    merged = LOAN | {"loan_id": loan_id} | facts
    return {name: value for name, value in merged.items() if value is not None}, updated_at


def canonical(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)


def chunk(
    *records: tuple[dict[str, Any], datetime | None],
    seq: int = 1,
    number: int = 0,
    first: int = 0,
    shard: int = 0,
    tenant: str = "demo",
    originator: str = "acme",
) -> RecordsRead:
    """A chunk of these records, the first of which is the `first`-th of the file."""
    documents = [canonical(record) for record, _ in records]
    refs = tuple(
        RecordRef(
            record_no=first + place,
            byte_offset=1000 * (first + place),
            loan_id=record["loan_id"],
            content_hash=blake2b(document, key=b"k", digest_size=16).hexdigest(),
            updated_at=updated_at,
        )
        for place, ((record, updated_at), document) in enumerate(zip(records, documents, strict=True))
    )
    return RecordsRead(
        message_id=message_id(RecordsRead.kind, tenant, originator, seq, shard, number),
        tenant_id=tenant,
        correlation_id=f"upl_{seq}",
        originator_id=originator,
        upload_seq=seq,
        chunk_no=number,
        shard=shard,
        records=refs,
        documents=zlib.compress(b"\n".join(documents)),
    )


def file(records: Sequence[tuple[dict[str, Any], datetime | None]], seq: int = 1, size: int = 50) -> Iterator[RecordsRead]:
    """A whole file, sharded and cut as intake does it. Record numbers are places within the file's shard, which is enough here."""
    shards: dict[int, list[Any]] = {}
    for record in records:
        shards.setdefault(shard_of("acme", record[0]["loan_id"]), []).append(record)
    for shard, members in sorted(shards.items()):
        for number, start in enumerate(range(0, len(members), size)):
            yield chunk(*members[start : start + size], seq=seq, number=number, first=start, shard=shard)


@dataclass
class Stage:
    """Both stores and a clock; hears chunks and remembers what was said."""

    versions: VersionStore = field(default_factory=MemoryVersions)
    chunks: ChunkStore = field(default_factory=MemoryChunks)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOON))
    said: dict[str, Message] = field(default_factory=dict)

    def hear(self, *chunks: RecordsRead) -> Outcome:
        """Hear the chunks; returns the outcome of the last."""
        outcome = Outcome()
        for heard in chunks:
            outcome = version_assets(heard, versions=self.versions, chunks=self.chunks, clock=self.clock)
            self.said |= {message.message_id: message for message in outcome.says}
        return outcome


def make_tables(dynamodb: Any, *names: str) -> None:
    """Tables as the foundation stack makes them: pk and sk, strings."""
    for name in names:
        keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
        attributes = [{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")]
        dynamodb.create_table(TableName=name, KeySchema=keys, AttributeDefinitions=attributes, BillingMode="PAY_PER_REQUEST")
