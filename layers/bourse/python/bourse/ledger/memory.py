"""The marketplace's flows kept in dicts, on books in memory: for tests and the simulation. The same rules, the same postings, no SQL."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from bourse.assets.events import ClosedLoan
from bourse.ledger.lots import Lot
from bourse.ledger.memory_flows import MemoryFlows
from bourse.ledger.model import (
    SKEW_MAX,
    DecidedBid,
    LoanBid,
    LoanStatus,
    SettlementFacts,
    SoldLoan,
    StatementLine,
    Totals,
    TrialBalance,
    cash_of,
    issuer_of,
    loan_flavor,
)
from bourse.ledger.posting import (
    accounts_of,
    flavors_of,
    purchase,
    refuse_other_terms,
    terms_of,
    without_closed,
)
from bourse.ledger.store import Decide
from bourse.matching.events import Bid, BidsPublished


@dataclass
class _Kept:
    """A decided bid with what its chunk said of it."""

    one: DecidedBid
    currency: str
    at: datetime


@dataclass
class MemoryLedger(MemoryFlows):
    """A `LedgerStore`."""

    _bids: dict[tuple[str, str], _Kept] = field(default_factory=dict)
    _of_loans: dict[tuple[str, str], dict[str, list[_Kept]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    """(tenant, originator) -> loan -> its bids."""
    _totals: dict[str, dict[tuple[str, str | None], Totals]] = field(default_factory=lambda: defaultdict(dict))
    """Tenant -> currency and risk class -> what was settled of it."""
    _loans: dict[tuple[str, str], tuple[LoanStatus, int]] = field(default_factory=dict)

    def settle(self, published: BidsPublished, at: datetime, decide: Decide) -> tuple[DecidedBid, ...]:
        tenant_id, bids, currency = published.tenant_id, published.bids, published.currency
        for bid in bids:
            if kept := self._bids.get((tenant_id, bid.bid_id)):
                refuse_other_terms(bid, currency, terms_of(kept.one.bid, kept.currency))
        for bid in bids:
            self._hear_of(tenant_id, loan_flavor(bid.originator_id, bid.loan_id), "active", bid.offer_version)
        accounts = accounts_of(bids)
        self.books.open_missing(tenant_id, accounts, flavors_of(bids, currency))
        facts = self._facts(published, at)
        decided = decide(bids, without_closed(facts, bids, self.books.closed(tenant_id, (one.account_id for one in accounts))))
        new = [one for one in decided if not one.known]
        when = max(at, facts.latest or at)
        bought = [purchase(tenant_id, one.bid, currency, when, published.correlation_id) for one in new if one.reason is None]
        self.books.post(tenant_id, bought, at)
        for one in new:
            self._keep(tenant_id, _Kept(one, currency, at))
        return decided

    def _keep(self, tenant_id: str, kept: _Kept) -> None:
        bid, totals = kept.one.bid, self._totals[tenant_id]
        self._bids[tenant_id, bid.bid_id] = kept
        self._of_loans[tenant_id, bid.originator_id][bid.loan_id].append(kept)
        if kept.one.reason is None:
            key = kept.currency, bid.risk_class
            totals[key] = _with(totals.get(key) or Totals(currency=key[0], risk_class=key[1], investments=0, principal=0, paid=0, fees=0), bid)

    def close_loans(self, tenant_id: str, originator_id: str, loans: Sequence[ClosedLoan]) -> None:
        for loan in loans:
            self._hear_of(tenant_id, loan_flavor(originator_id, loan.loan_id), loan.status, loan.version)

    def trial_balance(self, tenant_id: str, at: datetime) -> Sequence[TrialBalance]:
        rows: dict[tuple[str, str], list[tuple[str, int, int]]] = defaultdict(list)
        over = Counter[Lot]()
        for hold in self.books.expired(tenant_id, at):
            over.update(hold.left)
        for flavor, lot in self.books.lots(tenant_id):
            what = "claims" if flavor.tags.get("type") == "loan" else "cash"
            rows[flavor.tags.get("currency", flavor.flavor_id), what].append((flavor.flavor_id, lot.amount, lot.held - over[lot]))
        return [
            TrialBalance(
                currency=currency,
                what="claims" if what == "claims" else "cash",
                total=sum(amount for _, amount, _ in held),
                volume=sum(abs(amount) for _, amount, _ in held) // 2,
                held=sum(reserved for _, _, reserved in held),
                flavors=len({flavor for flavor, _, _ in held}),
            )
            for (currency, what), held in sorted(rows.items())
        ]

    def statement(self, tenant_id: str, investor_id: str, currency: str, since: datetime, until: datetime) -> Sequence[StatementLine]:
        balance, lines = 0, []
        for asked, amount in self.books.changes(tenant_id, cash_of(investor_id), currency, until):
            balance += amount
            if asked.effective_at >= since:
                facts = {"txn_id": asked.txn_id, "kind": asked.kind, "currency": currency, "amount": amount, "balance": balance}
                lines.append(StatementLine(**facts, effective_at=asked.effective_at, tags=dict(asked.tags)))
        return lines

    def sold_loans(self, tenant_id: str, originator_id: str, limit: int, after: str) -> Sequence[SoldLoan]:
        loans = self._of_loans.get((tenant_id, originator_id), {})
        return list(islice((one for loan_id in sorted(loans) if loan_id > after for one in _sold(loan_id, loans[loan_id])), limit))

    def bids_of_loan(self, tenant_id: str, originator_id: str, loan_id: str) -> Sequence[LoanBid]:
        of_loan = self._of_loans.get((tenant_id, originator_id), {}).get(loan_id, [])
        return [_loan_bid(kept) for kept in sorted(of_loan, key=lambda kept: (kept.at, kept.one.bid.bid_id))]

    def totals(self, tenant_id: str) -> Sequence[Totals]:
        ordered = sorted(self._totals.get(tenant_id, {}).items(), key=lambda item: (item[0][0], item[0][1] is None, item[0][1] or ""))
        return [one for _, one in ordered]

    def _facts(self, published: BidsPublished, at: datetime) -> SettlementFacts:
        tenant_id, bids, until = published.tenant_id, published.bids, at + SKEW_MAX
        flavor_of = {bid.loan_id: loan_flavor(bid.originator_id, bid.loan_id) for bid in bids}
        cash = {bid.investor_id: self.books.lots_of(tenant_id, cash_of(bid.investor_id), published.currency) for bid in bids}
        issued = {bid.loan_id: self.books.lots_of(tenant_id, issuer_of(bid.originator_id), flavor_of[bid.loan_id]) for bid in bids}
        loans = {loan: [lot for lot in lots if not lot.tags] for loan, lots in issued.items()}
        latest = [lot.latest_at for lots in (*cash.values(), *loans.values()) for lot in lots if lot.latest_at and lot.latest_at <= until]
        return SettlementFacts(
            known={bid.bid_id: self._bids[tenant_id, bid.bid_id].one.reason for bid in bids if (tenant_id, bid.bid_id) in self._bids},
            cash={investor: sum(self.books.spendable(tenant_id, lot, at, until) for lot in lots) for investor, lots in cash.items()},
            inactive=frozenset(bid.investor_id for bid in bids if self.inactive(bid.investor_id)),
            closed=frozenset(loan for loan, flavor in flavor_of.items() if self._loans.get((tenant_id, flavor), ("active", 0))[0] != "active"),
            sold={loan: -lot.amount for loan, lots in loans.items() for lot in lots},
            offered={loan: -lot.floor for loan, lots in loans.items() for lot in lots if lot.floor is not None},
            latest=max(latest, default=None),
        )

    def _hear_of(self, tenant_id: str, flavor: str, status: LoanStatus, version: int) -> None:
        """The highest version says what a loan is; of the same version the closing does."""
        known = self._loans.get((tenant_id, flavor), ("active", -1))
        if version > known[1] or (version == known[1] and status != "active"):
            self._loans[tenant_id, flavor] = (status, version)


def _sold(loan_id: str, bids: Sequence[_Kept]) -> Iterator[SoldLoan]:
    """What was sold of a loan, by currency."""
    settled = [kept for kept in bids if kept.one.reason is None]
    for currency in sorted({kept.currency for kept in settled}):
        ones = [kept.one.bid for kept in settled if kept.currency == currency]
        sell = sum(bid.sell_amount for bid in ones)
        fee = sum(bid.buy_amount for bid in ones) - sell
        yield SoldLoan(loan_id=loan_id, currency=currency, principal=sum(bid.principal for bid in ones), sell_amount=sell, fee=fee, bids=len(ones))


def _loan_bid(kept: _Kept) -> LoanBid:
    bid, reason = kept.one.bid, kept.one.reason
    facts = {"bid_id": bid.bid_id, "principal": bid.principal, "sell_amount": bid.sell_amount}
    return LoanBid(**facts, outcome="returned" if reason else "settled", reason=reason, decided_at=kept.at)


def _with(totals: Totals, bid: Bid) -> Totals:
    """The totals, with a bid that was settled."""
    sums = {"principal": totals.principal + bid.principal, "paid": totals.paid + bid.buy_amount, "fees": totals.fees + bid.buy_amount - bid.sell_amount}
    return totals.model_copy(update={"investments": totals.investments + 1, **sums})
