"""Refusals in the journal: sealed, carried to any store to the octet, and refused there as here."""

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.aurora_checker import AuroraChecker

from tests.ledger.books_builders import DAY, T, issue, opened, post, refused, retire, txn
from tests.ledger.journal_builders import Store, exported, in_memory, in_postgresql, restored, seal_all
from tests.ledger.test_carry import again, kinds, texts_of


@pytest.fixture(params=["memory", "aurora"])
def store(request: pytest.FixtureRequest) -> Store:
    return in_memory() if request.param == "memory" else in_postgresql(request.getfixturevalue("database"))


@pytest.fixture(params=["memory", "aurora"])
def other(request: pytest.FixtureRequest) -> Store:
    return in_memory() if request.param == "memory" else in_postgresql(request.getfixturevalue("database"))


def refuse_some(store: Store) -> None:
    opened(store.books, "ann")
    post(store.books, issue(5, "ann"), id="first")
    for name in ("too-much", "too-much", "more"):
        with pytest.raises(Refused):
            post(store.books, retire(6, "ann"), id=name)
    post(store.books, issue(5, "ann"), id="last")


def test_a_refusal_is_told_once_in_its_place(store: Store) -> None:
    refuse_some(store)
    assert kinds(exported(store))[1:] == ["flavor", "account", "transaction", "refusal", "refusal", "transaction", "end"]
    sealed = store.seals.seal(T, 100)
    assert sealed is not None
    assert sealed.entries == 6


def test_a_dry_run_and_a_refusal_that_may_pass_tell_nothing(store: Store) -> None:
    opened(store.books, "ann")
    for move, dry_run in ((retire(6, "ann"), True), (retire(6, "nobody"), False)):
        with pytest.raises(Refused):
            store.books.post(T, [txn(move)], DAY, dry_run=dry_run)
    assert "refusal" not in kinds(exported(store))


def test_carried_refusals_are_refused_again_and_to_the_octet(store: Store, other: Store) -> None:
    refuse_some(store)
    seal_all(store)
    lines = exported(store)
    for entries in (6, 0):
        assert (restored(other, lines, "t2").entries, exported(other, "t2")) == (entries, lines)
    post(store.books, issue(90, "ann"), id="rich")
    for books, tenant in ((store.books, T), (other.books, "t2")):
        with pytest.raises(Refused) as caught:
            books.post(tenant, [txn(retire(6, "ann"), id="more")], DAY)
        assert (caught.value.code, caught.value.field) == ("INSUFFICIENT_FUNDS", "actions.0.amount")


NO_REFUSALS = [('"digest":"', '"digest":"00'), ('"detail":"', '"detail": "'), ('"field":"', '"field":["'), ('"code":"', '"code":"\\"')]


@pytest.mark.parametrize(("was", "is_"), NO_REFUSALS)
def test_what_is_no_refusal_is_refused_with_its_line(store: Store, was: str, is_: str) -> None:
    texts = _lines()
    number = next(place for place, text in enumerate(texts, 1) if text.startswith('{"entry":"refusal"'))
    texts[number - 1] = texts[number - 1].replace(was, is_, 1)
    assert refused(lambda: restored(store, again(texts))) == ("LINE_INVALID", f"lines.{number}")


def test_a_refusal_comes_once(store: Store) -> None:
    texts = _lines()
    place = next(place for place, text in enumerate(texts) if text.startswith('{"entry":"refusal"'))
    texts.insert(place + 1, texts[place])
    assert refused(lambda: restored(store, again(texts))) == ("BOOKS_DIFFER", f"lines.{place + 2}")


def test_both_stores_tell_the_same_of_refusals_and_the_checker_agrees(database: Database) -> None:
    told = []
    for store in (in_memory(), in_postgresql(database)):
        refuse_some(store)
        seal_all(store)
        told.append([text.split(',"recorded_at"')[0] for text in texts_of(exported(store)) if text.startswith('{"entry":"refusal"')])
    assert told[0] == told[1]
    assert list(AuroraChecker(database).differences(T)) == []


def _lines() -> list[str]:
    made = in_memory()
    refuse_some(made)
    return texts_of(exported(made))
