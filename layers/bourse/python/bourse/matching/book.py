"""The book of one (tenant, currency, asset kind): its state, and the only operations that change it.

**What a book knows.**
- `sells`: sell offers by id. Terms of the current version, principal `published` (said and not returned, over all versions),
  principal `reserved` by the bids an all-or-nothing offer has gathered, and who `held` how much of the loan.
- `void`: offers that were withdrawn with nothing published, as id -> version: tombstones. An offer of that version or a lower
  one that comes later (it was still being assessed) changes nothing.
- `portfolios`: for each the principal reserved or published per originator and per borrower, and its buy offers; the sums per
  loan stand at the sell offer (`held`), where they are asked for. A repaid loan gives back its room per borrower and originator.
- `buys`: buy offers by id, live or not: what was published for a bucket must be remembered as long as the bucket lives.
- `returned`: bids that came back, so that none comes back twice.
- `version`: how many messages it has taken; `seq`: how many offer versions; `at`: the latest time a message was said.
- `index` (derived, never stored): open sell offers and active buy offers in order, and who accepts whom.

**Life of a bid.** `place` reserves it. On a loan sold in parts it is published at once. On an all-or-nothing offer it stays a
reservation, which `release` can undo, until the reservations cover the offer; then all are published in one block. A published
bid is past the point of no return: it is settled (the book hears of that by `settled_total` of the bucket's next plan) or it
returns by `restore`.

**Invariants** (tests/matching holds them after every message of made-up histories): for every sell offer
published + reserved <= max(volume, published), reserved = sum of its reservations, held = its bids by portfolio; for every portfolio the
sums equal the bids they sum; no rest below `lot` is left open that a bid made; no sell offer and buy offer that could trade are left.

**One message, one change.** `apply.apply` takes a message, the book changes in place and its `step` says what to publish.
The caller commits that or throws the book away.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

from bourse.ids import derive
from bourse.matching.events import Bid
from bourse.matching.index import Index
from bourse.matching.model import Buy, OfferChange, Placed, Portfolio, Sell
from bourse.matching.price import completed_sell_amounts
from bourse.money import ceil_share, floor_share

_Key = TypeVar("_Key")
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Step:
    """What one message made of a book. A block of bids must stay in one message."""

    blocks: list[tuple[Bid, ...]] = field(default_factory=list)
    changes: tuple[OfferChange, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def bids(self) -> list[Bid]:
        """The bids to publish, in the order they were made."""
        return [bid for block in self.blocks for bid in block]


class Book:
    """State of one book, see above. `book_id` is `tenant/currency/asset kind`."""

    def __init__(self, book_id: str) -> None:
        self.book_id: Final = book_id
        self.version = 0
        self.seq = 0
        self.at = _BEGINNING
        self.sells: Final[dict[str, Sell]] = {}
        self.void: Final[dict[str, int]] = {}
        self.buys: Final[dict[str, Buy]] = {}
        self.portfolios: Final[dict[str, Portfolio]] = {}
        self.returned: Final[set[str]] = set()
        self.index: Final = Index()
        self.reserving: Final[dict[str, Sell]] = {}
        """Derived: the sell offers that have reservations."""
        self.expiring: Final[list[tuple[datetime, str, int]]] = []
        """Derived: a heap of (expiry, offer, version) of all-or-nothing offers; may hold ones that are over."""
        self.step = Step()
        self.shown: set[str] = set()
        """Offers that readers were told of: what becomes of them is told for ever, also when the bids they had are gone."""
        self._touched: dict[str, tuple[Sell, tuple[object, ...]]] = {}
        self._came_back: dict[str, list[tuple[str, str]]] = {}

    def begin(self, at: datetime) -> None:
        """Start a step at this time; time never runs backwards in a book, whoever says what."""
        self.at = max(self.at, at)
        self.step = Step()
        self._touched = {}
        self._came_back = {}

    def finish(self) -> Step:
        """End the step: the version counts it, and what changed in offers that have bids is told."""
        self.version += 1
        touched = (self._touched[offer_id] for offer_id in sorted(self._touched))
        told = [sell for sell, before in touched if self._figures(sell) != before or sell.offer_id in self._came_back]
        self.step.changes = tuple(map(self._change, told))
        self.shown.update(sell.offer_id for sell in told)
        return self.step

    def next_seq(self) -> int:
        """The number of the next offer version to arrive."""
        self.seq += 1
        return self.seq

    def portfolio(self, portfolio_id: str) -> Portfolio:
        """The portfolio's sums; made when first met."""
        if (found := self.portfolios.get(portfolio_id)) is None:
            found = self.portfolios[portfolio_id] = Portfolio(portfolio_id)
        return found

    def touch(self, sell: Sell, *, new: bool = False) -> None:
        """Before a sell offer changes: remember how it was; nothing of one that is new, though readers may know it from before it was forgotten."""
        if sell.offer_id not in self._touched:
            self._touched[sell.offer_id] = (sell, () if new else self._figures(sell))

    def place(self, sell: Sell, buy: Buy, principal: int) -> None:
        """Reserve `principal` of the sell offer for the buy offer; publish when it may be. The index is refreshed by the caller."""
        self.touch(sell)
        _hold(sell, buy.portfolio, principal)
        if sell.partial:
            self.step.blocks.append((self._bid(sell, buy, principal, floor_share(principal, sell.ratio)),))
            return
        buy.reserved += principal
        sell.reserved += principal
        if placed := sell.placed.get(buy.offer_id):
            placed.principal += principal
        else:
            sell.placed[buy.offer_id] = buy.placed[sell.offer_id] = Placed(sell, buy, principal)
            self.reserving[sell.offer_id] = sell
        if sell.open == 0:
            self._complete(sell)

    def release(self, placed: Placed) -> None:
        """Undo a reservation. The index is refreshed by the caller."""
        sell, buy, principal = placed.sell, placed.buy, placed.principal
        self.touch(sell)
        self._take_off(placed)
        _let_go(sell, buy.portfolio, principal)
        self.step.counts["bids_released"] += 1

    def restore(self, sell: Sell, buy: Buy, bid_id: str, principal: int, reason: str) -> None:
        """A published bid returned: its principal is open again on both sides. The index is refreshed by the caller."""
        self.touch(sell)
        self.returned.add(bid_id)
        self._came_back.setdefault(sell.offer_id, []).append((bid_id, reason))
        sell.published -= principal
        buy.published -= principal
        sell.set_lot()
        portfolio_id = buy.portfolio.portfolio_id
        if (repaid := min(principal, sell.let_go.get(portfolio_id, 0))) > 0:
            _less(sell.let_go, portfolio_id, repaid)
        _let_go(sell, buy.portfolio, principal - repaid)

    def forget(self, sell: Sell) -> None:
        """A closed offer nothing was published on is only a tombstone; another closed one keeps its sums and loses its attributes."""
        if sell.published or sell.held:
            sell.labels, sell.numbers = {}, {}
        else:
            del self.sells[sell.offer_id]
            self.void[sell.offer_id] = sell.version

    def _complete(self, sell: Sell) -> None:
        reservations = list(sell.placed.values())
        for placed in reservations:
            self._take_off(placed)
        sell_amounts = completed_sell_amounts([placed.principal for placed in reservations], sell.ratio)
        pairs = zip(reservations, sell_amounts, strict=True)
        self.step.blocks.append(tuple(self._bid(sell, placed.buy, placed.principal, amount) for placed, amount in pairs))

    def _take_off(self, placed: Placed) -> None:
        sell, buy = placed.sell, placed.buy
        sell.reserved -= placed.principal
        buy.reserved -= placed.principal
        del sell.placed[buy.offer_id], buy.placed[sell.offer_id]
        if not sell.placed:
            del self.reserving[sell.offer_id]

    def _bid(self, sell: Sell, buy: Buy, principal: int, sell_amount: int) -> Bid:
        buy_amount = ceil_share(principal, buy.ratio)
        assert buy_amount >= sell_amount, "a fee is never negative"
        sell.published += principal
        buy.published += principal
        sell.bids_made += 1
        return Bid(
            bid_id=derive("bid", self.book_id, sell.offer_id, sell.version, buy.offer_id, buy.version, sell.bids_made),
            offer_id=sell.offer_id,
            offer_version=sell.version,
            loan_id=sell.loan_id,
            originator_id=sell.originator_id,
            borrower_id=sell.borrower_id,
            buy_offer_id=buy.offer_id,
            buy_offer_version=buy.version,
            portfolio_id=buy.portfolio.portfolio_id,
            bucket_id=buy.bucket_id,
            investor_id=buy.investor_id,
            product_id=sell.product_id,
            risk_class=sell.labels.get("risk_class"),
            principal=principal,
            sell_amount=sell_amount,
            buy_amount=buy_amount,
            offer_volume=sell.volume,
            completes=not sell.partial,
        )

    def _figures(self, sell: Sell) -> tuple[object, ...]:
        """What a reader of the offer would see; of one that never had a bid, nothing."""
        if not (sell.bids_made or sell.reserved or sell.offer_id in self.shown):
            return ()
        return sell.version, sell.closed, sell.volume, sell.published, sell.reserved, sell.bids_made

    def _change(self, sell: Sell) -> OfferChange:
        return OfferChange(
            offer_id=sell.offer_id,
            loan_id=sell.loan_id,
            version=sell.version,
            state=sell.state,
            partial_sale=sell.partial,
            volume=sell.volume,
            filled=sell.published + sell.reserved,
            published=sell.published,
            bids_total=sell.bids_made,
            returned=tuple(self._came_back.get(sell.offer_id, ())),
        )


def _hold(sell: Sell, portfolio: Portfolio, principal: int) -> None:
    held, originators, originator = sell.held, portfolio.originators, sell.originator_id
    held[portfolio.portfolio_id] = held.get(portfolio.portfolio_id, 0) + principal
    originators[originator] = originators.get(originator, 0) + principal
    if sell.borrower_id is not None:
        borrower = (originator, sell.borrower_id)
        portfolio.borrowers[borrower] = portfolio.borrowers.get(borrower, 0) + principal


def _let_go(sell: Sell, portfolio: Portfolio, principal: int) -> None:
    """The sums per loan, originator and borrower go down."""
    if principal:
        _less(sell.held, portfolio.portfolio_id, principal)
        _less(portfolio.originators, sell.originator_id, principal)
        if sell.borrower_id is not None:
            _less(portfolio.borrowers, (sell.originator_id, sell.borrower_id), principal)


Holding = tuple[Portfolio, int]
"""A portfolio and the principal it holds of a loan."""


def let_all_go(sell: Sell, portfolios: dict[str, Portfolio]) -> list[Holding]:
    """Nobody's room is taken by the loan, while its terms change. Returns who held it."""
    holders = [(portfolios[portfolio_id], principal) for portfolio_id, principal in sorted(sell.held.items())]
    for portfolio, principal in holders:
        _let_go(sell, portfolio, principal)
    return holders


def repay(sell: Sell, portfolios: dict[str, Portfolio]) -> list[Portfolio]:
    """The loan is repaid: it takes nobody's room any more. Call it when nothing is reserved. Returns who has room again.

    A bid that returns after that is taken for one of those that take no room, which is the cautious way to see it.
    """
    holders = let_all_go(sell, portfolios)
    for portfolio, principal in holders:
        sell.let_go[portfolio.portfolio_id] = sell.let_go.get(portfolio.portfolio_id, 0) + principal
    return [portfolio for portfolio, _ in holders]


def hold_all(sell: Sell, holders: list[Holding]) -> None:
    """They hold it again, counted by the originator and borrower it has now."""
    for portfolio, principal in holders:
        _hold(sell, portfolio, principal)


def _less(sums: dict[_Key, int], key: _Key, principal: int) -> None:
    left = sums[key] - principal
    assert left >= 0, "a sum of bids went below zero"
    if left:
        sums[key] = left
    else:
        del sums[key]
