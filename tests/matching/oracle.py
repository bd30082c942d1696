"""The matcher written naively, from the text of the rules: lists, loops over all pairs, every sum counted anew. Slow and plain on purpose."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any

from bourse.assessment.events import SellOffer, SellOffersPlaced
from bourse.assets.events import OffersWithdrawn
from bourse.ledger.events import BidsReturned
from bourse.matching.apply import Heard
from bourse.matching.events import Bid
from bourse.trading.events import BuyOffer, BuyOffersPlaced, Criterion


@dataclass(eq=False)
class Reservation:
    sell_id: str
    buy_id: str
    portfolio: str
    principal: int
    published: bool


@dataclass(eq=False)
class SellSide:
    version: int
    seq: int = 0
    terms: SellOffer | None = None
    closed: bool = True


@dataclass(eq=False)
class BuySide:
    terms: BuyOffer
    seq: int
    settled: int
    hold: bool = False


@dataclass
class Oracle:
    """The state is what is live, and the list of all bids."""

    sells: dict[str, SellSide] = field(default_factory=dict)
    buys: dict[str, BuySide] = field(default_factory=dict)
    bids: list[Reservation] = field(default_factory=list)
    returned: set[str] = field(default_factory=set)
    repaid: dict[tuple[str, str], int] = field(default_factory=dict)
    """(sell offer, portfolio) -> principal that takes no room."""
    seq: int = 0
    at: Any = None
    said: list[tuple[str, str, int, int, int]] = field(default_factory=list)

    def hear(self, message: Heard) -> list[tuple[str, str, int, int, int]]:  # noqa: C901 - one long list of steps, on purpose
        """The bids published: (sell offer, buy offer, principal, sell amount, buy amount)."""
        self.said = []
        self.at = message.said_at if self.at is None else max(self.at, message.said_at)
        leaving_sells: set[str] = set()
        leaving_buys: set[str] = set()
        news: list[Any] = []
        affected: set[str] = set()
        portfolios: set[str] = set()
        holds: set[str] = set()
        closes: set[str] = set()
        if isinstance(message, SellOffersPlaced):
            news = self._newest(message.offers, {key: one.version for key, one in self.sells.items()})
            leaving_sells = {one.offer_id for one in news}
        elif isinstance(message, BuyOffersPlaced):
            news = self._newest(message.offers, {key: one.terms.version for key, one in self.buys.items()})
            leaving_buys = {one.offer_id for one in news}
        elif isinstance(message, OffersWithdrawn):
            for one in message.withdrawals:
                known = self.sells.get(one.offer_id)
                if known is None or one.version >= known.version:
                    leaving_sells.add(one.offer_id)
                    closes.add(one.offer_id)
                    if one.reason == "repaid":
                        for portfolio in {bid.portfolio for bid in self.bids if bid.sell_id == one.offer_id and bid.published}:
                            mine = [bid for bid in self.bids if bid.published and (bid.sell_id, bid.portfolio) == (one.offer_id, portfolio)]
                            self.repaid[one.offer_id, portfolio] = sum(bid.principal for bid in mine)
                            portfolios.add(portfolio)
        elif isinstance(message, BidsReturned):
            for back in message.bids:
                if back.bid_id in self.returned:
                    continue
                self.returned.add(back.bid_id)
                match = next(
                    bid for bid in self.bids if bid.published and (bid.sell_id, bid.buy_id, bid.principal) == (back.offer_id, back.buy_offer_id, back.principal)
                )
                self.bids.remove(match)
                loan = back.offer_id, back.portfolio_id
                self.repaid[loan] = max(0, self.repaid.get(loan, 0) - back.principal)
                affected.add(back.offer_id)
                portfolios.add(back.portfolio_id)
                if back.reason in ("loan_closed", "oversold"):
                    closes.add(back.offer_id)
                if back.reason in ("insufficient_cash", "investor_blocked"):
                    holds.add(back.buy_offer_id)
        for key, one in self.sells.items():
            if not one.closed and self._expired(one) and self._open(key) + self._reserved(key) > 0 and key not in leaving_sells:
                closes.add(key)
        since = self._undo(leaving_sells | closes, leaving_buys | holds, affected, portfolios)
        for key in closes:
            self.sells.setdefault(key, SellSide(0)).closed = True
        if isinstance(message, OffersWithdrawn):
            for one in message.withdrawals:
                self.sells[one.offer_id].version = max(self.sells[one.offer_id].version, one.version)
        for key in holds:
            self.buys[key].hold = True
        for offer in news:
            before = self.sells[offer.offer_id].terms if offer.offer_id in self.sells else None
            if before and (before.originator_id, before.borrower_id) != (offer.originator_id, offer.borrower_id):
                portfolios |= {bid.portfolio for bid in self.bids if bid.sell_id == offer.offer_id and self._takes_room(offer.offer_id, bid.portfolio)}
            self._put(offer)
            affected.add(offer.offer_id)
        affected |= {key for key, one in self.buys.items() if one.terms.portfolio_id in portfolios}
        if since is not None:
            for key, seq in self._live():
                if seq >= since:
                    self._match(key, before=seq)
        for key, _ in self._live():
            if key in affected:
                self._match(key, before=None)
        return self.said

    def _takes_room(self, offer_id: str, portfolio: str) -> bool:
        """What is repaid counted for nobody before, so it counts for nobody else now."""
        taken = sum(bid.principal for bid in self.bids if (bid.sell_id, bid.portfolio) == (offer_id, portfolio))
        return taken > self.repaid.get((offer_id, portfolio), 0)

    def reserved(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for bid in self.bids:
            if not bid.published:
                mine = found.setdefault(bid.sell_id, {})
                mine[bid.buy_id] = mine.get(bid.buy_id, 0) + bid.principal
        return found

    def pairs_left(self) -> list[tuple[str, str]]:
        """Open pairs that could trade: there must be none."""
        return [(sell, buy) for sell in self.sells for buy in self.buys if self._quantity(sell, buy) > 0]

    def _newest(self, offers: Any, known: dict[str, int]) -> list[Any]:
        newest: dict[str, Any] = {}
        for offer in offers:
            if offer.version > max(known.get(offer.offer_id, -1), newest[offer.offer_id].version if offer.offer_id in newest else -1):
                newest[offer.offer_id] = offer
        return list(newest.values())

    def _expired(self, one: SellSide) -> bool:
        return one.terms is not None and not one.terms.partial_sale and one.terms.expires_at is not None and one.terms.expires_at <= self.at

    def _undo(self, sells: set[str], buys: set[str], affected: set[str], portfolios: set[str]) -> int | None:
        unsaid = [bid for bid in self.bids if not bid.published]
        lost = [self._event(bid) for bid in unsaid if bid.sell_id in sells or bid.buy_id in buys]
        if not lost:
            return None
        for bid in unsaid:
            if self._event(bid) >= min(lost):
                self.bids.remove(bid)
                affected.add(bid.sell_id)
                portfolios.add(bid.portfolio)
        return min(lost)

    def _event(self, bid: Reservation) -> int:
        return max(self.sells[bid.sell_id].seq, self.buys[bid.buy_id].seq)

    def _put(self, offer: SellOffer | BuyOffer) -> None:
        self.seq += 1
        if isinstance(offer, SellOffer):
            volume = max(offer.volume, self._published(offer.offer_id))
            side = SellSide(offer.version, self.seq, offer.model_copy(update={"volume": volume}), closed=False)
            side.closed = self._expired(side)
            self.sells[offer.offer_id] = side
        else:
            published = sum(bid.principal for bid in self.bids if bid.buy_id == offer.offer_id and bid.published)
            self.buys[offer.offer_id] = BuySide(offer, self.seq, min(offer.settled_total, published))

    def _live(self) -> list[tuple[str, int]]:
        everything = [*((key, one.seq) for key, one in self.sells.items()), *((key, one.seq) for key, one in self.buys.items())]
        return sorted(everything, key=lambda one: one[1])

    def _match(self, key: str, before: int | None) -> None:
        if key in self.sells:
            for buy in sorted(self.buys, key=lambda one: self.buys[one].seq):
                if before is None or self.buys[buy].seq < before:
                    self._trade(key, buy)
        else:
            for sell in sorted((one for one in self.sells if self.sells[one].terms), key=self._preference):
                if before is None or self.sells[sell].seq < before:
                    self._trade(sell, key)

    def _preference(self, key: str) -> tuple[bool, Fraction, int]:
        terms = self.sells[key].terms
        assert terms
        filled = self._published(key) + self._reserved(key)
        ratio = Fraction(filled, terms.volume) if terms.volume else Fraction(0)
        return not (filled and not terms.partial_sale), -ratio, self.sells[key].seq

    def _trade(self, sell: str, buy: str) -> None:
        if (principal := self._quantity(sell, buy)) <= 0:
            return
        terms = self.sells[sell].terms
        assert terms
        mine = next((bid for bid in self.bids if not bid.published and (bid.sell_id, bid.buy_id) == (sell, buy)), None)
        if mine:
            mine.principal += principal
        else:
            mine = Reservation(sell, buy, self.buys[buy].terms.portfolio_id, principal, published=False)
            self.bids.append(mine)
        if terms.partial_sale:
            self._publish(sell, [mine])
        elif self._open(sell) == 0:
            self._publish(sell, [bid for bid in self.bids if bid.sell_id == sell and not bid.published])

    def _publish(self, sell: str, bids: list[Reservation]) -> None:
        terms = self.sells[sell].terms
        assert terms
        ratio = Fraction(terms.sell_ratio)
        exact = [bid.principal * ratio for bid in bids]
        amounts = [floor(one) for one in exact]
        missing = floor(sum(exact)) - sum(amounts)
        for i in sorted(range(len(bids)), key=lambda i: (amounts[i] - exact[i], i))[:missing]:
            amounts[i] += 1
        for bid, amount in zip(bids, amounts, strict=True):
            bid.published = True
            self.said.append((sell, bid.buy_id, bid.principal, amount, ceil(bid.principal * Fraction(self.buys[bid.buy_id].terms.buy_ratio))))

    def _quantity(self, sell_id: str, buy_id: str) -> int:
        sell, buy = self.sells[sell_id], self.buys[buy_id]
        terms, wants = sell.terms, buy.terms
        if terms is None or sell.closed or buy.hold or terms.product_id != wants.product_id:
            return 0
        if terms.originator_id == wants.investor_id or wants.buy_ratio < terms.sell_ratio or not all(_accepts(one, terms) for one in wants.criteria):
            return 0
        loans: dict[str, int] = {}
        for bid in self.bids:
            if bid.portfolio == wants.portfolio_id:
                loans[bid.sell_id] = loans.get(bid.sell_id, 0) + bid.principal
        loans = {loan: taken - self.repaid.get((loan, wants.portfolio_id), 0) for loan, taken in loans.items()}
        of: dict[str, Any] = {loan: self.sells[loan].terms for loan in loans}
        room = [
            wants.volume - (sum(bid.principal for bid in self.bids if bid.buy_id == buy_id) - buy.settled),
            wants.per_loan_max - loans.get(sell_id, 0),
        ]
        if wants.per_originator_max is not None:
            room.append(wants.per_originator_max - sum(taken for loan, taken in loans.items() if of[loan].originator_id == terms.originator_id))
        if wants.per_borrower_max is not None and terms.borrower_id is not None:
            borrower = (terms.originator_id, terms.borrower_id)
            room.append(wants.per_borrower_max - sum(taken for loan, taken in loans.items() if (of[loan].originator_id, of[loan].borrower_id) == borrower))
        rest, most = self._open(sell_id), min(room)
        lot = max(1, terms.lot_min, 0 if terms.partial_sale else ceil(Fraction(terms.volume - self._published(sell_id), 200)))
        if rest <= 0 or most <= 0:
            return 0
        if most >= rest:
            return rest
        fitting = min(most, rest - lot)
        return fitting if fitting >= lot else 0

    def _open(self, key: str) -> int:
        terms = self.sells[key].terms
        return terms.volume - self._published(key) - self._reserved(key) if terms else 0

    def _published(self, key: str) -> int:
        return sum(bid.principal for bid in self.bids if bid.sell_id == key and bid.published)

    def _reserved(self, key: str) -> int:
        return sum(bid.principal for bid in self.bids if bid.sell_id == key and not bid.published)


def said(bids: list[Bid]) -> list[tuple[str, str, int, int, int]]:
    """The book's bids in the oracle's words."""
    return [(bid.offer_id, bid.buy_offer_id, bid.principal, bid.sell_amount, bid.buy_amount) for bid in bids]


def _accepts(one: Criterion, terms: SellOffer) -> bool:
    if one.op in ("in", "not_in"):
        label = terms.labels.get(one.field)
        return label is not None and (label in one.labels) == (one.op == "in")
    value = terms.numbers.get(one.field)
    if value is None:
        return False
    if one.op == "between":
        return one.numbers[0] <= value <= one.numbers[1]
    return value >= one.numbers[0] if one.op == "gte" else value <= one.numbers[0]
