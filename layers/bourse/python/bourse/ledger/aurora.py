"""The marketplace's flows on PostgreSQL: a chunk is settled in one transaction of the books and of what became of its bids.

Facts are read without a lock. What is decided by them is booked on condition that it still holds: the books refuse a lot that has
not enough, a transaction id or a bid that is there already, a loan that has closed. Then all of it is read and decided again.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, LiteralString

import orjson

from bourse.assets.events import ClosedLoan
from bourse.aws.postgres import Database
from bourse.aws.signers import operations_signer
from bourse.errors import Refused, Unavailable
from bourse.ledger.aurora_decided import MovedOn
from bourse.ledger.aurora_flows import ALONE_FROM, CLOSELY_FROM, TRIES, AuroraFlows
from bourse.ledger.aurora_within import signed_by
from bourse.ledger.events import ReturnReason
from bourse.ledger.model import (
    SKEW_MAX,
    DecidedBid,
    LoanBid,
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
    tag_sets_of,
    without_closed,
)
from bourse.ledger.store import Decide
from bourse.matching.events import Bid, BidsPublished

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_STALE: Final = frozenset({"INSUFFICIENT_FUNDS", "RESERVED", "BACKDATED", "ACCOUNT_CLOSED"})
"""What the books refuse when the facts of a decision no longer hold."""
_FACTS: Final[LiteralString] = """
    select ledger.settlement_facts(%s, %s, %s, %s, %s, %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])::text"""
_KEEP_BIDS: Final[LiteralString] = "select ledger.keep_bids(%s, %s)"
_CLOSE: Final[LiteralString] = """
    insert into ledger.loan as l (tenant_id, flavor, originator_id, loan_id, status, version)
    select %s, u.* from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::int[]) u(flavor, originator, loan, status, version) order by u.flavor
    on conflict (tenant_id, flavor) do update set status = excluded.status, version = excluded.version where excluded.version >= l.version"""
_TRIAL: Final[LiteralString] = """
    with expired as (
      select coalesce(f.tags->>'currency', f.flavor_id) as currency, case when f.tags->>'type' = 'loan' then 'claims' else 'cash' end as what,
        sum(m.amount) as amount
      from books.hold h join books.hold_move m using (hold_no) join books.flavor f on f.flavor_no = h.flavor_no
      where h.tenant_id = %(tenant)s and not h.is_over and h.expires_at <= %(at)s group by 1, 2)
    select currency, what, b.total::bigint, b.volume::bigint, (b.held - coalesce(e.amount, 0))::bigint, b.flavors::int
    from ledger.trial_balance b left join expired e using (currency, what) where b.tenant_id = %(tenant)s order by 1, 2"""
_STATEMENT: Final[LiteralString] = """
    select * from (
      select t.txn_id, t.kind, m.effective_at, %(currency)s, m.change,
        sum(m.change) over (order by m.effective_at, m.txn_no, m.seq)::bigint, t.tags, m.txn_no, m.seq
      from books.account a join books.flavor f on f.tenant_id = %(tenant)s and f.flavor_id = %(currency)s
      join books.lot l on l.account_no = a.account_no and l.flavor_no = f.flavor_no
      cross join lateral (
        select txn_no, seq, effective_at, -amount as change from books.move where src = l.lot_no
        union all select txn_no, seq, effective_at, amount from books.move where dst = l.lot_no) m
      join books.txn t on t.txn_no = m.txn_no
      where a.tenant_id = %(tenant)s and a.account_id = %(cash)s and m.effective_at < %(until)s) line
    where effective_at >= %(since)s order by effective_at, txn_no, seq"""
_SOLD_LOANS: Final[LiteralString] = """
    select loan_id, currency, sum(principal)::bigint, sum(sell_amount)::bigint, sum(buy_amount - sell_amount)::bigint, count(*)::int
    from ledger.bid where tenant_id = %s and originator_id = %s and outcome = 'settled' and loan_id > %s group by loan_id, currency order by loan_id limit %s"""
_BIDS_OF_LOAN: Final[LiteralString] = """
    select bid_id, outcome, reason, principal, sell_amount, decided_at from ledger.bid
    where tenant_id = %s and originator_id = %s and loan_id = %s order by decided_at, bid_id"""
_BY_CLASS: Final[LiteralString] = """
    select currency, risk_class, count(*)::int, sum(principal)::bigint, sum(buy_amount)::bigint, sum(buy_amount - sell_amount)::bigint
    from ledger.bid where tenant_id = %s and outcome = 'settled' group by 1, 2 order by 1, 2 nulls last"""


class AuroraLedger(AuroraFlows):
    """A `LedgerStore`."""

    @classmethod
    def from_env(cls) -> "AuroraLedger":
        return cls.signing(Database.from_env())

    @classmethod
    def signing(cls, database: Database) -> "AuroraLedger":
        """With the marketplace's own key, as the environment names it."""
        return cls(database, operations_signer)

    def settle(self, published: BidsPublished, at: datetime, decide: Decide) -> tuple[DecidedBid, ...]:
        for attempt in range(TRIES):
            try:
                return self._settle(published, at, decide, attempt)
            except MovedOn:
                continue
            except Refused as refused:
                if refused.code not in _STALE:
                    raise
        raise Unavailable("others kept changing what this chunk was decided by")

    def _settle(self, published: BidsPublished, at: datetime, decide: Decide, attempt: int) -> tuple[DecidedBid, ...]:
        tenant_id, bids, currency = published.tenant_id, published.bids, published.currency
        trust = self._books.trust(tenant_id, self._signer)
        closed = self._prepare(tenant_id, accounts_of(bids), flavors_of(bids, currency), tag_sets_of(bids))
        with self._books.transaction(tenant_id) as cursor:
            facts = _facts(cursor, published, at, alone=attempt >= ALONE_FROM)
            decided = decide(bids, without_closed(facts, bids, closed))
            new = [one for one in decided if not one.known]
            when = max(at, facts.latest or at)
            if bought := [purchase(tenant_id, one.bid, currency, when, published.correlation_id) for one in new if one.reason is None]:
                signed = signed_by(self._signer, trust, tenant_id, bought, at)
                self._books.post_in(cursor, bought, signed, at, closely=attempt >= CLOSELY_FROM)
            if new:
                cursor.execute(_KEEP_BIDS, [tenant_id, _kept(published, at, new)])
            return decided

    def close_loans(self, tenant_id: str, originator_id: str, loans: Sequence[ClosedLoan]) -> None:
        flavors = [loan_flavor(originator_id, loan.loan_id) for loan in loans]
        columns = [flavors, [originator_id] * len(loans), [loan.loan_id for loan in loans], [loan.status for loan in loans], [loan.version for loan in loans]]
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(_CLOSE, [tenant_id, *columns])

    def trial_balance(self, tenant_id: str, at: datetime) -> Sequence[TrialBalance]:
        rows = self._read(tenant_id, _TRIAL, {"tenant": tenant_id, "at": at})
        return [TrialBalance(currency=r[0], what=r[1], total=r[2], volume=r[3], held=r[4], flavors=r[5]) for r in rows]

    def statement(self, tenant_id: str, investor_id: str, currency: str, since: datetime, until: datetime) -> Sequence[StatementLine]:
        asked = {"tenant": tenant_id, "cash": cash_of(investor_id), "currency": currency, "since": since, "until": until}
        names = ("txn_id", "kind", "effective_at", "currency", "amount", "balance", "tags")
        return [StatementLine(**dict(zip(names, row[:7], strict=True))) for row in self._read(tenant_id, _STATEMENT, asked)]

    def sold_loans(self, tenant_id: str, originator_id: str, limit: int, after: str) -> Sequence[SoldLoan]:
        names = ("loan_id", "currency", "principal", "sell_amount", "fee", "bids")
        rows = self._read(tenant_id, _SOLD_LOANS, [tenant_id, originator_id, after, limit])
        return [SoldLoan(**dict(zip(names, row, strict=True))) for row in rows]

    def bids_of_loan(self, tenant_id: str, originator_id: str, loan_id: str) -> Sequence[LoanBid]:
        names = ("bid_id", "outcome", "reason", "principal", "sell_amount", "decided_at")
        rows = self._read(tenant_id, _BIDS_OF_LOAN, [tenant_id, originator_id, loan_id])
        return [LoanBid(**dict(zip(names, row, strict=True))) for row in rows]

    def totals(self, tenant_id: str) -> Sequence[Totals]:
        names = ("currency", "risk_class", "investments", "principal", "paid", "fees")
        return [Totals(**dict(zip(names, row, strict=True))) for row in self._read(tenant_id, _BY_CLASS, [tenant_id])]

    def _read(self, tenant_id: str, query: LiteralString, asked: Any) -> list[tuple[Any, ...]]:
        with self._database.transaction(tenant_id) as cursor:
            return cursor.execute(query, asked).fetchall()


def _facts(cursor: "Cursor", published: BidsPublished, at: datetime, *, alone: bool) -> SettlementFacts:
    """Read what the decision depends on. Raises Conflict BID_DIFFERS."""
    tenant_id, bids, currency = published.tenant_id, published.bids, published.currency
    investors = sorted({bid.investor_id for bid in bids})
    loans = _loans(bids)
    asked = [
        [bid.bid_id for bid in bids],
        [cash_of(one) for one in investors],
        investors,
        list(loans),
        [issuer_of(bid.originator_id) for bid in loans.values()],
    ]
    row = cursor.execute(_FACTS, [tenant_id, currency, at, at + SKEW_MAX, alone, *asked]).fetchone()
    assert row is not None, "settlement_facts answers"
    found = orjson.loads(row[0])
    known = {bid_id: (reason, tuple(terms)) for bid_id, reason, *terms in found["known"] or ()}
    for bid in bids:
        if bid.bid_id in known:
            refuse_other_terms(bid, currency, known[bid.bid_id][1])
    sold = {loans[flavor].loan_id: (status, version, amount, floor) for flavor, status, version, amount, floor, _ in found["loans"] or ()}
    latest = [one[-1] for one in (*(found["cash"] or ()), *(found["loans"] or ())) if one[-1]]
    return SettlementFacts(
        known={bid_id: reason for bid_id, (reason, _) in known.items()},
        cash={investor: free for investor, free, _ in found["cash"] or ()},
        inactive=frozenset(found["inactive"] or ()),
        closed=frozenset(bid.loan_id for bid in loans.values() if _is_closed(bid, *sold[bid.loan_id][:2])),
        sold={loan_id: -amount for loan_id, (_, _, amount, _) in sold.items() if amount},
        offered={loan_id: -floor for loan_id, (_, _, _, floor) in sold.items() if floor is not None},
        latest=max(map(datetime.fromisoformat, latest), default=None),
    )


def _loans(bids: Sequence[Bid]) -> dict[str, Bid]:
    """Flavor -> a bid on the highest version of the loan."""
    return {loan_flavor(bid.originator_id, bid.loan_id): bid for bid in sorted(bids, key=lambda bid: bid.offer_version)}


def _is_closed(bid: Bid, status: str | None, version: int | None) -> bool:
    """Whether a loan is over, after this bid on its highest version was heard of."""
    return status not in {None, "active"} and version is not None and bid.offer_version <= version


def _kept(published: BidsPublished, at: datetime, decided: Sequence[DecidedBid]) -> str:
    """The argument of ledger.keep_bids."""

    def row(bid: Bid, reason: ReturnReason | None) -> list[Any]:
        who = [bid.originator_id, bid.investor_id, bid.portfolio_id, bid.bucket_id, bid.risk_class]
        return [
            bid.bid_id,
            reason,
            bid.offer_id,
            bid.loan_id,
            *who,
            bid.principal,
            bid.sell_amount,
            bid.buy_amount,
            loan_flavor(bid.originator_id, bid.loan_id),
        ]

    loans = [[flavor, bid.originator_id, bid.loan_id, bid.offer_version] for flavor, bid in _loans(published.bids).items()]
    said = {"currency": published.currency, "correlation": published.correlation_id, "at": at, "loans": loans}
    return orjson.dumps({**said, "bids": [row(one.bid, one.reason) for one in decided]}).decode()
