"""The client's pages both ways, explanations and signed templates, over a real HTTP server and both kinds of books."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from bourse.aws.postgres import Database

from functions.operator_api.client.bourse_ledger_client import Conflict, Ledger, NotFound, Parameter, Refused, Signer, Source, Template
from tests.functions.api import Apis
from tests.functions.ledger_server import serving, token
from tests.ledger.keys_builders import signer

AT = "2026-01-05T09:00:00Z"
PAY = {
    "actions": [{"type": "transfer", "flavor_id": "usd", "amount": Parameter("price"), "source": "vault", "destination": Parameter("to")}],
    "kind": "pay",
    "tags": {"to": Parameter("to")},
}
PARAMETERS = {"price": "amount", "to": "account"}


@pytest.fixture(params=["memory", "aurora"])
def apis(request: pytest.FixtureRequest) -> Iterator[Apis]:
    if request.param == "memory":
        yield Apis.on(None)
        return
    database = Database(request.getfixturevalue("fresh_database").app_dsn)
    yield Apis.on(database)
    database.close()


@pytest.fixture
def ledger(apis: Apis) -> Iterator[Ledger]:
    with serving(apis) as server, Ledger(server.url, token()) as made:
        made.flavors.open("usd")
        for name in ("ann", "ben"):
            made.accounts.open(name)
        yield made


def issue(ledger: Ledger, txn_id: str, amount: int = 100) -> None:
    ledger.transaction(txn_id, AT).issue("usd", amount, destination="ann", token_tags={"n": amount}).transact()


# Pages


@pytest.mark.parametrize("listed", ["actions", "transactions", "tokens", "accounts"])
def test_pages_are_walked_on_and_back_and_are_the_same(ledger: Ledger, listed: str) -> None:
    for number in range(1, 8):
        issue(ledger, f"t{number}", number)
        ledger.accounts.open(f"more-{number}")
    nouns: Any = getattr(ledger, listed)
    pages = [nouns.page(limit=3)]
    issue(ledger, "later", 90)
    while pages[-1].cursor:
        pages.append(nouns.page(limit=3, cursor=pages[-1].cursor))
    assert pages[0].previous is None
    back = [pages[-1]]
    while back[-1].previous:
        back.append(nouns.page(limit=3, cursor=back[-1].previous))
    assert [one.items for one in back] == [one.items for one in reversed(pages)]
    if listed in {"actions", "transactions"}:
        numbers = [one.sequence_number for page in pages for one in page.items]
        assert numbers == sorted(numbers, reverse=True)
        assert len(numbers) == 7, "what came later is not in the walk"


def test_a_cursor_is_of_its_question(ledger: Ledger) -> None:
    for number in range(1, 4):
        issue(ledger, f"t{number}", number)
    page = ledger.actions.page("amount > $1", [0], limit=1)
    assert [one.amount for one in ledger.actions.page("amount > $1", [0], limit=5, cursor=page.cursor).items] == [2, 1]
    with pytest.raises(Refused, match="CURSOR_INVALID"):
        ledger.actions.page("amount > $1", [1], limit=1, cursor=page.cursor)
    past = ledger.tokens.page(effective_at="2020-01-01T00:00:00Z")
    assert (past.items, past.cursor, past.previous) == ([], None, None)


# Explanations


def test_an_amount_is_explained_back_to_where_it_was_issued(ledger: Ledger) -> None:
    issue(ledger, "dep-1", 100)
    ledger.transaction("paid", AT).transfer("usd", 40, source="ann", destination="ben").transact()
    found = ledger.tokens.explain("account_id = $1", ["ben"])
    assert (found.left_out, found.cut) == (0, 0)
    [lot] = found.lots
    assert (lot.token.account_id, lot.token.amount) == ("ben", 40)
    [source] = lot.sources
    assert source.action is not None
    assert (source.amount, source.action.txn_id, source.end) == (40, "paid", None)
    [first] = source.sources
    assert isinstance(first, Source)
    assert first.action is not None
    assert (first.amount, first.action.txn_id, first.end, first.sources) == (40, "dep-1", "issued", [])
    assert ledger.tokens.explain_lot("ben", "usd") == found
    assert ledger.tokens.explain_lot("ann", "usd", {"n": 100}).lots[0].token.amount == 60
    assert ledger.tokens.explain_lot("ann", "usd").lots == []


def test_an_explanation_ends_at_its_limits(ledger: Ledger) -> None:
    issue(ledger, "dep-1", 100)
    ledger.transaction("paid", AT).transfer("usd", 40, source="ann", destination="ben").transact()
    found = ledger.tokens.explain("account_id = $1", ["ben"], depth=1)
    assert (found.cut, found.lots[0].sources[0].sources[0].end if found.lots[0].sources[0].sources else found.lots[0].sources[0].end) == (40, "depth")
    assert ledger.tokens.explain(lots=1).left_out in {40, 60}
    with pytest.raises(Refused, match="INVALID"):
        ledger.tokens.explain(depth=65)
    with pytest.raises(Refused, match="FILTER_INVALID"):
        ledger.tokens.explain("tags.x =")


# Templates that are signed


@pytest.fixture
def vault(ledger: Ledger) -> Ledger:
    for name in ("ada", "bob"):
        ledger.keys.register(name, signer(name).public_key(), "2020-01-01T00:00:00Z")
    ledger.accounts.open("vault", key_ids=["ada", "bob"], quorum=2)
    ledger.transaction("fund", AT).issue("usd", 100, destination="vault").transact()
    ledger.templates.save("pay", 1, PARAMETERS, PAY)
    return ledger


def by(*names: str) -> list[Signer]:
    return [Signer(name, signer(name).sign) for name in names]


def run(ledger: Ledger, txn_id: str, *signers: Signer, **more: Any) -> Any:
    return ledger.templates.run("pay", 1, txn_id, AT, {"price": 7, "to": "ann"}, signers=signers, **more)


def test_a_template_is_run_with_the_signatures_it_needs(vault: Ledger) -> None:
    with pytest.raises(Refused, match="SIGNATURE_MISSING"):
        run(vault, "p")
    with pytest.raises(Refused, match="QUORUM_NOT_MET"):
        run(vault, "p", *by("ada"))
    assert run(vault, "p", *by("ada", "bob"), dry_run=True).before is False
    assert run(vault, "p", *by("ada", "bob")).before is False
    assert run(vault, "p", *by("ada", "bob")).before is True
    assert vault.tokens.sum("account_id = 'ann'")[0].amount == 7
    assert vault.transactions.get("p").tags == {"to": "ann", "template_id": "pay", "template_version": 1}


def test_what_is_signed_is_the_version_that_the_signer_knows(vault: Ledger) -> None:
    kept = vault.templates.get("pay", 1)
    assert run(vault, "p", *by("ada", "bob"), template=kept).before is False
    other = replace(kept, document={**kept.document, "kind": "gift"})
    with pytest.raises(Refused, match="SIGNATURE_INVALID"):
        run(vault, "q", *by("ada", "bob"), template=other)
    with pytest.raises(ValueError, match="version 2"):
        run(vault, "q", *by("ada", "bob"), template=Template("pay", 2, {}, {}))
    assert vault.tokens.sum("account_id = 'ann'")[0].amount == 7


def test_what_a_signed_run_lacks_is_refused_as_without_signatures(vault: Ledger) -> None:
    with pytest.raises(NotFound, match="TEMPLATE_UNKNOWN"):
        vault.templates.run("none", 1, "p", AT, {}, signers=by("ada"))
    with pytest.raises(Conflict, match="TRANSACTION_DIFFERS"):
        run(vault, "fund", *by("ada", "bob"))
    for values, code in (({"price": 7}, "NAME_INVALID|PARAMETER_MISSING|FIELD_MISSING"), ({"price": 0, "to": "ann"}, "AMOUNT_INVALID|PARAMETER_INVALID")):
        with pytest.raises(Refused, match=code):
            vault.templates.run("pay", 1, "p", AT, values, signers=by("ada", "bob"))
