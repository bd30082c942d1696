"""Templates of transactions: what may be saved, what becomes of values, and both stores with one promise."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict, NotFound, Refused, Unavailable
from bourse.ledger.aurora_templates import AuroraTemplates
from bourse.ledger.documents import transaction_of
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_templates import MemoryTemplates
from bourse.ledger.templates import Template, Templates, check_template, rendered
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import CLOCK
from tests.ledger.cutting_proxy import CuttingProxy, Loses

T = "t1"
AT = "2026-01-05T09:00:00Z"
SALE: dict[str, Any] = {
    "actions": [
        {"type": "transfer", "flavor_id": "usd", "amount": {"$": "price"}, "source": {"$": "buyer"}, "destination": "lending"},
        {
            "type": "transfer",
            "flavor_id": {"$": "loan"},
            "amount": {"$": "part"},
            "source": "lending",
            "destination": {"$": "buyer"},
            "filter": "tags.due_date = $1 AND amount >= $2",
            "params": [{"$": "due"}, {"$": "part"}],
            "carry_tags": True,
            "token_tags": {"$": "marks"},
            "action_tags": {"type": "sale", "note": {"$": "note"}, "deep": [{"price": {"$": "price"}}]},
        },
    ],
    "kind": "sale",
    "tags": {"buyer": {"$": "buyer"}},
    "expect": [{"filter": "flavor_id = $1", "params": [{"$": "loan"}], "amount": {"$": "part"}}],
}
PARAMETERS: dict[str, Any] = {"price": "amount", "part": "amount", "buyer": "account", "loan": "flavor", "due": "time", "note": "text", "marks": "tags"}
VALUES: dict[str, Any] = {
    "price": 10_100,
    "part": 3_666,
    "buyer": "cash/ada",
    "loan": "loan/acorn/1",
    "due": "2026-02-01T00:00:00Z",
    "note": "as agreed",
    "marks": {"a": [1]},
}


@pytest.fixture(params=["memory", "aurora"])
def templates(request: pytest.FixtureRequest) -> Iterator[Templates]:
    """Either store, empty."""
    if request.param == "memory":
        yield MemoryTemplates(MemoryBooks(CLOCK))
        return
    database = Database(request.getfixturevalue("fresh_database").app_dsn)
    yield AuroraTemplates(database)
    database.close()


def sale(version: int = 1, **change: Any) -> Template:
    return Template("sale", version, PARAMETERS, {**SALE, **change})


def one_action(action: dict[str, Any], parameters: dict[str, Any] | None = None, **more: Any) -> Template:
    return Template("t", 1, parameters or {}, {"actions": [action], **more})


def refused(does: Any) -> tuple[str, str | None]:
    with pytest.raises(Refused) as caught:
        does()
    return caught.value.code, caught.value.field


# The stores


def test_a_version_is_saved_once_and_stays_for_ever(templates: Templates) -> None:
    for _ in range(2):
        templates.save(T, sale())
    templates.save(T, sale(2, kind="resale"))
    assert templates.template(T, "sale") == sale(2, kind="resale")
    assert templates.template(T, "sale", 1) == sale()
    templates.save(T, sale())
    with pytest.raises(Conflict) as caught:
        templates.save(T, sale(kind="other"))
    assert (caught.value.code, caught.value.field) == ("TEMPLATE_DIFFERS", "version")
    assert templates.template(T, "sale", 1) == sale()


def test_the_next_version_is_the_one_after_the_newest(templates: Templates) -> None:
    for version in (2, 7, 1_000_000):
        assert refused(lambda version=version: templates.save(T, sale(version))) == ("VERSION_INVALID", "version")
    templates.save(T, sale())
    templates.save(T, sale(2))
    assert refused(lambda: templates.save(T, sale(4))) == ("VERSION_INVALID", "version")


def test_a_truth_is_no_number_when_versions_are_compared(templates: Templates) -> None:
    issue = {"type": "issue", "flavor_id": "usd", "amount": 5, "destination": "ann"}
    templates.save(T, one_action({**issue, "action_tags": {"n": 1}}))
    with pytest.raises(Conflict, match="TEMPLATE_DIFFERS"):
        templates.save(T, one_action({**issue, "action_tags": {"n": True}}))


def test_what_is_not_there_is_not_found(templates: Templates) -> None:
    templates.save(T, sale())
    for name, version in (("sale", 2), ("sale", 0), ("sale", -1), ("sale", 2**40), ("other", None), ("other", 1)):
        with pytest.raises(NotFound, match="TEMPLATE_UNKNOWN"):
            templates.template(T, name, version)


def test_a_template_is_its_tenants_own(templates: Templates) -> None:
    templates.save(T, sale())
    with pytest.raises(NotFound):
        templates.template("t2", "sale")
    assert templates.templates("t2") == ([], None)
    templates.save("t2", sale(kind="theirs"))
    assert (templates.template(T, "sale"), templates.template("t2", "sale")) == (sale(), sale(kind="theirs"))


def test_the_newest_of_each_is_listed_in_pages(templates: Templates) -> None:
    for name in ("a", "b", "c"):
        templates.save(T, Template(name, 1, PARAMETERS, SALE))
    templates.save(T, Template("b", 2, PARAMETERS, {**SALE, "kind": "k"}))
    first, cursor = templates.templates(T, limit=2)
    rest, end = templates.templates(T, cursor=cursor, limit=2)
    assert ([(one.template_id, one.version) for one in [*first, *rest]], end) == ([("a", 1), ("b", 2), ("c", 1)], None)
    assert refused(lambda: templates.templates(T, cursor="x")) == ("CURSOR_INVALID", "cursor")
    assert refused(lambda: templates.templates(T, limit=0)) == ("LIMIT_INVALID", "limit")


def test_rows_are_only_added_and_hidden_from_others(fresh_database: FreshDatabase) -> None:
    database = Database(fresh_database.app_dsn)
    AuroraTemplates(database).save(T, sale())
    database.close()
    for statement in ("update books.template set version = 9", "delete from books.template", "truncate books.template"):
        with psycopg.connect(fresh_database.app_dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
        with psycopg.connect(fresh_database.migrated_dsn) as owner, pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute(statement)
    with psycopg.connect(fresh_database.app_dsn) as connection:
        assert connection.execute("select count(*) from books.template").fetchone() == (0,)


def test_of_savers_at_once_one_version_is_kept_and_the_others_hear_of_it(fresh_database: FreshDatabase) -> None:
    def save(number: int) -> str:
        database = Database(fresh_database.app_dsn)
        try:
            AuroraTemplates(database).save(T, sale(kind=f"kind-{number % 4}"))
        except Conflict as conflict:
            return conflict.code
        finally:
            database.close()
        return f"kind-{number % 4}"

    with ThreadPoolExecutor(8) as savers:
        said = list(savers.map(save, range(16)))
    database = Database(fresh_database.app_dsn)
    kept = AuroraTemplates(database).template(T, "sale")
    database.close()
    assert [said.count(kept.document["kind"]), said.count("TEMPLATE_DIFFERS")] == [4, 12]


@pytest.mark.parametrize("loses", ["request", "answer"])
def test_a_saver_that_is_killed_at_any_round_trip_saves_once_when_it_tries_again(fresh_database: FreshDatabase, loses: Loses) -> None:
    proxy, at = CuttingProxy(fresh_database.app_dsn), 0
    try:
        while True:
            at += 1
            database = Database(proxy.dsn)
            store = AuroraTemplates(database)
            assert store.templates(f"tenant-{at}") == ([], None)
            proxy.arm(at, loses)
            with suppress(Unavailable):
                store.save(f"tenant-{at}", sale())
            cut = proxy.cut
            proxy.disarm()
            store.save(f"tenant-{at}", sale())
            assert store.templates(f"tenant-{at}") == ([sale()], None)
            database.close()
            if not cut:
                break
    finally:
        proxy.close()
    assert at > 1, "it was killed at least once"


# What may be saved

ISSUE: dict[str, Any] = {"type": "issue", "flavor_id": "usd", "amount": 5, "destination": "ann"}


def put(**change: Any) -> dict[str, Any]:
    return {**ISSUE, **change}


MISPLACED: list[tuple[dict[str, Any], str, str]] = [
    (put(amount={"$": "p"}), "account", "actions.0.amount"),
    (put(amount={"$": "p"}), "text", "actions.0.amount"),
    (put(destination={"$": "p"}), "flavor", "actions.0.destination"),
    (put(destination={"$": "p"}), "text", "actions.0.destination"),
    (put(flavor_id={"$": "p"}), "account", "actions.0.flavor_id"),
    (put(token_tags={"$": "p"}), "text", "actions.0.token_tags"),
    (put(source_floor={"$": "p"}), "amount", "actions.0.source_floor"),
    (put(type={"$": "p"}), "text", "actions.0.type"),
    ({"$": "p"}, "tags", "actions.0"),
    ({**ISSUE, "type": "retire", "source": "ann", "filter": {"$": "p"}}, "text", "actions.0.filter"),
    ({**ISSUE, "type": "retire", "source": "ann", "order": {"$": "p"}}, "text", "actions.0.order"),
    ({**ISSUE, "type": "retire", "source": "ann", "params": {"$": "p"}}, "text", "actions.0.params"),
    ({**ISSUE, "type": "retire", "source": "ann", "filter": "tags.a = $1", "params": [{"$": "p"}]}, "tags", "actions.0.params.0"),
    ({"type": "transfer", "flavor_id": "usd", "amount": 1, "source": "a", "destination": "b", "carry_tags": [{"$": "p"}]}, "text", "actions.0.carry_tags.0"),
    ({"type": "reverse", "txn_id": {"$": "p"}}, "account", "actions.0.txn_id"),
    ({"type": "reverse", "txn_id": "t", "part": [1, {"$": "p"}]}, "amount", "actions.0.part.1"),
]


@pytest.mark.parametrize(("action", "kind", "place"), MISPLACED)
def test_a_parameter_stands_only_where_its_type_does(action: dict[str, Any], kind: str, place: str) -> None:
    assert refused(lambda: check_template(one_action(action, {"p": kind}))) == ("TEMPLATE_INVALID", f"document.{place}")


WRONG: list[tuple[Template, str, str]] = [
    (Template("a b", 1, {}, {"actions": [ISSUE]}), "NAME_INVALID", "template_id"),
    (Template("t", 0, {}, {"actions": [ISSUE]}), "VERSION_INVALID", "version"),
    (Template("t", 2**31, {}, {"actions": [ISSUE]}), "VERSION_INVALID", "version"),
    (one_action(ISSUE, {"P": "amount"}), "TEMPLATE_INVALID", "parameters.P"),
    (one_action(ISSUE, {"p'; drop table books.move --": "amount"}), "TEMPLATE_INVALID", "parameters.p'; drop table books.move --"),
    (one_action(ISSUE, {"p": "number"}), "TEMPLATE_INVALID", "parameters.p"),
    (one_action(ISSUE, {"p": ["amount"]}), "TEMPLATE_INVALID", "parameters.p"),
    (one_action(ISSUE, {"p": "amount"}), "TEMPLATE_INVALID", "parameters.p"),
    (one_action(ISSUE, {f"p{number}": "amount" for number in range(101)}), "TEMPLATE_INVALID", "parameters"),
    (one_action(put(amount={"$": "q"})), "PARAMETER_UNKNOWN", "document.actions.0.amount"),
    (one_action(put(amount={"$": 5})), "AMOUNT_INVALID", "document.actions.0.amount"),
    (one_action(put(amount={"$": "p", "more": 1}), {"p": "amount"}), "TEMPLATE_INVALID", "parameters.p"),
    (one_action(put(amount="5")), "AMOUNT_INVALID", "document.actions.0.amount"),
    (one_action(put(amount=0.5)), "AMOUNT_INVALID", "document.actions.0.amount"),
    (one_action(put(more=1)), "FIELD_UNKNOWN", "document.actions.0.more"),
    (one_action({"type": "mint"}), "ACTION_TYPE_UNKNOWN", "document.actions.0.type"),
    (one_action(ISSUE, txn_id="t"), "FIELD_UNKNOWN", "document.txn_id"),
    (one_action(ISSUE, effective_at=AT), "FIELD_UNKNOWN", "document.effective_at"),
    (one_action(ISSUE, tags={"template_id": "x"}), "TAGS_INVALID", "document.tags.template_id"),
    (one_action(ISSUE, tags={"template_version": 1}), "TAGS_INVALID", "document.tags.template_version"),
    (one_action(ISSUE, tags={"a": 0.5}), "TAGS_INVALID", "document.tags.a"),
    (one_action(ISSUE, tags={"a": 2**70}), "TEMPLATE_INVALID", "document"),
    (one_action(ISSUE, tags={"a": "\ud800"}), "TEMPLATE_INVALID", "document"),
    (one_action(ISSUE, expect=[{"filter": "tags.a ="}]), "FILTER_INVALID", "document.expect.0.filter"),
    (one_action({**ISSUE, "type": "retire", "source": "a", "filter": "tags.a = $1"}), "FILTER_PARAMS", "document.actions.0.params"),
    (Template("t", 1, {}, {"actions": []}), "NO_ACTIONS", "document.actions"),
    (Template("t", 1, {}, {}), "FIELD_MISSING", "document.actions"),
    (Template("t", 1, {}, []), "TEMPLATE_INVALID", "document"),
    (Template("t", 1, [], {}), "TEMPLATE_INVALID", "parameters"),
    (Template("t", 1, {}, {"actions": [put(action_tags={"a": "x" * 2_000})] * 40}), "TEMPLATE_INVALID", "document"),
]


@pytest.mark.parametrize(("template", "code", "field"), WRONG)
def test_what_could_never_be_posted_is_not_saved(template: Template, code: str, field: str) -> None:
    store = MemoryTemplates(MemoryBooks(CLOCK))
    assert refused(lambda: store.save(T, template)) == (code, field)
    assert store.templates(T) == ([], None)


# What becomes of values


def test_each_parameter_is_replaced_by_its_value_as_a_whole() -> None:
    made = rendered(sale(), "sale/1", AT, VALUES)
    assert made["actions"][0] == {"type": "transfer", "flavor_id": "usd", "amount": 10_100, "source": "cash/ada", "destination": "lending"}
    second = made["actions"][1]
    assert (second["params"], second["token_tags"], second["action_tags"]) == (
        ["2026-02-01T00:00:00Z", 3_666],
        {"a": [1]},
        {"type": "sale", "note": "as agreed", "deep": [{"price": 10_100}]},
    )
    assert (made["txn_id"], made["effective_at"], made["kind"]) == ("sale/1", AT, "sale")
    assert made["tags"] == {"buyer": "cash/ada", "template_id": "sale", "template_version": 1}
    assert made["expect"] == [{"filter": "flavor_id = $1", "params": ["loan/acorn/1"], "amount": 3_666}]
    assert transaction_of(made).txn_id == "sale/1"
    assert SALE["tags"] == {"buyer": {"$": "buyer"}}, "the template stays as it was saved"


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"price": 10_100.0}, "PARAMETER_INVALID", "values.price"),
        ({"price": True}, "PARAMETER_INVALID", "values.price"),
        ({"price": "10100"}, "PARAMETER_INVALID", "values.price"),
        ({"price": 0}, "PARAMETER_INVALID", "values.price"),
        ({"price": 2**63}, "PARAMETER_INVALID", "values.price"),
        ({"price": None}, "PARAMETER_INVALID", "values.price"),
        ({"buyer": "a b"}, "PARAMETER_INVALID", "values.buyer"),
        ({"buyer": {"$": "loan"}}, "PARAMETER_INVALID", "values.buyer"),
        ({"loan": 5}, "PARAMETER_INVALID", "values.loan"),
        ({"due": "2026-02-01"}, "PARAMETER_INVALID", "values.due"),
        ({"due": "2026-02-30T00:00:00Z"}, "PARAMETER_INVALID", "values.due"),
        ({"note": 5}, "PARAMETER_INVALID", "values.note"),
        ({"note": "\0"}, "PARAMETER_INVALID", "values.note"),
        ({"note": "\ud800"}, "PARAMETER_INVALID", "values.note"),
        ({"note": "x" * 100_000}, "PARAMETER_INVALID", "values.note"),
        ({"marks": {"a": {"b": 0.5}}}, "PARAMETER_INVALID", "values.marks.a.b"),
        ({"marks": []}, "PARAMETER_INVALID", "values.marks"),
        ({"more": 1}, "PARAMETER_UNKNOWN", "values.more"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_name(change: dict[str, Any], code: str, field: str) -> None:
    assert refused(lambda: rendered(sale(), "s", AT, {**VALUES, **change})) == (code, field)


def test_a_value_that_is_missing_is_refused_by_its_name() -> None:
    for name in PARAMETERS:
        assert refused(lambda name=name: rendered(sale(), "s", AT, {one: value for one, value in VALUES.items() if one != name})) == (
            "PARAMETER_MISSING",
            f"values.{name}",
        )
    assert refused(lambda: rendered(sale(), "s", AT, [])) == ("PARAMETER_INVALID", "values")


@pytest.mark.parametrize("text", ['", "amount": 1', "$1", '{"$": "price"}', "' or 1=1 --", "{{price}}", "${price}", "\\", "💥"])
def test_a_text_is_a_text_whatever_it_holds(text: str) -> None:
    made = rendered(sale(), "s", AT, {**VALUES, "note": text, "marks": {"$": text}})
    assert (made["actions"][1]["action_tags"]["note"], made["actions"][1]["token_tags"]) == (text, {"$": text})
    assert [(one["amount"], one["filter"]) for one in made["actions"][1:]] == [(3_666, SALE["actions"][1]["filter"])]
    assert len(transaction_of(made).actions) == 2


def test_tags_that_are_given_do_not_say_what_template_they_are_of() -> None:
    whole = Template("t", 1, {"marks": "tags"}, {"actions": [ISSUE], "tags": {"$": "marks"}})
    check_template(whole)
    assert rendered(whole, "s", AT, {"marks": {"a": 1}})["tags"] == {"a": 1, "template_id": "t", "template_version": 1}
    for name in ("template_id", "template_version"):
        assert refused(lambda name=name: rendered(whole, "s", AT, {"marks": {name: "x"}})) == ("TAGS_INVALID", f"tags.{name}")


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@+=-]{0,20}", fullmatch=True)
texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30)
tag_sets = st.dictionaries(texts.filter(bool), texts | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none(), max_size=3)
values = st.fixed_dictionaries(
    {
        "price": st.integers(1, 2**63 - 1),
        "part": st.integers(1, 2**63 - 1),
        "buyer": names,
        "loan": names,
        "due": st.datetimes().map(lambda at: at.isoformat(timespec="seconds") + "Z").filter(lambda text: text > "0001-02"),
        "note": texts,
        "marks": tag_sets,
    }
)


@settings(max_examples=200, deadline=None)
@given(values)
def test_whatever_the_values_the_transaction_has_the_templates_shape(given_: dict[str, Any]) -> None:
    read = transaction_of(rendered(sale(), "s", AT, given_))
    plain = transaction_of(rendered(sale(), "s", AT, VALUES))
    assert [type(one) for one in read.actions] == [type(one) for one in plain.actions]
    shown = read.document()
    assert (shown["actions"][0]["amount"], shown["actions"][1]["params"], shown["tags"]["template_id"]) == (
        given_["price"],
        [given_["due"], given_["part"]],
        "sale",
    )
    assert [(one.get("filter"), one["type"], one.get("carry_tags")) for one in shown["actions"]] == [
        (one.get("filter"), one["type"], one.get("carry_tags")) for one in plain.document()["actions"]
    ]
