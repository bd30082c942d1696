"""Sell offers for readers (GET /v1/assets/{loan_id}): state, figures, bids, and why it is as it is.

The rows are a projection that can be made again and in any order in which no bid returns before it is shown: `merge` takes the figures
of the higher book version and the union of the bids, in which returned beats published. A bid cannot return before: `match_offers` shows a
message's bids before it says them, and the ledger returns only what was said.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import orjson

from bourse.errors import Refused
from bourse.matching.events import Bid, BidsPublished
from bourse.matching.model import BidView, OfferChange, OfferState, OfferView
from bourse.matching.store import OfferStore, Shown

BIDS_SHOWN_MAX: Final = 100
"""A row holds the newest bids; the ledger holds all."""
_SAID: Final = {kind.kind: kind for kind in (BidsPublished,)}
"""Every kind a book ever said."""
_UNNAMED: Final = BidsPublished
"""What outputs hold that were committed before kinds were kept with them."""

_WHY: Final = {
    OfferState.OPEN: "No buy offer that accepts this loan has volume left.",
    OfferState.PARTIALLY_FILLED: "Sold in part; the rest waits for buy offers.",
    OfferState.FILLED: "All of the volume has bids.",
    OfferState.WITHDRAWN: "The loan is no longer for sale; bids made before stand.",
    OfferState.EXPIRED: "It can only be sold as a whole, and was not covered in time; the next version is offered again.",
    OfferState.SUSPENDED: "The ledger found more sold than there is; the next version is offered again.",
    OfferState.REFUSED: "Its volume or price makes no sense; the next version is looked at again.",
}


def offer_view(offer_id: str, *, offers: OfferStore) -> OfferView | None:
    """The sell offer of a loan (assets.events.offer_id_of), or None when it never had a bid: on its way, or open and waiting."""
    return offers.view(offer_id)


def why(view: OfferView | None) -> str:
    """One sentence for people on where the offer stands."""
    if view is None:
        return _WHY[OfferState.OPEN]
    if view.state is OfferState.PARTIALLY_FILLED and not view.partial_sale:
        return f"It can only be sold as a whole: bids for {view.filled * 100 // view.volume} % of it are reserved and wait for the rest."
    return _WHY[view.state]


def shown_by(changes: Iterable[OfferChange], says: Iterable[BidsPublished], book_version: int) -> tuple[Shown, ...]:
    """The changes of one message with the bids it published. A bid's number counts up to the offer's total after the message."""
    bids: dict[str, list[Bid]] = {}
    for message in says:
        for bid in message.bids:
            bids.setdefault(bid.offer_id, []).append(bid)
    return tuple(Shown(change, book_version, _numbered(bids.get(change.offer_id, []), change.bids_total)) for change in changes)


def _numbered(bids: list[Bid], total: int) -> tuple[BidView, ...]:
    first = total - len(bids) + 1
    return tuple(BidView(no, bid.bid_id, bid.buy_offer_id, bid.principal, bid.sell_amount) for no, bid in enumerate(bids, first))


def merge(view: OfferView | None, shown: Shown) -> OfferView:
    """The row after showing this too; the same whatever the order, as above, and however often."""
    change = shown.change
    known = {bid.bid_id: bid for bid in view.bids} if view else {}
    known = {bid.bid_id: bid for bid in shown.bids} | known
    for bid_id, reason in change.returned:
        if bid_id in known:
            known[bid_id] = replace(known[bid_id], state="returned", reason=reason)
    bids = tuple(sorted(known.values(), key=lambda bid: (bid.no, bid.bid_id))[-BIDS_SHOWN_MAX:])  # a returned bid's number may be given again
    if view and view.book_version >= shown.book_version:
        return replace(view, bids=bids)
    return OfferView(
        offer_id=change.offer_id,
        loan_id=change.loan_id,
        version=change.version,
        state=change.state,
        partial_sale=change.partial_sale,
        volume=change.volume,
        filled=change.filled,
        published=change.published,
        bids_total=change.bids_total,
        book_version=shown.book_version,
        bids=bids,
    )


def to_json(view: OfferView) -> bytes:
    """A row as JSON."""
    return orjson.dumps(view)


def from_json(text: bytes) -> OfferView:
    """The row of a JSON text made by `to_json`."""
    facts = orjson.loads(text)
    bids = tuple(BidView(**bid) for bid in facts.pop("bids"))
    return OfferView(**(facts | {"state": OfferState(facts["state"])}), bids=bids)


def outputs_of(changes: Sequence[OfferChange], says: Sequence[BidsPublished]) -> bytes:
    """What a message made its book say, as bytes to commit with it. They are read for ever, so each message is kept with its kind."""
    said = [orjson.Fragment(message.model_dump_json(exclude_none=True)) for message in says]
    return orjson.dumps({"says": said, "kinds": [message.kind for message in says], "changes": list(changes)})


def read_outputs(outputs: bytes) -> tuple[tuple[OfferChange, ...], tuple[BidsPublished, ...]]:
    """The changes and messages in such bytes. Raises Refused MESSAGE_UNKNOWN for what a newer release said: it is for that one to say again."""
    facts = orjson.loads(outputs)
    kinds = facts.get("kinds") or [_UNNAMED.kind] * len(facts["says"])
    if unknown := [kind for kind in kinds if kind not in _SAID]:
        raise Refused("MESSAGE_UNKNOWN", f"{unknown[0]} is not said here")
    says = tuple(_SAID[kind].model_validate(message) for kind, message in zip(kinds, facts["says"], strict=True))
    changes = tuple(
        OfferChange(**(change | {"state": OfferState(change["state"]), "returned": tuple((bid_id, reason) for bid_id, reason in change["returned"])}))
        for change in facts["changes"]
    )
    return changes, says
