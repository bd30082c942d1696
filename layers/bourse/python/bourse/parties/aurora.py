"""The parties kept in PostgreSQL: one statement a question, and the audit row in the transaction of the change."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, LiteralString

from bourse.aws.postgres import Database, say
from bourse.errors import NotFound
from bourse.message import Facts
from bourse.parties.model import Investor, InvestorStatus, Originator, OriginatorStatus, PersonalRate, Product, ProductTerms
from bourse.trading.events import balances_changed

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_ADD_ORIGINATOR: Final[LiteralString] = """
    insert into parties.originator (tenant_id, originator_id, name, status, product_id, created_at)
    values (%s, %s, %s, %s, %s, %s) on conflict do nothing"""
_ORIGINATORS: Final[LiteralString] = "select originator_id, name, status, product_id from parties.originator where tenant_id = %s order by originator_id"
_ADD_INVESTOR: Final[LiteralString] = """
    insert into parties.investor (tenant_id, investor_id, name, status, created_at) values (%s, %s, %s, %s, %s) on conflict do nothing"""
_INVESTORS: Final[LiteralString] = "select investor_id, name, status from parties.investor where tenant_id = %s order by investor_id"
_ORIGINATOR_LOCKED: Final[LiteralString] = "select status from parties.originator where tenant_id = %s and originator_id = %s for no key update"
_ORIGINATOR_STATUS: Final[LiteralString] = "update parties.originator set status = %s where tenant_id = %s and originator_id = %s"
_INVESTOR_LOCKED: Final[LiteralString] = "select status from parties.investor where tenant_id = %s and investor_id = %s for no key update"
_INVESTOR_STATUS: Final[LiteralString] = "update parties.investor set status = %s where tenant_id = %s and investor_id = %s"
_PRODUCTS: Final[LiteralString] = """
    select product_id, version, terms from parties.product_version where tenant_id = %s and product_id = %s order by version"""
_PUBLISH: Final[LiteralString] = """
    insert into parties.product_version (tenant_id, product_id, version, terms, author, recorded_at) values (%s, %s, %s, %s, %s, %s)"""
_RATES: Final[LiteralString] = """
    select version, buy_ratio from parties.personal_rate where tenant_id = %s and investor_id = %s and product_id = %s order by version desc limit 1"""
_SET_RATE: Final[LiteralString] = """
    insert into parties.personal_rate (tenant_id, investor_id, product_id, version, buy_ratio, author, recorded_at)
    values (%s, %s, %s, %s, %s, %s, %s)"""
_AUDIT: Final[LiteralString] = """
    insert into parties.audit (tenant_id, actor, action, subject, detail, recorded_at) values (%s, %s, %s, %s, %s, %s)"""
_CONCERNED: Final[LiteralString] = """
    select p.portfolio_id from trading.portfolio p join trading.portfolio_version v using (tenant_id, portfolio_id, version)
    where p.tenant_id = %(tenant)s and p.status = 'active' and p.investor_id = coalesce(%(investor)s, p.investor_id)
    and v.terms->>'product_id' = coalesce(%(product)s, v.terms->>'product_id') order by p.portfolio_id"""
_WINDOW_SECONDS: Final = 30
# One publisher at a time per thing that has versions, so that they are numbered without gaps.
_ONE_AT_A_TIME: Final[LiteralString] = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"


class AuroraParties:
    """A `PartyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def from_env(cls) -> "AuroraParties":
        return cls(Database.from_env())

    def add_originator(self, tenant_id: str, originator: Originator, actor: str, at: datetime) -> Originator:
        one = originator
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(_ADD_ORIGINATOR, [tenant_id, one.originator_id, one.name, one.status, one.product_id, at])
            if cursor.rowcount:
                _audit(cursor, tenant_id, actor, "register", f"originator/{one.originator_id}", one, at)
        return next(kept for kept in self.originators(tenant_id) if kept.originator_id == one.originator_id)

    def add_investor(self, tenant_id: str, investor: Investor, actor: str, at: datetime) -> Investor:
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(_ADD_INVESTOR, [tenant_id, investor.investor_id, investor.name, investor.status, at])
            if cursor.rowcount:
                _audit(cursor, tenant_id, actor, "register", f"investor/{investor.investor_id}", investor, at)
        return next(kept for kept in self.investors(tenant_id) if kept.investor_id == investor.investor_id)

    def originators(self, tenant_id: str) -> Sequence[Originator]:
        with self._database.transaction(tenant_id) as cursor:
            rows = cursor.execute(_ORIGINATORS, [tenant_id]).fetchall()
        return [Originator(originator_id=row[0], name=row[1], status=row[2], product_id=row[3]) for row in rows]

    def investors(self, tenant_id: str) -> Sequence[Investor]:
        with self._database.transaction(tenant_id) as cursor:
            rows = cursor.execute(_INVESTORS, [tenant_id]).fetchall()
        return [Investor(investor_id=row[0], name=row[1], status=row[2]) for row in rows]

    def set_status(self, tenant_id: str, party_id: str, status: OriginatorStatus | InvestorStatus, actor: str, at: datetime) -> None:
        investor = isinstance(status, InvestorStatus)
        kind, locked, change = ("investor", _INVESTOR_LOCKED, _INVESTOR_STATUS) if investor else ("originator", _ORIGINATOR_LOCKED, _ORIGINATOR_STATUS)
        with self._database.transaction(tenant_id) as cursor:
            if (kept := cursor.execute(locked, [tenant_id, party_id]).fetchone()) is None:
                raise NotFound("PARTY_UNKNOWN", f"there is no {party_id}")
            if kept[0] == status:
                return
            cursor.execute(change, [status, tenant_id, party_id])
            _audit(cursor, tenant_id, actor, f"status:{status}", f"{kind}/{party_id}", None, at)
            if investor:
                _replan(cursor, tenant_id, at, f"investor/{party_id}", investor_id=party_id)

    def publish_product(self, tenant_id: str, product_id: str, terms: ProductTerms, actor: str, at: datetime) -> Product:
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(_ONE_AT_A_TIME, [f"product/{tenant_id}/{product_id}"])
            versions = _products(cursor, tenant_id, product_id)
            if versions and versions[-1].terms == terms:
                return versions[-1]
            product = Product(product_id=product_id, version=len(versions) + 1, terms=terms)
            cursor.execute(_PUBLISH, [tenant_id, product_id, product.version, terms.model_dump_json(), actor, at])
            _audit(cursor, tenant_id, actor, "publish", f"product/{product_id}", product, at)
            _replan(cursor, tenant_id, at, f"product/{product_id}", product_id=product_id)
            return product

    def product(self, tenant_id: str, product_id: str) -> Product | None:
        versions = self.product_versions(tenant_id, product_id)
        return versions[-1] if versions else None

    def product_versions(self, tenant_id: str, product_id: str) -> Sequence[Product]:
        with self._database.transaction(tenant_id) as cursor:
            return _products(cursor, tenant_id, product_id)

    def set_rate(self, tenant_id: str, rate: PersonalRate, actor: str, at: datetime) -> None:
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(_ONE_AT_A_TIME, [f"rate/{tenant_id}/{rate.investor_id}/{rate.product_id}"])
            found = cursor.execute(_RATES, [tenant_id, rate.investor_id, rate.product_id]).fetchone()
            if found and found[1] == rate.buy_ratio:
                return
            version = found[0] + 1 if found else 1
            cursor.execute(_SET_RATE, [tenant_id, rate.investor_id, rate.product_id, version, rate.buy_ratio, actor, at])
            _audit(cursor, tenant_id, actor, "rate", f"investor/{rate.investor_id}", rate, at)
            _replan(cursor, tenant_id, at, f"investor/{rate.investor_id}", investor_id=rate.investor_id, product_id=rate.product_id)

    def rate(self, tenant_id: str, investor_id: str, product_id: str) -> PersonalRate | None:
        with self._database.transaction(tenant_id) as cursor:
            found = cursor.execute(_RATES, [tenant_id, investor_id, product_id]).fetchone()
        return PersonalRate(investor_id=investor_id, product_id=product_id, buy_ratio=found[1]) if found else None


def _products(cursor: "Cursor", tenant_id: str, product_id: str) -> list[Product]:
    rows = cursor.execute(_PRODUCTS, [tenant_id, product_id]).fetchall()
    return [Product(product_id=row[0], version=row[1], terms=ProductTerms.model_validate(row[2])) for row in rows]


def _audit(cursor: "Cursor", tenant_id: str, actor: str, action: str, subject: str, detail: Facts | None, at: datetime) -> None:
    cursor.execute(_AUDIT, [tenant_id, actor, action, subject, detail.model_dump_json() if detail else "{}", at])


def _replan(cursor: "Cursor", tenant_id: str, at: datetime, subject: str, investor_id: str | None = None, product_id: str | None = None) -> None:
    """Say to the active portfolios of this investor, product or both that what they plan by is another."""
    rows = cursor.execute(_CONCERNED, {"tenant": tenant_id, "investor": investor_id, "product": product_id}).fetchall()
    say(cursor, (balances_changed(tenant_id, row[0], subject, at, _WINDOW_SECONDS, subject, at.isoformat()) for row in rows))
