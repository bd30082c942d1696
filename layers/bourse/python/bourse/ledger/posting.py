"""How flows become transactions of the journal: which accounts a purchase, a deposit and a withdrawal move between.

Money flows (an arrow is one move; all arrows of a line are one transaction):

    deposit      world --currency--> cash/investor
    withdrawal   cash/investor --currency--> world
    purchase     cash/investor --currency--> proceeds/originator    (sell amount)
                 cash/investor --currency--> fee                    (buy amount - sell amount)
                 loans/originator --loan--> claims/portfolio/bucket (principal)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bourse.errors import Conflict
from bourse.ids import derive
from bourse.ledger.model import FEE, WORLD, AccountKind, cash_of, claims_of, issuer_of, loan_flavor, proceeds_of
from bourse.matching.events import Bid
from bourse.message import message_id
from bourse.trading.events import BalancesChanged, balances_changed


@dataclass(frozen=True, slots=True)
class Account:
    """An account as a posting names it; one that is new is opened by the posting."""

    account_id: str
    kind: AccountKind
    owner: str
    portfolio_id: str | None = None
    bucket_id: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """`amount` (> 0) of a flavor from one account to another: balanced by construction."""

    src: str
    dst: str
    flavor: str
    amount: int
    floor: int | None = None
    """How low the source may stand from now on; None leaves what its kind says."""


@dataclass(frozen=True, slots=True)
class Txn:
    """Moves that happen together or not at all. `txn_id` is derived from the cause and is the idempotency key, for ever."""

    txn_id: str
    kind: str
    effective_at: datetime
    correlation_id: str
    moves: tuple[Move, ...]
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def payload(self) -> str:
        """A hash of what moves: the same id with another payload is a conflict, not a repetition."""
        parts = [part for move in self.moves for part in (move.src, move.dst, move.flavor, move.amount)]
        return derive("pay", self.kind, *parts)


def purchase(tenant_id: str, bid: Bid, currency: str, at: datetime, correlation_id: str) -> Txn:
    """Investor's cash to the originator and, the difference, to us; the claim on the loan to the investor's bucket."""
    cash, fee = cash_of(bid.investor_id), bid.buy_amount - bid.sell_amount
    moves = [Move(cash, proceeds_of(bid.originator_id), currency, bid.sell_amount)] if bid.sell_amount else []
    if fee:
        moves.append(Move(cash, FEE, currency, fee))
    flavor = loan_flavor(bid.originator_id, bid.loan_id)
    floor = None if bid.offer_volume is None else -bid.offer_volume  # the store itself refuses to sell more of a loan than was offered
    moves.append(Move(issuer_of(bid.originator_id), claims_of(bid.portfolio_id, bid.bucket_id), flavor, bid.principal, floor))
    tags = {"bid": bid.bid_id, "loan": bid.loan_id, "originator": bid.originator_id, "portfolio": bid.portfolio_id, "bucket": bid.bucket_id}
    return Txn(derive("txn", tenant_id, "purchase", bid.bid_id), "purchase", at, correlation_id, tuple(moves), tags)


def terms_of(bid: Bid, currency: str) -> tuple[str | int, ...]:
    """What a bid id stands for, for ever: between whom, on what, and for how much."""
    between = (bid.originator_id, bid.loan_id, bid.investor_id, bid.portfolio_id, bid.bucket_id)
    return (*between, currency, bid.principal, bid.sell_amount, bid.buy_amount)


def refuse_other_terms(bid: Bid, currency: str, kept: tuple[str | int, ...]) -> None:
    """Raises Conflict BID_DIFFERS when the id of this bid was decided with other terms: then a book has lost its memory."""
    if terms_of(bid, currency) != kept:
        raise Conflict("BID_DIFFERS", f"{bid.bid_id} was decided before with other terms")


def transfer_says(tenant_id: str, txn: Txn, portfolios: Iterable[str], window_seconds: int) -> list[BalancesChanged]:
    """A transfer's word to the investor's portfolios, one message each and of its own.

    Settlements of a window share one message, made after their commit. This one is written before the commit of its transfer:
    were it the window's, a plan made between the two would have heard it and would never see the money.
    """
    said = [balances_changed(tenant_id, one, txn.correlation_id, txn.effective_at, window_seconds) for one in portfolios]
    return [one.model_copy(update={"message_id": message_id(one.kind, tenant_id, one.portfolio_id, txn.txn_id)}) for one in said]


def accounts_of(bids: Sequence[Bid]) -> list[Account]:
    """Every account the purchases touch, once."""
    accounts: dict[str, Account] = {FEE: Account(FEE, "fee_revenue", "bourse")}
    for bid in bids:
        claims = claims_of(bid.portfolio_id, bid.bucket_id)
        accounts[claims] = Account(claims, "claims", bid.investor_id, bid.portfolio_id, bid.bucket_id)
        accounts[cash_of(bid.investor_id)] = Account(cash_of(bid.investor_id), "investor_cash", bid.investor_id)
        accounts[proceeds_of(bid.originator_id)] = Account(proceeds_of(bid.originator_id), "originator_proceeds", bid.originator_id)
        accounts[issuer_of(bid.originator_id)] = Account(issuer_of(bid.originator_id), "loan_issuer", bid.originator_id)
    return list(accounts.values())


def transfer_with_world(
    tenant_id: str, kind: str, investor_id: str, currency: str, amount: int, system: str, external_id: str, at: datetime
) -> tuple[list[Account], Txn]:
    """A deposit (kind `deposit`) or withdrawal (`withdrawal`). The cause is the external system's id of it."""
    cash = cash_of(investor_id)
    src, dst = (WORLD, cash) if kind == "deposit" else (cash, WORLD)
    accounts = [Account(WORLD, "world", "world"), Account(cash, "investor_cash", investor_id)]
    tags = {"system": system, "external_id": external_id, "investor": investor_id}
    txn_id = derive("txn", tenant_id, kind, system, external_id)
    return accounts, Txn(txn_id, kind, at, txn_id, (Move(src, dst, currency, amount),), tags)
