"""Plans against the real ledger's tables: what is settled and returned, two planners at once, a settlement in the middle of a plan."""

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.transfers import deposit, withdraw
from bourse.money import Money
from bourse.parties.aurora import AuroraParties
from bourse.parties.model import Investor, PersonalRate
from bourse.trading import aurora
from bourse.trading.aurora import AuroraPlans, AuroraPortfolios
from bourse.trading.events import BalancesChanged, BuyOffersPlaced
from bourse.trading.model import Portfolio, PortfolioStatus
from bourse.trading.plan_purchases import plan_purchases
from bourse.trading.portfolios import home

from tests.trading.builders import PRODUCT, terms
from tests.trading.worlds import CLOCK, T, settle


@pytest.fixture
def opened(database: Database) -> Database:
    """Ada with the active portfolios income and growth, and no cash."""
    parties, portfolios = AuroraParties(database), AuroraPortfolios(database)
    parties.publish_product(T, "consumer", PRODUCT, "op", CLOCK.now())
    parties.add_investor(T, Investor(investor_id="ada", name="Ada"), "op", CLOCK.now())
    for portfolio_id in ("income", "growth"):
        portfolio = Portfolio(portfolio_id=portfolio_id, investor_id="ada", status=PortfolioStatus.ACTIVE, terms=terms("75", "25"))
        portfolios.add(T, portfolio, CLOCK.now())
    return database


def move(database: Database, does: Callable[..., object], amount: int, external_id: str = "1") -> None:
    does(T, "ada", Money(amount, "USD"), "wire", external_id, ledger=AuroraLedger(database), clock=CLOCK, window_seconds=30)


def plan(database: Database, number: int, portfolio_id: str = "income") -> tuple[BuyOffersPlaced, ...]:
    cause = BalancesChanged(message_id=f"msg_{portfolio_id}_{number}", tenant_id=T, correlation_id="c", portfolio_id=portfolio_id, window=number)
    return plan_purchases(cause, plans=AuroraPlans(database), clock=CLOCK).says


def offers(said: tuple[BuyOffersPlaced, ...]) -> dict[str, tuple[int, int, int]]:
    return {offer.bucket_id: (offer.version, offer.volume, offer.settled_total) for message in said for offer in message.offers}


def test_settled_principal_lowers_the_volume_and_is_told_to_the_book(opened: Database) -> None:
    move(opened, deposit, 200_000)
    assert offers(plan(opened, 1)) == {"b0": (1, 7_500, 0), "b1": (1, 2_500, 0)}
    settle(opened, 1, 7_500)
    assert offers(plan(opened, 2)) == {"b0": (2, 0, 0 + 7_500), "b1": (2, 5_000, 0)}
    assert plan(opened, 3) == ()


def test_each_bid_that_could_not_be_paid_makes_a_new_version_though_the_cash_is_the_same(opened: Database) -> None:
    move(opened, deposit, 10_000)
    plan(opened, 1)
    move(opened, withdraw, 9_000, "2")
    after_withdrawal = offers(plan(opened, 2))
    assert sum(volume for _, volume, _ in after_withdrawal.values()) == 1_000
    settle(opened, 1, 7_500)  # returns: the book published it before it heard of the withdrawal
    again = offers(plan(opened, 3))
    assert again == {"b0": (3, after_withdrawal["b0"][1], 0)}
    assert plan(opened, 4) == ()


def test_a_personal_rate_overrides_the_products(opened: Database) -> None:
    AuroraParties(opened).set_rate(T, PersonalRate(investor_id="ada", product_id="consumer", buy_ratio=Decimal("0.9975")), "op", CLOCK.now())
    move(opened, deposit, 200_000)
    (said,) = plan(opened, 1)
    assert {offer.buy_ratio for offer in said.offers} == {Decimal("0.9975")}


def test_planners_of_two_portfolios_at_once_never_offer_the_same_cash(opened: Database, app_dsn: str) -> None:
    move(opened, deposit, 12_000)
    start, made = threading.Barrier(2), []

    def planner(portfolio_id: str) -> None:
        own = Database(app_dsn)
        start.wait()
        made.extend(plan(own, number, portfolio_id) for number in range(10))
        own.close()

    threads = [threading.Thread(target=planner, args=(portfolio_id,)) for portfolio_id in ("income", "growth")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with opened.transaction(T) as cursor:
        assert cursor.execute("select sum(cost)::bigint, sum(volume)::bigint from trading.buy_offer").fetchone() == (12_000, 12_000)
    assert len(made) == 20


def test_a_settlement_in_the_middle_of_a_plan_is_never_counted_twice(opened: Database, app_dsn: str) -> None:
    """Cash read after it, settled principal before it: the bid looks unpaid and its cash gone, so the plan asks for too little, never too much."""
    move(opened, deposit, 10_000)
    other = Database(app_dsn)

    class Interrupted:
        """A cursor that lets a bid be settled just before the cash is read."""

        def __init__(self, cursor: Any) -> None:
            self._cursor = cursor

        def execute(self, query: str, given: Any) -> Any:
            if query is aurora._FACTS:
                settle(other, 1, 7_500)
            return self._cursor.execute(query, given)

    with opened.transaction(T) as cursor:
        facts = aurora._facts(Interrupted(cursor), T, "income", True)
    other.close()
    assert facts is not None
    assert (facts.cash, facts.buckets[0].settled_total) == (2_500, 0)


def test_a_plan_keeps_what_it_was_made_of_and_nothing_of_it_can_be_changed(opened: Database, migrated_dsn: str) -> None:
    move(opened, deposit, 200_000)
    plan(opened, 1)
    with opened.transaction(T) as cursor:
        row = cursor.execute("select facts, buckets from trading.plan").fetchone()
        assert row is not None
        assert (row[0]["cash"], row[1][0]["cap"], row[1][0]["volume"]) == (200_000, 7_500, 7_500)
    for statement in ("update trading.plan set said = null", "delete from trading.plan", "update trading.portfolio set investor_id = 'eve'"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), opened.transaction(T) as cursor:
            cursor.execute(statement)
    with psycopg.connect(migrated_dsn) as owner:
        owner.execute("select set_config('app.tenant', 't1', false)")
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute("delete from trading.plan")


def test_a_tenant_plans_and_sees_nothing_of_another(opened: Database) -> None:
    move(opened, deposit, 200_000)
    cause = BalancesChanged(message_id="msg_1", tenant_id="t2", correlation_id="c", portfolio_id="income", window=1)
    assert plan_purchases(cause, plans=AuroraPlans(opened), clock=CLOCK).says == ()
    seen = home("t2", "ada", portfolios=AuroraPortfolios(opened))
    assert (seen.cash, seen.portfolios, seen.positions) == ((), (), ())


def test_home_shows_positions_fill_and_deviation_after_a_purchase(opened: Database) -> None:
    move(opened, deposit, 200_000)
    plan(opened, 1)
    settle(opened, 1, 7_500)
    seen = home(T, "ada", portfolios=AuroraPortfolios(opened))
    (growth, income) = seen.portfolios
    assert [(bucket.exposure, str(bucket.fill_percent), str(bucket.deviation_percent)) for bucket in income.buckets] == [
        (7_500, "10.0000", "1.8750"),
        (0, "0.0000", "-1.8750"),
    ]
    assert str(income.deviation_bound_percent) == "1.8750"
    assert [bucket.waits_for for bucket in growth.buckets] == ["not_active", "not_active"]
    assert [(one.loan_id, one.principal, one.bucket_id) for one in seen.positions] == [("L1", 7_500, "b0")]
    assert seen.positions_total == 1
    assert sum(cash.available + cash.reserved for cash in seen.cash) == 192_500
