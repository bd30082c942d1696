"""RecordsRead -> new versions of the loans that changed -> what follows from them. Unchanged records cause nothing."""

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Final, Literal, cast

import orjson

from bourse.assets.diff import Decision, Diff, Step, steps
from bourse.assets.events import AssetsVersioned, AssetVersion, ClosedLoan, LoansClosed, OffersWithdrawn, OfferWithdrawal, RecordsRead, book_of, offer_id_of
from bourse.assets.model import Cause, Change, Head, LoanStatus
from bourse.assets.versions import ChunkRef, ChunkResult, ChunkStore, Made, VersionStore
from bourse.clock import Clock
from bourse.errors import Refused, Unavailable
from bourse.message import Message, Outcome, message_id, parts

_ATTEMPTS: Final = 5
_INFLATED_BYTES_MAX: Final = 64 * 1024 * 1024
_NO_NEWS: Final = (Change.UNCHANGED, Change.STALE)

Over = Literal["repaid", "withdrawn", "defaulted"]


def version_assets(chunk: RecordsRead, *, versions: VersionStore, chunks: ChunkStore, clock: Clock) -> Outcome:
    """Decide and store what each record of the chunk is, then say what follows from the new versions.

    Doing it again stores nothing new and says the same. Raises Unavailable when others write the same loans all the time, and
    Refused MESSAGE_MALFORMED when the documents do not belong to the records.
    """
    ref = ChunkRef(chunk.tenant_id, chunk.originator_id, chunk.upload_seq, chunk.shard, chunk.chunk_no)
    documents = _documents(chunk)
    if kept := chunks.result(ref):
        assert kept.digest == _digest(chunk), f"chunk {chunk.chunk_no} of shard {chunk.shard} was cut differently before"
        return Outcome(_say(chunk, _again(chunk, kept, documents, versions), kept.decided_at), {"chunks_heard_again": 1})
    decisions = _version(ref, chunk, documents, versions, chunks, clock)
    kept = chunks.keep(ref, _result(chunk, decisions, clock.now()))
    said = _say(chunk, [decision.head for decision in decisions if decision.head and not decision.superseded], kept.decided_at)
    return Outcome(said, {f"records_{change}": number for change, number in kept.counts.items() if number})


def _version(ref: ChunkRef, chunk: RecordsRead, documents: Sequence[bytes], versions: VersionStore, chunks: ChunkStore, clock: Clock) -> tuple[Decision, ...]:
    """Decide, and write the new versions; where another writer was faster, read and decide again."""
    loan_ids = tuple(dict.fromkeys(record.loan_id for record in chunk.records))
    for _ in range(_ATTEMPTS):
        heads = versions.heads(ref.tenant_id, ref.originator_id, loan_ids)
        late = [loan_id for loan_id, head in heads.items() if head.cause.upload_seq > ref.upload_seq]
        before = versions.made_by(ref.tenant_id, ref.originator_id, ref.upload_seq, late) if late else {}
        decisions = _decide(chunk, documents, Diff(ref.upload_seq, clock.now(), dict(heads), before=before))
        doubtful = [one.record.loan_id for one in decisions if one.new and one.change is not Change.CREATED]
        if doubtful and (seen := chunks.no_news_before(ref, doubtful)):
            decisions = _decide(chunk, documents, Diff(ref.upload_seq, clock.now(), dict(heads), seen, before))
        if not versions.append(ref.tenant_id, ref.originator_id, [one.head for one in decisions if one.new and one.head]):
            return decisions
    raise Unavailable("the loans of this chunk are being versioned by another writer")


def _decide(chunk: RecordsRead, documents: Sequence[bytes], diff: Diff) -> tuple[Decision, ...]:
    return tuple(diff.decide(record, document) for record, document in zip(chunk.records, documents, strict=True))


def _result(chunk: RecordsRead, decisions: Sequence[Decision], at: datetime) -> ChunkResult:
    made = tuple(Made(one.record.record_no, one.head.version, one.change, one.head.changed_fields, one.head.moved_from) for one in decisions if one.head)
    no_news: dict[str, int] = {}
    for one in decisions:
        if one.change in _NO_NEWS:
            no_news.setdefault(one.record.loan_id, one.record.record_no)
    rejections = tuple(one.rejection for one in decisions if one.rejection)
    return ChunkResult(_digest(chunk), at, Counter(one.change for one in decisions), made, no_news, rejections)


def _again(chunk: RecordsRead, kept: ChunkResult, documents: Sequence[bytes], versions: VersionStore) -> list[Head]:
    """The versions the chunk made, from what was kept; of those a later file has followed, nothing more is said."""
    made = {one.record_no: one for one in kept.made}
    records = [(record, document) for record, document in zip(chunk.records, documents, strict=True) if record.record_no in made]
    latest = versions.heads(chunk.tenant_id, chunk.originator_id, tuple(dict.fromkeys(record.loan_id for record, _ in records)))
    heads = []
    for record, document in records:
        one = made[record.record_no]
        if (head := latest.get(record.loan_id)) and head.version > one.version:
            continue
        status, cause = LoanStatus(orjson.loads(document)["status"]), Cause(chunk.upload_seq, record.record_no)
        facts = (record.loan_id, one.version, record.content_hash, record.updated_at, status, cause, document)
        heads.append(Head(*facts, one.change, one.changed_fields, one.moved_from, kept.decided_at))
    return heads


def _documents(chunk: RecordsRead) -> list[bytes]:
    """The canonical JSON of each record, in their order."""
    inflater = zlib.decompressobj()
    try:
        lines = inflater.decompress(chunk.documents, _INFLATED_BYTES_MAX).splitlines()
    except zlib.error as error:
        raise Refused("MESSAGE_MALFORMED", "the documents cannot be inflated") from error
    if not inflater.eof or len(lines) != len(chunk.records):
        raise Refused("MESSAGE_MALFORMED", f"{len(lines)} documents came with {len(chunk.records)} records")
    return lines


def _digest(chunk: RecordsRead) -> str:
    digest = blake2b(digest_size=12)
    for record in chunk.records:
        digest.update(f"{record.record_no} {record.loan_id} {record.content_hash}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Said:
    """What all messages of one chunk have in common; an id is made of the chunk, the kind, and what tells two of a kind apart."""

    chunk: RecordsRead
    said_at: datetime

    def envelope(self, kind: str, *which: str | int) -> dict[str, str]:
        chunk = self.chunk
        made_id = message_id(kind, chunk.tenant_id, chunk.originator_id, chunk.upload_seq, chunk.shard, chunk.chunk_no, *which)
        return {"message_id": made_id, "tenant_id": chunk.tenant_id, "correlation_id": chunk.correlation_id}


def _say(chunk: RecordsRead, heads: Sequence[Head], said_at: datetime) -> tuple[Message, ...]:
    said = _Said(chunk, said_at)
    return (*_assess(said, heads), *_withdraw(said, heads), *_close(said, heads))


def _assess(said: _Said, heads: Sequence[Head]) -> Iterator[AssetsVersioned]:
    assets = [
        AssetVersion(
            loan_id=head.loan_id,
            version=head.version,
            change=cast("Literal['created', 'changed', 'withdrawn']", head.change.value),
            changed_fields=head.changed_fields,
            document=head.document.decode(),
        )
        for head in heads
        if Step.ASSESS in steps(head)
    ]
    chunk = said.chunk
    for number, part in enumerate(parts(assets, lambda asset: len(asset.document.encode()))):
        envelope = said.envelope(AssetsVersioned.kind, number)
        yield AssetsVersioned(**envelope, originator_id=chunk.originator_id, upload_seq=chunk.upload_seq, shard=chunk.shard, said_at=said.said_at, assets=part)


def _withdraw(said: _Said, heads: Sequence[Head]) -> Iterator[OffersWithdrawn]:
    """Per book: the loans that left it, by their status or for another currency."""
    chunk = said.chunk
    books: dict[str, list[OfferWithdrawal]] = {}
    for head in heads:
        over = Step.WITHDRAW_OFFER in steps(head)
        left = [orjson.loads(head.document)["currency"]] if over else []
        for currency in (*left, head.moved_from) if head.moved_from else left:
            withdrawal = OfferWithdrawal(
                offer_id=offer_id_of(chunk.tenant_id, chunk.originator_id, head.loan_id),
                loan_id=head.loan_id,
                version=head.version,
                reason=cast("Over", head.status.value) if over else "not_eligible",
            )
            books.setdefault(book_of(chunk.tenant_id, currency), []).append(withdrawal)
    for book_id, withdrawals in sorted(books.items()):
        envelope = said.envelope(OffersWithdrawn.kind, book_id)
        yield OffersWithdrawn(**envelope, book_id=book_id, said_at=said.said_at, withdrawals=tuple(withdrawals))


def _close(said: _Said, heads: Sequence[Head]) -> Iterator[LoansClosed]:
    loans = tuple(
        ClosedLoan(loan_id=head.loan_id, version=head.version, status=cast("Over", head.status.value)) for head in heads if Step.CLOSE_LOAN in steps(head)
    )
    if loans:
        yield LoansClosed(**said.envelope(LoansClosed.kind), originator_id=said.chunk.originator_id, said_at=said.said_at, loans=loans)
