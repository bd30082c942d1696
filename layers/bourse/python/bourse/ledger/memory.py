"""The ledger kept in dicts: for tests and the simulation. The same rules, the same postings, no SQL."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bourse.assets.events import ClosedLoan
from bourse.errors import Conflict, Refused
from bourse.ledger.model import (
    DecidedBid,
    LoanBid,
    LoanStatus,
    Receipt,
    SettlementFacts,
    SoldLoan,
    StatementLine,
    Totals,
    TrialBalance,
    cash_of,
    issuer_of,
    loan_flavor,
)
from bourse.ledger.posting import Account, Txn, purchase, refuse_other_terms, terms_of, transfer_says
from bourse.ledger.store import Decide
from bourse.matching.events import BidsPublished
from bourse.message import Message


@dataclass
class _Kept:
    """A decided bid with what its chunk said of it."""

    one: DecidedBid
    currency: str
    at: datetime


@dataclass
class MemoryLedger:
    """A `LedgerStore`."""

    inactive: Callable[[str], bool] = lambda _investor: False
    portfolios: Callable[[str], Sequence[str]] = lambda _investor: ()
    outbox: list[Message] = field(default_factory=list)
    journal: dict[tuple[str, str], Txn] = field(default_factory=dict)
    balances: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _bids: dict[tuple[str, str], _Kept] = field(default_factory=dict)
    _loans: dict[tuple[str, str], tuple[LoanStatus, int]] = field(default_factory=dict)

    def settle(self, published: BidsPublished, at: datetime, decide: Decide) -> tuple[DecidedBid, ...]:
        tenant_id = published.tenant_id
        for bid in published.bids:
            self._hear_of(tenant_id, loan_flavor(bid.originator_id, bid.loan_id), "active", bid.offer_version)
        decided = decide(published.bids, self._facts(published))
        for one in decided:
            if not one.known:
                self._bids[tenant_id, one.bid.bid_id] = _Kept(one, published.currency, at)
                if one.reason is None:
                    self._post(tenant_id, purchase(tenant_id, one.bid, published.currency, at, published.correlation_id))
        return decided

    def close_loans(self, tenant_id: str, originator_id: str, loans: Sequence[ClosedLoan]) -> None:
        for loan in loans:
            self._hear_of(tenant_id, loan_flavor(originator_id, loan.loan_id), loan.status, loan.version)

    def transfer(self, tenant_id: str, accounts: Sequence[Account], txn: Txn, investor_id: str, window_seconds: int) -> Receipt:  # noqa: ARG002  accounts open themselves here
        move = txn.moves[0]
        known = self.journal.get((tenant_id, txn.txn_id))
        if known and known.payload != txn.payload:
            raise Conflict("TRANSFER_DIFFERS", "this external id was booked with another amount, currency or investor", "external_id")
        if not known:
            if move.src == cash_of(investor_id) and self.balances[tenant_id, move.src, move.flavor] < move.amount:
                raise Refused("INSUFFICIENT_CASH", "the investor has less cash than this", "amount")
            self._post(tenant_id, txn)
            self.outbox += transfer_says(tenant_id, txn, self.portfolios(investor_id), window_seconds)
        return Receipt(txn_id=txn.txn_id, investor_id=investor_id, currency=move.flavor, amount=move.amount, booked_before=known is not None)

    def trial_balance(self, tenant_id: str) -> Sequence[TrialBalance]:
        currency_of = {loan_flavor(kept.one.bid.originator_id, kept.one.bid.loan_id): kept.currency for kept in self._bids.values()}
        rows: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
        for (tenant, _, flavor), amount in self.balances.items():
            if tenant == tenant_id:
                rows[currency_of.get(flavor, flavor), "claims" if flavor in currency_of else "cash"].append((flavor, amount))
        return [
            TrialBalance(
                currency=currency,
                what="claims" if what == "claims" else "cash",
                total=sum(amount for _, amount in held),
                volume=sum(abs(amount) for _, amount in held) // 2,
                flavors=len({flavor for flavor, _ in held}),
            )
            for (currency, what), held in sorted(rows.items())
        ]

    def statement(self, tenant_id: str, investor_id: str, currency: str, since: datetime, until: datetime) -> Sequence[StatementLine]:
        cash, balance, lines = cash_of(investor_id), 0, []
        txns = sorted((txn for key, txn in self.journal.items() if key[0] == tenant_id), key=lambda txn: (txn.effective_at, txn.txn_id))
        for txn in txns:
            for move in txn.moves:
                if move.flavor != currency or cash not in (move.src, move.dst) or txn.effective_at >= until:
                    continue
                amount = move.amount if move.dst == cash else -move.amount
                balance += amount
                facts = {"txn_id": txn.txn_id, "kind": txn.kind, "currency": currency, "amount": amount, "balance": balance}
                lines.append(StatementLine(**facts, effective_at=txn.effective_at, tags=txn.tags))
        return [line for line in lines if line.effective_at >= since]

    def sold_loans(self, tenant_id: str, originator_id: str, limit: int, after: str) -> Sequence[SoldLoan]:
        sold: dict[tuple[str, str], list[DecidedBid]] = defaultdict(list)
        for key, kept in self._bids.items():
            bid = kept.one.bid
            if key[0] == tenant_id and kept.one.reason is None and bid.originator_id == originator_id and bid.loan_id > after:
                sold[bid.loan_id, kept.currency].append(kept.one)
        return [_sold_loan(loan_id, currency, ones) for (loan_id, currency), ones in sorted(sold.items())][:limit]

    def bids_of_loan(self, tenant_id: str, originator_id: str, loan_id: str) -> Sequence[LoanBid]:
        found = [kept for key, kept in self._bids.items() if key[0] == tenant_id]
        of_loan = [kept for kept in found if (kept.one.bid.originator_id, kept.one.bid.loan_id) == (originator_id, loan_id)]
        return [_loan_bid(kept) for kept in sorted(of_loan, key=lambda kept: (kept.at, kept.one.bid.bid_id))]

    def totals(self, tenant_id: str) -> Sequence[Totals]:
        by_class: dict[tuple[str, str | None], list[DecidedBid]] = defaultdict(list)
        for key, kept in self._bids.items():
            if key[0] == tenant_id and kept.one.reason is None:
                by_class[kept.currency, kept.one.bid.risk_class].append(kept.one)
        ordered = sorted(by_class.items(), key=lambda item: (item[0][0], item[0][1] is None, item[0][1] or ""))
        return [_totals(currency, risk_class, ones) for (currency, risk_class), ones in ordered]

    def _facts(self, published: BidsPublished) -> SettlementFacts:
        tenant_id, bids = published.tenant_id, published.bids
        for bid in bids:
            if kept := self._bids.get((tenant_id, bid.bid_id)):
                refuse_other_terms(bid, published.currency, terms_of(kept.one.bid, kept.currency))
        flavor_of = {bid.loan_id: loan_flavor(bid.originator_id, bid.loan_id) for bid in bids}
        return SettlementFacts(
            known={bid.bid_id: self._bids[tenant_id, bid.bid_id].one.reason for bid in bids if (tenant_id, bid.bid_id) in self._bids},
            cash={bid.investor_id: self.balances[tenant_id, cash_of(bid.investor_id), published.currency] for bid in bids},
            inactive=frozenset(bid.investor_id for bid in bids if self.inactive(bid.investor_id)),
            closed=frozenset(loan for loan, flavor in flavor_of.items() if self._loans.get((tenant_id, flavor), ("active", 0))[0] != "active"),
            sold={bid.loan_id: -self.balances[tenant_id, issuer_of(bid.originator_id), flavor_of[bid.loan_id]] for bid in bids},
        )

    def _hear_of(self, tenant_id: str, flavor: str, status: LoanStatus, version: int) -> None:
        """The highest version says what a loan is; of the same version the closing does."""
        known = self._loans.get((tenant_id, flavor), ("active", -1))
        if version > known[1] or (version == known[1] and status != "active"):
            self._loans[tenant_id, flavor] = (status, version)

    def _post(self, tenant_id: str, txn: Txn) -> None:
        assert (tenant_id, txn.txn_id) not in self.journal, "a transaction is posted once"
        self.journal[tenant_id, txn.txn_id] = txn
        for move in txn.moves:
            self.balances[tenant_id, move.src, move.flavor] -= move.amount
            self.balances[tenant_id, move.dst, move.flavor] += move.amount


def _sold_loan(loan_id: str, currency: str, ones: Sequence[DecidedBid]) -> SoldLoan:
    sell = sum(one.bid.sell_amount for one in ones)
    fee = sum(one.bid.buy_amount for one in ones) - sell
    return SoldLoan(loan_id=loan_id, currency=currency, principal=sum(one.bid.principal for one in ones), sell_amount=sell, fee=fee, bids=len(ones))


def _loan_bid(kept: _Kept) -> LoanBid:
    bid, reason = kept.one.bid, kept.one.reason
    facts = {"bid_id": bid.bid_id, "principal": bid.principal, "sell_amount": bid.sell_amount}
    return LoanBid(**facts, outcome="returned" if reason else "settled", reason=reason, decided_at=kept.at)


def _totals(currency: str, risk_class: str | None, ones: Sequence[DecidedBid]) -> Totals:
    paid = sum(one.bid.buy_amount for one in ones)
    fees = paid - sum(one.bid.sell_amount for one in ones)
    principal = sum(one.bid.principal for one in ones)
    return Totals(currency=currency, risk_class=risk_class, investments=len(ones), principal=principal, paid=paid, fees=fees)
