"""The ledger kept in PostgreSQL: a chunk is settled in one transaction, cash rows locked first and in order, journal before balances."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, LiteralString

import orjson

from bourse.assets.events import ClosedLoan
from bourse.aws.postgres import Database, say
from bourse.errors import Conflict, Refused
from bourse.ledger.events import ReturnReason
from bourse.ledger.model import DecidedBid, LoanBid, Receipt, SettlementFacts, SoldLoan, StatementLine, Totals, TrialBalance, cash_of, issuer_of, loan_flavor
from bourse.ledger.posting import Account, Txn, accounts_of, purchase, refuse_other_terms, transfer_says
from bourse.ledger.store import Decide
from bourse.matching.events import Bid, BidsPublished

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

# The loans of a chunk are locked first (their rows made before), so that a loan cannot close between the reading and the booking.
# A bid on a version above the one that closed the loan says that it is active again.
_OPEN_LOANS: Final[LiteralString] = """
    insert into ledger.loan as l (tenant_id, flavor, originator_id, loan_id, currency, version)
    select %s, u.* from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::int[]) u(flavor, originator, loan, currency, version)
    order by u.flavor on conflict (tenant_id, flavor) do update
    set currency = excluded.currency, status = case when excluded.version > l.version then 'active' else l.status end,
      version = greatest(l.version, excluded.version)
    where l.currency is null or excluded.version > l.version"""
_KNOWN: Final[LiteralString] = """
    select bid_id, reason, originator_id, loan_id, investor_id, portfolio_id, bucket_id, currency, principal, sell_amount, buy_amount
    from ledger.bid where tenant_id = %s and bid_id = any(%s)"""
_CASH: Final[LiteralString] = """
    select account_id, amount from ledger.balance where tenant_id = %s and account_id = any(%s) and flavor = %s
    order by account_id for no key update"""
_INACTIVE: Final[LiteralString] = "select investor_id from parties.investor where tenant_id = %s and investor_id = any(%s) and status <> 'active'"
_LOANS: Final[LiteralString] = """
    select loan_id, status from ledger.loan where tenant_id = %s and flavor = any(%s) order by flavor for no key update"""
_SOLD: Final[LiteralString] = """
    select flavor, -amount from ledger.balance where tenant_id = %s and flavor = any(%s) and account_id = any(%s)"""
_POST: Final[LiteralString] = "select ledger.post(%s, %s)"
_KEEP_BIDS: Final[LiteralString] = """
    insert into ledger.bid (tenant_id, bid_id, outcome, reason, offer_id, loan_id, originator_id, investor_id, portfolio_id, bucket_id, risk_class,
      currency, principal, sell_amount, buy_amount, correlation_id, decided_at)
    select %(tenant)s, b->>0, case when b->>1 is null then 'settled' else 'returned' end, b->>1, b->>2, b->>3, b->>4, b->>5, b->>6, b->>7, b->>8,
      %(currency)s, (b->>9)::bigint, (b->>10)::bigint, (b->>11)::bigint, %(correlation)s, %(at)s
    from jsonb_array_elements(%(bids)s::jsonb) b order by b->>0"""
_TOTALS: Final[LiteralString] = """
    insert into ledger.bucket_total as t (tenant_id, portfolio_id, bucket_id, principal, settled_total)
    select %(tenant)s, b->>6, b->>7, sum((b->>9)::bigint), sum((b->>9)::bigint) from jsonb_array_elements(%(bids)s::jsonb) b
    where b->>1 is null group by b->>6, b->>7 order by b->>6, b->>7
    on conflict (tenant_id, portfolio_id, bucket_id)
    do update set principal = t.principal + excluded.principal, settled_total = t.settled_total + excluded.settled_total"""
_CLOSE: Final[LiteralString] = """
    insert into ledger.loan as l (tenant_id, flavor, originator_id, loan_id, status, version)
    select %s, u.* from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::int[]) u(flavor, originator, loan, status, version) order by u.flavor
    on conflict (tenant_id, flavor) do update set status = excluded.status, version = excluded.version where excluded.version >= l.version"""
_TXN: Final[LiteralString] = "select payload from ledger.txn where tenant_id = %s and txn_id = %s"
_PORTFOLIOS: Final[LiteralString] = "select portfolio_id from trading.portfolio where tenant_id = %s and investor_id = %s and status = 'active' order by 1"
_LOCK_CASH: Final[LiteralString] = "select pg_advisory_xact_lock(hashtextextended(%s, 1))"
_TRIAL: Final[LiteralString] = """
    select currency, what, total::bigint, volume::bigint, flavors::int from ledger.trial_balance where tenant_id = %s order by 1, 2"""
_STATEMENT: Final[LiteralString] = """
    select * from (
      select t.txn_id, t.kind, t.effective_at, m.flavor, case when m.dst = %(cash)s then m.amount else -m.amount end,
        sum(case when m.dst = %(cash)s then m.amount else -m.amount end) over (order by t.effective_at, t.txn_id, m.seq)::bigint, t.tags
      from (select * from ledger.move where tenant_id = %(tenant)s and src = %(cash)s and flavor = %(currency)s
            union all select * from ledger.move where tenant_id = %(tenant)s and dst = %(cash)s and flavor = %(currency)s) m
      join ledger.txn t using (tenant_id, txn_id) where t.effective_at < %(until)s) line
    where effective_at >= %(since)s order by effective_at, txn_id"""
_SOLD_LOANS: Final[LiteralString] = """
    select loan_id, currency, sum(principal)::bigint, sum(sell_amount)::bigint, sum(buy_amount - sell_amount)::bigint, count(*)::int
    from ledger.bid where tenant_id = %s and originator_id = %s and outcome = 'settled' and loan_id > %s group by loan_id, currency order by loan_id limit %s"""
_BIDS_OF_LOAN: Final[LiteralString] = """
    select bid_id, outcome, reason, principal, sell_amount, decided_at from ledger.bid
    where tenant_id = %s and originator_id = %s and loan_id = %s order by decided_at, bid_id"""
_BY_CLASS: Final[LiteralString] = """
    select currency, risk_class, count(*)::int, sum(principal)::bigint, sum(buy_amount)::bigint, sum(buy_amount - sell_amount)::bigint
    from ledger.bid where tenant_id = %s and outcome = 'settled' group by 1, 2 order by 1, 2 nulls last"""


class AuroraLedger:
    """A `LedgerStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def from_env(cls) -> "AuroraLedger":
        return cls(Database.from_env())

    def settle(self, published: BidsPublished, at: datetime, decide: Decide) -> tuple[DecidedBid, ...]:
        tenant_id = published.tenant_id
        with self._database.transaction(tenant_id) as cursor:
            decided = decide(published.bids, _facts(cursor, published))
            new = [one for one in decided if not one.known]
            bought = [one.bid for one in new if one.reason is None]
            if bought:
                txns = [purchase(tenant_id, bid, published.currency, at, published.correlation_id) for bid in bought]
                cursor.execute(_POST, [tenant_id, _posting(accounts_of(bought), txns)])
            if new:
                keep = {"tenant": tenant_id, "currency": published.currency, "correlation": published.correlation_id, "at": at, "bids": _rows(new)}
                cursor.execute(_KEEP_BIDS, keep)
                cursor.execute(_TOTALS, keep)
            return decided

    def close_loans(self, tenant_id: str, originator_id: str, loans: Sequence[ClosedLoan]) -> None:
        flavors = [loan_flavor(originator_id, loan.loan_id) for loan in loans]
        columns = [flavors, [originator_id] * len(loans), [loan.loan_id for loan in loans], [loan.status for loan in loans], [loan.version for loan in loans]]
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(_CLOSE, [tenant_id, *columns])

    def transfer(self, tenant_id: str, accounts: Sequence[Account], txn: Txn, investor_id: str, window_seconds: int) -> Receipt:
        import psycopg

        move = txn.moves[0]
        receipt = Receipt(txn_id=txn.txn_id, investor_id=investor_id, currency=move.flavor, amount=move.amount, booked_before=False)
        try:
            with self._database.transaction(tenant_id) as cursor:
                cursor.execute(_LOCK_CASH, [f"{tenant_id}/{txn.txn_id}"])
                if found := cursor.execute(_TXN, [tenant_id, txn.txn_id]).fetchone():
                    if found[0] != txn.payload:
                        raise Conflict("TRANSFER_DIFFERS", "this external id was booked with another amount, currency or investor", "external_id")
                    return receipt.model_copy(update={"booked_before": True})
                cursor.execute(_POST, [tenant_id, _posting(accounts, [txn])])
                portfolios = [row[0] for row in cursor.execute(_PORTFOLIOS, [tenant_id, investor_id])]
                say(cursor, transfer_says(tenant_id, txn, portfolios, window_seconds))
        except psycopg.errors.CheckViolation as error:
            if error.diag.constraint_name != "no_overdraft":
                raise
            raise Refused("INSUFFICIENT_CASH", "the investor has less cash than this", "amount") from error
        return receipt

    def trial_balance(self, tenant_id: str) -> Sequence[TrialBalance]:
        return [TrialBalance(currency=r[0], what=r[1], total=r[2], volume=r[3], flavors=r[4]) for r in self._read(tenant_id, _TRIAL, [tenant_id])]

    def statement(self, tenant_id: str, investor_id: str, currency: str, since: datetime, until: datetime) -> Sequence[StatementLine]:
        asked = {"tenant": tenant_id, "cash": cash_of(investor_id), "currency": currency, "since": since, "until": until}
        names = ("txn_id", "kind", "effective_at", "currency", "amount", "balance", "tags")
        return [StatementLine(**dict(zip(names, row, strict=True))) for row in self._read(tenant_id, _STATEMENT, asked)]

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


def _facts(cursor: "Cursor", published: BidsPublished) -> SettlementFacts:
    """Read what the decision depends on. Locks go by kind, loans then cash, and within a kind by key, the same way in every writer."""
    tenant_id, bids = published.tenant_id, published.bids
    loans = {loan_flavor(bid.originator_id, bid.loan_id): bid for bid in sorted(bids, key=lambda bid: bid.offer_version)}
    columns = [list(loans), [b.originator_id for b in loans.values()], [b.loan_id for b in loans.values()]]
    cursor.execute(_OPEN_LOANS, [tenant_id, *columns, [published.currency] * len(loans), [b.offer_version for b in loans.values()]])
    status = cursor.execute(_LOANS, [tenant_id, list(loans)]).fetchall()
    kept = {row[0]: row[1:] for row in cursor.execute(_KNOWN, [tenant_id, [bid.bid_id for bid in bids]])}
    for bid in bids:
        if bid.bid_id in kept:
            refuse_other_terms(bid, published.currency, kept[bid.bid_id][1:])
    investors = sorted({bid.investor_id for bid in bids})
    cash: dict[str, int] = dict(cursor.execute(_CASH, [tenant_id, [cash_of(one) for one in investors], published.currency]).fetchall())
    inactive = cursor.execute(_INACTIVE, [tenant_id, investors]).fetchall()
    sold = cursor.execute(_SOLD, [tenant_id, list(loans), sorted({issuer_of(bid.originator_id) for bid in bids})]).fetchall()
    return SettlementFacts(
        known={bid_id: row[0] for bid_id, row in kept.items()},
        cash={one: cash[cash_of(one)] for one in investors if cash_of(one) in cash},
        inactive=frozenset(row[0] for row in inactive),
        closed=frozenset(loan_id for loan_id, state in status if state != "active"),
        sold={loans[flavor].loan_id: principal for flavor, principal in sold},
    )


def _posting(accounts: Sequence[Account], txns: Sequence[Txn]) -> str:
    """The one argument of ledger.post."""
    opened = [[one.account_id, one.kind, one.owner, one.portfolio_id, one.bucket_id] for one in accounts]
    heads = [[txn.txn_id, txn.kind, txn.effective_at.isoformat(), txn.correlation_id, txn.payload, txn.tags] for txn in txns]
    moves = [[txn.txn_id, seq, move.src, move.dst, move.flavor, move.amount, move.floor] for txn in txns for seq, move in enumerate(txn.moves)]
    return orjson.dumps({"accounts": opened, "txns": heads, "moves": moves}).decode()


def _rows(decided: Sequence[DecidedBid]) -> str:
    """What is kept of each bid, in the order _KEEP_BIDS reads it."""

    def row(bid: Bid, reason: ReturnReason | None) -> list[Any]:
        who = [bid.originator_id, bid.investor_id, bid.portfolio_id, bid.bucket_id, bid.risk_class]
        return [bid.bid_id, reason, bid.offer_id, bid.loan_id, *who, bid.principal, bid.sell_amount, bid.buy_amount]

    return orjson.dumps([row(one.bid, one.reason) for one in decided]).decode()
