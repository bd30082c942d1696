"""The promises of the uploads' bucket, kept in memory and on S3 alike; and what S3 is asked to sign."""

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import ReadTimeoutError
from bourse.assets.memory_uploads import MemoryObjects
from bourse.assets.model import UploadRef
from bourse.assets.s3 import S3Objects
from bourse.assets.uploads import Arrival, Declared, UploadObjects
from bourse.aws import clients
from bourse.clock import FixedClock
from bourse.errors import Refused, Unavailable

from tests.assets.intake_builders import NOON, ORIGINATOR, TENANT

KEY = UploadRef(TENANT, ORIGINATOR, 1).key + ".bson"


# The bucket


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest) -> tuple[UploadObjects, Any]:
    """A bucket, and what puts an object into it."""
    if request.param == "memory":
        memory = MemoryObjects(FixedClock(NOON))
        return memory, memory.put
    s3 = request.getfixturevalue("s3")
    return S3Objects(s3, "uploads"), lambda key, octets: s3.put_object(Bucket="uploads", Key=key, Body=octets, ChecksumAlgorithm="SHA256")


def test_an_object_is_found_and_read_from_any_place(bucket: tuple[UploadObjects, Any]) -> None:
    objects, put = bucket
    octets = bytes(range(256)) * 3000
    assert (objects.find(KEY), objects.exists(KEY)) == (None, False)
    put(KEY, octets)
    arrival = objects.find(KEY)
    assert arrival is not None
    assert (arrival.size_bytes, arrival.checksum_sha256) == (len(octets), b64encode(sha256(octets).digest()).decode())
    assert objects.exists(KEY)
    assert not objects.exists(KEY[:-1])
    for start in (0, 1, 262_144, len(octets) - 1, len(octets)):
        pieces = list(objects.read(KEY, arrival, start))
        assert b"".join(pieces) == octets[start:]
        assert all(0 < len(piece) <= 262_144 for piece in pieces)


def test_the_object_that_arrived_is_read_also_when_its_key_was_written_again(bucket: tuple[UploadObjects, Any]) -> None:
    objects, put = bucket
    put(KEY, b"first")
    arrival = objects.find(KEY)
    assert arrival is not None
    put(KEY, b"second")
    assert b"".join(objects.read(KEY, arrival, 0)) == b"first"


def test_an_object_that_is_no_more_is_not_another_one(bucket: tuple[UploadObjects, Any]) -> None:
    objects, put = bucket
    put(KEY, b"first")
    arrival = objects.find(KEY)
    assert arrival is not None
    gone = arrival.model_copy(update={"version_id": "00000000-0000-0000-0000-000000000000"})
    with pytest.raises(Refused, match="OBJECT_CHANGED"):
        list(objects.read(KEY, gone, 0))


def test_without_versions_the_etag_guards_the_object(s3: Any) -> None:
    s3.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket="uploads", Key=KEY, Body=b"first")
    objects = S3Objects(s3, "uploads")
    arrival = objects.find(KEY)
    assert arrival is not None
    arrival = arrival.model_copy(update={"version_id": None})
    assert b"".join(objects.read(KEY, arrival, 2)) == b"rst"
    s3.put_object(Bucket="uploads", Key=KEY, Body=b"other")
    with pytest.raises(Refused, match="OBJECT_CHANGED"):
        list(objects.read(KEY, arrival, 0))


class Flaky:
    """An S3 whose connections break after so many octets."""

    def __init__(self, octets: bytes, lasts: list[int]) -> None:
        self.octets = octets
        self.lasts = lasts
        self.ranges: list[str] = []

    def get_object(self, Range: str, **_: Any) -> dict[str, Any]:
        self.ranges.append(Range)
        start = int(Range.removeprefix("bytes=").removesuffix("-"))
        return {"Body": Broken(self.octets[start : start + self.lasts.pop(0)])}


class Broken:
    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def read(self, octets: int) -> bytes:
        if not self.octets:
            raise ReadTimeoutError(endpoint_url="s3")
        read, self.octets = self.octets[:octets], self.octets[octets:]
        return read


def test_a_broken_connection_is_opened_again_at_the_same_place() -> None:
    arrival = Arrival(size_bytes=100, etag="e", written_at=NOON)
    flaky = Flaky(bytes(range(100)), [30, 0, 0, 50, 20])
    assert b"".join(S3Objects(flaky, "uploads").read(KEY, arrival, 0)) == bytes(range(100))
    assert flaky.ranges == ["bytes=0-", "bytes=30-", "bytes=30-", "bytes=30-", "bytes=80-"]
    with pytest.raises(Unavailable):
        list(S3Objects(Flaky(bytes(100), [30, 0, 0, 0]), "uploads").read(KEY, arrival, 0))


# Signatures


def signed_names(url: str) -> set[str]:
    return set(parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"][0].split(";"))


def test_a_put_pins_what_was_declared_and_writes_once(s3: Any) -> None:
    declared = Declared(size_bytes=1234, checksum_sha256="A" * 43 + "=", content_type="application/bson")
    signed = S3Objects(s3, "uploads").sign(KEY, declared, 5 * 1024**3, 900)
    url = urlsplit(signed.url)
    query = parse_qs(url.query)
    assert (signed.method, url.hostname, url.path) == ("PUT", "uploads.s3.eu-west-1.amazonaws.com", f"/{KEY}")
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["900"]
    sent = {name.lower() for name in signed.headers} | {"host"}
    signed_into = signed_names(signed.url) | {name.lower() for name in query}
    assert {"content-length", "content-type", "if-none-match", "x-amz-checksum-sha256"} <= sent <= signed_into
    assert signed_names(signed.url) <= sent
    assert signed.headers["If-None-Match"] == "*"


def test_a_checksum_alone_is_pinned_by_a_put_too(s3: Any) -> None:
    signed = S3Objects(s3, "uploads").sign(KEY, Declared(checksum_sha256="A" * 43 + "="), 5 * 1024**3, 900)
    assert signed.method == "PUT"
    assert set(signed.headers) == {"If-None-Match", "x-amz-checksum-sha256"}


def test_a_form_bounds_the_size_and_pins_key_and_type(s3: Any) -> None:
    signed = S3Objects(s3, "uploads").sign(KEY, Declared(content_type="application/bson"), 5 * 1024**3, 60)
    policy = json.loads(b64decode(signed.fields["policy"]))
    assert signed.method == "POST"
    assert urlsplit(signed.url).hostname == "uploads.s3.eu-west-1.amazonaws.com"
    assert ["content-length-range", 1, 5 * 1024**3] in policy["conditions"]
    for condition in ({"key": KEY}, {"bucket": "uploads"}, {"Content-Type": "application/bson"}, {"x-amz-algorithm": "AWS4-HMAC-SHA256"}):
        assert condition in policy["conditions"]
        assert all(signed.fields.get(name) == value for name, value in condition.items() if name != "bucket")


def test_an_emulator_is_addressed_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t", "AWS_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(name, value)
    clients.client.cache_clear()
    objects = S3Objects(clients.client("s3"), "uploads")
    clients.client.cache_clear()
    assert urlsplit(objects.sign(KEY, Declared(size_bytes=1), 10, 60).url).path == f"/uploads/{KEY}"
    assert objects.sign(KEY, Declared(), 10, 60).url == "http://127.0.0.1:4566/uploads"
