"""Transactions as JSON: what is written is read again as the same, and what is no transaction is refused at its place."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest
from bourse.errors import Refused
from bourse.ledger.actions import (
    AMOUNT_MAX,
    TYPE_OF,
    Distribute,
    Expect,
    Issue,
    PostHold,
    ReleaseHold,
    Reserve,
    Retire,
    Reverse,
    Spending,
    Transaction,
    Transfer,
)
from bourse.ledger.documents import TRANSACTION_SCHEMA, transaction_of
from hypothesis import given, settings
from hypothesis import strategies as st

AT = "2018-01-01T12:00:00+00:00"
ISSUE = {"type": "issue", "flavor_id": "usd", "amount": 5, "destination": "ann"}
TRANSFER = {"type": "transfer", "flavor_id": "usd", "amount": 5, "source": "ann", "destination": "ben"}

texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=12)


def tag_sets(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(texts.filter(bool), inner, max_size=3)


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@+=-]{0,20}", fullmatch=True)
numbers = st.integers(-(2**63), 2**63 - 1)
amounts = st.integers(1, AMOUNT_MAX)
values = st.recursive(st.none() | st.booleans() | numbers | texts, lambda inner: st.lists(inner, max_size=3) | tag_sets(inner), max_leaves=5)
times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
spendings = st.builds(
    Spending, texts, st.lists(texts | numbers | st.booleans(), max_size=3).map(tuple), st.sampled_from(["fifo", "lifo", "pro_rata", "tags.due_date desc"])
)
carries = st.booleans() | st.lists(texts.filter(bool), max_size=3).map(tuple)


patterns = st.sampled_from(["", "cash/{account_tags.investor_id}", "owed/{account_id}"])
tags = tag_sets(values)
actions = st.one_of(
    st.builds(Issue, names, amounts, names, tags, tags, names, st.none() | st.integers(-AMOUNT_MAX, 0)),
    st.builds(Transfer, names, amounts, names, names, spendings, tags, carries, tags),
    st.builds(Retire, names, amounts, names, spendings, tags, names),
    st.builds(Reserve, names, names, amounts, names, spendings, st.none() | times, tags),
    st.builds(PostHold, names, names, st.none() | amounts, st.booleans(), tags, carries, tags),
    st.builds(ReleaseHold, names, tags),
    st.builds(
        Distribute,
        names,
        amounts,
        names,
        names,
        spendings,
        st.tuples(st.integers(0, 50), st.integers(50, 100)),
        names,
        st.sampled_from(["deficit", "seed_floor", "par"]),
        st.booleans(),
        tags,
        st.none() | tags,
        names,
        patterns,
        st.none() | amounts,
        st.none() | names,
    ),
    st.builds(
        Reverse,
        names,
        st.none() | st.tuples(st.integers(1, 50), st.integers(50, 100)),
        st.lists(st.tuples(st.integers(0, 99), st.none() | amounts), max_size=3).map(tuple),
        tags,
        patterns,
    ),
)
guards = st.builds(Expect, texts, st.lists(texts | numbers, max_size=2).map(tuple), st.none() | st.integers(0, AMOUNT_MAX), st.none() | st.integers(0, 9))
transactions = st.builds(
    Transaction, names, st.lists(actions, min_size=1, max_size=4).map(tuple), times, names, tags, st.just(""), st.lists(guards, max_size=2).map(tuple)
)


@settings(max_examples=150, deadline=None)
@given(transactions)
def test_what_a_transaction_writes_is_read_as_the_same_transaction(one: Transaction) -> None:
    document = json.loads(json.dumps(one.document()))
    read = transaction_of(document)
    assert read == one
    assert (json.loads(json.dumps(read.document())), read.digest()) == (document, one.digest())
    jsonschema.validate(document, TRANSACTION_SCHEMA)


def document(**change: Any) -> dict[str, Any]:
    return {"txn_id": "t", "effective_at": AT, "actions": [ISSUE], **change}


def action(**change: Any) -> dict[str, Any]:
    return document(actions=[ISSUE, ISSUE, {**TRANSFER, **change}])


def refused(wrong: Any) -> tuple[str, str | None]:
    with pytest.raises(Refused) as caught:
        transaction_of(wrong)
    return caught.value.code, caught.value.field


def test_a_time_is_the_same_with_any_offset() -> None:
    there = datetime(2018, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert transaction_of(document(effective_at=there.isoformat())).digest() == transaction_of(document()).digest()


def test_what_is_not_given_is_the_default_and_null_is_nothing_given() -> None:
    bare = {"type": "post_hold", "hold_id": "h", "destination": "ann"}
    assert transaction_of(document(actions=[bare | {"amount": None}])).actions == transaction_of(document(actions=[bare])).actions == (PostHold("h", "ann"),)
    assert refused(action(amount=None)) == ("AMOUNT_INVALID", "actions.2.amount")


@pytest.mark.parametrize("amount", [0, -1, 5.0, 1e3, 2**63, 10**40, True, False, "5", None, [5], {"$numberLong": "5"}, float("inf")])
@pytest.mark.parametrize("type_", sorted(set(TYPE_OF.values()) - {"release_hold", "reverse"}))
def test_an_amount_is_a_json_integer(type_: str, amount: Any) -> None:
    others = {"hold_id": "h", "flavor_id": "usd", "over_flavor_id": "loan", "source": "ann", "destination": "ben"}
    wanted = TRANSACTION_SCHEMA["properties"]["actions"]["items"]["oneOf"][list(TYPE_OF.values()).index(type_)]["required"]
    one = {"type": type_, **{name: value for name, value in others.items() if name in wanted}, "amount": amount}
    if (type_, amount) == ("post_hold", None):
        assert transaction_of(document(actions=[one])).actions == (PostHold("h", "ben"),)
        return
    assert refused(document(actions=[one])) == ("AMOUNT_INVALID", "actions.0.amount")


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ([], "FIELD_INVALID", None),
        (None, "FIELD_INVALID", None),
        ({}, "FIELD_MISSING", "txn_id"),
        (document(txn_id=5), "NAME_INVALID", "txn_id"),
        (document(txn_id=" "), "NAME_INVALID", "txn_id"),
        (document(txn_id="x" * 201), "NAME_INVALID", "txn_id"),
        (document(tenant_id="t2"), "FIELD_UNKNOWN", "tenant_id"),
        (document(correlation_id="c"), "FIELD_UNKNOWN", "correlation_id"),
        (document(**{"\ud800": 1}), "FIELD_UNKNOWN", "?"),
        (document(kind="\0"), "NAME_INVALID", "kind"),
        (document(kind=None), "NAME_INVALID", "kind"),
        (document(kind="k\ud800"), "NAME_INVALID", "kind"),
        (document(effective_at="2018-01-01"), "TIME_INVALID", "effective_at"),
        (document(effective_at="2018-01-01T00:00:00"), "TIME_INVALID", "effective_at"),
        (document(effective_at="2018-02-30T00:00:00Z"), "TIME_INVALID", "effective_at"),
        (document(effective_at=1514764800), "TIME_INVALID", "effective_at"),
        (document(effective_at=None), "TIME_INVALID", "effective_at"),
        (document(tags=[]), "TAGS_INVALID", "tags"),
        (document(tags={"a": {"b": [1, 2.5]}}), "TAGS_INVALID", "tags.a.b.1"),
        (document(tags={"a": 2**63}), "TAGS_INVALID", "tags.a"),
        (document(tags={"a": "\0"}), "TAGS_INVALID", "tags.a"),
        (document(tags={"a": "\udc00"}), "TAGS_INVALID", "tags.a"),
        (document(tags={"a\ud800": 1}), "TAGS_INVALID", "tags"),
        (document(tags={"a": "x" * 9_000}), "TAGS_INVALID", "tags.a"),
        (document(tags={"a": "x" * 5_000, "b": "x" * 5_000}), "TAGS_INVALID", "tags"),
        (document(tags={"a": json.loads("[" * 50 + "]" * 50)}), "TAGS_INVALID", "tags.a" + ".0" * 7),
        (document(actions={}), "FIELD_INVALID", "actions"),
        (document(actions=[ISSUE, 5]), "FIELD_INVALID", "actions.1"),
        (document(actions=[ISSUE] * 10_001), "TOO_MANY_ACTIONS", "actions"),
        (document(actions=[{}]), "FIELD_MISSING", "actions.0.type"),
        (document(actions=[{"type": "mint"}]), "ACTION_TYPE_UNKNOWN", "actions.0.type"),
        (document(actions=[{"type": ["issue"]}]), "ACTION_TYPE_UNKNOWN", "actions.0.type"),
        (document(actions=[{"type": "issue"}]), "FIELD_MISSING", "actions.0.flavor_id"),
        (action(fee=[1, 100]), "FIELD_UNKNOWN", "actions.2.fee"),
        (action(spending={}), "FIELD_UNKNOWN", "actions.2.spending"),
        (action(**{"x" * 500: 1}), "FIELD_UNKNOWN", "actions.2." + "x" * 60),
        (action(source=None), "NAME_INVALID", "actions.2.source"),
        (action(source="a\nb"), "NAME_INVALID", "actions.2.source"),
        (action(source="ann'; drop table books.move --"), "NAME_INVALID", "actions.2.source"),
        (action(token_tags={"rate": 0.5}), "TAGS_INVALID", "actions.2.token_tags.rate"),
        (action(carry_tags="all"), "FIELD_INVALID", "actions.2.carry_tags"),
        (action(carry_tags=["a", 1]), "FIELD_INVALID", "actions.2.carry_tags.1"),
        (action(carry_tags=1), "FIELD_INVALID", "actions.2.carry_tags"),
        (action(filter=5), "FILTER_INVALID", "actions.2.filter"),
        (action(filter="x" * 10_001), "FILTER_INVALID", "actions.2.filter"),
        (action(filter="tags.a = '\ud800'"), "FILTER_INVALID", "actions.2.filter"),
        (action(params="x"), "FILTER_PARAMS", "actions.2.params"),
        (action(params=[1, 2.5]), "FILTER_PARAMS", "actions.2.params.1"),
        (action(params=[None]), "FILTER_PARAMS", "actions.2.params.0"),
        (action(params=[2**63]), "FILTER_PARAMS", "actions.2.params.0"),
        (action(params=[["a"]]), "FILTER_PARAMS", "actions.2.params.0"),
        (action(order="sideways"), "ORDER_INVALID", "actions.2.order"),
        (action(order=["fifo"]), "ORDER_INVALID", "actions.2.order"),
        (action(order="tags.a; drop table books.move"), "ORDER_INVALID", "actions.2.order"),
        (document(actions=[ISSUE | {"source_floor": 1}]), "FLOOR_INVALID", "actions.0.source_floor"),
        (document(actions=[ISSUE | {"source_floor": -(2**63)}]), "FLOOR_INVALID", "actions.0.source_floor"),
        (document(actions=[ISSUE | {"source_floor": -1.0}]), "FLOOR_INVALID", "actions.0.source_floor"),
        (document(expect={}), "FIELD_INVALID", "expect"),
        (document(expect=[{"amount": 1}]), "FIELD_MISSING", "expect.0.filter"),
        (document(expect=[{"filter": "", "amount": 1.0}]), "AMOUNT_INVALID", "expect.0.amount"),
        (document(expect=[{"filter": "", "count": True}]), "AMOUNT_INVALID", "expect.0.count"),
    ],
)
def test_what_is_no_transaction_is_refused_at_its_place(wrong: Any, code: str, field: str | None) -> None:
    assert refused(wrong) == (code, field)


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ({}, "FIELD_MISSING", "txn_id"),
        ({"txn_id": 5}, "NAME_INVALID", "txn_id"),
        ({"txn_id": "t", "part": [0.5, 1]}, "REVERSAL_INVALID", "part"),
        ({"txn_id": "t", "part": [0, 1]}, "REVERSAL_INVALID", "part"),
        ({"txn_id": "t", "part": "1/2"}, "REVERSAL_INVALID", "part"),
        ({"txn_id": "t", "amounts": {"0": 5}}, "REVERSAL_INVALID", "amounts"),
        ({"txn_id": "t", "amounts": [[0, 5], [1]]}, "REVERSAL_INVALID", "amounts.1"),
        ({"txn_id": "t", "amounts": [[True, 5]]}, "REVERSAL_INVALID", "amounts.0"),
        ({"txn_id": "t", "amounts": [[0, 5.0]]}, "AMOUNT_INVALID", "amounts.0.1"),
        ({"txn_id": "t", "amount": 5}, "FIELD_UNKNOWN", "amount"),
    ],
)
def test_a_reversal_names_what_it_takes_back(wrong: dict[str, Any], code: str, field: str) -> None:
    assert refused(document(actions=[{"type": "reverse", **wrong}])) == (code, f"actions.0.{field}")


@pytest.mark.parametrize("fee", ["1%", [1], [1.0, 100], [True, 100], [-1, 100], [2**63, 2**63], None, {}])
def test_a_fee_is_two_whole_numbers(fee: Any) -> None:
    one = {"type": "distribute", "flavor_id": "usd", "amount": 5, "source": "ann", "over_flavor_id": "loan", "fee": fee}
    assert refused(document(actions=[one])) == ("FEE_INVALID", "actions.0.fee")
