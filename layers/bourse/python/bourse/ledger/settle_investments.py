"""BidsPublished -> money and claims moved -> BidsReturned and BalancesChanged; LoansClosed -> nothing on them is settled any more."""

from collections.abc import Iterable

from bourse.assets.events import LoansClosed
from bourse.clock import Clock
from bourse.ledger.events import BidsReturned, ReturnedBid
from bourse.ledger.model import DecidedBid
from bourse.ledger.settlement import decide
from bourse.ledger.store import LedgerStore
from bourse.matching.events import BidsPublished
from bourse.message import Message, Outcome, message_id
from bourse.trading.events import balances_changed


def settle_investments(published: BidsPublished, *, ledger: LedgerStore, window_seconds: int, clock: Clock) -> Outcome:
    """Settle the bids that can be paid and return the others. Doing it again books nothing and says the same bids returned."""
    decided = ledger.settle(published, clock.now(), decide)
    settled = [one for one in decided if one.reason is None]
    counts = {
        "investments_settled": sum(1 for one in settled if not one.known),
        "bids_heard_again": sum(1 for one in decided if one.known),
        "bids_returned": len(decided) - len(settled),
        f"settled_minor_{published.currency}": sum(one.bid.buy_amount for one in settled if not one.known),
    }
    return Outcome((*_returned(published, decided), *_changed(published, decided, clock, window_seconds)), {k: v for k, v in counts.items() if v})


def close_loans(closed: LoansClosed, *, ledger: LedgerStore, window_seconds: int, clock: Clock) -> Outcome:  # noqa: ARG001  one worker, one set of ports
    """Mark loans as over; what is held of them stays held and shows its status."""
    ledger.close_loans(closed.tenant_id, closed.originator_id, closed.loans)
    return Outcome(counts={"loans_closed": len(closed.loans)})


def _returned(published: BidsPublished, decided: Iterable[DecidedBid]) -> tuple[Message, ...]:
    bids = tuple(
        ReturnedBid(
            bid_id=one.bid.bid_id,
            offer_id=one.bid.offer_id,
            buy_offer_id=one.bid.buy_offer_id,
            portfolio_id=one.bid.portfolio_id,
            borrower_id=one.bid.borrower_id,
            originator_id=one.bid.originator_id,
            principal=one.bid.principal,
            reason=one.reason,
        )
        for one in decided
        if one.reason is not None
    )
    if not bids:
        return ()
    made_id = message_id(BidsReturned.kind, published.message_id)
    envelope = {"message_id": made_id, "tenant_id": published.tenant_id, "correlation_id": published.correlation_id}
    return (BidsReturned(**envelope, book_id=published.book_id, said_at=published.said_at, bids=bids),)


def _changed(published: BidsPublished, decided: Iterable[DecidedBid], clock: Clock, window_seconds: int) -> tuple[Message, ...]:
    portfolios = sorted({one.bid.portfolio_id for one in decided})
    return tuple(balances_changed(published.tenant_id, portfolio, published.correlation_id, clock.now(), window_seconds) for portfolio in portfolios)
