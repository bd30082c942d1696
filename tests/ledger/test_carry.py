"""Books carried by their journal: the same state in whatever store, all or nothing, and nothing that was changed on the way gets in."""

import json
from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused, Unavailable
from bourse.ledger.actions import Reverse
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.carry import BEGIN, read_lines
from bourse.ledger.journal import GENESIS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import DAY, T, day, issue, lots, post, retire, transfer, txn
from tests.ledger.journal_builders import Store, exported, in_memory, in_postgresql, restored, seal_all, something_of_everything
from tests.ledger.test_books_histories import Step, open_all, picture, play, steps

_tenants = count(1)


@pytest.fixture(params=["memory", "aurora"])
def store(request: pytest.FixtureRequest) -> Store:
    return in_memory() if request.param == "memory" else in_postgresql(request.getfixturevalue("database"))


@pytest.fixture(params=["memory", "aurora"])
def other(request: pytest.FixtureRequest, store: Store) -> Store:
    """Another store of either kind; in PostgreSQL the same database, for another tenant."""
    return in_memory() if request.param == "memory" else in_postgresql(request.getfixturevalue("database"))


def entries(lines: list[str]) -> list[Any]:
    return [json.loads(line)["entry"] for line in lines]


def kinds(lines: list[str]) -> list[str]:
    return [entry["entry"] for entry in entries(lines)]


def again(texts: list[str]) -> list[str]:
    """Lines of these texts with digests as if they had been exported so: what a forger would write."""
    digest, made = GENESIS.hex(), []
    for text in texts:
        digest = sha256((digest + text).encode()).hexdigest()
        made.append(f'{{"digest":"{digest}","entry":{text}}}')
    return made


def texts_of(lines: list[str]) -> list[str]:
    return [line[len('{"digest":""') + 64 + len(',"entry":') : -1] for line in lines]


def test_books_carried_to_any_store_are_in_the_same_state(store: Store, other: Store) -> None:
    something_of_everything(store)
    with pytest.raises(Refused):
        post(store.books, retire(10**6, "ben"), id="refused")
    lines = exported(store)
    assert {"books", "account", "flavor", "floor", "closed", "transaction", "block", "refusal", "order", "feed", "sum", "template", "end"} == set(kinds(lines))
    said = restored(other, lines, "t2")
    assert said.state == store.journal.state_hash(T) == other.journal.state_hash("t2") == entries(lines)[-1]["state"]
    assert said.entries == len([kind for kind in kinds(lines) if kind in {"account", "flavor", "floor", "closed", "transaction", "template", "refusal"}])
    assert restored(other, lines, "t2").entries == 0, "imported twice changes nothing"
    assert other.journal.state_hash("t2") == said.state
    there = [line for line in texts_of(exported(other, "t2")) if '"entry":"block"' not in line]
    assert there == [line for line in texts_of(lines) if '"entry":"block"' not in line]


def test_the_chain_is_carried_with_the_books(store: Store, other: Store) -> None:
    something_of_everything(store)
    seal_all(store)
    lines = exported(store)
    restored(other, lines, "t2")
    assert exported(other, "t2") == lines, "to the octet"
    assert other.seals.seal("t2", 10) is None
    other.books.post("t2", [txn(issue(1, "ann"))], DAY)
    sealed = other.seals.seal("t2", 10)
    assert sealed is not None
    assert (sealed.block_no, sealed.entries) == (kinds(lines).count("block") + 1, 1)


def test_carried_books_go_on_where_they_were(store: Store, other: Store) -> None:
    """Requests posted before are known, holds can be posted, lots are spent in their old order, floors and closed accounts stand."""
    something_of_everything(store)
    lines = exported(store)
    restored(other, lines, "t2")
    for books, tenant in ((store.books, T), (other.books, "t2")):
        first = txn(issue(100, "ann", token_tags={"n": 1, "due": 'a "day"\n'}), issue(50, "ann", token_tags={"n": 2}), id="first", kind='k"ind')
        assert [one.before for one in books.post(tenant, [first], DAY)] == [True]
        with pytest.raises(Conflict):
            books.post(tenant, [txn(issue(1, "ann"), id="first")], DAY)
        with pytest.raises(Refused) as caught:
            books.post(tenant, [txn(issue(300, "ben", "loan", source="loans"), id="too-much")], DAY)
        assert caught.value.code == "INSUFFICIENT_FUNDS"
        with pytest.raises(Refused) as caught:
            books.post(tenant, [txn(issue(1, "gone"))], DAY)
        assert caught.value.code == "ACCOUNT_CLOSED"
        books.post(tenant, [txn(transfer(25, "ann", "ben"), id="next", at=day(5))], day(5))
    assert store.journal.state_hash(T) == other.journal.state_hash("t2")


taken_back: st.SearchStrategy[Step] = st.builds(
    lambda of, part, happened: ([[Reverse(f"{of}.0", part)]], happened, 5, False),
    st.integers(0, 8),
    st.sampled_from([None, None, (1, 2), (1, 3)]),
    st.integers(3, 5),
)


@given(history=st.lists(st.one_of(steps, steps, taken_back), max_size=12), sealed_after=st.integers(0, 10))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_comes_back_to_the_same_state_and_goes_on_alike(database: Database, history: list[Step], sealed_after: int) -> None:
    tenant = f"t{next(_tenants)}"
    one, other = in_memory(), in_postgresql(database)
    for store in (one, other):
        open_all(store.books, tenant)
        play(store.books, tenant, history[:sealed_after])
        seal_all(store, tenant, 7)
        play(store.books, tenant, history)
    assert one.journal.state_hash(tenant) == other.journal.state_hash(tenant), "both stores call the same state the same"
    told = [[text for text in _timeless(exported(store, tenant)) if '"block"' not in text and '"end"' not in text] for store in (one, other)]
    assert told[0] == told[1], "both stores tell the same journal"
    longer = [*history, ([[transfer(7, "ann", "ben")], [retire(3, "line")]], 6, 6, False), *history[:3]]
    for store in (one, other):
        lines = exported(store, tenant)
        carried = [(in_memory(), f"{tenant}.m"), (in_postgresql(database), f"{tenant}.{store is one}")]
        for fresh, into in carried:
            assert restored(fresh, lines, into).state == store.journal.state_hash(tenant)
            assert _whole(fresh, into) == _whole(store, tenant)
        answers = [play(found.books, into, longer) for found, into in ((store, tenant), *carried)]
        assert answers[0] == answers[1] == answers[2], "what follows is answered alike"
    for checked in (tenant, f"{tenant}.True", f"{tenant}.False"):
        assert list(AuroraChecker(database).differences(checked)) == []


def _timeless(lines: list[str]) -> list[str]:
    """Without when it was recorded, which each store says by its own clock, and without what blocks there are."""
    return [json.dumps({name: value for name, value in entry.items() if name != "recorded_at"}) for entry in entries(lines)]


def _whole(store: Store, tenant: str) -> list[Any]:
    tokens, instants, moves = picture(store.books, tenant)
    return [[(one.account_id, one.flavor_id, dict(one.tags), one.amount, one.held) for one in tokens], instants, moves]


# What was changed on the way


@pytest.fixture
def lines() -> list[str]:
    store = in_memory()
    something_of_everything(store)
    return exported(store)


def refused_at(store: Store, changed: list[str]) -> tuple[str, str | None]:
    before = store.journal.state_hash(T)
    with pytest.raises(Refused) as caught:
        restored(store, changed)
    assert store.journal.state_hash(T) == before, "nothing came in"
    return caught.value.code, caught.value.field


def test_a_changed_line_is_refused_with_its_number(store: Store, lines: list[str]) -> None:
    for number in range(1, len(lines) + 1):
        line = lines[number - 1]
        place = line.rindex('"', 0, -2) - 1
        letter = "x" if line[place] != "x" else "y"
        changed = [*lines[: number - 1], line[:place] + letter + line[place + 1 :], *lines[number:]]
        assert refused_at(store, changed) in {("LINE_CHANGED", f"lines.{number}"), ("LINE_INVALID", f"lines.{number}")}


def test_a_missing_a_moved_or_an_added_line_is_refused_with_its_number(store: Store, lines: list[str]) -> None:
    assert refused_at(store, [*lines[:4], *lines[5:]]) == ("LINE_CHANGED", "lines.5")
    assert refused_at(store, [*lines[:4], lines[5], lines[4], *lines[6:]]) == ("LINE_CHANGED", "lines.5")
    assert refused_at(store, lines[:-1]) == ("LINES_MISSING", f"lines.{len(lines) - 1}")
    assert refused_at(store, []) == ("LINES_MISSING", "lines.0")
    assert refused_at(store, [*lines, lines[-1]]) == ("LINE_INVALID", f"lines.{len(lines) + 1}")
    assert refused_at(store, ["{}", *lines]) == ("LINE_INVALID", "lines.1")


def test_who_writes_new_digests_is_found_by_the_blocks(store: Store, lines: list[str]) -> None:
    texts = texts_of(lines)
    assert again(texts) == lines
    block = kinds(lines).index("block")
    forged = [text.replace('"correlation_id":""', '"correlation_id":"x"', 1) if place < block else text for place, text in enumerate(texts)]
    assert refused_at(store, again(forged)) == ("BLOCK_INVALID", f"lines.{block + 1}")


@pytest.mark.parametrize(
    ("was", "is_"),
    [
        (',100,"world"', ',100.5,"world"'),
        (',100,"world"', ',0,"world"'),
        (',100,"world"', ',-100,"world"'),
        (',100,"world"', f',{2**63},"world"'),
        (',100,"world"', ',"100","world"'),
        (',100,"world"', ',true,"world"'),
        ('"issue"', '"steal"'),
        ('"entry":"flavor"', '"entry":"flavour"'),
        ('"hot":false', '"hot":0'),
        ('"hot":false', '"hot": false'),
        ('"floor":-50', '"floor":"-50"'),
        ('"tags":{}', '"tags":[]'),
        ('"digest":"', '"digest":"00'),
        ('"account_id":"ann"', '"account_id":"an\\"n"'),
    ],
)
def test_what_is_no_entry_is_refused_with_its_line_though_all_digests_are_right(store: Store, lines: list[str], was: str, is_: str) -> None:
    texts = [text for text in texts_of(lines) if '"block"' not in text]
    number = next(place for place, text in enumerate(texts, 1) if was in text)
    texts[number - 1] = texts[number - 1].replace(was, is_, 1)
    assert refused_at(store, again(texts)) == ("LINE_INVALID", f"lines.{number}")


def test_what_speaks_of_what_was_not_told_is_refused_with_its_line(store: Store, lines: list[str]) -> None:
    texts = [text for text in texts_of(lines) if '"block"' not in text]
    without = [text for text in texts if '"account_id":"ben"' not in text]
    assert refused_at(store, again(without))[0] == "BOOKS_DIFFER"
    assert refused_at(store, again([BEGIN.replace("1", "2"), *texts[1:]])) == ("LINE_INVALID", "lines.1")


def test_books_that_come_to_another_state_than_said_are_refused(store: Store, lines: list[str]) -> None:
    texts = [text for text in texts_of(lines) if '"block"' not in text]
    forged = [text.replace('"cut"', '"x"').replace(',50,"world"', ',51,"world"') for text in texts]
    assert refused_at(store, again(forged)) == ("BOOKS_DIFFER", "state")


def test_other_books_are_never_overwritten(store: Store, lines: list[str]) -> None:
    something_of_everything(store)
    post(store.books, issue(1, "ann"), id="more")
    other = in_memory()
    something_of_everything(other)
    post(other.books, issue(2, "ann"), id="another")
    last = len([kind for kind in kinds(exported(other)) if kind not in {"order", "end"}])
    with pytest.raises(Conflict) as caught:
        restored(store, exported(other))
    assert caught.value.code == "BOOKS_DIFFER"
    assert caught.value.field is not None
    assert int(caught.value.field.split(".")[1]) <= last
    assert lots(store.books, "ann") != {}


class Dies(Exception):
    """The importing process is killed here."""


@pytest.mark.parametrize("after", [1, 7, 14, 20])
def test_an_import_that_breaks_off_leaves_nothing_and_is_done_again_as_if_for_the_first_time(store: Store, lines: list[str], after: int) -> None:
    def breaking() -> Iterator[str]:
        yield from lines[:after]
        raise Dies

    empty = store.journal.state_hash(T)
    with pytest.raises(Dies):
        restored(store, breaking())
    assert store.journal.state_hash(T) == empty
    assert restored(store, lines).entries > 0
    assert exported(store)[: len(lines) - 15] == lines[:-15]


def test_an_import_whose_connection_is_killed_leaves_nothing(fresh_database: FreshDatabase, database: Database, lines: list[str]) -> None:
    def killing() -> Iterator[str]:
        yield from lines[:-1]
        with psycopg.connect(fresh_database.migrated_dsn, autocommit=True) as owner:
            owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'bourse_app'")
        yield lines[-1]

    store = in_postgresql(database)
    with pytest.raises(Unavailable):
        restored(store, killing())
    with psycopg.connect(fresh_database.migrated_dsn) as owner:
        tables = ("account", "flavor", "txn", "move", "lot", "tags_told", "told", "block", "chain", "tagset")
        assert [owner.execute(f"select count(*) from books.{table}").fetchone() for table in tables] == [(0,)] * len(tables)
    assert restored(store, lines).entries > 0
    assert list(AuroraChecker(database).differences(T)) == []


def test_lines_are_read_one_at_a_time(lines: list[str]) -> None:
    taken: list[int] = []

    def slowly() -> Iterator[str]:
        for number, line in enumerate(lines, 1):
            taken.append(number)
            yield line

    records = read_lines(slowly())
    next(records)
    assert taken == [1, 2]
