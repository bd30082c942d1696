"""Uploads that must not be taken, and files that must not be believed: each gets a clear answer and loses nothing."""

import base64
import gzip
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import bson
import pytest

from demo.api import ApiError, request
from demo.book import DAY_0, Loan, record_of
from demo.market import Upload
from tests.local.builders import HARBOR, PRAIRIE, World, book

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def loans() -> list[Loan]:
    return book(50)


def _good(loans: list[Loan], count: int) -> bytes:
    return b"".join(bson.encode(record_of(loan, DAY_0)) for loan in loans[:count])


def test_an_uploaded_file_cannot_be_overwritten(world: World, loans: list[Loan]) -> None:
    octets = _good(loans, 3)
    slot = world.slot(size_bytes=len(octets))
    assert world.put(slot, octets) == 200
    assert world.put(slot, octets[::-1]) in {403, 409, 412}


def test_a_file_of_another_checksum_than_announced_is_refused(world: World, loans: list[Loan]) -> None:
    octets = _good(loans, 2)
    checksum = base64.b64encode(hashlib.sha256(octets).digest()).decode()
    slot = world.slot(size_bytes=len(octets), checksum_sha256=checksum)
    assert world.put(slot, octets[::-1]) in {400, 403}
    assert world.put(slot, octets) == 200


def test_a_request_that_has_expired_or_was_altered_is_not_ours(world: World, loans: list[Loan]) -> None:
    octets = _good(loans, 1)
    slot = world.slot(size_bytes=len(octets))
    parts = urlsplit(slot["upload"]["url"])
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | {"X-Amz-Date": "20200101T000000Z"}
    expired = urlunsplit(parts._replace(query=urlencode(query)))
    assert request("PUT", expired, octets, slot["upload"]["headers"])[0] in {400, 403}


def test_an_upload_larger_than_announced_is_refused_or_read_no_further_than_it_was_signed(world: World, loans: list[Loan]) -> None:
    octets = _good(loans, 2)
    with pytest.raises(ApiError) as refused:
        world.slot(size_bytes=10**12)
    assert refused.value.status == 422
    slot = world.slot(size_bytes=len(octets) - 1)
    headers = {**slot["upload"]["headers"], "Content-Length": str(len(octets))}
    status = request("PUT", slot["upload"]["url"], octets, headers)[0]
    if status == 200:  # the emulator does not hold a signed length against the body; then the file itself is refused
        world.settle()
        assert _state(world, slot["upload_id"])["state"] == "failed"


def test_a_file_that_breaks_keeps_what_came_before_and_says_where(world: World, loans: list[Loan]) -> None:
    good = _good(loans, 3)
    broken = {
        "truncated tail": good + bson.encode(record_of(loans[3], DAY_0))[:-7],
        "length zero": good + bytes(4) + good,
        "length four": good + (4).to_bytes(4, "little") + good,
        "length negative": good + (-1).to_bytes(4, "little", signed=True) + good,
        "length of two gigabytes": good + (2**31 - 1).to_bytes(4, "little") + good,
        "noise": good + b"this is not BSON at all",
    }
    sent = {name: world.send_octets(HARBOR, octets) for name, octets in broken.items()}
    world.settle(*sent.values())
    for name, upload in sent.items():
        status = world.market.status(upload)
        assert status["state"] == "failed", name
        assert status["failure"]["code"], name
        assert status["created"] + status["unchanged"] == 3, name


def test_an_empty_file_is_refused_at_the_door_or_named(world: World) -> None:
    slot = world.slot()
    if world.put(slot, b"") in {200, 204}:
        world.settle(Upload(HARBOR.originator_id, slot["upload_id"]))
        assert _state(world, slot["upload_id"])["failure"]["code"] == "EMPTY_FILE"


def test_a_gzip_bomb_is_stopped_and_the_next_file_is_read(world: World, loans: list[Loan]) -> None:
    own = [loan for loan in loans if loan.originator is PRAIRIE][:2]
    bomb = world.market.send(PRAIRIE, _file(world, gzip.compress(bytes(200_000_000), 9)))
    after = world.send(PRAIRIE, [record_of(loan, DAY_0) for loan in own])
    world.settle(bomb, after)
    assert world.market.status(bomb)["state"] == "failed"
    assert world.market.status(after)["created"] == len(own)


def test_one_bad_record_stops_neither_its_chunk_nor_its_file(world: World, loans: list[Loan]) -> None:
    deep: dict[str, object] = {}
    for _ in range(180):
        deep = {"d": deep}
    records = [record_of(loan, DAY_0) for loan in loans[:6]]
    records[1]["memo"] = deep
    records[2]["principal"] = "twelve"
    records[3]["padding"] = "x" * 70_000
    records[4] = {**records[0], "outstanding_principal": records[5]["outstanding_principal"]}
    sent = world.send(HARBOR, records)
    world.settle(sent)
    status = world.market.status(sent)
    rejections = world.market.rejections(sent)
    assert (status["state"], status["received"], status["created"]) == ("processed", 6, 2)
    assert sorted(one["record_no"] for one in rejections) in ([1, 2, 3, 4], [2, 3, 4, 5])
    assert len({one["code"] for one in rejections}) == 4


def test_a_stranger_learns_nothing(world: World, loans: list[Loan]) -> None:
    upload = world.send(HARBOR, [record_of(loans[0], DAY_0)])
    world.settle(upload)
    prairie = world.api("originator", PRAIRIE.originator_id)
    for path in (f"/v1/uploads/{upload.upload_id}", f"/v1/uploads/{upload.upload_id}/rejections", f"/v1/assets/{loans[0].loan_id}"):
        with pytest.raises(ApiError) as refused:
            prairie.get(path)
        assert refused.value.status == 404
    for token in ("", "Bearer x.y.z", f"Bearer {world.stack.tokens['operator']}"):
        assert request("GET", f"{world.stack.originator_api}/v1/uploads", None, {"Authorization": token} if token else {})[0] in {401, 403}
    investor_at_the_wrong_door = world.api("investor", HARBOR.originator_id)
    with pytest.raises(ApiError) as refused:
        investor_at_the_wrong_door.get("/v1/home")
    assert refused.value.status in {401, 403}


def _state(world: World, upload_id: str) -> dict[str, Any]:
    status: dict[str, Any] = world.api("originator", HARBOR.originator_id).get(f"/v1/uploads/{upload_id}")
    return status


def _file(world: World, octets: bytes) -> Path:
    file = world.folder / "bomb"
    file.write_bytes(octets)
    return file
