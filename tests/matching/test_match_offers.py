"""Matching a message: one version of the book, said once; heard twice, killed anywhere, or written by two, it comes to the same."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from bourse.clock import FixedClock
from bourse.errors import Refused, Unavailable
from bourse.matching import codec
from bourse.matching import match_offers as use_case
from bourse.matching.apply import Heard
from bourse.matching.codec import FORMAT, state_hash
from bourse.matching.events import BidsPublished
from bourse.matching.match_offers import Shelf, match_offers, open_book
from bourse.matching.memory import MemoryBooks, MemoryOffers
from bourse.matching.store import Said
from bourse.message import Outcome
from bourse.queues import MemoryQueues

from tests.matching import builders as make


class World:
    """Stores and queue that outlive an environment; `deliver` hears a message as the worker does, and says what comes of it."""

    def __init__(self, books: Any = None, offers: Any = None) -> None:
        self.books: Any = books or MemoryBooks()
        self.offers: Any = offers or MemoryOffers()
        self.queues = MemoryQueues()
        self.shelf = Shelf()

    def deliver(self, message: Heard, shelf: Shelf | None = None) -> Outcome:
        outcome = match_offers(message, books=self.books, offers=self.offers, shelf=shelf or self.shelf, clock=FixedClock(make.DAY))
        self.queues.send(outcome.says)
        return outcome

    def said(self) -> list[Any]:
        return [message for message in self.queues.said.values() if isinstance(message, BidsPublished)]

    def state(self) -> tuple[Any, ...]:
        shown = [self.offers.view(offer_id) for offer_id in ("s1", "s2", "s3", "s4")]
        return state_hash(open_book(make.BOOK, self.books).book), self.said(), shown


def a_day() -> list[Heard]:
    """A little of everything: bids, a reservation, its completion, a return, an update, a withdrawal."""
    first: list[Heard] = [
        make.buys(make.buy("b1", volume=500, per_loan_max=200), make.buy("b2", volume=900)),
        make.sells(make.sell("s1", volume=300), make.whole("s2", volume=700), make.sell("s3", volume=50, originator_id="bank")),
        make.buys(make.buy("b3", volume=400)),
        make.sells(make.whole("s4", volume=5_000)),
    ]
    world = World()
    for message in first:
        world.deliver(message)
    back = [bid for message in world.said() for bid in message.bids if bid.offer_id == "s1"][:1]
    return [*first, make.returned(*back), make.buys(make.buy("b1", 2, 600, per_loan_max=200)), make.withdrawn("s4")]


def undisturbed() -> tuple[Any, ...]:
    world = World()
    for message in a_day():
        world.deliver(message)
    return world.state()


def test_bids_are_said_by_originator_with_the_books_version_and_the_cause() -> None:
    world = World()
    world.deliver(make.buys(make.buy("b1", volume=500)))
    outcome = world.deliver(make.sells(make.sell("s1", volume=100), make.sell("s2", volume=100, originator_id="bank"), make.sell("s3", volume=100)))
    said = [(one.originator_id, [bid.offer_id for bid in one.bids]) for one in world.said()]
    assert said == [("acme", ["s1", "s3"]), ("bank", ["s2"])]
    assert {(one.book_version, one.currency, one.correlation_id, one.said_at) for one in world.said()} == {(2, "USD", "cor_1", make.DAY)}
    assert outcome.counts == {"sell_offers": 3, "matches": 3, "principal_matched_minor": 300}


def test_hearing_a_message_twice_says_the_same_and_changes_nothing() -> None:
    world = World()
    for message in a_day():
        first = world.deliver(message)
        before = world.state()
        again = world.deliver(message)
        assert again.says == first.says
        assert again.counts == {"messages_repeated": 1}
        assert world.state() == before
    assert before == undisturbed()


class Killed(Exception):
    """The environment died."""


class Dying:
    """A port whose environment dies before or after its n-th call, once."""

    def __init__(self, port: Any, calls: list[int], after: bool) -> None:
        self.__dict__.update(port=port, calls=calls, after=after)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **facts: Any) -> Any:
            self.calls[0] -= 1
            if self.calls[0] == 0 and not self.after:
                raise Killed
            answer = getattr(self.port, name)(*args, **facts)
            if self.calls[0] == 0:
                raise Killed
            return answer

        return call


@pytest.mark.parametrize("environment", ["new", "same"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_effect_and_heard_again_it_comes_to_the_same(monkeypatch: pytest.MonkeyPatch, after: bool, environment: str) -> None:
    monkeypatch.setattr(use_case, "SNAPSHOT_ENTRIES", 2)
    expected, deaths = undisturbed(), 0
    for n in range(1, 100):
        world, calls = World(), [n]
        world.books, world.offers = Dying(world.books, calls, after), Dying(world.offers, calls, after)
        for message in a_day():
            try:
                world.deliver(message)
            except Killed:
                deaths += 1
                world.deliver(message, Shelf() if environment == "new" else None)
        if calls[0] > 0:
            break
        assert world.state() == expected, f"killed at call {n}"
    assert deaths >= 20


def test_sent_but_not_acknowledged_is_sent_again_as_it_was() -> None:
    world = World()
    for message in a_day():
        world.deliver(message)
    said = world.said()
    for message in a_day():
        world.deliver(message, Shelf())
    assert world.said() == said


def test_a_writer_with_an_old_book_in_memory_is_fenced_and_hears_the_message_anew() -> None:
    world, stale, fresh = World(), Shelf(), Shelf()
    day = a_day()
    world.deliver(day[0], stale)
    for message in day[1:4]:
        world.deliver(message, fresh)
    for message in day[4:]:
        world.deliver(message, stale)
    assert world.state() == undisturbed()


def test_the_same_message_in_two_environments_is_said_once() -> None:
    world, other = World(), Shelf()
    world.deliver(a_day()[0])

    class Overtaken:
        """While this environment looks, the other one takes the message."""

        def __getattr__(self, name: str) -> Any:
            return getattr(world.books, name)

        def said(self, book_id: str, message_id: str) -> Any:
            found = world.books.said(book_id, message_id)
            if not found:
                world.deliver(a_day()[1], other)
            return found

    outcome = match_offers(a_day()[1], books=Overtaken(), offers=world.offers, shelf=world.shelf, clock=FixedClock(make.DAY))
    assert outcome.counts == {"messages_repeated": 1}
    assert list(outcome.says) == world.said()
    assert open_book(make.BOOK, world.books).book.version == 2


def test_a_writer_that_is_always_overtaken_gives_the_message_back() -> None:
    world = World()

    class Busy(MemoryBooks):
        def commit(self, book_id: str, expected_version: int, entry: bytes, outputs: bytes, message_id: str) -> Any:
            return super().commit(book_id, expected_version + 1, entry, outputs, message_id)

    world.books = Busy()
    with pytest.raises(Unavailable):
        world.deliver(a_day()[0])


def test_books_are_apart_and_each_has_its_own_version() -> None:
    world = World()
    euro = {"book_id": "demo/EUR/loan"}
    world.deliver(make.buys(make.buy("b1")))
    world.deliver(make.sells(make.sell("s1"), cause="euro").model_copy(update=euro))
    assert world.said() == []
    world.deliver(make.sells(make.sell("s1")))
    assert [one.book_id for one in world.said()] == [make.BOOK]
    assert [open_book(book_id, world.books).book.version for book_id in (make.BOOK, "demo/EUR/loan")] == [2, 1]


def test_a_book_of_another_tenant_is_refused() -> None:
    with pytest.raises(Refused, match="BOOK_FOREIGN"):
        World().deliver(make.sells(make.sell("s1")).model_copy(update={"book_id": "other/USD/loan"}))


@pytest.mark.parametrize("every", [1, 2, 3, 100])
def test_a_book_opened_from_a_snapshot_and_its_journal_is_the_book(monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    monkeypatch.setattr(use_case, "SNAPSHOT_ENTRIES", every)
    world = World()
    for message in a_day():
        world.deliver(message, Shelf())
    assert world.state() == undisturbed()


def test_a_snapshot_nobody_can_read_is_passed_over_for_the_whole_journal() -> None:
    world = World()
    for message in a_day():
        world.deliver(message)
    world.books.save_snapshot(make.BOOK, 3, FORMAT, b"not a snapshot")
    assert world.state() == undisturbed()


def test_two_releases_with_snapshots_of_their_own_write_a_book_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newer reads what both write; the older goes on from its own."""
    monkeypatch.setattr(use_case, "SNAPSHOT_ENTRIES", 1)
    world = World()
    for number, message in enumerate(a_day()):
        newer = number % 3 == 1
        with monkeypatch.context() as release:
            release.setattr(codec, "FORMAT", FORMAT + newer)
            release.setattr(use_case, "FORMAT", FORMAT + newer)
            for module in (codec, use_case):
                release.setattr(module, "FORMATS", (FORMAT + newer, FORMAT))
            world.deliver(message, Shelf())
    assert {name: at for (_, name), (at, _) in world.books._snapshots.items()} == {FORMAT: 7, FORMAT + 1: 5}
    assert world.state() == undisturbed()


class Elsewhere(MemoryBooks):
    """Books some of whose messages another release has heard: what it committed is put in other words."""

    def __init__(self) -> None:
        super().__init__()
        self.reworded: Callable[[dict[str, Any]], dict[str, Any]] = lambda outputs: outputs

    def said(self, book_id: str, message_id: str) -> Said | None:
        found = super().said(book_id, message_id)
        return Said(found.version, orjson.dumps(self.reworded(orjson.loads(found.outputs)))) if found else None


def test_what_was_said_before_kinds_were_kept_is_said_again_as_it_was() -> None:
    world = World(Elsewhere())
    for message in a_day():
        before = world.deliver(message)
        world.books.reworded = lambda outputs: {name: value for name, value in outputs.items() if name != "kinds"}
        assert world.deliver(message).says == before.says


def test_what_a_newer_release_said_is_left_for_it_to_say_again() -> None:
    world = World(Elsewhere())
    for message in a_day():
        world.deliver(message)
    before = world.state()
    world.books.reworded = lambda outputs: outputs | {"says": [{**one, "round": 1} for one in outputs["says"]], "kinds": ["bids_published.v2"]}
    with pytest.raises(Refused, match=r"MESSAGE_UNKNOWN: bids_published\.v2"):
        world.deliver(a_day()[1])
    assert world.state() == before


def test_two_hundred_bids_go_in_a_message_and_a_whole_offer_is_never_torn() -> None:
    world = World()
    world.deliver(make.sells(make.whole("all", volume=1_000, lot_min=10), *(make.sell(f"s{n}", volume=10) for n in range(150))))
    world.deliver(make.buys(*(make.buy(f"b{n}", volume=10) for n in range(99)), make.buy("big", volume=10_000, per_loan_max=10_000)))
    sizes = [len(one.bids) for one in world.said()]
    assert sum(sizes) == 250
    assert max(sizes) <= 200
    assert [len({one.message_id for one in world.said() for bid in one.bids if bid.offer_id == "all"})] == [1]


def test_an_offer_with_bids_is_shown_and_one_without_is_not() -> None:
    world = World()
    for message in a_day():
        world.deliver(message)
    view = world.offers.view("s1")
    assert (view.state, view.volume, view.published, view.bids_total) == ("filled", 300, 300, 4)
    assert [(bid.buy_offer_id, bid.principal, bid.state, bid.reason) for bid in view.bids] == [
        ("b1", 200, "returned", "insufficient_cash"),
        ("b2", 100, "published", None),
        ("b1", 150, "published", None),
        ("b1", 50, "published", None),
    ]
    assert world.offers.view("never") is None


@pytest.mark.parametrize("snapshot", [False, True])
def test_an_offer_that_was_shown_is_shown_to_its_end_also_when_its_bids_are_gone(snapshot: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reservation goes with its version; then it is withdrawn, and offered again, without a bid. Also from a snapshot, and in a cold environment."""
    monkeypatch.setattr(use_case, "SNAPSHOT_ENTRIES", 1 if snapshot else 500)
    world = World()
    seen = []
    for message in (
        make.sells(make.whole("s1", volume=1_000)),
        make.buys(make.buy("b1", 1, 100)),
        make.sells(make.whole("s1", version=2, volume=900, labels={"risk_class": "B"}, product_id="other")),
        make.withdrawn("s1", 3),
        make.sells(make.whole("s1", version=4, volume=800, product_id="other")),
    ):
        world.deliver(message, Shelf())
        view = world.offers.view("s1")
        seen.append((view.version, str(view.state), view.volume, view.filled) if view else None)
    assert seen == [None, (1, "partially_filled", 1_000, 100), (2, "open", 900, 0), (3, "withdrawn", 900, 0), (4, "open", 800, 0)]
