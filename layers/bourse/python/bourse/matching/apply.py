"""What each message does to a book. `apply` is deterministic: the same book and message make the same bids and the same book.

All changes of a message are taken before anything is matched, so the offers of one plan never trade against each other's past.
Nothing an offer can say raises: terms that make no sense take the offer out of the book (`refused`) until its next version.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Final

from bourse.assessment.events import SellOffer, SellOffersPlaced
from bourse.assets.events import OffersWithdrawn, OfferWithdrawal
from bourse.ledger.events import BidsReturned, ReturnedBid
from bourse.matching.book import Book, Step, hold_all, let_all_go, repay
from bourse.matching.criteria import canonical
from bourse.matching.match import Affected, rematch, roll_back
from bourse.matching.model import Buy, Hold, OfferState, Sell
from bourse.matching.price import is_ratio
from bourse.money import MINOR_MAX
from bourse.trading.events import BuyOffer, BuyOffersPlaced

Heard = SellOffersPlaced | OffersWithdrawn | BuyOffersPlaced | BidsReturned
_VOLUME_MAX: Final = 10**15
"""No offer is larger (minor units), so the sums of a book stay within int64."""
_HOLDS: Final = {"insufficient_cash": Hold.INSUFFICIENT_CASH, "investor_blocked": Hold.INVESTOR_BLOCKED}
_CLOSES: Final = {"loan_closed": OfferState.WITHDRAWN, "oversold": OfferState.SUSPENDED}


def apply(book: Book, message: Heard) -> Step:
    """Take one message: the book changes in place, the step says what to publish. A book whose step is not committed must be dropped."""
    book.begin(message.said_at)
    match message:
        case SellOffersPlaced():
            affected = _hear_sells(book, message.offers)
        case OffersWithdrawn():
            affected = _hear_withdrawals(book, message.withdrawals)
        case BuyOffersPlaced():
            affected = _hear_buys(book, message.offers)
        case BidsReturned():
            affected = _hear_returns(book, message.bids)
    rematch(book, affected)
    return book.finish()


def _hear_sells(book: Book, offers: Iterable[SellOffer]) -> Affected:
    newest: dict[str, SellOffer] = {}
    for offer in offers:
        known = newest[offer.offer_id].version if offer.offer_id in newest else _version(book, offer.offer_id)
        if known < offer.version <= MINOR_MAX:
            newest[offer.offer_id] = offer
        else:
            book.step.counts["offers_ignored"] += 1
    due = [sell for sell in _due(book) if sell.offer_id not in newest]
    affected = roll_back(book, [*due, *(book.sells[offer_id] for offer_id in newest if offer_id in book.sells)])
    _close(book, due, OfferState.EXPIRED)
    for offer in newest.values():
        _put_sell(book, offer, affected)
    book.step.counts["sell_offers"] += len(newest)
    return affected


def _hear_withdrawals(book: Book, withdrawals: Iterable[OfferWithdrawal]) -> Affected:
    """A withdrawal takes the offers of its own version with it, so the order in which an offer and its withdrawal come does not matter."""
    leaving: dict[str, OfferWithdrawal] = {}
    for one in withdrawals:
        sell = book.sells.get(one.offer_id)
        known = max(_version(book, one.offer_id), leaving[one.offer_id].version if one.offer_id in leaving else -1)
        if known < one.version <= MINOR_MAX or (one.version == known and sell is not None and sell.closed is not OfferState.WITHDRAWN):
            leaving[one.offer_id] = one
        else:
            book.step.counts["offers_ignored"] += 1
    due = [sell for sell in _due(book) if sell.offer_id not in leaving]
    affected = roll_back(book, [*due, *(book.sells[offer_id] for offer_id in leaving if offer_id in book.sells)])
    _close(book, due, OfferState.EXPIRED)
    for one in leaving.values():
        _withdraw(book, one, affected)
    book.step.counts["offers_withdrawn"] += len(leaving)
    return affected


def _withdraw(book: Book, one: OfferWithdrawal, affected: Affected) -> None:
    if (sell := book.sells.get(one.offer_id)) is None:
        book.void[one.offer_id] = one.version
        return
    book.touch(sell)
    sell.version = one.version
    if one.reason == "repaid":
        affected.portfolios |= {portfolio.portfolio_id: portfolio for portfolio in repay(sell, book.portfolios)}
    _close(book, [sell], OfferState.WITHDRAWN)


def _hear_buys(book: Book, offers: Iterable[BuyOffer]) -> Affected:
    newest: dict[str, BuyOffer] = {}
    for offer in offers:
        known = newest.get(offer.offer_id) or book.buys.get(offer.offer_id)
        if (known.version if known else -1) < offer.version <= MINOR_MAX:
            newest[offer.offer_id] = offer
        else:
            book.step.counts["offers_ignored"] += 1
    due = _due(book)
    affected = roll_back(book, [*due, *(book.buys[offer_id] for offer_id in newest if offer_id in book.buys)])
    _close(book, due, OfferState.EXPIRED)
    for offer in newest.values():
        buy = _put_buy(book, offer)
        affected.buys[buy.offer_id] = buy
    if book.index.is_cluttered():
        book.index.forget_groups(book.sells.values(), book.buys.values())
    book.step.counts["buy_offers"] += len(newest)
    return affected


def _hear_returns(book: Book, bids: Iterable[ReturnedBid]) -> Affected:
    """Returned volume is open again on both sides, and both are matched again, with two exceptions.

    A buy offer whose investor had no cash (or is blocked) would bid the same again at once, be returned again, and so on for
    ever: it is on hold until its next version, which the planner makes of the balances as they are then. A sell offer whose loan
    is closed, or of which more was sold than there is, is out of the book until its next version for the same reason.
    """
    taken: list[tuple[ReturnedBid, Sell, Buy]] = []
    for bid in bids:
        sell, buy = book.sells.get(bid.offer_id), book.buys.get(bid.buy_offer_id)
        if bid.bid_id in book.returned or sell is None or buy is None or not 0 < bid.principal <= min(sell.published, buy.published):
            book.step.counts["returns_ignored"] += 1
            continue
        book.restore(sell, buy, bid.bid_id, bid.principal, bid.reason)
        _watch(book, sell)
        taken.append((bid, sell, buy))
    closing = {sell.offer_id: (sell, _CLOSES[bid.reason]) for bid, sell, _ in taken if bid.reason in _CLOSES and not sell.closed}
    closing = {sell.offer_id: (sell, OfferState.EXPIRED) for sell in _due(book)} | closing
    holding = {buy.offer_id: (buy, _HOLDS[bid.reason]) for bid, _, buy in taken if bid.reason in _HOLDS and not buy.hold}
    affected = roll_back(book, [*(sell for sell, _ in closing.values()), *(buy for buy, _ in holding.values())])
    for buy, hold in holding.values():
        book.index.leave(buy)
        buy.hold = hold
    for sell, state in closing.values():
        _close(book, [sell], state)
    for _, sell, buy in taken:
        book.index.refresh_sell(sell)
        book.index.refresh_buy(buy)
        affected.sells[sell.offer_id] = sell
        affected.portfolios[buy.portfolio.portfolio_id] = buy.portfolio
        if sell.closed and sell.offer_id in book.sells:
            book.forget(sell)
    book.step.counts["bids_returned"] += len(taken)
    return affected


def _put_sell(book: Book, offer: SellOffer, affected: Affected) -> None:
    """Give the sell offer the terms of its new version; what was published on it stays, and a volume below that is raised to it."""
    sell = book.sells.get(offer.offer_id)
    if sell is None:
        sell = book.sells[offer.offer_id] = _sell(offer)
        book.void.pop(offer.offer_id, None)
        book.touch(sell, new=True)
    else:
        book.touch(sell)
        holders, counted = let_all_go(sell, book.portfolios), (sell.originator_id, sell.borrower_id)
        _retell(sell, offer)
        hold_all(sell, holders)
        if counted != (sell.originator_id, sell.borrower_id):
            # It counts for another borrower now, so there is room with the one before.
            affected.portfolios |= {portfolio.portfolio_id: portfolio for portfolio, _ in holders}
    sell.seq = book.next_seq()
    if sell.volume < sell.published:
        sell.volume = sell.published
        book.step.counts["volumes_clamped"] += 1
    sell.set_lot()
    sell.closed = _why_closed(book, offer)
    _watch(book, sell)
    if sell.closed:
        _close(book, [sell], sell.closed)
    else:
        book.index.ask_all(sell)
        book.index.refresh_sell(sell)
    affected.sells[sell.offer_id] = sell


def _sell(offer: SellOffer) -> Sell:
    return Sell(
        offer_id=offer.offer_id,
        version=offer.version,
        seq=0,
        loan_id=offer.loan_id,
        originator_id=offer.originator_id,
        borrower_id=offer.borrower_id,
        product_id=offer.product_id,
        volume=offer.volume if _is_sound(offer) else 0,
        partial=offer.partial_sale,
        lot_min=min(offer.lot_min, _VOLUME_MAX),
        ratio=offer.sell_ratio,
        labels=offer.labels,
        numbers=offer.numbers,
        expires_at=None if offer.partial_sale else offer.expires_at,
    )


def _retell(sell: Sell, offer: SellOffer) -> None:
    """The terms of the offer, put over those of the version before."""
    new = _sell(offer)
    for name in _TERMS:
        setattr(sell, name, getattr(new, name))


_TERMS: Final = (
    "version", "loan_id", "originator_id", "borrower_id", "product_id", "volume", "partial", "lot_min", "ratio", "labels", "numbers", "expires_at"
)  # fmt: skip


def _why_closed(book: Book, offer: SellOffer) -> OfferState | None:
    if not _is_sound(offer):
        book.step.counts["offers_refused"] += 1
        return OfferState.REFUSED
    if not offer.partial_sale and offer.expires_at is not None and offer.expires_at <= book.at:
        return OfferState.EXPIRED
    return None


def _is_sound(offer: SellOffer) -> bool:
    return 0 <= offer.volume <= _VOLUME_MAX and is_ratio(offer.sell_ratio)


def _put_buy(book: Book, offer: BuyOffer) -> Buy:
    """The buy offer with the terms of its new version; what was published for it stays."""
    published = 0
    if (old := book.buys.get(offer.offer_id)) is not None:
        book.index.leave(old)
        del old.portfolio.buys[old.offer_id]
        published = old.published
    new = _buy(book, offer, published)
    book.buys[offer.offer_id] = new.portfolio.buys[offer.offer_id] = new
    book.index.enter(new)
    return new


def _buy(book: Book, offer: BuyOffer, published: int) -> Buy:
    sound = 0 <= offer.volume <= _VOLUME_MAX and is_ratio(offer.buy_ratio)
    volume = offer.volume if sound else 0
    book.step.counts["offers_refused"] += not sound
    return Buy(
        offer_id=offer.offer_id,
        version=offer.version,
        seq=book.next_seq(),
        portfolio=book.portfolio(offer.portfolio_id),
        bucket_id=offer.bucket_id,
        investor_id=offer.investor_id,
        product_id=offer.product_id,
        criteria=canonical(offer.criteria),
        volume=volume,
        limit=volume + max(0, min(offer.settled_total, published)),
        per_loan_max=_bounded(offer.per_loan_max),
        per_borrower_max=None if offer.per_borrower_max is None else _bounded(offer.per_borrower_max),
        per_originator_max=None if offer.per_originator_max is None else _bounded(offer.per_originator_max),
        ratio=offer.buy_ratio,
        hold=None if sound else Hold.REFUSED,
        published=published,
    )


def _bounded(limit: int) -> int:
    return max(0, min(limit, _VOLUME_MAX))


def _close(book: Book, sells: Iterable[Sell], state: OfferState) -> None:
    for sell in sells:
        book.touch(sell)
        sell.closed = state
        book.index.refresh_sell(sell)
        book.forget(sell)


def _version(book: Book, offer_id: str) -> int:
    """The version of a sell offer the book knows, or below all versions."""
    if sell := book.sells.get(offer_id):
        return sell.version
    return book.void.get(offer_id, -1)


def _watch(book: Book, sell: Sell) -> None:
    """Remember when an all-or-nothing offer gives up."""
    if sell.expires_at is not None and not sell.closed:
        heappush(book.expiring, (sell.expires_at, sell.offer_id, sell.version))


def _due(book: Book) -> list[Sell]:
    """All-or-nothing offers that are open and whose time is up, once."""
    due: dict[str, Sell] = {}
    while book.expiring and book.expiring[0][0] <= book.at:
        _, offer_id, version = heappop(book.expiring)
        sell = book.sells.get(offer_id)
        if sell and sell.version == version and not sell.closed and sell.published < sell.volume:
            due[offer_id] = sell
    return list(due.values())
