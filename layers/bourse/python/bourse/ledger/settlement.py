"""The rule of settlement: which bids of a chunk are booked, and which return with what reason. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bourse.ledger.events import ReturnReason
from bourse.ledger.model import DecidedBid, SettlementFacts
from bourse.matching.events import Bid


@dataclass(slots=True)
class _Left:
    """What the bids decided so far have left: cash by investor, and of each loan what is sold and was offered last."""

    cash: dict[str, int]
    sold: dict[str, int]
    offered: dict[str, int]

    def copy(self) -> "_Left":
        return _Left(dict(self.cash), dict(self.sold), dict(self.offered))


def decide(bids: Sequence[Bid], facts: SettlementFacts) -> tuple[DecidedBid, ...]:
    """Decide the bids in their order: cash goes to the earlier ones, an all-or-nothing offer's bids stand or fall together.

    A bid decided before keeps its decision, and one that stands twice in the chunk is one bid. Of an offer that cannot be
    completed the bids at fault carry their own reason, the others `offer_incomplete`.
    """
    bids = list({bid.bid_id: bid for bid in bids}.values())
    left = _Left(facts.cash, facts.sold, facts.offered).copy()
    decided: dict[str, DecidedBid] = {}
    for group in _groups(bids):
        trial = left.copy() if len(group) > 1 else left  # a bid alone takes what it needs or nothing
        reasons = [_try(bid, facts, trial) for bid in group]
        if not any(reasons):
            left = trial
        for bid, reason in zip(group, reasons, strict=True):
            decided[bid.bid_id] = DecidedBid(bid=bid, reason=reason or ("offer_incomplete" if any(reasons) else None))
    return tuple(_known(bid, facts) if bid.bid_id in facts.known else decided[bid.bid_id] for bid in bids)


def _known(bid: Bid, facts: SettlementFacts) -> DecidedBid:
    return DecidedBid(bid=bid, reason=facts.known[bid.bid_id], known=True)


def _groups(bids: Sequence[Bid]) -> Iterator[list[Bid]]:
    """Bids that stand or fall together, in the order of their first: an all-or-nothing offer's, and every other bid alone.

    Whether known or not, an offer's bids were decided together in one transaction, so a group is known whole or not at all.
    """
    groups: dict[str, list[Bid]] = {}
    for bid in bids:
        groups.setdefault(f"{bid.offer_id}/{bid.offer_version}" if bid.completes else bid.bid_id, []).append(bid)
    yield from groups.values()


def _try(bid: Bid, facts: SettlementFacts, left: _Left) -> ReturnReason | None:
    """Take the bid's cash and principal, or say why not. A known bid takes nothing: the facts were read after it was booked."""
    if bid.bid_id in facts.known:
        return None
    if bid.loan_id in facts.closed:
        return "loan_closed"
    if bid.investor_id in facts.inactive:
        return "investor_blocked"
    cash = left.cash.get(bid.investor_id, 0) - bid.buy_amount
    if cash < 0:
        return "insufficient_cash"
    sold = left.sold.get(bid.loan_id, 0) + bid.principal
    offered = bid.offer_volume if bid.offer_volume is not None else left.offered.get(bid.loan_id)
    if offered is not None:
        if sold > offered:
            return "oversold"
        left.offered[bid.loan_id] = offered
    left.cash[bid.investor_id] = cash
    left.sold[bid.loan_id] = sold
    return None
