"""Templates over HTTP, through the client, on both stores: saved, read, run dry and for good, and nothing hostile gets further than its value."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.operator_api.client.bourse_ledger_client import Conflict, InsufficientFunds, Ledger, LedgerError, NotFound, Parameter, Refused, Signer
from tests.functions.api import Answer, Apis
from tests.functions.ledger_server import Server, token
from tests.ledger.keys_builders import signer

L = "/v1/ledger"
AT = "2026-01-05T09:00:00Z"
PARAMETERS = {"buyer": "account", "price": "amount", "note": "text", "marks": "tags", "due": "time"}
SALE: dict[str, Any] = {
    "actions": [
        {
            "type": "transfer",
            "flavor_id": "usd",
            "amount": Parameter("price"),
            "source": Parameter("buyer"),
            "destination": "lending",
            "action_tags": {"type": "sale", "note": Parameter("note")},
        },
        {
            "type": "transfer",
            "flavor_id": "loan",
            "amount": 5,
            "source": "lending",
            "destination": Parameter("buyer"),
            "filter": "tags.due = $1",
            "params": [Parameter("due")],
            "token_tags": Parameter("marks"),
        },
    ],
    "kind": "sale",
}
VALUES: dict[str, Any] = {"buyer": "ann", "price": 30, "note": "as agreed", "marks": {"sold": True}, "due": "2026-02-01T00:00:00Z"}


@pytest.fixture
def ledger(server: Server) -> Iterator[Ledger]:
    """Ann has 100 dollars, lending 1,000 tokens of a loan that are due in February."""
    with Ledger(server.url, token(), wait=lambda _: None) as made:
        for flavor in ("usd", "loan"):
            made.flavors.open(flavor)
        for name in ("ann", "lending"):
            made.accounts.open(name)
        setup = made.transaction("setup", AT).issue("usd", 100, destination="ann")
        setup.issue("loan", 1_000, destination="lending", token_tags={"due": VALUES["due"]}).transact()
        made.templates.save("sale", 1, PARAMETERS, SALE)
        yield made


def held(ledger: Ledger, account: str, flavor: str = "usd") -> int:
    return ledger.tokens.sum("account_id = $1 AND flavor_id = $2", [account, flavor])[0].amount


# Saved and read


def test_a_template_is_saved_by_version_and_read(ledger: Ledger) -> None:
    first = ledger.templates.get("sale")
    assert (first.version, first.parameters, first.document["actions"][0]["amount"]) == (1, PARAMETERS, {"$": "price"})
    assert ledger.templates.save("sale", 1, PARAMETERS, SALE) == first
    second = ledger.templates.save("sale", 2, PARAMETERS, {**SALE, "kind": "resale"})
    assert (ledger.templates.get("sale"), ledger.templates.get("sale", 1)) == (second, first)
    assert [(one.template_id, one.version) for one in ledger.templates.list(page=1)] == [("sale", 2)]
    with pytest.raises(Conflict, match="TEMPLATE_DIFFERS"):
        ledger.templates.save("sale", 1, PARAMETERS, {**SALE, "kind": "other"})
    with pytest.raises(Refused, match="VERSION_INVALID"):
        ledger.templates.save("sale", 4, PARAMETERS, SALE)
    for missing in (lambda: ledger.templates.get("sale", 9), lambda: ledger.templates.get("none"), lambda: run(ledger, "t", template_id="none")):
        with pytest.raises(NotFound, match="TEMPLATE_UNKNOWN"):
            missing()


def run(ledger: Ledger, txn_id: str, *, dry_run: bool = False, template_id: str = "sale", version: int = 1, **change: Any) -> Any:
    return ledger.templates.run(template_id, version, txn_id, AT, {**VALUES, **change}, dry_run=dry_run)


def test_a_template_is_run_once_and_the_posting_remembers_it(ledger: Ledger) -> None:
    assert [run(ledger, "sale/1").before for _ in range(2)] == [False, True]
    assert (held(ledger, "ann"), held(ledger, "ann", "loan")) == (70, 5)
    found = ledger.transactions.get("sale/1")
    assert (found.kind, found.tags) == ("sale", {"template_id": "sale", "template_version": 1})
    assert [(one.amount, one.action_tags, one.token_tags) for one in found.actions] == [
        (30, {"type": "sale", "note": "as agreed"}, {}),
        (5, {}, {"sold": True}),
    ]
    assert [one.txn_id for one in ledger.transactions.list("tags.template_id = $1", ["sale"])] == ["sale/1"]


def test_a_lost_answer_is_run_again_with_the_same_id_and_done_once(server: Server, ledger: Ledger) -> None:
    server.faults = ["lost_after", "lost_before"]
    assert run(ledger, "sale/1").before is True
    assert held(ledger, "ann") == 70


def test_a_newer_version_changes_nothing_of_what_was_run(ledger: Ledger) -> None:
    run(ledger, "sale/1")
    ledger.templates.save("sale", 2, PARAMETERS, {**SALE, "kind": "resale"})
    assert run(ledger, "sale/1").before is True
    with pytest.raises(Conflict, match="TRANSACTION_DIFFERS"):
        run(ledger, "sale/1", version=2)
    assert run(ledger, "sale/2", version=2).before is False
    assert ledger.transactions.get("sale/2").tags["template_version"] == 2


def test_a_run_and_the_transaction_it_makes_are_one_request(ledger: Ledger) -> None:
    document = ledger.templates.render("sale", 1, "sale/1", AT, VALUES)
    assert held(ledger, "ann") == 100, "nothing is posted by looking"
    run(ledger, "sale/1")
    assert ledger.transactions.post(document).before is True


def test_what_a_template_makes_is_signed_like_any_transaction(ledger: Ledger) -> None:
    keys = [Signer("ada", signer("ada").sign)]
    ledger.keys.register("ada", signer("ada").public_key(), "2026-01-01T00:00:00Z")
    ledger.accounts.open("vault", key_ids=["ada"])
    ledger.transaction("fund", AT).issue("usd", 50, destination="vault").transact()
    with pytest.raises(Refused, match="SIGNATURE_MISSING"):
        run(ledger, "sale/1", buyer="vault")
    document = ledger.templates.render("sale", 1, "sale/1", AT, {**VALUES, "buyer": "vault"})
    assert ledger.transactions.post(document, signers=keys).before is False
    assert run(ledger, "sale/1", buyer="vault").before is True


def test_a_template_is_its_tenants_own(server: Server, ledger: Ledger) -> None:
    with Ledger(server.url, token("t2")) as other:
        assert list(other.templates.list()) == []
        for missing in (lambda: other.templates.get("sale"), lambda: run(other, "t"), lambda: other.templates.render("sale", 1, "t", AT, VALUES)):
            with pytest.raises(NotFound, match="TEMPLATE_UNKNOWN"):
                missing()
        other.templates.save("sale", 1, {}, {"actions": [{"type": "release_hold", "hold_id": "h"}]})
    assert ledger.templates.get("sale").parameters == PARAMETERS


# Dry and for good

values = st.fixed_dictionaries(
    {
        "buyer": st.sampled_from(["ann", "ann", "lending", "nobody"]),
        "price": st.sampled_from([1, 3, 30, 101, 10**12, 0, 5.0, "5"]) | st.integers(1, 12),
        "note": st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=8) | st.just(5),
        "marks": st.dictionaries(st.sampled_from(["a", "b", "$"]), st.integers(0, 3) | st.text("xyz'$%{}\\", max_size=3), max_size=2),
        "due": st.sampled_from([VALUES["due"], VALUES["due"], "2026-03-01T00:00:00Z", "tomorrow"]),
    }
)


def outcome(answer: Answer) -> Any:
    """What a run says, without what only a posting has: its number, and when it was recorded."""
    if answer.status != 200:
        return answer.status, answer.body
    posted = {name: one for name, one in answer.body["posted"].items() if name not in {"sequence_number", "recorded_at"}}
    return answer.body["transaction"], posted


def test_a_dry_run_says_what_the_run_says_and_leaves_the_state_as_it_is(stored: Apis, ledger: Ledger) -> None:
    done = {"posted": 0, "refused": 0}

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(values)
    def each(given_: dict[str, Any]) -> None:
        body = {"template_id": "sale", "version": 1, "txn_id": f"run-{sum(done.values())}", "effective_at": AT, "values": given_}
        before = stored.balances.state_hash("t1")
        dry = stored.call("operator", "POST", f"{L}/templates/run", body, query={"dry_run": "true"})
        assert stored.balances.state_hash("t1") == before
        real = stored.call("operator", "POST", f"{L}/templates/run", body)
        assert outcome(dry) == outcome(real)
        if real.status == 200:
            assert stored.balances.state_hash("t1") != before
            rendered = stored.call("operator", "POST", f"{L}/templates/render", {**body}).body["transaction"]
            assert rendered == real.body["transaction"]
        done["posted" if real.status == 200 else "refused"] += 1

    each()
    assert min(done.values()) > 3, done


# Hostile values


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"price": 0}, "PARAMETER_INVALID", "values.price"),
        ({"price": "30"}, "PARAMETER_INVALID", "values.price"),
        ({"price": 2**63}, "PARAMETER_INVALID", "values.price"),
        ({"price": 10**30}, "PARAMETER_INVALID", "values.price"),
        ({"price": {"$": "price"}}, "PARAMETER_INVALID", "values.price"),
        ({"buyer": "ann'; drop table books.move --"}, "PARAMETER_INVALID", "values.buyer"),
        ({"buyer": ["ann"]}, "PARAMETER_INVALID", "values.buyer"),
        ({"note": {"a": 1}}, "PARAMETER_INVALID", "values.note"),
        ({"marks": {"a": [[[[[[[[[1]]]]]]]]]}}, "PARAMETER_INVALID", "values.marks.a.0.0.0.0.0.0.0"),
        ({"marks": {"a": "x" * 9_000}}, "PARAMETER_INVALID", "values.marks.a"),
        ({"due": "now"}, "PARAMETER_INVALID", "values.due"),
        ({"more": 1}, "PARAMETER_UNKNOWN", "values.more"),
        ({"buyer": "nobody"}, "ACCOUNT_UNKNOWN", "actions.0.source"),
        ({"due": "2027-01-01T00:00:00Z"}, "INSUFFICIENT_FUNDS", "actions.1.amount"),
    ],
)
def test_a_hostile_value_is_refused_by_its_name_dry_and_for_good(ledger: Ledger, change: dict[str, Any], code: str, field: str) -> None:
    for dry_run in (True, False):
        with pytest.raises(Refused) as caught:
            run(ledger, "sale/1", dry_run=dry_run, **change)
        assert (caught.value.code, caught.value.field) == (code, field)
    assert (held(ledger, "ann"), held(ledger, "lending", "loan")) == (100, 1_000)


def test_a_missing_value_is_refused_by_its_name(ledger: Ledger) -> None:
    for name in VALUES:
        with pytest.raises(Refused) as caught:
            ledger.templates.run("sale", 1, "sale/1", AT, {one: value for one, value in VALUES.items() if one != name})
        assert (caught.value.code, caught.value.field) == ("PARAMETER_MISSING", f"values.{name}")


@pytest.mark.parametrize("text", ["' or 1=1 --", '"}]}', '{"$": "price"}', "$1", "%s", "\\", "💥", "\u2028"])
def test_a_hostile_text_is_a_text(ledger: Ledger, text: str) -> None:
    run(ledger, "sale/1", note=text, marks={"m": text, "$": text})
    [sold] = ledger.actions.list("tags.note = $1", [text])
    assert (sold.amount, sold.action_tags) == (30, {"type": "sale", "note": text})
    assert [one.tags for one in ledger.tokens.list("account_id = 'ann' AND flavor_id = 'loan'")] == [{"m": text, "$": text}]


def test_a_run_that_was_refused_for_want_of_money_stays_refused(ledger: Ledger) -> None:
    with pytest.raises(InsufficientFunds):
        run(ledger, "sale/1", price=101)
    ledger.transaction("more", AT).issue("usd", 1_000, destination="ann").transact()
    with pytest.raises(InsufficientFunds):
        run(ledger, "sale/1", price=101)
    with pytest.raises(LedgerError, match="TRANSACTION_DIFFERS"):
        run(ledger, "sale/1", price=1)
    assert run(ledger, "sale/2", price=101).before is False
