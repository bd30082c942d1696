"""Whatever happens to a book: it does what the naive matcher does, keeps its sums, leaves no pair that could trade, and replays to the same state."""

from collections import defaultdict
from typing import Any

from bourse.matching.apply import apply
from bourse.matching.book import Book
from bourse.matching.codec import dump, load, state_hash
from bourse.matching.events import Bid
from bourse.matching.match import quantity
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.matching import builders as make
from tests.matching.histories import History, buy_offer, sell_offer
from tests.matching.oracle import Oracle, said

many = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@many
@given(st.data())
def test_a_book_does_what_the_naive_matcher_does(data: Any) -> None:
    book, oracle, history = Book(make.BOOK), Oracle(), History(data.draw)
    for _ in range(data.draw(st.integers(1, 14))):
        message = history.next()
        step = apply(book, message)
        assert said(step.bids) == oracle.hear(message)
        assert make.picture(book)["reserved"] == oracle.reserved()
        assert oracle.pairs_left() == []
        history.note(step.bids)


@many
@given(st.data())
def test_no_pair_that_could_trade_is_left_and_every_sum_is_the_sum_of_its_bids(data: Any) -> None:
    book, history = Book(make.BOOK), History(data.draw)
    for _ in range(data.draw(st.integers(1, 14))):
        step = apply(book, history.next())
        history.note(step.bids)
        _keeps_its_sums(book, history.published)
        assert _pairs_left(book) == []
        assert all(bid.buy_amount >= bid.sell_amount >= 0 for bid in step.bids)
        assert all(len(block) == 1 or sum(bid.principal for bid in block) for block in step.blocks)


def _pairs_left(book: Book) -> list[tuple[str, str]]:
    """Asked of the criteria themselves, not of the index."""
    live = [buy for buy in book.buys.values() if buy.group]
    return [(sell.offer_id, buy.offer_id) for sell in book.sells.values() for buy in live if buy.group.accepts(sell) and quantity(sell, buy)]


def _keeps_its_sums(book: Book, published: list[Bid]) -> None:
    by_sell: dict[str, int] = defaultdict(int)
    by_buy: dict[str, int] = defaultdict(int)
    for bid in published:
        by_sell[bid.offer_id] += bid.principal
        by_buy[bid.buy_offer_id] += bid.principal
    for sell in book.sells.values():
        assert sell.published == by_sell[sell.offer_id]
        assert sell.reserved == sum(placed.principal for placed in sell.placed.values())
        assert sell.closed or sell.published + sell.reserved <= sell.volume
        assert sum(sell.held.values()) <= sell.published + sell.reserved
        assert not (sell.closed and sell.placed)
    for buy in book.buys.values():
        assert buy.published == by_buy[buy.offer_id]
        assert buy.reserved == sum(placed.principal for placed in buy.placed.values())
    for portfolio in book.portfolios.values():
        held = sum(sell.held.get(portfolio.portfolio_id, 0) for sell in book.sells.values())
        assert sum(portfolio.originators.values()) == held
        assert sum(portfolio.borrowers.values()) <= held


@many
@given(st.data())
def test_replaying_the_journal_or_going_on_from_a_snapshot_makes_the_same_book_and_the_same_bids(data: Any) -> None:
    book, history, journal = Book(make.BOOK), History(data.draw), []
    restarted = Book(make.BOOK)
    for _ in range(data.draw(st.integers(1, 12))):
        message = history.next()
        journal.append(message)
        step = apply(book, message)
        restarted = load(make.BOOK, dump(restarted))
        again = apply(restarted, message)
        assert again.blocks == step.blocks
        assert again.changes == step.changes
        history.note(step.bids)
    assert state_hash(restarted) == state_hash(book) == state_hash(make.book_after(*journal))


@many
@given(st.data())
def test_after_an_update_the_book_is_the_one_that_never_saw_the_old_version(data: Any) -> None:
    """As long as nothing was published: a history of all-or-nothing offers with and without one offer's earlier versions."""
    seen, never, history = Book(make.BOOK), Book(make.BOOK), History(data.draw, partial=False)
    name = data.draw(st.sampled_from(("s1", "s3", "b1", "b3")))

    def hear_old_version() -> bool:
        history.version += 1
        if name.startswith("s"):
            old: Any = make.sells(sell_offer(data.draw, history.version, st.just(False), name, history.weather), cause=history.version)
        else:
            old = make.buys(buy_offer(data.draw, history.version, name, history.weather), cause=history.version)
        return not apply(seen, old).bids

    for _ in range(data.draw(st.integers(1, 10))):
        if data.draw(st.booleans()) and not hear_old_version():
            return
        message = history.next()
        offers = [one for one in getattr(message, "offers", getattr(message, "withdrawals", ())) if one.offer_id != name]
        kept = message.model_copy(update={"offers" if hasattr(message, "offers") else "withdrawals": tuple(offers)})
        if apply(seen, kept).bids or apply(never, kept).bids:
            return
    history.version += 1
    last: Any
    if name.startswith("s"):
        last = make.sells(sell_offer(data.draw, history.version, st.just(False), name, history.weather), at=seen.at, cause="last")
    else:
        last = make.buys(buy_offer(data.draw, history.version, name, history.weather), at=seen.at, cause="last")
    bids, others = apply(seen, last).bids, apply(never, last).bids
    assert said(bids) == said(others)
    assert make.picture(seen) == make.picture(never)
