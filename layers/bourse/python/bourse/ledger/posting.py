"""How flows become transactions of the journal: which accounts a purchase, a deposit and a withdrawal move between."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b

from bourse.ids import derive
from bourse.ledger.model import FEE, WORLD, AccountKind, cash_of, claims_of, issuer_of, loan_flavor, proceeds_of
from bourse.matching.events import Bid


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
        return blake2b(repr((self.kind, self.moves)).encode(), digest_size=16).hexdigest()


def purchase(tenant_id: str, bid: Bid, currency: str, at: datetime, correlation_id: str) -> Txn:
    """Investor's cash to the originator and, the difference, to us; the claim on the loan to the investor's bucket."""
    cash, fee = cash_of(bid.investor_id), bid.buy_amount - bid.sell_amount
    moves = [Move(cash, proceeds_of(bid.originator_id), currency, bid.sell_amount)] if bid.sell_amount else []
    if fee:
        moves.append(Move(cash, FEE, currency, fee))
    flavor = loan_flavor(bid.originator_id, bid.loan_id)
    moves.append(Move(issuer_of(bid.originator_id), claims_of(bid.portfolio_id, bid.bucket_id), flavor, bid.principal))
    tags = {"bid": bid.bid_id, "loan": bid.loan_id, "originator": bid.originator_id, "portfolio": bid.portfolio_id, "bucket": bid.bucket_id}
    return Txn(derive("txn", tenant_id, "purchase", bid.bid_id), "purchase", at, correlation_id, tuple(moves), tags)


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
