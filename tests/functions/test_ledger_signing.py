"""Keys and signatures over HTTP: who may post from an account that names a quorum, and that a client signs what it asked for and nothing else."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from bourse.ledger.actions import Transaction as Asked
from bourse.ledger.documents import transaction_of
from bourse.ledger.signing import Ed25519Signer
from hypothesis import given, settings

from functions.operator_api.client.bourse_ledger_client import Builder, Conflict, DigestDiffers, Ledger, LedgerError, NotFound, Posted, Refused, Signer
from functions.operator_api.client.bourse_ledger_client.signing import canonical, digest
from tests.functions.ledger_server import Server, token
from tests.ledger.keys_builders import signer
from tests.ledger.test_documents import transactions

AT = "2026-01-05T09:00:00Z"
FROM = "2026-01-01T00:00:00Z"


@pytest.fixture
def ledger(server: Server) -> Iterator[Ledger]:
    """`vault` names three keys, two of which must sign; it has 1,000, and `ann` is open."""
    with Ledger(server.url, token(), wait=lambda _: None) as made:
        for name in ("ada", "bob", "cyd"):
            made.keys.register(name, signer(name).public_key(), FROM)
        made.flavors.open("usd")
        made.accounts.open("ann")
        made.accounts.open("vault", key_ids=["ada", "bob", "cyd"], quorum=2)
        made.transaction("fund", AT).issue("usd", 1_000, destination="vault").transact()
        yield made


def by(*names: str, material: str | None = None) -> list[Signer]:
    """Clients' signers: a name, and a callable from bytes to bytes."""
    return [Signer(name, signer(name, material).sign) for name in names]


def pay(ledger: Ledger, txn_id: str, amount: int = 10) -> Builder:
    return ledger.transaction(txn_id, AT).transfer("usd", amount, source="vault", destination="ann")


def held(ledger: Ledger) -> int:
    return ledger.tokens.sum("account_id = 'ann'")[0].amount


def refusal(does: Any) -> tuple[str, str | None]:
    with pytest.raises(Refused) as caught:
        does()
    return caught.value.code, caught.value.field


def to_sign(ledger: Ledger, *documents: dict[str, Any]) -> Any:
    """What a program that has no client is told."""
    return ledger._connection.ask("POST", "/v1/ledger/transactions/to-sign", body={"transactions": documents})


def signature(key_id: str, message: str) -> dict[str, Any]:
    return {"key_id": key_id, "signature": b64encode(signer(key_id).sign(message.encode())).decode()}


# A quorum of two of three


def test_an_account_tells_its_keys_and_its_quorum(ledger: Ledger) -> None:
    found = ledger.accounts.get("vault")
    assert (found.key_ids, found.quorum) == (["ada", "bob", "cyd"], 2)
    assert ledger.accounts.open("vault", key_ids=["ada", "bob", "cyd"], quorum=2) == found
    with pytest.raises(Conflict, match="ACCOUNT_DIFFERS"):
        ledger.accounts.open("vault", key_ids=["ada", "bob", "cyd"], quorum=1)


def test_too_few_signatures_are_refused_and_enough_post(ledger: Ledger) -> None:
    assert refusal(pay(ledger, "p").transact) == ("SIGNATURE_MISSING", "actions.0.source")
    for one in ("ada", "bob", "cyd"):
        assert refusal(lambda one=one: pay(ledger, "p").transact(signers=by(one))) == ("QUORUM_NOT_MET", "actions.0.source")
        assert refusal(lambda one=one: pay(ledger, "p").transact(signers=by(one, one))) == ("QUORUM_NOT_MET", "actions.0.source")
    assert held(ledger) == 0
    for number, two in enumerate((("ada", "bob"), ("cyd", "ada"), ("bob", "cyd"), ("ada", "bob", "cyd"))):
        assert pay(ledger, f"p{number}").transact(signers=by(*two)).before is False
    assert held(ledger) == 40


def test_what_was_posted_needs_no_signature_to_be_told_again(ledger: Ledger) -> None:
    first = pay(ledger, "p").transact(signers=by("ada", "bob"))
    again = pay(ledger, "p").transact()
    assert (again.sequence_number, again.before, held(ledger)) == (first.sequence_number, True, 10)


def test_a_dry_run_asks_for_the_signatures_the_posting_would_ask_for(ledger: Ledger) -> None:
    assert refusal(lambda: pay(ledger, "p").transact(dry_run=True, signers=by("ada"))) == ("QUORUM_NOT_MET", "actions.0.source")
    assert pay(ledger, "p").transact(dry_run=True, signers=by("ada", "bob")).before is False
    assert held(ledger) == 0


def test_a_revoked_key_signs_nothing_any_more(ledger: Ledger) -> None:
    assert ledger.keys.revoke("ada", reason="the laptop was lost") == ledger.keys.revoke("ada")
    assert refusal(lambda: pay(ledger, "p").transact(signers=by("ada", "bob"))) == ("KEY_REVOKED", "signatures.0.key_id")
    assert pay(ledger, "p").transact(signers=by("bob", "cyd")).before is False


def test_a_rotated_key_signs_by_its_old_version_until_then(ledger: Ledger) -> None:
    fresh = signer("ada", "another")
    rotated = ledger.keys.rotate("ada", fresh.public_key(), AT, previous_until="2026-01-05T09:00:01Z")
    assert rotated == ledger.keys.rotate("ada", fresh.public_key(), AT, previous_until="2026-01-05T09:00:01Z")
    assert (rotated.version, [one.version for one in ledger.keys.versions("ada")]) == (2, [1, 2])
    pay(ledger, "old").transact(signers=by("ada", "bob"))
    pay(ledger, "new").transact(signers=[*by("ada", material="another"), *by("bob")])
    newest = ledger.keys.rotate("ada", signer("ada", "a third").public_key(), AT, previous_until=AT)
    assert newest.version == 3
    assert refusal(lambda: pay(ledger, "late").transact(signers=by("ada", "bob"))) == ("KEY_REVOKED", "signatures.0.key_id")


def test_a_signature_of_another_key_or_over_something_else_is_refused(ledger: Ledger) -> None:
    assert refusal(lambda: pay(ledger, "p").transact(signers=[*by("ada", material="not hers"), *by("bob")])) == ("SIGNATURE_INVALID", "signatures.0")
    assert refusal(lambda: pay(ledger, "p").transact(signers=by("ada", "eve"))) == ("KEY_UNKNOWN", "signatures.1.key_id")
    signed = [signature(name, "something else") for name in ("ada", "bob")]
    assert refusal(lambda: ledger.transactions.post({**pay(ledger, "p").document(), "signatures": signed})) == ("SIGNATURE_INVALID", "signatures.0")


def test_a_flavor_names_keys_for_what_makes_tokens_of_it(ledger: Ledger) -> None:
    ledger.flavors.open("gold", key_ids=["cyd"])
    issue = ledger.transaction("mint", AT).issue("gold", 5, destination="ann")
    assert refusal(issue.transact) == ("SIGNATURE_MISSING", "actions.0.flavor_id")
    assert issue.transact(signers=by("cyd")).before is False
    ledger.transaction("gift", AT).transfer("gold", 5, source="ann", destination="vault").transact()


def test_a_reversal_is_signed_by_whoever_gives_back(ledger: Ledger) -> None:
    ledger.transaction("gift", AT).issue("usd", 7, destination="ann").transfer("usd", 7, source="ann", destination="vault").transact()
    assert refusal(ledger.transaction("back", AT).reverse("gift").transact)[0] == "SIGNATURE_MISSING"
    assert ledger.transaction("back", AT).reverse("gift").transact(signers=by("ada", "bob")).before is False


# Many at once


def test_one_signature_of_each_signer_covers_an_atomic_bulk_and_no_other(ledger: Ledger) -> None:
    payments = [pay(ledger, f"p{number}", number + 1) for number in range(3)]
    assert [one.before for one in ledger.transactions.post_all(payments, signers=by("ada", "cyd"))] == [False] * 3
    assert held(ledger) == 6
    told = to_sign(ledger, *(one.document() for one in payments[:2]))
    signed = [signature(name, told["batch"]["message"]) for name in ("ada", "bob")]
    for others in ([payments[1], payments[0]], [payments[0]], [pay(ledger, "q"), *payments[:2]]):
        body = {"mode": "atomic", "transactions": [{**one.document(), "txn_id": one.document()["txn_id"] + "x"} for one in others], "signatures": signed}
        with pytest.raises(Refused) as caught:
            ledger._connection.ask("POST", "/v1/ledger/transactions/bulk", body=body)
        assert (caught.value.code, caught.value.field) == ("SIGNATURE_INVALID", "signatures.0")


def test_a_bulk_that_is_not_signed_names_the_transaction_that_must_be(ledger: Ledger) -> None:
    free = ledger.transaction("free", AT).issue("usd", 1, destination="ann")
    assert refusal(lambda: ledger.transactions.post_all([free, pay(ledger, "p")])) == ("SIGNATURE_MISSING", "transactions.1.actions.0.source")
    assert held(ledger) == 0


def test_each_of_a_continued_bulk_is_signed_by_itself(ledger: Ledger) -> None:
    free = ledger.transaction("free", AT).issue("usd", 1, destination="ann")
    poor = pay(ledger, "poor", 5_000)
    signed = ledger.transactions.post_each([pay(ledger, "a"), poor, free], signers=by("ada", "bob"))
    assert [one.code if isinstance(one, LedgerError) else one.txn_id for one in signed] == ["a", "INSUFFICIENT_FUNDS", "free"]
    unsigned = ledger.transactions.post_each([pay(ledger, "b"), free], signers=by("ada"))
    assert [one.code if isinstance(one, LedgerError) else one.before for one in unsigned] == ["QUORUM_NOT_MET", True]
    assert held(ledger) == 11
    whole = {"mode": "continue", "transactions": [free.document()], "signatures": [{"key_id": "ada", "signature": "AAAA"}]}
    with pytest.raises(Refused) as caught:
        ledger._connection.ask("POST", "/v1/ledger/transactions/bulk", body=whole)
    assert (caught.value.code, caught.value.field) == ("SIGNATURE_INVALID", "signatures.0.txn_id")


# The register


def test_keys_are_registered_once_and_listed_in_pages(ledger: Ledger) -> None:
    first = ledger.keys.register("ada", signer("ada").public_key(), FROM)
    assert (first.version, first.algorithm, first.ends_at, first.revoked_at) == (1, "ed25519", None, None)
    with pytest.raises(Conflict, match="KEY_DIFFERS"):
        ledger.keys.register("ada", signer("other").public_key(), FROM)
    with pytest.raises(Conflict, match="KEY_DIFFERS") as caught:
        ledger.keys.register("dan", signer("ada").public_key(), FROM)
    assert caught.value.field == "public_key"
    assert [one.key_id for one in ledger.keys.list(page=2)] == ["ada", "bob", "cyd"]
    with pytest.raises(NotFound, match="KEY_UNKNOWN"):
        ledger.keys.versions("dan")


def test_a_default_asks_for_all_that_name_no_keys(ledger: Ledger) -> None:
    assert (ledger.keys.default().key_ids, ledger.keys.default().quorum) == ([], 0)
    told = ledger.keys.set_default(["bob", "ada"], 1)
    assert (told.key_ids, told.quorum, ledger.keys.default()) == (["ada", "bob"], 1, told)
    made = ledger.transaction("free", AT).issue("usd", 1, destination="ann")
    assert refusal(made.transact) == ("SIGNATURE_MISSING", "actions.0.flavor_id")
    made.transact(signers=by("bob"))
    assert ledger.keys.set_default([]).quorum == 0
    ledger.transaction("free-2", AT).issue("usd", 1, destination="ann").transact()


def test_keys_are_their_tenants_own(server: Server, ledger: Ledger) -> None:
    with Ledger(server.url, token("t2")) as other:
        assert list(other.keys.list()) == []
        with pytest.raises(NotFound):
            other.keys.versions("ada")
        assert refusal(lambda: other.accounts.open("a", key_ids=["ada"])) == ("KEY_UNKNOWN", "key_ids.0")
        other.keys.register("ada", signer("ada").public_key(), FROM)
        other.flavors.open("usd")
        other.accounts.open("ann", key_ids=["ada"])
        other.accounts.open("ben")
        other.transaction("f", AT).issue("usd", 5, destination="ann").transact()
        theirs = other.transaction("p", AT).transfer("usd", 5, source="ann", destination="ben")
        told = to_sign(ledger, theirs.document())["transactions"][0]
        signed = [signature("ada", told["message"])]
        assert refusal(lambda: other.transactions.post({**theirs.document(), "signatures": signed})) == ("SIGNATURE_INVALID", "signatures.0")
        theirs.transact(signers=by("ada"))


# What is signed


@settings(max_examples=150, deadline=None)
@given(transactions)
def test_a_client_makes_the_very_digest_the_ledger_makes(asked: Asked) -> None:
    document = asked.document()
    assert (canonical(document), digest(document)) == (canonical(json.loads(json.dumps(document))), asked.digest())


EXPLICIT: list[dict[str, Any]] = [
    {"type": "issue", "flavor_id": "usd", "amount": 5, "destination": "ann", "source": "world", "source_floor": None, "token_tags": {}, "action_tags": {}},
    {"type": "retire", "flavor_id": "usd", "amount": 5, "source": "ann", "destination": "world", "filter": "", "params": [], "order": "fifo"},
    {"type": "transfer", "flavor_id": "usd", "amount": 5, "source": "world", "destination": "world", "carry_tags": False},
    {"type": "transfer", "flavor_id": "usd", "amount": 5, "source": "ann", "destination": "ben", "carry_tags": [], "order": "tags.due asc"},
    {"type": "reserve", "hold_id": "h", "flavor_id": "usd", "amount": 5, "source": "ann", "expires_at": "2026-02-01T02:00:00.5+02:00"},
    {"type": "reserve", "hold_id": "h", "flavor_id": "usd", "amount": 5, "source": "ann", "expires_at": None},
    {"type": "post_hold", "hold_id": "h", "destination": "ben", "amount": None, "keep_rest": False, "carry_tags": True},
    {
        "type": "distribute",
        "flavor_id": "usd",
        "amount": 5,
        "source": "ann",
        "over_flavor_id": "loan",
        "fee": [0, 1],
        "fee_destination": "world",
        "rule": "deficit",
        "retire": True,
        "over_filter": "",
        "over_params": [],
        "over_order": "fifo",
    },
    {"type": "distribute", "flavor_id": "usd", "amount": 5, "source": "ann", "over_flavor_id": "loan", "fee": [0, 2], "retire": False},
    {"type": "reverse", "txn_id": "t", "part": None, "amounts": []},
    {"type": "reverse", "txn_id": "t", "amounts": [[0, None], [1, 5]]},
    {"type": "reverse", "txn_id": "t", "part": [1, 3]},
]


@pytest.mark.parametrize("action", EXPLICIT)
def test_a_default_that_is_written_out_is_the_same_request(action: dict[str, Any]) -> None:
    document = {
        "txn_id": "t",
        "effective_at": "2026-01-05T11:00:00.120+02:00",
        "kind": "transaction",
        "tags": {"note": 'ä "quoted" \\ \u2028 \x7f', "n": [1, {"b": None, "a": True}]},
        "actions": [action],
        "expect": [{"filter": "", "params": [], "amount": None, "count": 0}, {"filter": "tags.a = $1", "params": [1]}],
    }
    assert digest(document) == transaction_of(document).digest()


def test_what_is_to_be_signed_is_told_to_any_program(server: Server, ledger: Ledger) -> None:
    payment = pay(ledger, "p").document()
    told = to_sign(ledger, payment)
    [one] = told["transactions"]
    assert (one["scope"], one["txn_id"], one["document"].encode()) == ("transaction", "p", canonical(payment))
    assert one["message"] == f"bourse/books/1\ntransaction\n{digest(payment).hex()}\nt1"
    assert told["batch"]["message"] == f"bourse/books/1\nbatch\n{told['batch']['digest']}\nt1"
    signed = [
        signature("ada", one["message"]) | {"txn_id": "p"},
        signature("bob", told["batch"]["message"]) | {"txn_id": None},
    ]
    assert ledger.transactions.post({**payment, "signatures": signed}).txn_id == "p"


def test_a_client_never_signs_what_it_did_not_ask_for(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[bytes] = []
    spy = Signer("ada", lambda octets: used.append(octets) or b"")
    ask = ledger._connection.ask

    def another(method: str, path: str, **more: Any) -> Any:
        if path.endswith("to-sign"):
            theirs = [{**one, "txn_id": "theft"} for one in more["body"]["transactions"]]
            return ask(method, path, body={"transactions": theirs})
        return ask(method, path, **more)

    monkeypatch.setattr(ledger._connection, "ask", another)
    for does in (lambda: pay(ledger, "p").transact(signers=[spy]), lambda: ledger.transactions.post_all([pay(ledger, "p")], signers=[spy])):
        with pytest.raises(DigestDiffers):
            does()
    assert used == []


def test_signing_twice_posts_once(server: Server, ledger: Ledger) -> None:
    server.faults = ["lost_before", "lost_after"]
    done = [pay(ledger, "p").transact(signers=by("ada", "bob")) for _ in range(2)]
    assert isinstance(done[0], Posted)
    assert (done[0].sequence_number, done[1].before, held(ledger)) == (done[1].sequence_number, True, 10)


def test_a_public_key_is_what_openssl_writes(ledger: Ledger) -> None:
    told = ledger.keys.versions("ada")[0].public_key
    assert told == b64encode(Ed25519Signer.from_secret("ada", "ada".ljust(40, ".")).public_key()).decode()
