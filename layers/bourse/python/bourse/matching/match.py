"""The rules of matching: how much a pair trades, in which order candidates come, and what is made again when a cause is undone.

A sell offer serves the buy offers that accept it in order of their arrival. A buy offer takes all-or-nothing offers that have
begun first, the fullest first (or money is held for loans nobody completes), then the rest, the fullest first, then the earlier.

**Undoing.** When a version is replaced or withdrawn its reservations are released. Others may have been made only because of
them, so every reservation that arrived at or after the first of them is released too, and the offers concerned arrive again in
their order, each meeting only those before it. As long as nothing was published, the book is then the one that never saw the
old version. What was published stays.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from bourse.matching.book import Book
from bourse.matching.index import Index
from bourse.matching.model import Buy, Placed, Portfolio, Sell

_Offer = TypeVar("_Offer", Sell, Buy)


@dataclass(slots=True)
class Affected:
    """Who may trade anew: offers that arrived, sell offers with more room, portfolios with more room; and since which arrival bids were undone."""

    sells: dict[str, Sell] = field(default_factory=dict)
    portfolios: dict[str, Portfolio] = field(default_factory=dict)
    buys: dict[str, Buy] = field(default_factory=dict)
    since: int | None = None

    def open_sells(self) -> list[Sell]:
        """The sell offers among them that can trade, by arrival."""
        return sorted((sell for sell in self.sells.values() if sell.open > 0), key=_arrival)

    def open_buys(self) -> list[Buy]:
        """The buy offers among them that can trade, by arrival: room in a portfolio is room for each of its buckets."""
        siblings = (buy for portfolio in self.portfolios.values() for buy in portfolio.buys.values())
        buys = {buy.offer_id: buy for buy in chain(siblings, self.buys.values())}
        return sorted((buy for buy in buys.values() if buy.ranked), key=_arrival)


def quantity(sell: Sell, buy: Buy) -> int:
    """Principal the pair can trade now, in minor units; 0 when it cannot. Criteria are not asked here.

    All that is open if the buy offer has room for it; else as much as leaves a rest that can be bid for, or nothing.
    """
    if sell.originator_id == buy.investor_id or buy.ratio < sell.ratio:
        return 0
    portfolio = buy.portfolio
    room = min(buy.open, buy.per_loan_max - sell.held.get(portfolio.portfolio_id, 0))
    if buy.per_originator_max is not None:
        room = min(room, buy.per_originator_max - portfolio.originators.get(sell.originator_id, 0))
    if buy.per_borrower_max is not None and sell.borrower_id is not None:
        room = min(room, buy.per_borrower_max - portfolio.borrowers.get((sell.originator_id, sell.borrower_id), 0))
    rest = sell.open
    if room >= rest:
        return max(0, rest)
    principal = min(room, rest - sell.lot)
    return principal if principal >= sell.lot else 0


def match_sell(book: Book, sell: Sell, buys: Iterable[Buy]) -> None:
    """Serve the buy offers, in the order given, until the sell offer is covered."""
    index = book.index
    moved: list[Buy] = []
    for buy in buys:
        group = buy.group
        if group is None or buy.open <= 0:
            continue
        if not (sell.accepted & group.bit if sell.asked & group.bit else index.ask(sell, group)):
            continue
        if principal := quantity(sell, buy):
            book.place(sell, buy, principal)
            moved.append(buy)
            if sell.open <= 0:
                break
        elif buy.ratio < sell.ratio:
            book.step.counts["bad_prices"] += 1
    if moved:
        _refresh(index, (sell,), moved)


def match_buy(book: Book, buy: Buy, sells: Iterable[Sell]) -> None:
    """Take of the sell offers, in the order given, until the buy offer is used up."""
    index, group = book.index, buy.group
    if group is None or buy.open < index.smallest:
        return
    bit = group.bit
    moved: list[Sell] = []
    for sell in sells:
        if sell.asked & bit:
            if not sell.accepted & bit:
                continue
        elif not index.ask(sell, group):
            continue
        if principal := quantity(sell, buy):
            book.place(sell, buy, principal)
            moved.append(sell)
            if buy.open < index.smallest:
                break
        elif buy.ratio < sell.ratio:
            book.step.counts["bad_prices"] += 1
    if moved:
        _refresh(index, moved, (buy,))


def roll_back(book: Book, leaving: Iterable[Sell | Buy]) -> Affected:
    """Release the reservations of versions that leave, and all that came of them. Call it before their terms change."""
    lost = [placed for offer in leaving for placed in offer.placed.values()]
    affected = Affected()
    if not lost:
        return affected
    affected.since = since = min(placed.event for placed in lost)
    undone = [placed for sell in book.reserving.values() for placed in sell.placed.values() if placed.event >= since]
    for placed in undone:
        _undo(book, placed, affected)
    _refresh(book.index, affected.sells.values(), (placed.buy for placed in undone))
    return affected


def rematch(book: Book, affected: Affected) -> None:
    """Trade all that can be traded anew: what was undone again in its order, then whoever still finds a partner.

    While bids are only made, a pair that could not trade never can: rooms shrink, and so does a rest, never to between 0 and a
    lot. So a pair the replay has tried needs no second try, and only pairs from before it are left.
    """
    since = affected.since
    if since is not None:
        _replay(book, affected, since)
    offers: list[Sell | Buy] = [*affected.open_sells(), *affected.open_buys()]
    for offer in sorted(offers, key=_arrival):
        if since is not None and offer.seq >= since:
            break
        if isinstance(offer, Sell):
            match_sell(book, offer, book.index.buys if since is None else _before(since, book.index.buys))
        else:
            match_buy(book, offer, book.index.sells if since is None else _before(since, book.index.sells))


def _replay(book: Book, affected: Affected, since: int) -> None:
    """Let offers arrive again from `since` on, each meeting only the earlier ones; a pair of two unaffected offers cannot trade and is skipped."""
    sells, buys = affected.open_sells(), affected.open_buys()
    known_sells, known_buys = {sell.offer_id for sell in sells}, {buy.offer_id for buy in buys}
    arriving: list[Sell | Buy] = [*sells, *buys, *_accepted_since(book, buys, known_sells, since), *_active_since(book, known_buys, since)]
    for offer in sorted(arriving, key=_arrival):
        if offer.seq < since or offer.open <= 0:
            continue
        if isinstance(offer, Sell):
            serves = book.index.buys if offer.offer_id in known_sells else buys
            match_sell(book, offer, _before(offer.seq, serves))
        else:
            takes = book.index.sells if offer.offer_id in known_buys else sorted((sell for sell in sells if sell.open > 0), key=_rank)
            match_buy(book, offer, _before(offer.seq, takes))


def _before(seq: int, offers: Iterable[_Offer]) -> Iterator[_Offer]:
    return (offer for offer in offers if offer.seq < seq)


def _accepted_since(book: Book, buys: list[Buy], known: set[str], since: int) -> list[Sell]:
    """Open sell offers that arrived since, are not affected, and are accepted by one of these buy offers."""
    groups = {buy.group.bit: buy.group for buy in buys if buy.group}
    found = []
    for sell in book.index.sells:
        if sell.seq >= since and sell.offer_id not in known:
            for bit, group in groups.items():
                if sell.accepted & bit if sell.asked & bit else book.index.ask(sell, group):
                    found.append(sell)
                    break
    return found


def _active_since(book: Book, known: set[str], since: int) -> list[Buy]:
    return [buy for buy in book.index.buys if buy.seq >= since and buy.offer_id not in known]


def _undo(book: Book, placed: Placed, affected: Affected) -> None:
    book.release(placed)
    affected.sells[placed.sell.offer_id] = placed.sell
    affected.portfolios[placed.buy.portfolio.portfolio_id] = placed.buy.portfolio


def _refresh(index: Index, sells: Iterable[Sell], buys: Iterable[Buy]) -> None:
    for sell in sells:
        index.refresh_sell(sell)
    for buy in buys:
        index.refresh_buy(buy)


def _arrival(offer: Sell | Buy) -> int:
    return offer.seq


def _rank(sell: Sell) -> int:
    return sell.rank
