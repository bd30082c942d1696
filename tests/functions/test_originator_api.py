"""The originator's API: slots, states, loans; and what callers send who should not get anything."""

import json
from base64 import b64decode
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from bourse.assets.model import Change, Rejection, UploadRef, UploadState
from bourse.assets.s3 import S3Objects
from bourse.assets.uploads import Arrival, Failure, Progress
from bourse.assets.versions import ChunkRef, ChunkResult
from bourse.aws import clients, report

from tests.assets.slots import placed
from tests.assets.version_builders import Stage, chunk, loan
from tests.functions.api import CLOCK, Answer, Apis

ARRIVAL = Arrival(size_bytes=10, etag="e", written_at=CLOCK.now())


@pytest.fixture
def apis() -> Apis:
    return Apis()


def call(apis: Apis, method: str, path: str, body: object = None, *, party: str = "acme", **more: Any) -> Answer:
    return apis.call("originator", method, path, body, party=party, **more)


def upload(apis: Apis, body: object = None) -> Any:
    answer = call(apis, "POST", "/v1/uploads", body if body is not None else {})
    assert answer.status == 200, answer.body
    return answer.body


def register(apis: Apis, originator_id: str = "acme") -> None:
    terms = {"currencies": ["USD"], "sell_ratio": "0.995", "buy_ratio": "1.005"}
    assert apis.call("operator", "POST", "/v1/products/consumer/versions", terms).status == 200
    named = {"originator_id": originator_id, "name": originator_id, "product_id": "consumer"}
    assert apis.call("operator", "POST", "/v1/originators", named).status == 200


def slot_of(apis: Apis, upload_id: str, tenant: str = "t1", party: str = "acme") -> Any:
    ref = UploadRef.of(tenant, party, upload_id)
    assert ref is not None
    found = apis.uploads.slot(ref)
    assert found is not None
    return found


def test_one_call_gives_a_slot_and_the_request_that_fills_it(apis: Apis) -> None:
    ticket = upload(apis, {"size_bytes": 1_000, "compressed": True})
    assert (ticket["upload_seq"], ticket["state"], ticket["upload"]["method"]) == (1, "issued", "PUT")
    assert slot_of(apis, ticket["upload_id"]).key == f"t1/acme/00000001-{ticket['upload_id']}.bson.gz"
    assert upload(apis)["upload_seq"] == 2


@pytest.mark.parametrize(("declared", "seconds"), [({}, 900), ({"valid_seconds": 60}, 60), ({"valid_seconds": 43_200}, 43_200)])
def test_a_slot_is_good_for_as_long_as_was_asked(apis: Apis, declared: dict[str, int], seconds: int) -> None:
    ticket = upload(apis, declared | {"size_bytes": 5})
    assert ticket["expires_at"] == (CLOCK.now() + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def test_what_is_declared_is_signed_into_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(name, value)
    clients.client.cache_clear()
    apis = Apis(objects=S3Objects(clients.client("s3"), "uploads"))
    asked = {"size_bytes": 1_234, "checksum_sha256": "A" * 43 + "=", "content_type": "application/bson", "valid_seconds": 120}
    signed = upload(apis, asked)["upload"]
    assert signed["headers"] == {
        "Content-Length": "1234",
        "Content-Type": "application/bson",
        "x-amz-checksum-sha256": asked["checksum_sha256"],
        "If-None-Match": "*",
    }
    query = parse_qs(urlsplit(signed["url"]).query)
    assert query["X-Amz-Expires"] == ["120"]
    assert {"content-length", "content-type", "if-none-match"} <= set(query["X-Amz-SignedHeaders"][0].split(";"))
    form = upload(apis, {"content_type": "application/bson"})["upload"]
    policy = json.loads(b64decode(form["fields"]["policy"]))
    assert form["method"] == "POST"
    assert ["content-length-range", 1, 5 * 1024**3] in policy["conditions"]
    assert {"Content-Type": "application/bson"} in policy["conditions"]
    clients.client.cache_clear()


@pytest.mark.parametrize("state", [UploadState.EXPIRED, UploadState.PARKED, UploadState.PROCESSING])
def test_a_key_whose_slot_is_over_gives_no_second_one(apis: Apis, state: UploadState) -> None:
    def asked() -> Answer:
        return call(apis, "POST", "/v1/uploads", {"size_bytes": 10}, headers={"idempotency-key": "k-1"})

    upload_id = asked().body["upload_id"]
    assert apis.uploads.replace(placed(slot_of(apis, upload_id), state=state))
    refused = asked()
    assert (refused.status, refused.body["code"]) == (409, "UPLOAD_CLOSED")
    assert [one["upload_id"] for one in call(apis, "GET", "/v1/uploads").body] == [upload_id]
    assert call(apis, "POST", "/v1/uploads", {}, headers={"idempotency-key": "k" * 129}).status == 422


def test_the_key_of_one_originator_is_nothing_to_another(apis: Apis) -> None:
    keyed = {"headers": {"idempotency-key": "k-1"}}
    mine = call(apis, "POST", "/v1/uploads", {"size_bytes": 10}, **keyed).body["upload_id"]
    for whom in ({"party": "other"}, {"tenant": "t2"}):
        theirs = call(apis, "POST", "/v1/uploads", {"size_bytes": 11}, **keyed, **whom)
        assert (theirs.status, theirs.body["upload_id"] == mine) == (200, False)


def test_the_same_key_gives_the_same_slot_and_another_request_with_it_is_refused(apis: Apis) -> None:
    def asked(body: dict[str, Any]) -> Answer:
        event_headers = {"idempotency-key": "k-1"}
        return call(apis, "POST", "/v1/uploads", body, headers=event_headers)

    first, again = asked({"size_bytes": 10}), asked({"size_bytes": 10})
    assert first.body["upload_id"] == again.body["upload_id"]
    other = asked({"size_bytes": 11})
    assert (other.status, other.body["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": -1}, "size_bytes"),
        ({"size_bytes": 10**12}, "size_bytes"),
        ({"size_bytes": "many"}, "size_bytes"),
        ({"checksum_sha256": "abc"}, "checksum_sha256"),
        ({"checksum_sha256": "A" * 43 + "=\n"}, "checksum_sha256"),
        ({"content_type": "text/html\r\nx-evil: 1"}, "content_type"),
        ({"valid_seconds": 1}, "valid_seconds"),
        ({"valid_seconds": 10**9}, "valid_seconds"),
        ({"records": -5}, "records"),
        ({"tenant_id": "t2"}, "tenant_id"),
        ({"key": "../../other"}, "key"),
    ],
)
def test_a_wrong_request_for_a_slot_is_refused_with_the_field_at_fault(apis: Apis, body: dict[str, Any], field: str) -> None:
    refused = call(apis, "POST", "/v1/uploads", body)
    assert (refused.status, refused.headers["content-type"]) == (422, "application/problem+json")
    assert [error["field"] for error in refused.body["errors"]] == [field]


def test_a_status_is_there_before_while_and_after_the_file_is_read(apis: Apis) -> None:
    upload_id = upload(apis)["upload_id"]
    assert call(apis, "GET", f"/v1/uploads/{upload_id}").body["state"] == "issued"
    slot = slot_of(apis, upload_id)
    reading = placed(slot, state=UploadState.READING, arrival=ARRIVAL, progress=Progress(segment=1, byte_offset=100, records=7, rejected=2))
    assert apis.uploads.replace(reading)
    apis.uploads.keep_rejections(slot.ref, 0, [Rejection(record_no=n, byte_offset=n * 50, loan_id=None, code="BAD_BSON", message="no") for n in (3, 5)])
    status = call(apis, "GET", f"/v1/uploads/{upload_id}").body
    assert (status["state"], status["received"], status["rejected"], status["pending"]) == ("reading", 7, 2, 5)
    assert status["received"] == sum(status[name] for name in ("created", "changed", "unchanged", "withdrawn", "stale", "rejected", "pending"))
    first = call(apis, "GET", f"/v1/uploads/{upload_id}/rejections", query={"limit": "1"}).body
    second = call(apis, "GET", f"/v1/uploads/{upload_id}/rejections", query={"limit": "1", "cursor": first["next"]}).body
    assert [one["record_no"] for page in (first, second) for one in page["rejections"]] == [3, 5]
    assert [one["upload_id"] for one in call(apis, "GET", "/v1/uploads").body] == [upload_id]


def test_a_file_is_processed_when_every_chunk_is_and_its_counts_sum_to_what_was_received(apis: Apis) -> None:
    upload_id = upload(apis)["upload_id"]
    slot = slot_of(apis, upload_id)
    read = Progress(segment=1, byte_offset=900, records=9, rejected=1, chunks=(2, *[0] * 15))
    assert apis.uploads.replace(placed(slot, state=UploadState.PROCESSING, arrival=ARRIVAL, progress=read))
    apis.uploads.keep_rejections(slot.ref, 0, [Rejection(record_no=0, byte_offset=0, loan_id=None, code="BAD_BSON", message="no")])
    seen = []
    late = Rejection(record_no=7, byte_offset=700, loan_id="L-7", code="DUPLICATE_LOAN", message="twice")
    for chunk_no, (counts, rejections) in enumerate(
        [({Change.CREATED: 3, Change.UNCHANGED: 1}, ()), ({Change.CHANGED: 2, Change.STALE: 1, Change.REJECTED: 1}, (late,))]
    ):
        seen.append(call(apis, "GET", f"/v1/uploads/{upload_id}").body)
        result = ChunkResult(digest=str(chunk_no), decided_at=CLOCK.now(), counts=counts, rejections=rejections)
        apis.uploads.chunks.keep(ChunkRef("t1", "acme", slot.upload_seq, 0, chunk_no), result)
    seen.append(call(apis, "GET", f"/v1/uploads/{upload_id}").body)
    names = ("created", "changed", "unchanged", "withdrawn", "stale", "rejected", "pending")
    assert [[one[name] for name in names] for one in seen] == [[0, 0, 0, 0, 0, 1, 8], [3, 0, 1, 0, 0, 1, 4], [3, 2, 1, 0, 1, 2, 0]]
    assert [one["received"] for one in seen] == [9, 9, 9]
    assert [one["state"] for one in seen] == ["processing", "processing", "processed"]
    page = call(apis, "GET", f"/v1/uploads/{upload_id}/rejections").body
    assert ([one["code"] for one in page["rejections"]], page["next"]) == (["BAD_BSON", "DUPLICATE_LOAN"], None)


def test_a_file_that_broke_says_where(apis: Apis) -> None:
    upload_id = upload(apis)["upload_id"]
    broke = Failure(code="TRUNCATED", message="the file ends inside a record", byte_offset=812, record_no=7)
    assert apis.uploads.replace(placed(slot_of(apis, upload_id), state=UploadState.FAILED, arrival=ARRIVAL, failure=broke))
    status = call(apis, "GET", f"/v1/uploads/{upload_id}").body
    assert (status["state"], status["failure"]) == ("failed", broke.model_dump())


def test_uploads_are_paged_newest_first(apis: Apis) -> None:
    ids = [upload(apis)["upload_id"] for _ in range(5)]
    newest = call(apis, "GET", "/v1/uploads", query={"limit": "2"}).body
    older = call(apis, "GET", "/v1/uploads", query={"limit": "5", "before_seq": str(newest[-1]["upload_seq"])}).body
    assert [one["upload_id"] for one in (*newest, *older)] == ids[::-1]


def test_a_slot_is_given_back_once_and_not_after_its_file_came(apis: Apis) -> None:
    upload_id = upload(apis)["upload_id"]
    assert [call(apis, "DELETE", f"/v1/uploads/{upload_id}").body["state"] for _ in range(2)] == ["cancelled", "cancelled"]
    arrived = upload(apis)["upload_id"]
    assert apis.uploads.replace(slot_of(apis, arrived).next(state=UploadState.PARKED, arrival=ARRIVAL))
    refused = call(apis, "DELETE", f"/v1/uploads/{arrived}")
    assert (refused.status, refused.body["code"]) == (409, "UPLOAD_ARRIVED")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(("party", "tenant"), [("other", "t1"), ("acme", "t2")])
def test_anothers_upload_is_not_there(apis: Apis, method: str, party: str, tenant: str) -> None:
    upload_id = upload(apis)["upload_id"]
    paths = [f"/v1/uploads/{upload_id}", *([f"/v1/uploads/{upload_id}/rejections"] if method == "GET" else [])]
    for path in paths:
        missing = call(apis, method, path, party=party, tenant=tenant)
        assert (missing.status, missing.body["code"]) == (404, "UPLOAD_UNKNOWN")
    assert call(apis, "GET", "/v1/uploads", party=party, tenant=tenant).body == []
    assert slot_of(apis, upload_id).state is UploadState.ISSUED


@pytest.mark.parametrize("upload_id", ["x", "1", "00000001", "%2e%2e", "up_" + "a" * 24, "0" * 500, "é", "a b"])
def test_an_upload_id_that_was_made_up_is_unknown(apis: Apis, upload_id: str) -> None:
    upload(apis)
    assert call(apis, "GET", f"/v1/uploads/{upload_id}").status == 404
    assert call(apis, "GET", f"/v1/uploads/{upload_id}/rejections").status == 404


@pytest.mark.parametrize("cursor", ["x", "====", "0", "%00", "MDowOjA6MA", "é" * 10, "A" * 5_000])
def test_a_cursor_that_was_made_up_is_refused(apis: Apis, cursor: str) -> None:
    upload_id = upload(apis)["upload_id"]
    refused = call(apis, "GET", f"/v1/uploads/{upload_id}/rejections", query={"cursor": cursor})
    assert (refused.status, refused.body["code"]) == (422, "CURSOR_INVALID")


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many", "1e3"])
def test_a_page_has_a_size(apis: Apis, limit: str) -> None:
    upload_id = upload(apis)["upload_id"]
    assert call(apis, "GET", f"/v1/uploads/{upload_id}/rejections", query={"limit": limit}).status == 422


@pytest.mark.parametrize(
    "raw", ["", "{", "[]", "null", '"x"', "[" * 100_000, '{"size_bytes":' * 50_000, "\x00", '{"size_bytes": NaN}', '{"size_bytes": 1e999}']
)
def test_a_body_that_is_none_is_refused_and_gives_no_slot(apis: Apis, raw: str) -> None:
    refused = call(apis, "POST", "/v1/uploads", raw=raw)
    assert (refused.status in (400, 422), refused.headers["content-type"]) == (True, "application/problem+json")
    assert call(apis, "GET", "/v1/uploads").body == []


def test_a_loan_nobody_sent_is_not_there(apis: Apis) -> None:
    assert call(apis, "GET", "/v1/assets/L-1").status == 404
    assert call(apis, "GET", "/v1/settlements").body == []


LOAN_IDS = ("L-1", "2026/01/L:1", "A_1.b")


@pytest.fixture
def sold(apis: Apis) -> Apis:
    """Two files of the same loans, in the second of which their grade is another; and the same ids at another originator."""
    stage = Stage(apis.versions)
    whose = {"tenant": "t1", "originator": "acme"}
    stage.hear(chunk(*[loan(loan_id) for loan_id in LOAN_IDS], **whose))
    stage.hear(chunk(*[loan(loan_id, grade="A") for loan_id in LOAN_IDS], seq=2, **whose))
    stage.hear(chunk(loan("L-1", grade="F"), tenant="t1", originator="other"))
    return apis


@pytest.mark.parametrize(
    ("path", "loan_id"),
    [
        ("L-1", "L-1"),
        ("A_1.b", "A_1.b"),
        ("2026/01/L:1", "2026/01/L:1"),  # what the gateway makes of the next two
        ("2026%2F01%2FL:1", "2026/01/L:1"),
        ("2026%2f01%2fL%3A1", "2026/01/L:1"),
    ],
)
def test_a_loan_is_shown_through_time_whatever_its_id(sold: Apis, path: str, loan_id: str) -> None:
    shown = call(sold, "GET", f"/v1/assets/{path}").body
    assert shown["history"]["loan_id"] == loan_id
    assert [(one["version"], one["change"], one["changed_fields"], one["record"]["grade"]) for one in shown["history"]["versions"]] == [
        (1, "created", [], "C"),
        (2, "changed", ["grade"], "A"),
    ]
    assert [UploadRef.of("t1", "acme", one["upload_id"]).upload_seq for one in shown["history"]["versions"]] == [1, 2]
    assert (shown["offer"]["state"], shown["bids"]) == ("open", [])


def test_anothers_loan_is_not_there(sold: Apis) -> None:
    for whom in ({"tenant": "t2"}, {"party": "third"}, {"party": "other", "tenant": "t2"}):
        missing = call(sold, "GET", "/v1/assets/L-1", **whom)
        assert (missing.status, missing.body["code"]) == (404, "ASSET_UNKNOWN")
    assert [one["record"]["grade"] for one in call(sold, "GET", "/v1/assets/L-1", party="other").body["history"]["versions"]] == ["F"]
    assert call(sold, "GET", "/v1/assets/A_1.b", party="other").status == 404


def test_a_hundred_open_slots_are_enough(apis: Apis) -> None:
    for _ in range(100):
        upload(apis)
    refused = call(apis, "POST", "/v1/uploads", {})
    assert (refused.status, refused.body["code"]) == (422, "TOO_MANY_UPLOADS")


def test_the_operator_sees_what_an_originator_sent_and_every_rejection(apis: Apis) -> None:
    upload_id = upload(apis)["upload_id"]
    apis.uploads.keep_rejections(slot_of(apis, upload_id).ref, 0, [Rejection(record_no=0, byte_offset=0, loan_id="L-1", code="BAD_BSON", message="no")])
    register(apis)
    listed = apis.call("operator", "GET", "/v1/originators/acme/uploads").body
    assert [one["upload_id"] for one in listed] == [upload_id]
    page = apis.call("operator", "GET", f"/v1/originators/acme/uploads/{upload_id}/rejections").body
    assert [one["code"] for one in page["rejections"]] == ["BAD_BSON"]
    register(apis, "silent")
    assert apis.call("operator", "GET", "/v1/originators/silent/uploads").body == []
    nobody = apis.call("operator", "GET", "/v1/originators/nobody/uploads")
    assert (nobody.status, nobody.body["code"]) == (404, "PARTY_UNKNOWN")
    for path in ("/v1/originators/acme/uploads", f"/v1/originators/acme/uploads/{upload_id}/rejections"):
        assert apis.call("operator", "GET", path, tenant="t2").status == 404


def test_the_operator_pages_through_an_originators_uploads_with_their_state_and_counts(apis: Apis) -> None:
    register(apis)
    ids = [upload(apis)["upload_id"] for _ in range(5)]
    reading = placed(slot_of(apis, ids[3]), state=UploadState.READING, arrival=ARRIVAL, progress=Progress(segment=1, byte_offset=100, records=7, rejected=2))
    assert apis.uploads.replace(reading)
    pages: list[list[dict[str, Any]]] = []
    query = {"limit": "2"}
    while not pages or pages[-1]:
        pages.append(apis.call("operator", "GET", "/v1/originators/acme/uploads", query=query).body)
        query = {"limit": "2", "before_seq": str(pages[-1][-1]["upload_seq"])} if pages[-1] else {}
    listed = [one for page in pages for one in page]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [one["upload_id"] for one in listed] == ids[::-1]
    assert [(one["state"], one["received"], one["rejected"], one["pending"]) for one in listed[:2]] == [("issued", 0, 0, 0), ("reading", 7, 2, 5)]


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/v1/uploads/up_mine", "GET /v1/uploads/{upload_id}"),
        ("GET", "/v1/uploads/a/rejections", "GET /v1/uploads/{upload_id}/rejections"),
        ("GET", "/v1/assets/L-1-of-mr-smith", "GET /v1/assets/{loan_id}"),
        ("POST", "/v1/uploads", "POST /v1/uploads"),
        ("GET", "/v1/nothing/of/mr-smith", "GET (no such path)"),
        ("BREW", "/v1/uploads", "? (no such path)"),
        ("GET", "/v1/assets/of/mr-smith", "GET /v1/assets/{loan_id}"),
        ("DELETE", "/v1/uploads/smith\n{}", "DELETE (no such path)"),
    ],
)
def test_the_line_of_a_request_names_the_template_of_its_path_and_nothing_of_the_caller(
    apis: Apis, monkeypatch: pytest.MonkeyPatch, method: str, path: str, route: str
) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(report._logger, "info", lambda _text, extra: lines.append(extra))
    call(apis, method, path, {} if method == "POST" else None)
    [line] = lines
    assert line["route"] == route
    assert "smith" not in json.dumps(line)


def test_the_line_of_a_request_that_was_turned_away_says_so(apis: Apis, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(report._logger, "info", lambda _text, extra: lines.append(extra))
    call(apis, "GET", "/v1/uploads/mine")
    assert call(apis, "POST", "/v1/uploads", raw="smith" * 300_000).status == 413
    assert [(line["route"], line["status"]) for line in lines] == [("GET /v1/uploads/{upload_id}", 404), ("POST (not looked at)", 413)]
