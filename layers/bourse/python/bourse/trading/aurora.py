"""Trading kept in PostgreSQL. A plan is one transaction under the lock of its investor, so two portfolios never plan the same cash."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.aws.postgres import Database, say
from bourse.errors import Conflict
from bourse.message import Message, decode, encode
from bourse.parties.model import InvestorStatus, ProductTerms
from bourse.trading.events import BalancesChanged, BuyOffersPlaced
from bourse.trading.gap import deviation_bound
from bourse.trading.model import (
    BucketFacts,
    Cash,
    Home,
    LastPlan,
    LiveOffer,
    PlanFacts,
    PlannedBucket,
    Portfolio,
    PortfolioFacts,
    PortfolioTerms,
    PortfolioView,
    Position,
    TermsVersion,
)
from bourse.trading.plan_purchases import digest
from bourse.trading.portfolios import brought_up, view
from bourse.trading.store import Decide, Say

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_PORTFOLIOS: Final[LiteralString] = """
    select p.portfolio_id, p.investor_id, p.status, p.version, v.terms
    from trading.portfolio p join trading.portfolio_version v using (tenant_id, portfolio_id, version)
    where p.tenant_id = %s and """
_VERSIONS: Final[LiteralString] = """
    select p.portfolio_id, p.investor_id, p.status, v.version, v.terms
    from trading.portfolio p join trading.portfolio_version v using (tenant_id, portfolio_id)
    where p.tenant_id = %s and p.portfolio_id = %s order by v.version"""
_ADD: Final[LiteralString] = """
    insert into trading.portfolio (tenant_id, portfolio_id, investor_id, status, version) values (%s, %s, %s, %s, %s) on conflict do nothing"""
_ADD_VERSION: Final[LiteralString] = """
    insert into trading.portfolio_version (tenant_id, portfolio_id, version, terms, recorded_at) values (%s, %s, %s, %s, %s)"""
_CHANGE: Final[LiteralString] = """
    update trading.portfolio set status = %s, version = %s where tenant_id = %s and portfolio_id = %s and status = %s and version = %s"""
_LOCK: Final[LiteralString] = """
    select investor_id, investor.status from trading.portfolio p join parties.investor using (tenant_id, investor_id)
    where p.tenant_id = %s and p.portfolio_id = %s for no key update of investor"""
_MADE: Final[LiteralString] = """
    select plan.portfolio_id, plan.said from trading.portfolio p join trading.plan using (tenant_id, portfolio_id)
    where p.tenant_id = %s and p.investor_id = %s and plan.cause_id = %s order by plan.plan_no"""
_WAITING: Final[LiteralString] = """
    select other.portfolio_id from trading.portfolio other
    join trading.portfolio_version v using (tenant_id, portfolio_id, version)
    cross join lateral (select buckets from trading.plan x where x.tenant_id = other.tenant_id and x.portfolio_id = other.portfolio_id
                        order by plan_no desc limit 1) last
    where other.tenant_id = %s and other.investor_id = %s and other.portfolio_id <> %s and other.status = 'active' and v.terms->>'currency' = %s
    and last.buckets @> '[{"waits_for": "cash"}]' order by other.portfolio_id"""
_FACTS: Final[LiteralString] = """
    select product.terms, rate.buy_ratio,
      coalesce((select available from ledger.investor_cash c where c.tenant_id = p.tenant_id and c.account_id = 'cash/' || p.investor_id
                and c.currency = v.terms->>'currency'), 0),
      coalesce((select sum(o.cost) from trading.portfolio other
                join trading.portfolio_version ov using (tenant_id, portfolio_id, version)
                join trading.buy_offer o on o.tenant_id = other.tenant_id and o.portfolio_id = other.portfolio_id
                where other.tenant_id = p.tenant_id and other.investor_id = p.investor_id and other.portfolio_id <> p.portfolio_id
                and ov.terms->>'currency' = v.terms->>'currency'), 0)::bigint
    from trading.portfolio p
    join trading.portfolio_version v using (tenant_id, portfolio_id, version)
    left join lateral (select terms from parties.product_version x where x.tenant_id = p.tenant_id and x.product_id = v.terms->>'product_id'
                       order by x.version desc limit 1) product on true
    left join lateral (select buy_ratio from parties.personal_rate r where r.tenant_id = p.tenant_id and r.investor_id = p.investor_id
                       and r.product_id = v.terms->>'product_id' order by r.version desc limit 1) rate on true
    where p.tenant_id = %s and p.portfolio_id = %s"""
_BUCKETS: Final[LiteralString] = """
    select coalesce(p.principal, 0), coalesce(p.settled_total, 0), coalesce((
        select returned from ledger.bucket_returned r where r.tenant_id = %(tenant)s and r.portfolio_id = %(portfolio)s and r.bucket_id = b.id), 0)
    from unnest(%(buckets)s::text[]) with ordinality b(id, no)
    left join ledger.bucket_position p on p.tenant_id = %(tenant)s and p.portfolio_id = %(portfolio)s and p.bucket_id = b.id order by b.no"""
_OFFERS: Final[LiteralString] = "select bucket_id, version, volume, digest from trading.buy_offer where tenant_id = %s and portfolio_id = %s"
_KEEP_OFFERS: Final[LiteralString] = """
    insert into trading.buy_offer (tenant_id, portfolio_id, bucket_id, version, volume, cost, digest)
    select %s, %s, * from unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::text[])
    on conflict (tenant_id, portfolio_id, bucket_id)
    do update set version = excluded.version, volume = excluded.volume, cost = excluded.cost, digest = excluded.digest"""
_KEEP_PLAN: Final[LiteralString] = """
    insert into trading.plan (tenant_id, portfolio_id, cause_id, planned_at, facts, buckets, said) values (%s, %s, %s, %s, %s, %s, %s)"""
_CASH: Final[LiteralString] = """
    select c.currency, c.available, c.reserved, coalesce((
        select sum(o.cost) from trading.portfolio p join trading.portfolio_version v using (tenant_id, portfolio_id, version)
        join trading.buy_offer o using (tenant_id, portfolio_id)
        where p.tenant_id = c.tenant_id and p.investor_id = c.investor_id and v.terms->>'currency' = c.currency), 0)::bigint
    from ledger.investor_cash c where c.tenant_id = %s and c.account_id = 'cash/' || %s order by c.currency"""
_LAST_PLANS: Final[LiteralString] = """
    select p.portfolio_id, plan.buckets, product.terms,
      (select jsonb_object_agg(b.bucket_id, b.principal) from ledger.bucket_position b where b.tenant_id = p.tenant_id and b.portfolio_id = p.portfolio_id)
    from trading.portfolio p
    join trading.portfolio_version v using (tenant_id, portfolio_id, version)
    left join lateral (select buckets from trading.plan x where x.tenant_id = p.tenant_id and x.portfolio_id = p.portfolio_id
                       order by plan_no desc limit 1) plan on true
    left join lateral (select terms from parties.product_version y where y.tenant_id = p.tenant_id and y.product_id = v.terms->>'product_id'
                       order by y.version desc limit 1) product on true
    where p.tenant_id = %s and p.investor_id = %s"""
_KEPT: Final[LiteralString] = """
    select p.portfolio_id, p.investor_id, p.status, p.version, v.terms, product.terms, plan.planned_at, plan.facts, plan.buckets,
      (select jsonb_agg(jsonb_build_object('version', x.version, 'recorded_at', x.recorded_at) order by x.version)
       from trading.portfolio_version x where x.tenant_id = p.tenant_id and x.portfolio_id = p.portfolio_id),
      (select jsonb_agg(jsonb_build_object('bucket_id', o.bucket_id, 'version', o.version, 'volume', o.volume, 'cost', o.cost) order by o.bucket_id)
       from trading.buy_offer o where o.tenant_id = p.tenant_id and o.portfolio_id = p.portfolio_id),
      (select jsonb_object_agg(b.bucket_id, jsonb_build_object('principal', b.principal, 'settled_total', b.settled_total))
       from ledger.bucket_position b where b.tenant_id = p.tenant_id and b.portfolio_id = p.portfolio_id),
      (select jsonb_object_agg(r.bucket_id, r.returned) from ledger.bucket_returned r where r.tenant_id = p.tenant_id and r.portfolio_id = p.portfolio_id)
    from trading.portfolio p
    join trading.portfolio_version v using (tenant_id, portfolio_id, version)
    left join lateral (select planned_at, facts, buckets from trading.plan x where x.tenant_id = p.tenant_id and x.portfolio_id = p.portfolio_id
                       order by plan_no desc limit 1) plan on true
    join lateral (select terms from parties.product_version y where y.tenant_id = p.tenant_id and y.product_id = v.terms->>'product_id'
                  order by y.version desc limit 1) product on true
    where p.tenant_id = %s and p.portfolio_id = %s"""
_POSITIONS: Final[LiteralString] = """
    select portfolio_id, bucket_id, originator_id, loan_id, currency, principal::bigint, loan_status, count(*) over ()
    from ledger.position where tenant_id = %s and investor_id = %s order by principal desc, loan_id, portfolio_id, bucket_id limit %s"""


class AuroraPortfolios:
    """A `PortfolioStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def from_env(cls) -> "AuroraPortfolios":
        return cls(Database.from_env())

    def add(self, tenant_id: str, portfolio: Portfolio, at: datetime) -> Portfolio:
        one = portfolio
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(_ADD, [tenant_id, one.portfolio_id, one.investor_id, one.status, one.version])
            if cursor.rowcount:
                cursor.execute(_ADD_VERSION, [tenant_id, one.portfolio_id, one.version, one.terms.model_dump_json(), at])
            kept = _one(cursor, tenant_id, one.portfolio_id)
        assert kept is not None, "a portfolio just added is there"
        return kept

    def change(self, tenant_id: str, was: Portfolio, becomes: Portfolio, at: datetime, says: Sequence[Message]) -> None:
        with self._database.transaction(tenant_id) as cursor:
            read = [tenant_id, was.portfolio_id, was.status, was.version]
            cursor.execute(_CHANGE, [becomes.status, becomes.version, *read])
            if not cursor.rowcount:
                raise Conflict("PORTFOLIO_VERSION", "the portfolio was changed by somebody else: read it again")
            if becomes.version > was.version:
                cursor.execute(_ADD_VERSION, [tenant_id, was.portfolio_id, becomes.version, becomes.terms.model_dump_json(), at])
            say(cursor, says)

    def portfolio(self, tenant_id: str, portfolio_id: str) -> Portfolio | None:
        with self._database.transaction(tenant_id) as cursor:
            return _one(cursor, tenant_id, portfolio_id)

    def portfolios(self, tenant_id: str, investor_id: str) -> Sequence[Portfolio]:
        with self._database.transaction(tenant_id) as cursor:
            return _of_investor(cursor, tenant_id, investor_id)

    def versions(self, tenant_id: str, portfolio_id: str) -> Sequence[Portfolio]:
        with self._database.transaction(tenant_id) as cursor:
            return [_portfolio(row) for row in cursor.execute(_VERSIONS, [tenant_id, portfolio_id])]

    def facts(self, tenant_id: str, portfolio_id: str) -> PortfolioFacts | None:
        with self._database.transaction(tenant_id) as cursor:
            row = cursor.execute(_KEPT, [tenant_id, portfolio_id]).fetchone()  # one statement: one moment
        if row is None:
            return None
        portfolio = _portfolio(row[:5])
        product, planned_at, made_of, planned, versions, offers, held, returned = row[5:]
        settled, unpaid = held or {}, returned or {}
        plan = LastPlan.model_validate({"planned_at": planned_at, "facts": made_of, "buckets": planned}) if planned_at else None
        return PortfolioFacts(
            portfolio=portfolio,
            product=ProductTerms.model_validate(product),
            versions=tuple(TermsVersion.model_validate(one) for one in versions),
            buckets=tuple(BucketFacts(**settled.get(one.bucket_id, {}), returned=unpaid.get(one.bucket_id, 0)) for one in portfolio.terms.buckets),
            plan=plan,
            offers=tuple(LiveOffer.model_validate(one) for one in offers or ()),
        )

    def home(self, tenant_id: str, investor_id: str, positions_max: int) -> Home:
        with self._database.transaction(tenant_id) as cursor:
            cash = tuple(_cash(*row) for row in cursor.execute(_CASH, [tenant_id, investor_id]))
            portfolios = {one.portfolio_id: one for one in _of_investor(cursor, tenant_id, investor_id)}
            plans = cursor.execute(_LAST_PLANS, [tenant_id, investor_id]).fetchall()
            rows = cursor.execute(_POSITIONS, [tenant_id, investor_id, positions_max]).fetchall()
        positions = tuple(
            Position(portfolio_id=r[0], bucket_id=r[1], originator_id=r[2], loan_id=r[3], currency=r[4], principal=r[5], loan_status=r[6]) for r in rows
        )
        views = tuple(_view(portfolios[row[0]], row[1], row[2], row[3]) for row in sorted(plans))
        return Home(cash=cash, portfolios=views, positions=positions, positions_total=rows[0][7] if rows else 0)


class AuroraPlans:
    """A `PlanStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def from_env(cls) -> "AuroraPlans":
        return cls(Database.from_env())

    def plan(self, cause: BalancesChanged, at: datetime, decide: Decide, say: Say) -> tuple[BuyOffersPlaced, ...]:
        tenant_id, portfolio_id = cause.tenant_id, cause.portfolio_id
        with self._database.transaction(tenant_id) as cursor:
            if (locked := cursor.execute(_LOCK, [tenant_id, portfolio_id]).fetchone()) is None:
                return ()
            investor_id, active = locked[0], locked[1] == InvestorStatus.ACTIVE
            made = cursor.execute(_MADE, [tenant_id, investor_id, cause.message_id]).fetchall()
            if any(row[0] == portfolio_id for row in made):
                return tuple(decode(row[1], BuyOffersPlaced) for row in made if row[1])
            says: list[BuyOffersPlaced | None] = []
            if (facts := _facts(cursor, tenant_id, portfolio_id, active)) is not None:
                says.append(_make(cursor, cause, facts, at, decide, say))
                others = cursor.execute(_WAITING, [tenant_id, investor_id, portfolio_id, facts.portfolio.terms.currency]).fetchall()
                waiting = (_facts(cursor, tenant_id, row[0], active) for row in others)  # each after the plans of those before it
                says.extend(_make(cursor, cause, one, at, decide, say) for one in waiting if one is not None)
            return tuple(one for one in says if one)


def _make(cursor: "Cursor", cause: BalancesChanged, facts: PlanFacts, at: datetime, decide: Decide, say: Say) -> BuyOffersPlaced | None:
    """Decide on one portfolio, and keep the plan and the offers it changes."""
    key = [cause.tenant_id, facts.portfolio.portfolio_id]
    planned = decide(facts)
    before = {row[0]: (row[1], row[3]) for row in cursor.execute(_OFFERS, key)}
    changed = [(bucket, mark) for bucket in planned if _differs(bucket, mark := digest(facts, bucket), before)]
    versions = [before.get(bucket.bucket_id, (0, ""))[0] + 1 for bucket, _ in changed]
    buckets = [bucket for bucket, _ in changed]
    said = say(facts, buckets, versions)
    columns = [[b.bucket_id for b in buckets], versions, [b.volume for b in buckets], [b.cost for b in buckets], [mark for _, mark in changed]]
    cursor.execute(_KEEP_OFFERS, [*key, *columns])
    kept = [facts.model_dump_json(), "[" + ",".join(bucket.model_dump_json() for bucket in planned) + "]", encode(said) if said else None]
    cursor.execute(_KEEP_PLAN, [*key, cause.message_id, at, *kept])
    return said


def _differs(bucket: PlannedBucket, mark: str, before: dict[str, tuple[int, str]]) -> bool:
    """Whether the offer is news; a bucket that wants nothing and never offered anything is not."""
    if bucket.bucket_id in before:
        return before[bucket.bucket_id][1] != mark
    return bucket.volume > 0


def _facts(cursor: "Cursor", tenant_id: str, portfolio_id: str, investor_active: bool) -> PlanFacts | None:
    """All that a plan depends on; None when the portfolio's product is not there.

    What is settled is read before the cash: a settlement committed between the two then shows as cash that is gone and principal
    that is still on its way, and the plan asks for less. The other way round it would spend that cash twice.
    """
    key = [tenant_id, portfolio_id]
    if (portfolio := _one(cursor, *key)) is None:
        return None
    bucket_ids = [bucket.bucket_id for bucket in portfolio.terms.buckets]
    held = cursor.execute(_BUCKETS, {"tenant": tenant_id, "portfolio": portfolio_id, "buckets": bucket_ids}).fetchall()
    live = [row[0] for row in cursor.execute(_OFFERS, key) if row[2] > 0]
    found = cursor.execute(_FACTS, key).fetchone()
    if found is None or found[0] is None:
        return None
    product = ProductTerms.model_validate(found[0])
    return PlanFacts(
        portfolio=portfolio,
        investor_active=investor_active,
        buy_ratio=product.buy_ratio if found[1] is None else Decimal(found[1]),
        lot_min=product.lot_min,
        step_percent=product.step_percent,
        single_bucket_at_once=product.single_bucket_at_once,
        cash=int(found[2]),
        cash_of_others=int(found[3]),
        buckets=tuple(BucketFacts(principal=row[0], settled_total=row[1], returned=row[2]) for row in held),
        dropped=tuple(sorted(set(live) - set(bucket_ids))),
    )


def _cash(currency: str, free: int, held: int, offered: int) -> Cash:
    """Cash divided into what holds and live offers may take and the rest; an offer may be older than the last purchase, so it may ask for more."""
    return Cash(currency=currency, available=max(0, free - offered), reserved=held + min(free, offered))


def _view(portfolio: Portfolio, plan: list[Any] | None, product: Any, principals: dict[str, Any] | None) -> PortfolioView:
    """The portfolio with its last plan, brought to the exposure of now."""
    held = {bucket_id: int(principal) for bucket_id, principal in (principals or {}).items()}
    now = brought_up(portfolio, [PlannedBucket.model_validate(bucket) for bucket in plan or ()], held)
    terms = ProductTerms.model_validate(product)
    return view(portfolio, now, deviation_bound(portfolio.terms.bucket_volumes(), terms.lot_min, terms.step_percent))


def _one(cursor: "Cursor", tenant_id: str, portfolio_id: str) -> Portfolio | None:
    found = cursor.execute(_PORTFOLIOS + "p.portfolio_id = %s", [tenant_id, portfolio_id]).fetchone()
    return _portfolio(found) if found else None


def _of_investor(cursor: "Cursor", tenant_id: str, investor_id: str) -> list[Portfolio]:
    rows = cursor.execute(_PORTFOLIOS + "p.investor_id = %s order by p.portfolio_id", [tenant_id, investor_id]).fetchall()
    return [_portfolio(row) for row in rows]


def _portfolio(row: tuple[Any, ...]) -> Portfolio:
    return Portfolio(portfolio_id=row[0], investor_id=row[1], status=row[2], version=row[3], terms=PortfolioTerms.model_validate(row[4]))
