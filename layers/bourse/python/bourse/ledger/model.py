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
    """The account of what an originator is owed: for sold loans, and of borrowers' payments the part of what he kept."""
    return f"proceeds/{originator_id}"


def collections_of(originator_id: str) -> str:
    """The account a borrower's payment passes through on its way to who it belongs to: nothing stays in it."""
    return f"collections/{originator_id}"


def receivable_of(account_id: str) -> str:
    """The account that holds minus what the owner of that account owes us, because it was spent before it was taken back."""
    return f"receivable/{account_id}"


def unclaimed_of(investor_id: str) -> str:
    """The account of money that is an investor's whose cash account is closed, until it is paid out."""
    return f"unclaimed/{investor_id}"


def issuer_of(originator_id: str) -> str:
    """The account claims on an originator's loans come from and go back to when they are repaid; per loan it holds minus what investors hold."""
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
    """Loan -> principal that investors hold now: sold, and not repaid; absent is none."""
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


class DistributionReceipt(Facts):
    """A borrower's payment that was distributed, now or before, in minor units: amount = fee + investors' + originator's."""

    txn_id: str
    originator_id: str
    loan_id: str
    currency: str
    amount: int
    fee: int
    to_investors: int
    to_originator: int
    """The part of what the originator kept of the loan."""
    principal_repaid: int
    """Claims that are retired by it."""
    claims: int
    """How many buckets' claims were paid."""
    booked_before: bool


WithdrawalStatus = Literal["requested", "paid", "failed", "expired"]


class Withdrawal(Facts):
    """A withdrawal in steps, as it stands: its cash is held while it is requested, gone once it is paid, free again when it failed or expired."""

    request_id: str
    investor_id: str
    currency: str
    amount: int
    status: WithdrawalStatus
    expires_at: datetime | None = None
    booked_before: bool = False
    """The step was booked by an earlier telling, or there was nothing left to book."""


class ReversalReceipt(Facts):
    """A deposit, distribution or withdrawal that was taken back whole, now or before."""

    txn_id: str
    reverses: str
    receivable: int
    """Minor units that were spent meanwhile, and are owed to us now."""
    booked_before: bool
