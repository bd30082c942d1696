"""The promises of the stores of versioning, kept in memory and in DynamoDB alike; and what DynamoDB is asked for."""

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import orjson
import pytest
from bourse.assets.asset_history import asset_history
from bourse.assets.dynamodb_versions import DynamoChunks, DynamoVersions
from bourse.assets.memory_versions import MemoryChunks, MemoryVersions
from bourse.assets.model import Cause, Change, Head, LoanStatus, Rejection
from bourse.assets.versions import ChunkRef, ChunkResult, ChunkStore, Made, VersionStore
from bourse.aws import items
from bourse.errors import NotFound, Unavailable
from moto import mock_aws

from tests.assets.version_builders import NOON, Stage, canonical, chunk, loan, make_tables
from tests.simulation.dynamodb import DynamoClient
from tests.simulation.dynamodb_tables import Table

TENANT, ORIGINATOR = "demo", "acme"
REF = ChunkRef(TENANT, ORIGINATOR, 3, 5, 2)


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test")
        make_tables(client, "pipeline", "versions")
        yield client


@pytest.fixture
def simulated() -> DynamoClient:
    return DynamoClient({name: Table(name) for name in ("pipeline", "versions")})


@pytest.fixture(params=["memory", "dynamodb", "simulated"])
def versions(request: pytest.FixtureRequest) -> VersionStore:
    return MemoryVersions() if request.param == "memory" else DynamoVersions(request.getfixturevalue(request.param), "pipeline", "versions")


@pytest.fixture(params=["memory", "dynamodb", "simulated"])
def chunks(request: pytest.FixtureRequest) -> ChunkStore:
    return MemoryChunks() if request.param == "memory" else DynamoChunks(request.getfixturevalue(request.param), "pipeline")


def version(loan_id: str = "L-1", number: int = 1, seq: int = 1, **facts: Any) -> Head:
    record, _ = loan(loan_id, **facts)
    return Head(
        loan_id=loan_id,
        version=number,
        content_hash=f"hash-{number}",
        updated_at=datetime(2026, 1, 30, 8, 15, 0, 123456, UTC),
        status=LoanStatus(record["status"]),
        cause=Cause(seq, 4),
        document=canonical(record),
        change=Change.CREATED if number == 1 else Change.CHANGED,
        changed_fields=() if number == 1 else ("grade",),
        moved_from="EUR" if number == 3 else None,
        learned_at=NOON,
    )


def test_a_version_written_is_the_head(versions: VersionStore) -> None:
    assert versions.append(TENANT, ORIGINATOR, [version("L-1"), version("L-2")]) == frozenset()
    assert versions.heads(TENANT, ORIGINATOR, ["L-1", "L-2", "L-3"]) == {"L-1": version("L-1"), "L-2": version("L-2")}


def test_versions_follow_one_another_and_all_of_them_stay(versions: VersionStore) -> None:
    for number in (1, 2, 3):
        assert versions.append(TENANT, ORIGINATOR, [version(number=number, seq=number)]) == frozenset()
    assert versions.heads(TENANT, ORIGINATOR, ["L-1"])["L-1"] == version(number=3, seq=3)
    stored, assessments = versions.history(TENANT, ORIGINATOR, "L-1")
    assert stored == tuple(version(number=number, seq=number) for number in (1, 2, 3))
    assert assessments == ()


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_version_that_does_not_follow_the_head_is_fenced(versions: VersionStore, number: int) -> None:
    versions.append(TENANT, ORIGINATOR, [version(number=1)])
    versions.append(TENANT, ORIGINATOR, [version(number=2)])
    assert versions.append(TENANT, ORIGINATOR, [version(number=number, seq=9)]) == {"L-1"}
    assert versions.heads(TENANT, ORIGINATOR, ["L-1"])["L-1"] == version(number=2)


def test_a_first_version_must_be_number_one(versions: VersionStore) -> None:
    assert versions.append(TENANT, ORIGINATOR, [version(number=2)]) == {"L-1"}
    assert versions.heads(TENANT, ORIGINATOR, ["L-1"]) == {}


def test_what_is_fenced_can_be_written_after_deciding_again(versions: VersionStore) -> None:
    versions.append(TENANT, ORIGINATOR, [version("L-1")])
    fenced = versions.append(TENANT, ORIGINATOR, [version("L-1"), version("L-2")])
    assert "L-1" in fenced
    heads = versions.heads(TENANT, ORIGINATOR, ["L-1", "L-2"])
    left = [one for one in (version("L-1", 2), version("L-2")) if one.loan_id not in heads or heads[one.loan_id].version < one.version]
    assert versions.append(TENANT, ORIGINATOR, left) == frozenset()
    assert {one.version for one in versions.heads(TENANT, ORIGINATOR, ["L-1", "L-2"]).values()} == {1, 2}


def test_two_hundred_loans_are_read_and_written_as_one_set(versions: VersionStore) -> None:
    ids = [f"L-{number}" for number in range(200)]
    assert versions.append(TENANT, ORIGINATOR, [version(one) for one in ids]) == frozenset()
    assert set(versions.heads(TENANT, ORIGINATOR, ids)) == set(ids)


def test_records_of_seventy_kilobytes_are_written_too(versions: VersionStore) -> None:
    big = [version(f"L-{number}", extras={"filler": [str(number * place * 7919 % 100_003) for place in range(9_000)]}) for number in range(60)]
    assert versions.append(TENANT, ORIGINATOR, big) == frozenset()
    assert versions.heads(TENANT, ORIGINATOR, [one.loan_id for one in big]) == {one.loan_id: one for one in big}


def test_originators_and_tenants_are_kept_apart(versions: VersionStore) -> None:
    versions.append(TENANT, ORIGINATOR, [version()])
    for tenant, originator in ((TENANT, "bank"), ("other", ORIGINATOR)):
        assert versions.heads(tenant, originator, ["L-1"]) == {}
        assert versions.history(tenant, originator, "L-1") == ((), ())


def test_the_version_a_file_made_is_found_among_all(versions: VersionStore) -> None:
    for number, seq in ((1, 1), (2, 4), (3, 9)):
        versions.append(TENANT, ORIGINATOR, [version(number=number, seq=seq)])
    assert versions.made_by(TENANT, ORIGINATOR, 4, ["L-1", "L-9"]) == {"L-1": version(number=2, seq=4)}
    assert versions.made_by(TENANT, ORIGINATOR, 5, ["L-1"]) == {}


def test_the_document_comes_back_to_the_byte(versions: VersionStore) -> None:
    odd = replace(version(), document='{"currency":"USD","loan_id":"L-1","note":"Zürich \\n ẞ","status":"active"}'.encode())
    versions.append(TENANT, ORIGINATOR, [odd])
    assert versions.heads(TENANT, ORIGINATOR, ["L-1"])["L-1"].document == odd.document


def test_a_history_tells_what_changed_and_which_upload_said_it() -> None:
    stage = Stage()
    stage.hear(chunk(loan()), chunk(loan(grade="A"), seq=2))
    history = asset_history(TENANT, ORIGINATOR, "L-1", versions=stage.versions)
    assert [(one.version, one.change, one.changed_fields, one.record.grade) for one in history.versions] == [
        (1, Change.CREATED, (), "C"),
        (2, Change.CHANGED, ("grade",), "A"),
    ]
    assert history.versions[1].upload_id.startswith("upl_00000002_")
    assert history.versions[0].record.extras == {"sub_grade": "C2"}
    with pytest.raises(NotFound, match="ASSET_UNKNOWN"):
        asset_history(TENANT, "bank", "L-1", versions=stage.versions)


RESULT = ChunkResult(
    digest="d1",
    decided_at=NOON,
    counts={Change.CREATED: 1, Change.UNCHANGED: 1, Change.REJECTED: 1},
    made=(Made(0, 1, Change.CREATED), Made(3, 7, Change.CHANGED, ("grade", "schedule"), "EUR")),
    no_news={"L-8": 1},
    rejections=(Rejection(record_no=2, byte_offset=44, loan_id="L-1", code="DUPLICATE_LOAN", message="twice", field="loan_id"),),
)


def test_a_result_is_kept_as_it_is(chunks: ChunkStore) -> None:
    assert chunks.result(REF) is None
    assert chunks.keep(REF, RESULT) == RESULT
    assert chunks.result(REF) == RESULT


def test_the_first_result_is_the_one_that_is_kept(chunks: ChunkStore) -> None:
    chunks.keep(REF, RESULT)
    assert chunks.keep(REF, replace(RESULT, decided_at=NOON + timedelta(days=1))) == RESULT
    assert chunks.result(REF) == RESULT


def test_what_came_without_news_is_remembered_for_the_file_and_shard(chunks: ChunkStore) -> None:
    for number, no_news in enumerate(({"L-1": 10}, {"L-1": 20, "L-2": 21}, {"L-3": 30})):
        chunks.keep(replace(REF, chunk_no=number), replace(RESULT, no_news=no_news))
    chunks.keep(replace(REF, chunk_no=0, upload_seq=4), replace(RESULT, no_news={"L-4": 1}))
    chunks.keep(replace(REF, chunk_no=0, shard=6), replace(RESULT, no_news={"L-5": 1}))
    ids = ["L-1", "L-2", "L-3", "L-4", "L-5"]
    assert chunks.no_news_before(replace(REF, chunk_no=2), ids) == {"L-1": 10, "L-2": 21}
    assert chunks.no_news_before(replace(REF, chunk_no=1), ["L-2"]) == {}
    assert chunks.no_news_before(replace(REF, chunk_no=0), ids) == {}


def test_the_status_of_an_upload_finds_counts_and_rejections_in_the_item(dynamodb: Any) -> None:
    DynamoChunks(dynamodb, "pipeline").keep(REF, RESULT)
    key = {"pk": {"S": "F#demo#acme#00000003"}, "sk": {"S": "chunk#05#000002"}}
    item = dynamodb.get_item(TableName="pipeline", Key=key)["Item"]
    assert {change: int(item[change]["N"]) for change in Change} == {change: RESULT.counts.get(change, 0) for change in Change}
    assert orjson.loads(zlib.decompress(item["rejections"]["B"]))[0]["code"] == "DUPLICATE_LOAN"


def test_a_lost_or_restored_head_is_made_again_of_the_rows(dynamodb: Any) -> None:
    store = DynamoVersions(dynamodb, "pipeline", "versions")
    stage = Stage(store, DynamoChunks(dynamodb, "pipeline"))
    stage.hear(chunk(loan("L-1"), loan("L-2")), chunk(loan("L-1", grade="A"), loan("L-2", grade="A"), seq=2))
    key = {"pk": {"S": "A#demo#acme#L-1"}, "sk": {"S": "head"}}
    dynamodb.delete_item(TableName="pipeline", Key=key)
    outcome = stage.hear(chunk(loan("L-1", grade="B"), loan("L-2", grade="B"), seq=3))
    assert outcome.counts == {"records_changed": 2}
    assert [one.version for one in store.history(TENANT, ORIGINATOR, "L-1")[0]] == [1, 2, 3]


class Counted:
    """A client that counts its requests and the write units they cost."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.exceptions = client.exceptions
        self.requests: Counter[str] = Counter()
        self.write_units = 0

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.requests[name] += 1
            puts = [action["Put"]["Item"] for action in arguments.get("TransactItems", ())]
            self.write_units += sum(2 * units(item) for item in puts) + (units(arguments["Item"]) if name == "put_item" else 0)
            return getattr(self.client, name)(**arguments)

        return call


def units(item: dict[str, Any]) -> int:
    size = sum(len(name) + len(next(iter(value.values()))) for name, value in item.items())
    return -(-size // 1024)


def test_requests_and_writes_per_record_are_few_and_counted(dynamodb: Any) -> None:
    counted = Counted(dynamodb)
    stage = Stage(DynamoVersions(counted, "pipeline", "versions"), DynamoChunks(counted, "pipeline"))
    book = [loan(f"L-{number}") for number in range(200)]
    stage.hear(chunk(*book))
    assert counted.requests == {"get_item": 1, "batch_get_item": 2, "transact_write_items": 4, "put_item": 1}
    assert counted.write_units / 200 < 4.1, "two rows of one unit each, twice that for the transaction, and the chunk's result"

    counted.requests.clear()
    counted.write_units = 0
    stage.hear(chunk(*book, seq=2))
    assert counted.requests == {"get_item": 1, "batch_get_item": 2, "put_item": 1}
    assert counted.write_units / 200 < 0.05, "nothing is written for an unchanged record"

    counted.requests.clear()
    stage.hear(chunk(*book, seq=2))
    assert counted.requests == {"get_item": 1}, "a chunk heard again reads its result"


class Partial:
    """A table that leaves keys unprocessed, and at last answers."""

    def __init__(self, answers: int) -> None:
        self.left = answers

    def batch_get_item(self, **request: Any) -> Any:
        [(table, asked)] = request["RequestItems"].items()
        assert asked["ConsistentRead"] is True
        keys = asked["Keys"]
        self.left -= 1
        cut = len(keys) if self.left <= 0 else len(keys) // 2
        return {"Responses": {table: keys[:cut]}, "UnprocessedKeys": {table: {"Keys": keys[cut:]}} if keys[cut:] else {}}


def test_keys_left_unprocessed_are_asked_for_again_after_a_growing_pause() -> None:
    pauses: list[Any] = []
    keys = [{"pk": {"S": str(number)}} for number in range(150)]
    assert list(items.get_all(Partial(3), "t", keys, pauses.append)) == keys
    assert pauses == sorted(pauses)
    assert len(pauses) == 2


def test_keys_that_stay_unprocessed_are_an_outage() -> None:
    with pytest.raises(Unavailable):
        list(items.get_all(Partial(99), "t", [{"pk": {"S": str(number)}} for number in range(100)], lambda _: None))
