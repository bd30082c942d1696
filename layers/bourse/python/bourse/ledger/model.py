"""Nouns of the ledger: accounts by name, what a settlement is decided from, what became of a bid, and what people read."""

from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import Field

from bourse.ledger.events import ReturnReason
from bourse.matching.events import Bid
from bourse.message import Facts

LoanStatus = Literal["active", "repaid", "withdrawn", "defaulted"]

FEE: Final = "fee"
"""The account of what we earn."""
SKEW_MAX: Final = timedelta(minutes=1)
"""How far the clocks of two writers may differ: what a deposit by a faster one brought can be spent, what is dated later cannot yet."""


def cash_of(investor_id: str) -> str:
    """The account of an investor's cash; it never goes below zero."""
    return f"cash/{investor_id}"


def proceeds_of(originator_id: str) -> str:
    """The account of what an originator is owed for sold loans."""
    return f"proceeds/{originator_id}"


def issuer_of(originator_id: str) -> str:
    """The account claims on an originator's loans come from; per loan it holds minus what was sold."""
    return f"loans/{originator_id}"


def claims_of(portfolio_id: str, bucket_id: str) -> str:
    """The account of a bucket's claims."""
    return f"claims/{portfolio_id}/{bucket_id}"


def loan_flavor(originator_id: str, loan_id: str) -> str:
    """The flavor of a loan's principal: units of two loans never mix."""
    return f"loan/{originator_id}/{loan_id}"


class SettlementFacts(Facts):
    """All that the settlement of a chunk depends on. It is booked on condition that these facts still allow it."""

    known: dict[str, ReturnReason | None]
    """Bids decided before: None settled, else why returned."""
    cash: dict[str, int]
    """Investor -> minor units of cash in the bids' currency that nothing holds back; absent is none."""
    inactive: frozenset[str]
    """Investors who may not buy now."""
    closed: frozenset[str]
    """Loans that are over."""
    sold: dict[str, int]
    """Loan -> principal sold so far; absent is none."""
    offered: dict[str, int] = Field(default_factory=dict)
    """Loan -> the volume that was offered when it was sold last, which a bid without a volume of its own is held to."""
    latest: datetime | None = None
    """The last effective time of what the bids would spend: they happen not before it."""


class DecidedBid(Facts):
    """What became of a bid: settled when `reason` is None."""

    bid: Bid
    reason: ReturnReason | None = None
    known: bool = False
    """Decided by an earlier delivery: nothing is booked again."""


class TrialBalance(Facts):
    """One row of the trial balance; total is zero, volume is what stands on either side, held is what of it holds reserve."""

    currency: str
    what: Literal["cash", "claims"]
    total: int
    volume: int
    held: int
    flavors: int


class StatementLine(Facts):
    """One move of an investor's cash: positive came in, negative went out."""

    txn_id: str
    kind: str
    effective_at: datetime
    currency: str
    amount: int
    balance: int
    """After this line."""
    tags: dict[str, str]


class SoldLoan(Facts):
    """What an originator sold of one loan, and at what price; fee is what investors paid above it."""

    loan_id: str
    currency: str
    principal: int
    sell_amount: int
    fee: int
    bids: int


class LoanBid(Facts):
    """A bid on a loan as its originator may see it: without the investor."""

    bid_id: str
    outcome: Literal["settled", "returned"]
    reason: ReturnReason | None
    principal: int
    sell_amount: int
    decided_at: datetime


class Totals(Facts):
    """What was settled of one currency and risk class."""

    currency: str
    risk_class: str | None
    investments: int
    principal: int
    paid: int
    fees: int


class Receipt(Facts):
    """A deposit or withdrawal that was booked, now or before."""

    txn_id: str
    investor_id: str
    currency: str
    amount: int
    booked_before: bool
