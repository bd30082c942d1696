"""Flows of the marketplace on PostgreSQL that are one transaction of the books and what is said of it: transfers, payments, withdrawals, reversals."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, LiteralString

from bourse.aws.postgres import Database, say
from bourse.errors import Refused, Unavailable
from bourse.ledger.actions import Account, Flavor, PostedMove, PostedTransaction, Tags, Transaction
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_decided import MovedOn
from bourse.ledger.aurora_within import signed_by
from bourse.ledger.bookings import Booked, Booking
from bourse.ledger.books import Question
from bourse.ledger.held_claims import GAVE_WAY, make_way
from bourse.ledger.keys import Signer
from bourse.ledger.model import SKEW_MAX, Receipt
from bourse.ledger.needs import tag_sets
from bourse.ledger.posting import cash_account, currency_flavor, receipt_again, receipt_of, transfer_says
from bourse.ledger.recovery import RECOVERY_TAGS, Debt, recovery
from bourse.ledger.unclaimed import redirect

TRIES: Final = 20
ALONE_FROM, CLOSELY_FROM = 1, 2
"""A chunk that was overtaken is settled alone. If that fails too, one call of the books is not enough, as where cash lies in several lots."""
_PORTFOLIOS: Final[LiteralString] = "select portfolio_id from trading.portfolio where tenant_id = %s and investor_id = %s and status = 'active' order by 1"
_LATEST: Final[LiteralString] = "select ledger.latest(%s, %s, %s, %s)"
_HEARING: Final[LiteralString] = "select ledger.portfolios_of(%s, %s, %s::text[])"
# Who was paid is locked, so nobody changes what he owes before the commit: whoever does moves his own account too. Looked up one by one by their keys.
_DEBTS: Final[LiteralString] = """
    select p.account_id, (select f.flavor_id from books.flavor f where f.flavor_no = p.flavor_no), least(p.paid, o.owed, c.free)::bigint
    from (select a.account_id, 'receivable/' || a.account_id as owing, l.account_no, l.flavor_no, sum(m.amount) as paid
          from (select dst, amount from books.move where txn_no = (select x.txn_no from books.txn x where x.tenant_id = %s and x.txn_id = %s) offset 0) m
          cross join lateral (select y.account_no, y.flavor_no from books.lot y where y.lot_no = m.dst offset 0) l
          cross join lateral (select z.account_id from books.account z where z.account_no = l.account_no offset 0) a
          group by a.account_id, l.account_no, l.flavor_no offset 0) p
    cross join lateral (select x.account_no from books.account x where x.tenant_id = %s and x.account_id = p.owing offset 0) r
    cross join lateral (select -sum(x.amount) as owed from books.lot x where x.account_no = r.account_no and x.flavor_no = p.flavor_no offset 0) o
    cross join lateral (select sum(x.amount - x.held) as free from books.lot x where x.account_no = p.account_no and x.flavor_no = p.flavor_no offset 0) c
    where o.owed > 0 and c.free > 0 order by 1, 2"""
_STUCK: Final[LiteralString] = """
    select h.account_id, h.tags from (
      select distinct l.account_no from books.lot l
      where l.flavor_no = (select f.flavor_no from books.flavor f where f.tenant_id = %(tenant)s and f.flavor_id = %(flavor)s) and l.amount > 0) l
    join books.account h on h.account_no = l.account_no
    where h.floor is not null and not exists (
      select from books.account c where c.tenant_id = %(tenant)s and c.account_id = h.tags->>'paid_to' and c.closed_at is null) order by 1"""
_SETTLING_ALONE: Final[LiteralString] = "select pg_advisory_xact_lock(hashtextextended(%s, 9))"
_JUST: Final = timedelta(microseconds=1)


class AuroraFlows:
    """The half of `AuroraLedger` that settles no bids."""

    def __init__(self, database: Database, signer: Callable[[], Signer] | None = None) -> None:
        """`signer` gives, when it is first needed, who signs for the marketplace, each posting as a whole: then its accounts and flavors name that
        key when they are opened. Without one only what names no keys can be moved."""
        self._database: Final = database
        self._signer_of: Final = signer
        self._cached: Signer | None = None
        self._books: Final = AuroraBooks(database)

    @property
    def _signer(self) -> Signer | None:
        if self._cached is None and self._signer_of is not None:
            self._cached = self._signer_of()
        return self._cached

    def _prepare(self, tenant_id: str, accounts: Iterable[Account], flavors: Iterable[Flavor], sets: Iterable[Tags]) -> frozenset[str]:
        """Open what is missing, naming the key it takes to move it."""
        keys = (self._signer.key_id,) if self._signer else ()
        return self._books.prepare(tenant_id, [replace(one, key_ids=keys) for one in accounts], [replace(one, key_ids=keys) for one in flavors], sets)

    def transfer(self, tenant_id: str, asked: Transaction, investor_id: str, window_seconds: int) -> Receipt:
        receipt = receipt_of(asked, investor_id)
        for attempt in range(TRIES):
            refusal: Refused | None = None
            try:
                self._transfer(tenant_id, asked, investor_id, window_seconds, closely=attempt >= CLOSELY_FROM)
            except MovedOn:
                pass
            except Refused as refused:
                refusal = refused
            else:
                return receipt
            # What was refused may have been booked meanwhile, by another telling of the same.
            if booked := self._books.actions(tenant_id, Question("transaction_id = $1", (asked.txn_id,))).items:
                return receipt_again(asked, investor_id, booked)
            if refusal is not None:
                raise _refused(refusal)
        raise Unavailable("others kept changing what this transfer was decided by")

    def _transfer(self, tenant_id: str, asked: Transaction, investor_id: str, window_seconds: int, *, closely: bool) -> None:
        trust = self._books.trust(tenant_id, self._signer)
        self._prepare(tenant_id, [cash_account(investor_id)], [currency_flavor(receipt_of(asked, investor_id).currency)], tag_sets(asked))
        signed = signed_by(self._signer, trust, tenant_id, [asked], asked.effective_at)
        with self._books.transaction(tenant_id) as cursor:
            self._books.post_in(cursor, [asked], signed, asked.effective_at, closely=closely)
            portfolios = [row[0] for row in cursor.execute(_PORTFOLIOS, [tenant_id, investor_id])]
            say(cursor, transfer_says(tenant_id, asked, portfolios, window_seconds))

    def book(self, tenant_id: str, asked: Booking, at: datetime, window_seconds: int) -> Booked:
        held = False
        for attempt in range(TRIES):
            refusal: Refused | None = None
            before = True
            try:
                self._book(tenant_id, asked, at, window_seconds, alone=attempt >= ALONE_FROM, held=held)
                before = False
            except MovedOn:
                pass
            except Refused as refused:
                refusal = refused
            # What was refused may have been booked meanwhile, by another telling of the same.
            if found := self.booked(tenant_id, asked.txn_id):
                return Booked(found, before)
            if refusal is not None and (held or refusal.code != "RESERVED" or not asked.makes_way):
                raise _of_one_action(refusal)
            held = held or refusal is not None
        raise Unavailable("others kept changing what this was decided by")

    def _book(self, tenant_id: str, asked: Booking, at: datetime, window_seconds: int, *, alone: bool, held: bool) -> None:
        """From the second time on without settlements beside it: of a loan that sells fast, somebody else's purchase would always come first."""
        trust = self._books.trust(tenant_id, self._signer)
        self._prepare(tenant_id, asked.accounts, asked.flavors, [*tag_sets(asked.make(at)), RECOVERY_TAGS, GAVE_WAY])
        clock = at if asked.open_before is None else min(at, asked.open_before - _JUST)
        with self._books.transaction(tenant_id) as cursor:
            if alone:
                cursor.execute(_SETTLING_ALONE, [tenant_id])
            made = asked.make(at)
            if asked.latest_flavor is not None:
                row = cursor.execute(_LATEST, [tenant_id, asked.latest_flavor, asked.latest_account, at + SKEW_MAX]).fetchone()
                made = asked.make(max(at, row[0]) if row and row[0] else at)
            if held:
                made = make_way(made, *self._books.rehearsal(cursor, tenant_id, [made]), clock)
            self._books.post_in(cursor, [made], signed_by(self._signer, trust, tenant_id, [made], at), clock, closely=True)
            if asked.recovers and (debts := [Debt(*row) for row in cursor.execute(_DEBTS, [tenant_id, made.txn_id, tenant_id])]):
                kept_back = [recovery(tenant_id, made, debts)]
                self._books.post_in(cursor, kept_back, signed_by(self._signer, trust, tenant_id, kept_back, at), clock, closely=True)
            portfolios = [row[0] for row in cursor.execute(_HEARING, [tenant_id, made.txn_id, list(asked.investors)])]
            say(cursor, transfer_says(tenant_id, made, portfolios, window_seconds))

    def redirect(self, tenant_id: str, flavor_id: str) -> None:
        with self._database.transaction(tenant_id) as cursor:
            stuck = [Account(*row) for row in cursor.execute(_STUCK, {"tenant": tenant_id, "flavor": flavor_id})]
        redirect(tenant_id, stuck, self._books, lambda one: self._prepare(tenant_id, [one], (), ()))
        self._books.forget()  # others may have done it

    def booked(self, tenant_id: str, txn_id: str) -> PostedTransaction | None:
        return next(iter(self._books.transactions(tenant_id, Question("id = $1", (txn_id,))).items), None)

    def actions(self, tenant_id: str, question: Question) -> Sequence[PostedMove]:
        return self._books.actions(tenant_id, question).items


def _refused(refusal: Refused) -> Refused:
    """A refusal of the books as a transfer says it."""
    if refusal.code in {"INSUFFICIENT_FUNDS", "RESERVED", "BACKDATED"}:
        return Refused("INSUFFICIENT_CASH", "the investor has less cash than this", "amount")
    return refusal


def _of_one_action(refusal: Refused) -> Refused:
    """A refusal of the books without the place in a transaction, which is not the caller's."""
    return Refused(refusal.code, refusal.detail)
