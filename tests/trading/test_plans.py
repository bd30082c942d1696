"""Planning and portfolios, on memory and on PostgreSQL: one plan a cause, one version a change, never more than the cash there is."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict, NotFound, Refused
from bourse.parties.model import ProductTerms
from bourse.trading import gap
from bourse.trading.events import BuyOffersPlaced, balances_changed
from bourse.trading.model import PortfolioStatus, PortfolioTerms
from bourse.trading.plan_purchases import plan_purchases
from bourse.trading.portfolios import change_status, change_terms, create_portfolio, home

from tests.trading.builders import PRODUCT, terms
from tests.trading.worlds import CLOCK, T, World, aurora_world, memory_world


def volumes(said: BuyOffersPlaced | None) -> dict[str, int]:
    assert said is not None
    return {offer.bucket_id: offer.volume for offer in said.offers}


def test_the_first_plan_offers_ten_percent_of_each_bucket(world: World) -> None:
    world.create()
    world.give("ada", 200_000)
    world.become(PortfolioStatus.ACTIVE)
    said = world.plan(1)
    assert volumes(said) == {"b0": 7_500, "b1": 2_500}
    assert said is not None
    assert {offer.version for offer in said.offers} == {1}
    assert said.book_id == "t1/USD/loan"


def test_the_same_cause_again_says_the_same_whatever_has_changed_since(world: World) -> None:
    world.create()
    world.give("ada", 200_000)
    world.become(PortfolioStatus.ACTIVE)
    first = world.plan(1)
    world.become(PortfolioStatus.PAUSED)
    assert world.plan(1) == first


def test_a_plan_that_changes_nothing_says_nothing(world: World) -> None:
    world.create()
    world.give("ada", 200_000)
    world.become(PortfolioStatus.ACTIVE)
    assert world.plan(1) is not None
    assert world.plan(2) is None


def test_other_cash_is_a_reason_to_say_an_offer_again(world: World) -> None:
    world.create()
    world.give("ada", 200_000)
    world.become(PortfolioStatus.ACTIVE)
    world.plan(1)
    world.give("ada", 1)
    said = world.plan(2)
    assert volumes(said) == {"b0": 7_500, "b1": 2_500}
    assert said is not None
    assert {offer.version for offer in said.offers} == {2}


def test_a_paused_portfolio_takes_its_offers_from_the_book(world: World) -> None:
    world.create()
    world.give("ada", 200_000)
    world.become(PortfolioStatus.ACTIVE)
    world.plan(1)
    world.become(PortfolioStatus.PAUSED)
    assert volumes(world.plan(2)) == {"b0": 0, "b1": 0}


def test_a_blocked_investor_takes_his_offers_from_the_book(world: World) -> None:
    world.create()
    world.give("ada", 200_000)
    world.become(PortfolioStatus.ACTIVE)
    world.plan(1)
    world.stop("ada")
    assert volumes(world.plan(2)) == {"b0": 0, "b1": 0}


def test_two_portfolios_never_offer_the_same_cash(world: World) -> None:
    world.create("income")
    world.create("growth")
    world.give("ada", 12_000)
    for portfolio_id in ("income", "growth"):
        world.become(PortfolioStatus.ACTIVE, portfolio_id)
    offered = sum(volumes(world.plan(1, "income")).values()) + sum(volumes(world.plan(1, "growth")).values())
    assert offered <= 12_000


def test_what_a_portfolio_gives_back_another_that_waits_for_cash_gets_and_hearing_it_again_says_both_again(world: World) -> None:
    for portfolio_id in ("income", "growth"):
        world.create(portfolio_id)
    world.give("ada", 10_000)
    for portfolio_id in ("income", "growth"):
        world.become(PortfolioStatus.ACTIVE, portfolio_id)
    assert volumes(world.plan(1, "income")) == {"b0": 7_500, "b1": 2_500}
    assert world.plan(1, "growth") is None
    world.become(PortfolioStatus.CLOSED, "income")
    said = world.say(2, "income")
    assert [volumes(one) for one in said] == [{"b0": 0, "b1": 0}, {"b0": 7_500, "b1": 2_500}]
    assert {offer.portfolio_id for offer in said[1].offers} == {"growth"}
    assert len({one.message_id for one in said}) == 2
    assert world.say(2, "income") == said
    assert world.say(3, "income") == ()


def test_a_bucket_the_terms_drop_is_taken_from_the_book_once_and_its_cash_is_free(world: World) -> None:
    world.create(asked=terms("50", "30", "20"))
    world.give("ada", 200_000)
    world.become(PortfolioStatus.ACTIVE)
    assert volumes(world.plan(1)) == {"b0": 5_000, "b1": 3_000, "b2": 2_000}
    change_terms(T, "ada", "income", terms("60", "40"), PRODUCT, portfolios=world.portfolios, clock=CLOCK, window_seconds=30)
    said = world.plan(2)
    assert volumes(said) == {"b0": 6_000, "b1": 4_000, "b2": 0}
    assert said is not None
    assert {offer.version for offer in said.offers} == {2}
    assert world.plan(3) is None
    assert [cash.reserved for cash in home(T, "ada", portfolios=world.portfolios).cash] == [10_000]
    change_terms(T, "ada", "income", terms("50", "30", "20"), PRODUCT, portfolios=world.portfolios, clock=CLOCK, window_seconds=30)
    back = world.plan(4)
    assert back is not None
    assert {offer.bucket_id: (offer.version, offer.volume) for offer in back.offers} == {"b0": (3, 5_000), "b1": (3, 3_000), "b2": (3, 2_000)}


def test_a_command_is_heard_as_a_message_of_its_own(world: World) -> None:
    """Its commit may come after the plan of its window; as the window's message it would then be one that was heard before."""
    world.create()
    world.become(PortfolioStatus.ACTIVE)
    world.become(PortfolioStatus.PAUSED)
    said = [message.message_id for message in world.said()]
    assert len(said) == len(set(said)) == 2


def test_of_two_commands_on_what_was_read_once_the_later_is_refused(world: World) -> None:
    """Somebody pauses what somebody else has closed in between: it stays closed, and nothing is said."""
    world.create()
    world.become(PortfolioStatus.ACTIVE)
    read = world.portfolios.portfolio(T, "income")
    world.become(PortfolioStatus.CLOSED)
    before = len(world.said())
    for becomes in (read.model_copy(update={"status": PortfolioStatus.PAUSED}), read.model_copy(update={"version": 2, "terms": terms("60", "40")})):
        with pytest.raises(Conflict, match="PORTFOLIO_VERSION"):
            world.portfolios.change(T, read, becomes, CLOCK.now(), [balances_changed(T, "income", "c", CLOCK.now(), 30, "late")])
    assert world.portfolios.portfolio(T, "income").status is PortfolioStatus.CLOSED
    assert len(world.portfolios.versions(T, "income")) == 1
    assert len(world.said()) == before


def test_creating_again_after_the_terms_changed_is_still_the_same_creation(world: World) -> None:
    world.create()
    change_terms(T, "ada", "income", terms("60", "40"), PRODUCT, portfolios=world.portfolios, clock=CLOCK, window_seconds=30)
    world.create()
    with pytest.raises(Conflict, match="PORTFOLIO_EXISTS"):
        world.create(asked=terms("60", "40"))
    assert len(world.portfolios.versions(T, "income")) == 2


def test_nobody_plans_a_portfolio_that_does_not_exist(world: World) -> None:
    assert world.plan(1, "nobodys") is None


def test_creating_twice_is_creating_once_and_other_terms_are_a_conflict(world: World) -> None:
    world.create()
    world.create()
    with pytest.raises(Conflict, match="PORTFOLIO_EXISTS"):
        world.create(asked=terms("50", "50"))
    with pytest.raises(Conflict, match="PORTFOLIO_EXISTS"):
        world.create(investor_id="ben")


def test_old_versions_of_the_terms_stay_readable(world: World) -> None:
    world.create()
    asked = terms("60", "40")
    for _ in range(2):
        change_terms(T, "ada", "income", asked, PRODUCT, portfolios=world.portfolios, clock=CLOCK, window_seconds=30)
    shares = [[str(bucket.target_share) for bucket in one.terms.buckets] for one in world.portfolios.versions(T, "income")]
    assert shares == [["75", "25"], ["60", "40"]]


def test_another_investors_portfolio_is_not_there(world: World) -> None:
    world.create()
    with pytest.raises(NotFound):
        change_status(T, "ben", "income", PortfolioStatus.ACTIVE, portfolios=world.portfolios, clock=CLOCK, window_seconds=30)
    with pytest.raises(NotFound):
        change_status("t2", "ada", "income", PortfolioStatus.ACTIVE, portfolios=world.portfolios, clock=CLOCK, window_seconds=30)


def test_a_closed_portfolio_stays_closed(world: World) -> None:
    world.create()
    world.become(PortfolioStatus.CLOSED)
    world.become(PortfolioStatus.CLOSED)
    with pytest.raises(Conflict, match="PORTFOLIO_STATUS"):
        world.become(PortfolioStatus.ACTIVE)


def test_home_shows_cash_divided_into_reserved_and_available_and_every_bucket(world: World) -> None:
    world.create()
    world.give("ada", 200_000)
    world.become(PortfolioStatus.ACTIVE)
    world.plan(1)
    seen = home(T, "ada", portfolios=world.portfolios)
    assert [(cash.available, cash.reserved) for cash in seen.cash] == [(190_000, 10_000)]
    (view,) = seen.portfolios
    assert [(bucket.target, bucket.exposure, bucket.offered) for bucket in view.buckets] == [(75_000, 0, 7_500), (25_000, 0, 2_500)]
    assert str(view.deviation_bound_percent) == "1.8750"


@pytest.mark.parametrize(
    ("asked", "product", "code"),
    [
        (terms("75", "25", volume=2), PRODUCT.model_copy(update={"lot_min": 2}), "BUCKET_TOO_SMALL"),
        (terms("75", "25"), PRODUCT.model_copy(update={"lot_min": 10**6}), "LOT_TOO_LARGE"),
        (terms("75", "25"), PRODUCT.model_copy(update={"currencies": ("EUR",)}), "CURRENCY_NOT_OFFERED"),
        (terms("75", "25"), None, "PRODUCT_UNKNOWN"),
    ],
)
def test_terms_the_product_does_not_allow_are_refused(asked: PortfolioTerms, product: ProductTerms | None, code: str) -> None:
    with pytest.raises(Refused) as refused:
        create_portfolio(T, "ada", "income", asked, product, portfolios=memory_world().portfolios, clock=CLOCK)
    assert refused.value.code == code


@pytest.mark.parametrize("shares", [("75", "24"), ("75", "26"), ("99",), ("50", "49.9999")])
def test_shares_that_do_not_sum_to_a_hundred_are_refused(shares: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="sum to"):
        terms(*shares)


def test_all_changes_of_one_window_are_one_message() -> None:
    first = balances_changed(T, "income", "c1", datetime(2026, 1, 1, 0, 0, 31, tzinfo=UTC), 30)
    second = balances_changed(T, "income", "c2", datetime(2026, 1, 1, 0, 0, 59, tzinfo=UTC), 30)
    later = balances_changed(T, "income", "c3", datetime(2026, 1, 1, 0, 1, 0, tzinfo=UTC), 30)
    assert first.message_id == second.message_id != later.message_id


def test_a_plan_killed_before_its_commit_leaves_nothing_and_is_made_again(database: Database) -> None:
    world = aurora_world(database)
    world.create()
    world.give("ada", 200_000)
    world.become(PortfolioStatus.ACTIVE)
    cause = balances_changed(T, "income", "c", CLOCK.now(), 30)

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.plans.plan(cause, CLOCK.now(), gap.plan, killed)
    with database.transaction(T) as cursor:
        assert cursor.execute("select count(*) from trading.plan").fetchone() == (0,)
    assert plan_purchases(cause, plans=world.plans, clock=CLOCK).counts["buy_offers_placed"] == 2
