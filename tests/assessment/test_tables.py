"""Decision tables: business people change them without code, every version stays, and nonsense is refused with its place."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bourse.assessment.local import KeptTables
from bourse.assessment.memory import MemoryTables
from bourse.assessment.model import Attributes
from bourse.assessment.publish_table import publish_table
from bourse.assessment.store import TableStore
from bourse.assessment.tables import KINDS, Condition, DecisionTable, StoredTable
from bourse.clock import FixedClock
from bourse.errors import Conflict, Refused

from tests.assessment.builders import NOON, memory_tables, shipped_tables

LATER = timedelta(days=30)
SIMPLE = [
    {"when": [{"field": "grade", "op": "in", "labels": ["A", "B"]}, {"field": "age", "op": "between", "numbers": ["28", "35"]}], "then": {"risk_class": "A"}},
    {"then": {"risk_class": "F"}},
]


@pytest.fixture(params=["memory", pytest.param("aurora", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> TableStore:
    if request.param == "memory":
        return memory_tables()
    from bourse.assessment.aurora import AuroraTables

    return AuroraTables(request.getfixturevalue("database"))


def table(rows: list[Any]) -> DecisionTable[Any]:
    return DecisionTable("v1", KINDS["risk_classes"]({"rows": rows}).rows)


def known(labels: dict[str, str] | None = None, **numbers: str) -> Attributes:
    return Attributes(labels or {}, {name: Decimal(number) for name, number in numbers.items()})


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ({"field": "age", "op": "between", "numbers": ["28", "35"]}, True),
        ({"field": "age", "op": "between", "numbers": ["29", "35"]}, False),
        ({"field": "age", "op": "between", "numbers": ["20", "28"]}, True),
        ({"field": "age", "op": "gte", "numbers": ["28"]}, True),
        ({"field": "age", "op": "gte", "numbers": ["28.0001"]}, False),
        ({"field": "age", "op": "lte", "numbers": ["28.000"]}, True),
        ({"field": "grade", "op": "in", "labels": ["A", "B"]}, True),
        ({"field": "grade", "op": "not_in", "labels": ["A", "B"]}, False),
        ({"field": "grade", "op": "not_in", "labels": ["C"]}, True),
        ({"field": "income", "op": "gte", "numbers": ["0"]}, False),
        ({"field": "region", "op": "in", "labels": ["A"]}, False),
        ({"field": "region", "op": "not_in", "labels": ["A"]}, False),
        ({"field": "grade", "op": "gte", "numbers": ["0"]}, False),
        ({"field": "age", "op": "in", "labels": ["28"]}, False),
    ],
)
def test_a_condition_holds_or_not_and_a_missing_attribute_never_matches(condition: dict[str, Any], matches: bool) -> None:
    assert Condition.model_validate(condition).matches(known({"grade": "A"}, age="28")) is matches


def test_the_first_matching_row_wins_and_the_last_is_for_all_others() -> None:
    assert table(SIMPLE).decide(known({"grade": "B"}, age="35")).risk_class == "A"
    assert table(SIMPLE).decide(known({"grade": "B"}, age="36")).risk_class == "F"
    assert table(SIMPLE).decide(known()).risk_class == "F"


@pytest.mark.parametrize(
    ("kind", "rows", "field"),
    [
        ("risk_classes", [], "rows"),
        ("risk_classes", SIMPLE[:1], ""),
        ("risk_classes", [SIMPLE[1], SIMPLE[1]], ""),
        ("risk_classes", [{"then": {"risk_class": "a class"}}], "rows.0.then.risk_class"),
        ("risk_classes", [{"then": {"pd": "0.1", "lgd": "1"}}], "rows.0.then.risk_class"),
        ("risk_classes", [{"when": [{"field": "x", "op": "like", "labels": ["A"]}], "then": {"risk_class": "A"}}, SIMPLE[1]], "rows.0.when.0.op"),
        ("risk_classes", [{"when": [{"field": "x", "op": "in", "numbers": ["1"]}], "then": {"risk_class": "A"}}, SIMPLE[1]], "rows.0.when.0"),
        ("risk_classes", [{"when": [{"field": "x", "op": "between", "numbers": ["1"]}], "then": {"risk_class": "A"}}, SIMPLE[1]], "rows.0.when.0"),
        ("risk_classes", [{"when": [{"field": "x", "op": "between", "numbers": ["2", "1"]}], "then": {"risk_class": "A"}}, SIMPLE[1]], "rows.0.when.0"),
        ("risk_classes", [{"when": [{"field": "x", "op": "gte", "numbers": ["NaN"]}], "then": {"risk_class": "A"}}, SIMPLE[1]], "rows.0.when.0.numbers.0"),
        ("risk_classes", [{**SIMPLE[1], "code": "import os"}], "rows.0.code"),
        ("default_rates", [{"then": {"pd": "1", "lgd": "0.5"}}], "rows.0.then.pd"),
        ("default_rates", [{"then": {"pd": "0.1", "lgd": "1.1"}}], "rows.0.then.lgd"),
        ("default_rates", [{"then": {"pd": "-0.1", "lgd": "1"}}], "rows.0.then.pd"),
        ("risk_classes", [SIMPLE[0]] * 500 + [SIMPLE[1]], "rows"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_with_its_place(kind: str, rows: list[Any], field: str) -> None:
    with pytest.raises(Refused, match="TABLE_INVALID") as refused:
        publish_table("demo", kind, rows, active_from=None, author="ann", reason="a try", tables=memory_tables(), clock=FixedClock(NOON))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("tenant", "kind", "active_from", "code"),
    [("demo", "other", None, "TABLE_KIND"), ("*", "risk_classes", None, "TABLE_TENANT"), ("demo", "risk_classes", NOON - LATER, "TABLE_PAST")],
)
def test_what_may_not_be_published_is_refused(tenant: str, kind: str, active_from: datetime | None, code: str) -> None:
    with pytest.raises(Refused, match=code):
        publish_table(tenant, kind, SIMPLE, active_from=active_from, author="ann", reason="a try", tables=memory_tables(), clock=FixedClock(NOON))


def test_the_tables_we_ship_make_sense_for_everybody(store: TableStore) -> None:
    assert set(shipped_tables()) == set(KINDS)
    for kind, rows in shipped_tables().items():
        found = store.active("anybody", kind, NOON)
        assert (found.label, found.rows) == (f"{kind}-default-1", rows)
        KINDS[found.kind]({"rows": found.rows})


def test_a_tenants_own_table_goes_before_everybodys_from_its_time_on(store: TableStore) -> None:
    clock = FixedClock(NOON)
    publish_table("demo", "risk_classes", SIMPLE, active_from=NOON + LATER, author="ann", reason="stricter", tables=store, clock=clock)
    assert store.active("demo", "risk_classes", NOON).owner == "*"
    own = store.active("demo", "risk_classes", NOON + LATER)
    assert (own.label, own.rows[-1]) == ("risk_classes-demo-1", SIMPLE[1])
    assert store.active("other", "risk_classes", NOON + LATER).owner == "*"
    assert store.history("other", "risk_classes") == []


def test_every_version_stays_and_publishing_the_same_again_changes_nothing(store: TableStore) -> None:
    clock = FixedClock(NOON)
    first = publish_table("demo", "risk_classes", SIMPLE, active_from=None, author="ann", reason="stricter", tables=store, clock=clock)
    clock.at = NOON + timedelta(hours=1)
    assert publish_table("demo", "risk_classes", SIMPLE, active_from=None, author="ann", reason="again", tables=store, clock=clock) == first
    second = publish_table("demo", "risk_classes", SIMPLE[1:], active_from=None, author="bob", reason="simpler", tables=store, clock=clock)
    assert store.history("demo", "risk_classes") == [first, second]
    assert store.active("demo", "risk_classes", NOON + timedelta(minutes=30)) == first
    assert store.active("demo", "risk_classes", clock.at) == second


def test_of_two_who_publish_at_once_one_is_told(store: TableStore) -> None:
    rival = StoredTable("demo", "risk_classes", 1, SIMPLE)
    store.publish(rival, NOON, "ann", "first")
    with pytest.raises(Conflict, match="TABLE_VERSION"):
        store.publish(rival, NOON, "bob", "too late")


def test_a_table_is_read_once_a_minute_while_the_function_is_warm() -> None:
    store, clock = memory_tables(), FixedClock(NOON)
    tables = KeptTables(store, clock)
    assert [tables.risk_classes("demo").version for _ in range(3)] == ["risk_classes-default-1"] * 3
    assert store.reads == 1
    publish_table("demo", "risk_classes", SIMPLE, active_from=None, author="ann", reason="stricter", tables=store, clock=clock)
    clock.at = NOON + timedelta(seconds=59)
    assert tables.risk_classes("demo").version == "risk_classes-default-1"
    clock.at = NOON + timedelta(seconds=60)
    assert tables.risk_classes("demo").version == "risk_classes-demo-1"


@pytest.mark.postgres
def test_the_database_refuses_to_change_a_table_or_to_write_anothers(database: Any) -> None:
    import psycopg
    from bourse.assessment.aurora import AuroraTables

    store = AuroraTables(database)
    store.publish(StoredTable("demo", "risk_classes", 1, SIMPLE), NOON, "ann", "first")
    for statement in ("update assessment.risk_table set version = 9", "delete from assessment.risk_table"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), database.transaction("demo") as cursor:
            cursor.execute(statement)
    for owner in ("other", "*"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), database.transaction("demo") as cursor:
            cursor.execute(
                "insert into assessment.risk_table (tenant_id, kind, version, active_from, rows, author, reason) "
                "values (%s, 'risk_classes', 2, now(), '[]', 'ann', 'a try')",
                [owner],
            )


def test_a_memory_store_knows_the_beginning_of_time() -> None:
    assert MemoryTables(shipped_tables()).active("demo", "default_rates", datetime(1970, 1, 1, tzinfo=UTC)).version == 1
