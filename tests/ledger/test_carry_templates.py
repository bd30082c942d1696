"""Templates in the journal: sealed, carried to any store to the octet, and going on from there."""

from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict, NotFound
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.ledger.templates import rendered

from tests.ledger.books_builders import T, opened, refused
from tests.ledger.journal_builders import Store, exported, in_memory, in_postgresql, pay, restored, seal_all, something_of_everything
from tests.ledger.test_carry import again, kinds, texts_of


@pytest.fixture(params=["memory", "aurora"])
def store(request: pytest.FixtureRequest) -> Store:
    return in_memory() if request.param == "memory" else in_postgresql(request.getfixturevalue("database"))


@pytest.fixture(params=["memory", "aurora"])
def other(request: pytest.FixtureRequest) -> Store:
    return in_memory() if request.param == "memory" else in_postgresql(request.getfixturevalue("database"))


def test_carried_templates_are_the_same_and_go_on(store: Store, other: Store) -> None:
    something_of_everything(store)
    seal_all(store)
    lines = exported(store)
    assert kinds(lines).count("template") == 3
    for imported in (len([kind for kind in kinds(lines) if kind not in {"books", "block", "order", "feed", "sum", "end"}]), 0):
        said = restored(other, lines, "t2")
        assert (said.entries, said.state) == (imported, store.journal.state_hash(T))
        assert exported(other, "t2") == lines
    assert other.templates.templates("t2") == store.templates.templates(T)
    assert other.templates.template("t2", "pay", 1) == pay()
    asked: tuple[Any, ...] = ("a", "2026-01-05T09:00:00Z", {"price": 5})
    assert rendered(other.templates.template("t2", "pay"), *asked) == rendered(pay(2, kind="pay-again"), *asked)
    with pytest.raises(Conflict, match="TEMPLATE_DIFFERS"):
        other.templates.save("t2", pay(2, kind="other"))
    other.templates.save("t2", pay(2, kind="pay-again"))
    assert exported(other, "t2") == lines, "the same version again tells nothing"
    for one, tenant in ((store, T), (other, "t2")):
        one.templates.save(tenant, pay(3))
        sealed = one.seals.seal(tenant, 10)
        assert sealed is not None
        assert sealed.entries == 1
    assert store.journal.state_hash(T) == other.journal.state_hash("t2") != said.state


def test_a_template_alone_is_of_the_state_and_keeps_other_books_out(store: Store) -> None:
    empty = store.journal.state_hash("t2")
    something_of_everything(store)
    store.templates.save("t2", pay())
    assert store.journal.state_hash("t2") != empty
    with pytest.raises(Conflict, match="BOOKS_DIFFER"):
        restored(store, exported(store), "t2")
    assert [one.template_id for one in store.templates.templates("t2")[0]] == ["pay"]


@pytest.mark.parametrize(
    ("was", "is_"),
    [
        ('"template_id":"pay"', '"template_id":"p y"'),
        ('"version":1,"parameters"', '"version":true,"parameters"'),
        ('"version":1,"parameters"', '"version":0,"parameters"'),
        ('"version":1,"parameters"', '"version":1000001,"parameters"'),
        ('"price": "amount"', '"price": "number"'),
        ('"parameters":{"price": "amount"}', '"parameters":[]'),
        ('"note"', '"x": 0.5, "note"'),
        ('"document":{', '"document": {'),
        ('"recorded_at":"', '"recorded_at":"x'),
    ],
)
def test_what_is_no_template_is_refused_with_its_line(store: Store, was: str, is_: str) -> None:
    texts = _lines()
    number = next(place for place, text in enumerate(texts, 1) if text.startswith('{"entry":"template"') and was in text)
    texts[number - 1] = texts[number - 1].replace(was, is_, 1)
    assert refused(lambda: restored(store, again(texts))) == ("LINE_INVALID", f"lines.{number}")


def test_a_version_comes_once_and_after_the_one_before_it(store: Store) -> None:
    texts = _lines()
    first, second = (place for place, text in enumerate(texts) if text.startswith('{"entry":"template","template_id":"pay"'))
    cases = [
        ([*texts[:first], *texts[first + 1 :]], second),
        ([*texts[: first + 1], texts[first], *texts[first + 1 :]], first + 2),
        ([*texts[:first], texts[second], *texts[first + 1 : second], texts[first], *texts[second + 1 :]], first + 1),
    ]
    for forged, number in cases:
        assert refused(lambda forged=forged: restored(store, again(forged))) == ("BOOKS_DIFFER", f"lines.{number}")  # type: ignore[misc]
    with pytest.raises(NotFound):
        store.templates.template(T, "pay")


def test_both_stores_tell_the_same_of_templates_and_the_checker_agrees(database: Database) -> None:
    told = []
    for store in (in_memory(), in_postgresql(database)):
        opened(store.books, "ann")
        something_of_everything(store)
        seal_all(store)
        told.append([text.split(',"recorded_at"')[0] for text in texts_of(exported(store)) if text.startswith('{"entry":"template"')])
    assert told[0] == told[1]
    assert list(AuroraChecker(database).differences(T)) == []


def _lines() -> list[str]:
    """The texts of books with templates without their blocks, which nobody could forge."""
    made = in_memory()
    something_of_everything(made)
    return [text for text in texts_of(exported(made)) if '"block"' not in text]
