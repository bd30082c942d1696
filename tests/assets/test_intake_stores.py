"""The promises of the slot store, kept in memory and on AWS alike; asking for a slot; and a file's whole way on AWS's adapters."""

from base64 import urlsafe_b64encode
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest
from bourse.assets import issue_upload as issue_upload_module
from bourse.assets.dynamodb_uploads import DynamoUploads
from bourse.assets.dynamodb_versions import DynamoChunks
from bourse.assets.issue_upload import UploadAsked, issue_upload
from bourse.assets.memory_uploads import MemoryObjects, MemoryUploads
from bourse.assets.memory_versions import MemoryChunks
from bourse.assets.model import Change, Rejection, UploadRef, UploadState
from bourse.assets.s3 import S3Objects
from bourse.assets.upload_status import recent_uploads, upload_rejections, upload_status
from bourse.assets.uploads import Arrival, Declared, Failure, Progress, Slot, UploadObjects, UploadStore
from bourse.assets.versions import ChunkRef, ChunkResult, ChunkStore
from bourse.clock import FixedClock
from bourse.errors import Conflict, NotFound, Refused, Unavailable
from pydantic import ValidationError

from tests.assets.intake_builders import NOON, ORIGINATOR, TENANT, Stage, book
from tests.assets.slots import placed
from tests.simulation.dynamodb import DynamoClient
from tests.simulation.dynamodb_tables import Table

REF = UploadRef(TENANT, ORIGINATOR, 1)
KEY = f"{REF.key}.bson"


class Both:
    """A slot store with the store of chunk results beside it, as they share a table."""

    def __init__(self, uploads: UploadStore, chunks: ChunkStore) -> None:
        self.uploads = uploads
        self.chunks = chunks


@pytest.fixture
def simulated() -> DynamoClient:
    return DynamoClient({"pipeline": Table("pipeline")})


@pytest.fixture(params=["memory", "dynamodb", "simulated"])
def both(request: pytest.FixtureRequest) -> Both:
    if request.param == "memory":
        chunks = MemoryChunks()
        return Both(MemoryUploads(chunks), chunks)
    dynamodb = request.getfixturevalue(request.param)
    return Both(DynamoUploads(dynamodb, "pipeline"), DynamoChunks(dynamodb, "pipeline"))


@pytest.fixture
def uploads(both: Both) -> UploadStore:
    return both.uploads


def first(originator: str = ORIGINATOR, **facts: Any) -> Slot:
    return Slot(tenant_id=TENANT, originator_id=originator, upload_seq=0, issued_at=NOON, expires_at=NOON + timedelta(minutes=15), **facts)


def rejection(number: int) -> Rejection:
    return Rejection(record_no=number, byte_offset=number * 100, loan_id=f"L-{number}", code="STATUS_UNKNOWN", message="odd", field="status")


# Slots


def test_slots_are_numbered_without_gaps_by_originator(uploads: UploadStore) -> None:
    assert [uploads.issue(first(), None).upload_seq for _ in range(3)] == [1, 2, 3]
    assert uploads.issue(first("bank"), None).upload_seq == 1
    assert {(ref.originator_id, ref.upload_seq) for ref in uploads.open()} == {(ORIGINATOR, 1), (ORIGINATOR, 2), (ORIGINATOR, 3), ("bank", 1)}


def test_a_request_key_gives_its_slot_again(uploads: UploadStore) -> None:
    slots = [uploads.issue(first(), ("key-1", "digest")) for _ in range(2)]
    assert slots[0] == slots[1]
    assert uploads.issue(first(), ("key-2", "digest")).upload_seq == 2
    assert uploads.issue(first("bank"), ("key-1", "other")).upload_seq == 1
    with pytest.raises(Conflict, match="IDEMPOTENCY_KEY_REUSED"):
        uploads.issue(first(), ("key-1", "other"))


def test_a_slot_comes_back_as_it_was_kept(uploads: UploadStore) -> None:
    issued = uploads.issue(first(ending=".bson.gz", declared=Declared(size_bytes=9, records=2)), None)
    assert uploads.slot(issued.ref) == issued
    arrival = Arrival(size_bytes=9, etag="abc", version_id="v", checksum_sha256="x", written_at=NOON)
    full = placed(
        issued,
        state=UploadState.READING,
        arrival=arrival,
        progress=Progress(segment=3, byte_offset=100, records=7, rejected=1, chunks=tuple(range(16))),
        progressed_at=NOON,
        failure=Failure(code="TRUNCATED", message="x", byte_offset=7, record_no=1),
        notes=("OVERWRITTEN",),
    )
    assert uploads.replace(full)
    assert uploads.slot(issued.ref) == full
    assert uploads.slot(UploadRef(TENANT, ORIGINATOR, 9)) is None


@pytest.mark.parametrize("state", [UploadState.READING, UploadState.FAILED])
def test_of_two_changes_of_one_revision_one_is_kept(uploads: UploadStore, state: UploadState) -> None:
    slot = uploads.issue(first(), None)
    assert uploads.replace(placed(slot, state=state))
    assert not uploads.replace(placed(slot, state=UploadState.CANCELLED))
    assert not uploads.replace(placed(slot, state=UploadState.READING))
    kept = uploads.slot(slot.ref)
    assert kept is not None
    assert (kept.state, kept.revision) == (state, 2)


def test_a_closed_slot_is_not_looked_after_any_more(uploads: UploadStore) -> None:
    slots = [uploads.issue(first(), None) for _ in range(3)]
    assert uploads.replace(placed(slots[1], state=UploadState.FAILED))
    assert uploads.replace(placed(slots[2], state=UploadState.READING))
    assert {ref.upload_seq for ref in uploads.open()} == {1, 3}


def test_slots_are_found_before_and_after_one(uploads: UploadStore) -> None:
    for _ in range(13):
        uploads.issue(first(), None)
    uploads.issue(first("bank"), None)
    middle = UploadRef(TENANT, ORIGINATOR, 7)
    assert [slot.upload_seq for slot in uploads.before(middle)] == [6, 5, 4, 3, 2, 1]
    assert [slot.upload_seq for slot in uploads.after(middle)] == [8, 9, 10, 11, 12, 13]
    assert [slot.upload_seq for slot in islice(uploads.before(middle), 2)] == [6, 5]
    assert list(uploads.before(UploadRef(TENANT, ORIGINATOR, 1))) == []
    assert list(uploads.after(UploadRef(TENANT, ORIGINATOR, 13))) == []


# Rejections and totals


def chunk_result(created: int = 0, rejected: tuple[int, ...] = ()) -> ChunkResult:
    counts = {Change.CREATED: created, Change.REJECTED: len(rejected)}
    return ChunkResult("digest", NOON, counts, rejections=tuple(map(rejection, rejected)))


def test_rejections_are_paged_in_order_and_each_once(both: Both) -> None:
    both.uploads.issue(first(), None)
    both.uploads.keep_rejections(REF, 0, [rejection(number) for number in range(5)])
    both.uploads.keep_rejections(REF, 12, [rejection(number) for number in range(5, 8)])
    both.uploads.keep_rejections(UploadRef(TENANT, ORIGINATOR, 2), 0, [rejection(99)])
    for shard, rejected in ((3, (8, 9)), (1, ()), (15, (10, 11, 12))):
        both.chunks.keep(ChunkRef(TENANT, ORIGINATOR, 1, shard, 0), chunk_result(1, rejected))
    everything = {number: [] for number in (1, 2, 3, 4, 5, 8, 100)}  # type: dict[int, list[int]]
    for limit, found in everything.items():
        cursor = None
        while True:
            page = upload_rejections(REF, uploads=both.uploads, cursor=cursor, limit=limit)
            assert len(page.rejections) <= limit
            found += [one.record_no for one in page.rejections]
            if (cursor := page.next) is None:
                break
    assert set(map(tuple, everything.values())) == {(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)}
    assert upload_rejections(REF, uploads=both.uploads).rejections[0] == rejection(0)


def test_more_than_a_thousand_rejections_of_a_segment_are_kept(uploads: UploadStore) -> None:
    uploads.issue(first(), None)
    for _ in range(2):
        uploads.keep_rejections(REF, 0, [rejection(number) for number in range(2560)])
    assert [one.record_no for _, block in uploads.rejections(REF) for one in block] == list(range(2560))


@pytest.mark.parametrize("cursor", ["x", "eA", "cmVqZWN0aW9ucyMwMDow", "4pyTOjE", "=", "Y2h1bmsjOmE"])
def test_a_cursor_that_is_not_ours_is_refused_or_finds_nothing_of_others(uploads: UploadStore, cursor: str) -> None:
    uploads.issue(first(), None)
    if cursor == "cmVqZWN0aW9ucyMwMDow":
        assert upload_rejections(REF, uploads=uploads, cursor=cursor).rejections == ()
    else:
        with pytest.raises(Refused, match="CURSOR_INVALID"):
            upload_rejections(REF, uploads=uploads, cursor=cursor)


@pytest.mark.parametrize("block", ["rejections#~~", "rejections#\x7f", "chunk#~~"])
def test_a_made_up_cursor_behind_every_block_finds_nothing(uploads: UploadStore, block: str) -> None:
    """DynamoDB refuses a range whose end lies before its beginning; moto does not."""
    uploads.issue(first(), None)
    cursor = urlsafe_b64encode(f"{block}:0".encode()).decode()
    assert upload_rejections(REF, uploads=uploads, cursor=cursor).rejections == ()


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_bounds(uploads: UploadStore, limit: int) -> None:
    uploads.issue(first(), None)
    with pytest.raises(Refused, match="LIMIT_RANGE"):
        upload_rejections(REF, uploads=uploads, limit=limit)


def test_the_status_sums_the_chunks_and_ends_as_processed_when_all_are_in(both: Both) -> None:
    slot = both.uploads.issue(first(), None)
    sent = (2, *(0,) * 14, 1)
    arrival = Arrival(size_bytes=9, etag="abc", written_at=NOON)
    assert both.uploads.replace(placed(slot, state=UploadState.PROCESSING, arrival=arrival, progress=Progress(segment=1, records=60, rejected=4, chunks=sent)))
    for place, (shard, number) in enumerate(((0, 0), (0, 1), (15, 0))):
        status = upload_status(REF, uploads=both.uploads)
        assert (status.state, status.received, status.pending) == ("processing", 60, 56 - 18 * place - 2 * (place > 0))
        both.chunks.keep(ChunkRef(TENANT, ORIGINATOR, 1, shard, number), chunk_result(18, (1, 2) if place == 0 else ()))
    status = upload_status(REF, uploads=both.uploads)
    assert (status.state, status.created, status.rejected, status.pending) == ("processed", 54, 6, 0)
    assert recent_uploads(TENANT, ORIGINATOR, uploads=both.uploads) == (status,)


def test_nobody_sees_an_upload_of_another(uploads: UploadStore) -> None:
    uploads.issue(first(), None)
    for other in (UploadRef("other", ORIGINATOR, 1), UploadRef(TENANT, "bank", 1), UploadRef(TENANT, ORIGINATOR, 2)):
        with pytest.raises(NotFound, match="UPLOAD_UNKNOWN"):
            upload_status(other, uploads=uploads)
        with pytest.raises(NotFound, match="UPLOAD_UNKNOWN"):
            upload_rejections(other, uploads=uploads)


# The whole way on AWS's adapters


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_goes_its_way_through_dynamodb_and_s3(dynamodb: Any, s3: Any, compressed: bool) -> None:
    import gzip

    stage = Stage(uploads=DynamoUploads(dynamodb, "pipeline"), objects=S3Objects(s3, "uploads"))
    stage.clock.at = stage.clock.at.now(NOON.tzinfo)
    stage.ask(compressed=compressed)
    file = book(300) + b"\1\0\0\0"
    key = stage.slot().key
    for octets in (gzip.compress(file) if compressed else file, b"overwritten"):
        s3.put_object(Bucket="uploads", Key=key, Body=octets)
        stage.told(key)
    stage.run()
    status = stage.status()
    assert (status.state, status.received, status.pending) == ("failed", 300, 300)
    assert status.failure is not None
    assert (status.failure.code, [note.code for note in status.notes]) == ("BAD_FRAME", ["OVERWRITTEN"])
    assert len(stage.loans()) == 300


# Asking for a slot


def ask(uploads: UploadStore, clock: FixedClock, objects: UploadObjects | None = None, request_key: str | None = None, **asked: Any) -> Any:
    objects = objects or MemoryObjects(clock)
    return issue_upload(TENANT, ORIGINATOR, UploadAsked(**asked), uploads=uploads, objects=objects, clock=clock, request_key=request_key)


def test_a_repeated_request_gives_the_same_slot_until_it_is_filled_or_over(uploads: UploadStore) -> None:
    clock = FixedClock(NOON)
    tickets = [ask(uploads, clock, request_key="monday", size_bytes=9) for _ in range(2)]
    assert tickets[0] == tickets[1]
    with pytest.raises(Conflict, match="IDEMPOTENCY_KEY_REUSED"):
        ask(uploads, clock, request_key="monday", size_bytes=10)
    clock.at += timedelta(minutes=15)
    with pytest.raises(Conflict, match="UPLOAD_CLOSED"):
        ask(uploads, clock, request_key="monday", size_bytes=9)


def test_a_repeat_that_a_release_with_another_default_answers_gives_the_same_slot(uploads: UploadStore) -> None:
    clock, objects = FixedClock(NOON), MemoryObjects(FixedClock(NOON))
    by_another_release = UploadAsked.model_construct(_fields_set={"size_bytes"}, size_bytes=9, valid_seconds=1_200)
    tickets = [
        issue_upload(TENANT, ORIGINATOR, asked, uploads=uploads, objects=objects, clock=clock, request_key="monday")
        for asked in (UploadAsked(size_bytes=9), by_another_release)
    ]
    assert tickets[0] == tickets[1]
    with pytest.raises(Conflict, match="IDEMPOTENCY_KEY_REUSED"):
        ask(uploads, clock, request_key="monday", size_bytes=9, valid_seconds=1_200)


def test_too_many_open_uploads_are_refused(uploads: UploadStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue_upload_module, "OPEN_MAX", 7)
    clock = FixedClock(NOON)
    for _ in range(7):
        ask(uploads, clock)
    with pytest.raises(Refused, match="TOO_MANY_UPLOADS"):
        ask(uploads, clock)
    latest = uploads.slot(UploadRef(TENANT, ORIGINATOR, 7))
    assert latest is not None
    assert uploads.replace(latest.next(state=UploadState.CANCELLED))
    assert ask(uploads, clock).upload_seq == 8


@pytest.mark.parametrize(
    "asked",
    [
        {"size_bytes": 0},
        {"size_bytes": -1},
        {"size_bytes": 5 * 1024**3 + 1},
        {"checksum_sha256": "abc"},
        {"checksum_sha256": "A" * 43 + "=\n"},
        {"content_type": "text/html\r\nx: y"},
        {"valid_seconds": 59},
        {"valid_seconds": 10**6},
        {"records": -1},
        {"key": "somebody/else.bson"},
    ],
)
def test_what_cannot_be_asked_for(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        UploadAsked(**asked)


def test_asking_at_the_same_time_leaves_no_gap(dynamodb: Any) -> None:
    """Another request takes the number between our read of the counter and our write."""
    store = DynamoUploads(dynamodb, "pipeline")
    rival = DynamoUploads(dynamodb, "pipeline")
    raced: list[Slot] = []
    plain = store._item

    def slow(pk: str, sk: str) -> Any:
        item = plain(pk, sk)
        if sk == "counter" and len(raced) < 3:
            raced.append(rival.issue(first(), None))
        return item

    store._item = slow
    assert store.issue(first(), None).upload_seq == 4
    assert [slot.upload_seq for slot in raced] == [1, 2, 3]
    raced_for_ever = DynamoUploads(dynamodb, "pipeline")
    raced_for_ever._item = lambda *_: None
    with pytest.raises(Unavailable):
        raced_for_ever.issue(first(), None)
