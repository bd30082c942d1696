"""The port of the ledger: settle and post atomically, read what was booked."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from bourse.assets.events import ClosedLoan
from bourse.ledger.actions import PostedMove, PostedTransaction, Transaction
from bourse.ledger.bookings import Booked, Booking
from bourse.ledger.books import Question
from bourse.ledger.model import DecidedBid, LoanBid, Receipt, SettlementFacts, SoldLoan, StatementLine, Totals, TrialBalance
from bourse.matching.events import Bid, BidsPublished

Decide = Callable[[Sequence[Bid], SettlementFacts], tuple[DecidedBid, ...]]


class LedgerStore(Protocol):
    """The marketplace's flows on the books, and what became of every bid, per tenant.

    Promise: every method that books does so in one transaction of the books and of all that is kept beside them; afterwards every
    flavor sums to zero, no investor's cash is below zero, and of no loan more is sold than was offered. Nothing booked is changed or removed.
    """

    def settle(self, published: BidsPublished, at: datetime, decide: Decide) -> tuple[DecidedBid, ...]:
        """Read the facts, decide, and book the settled bids and the fate of all; bids decided before are left as they are.

        It is booked on condition that the facts still allow it; if not, they are read and decided on again.

        The answer has each bid once, in the order of the first. Raises Conflict BID_DIFFERS, and books nothing, when a bid was decided
        before with other terms: the worker's message then fails until somebody has looked.
        """
        ...

    def close_loans(self, tenant_id: str, originator_id: str, loans: Sequence[ClosedLoan]) -> None:
        """No bid on these versions of the loans, or lower ones, is settled from now on; a version below the one known changes nothing.

        A bid on a higher version is settled: then the originator has said that the loan is active after all.
        """
        ...

    def transfer(self, tenant_id: str, asked: Transaction, investor_id: str, window_seconds: int) -> Receipt:
        """Book a deposit or withdrawal and say so to the investor's active portfolios, in one write.

        The same transaction again is the first one's receipt. Raises Conflict TRANSFER_DIFFERS when the cause was booked with
        another amount, currency or investor, Refused INSUFFICIENT_CASH, which leaves the cause free, or ACCOUNT_CLOSED.
        """
        ...

    def book(self, tenant_id: str, asked: Booking, at: datetime, window_seconds: int) -> Booked:
        """Book a transaction, and say so to the active portfolios of the investors whose cash it moves or who are named, in one write.

        It happens at `at`, or at the last entry of what it spends where that is up to a minute later. What was booked under its id is answered with
        `before`, whatever is asked now: the caller compares the terms. Raises Refused with the codes of books.py, which leaves the id free.
        """
        ...

    def redirect(self, tenant_id: str, flavor_id: str) -> None:
        """Have those who hold this flavor and cannot be paid, as their cash account is closed, be paid into an account that waits for them."""
        ...

    def booked(self, tenant_id: str, txn_id: str) -> PostedTransaction | None:
        """What was booked under this id."""
        ...

    def actions(self, tenant_id: str, question: Question) -> Sequence[PostedMove]:
        """The latest actions that match, a hundred at most."""
        ...

    def trial_balance(self, tenant_id: str, at: datetime) -> Sequence[TrialBalance]:
        """Of everything in the books now. What holds reserve whose time is over at `at` is not held, whoever has taken note of it."""
        ...

    def statement(self, tenant_id: str, investor_id: str, currency: str, since: datetime, until: datetime) -> Sequence[StatementLine]:
        """The investor's cash in [since, until), oldest first, each line with the balance after it."""
        ...

    def sold_loans(self, tenant_id: str, originator_id: str, limit: int, after: str) -> Sequence[SoldLoan]:
        """What the originator sold, by loan id, after a loan id."""
        ...

    def bids_of_loan(self, tenant_id: str, originator_id: str, loan_id: str) -> Sequence[LoanBid]: ...

    def totals(self, tenant_id: str) -> Sequence[Totals]:
        """What was settled so far, by currency and risk class."""
        ...
