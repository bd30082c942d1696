"""How the marketplace's flows become transactions of the books: which tokens a deposit, a withdrawal and a purchase move.

An arrow is one action; all arrows of a line are one transaction:

    deposit      world --currency--> cash/investor                          (issue)
    withdrawal   cash/investor --currency--> world                          (retire)
    purchase     cash/investor --currency--> proceeds/originator            (transfer: sell amount)
                 cash/investor --currency--> fee                            (transfer: buy amount - sell amount)
                 loans/originator --loan--> claims/portfolio/bucket         (issue: principal, never more than was offered)
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from bourse.errors import Conflict
from bourse.ids import derive
from bourse.ledger.actions import Account, Flavor, Issue, PostedMove, Retire, Tags, Transaction, Transfer
from bourse.ledger.model import FEE, Receipt, SettlementFacts, cash_of, claims_of, collections_of, issuer_of, loan_flavor, proceeds_of
from bourse.matching.events import Bid
from bourse.message import message_id
from bourse.trading.events import BalancesChanged, balances_changed

_PRICE: Final[Tags] = {"type": "purchase_price"}
FEE_TAGS: Final[Tags] = {"type": "fee"}
"""Of everything that is ours, so that one question finds all fees."""
_CLAIM: Final[Tags] = {"type": "claim"}


def purchase(tenant_id: str, bid: Bid, currency: str, at: datetime, correlation_id: str) -> Transaction:
    """Investor's cash to the originator and, the difference, to us; the claim on the loan to the investor's bucket."""
    cash, fee = cash_of(bid.investor_id), bid.buy_amount - bid.sell_amount
    paid = [Transfer(currency, bid.sell_amount, cash, proceeds_of(bid.originator_id), action_tags=_PRICE)] if bid.sell_amount else []
    kept = [Transfer(currency, fee, cash, FEE, action_tags=FEE_TAGS)] if fee else []
    claim = Issue(
        loan_flavor(bid.originator_id, bid.loan_id),
        bid.principal,
        claims_of(bid.portfolio_id, bid.bucket_id),
        token_tags=claim_tags(bid),
        action_tags=_CLAIM,
        source=issuer_of(bid.originator_id),
        source_floor=None if bid.offer_volume is None else -bid.offer_volume,  # the books themselves refuse to sell more of a loan than was offered
    )
    tags = {"bid": bid.bid_id, "loan": bid.loan_id, "originator": bid.originator_id, "portfolio": bid.portfolio_id, "bucket": bid.bucket_id}
    txn_id = derive("txn", tenant_id, "purchase", bid.bid_id)
    return Transaction(txn_id, (*paid, *kept, claim), at, "purchase", tags, correlation_id)


def claim_tags(bid: Bid) -> Tags:
    """What a claim remembers of the offer it was bought from."""
    return {"originator_id": bid.originator_id, "loan_id": bid.loan_id, "offer_version": bid.offer_version, **_risk_class(bid)}


def transfer_with_world(tenant_id: str, kind: str, investor_id: str, currency: str, amount: int, system: str, external_id: str, at: datetime) -> Transaction:
    """A deposit (kind `deposit`) or withdrawal (`withdrawal`). The cause is the external system's id of it."""
    external = {"system": system, "external_id": external_id}
    cash, said = cash_of(investor_id), {"type": kind, **external}
    action = Issue(currency, amount, cash, action_tags=said) if kind == "deposit" else Retire(currency, amount, cash, action_tags=said)
    txn_id = derive("txn", tenant_id, kind, system, external_id)
    return Transaction(txn_id, (action,), at, kind, {**external, "investor": investor_id}, txn_id)


def receipt_of(asked: Transaction, investor_id: str) -> Receipt:
    """What a deposit or withdrawal is answered with when it is booked now."""
    [action] = asked.actions
    assert isinstance(action, Issue | Retire), "money comes from the world or goes to it"
    return Receipt(txn_id=asked.txn_id, investor_id=investor_id, currency=action.flavor_id, amount=action.amount, booked_before=False)


def receipt_again(asked: Transaction, investor_id: str, booked: Sequence[PostedMove]) -> Receipt:
    """What it is answered with when these moves booked it before. Raises Conflict TRANSFER_DIFFERS when they were of something else."""
    receipt = receipt_of(asked, investor_id)
    moved = {(cash_of(investor_id) in (one.source, one.destination), one.flavor_id) for one in booked}
    if moved != {(True, receipt.currency)} or sum(one.amount for one in booked) != receipt.amount:
        raise Conflict("TRANSFER_DIFFERS", "this external id was booked with another amount, currency or investor", "external_id")
    return receipt.model_copy(update={"booked_before": True})


def terms_of(bid: Bid, currency: str) -> tuple[str | int, ...]:
    """What a bid id stands for, for ever: between whom, on what, and for how much."""
    between = (bid.originator_id, bid.loan_id, bid.investor_id, bid.portfolio_id, bid.bucket_id)
    return (*between, currency, bid.principal, bid.sell_amount, bid.buy_amount)


def refuse_other_terms(bid: Bid, currency: str, kept: tuple[str | int, ...]) -> None:
    """Raises Conflict BID_DIFFERS when the id of this bid was decided with other terms: then a book has lost its memory."""
    if terms_of(bid, currency) != kept:
        raise Conflict("BID_DIFFERS", f"{bid.bid_id} was decided before with other terms")


def transfer_says(tenant_id: str, asked: Transaction, portfolios: Iterable[str], window_seconds: int) -> list[BalancesChanged]:
    """A transfer's word to the investor's portfolios, one message each and of its own.

    Settlements of a window share one message, made after their commit. This one is written before the commit of its transfer:
    were it the window's, a plan made between the two would have heard it and would never see the money.
    """
    said = [balances_changed(tenant_id, one, asked.correlation_id, asked.effective_at, window_seconds) for one in portfolios]
    return [one.model_copy(update={"message_id": message_id(one.kind, tenant_id, one.portfolio_id, asked.txn_id)}) for one in said]


def cash_account(investor_id: str) -> Account:
    """An investor's cash, which never goes below zero."""
    return Account(cash_of(investor_id), {"type": "investor", "holds": "cash", "investor_id": investor_id})


def currency_flavor(currency: str) -> Flavor:
    return Flavor(currency, {"type": "currency", "currency": currency})


def accounts_of(bids: Sequence[Bid]) -> list[Account]:
    """Every account the purchases touch, once. `fee` is hot, as every settlement writes it; an issuer has no floor but each loan's own."""
    accounts = {FEE: _fee_account()}
    for investor_id in {bid.investor_id for bid in bids}:
        accounts[cash_of(investor_id)] = cash_account(investor_id)
    for originator_id in {bid.originator_id for bid in bids}:
        accounts |= {one.account_id: one for one in _seller_accounts(originator_id)}
    for investor_id, portfolio_id, bucket_id in {(bid.investor_id, bid.portfolio_id, bid.bucket_id) for bid in bids}:
        owner = {"type": "investor", "holds": "claims", "investor_id": investor_id, "portfolio_id": portfolio_id, "bucket_id": bucket_id}
        owner["paid_to"] = cash_of(investor_id)
        accounts[claims_of(portfolio_id, bucket_id)] = Account(claims_of(portfolio_id, bucket_id), owner)
    return list(accounts.values())


def collecting_accounts(originator_id: str) -> list[Account]:
    """Every account but the holders' that a borrower's payment touches. `collections` is hot, as every payment writes it and nothing stays in it."""
    tags = {"type": "company", "holds": "collections", "originator_id": originator_id}
    return [_fee_account(), *_seller_accounts(originator_id), Account(collections_of(originator_id), tags, floor=None, hot=True)]


def _fee_account() -> Account:
    return Account(FEE, {"type": "company", "holds": "fees"}, floor=None, hot=True)


def _seller_accounts(originator_id: str) -> list[Account]:
    seller = {"type": "originator", "originator_id": originator_id}
    proceeds, loans = proceeds_of(originator_id), issuer_of(originator_id)
    return [Account(proceeds, {**seller, "holds": "proceeds"}), Account(loans, {**seller, "holds": "loans"}, floor=None)]


def flavors_of(bids: Sequence[Bid], currency: str) -> list[Flavor]:
    """The currency, and a flavor for each loan with what was said of it when it was first sold."""
    flavors = {currency: currency_flavor(currency)}
    for bid in {(bid.originator_id, bid.loan_id): bid for bid in reversed(bids)}.values():
        loan = {"type": "loan", "loan_id": bid.loan_id, "originator_id": bid.originator_id, "currency": currency, **_risk_class(bid)}
        borrower = {"borrower_id": bid.borrower_id} if bid.borrower_id else {}
        flavor_id = loan_flavor(bid.originator_id, bid.loan_id)
        flavors[flavor_id] = Flavor(flavor_id, {**loan, **borrower})
    return list(flavors.values())


def _risk_class(bid: Bid) -> Tags:
    return {"risk_class": bid.risk_class} if bid.risk_class else {}


def tag_sets_of(bids: Sequence[Bid]) -> list[Tags]:
    """Every tag set of the purchases' actions and tokens."""
    offers = {(bid.originator_id, bid.loan_id, bid.offer_version, bid.risk_class): bid for bid in bids}
    return [_PRICE, FEE_TAGS, _CLAIM, *(claim_tags(bid) for bid in offers.values())]


def without_closed(facts: SettlementFacts, bids: Sequence[Bid], closed: frozenset[str]) -> SettlementFacts:
    """The facts where some accounts are closed: whose cash or claims are may not buy, and whose proceeds or loans are sells nothing."""
    if not closed:
        return facts
    buyers = {bid.investor_id for bid in bids if {cash_of(bid.investor_id), claims_of(bid.portfolio_id, bid.bucket_id)} & closed}
    loans = {bid.loan_id for bid in bids if {proceeds_of(bid.originator_id), issuer_of(bid.originator_id)} & closed}
    return facts.model_copy(update={"inactive": facts.inactive | buyers, "closed": facts.closed | loans})
