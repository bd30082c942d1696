"""What nobody should send to the ledger's feeds, sums, keys, signatures and templates, on PostgreSQL: problem documents below 500, and nothing is kept."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.ledger.cursors import cursor_of

from tests.functions.api import Answer, Apis
from tests.functions.test_ledger_hostile import CURSORS, HOSTILE, KEY, LONE, NUL, PUBLIC_KEY, ROUTES, RUN, TEMPLATE, TXN, L, body_of, code

ZEROS = b64encode(bytes.fromhex("302a300506032b6570032100") + bytes(32)).decode()
RSA = b64encode(bytes.fromhex("305c300d06092a864886f70d0101010500034b003048024100") + bytes(69)).decode()


@pytest.fixture
def apis(database: Database) -> Iterator[Apis]:
    """The ledger of t1 has ann and dollars, one feed, one sum, one key and one template, and at the end it has no more."""
    made = Apis.on(database)
    made.call("operator", "POST", f"{L}/flavors", {"flavor_id": "usd"})
    made.call("operator", "POST", f"{L}/accounts", {"account_id": "ann"})
    for method, path in (("PUT", "feeds/f"), ("PUT", "sums/s"), ("POST", "keys"), ("POST", "templates")):
        assert made.call("operator", method, f"{L}/{path}", body_of(method, f"{L}/{path}")).status == 200
    before = kept(made)
    yield made
    assert kept(made) == before


def kept(apis: Apis) -> list[Any]:
    lists = [apis.call("operator", "GET", f"{L}/{noun}").body for noun in ("feeds", "sums", "keys", "templates", "default-quorum", "trial-balance")]
    return [*lists, apis.call("operator", "POST", f"{L}/transactions/list", {}).body, apis.call("operator", "GET", f"{L}/feeds/f").body["cursor"]]


def send(apis: Apis, method: str, path: str, body: object = None, **more: Any) -> Answer:
    return apis.call("operator", method, f"{L}/{path}", body, **more)


NEW = [(method, path) for method, path in ROUTES[ROUTES.index(("POST", f"{L}/transactions/to-sign")) :] if method in {"POST", "PUT", "PATCH"}]


@pytest.mark.parametrize(("method", "path"), NEW)
def test_fields_nobody_knows_and_bodies_that_are_none_are_refused(apis: Apis, method: str, path: str) -> None:
    body = body_of(method, path)
    answer = apis.call("operator", method, path, body | {"tenant_id": "t2"})
    assert (code(answer), answer.body["field"]) == ("INVALID", "tenant_id")
    for raw in ("", "{", "[]", "null", '"x"', "5", "[" * 100_000, '{"a":' * 50_000, "{'a': 1}"):
        assert apis.call("operator", method, path, raw=raw).status in {400, 422}
    for name in body:
        for wrong in (None, [], {}, 1.5, True, "\ud800", "x" * 100_000, -(10**40), [[[[]]]]):
            if body[name] != wrong and not (wrong is None and name in {"quorum", "at"}):
                answer = apis.call("operator", method, path, body | {name: wrong})
                harmless = (name, wrong) in [("params", []), ("key_ids", []), ("parameters", {}), ("values", {}), ("group_by", [])]
                assert harmless or answer.status in {404, 409, 422}, (name, wrong, answer)


@pytest.mark.parametrize("text", [NUL, LONE, f"\\\\{NUL}", LONE * 2])
def test_a_text_no_store_takes_is_refused_wherever_it_stands(apis: Apis, text: str) -> None:
    asked: list[tuple[str, str, Any]] = [
        ("PUT", "feeds/g", {"kind": "actions", "filter": "tags.a = '?'"}),
        ("PUT", "feeds/g", {"kind": "actions", "filter": "tags.a = $1", "params": ["?"]}),
        ("PATCH", "feeds/f", {"old_cursor": "?", "new_cursor": "?"}),
        ("PUT", "sums/g", {"filter": "tags.a = '?'"}),
        ("PUT", "sums/g", {"filter": "tags.a = $1", "params": ["?"]}),
        ("PUT", "sums/g", {"group_by": ["tags.?"]}),
        ("POST", "keys", KEY | {"key_id": "?"}),
        ("POST", "keys", KEY | {"key_id": "g", "public_key": "?"}),
        ("POST", "keys", KEY | {"key_id": "g", "valid_from": "?"}),
        ("POST", "keys/revoke", {"key_id": "?"}),
        ("POST", "keys/revoke", {"key_id": "k", "reason": "?"}),
        ("POST", "keys/revoke", {"key_id": "k", "at": "?"}),
        ("PUT", "default-quorum", {"key_ids": ["?"]}),
        ("POST", "accounts", {"account_id": "g", "key_ids": ["?"]}),
        ("POST", "transactions", TXN | {"signatures": [{"key_id": "?", "signature": "AAAA"}]}),
        ("POST", "transactions", TXN | {"signatures": [{"key_id": "k", "signature": "?"}]}),
        ("POST", "transactions", TXN | {"signatures": [{"key_id": "k", "signature": "AAAA", "txn_id": "?"}]}),
        ("POST", "transactions", TXN | {"signatures": [{"?": "k"}]}),
        ("POST", "templates", TEMPLATE | {"template_id": "?"}),
        ("POST", "templates", TEMPLATE | {"template_id": "g", "parameters": {"?": "amount"}}),
        ("POST", "templates", TEMPLATE | {"template_id": "g", "parameters": {"p": "?"}}),
        ("POST", "templates", TEMPLATE | {"template_id": "g", "document": {**TEMPLATE["document"], "kind": "?"}}),
        ("POST", "templates", TEMPLATE | {"template_id": "g", "document": {**TEMPLATE["document"], "?": 1}}),
        ("POST", "templates", TEMPLATE | {"template_id": "g", "document": {**TEMPLATE["document"], "tags": {"?": {"$": "?"}}}}),
        ("POST", "templates/run", RUN | {"template_id": "?"}),
        ("POST", "templates/run", RUN | {"txn_id": "?"}),
        ("POST", "templates/run", RUN | {"effective_at": "?"}),
        ("POST", "templates/run", RUN | {"values": {"?": "?"}}),
    ]
    for method, path, body in asked:
        answer = send(apis, method, path, raw=json.dumps(body).replace("?", text))
        assert answer.status in {404, 422}, (path, body, answer)


@pytest.mark.parametrize("made_up", ["x", "..", "../../v1/totals", "x" * 5_000, "é", "a b", "'; drop table books.feed; --", "💥" * 64, "a/b", "\ud800"])
def test_an_id_that_was_made_up_is_not_there_and_opens_nothing(apis: Apis, made_up: str) -> None:
    for noun in ("feeds", "sums", "keys", "templates"):
        assert send(apis, "GET", f"{noun}/{made_up}").status == 404, noun
    assert send(apis, "PATCH", f"feeds/{made_up}", {"old_cursor": cursor_of("1", "0", "0"), "new_cursor": cursor_of("1", "0", "0")}).status == 404
    for noun in ("feeds", "sums"):
        assert send(apis, "DELETE", f"{noun}/{made_up}").status in {200, 404}
    if made_up in {"é", "a b", "x" * 5_000, "'; drop table books.feed; --", "..", "\ud800"}:
        assert send(apis, "PUT", f"feeds/{made_up}", {"kind": "actions"}).status in {404, 422}
        assert send(apis, "PUT", f"sums/{made_up}", {}).status in {404, 422}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_filter_is_refused_and_reaches_no_sql(apis: Apis, text: str) -> None:
    for kind in ("actions", "transactions"):
        assert code(send(apis, "PUT", "feeds/g", {"kind": kind, "filter": text})) in {"FILTER_INVALID", "FILTER_PARAMS"}
    assert code(send(apis, "PUT", "sums/g", {"filter": text})) in {"FILTER_INVALID", "FILTER_PARAMS"}
    spend = {"type": "retire", "flavor_id": "usd", "amount": 1, "source": "ann", "filter": text}
    answer = send(apis, "POST", "templates", TEMPLATE | {"template_id": "g", "document": {"actions": [spend]}})
    assert (code(answer) in {"FILTER_INVALID", "FILTER_PARAMS"}, answer.body["field"].startswith("document.actions.0.")) == (True, True)


@pytest.mark.parametrize("cursor", CURSORS)
def test_a_cursor_that_was_made_up_is_refused(apis: Apis, cursor: str) -> None:
    for noun in ("keys", "templates"):
        if cursor not in {cursor_of("x"), cursor_of("9" * 30)}:  # a name like any other
            assert code(send(apis, "GET", noun, query={"cursor": cursor})) in {"CURSOR_INVALID", "INVALID"}
    stands = send(apis, "GET", "feeds/f").body["cursor"]
    for body in ({"old_cursor": cursor, "new_cursor": stands}, {"old_cursor": stands, "new_cursor": cursor}):
        assert code(send(apis, "PATCH", "feeds/f", body)) in {"CURSOR_INVALID", "INVALID"}
    beyond = cursor_of(str(10**17), "0", "0")
    assert code(send(apis, "PATCH", "feeds/f", {"old_cursor": stands, "new_cursor": beyond})) == "CURSOR_INVALID"


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "true", "1e2", "", "9" * 30, "9" * 5_000, "1.0", "1.", "+1", " 1", "1_0", "\u0661", "0x1"])
def test_a_limit_is_a_whole_number_to_a_thousand(apis: Apis, limit: str) -> None:
    for path in ("feeds/f", "keys", "templates"):
        assert code(send(apis, "GET", path, query={"limit": limit})) == "INVALID"


@pytest.mark.parametrize("public_key", ["", "x", "====", "AAAA", "💥", PUBLIC_KEY + "\n", PUBLIC_KEY[:-4], "A" * 5_000, ZEROS, RSA])
def test_a_public_key_that_is_none_or_anybodys_is_refused(apis: Apis, public_key: str) -> None:
    for path, more in (("keys", {"key_id": "g"}), ("keys/rotate", {"previous_until": "2026-01-05T09:00:00Z"})):
        answer = send(apis, "POST", path, KEY | more | {"public_key": public_key})
        assert (code(answer), answer.body["field"]) == ("KEY_INVALID", "public_key")
    for algorithm in ("rsa", "ecdsa_p256_sha256", "ED25519", ""):
        assert code(send(apis, "POST", "keys", KEY | {"key_id": "g", "algorithm": algorithm})) in {"INVALID", "KEY_INVALID"}


QUORUMS: list[dict[str, Any]] = [
    {"key_ids": ["k"], "quorum": 0},
    {"key_ids": ["k"], "quorum": 2},
    {"key_ids": ["k"], "quorum": -1},
    {"key_ids": ["k"], "quorum": 10**30},
    {"key_ids": ["k", "k"]},
    {"key_ids": [], "quorum": 1},
    {"key_ids": ["none"]},
    {"key_ids": ["k"], "quorum": "1"},
    {"key_ids": [f"k{number}" for number in range(33)]},
    {"key_ids": "k"},
]


@pytest.mark.parametrize("named", QUORUMS)
def test_a_quorum_that_makes_no_sense_is_refused(apis: Apis, named: dict[str, Any]) -> None:
    for method, path, body in (("PUT", "default-quorum", {}), ("POST", "accounts", {"account_id": "g"}), ("POST", "flavors", {"flavor_id": "g"})):
        assert code(send(apis, method, path, body | named)) in {"QUORUM_INVALID", "KEY_UNKNOWN", "INVALID"}
    assert (send(apis, "GET", "accounts/g").status, send(apis, "GET", "flavors/g").status) == (404, 404)


SIGNATURES: list[tuple[Any, str, str]] = [
    ({}, "FIELD_INVALID", "signatures"),
    (None, "FIELD_INVALID", "signatures"),
    ("AAAA", "FIELD_INVALID", "signatures"),
    ([5], "FIELD_INVALID", "signatures.0"),
    ([{}], "FIELD_MISSING", "signatures.0.key_id"),
    ([{"key_id": "k"}], "FIELD_MISSING", "signatures.0.signature"),
    ([{"key_id": 5, "signature": "AAAA"}], "NAME_INVALID", "signatures.0.key_id"),
    ([{"key_id": "k", "signature": 5}], "SIGNATURE_INVALID", "signatures.0.signature"),
    ([{"key_id": "k", "signature": ""}], "SIGNATURE_INVALID", "signatures.0.signature"),
    ([{"key_id": "k", "signature": "!!!!"}], "SIGNATURE_INVALID", "signatures.0.signature"),
    ([{"key_id": "k", "signature": "A" * 10_000}], "SIGNATURE_INVALID", "signatures.0.signature"),
    ([{"key_id": "k", "signature": "A" * 1_000}], "SIGNATURE_INVALID", "signatures.0"),
    ([{"key_id": "k", "signature": "AAAA", "txn_id": "other"}], "SIGNATURE_INVALID", "signatures.0.txn_id"),
    ([{"key_id": "k", "signature": "AAAA", "txn_id": 5}], "NAME_INVALID", "signatures.0.txn_id"),
    ([{"key_id": "none", "signature": "AAAA"}], "KEY_UNKNOWN", "signatures.0.key_id"),
    ([{"key_id": "k", "signature": "AAAA", "version": 1}], "FIELD_UNKNOWN", "signatures.0.version"),
    ([{"key_id": "k", "signature": "AAAA"}] * 1_001, "TOO_MANY_SIGNATURES", "signatures"),
]


@pytest.mark.parametrize(("signatures", "wanted", "field"), SIGNATURES)
def test_a_signature_that_is_none_is_refused_at_its_place(apis: Apis, signatures: Any, wanted: str, field: str) -> None:
    single = send(apis, "POST", "transactions", TXN | {"signatures": signatures})
    assert (code(single), single.body["field"]) == (wanted, field)
    atomic = send(apis, "POST", "transactions/bulk", {"mode": "atomic", "transactions": [TXN], "signatures": signatures})
    assert code(atomic) in ({wanted} if isinstance(signatures, list) else {"INVALID"})
    ran = send(apis, "POST", "templates/run", RUN | {"signatures": signatures})
    assert code(ran) in ({wanted} if isinstance(signatures, list) else {"INVALID"})


def test_deep_documents_are_refused_wherever_they_stand(apis: Apis) -> None:
    for depth in (20, 200, 900, 20_000):
        deep = '{"a":' * depth + "1" + "}" * depth
        for body in (
            {**TEMPLATE, "template_id": "g", "document": "?"},
            {**TEMPLATE, "template_id": "g", "document": {"actions": [{"type": "reverse", "txn_id": "?"}]}},
            {**TEMPLATE, "template_id": "g", "document": {**TEMPLATE["document"], "tags": "?"}},
            {**TEMPLATE, "template_id": "g", "parameters": {"p": "?"}},
        ):
            assert send(apis, "POST", "templates", raw=json.dumps(body).replace('"?"', deep)).status in {400, 422}
        assert send(apis, "POST", "templates/run", raw=json.dumps({**RUN, "values": {"p": "?"}}).replace('"?"', deep)).status in {400, 422}
        assert send(apis, "POST", "transactions", raw=json.dumps({**TXN, "signatures": "?"}).replace('"?"', deep)).status in {400, 422}


def test_no_version_is_made_up(apis: Apis) -> None:
    for version in (0, -1, 2, 2**31, 2**63, 10**40):
        answer = send(apis, "POST", "templates/run", RUN | {"version": version})
        assert code(answer, 404) == "TEMPLATE_UNKNOWN"
        assert send(apis, "GET", "templates/t", query={"version": str(version)}).status == 404
    for version in (0, -1, 3, 2**31, 2**63, 10**40):
        assert code(send(apis, "POST", "templates", TEMPLATE | {"version": version})) == "VERSION_INVALID"
