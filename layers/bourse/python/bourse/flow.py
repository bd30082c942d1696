"""THE PAGE: every hop of the marketplace. Queues, functions, permissions and the table in ARCHITECTURE.md are made from it.

Read a hop as a sentence: this source is heard by this function, which says these messages. A message goes to the queue
of the function that hears it; a function that hears several kinds has one queue for all, so their order is kept.
"""

import sys
from dataclasses import dataclass
from typing import Final

from bourse.assessment.events import SellOffersPlaced
from bourse.assets.events import AssetsVersioned, LoansClosed, OffersWithdrawn, RecordsRead, UploadReady
from bourse.ledger.events import BidsReturned
from bourse.matching.events import BidsPublished
from bourse.message import Message
from bourse.trading.events import BalancesChanged, BuyOffersPlaced


@dataclass(frozen=True, slots=True)
class Http:
    """Requests of one audience, each with its own authority."""

    audience: str


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """An object arrived in a bucket; S3 tells it at least once, late, and in any order."""

    bucket: str


@dataclass(frozen=True, slots=True)
class Every:
    """A schedule."""

    minutes: int


@dataclass(frozen=True, slots=True)
class Queue:
    """A FIFO queue with its dead-letter queue. `collect` holds messages back so that many causes make one message."""

    name: str
    hears: tuple[type[Message], ...]
    collect: bool = False


@dataclass(frozen=True, slots=True)
class Hop:
    """One function and what it hears, says, and reaches. `reaches` names stores; the role of the function is made of it."""

    domain: str
    function: str
    source: Http | ObjectCreated | Every | Queue
    says: tuple[type[Message], ...] = ()
    reaches: tuple[str, ...] = ()


FLOW: Final = (
    Hop("assets", "originator_api", Http("originator"), reaches=("uploads:sign", "pipeline:write", "versions:read", "offers:read", "postgres")),
    Hop("assets", "intake", ObjectCreated("uploads"), says=(RecordsRead, UploadReady), reaches=("uploads:read", "pipeline:write", "hash_key")),
    Hop("assets", "intake", Queue("uploads", (UploadReady,)), says=(RecordsRead, UploadReady), reaches=("uploads:read", "pipeline:write", "hash_key")),
    Hop("assets", "sweep_uploads", Every(minutes=1), says=(UploadReady,), reaches=("uploads:list", "pipeline:write")),
    Hop(
        "assets",
        "version_assets",
        Queue("assets", (RecordsRead,)),
        says=(AssetsVersioned, OffersWithdrawn, LoansClosed),
        reaches=("pipeline:write", "versions:append"),
    ),
    Hop(
        "assessment",
        "assess_assets",
        Queue("assessments", (AssetsVersioned,)),
        says=(SellOffersPlaced, OffersWithdrawn),
        reaches=("versions:append", "postgres"),
    ),
    Hop("trading", "investor_api", Http("investor"), says=(BalancesChanged, BuyOffersPlaced), reaches=("postgres",)),
    Hop("parties", "operator_api", Http("operator"), says=(BalancesChanged,), reaches=("pipeline:read", "postgres", "token_key", "operations_key")),
    Hop("trading", "relay_outbox", Every(minutes=1), says=(BalancesChanged, BuyOffersPlaced), reaches=("postgres",)),
    Hop("trading", "plan_purchases", Queue("balances", (BalancesChanged,), collect=True), says=(BuyOffersPlaced,), reaches=("postgres",)),
    Hop(
        "matching",
        "match_offers",
        Queue("offers", (SellOffersPlaced, OffersWithdrawn, BuyOffersPlaced, BidsReturned)),
        says=(BidsPublished,),
        reaches=("book:write", "offers:write", "snapshots:write"),
    ),
    Hop(
        "ledger",
        "settle_investments",
        Queue("settlements", (BidsPublished, LoansClosed)),
        says=(BalancesChanged, BidsReturned),
        reaches=("postgres", "operations_key"),
    ),
    Hop("ledger", "seal_ledger", Every(minutes=1), reaches=("postgres",)),
)
"""Ordered by domain, lowest first; within a domain as the facts travel."""


def hops_of(domain: str) -> tuple[Hop, ...]:
    """The hops whose function belongs to this domain."""
    return tuple(hop for hop in FLOW if hop.domain == domain)


def functions() -> tuple[str, ...]:
    """Every function, once, in the order of the page."""
    return tuple(dict.fromkeys(hop.function for hop in FLOW))


def queues() -> tuple[Queue, ...]:
    """Every queue, in the order of the page."""
    return tuple(hop.source for hop in FLOW if isinstance(hop.source, Queue))


def messages() -> dict[str, type[Message]]:
    """Every kind of message that travels, by its kind."""
    return {message.kind: message for queue in queues() for message in queue.hears}


def queue_hearing(message: type[Message]) -> Queue:
    """The one queue a message goes to. Raises LookupError for a message nobody hears."""
    for queue in queues():
        if message in queue.hears:
            return queue
    raise LookupError(f"nobody hears {message.__name__}: give it a hop in flow.py")


def table() -> str:
    """The page as a Markdown table, the one in ARCHITECTURE.md."""
    rows = ["| domain | hears | function | says |", "|---|---|---|---|"]
    rows += [f"| {hop.domain} | {_sentence(hop.source)} | `{hop.function}` | {', '.join(said.__name__ for said in hop.says) or '-'} |" for hop in FLOW]
    return "\n".join(rows)


def _sentence(source: Http | ObjectCreated | Every | Queue) -> str:
    match source:
        case Http(audience):
            return f"HTTPS requests of {audience}s"
        case ObjectCreated(bucket):
            return f"object created in `{bucket}`"
        case Every(minutes):
            return f"every {minutes} min"
        case Queue(name, hears):
            return f"`{name}.fifo`: " + ", ".join(heard.__name__ for heard in hears)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
