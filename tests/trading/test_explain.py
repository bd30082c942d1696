"""Why is nothing bought? Each answer with its figures, on memory and on PostgreSQL; and one for whatever a plan comes to."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from bourse.errors import NotFound
from bourse.trading.explain import explain, explain_portfolio
from bourse.trading.gap import is_full, plan
from bourse.trading.model import BucketExplained, BucketFacts, LastPlan, LiveOffer, PlanFacts, PortfolioExplained, PortfolioFacts, PortfolioStatus, TermsVersion
from bourse.trading.portfolios import change_terms, home
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.builders import PRODUCT, facts, terms
from tests.trading.worlds import CLOCK, T, World

ACTIVE, PAUSED = PortfolioStatus.ACTIVE, PortfolioStatus.PAUSED


@pytest.fixture
def active(world: World) -> World:
    world.create()
    world.become(ACTIVE)
    return world


def explained(world: World, portfolio_id: str = "income") -> PortfolioExplained:
    return explain_portfolio(T, "ada", portfolio_id, portfolios=world.portfolios)


def of(shown: PortfolioExplained, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(bucket, name) for name in names) for bucket in shown.buckets]


def test_a_draft_says_that_it_is_one_and_was_never_planned(world: World) -> None:
    world.create()
    shown = explained(world)
    assert shown.plan is None
    assert of(shown, "bucket_id", "target", "exposure", "offered", "limited_by") == [("b0", 75_000, 0, 0, "status"), ("b1", 25_000, 0, 0, "status")]
    assert shown.buckets[0].why == "The portfolio is draft: only an active one buys."


def test_between_the_command_and_its_plan_it_says_that_the_plan_is_to_come(active: World) -> None:
    assert of(explained(active), "limited_by", "waits_for_supply") == [("unplanned", False)] * 2


def test_without_supply_it_says_what_is_asked_for_since_when_and_how_far_the_structure_lets_it(active: World) -> None:
    active.give("ada", 200_000)
    active.plan(1)
    shown = explained(active)
    assert of(shown, "offered", "offer_version", "cost_max", "cap", "limited_by", "held_back_by", "waits_for_supply") == [
        (7_500, 1, 7_500, 7_500, "structure", "b1", True),
        (2_500, 1, 2_500, 2_500, "structure", "b0", True),
    ]
    assert shown.plan is not None
    assert (shown.plan.planned_at, shown.plan.cash, shown.plan.cash_of_others, shown.plan.cash_free) == (CLOCK.now(), 200_000, 0, 200_000)
    assert shown.buckets[0].why == (
        "It asks for 75.00 USD: it holds 0.00 USD and may hold 75.00 USD, 10 % more of its volume than the slowest of the others, which is b1 with 0 %. "
        "Nothing was settled since the plan of 2026-01-05 09:00:00 UTC: no loan on sale meets its criteria and the portfolio's limits, "
        "or its bids are on their way."
    )


def test_a_bucket_ahead_names_the_one_it_waits_for(active: World) -> None:
    active.give("ada", 200_000)
    active.plan(1)
    active.settle("b0", 7_500)
    assert of(explained(active), "exposure", "settled_since", "waits_for_supply") == [(7_500, 7_500, False), (0, 0, True)]
    assert explained(active).buckets[0].why.endswith("75.00 USD were settled since the plan of 2026-01-05 09:00:00 UTC.")
    active.plan(2)
    shown = explained(active)
    assert of(shown, "offered", "cap", "limited_by", "held_back_by", "waits_for_supply") == [
        (0, 7_500, "structure", "b1", False),
        (5_000, 5_000, "structure", "b0", True),
    ]
    assert shown.buckets[0].why == (
        "It asks for nothing: it holds 75.00 USD and may hold 75.00 USD, 10 % more of its volume than the slowest of the others, which is b1 with 0 %."
    )


def test_without_cash_it_says_how_much_there_is_and_who_else_may_take_it(active: World) -> None:
    active.create("growth")
    active.become(ACTIVE, "growth")
    active.give("ada", 10_500)
    active.plan(1, "growth")
    active.plan(1)
    shown = explained(active)
    assert [limit for (limit,) in of(shown, "limited_by")] == ["cash", "cash"]
    assert shown.plan is not None
    assert (shown.plan.cash, shown.plan.cash_of_others, shown.plan.cash_free) == (10_500, 10_000, 500)
    assert sum(bucket.offered for bucket in shown.buckets) == 500
    assert "Of 105.00 USD of cash 5.00 USD are free for this portfolio: offers of other portfolios may take 100.00 USD" in shown.buckets[0].why
    nothing = explain_portfolio(T, "ada", "growth", portfolios=active.portfolios)
    assert of(nothing, "limited_by") == [("structure",), ("structure",)]


def test_an_investor_who_may_not_buy_is_told_whom_to_ask(active: World) -> None:
    active.give("ada", 200_000)
    active.plan(1)
    active.stop("ada")
    active.plan(2)
    shown = explained(active)
    assert of(shown, "offered", "limited_by", "waits_for_supply") == [(0, "investor", False)] * 2
    assert shown.buckets[0].why == "Its investor may not buy at present; the operator can tell why."


def test_every_version_of_the_terms_is_named_and_changed_terms_wait_for_their_plan(active: World) -> None:
    active.give("ada", 200_000)
    active.plan(1)
    CLOCK.at += timedelta(hours=1)
    try:
        change_terms(T, "ada", "income", terms("50", "30", "20"), PRODUCT, portfolios=active.portfolios, clock=CLOCK, window_seconds=30)
        before = explained(active)
        assert [(one.version, one.recorded_at) for one in before.versions] == [(1, CLOCK.now() - timedelta(hours=1)), (2, CLOCK.now())]
        assert before.portfolio.terms == terms("50", "30", "20")
        assert before.plan is not None
        assert before.plan.terms_version == 1
        assert of(before, "bucket_id", "offered", "limited_by") == [("b0", 7_500, "unplanned"), ("b1", 2_500, "unplanned"), ("b2", 0, "unplanned")]
        active.plan(2)
        after = explained(active)
        assert after.plan is not None
        assert (after.plan.terms_version, after.plan.planned_at) == (2, CLOCK.now())
        assert of(after, "offered", "offer_version") == [(5_000, 2), (3_000, 2), (2_000, 1)]
    finally:
        CLOCK.at -= timedelta(hours=1)


def test_a_paused_portfolio_says_so_while_its_offers_leave(active: World) -> None:
    active.give("ada", 200_000)
    active.plan(1)
    active.become(PAUSED)
    assert of(explained(active), "offered", "limited_by") == [(7_500, "status"), (2_500, "status")]
    active.plan(2)
    assert of(explained(active), "offered", "limited_by") == [(0, "status"), (0, "status")]


def test_it_shows_what_the_home_shows(active: World) -> None:
    active.give("ada", 200_000)
    active.plan(1)
    active.settle("b0", 5_000)
    [at_home] = home(T, "ada", portfolios=active.portfolios).portfolios
    shown = explained(active)
    assert (shown.portfolio, shown.exposure, shown.deviation_bound_percent) == (at_home.portfolio, at_home.exposure, at_home.deviation_bound_percent)
    figures = ("bucket_id", "target", "exposure", "offered", "fill_percent", "deviation_percent", "waits_for")
    assert of(shown, *figures) == [tuple(getattr(bucket, name) for name in figures) for bucket in at_home.buckets]


def test_anothers_portfolio_is_not_there(active: World) -> None:
    for tenant_id, investor_id, portfolio_id in ((T, "ben", "income"), ("t2", "ada", "income"), (T, "ada", "nothing")):
        with pytest.raises(NotFound, match="PORTFOLIO_UNKNOWN"):
            explain_portfolio(tenant_id, investor_id, portfolio_id, portfolios=active.portfolios)


# Whatever a plan comes to


def after_its_plan(made_of: PlanFacts) -> PortfolioExplained:
    """The portfolio right after this plan, when nothing has happened since."""
    planned = plan(made_of)
    offers = tuple(LiveOffer(bucket_id=one.bucket_id, version=1, volume=one.volume, cost=one.cost) for one in planned)
    product = PRODUCT.model_copy(update={"lot_min": made_of.lot_min, "step_percent": made_of.step_percent})
    kept = {"portfolio": made_of.portfolio, "product": product, "versions": (TermsVersion(version=1, recorded_at=CLOCK.now()),), "buckets": made_of.buckets}
    return explain(PortfolioFacts(**kept, plan=LastPlan(planned_at=CLOCK.now(), facts=made_of, buckets=planned), offers=offers))


def one(shown: PortfolioExplained, number: int = 0) -> BucketExplained:
    return shown.buckets[number]


@pytest.mark.parametrize(
    ("made_of", "limited_by", "why"),
    [
        (facts("100", at_once=True), "target", "It asks for 1,000.00 USD, all that it lacks."),
        (facts("100"), "structure", "It asks for 100.00 USD: it holds 0.00 USD and may hold 100.00 USD, for a bucket buys 10 % of its volume at a time."),
        (facts("75", "25", principals=(74_990, 20_000), lot=25), "full", "It lacks 0.10 USD, which is less than the smallest lot of 0.25 USD."),
        (facts("75", "25", cash=0), "cash", "It asks for nothing. Of 0.00 USD of cash 0.00 USD are free for this portfolio:"),
        (facts("75", "25", cash=900, keep_uninvested=1_000), "cash", "offers of other portfolios may take 0.00 USD, 10.00 USD stay uninvested."),
        (
            facts("75", "25", principals=(7_000, 0), lot=2_500),
            "lot",
            "the slowest of the others, which is b1 with 0 %: 5.00 USD more, less than the smallest lot of 25.00 USD.",
        ),
        (facts("75", "25", status=PortfolioStatus.CLOSED), "status", "The portfolio is closed: only an active one buys."),
        (facts("75", "25", investor_active=False), "investor", "Its investor may not buy at present; the operator can tell why."),
    ],
)
def test_every_limit_has_its_sentence(made_of: PlanFacts, limited_by: str, why: str) -> None:
    bucket = one(after_its_plan(made_of))
    assert bucket.limited_by == limited_by
    assert why in bucket.why


def test_bids_that_came_back_are_told() -> None:
    shown = after_its_plan(facts("75", "25"))
    assert "came back" not in one(shown).why
    made_of = facts("75", "25")
    later = made_of.buckets[0].model_copy(update={"returned": 3})
    planned = plan(made_of)
    kept = {"portfolio": made_of.portfolio, "product": PRODUCT, "versions": (), "buckets": (later, BucketFacts())}
    told = one(explain(PortfolioFacts(**kept, plan=LastPlan(planned_at=CLOCK.now(), facts=made_of, buckets=planned))))
    assert (told.returned_since, told.why.endswith("3 of its bids came back unpaid.")) == (3, True)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([("75", "25"), ("50", "30", "20"), ("100",), ("95", "5")]),
    st.lists(st.integers(min_value=0, max_value=110), min_size=3, max_size=3),
    st.sampled_from([1, 25, 2_500]),
    st.integers(min_value=0, max_value=120_000),
    st.booleans(),
)
def test_whatever_is_planned_there_is_a_reason_for_every_bucket_that_asks_for_nothing(
    shares: Sequence[str], fills: Sequence[int], lot: int, cash: int, active: bool
) -> None:
    targets = facts(*shares).portfolio.terms.bucket_volumes()
    principals = [target * fill // 100 for target, fill in zip(targets, fills, strict=False)]
    shown = after_its_plan(facts(*shares, principals=principals, lot=lot, cash=cash, investor_active=active))
    for bucket in shown.buckets:
        assert bucket.limited_by not in {"unplanned", "status"}
        assert bucket.offered or bucket.limited_by in {"full", "structure", "cash", "lot", "investor"}
        assert not bucket.offered or bucket.limited_by in {"structure", "cash", "target"}
        assert (bucket.limited_by == "investor") is not active
        assert bucket.waits_for_supply is (bucket.offered > 0)
        assert (bucket.limited_by == "full") is (active and is_full(bucket.target, bucket.exposure, lot))
        assert bucket.why
        assert "None" not in bucket.why
