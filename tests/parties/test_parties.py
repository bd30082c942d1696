"""Parties on memory and on PostgreSQL: registered once, versions never changed, every change in the audit."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from bourse.aws.outbox import relay
from bourse.aws.postgres import Database
from bourse.clock import FixedClock
from bourse.errors import Conflict, NotFound, Refused
from bourse.parties.aurora import AuroraParties
from bourse.parties.memory import MemoryParties
from bourse.parties.model import Investor, InvestorStatus, Originator, OriginatorStatus, PersonalRate, ProductTerms
from bourse.parties.register import change_status, publish_product, register_investor, register_originator, set_personal_rate
from bourse.parties.store import PartyStore
from bourse.queues import MemoryQueues
from bourse.trading.aurora import AuroraPortfolios
from bourse.trading.events import BalancesChanged
from bourse.trading.model import Portfolio, PortfolioStatus
from pydantic import ValidationError

from tests.trading.builders import terms

CLOCK = FixedClock(datetime(2026, 1, 5, 9, tzinfo=UTC))
TERMS = ProductTerms(currencies=("USD",), sell_ratio=Decimal("0.995"), buy_ratio=Decimal("1.005"))
PRAIRIE = Originator(originator_id="prairie", name="Prairie", product_id="consumer")
ADA = Investor(investor_id="ada", name="Ada")


@pytest.fixture(params=["memory", "aurora"])
def parties(request: pytest.FixtureRequest) -> PartyStore:
    return MemoryParties() if request.param == "memory" else AuroraParties(request.getfixturevalue("database"))


def does(verb: Any, *given: Any, parties: PartyStore) -> Any:
    return verb("t1", *given, "op", parties=parties, clock=CLOCK)


def test_registering_twice_is_registering_once(parties: PartyStore) -> None:
    does(publish_product, "consumer", TERMS, parties=parties)
    for _ in range(2):
        assert does(register_originator, PRAIRIE, parties=parties) == PRAIRIE
        assert does(register_investor, ADA, parties=parties) == ADA
    assert list(parties.originators("t1")) == [PRAIRIE]
    assert list(parties.investors("t1")) == [ADA]


def test_registering_with_another_name_is_a_conflict_that_names_the_field(parties: PartyStore) -> None:
    does(register_investor, ADA, parties=parties)
    with pytest.raises(Conflict) as conflict:
        does(register_investor, ADA.model_copy(update={"name": "Eve"}), parties=parties)
    assert conflict.value.field == "name"


def test_an_originator_needs_a_product(parties: PartyStore) -> None:
    with pytest.raises(Refused, match="PRODUCT_UNKNOWN"):
        does(register_originator, PRAIRIE, parties=parties)


def test_a_product_has_versions_without_gaps_and_the_same_terms_are_no_new_one(parties: PartyStore) -> None:
    dearer = TERMS.model_copy(update={"buy_ratio": Decimal("1.01")})
    assert [does(publish_product, "consumer", terms, parties=parties).version for terms in (TERMS, TERMS, dearer, TERMS)] == [1, 1, 2, 3]
    assert [one.terms.buy_ratio for one in parties.product_versions("t1", "consumer")] == [Decimal("1.005"), Decimal("1.01"), Decimal("1.005")]


def test_a_personal_rate_overrides_and_never_makes_the_fee_negative(parties: PartyStore) -> None:
    does(publish_product, "consumer", TERMS, parties=parties)
    does(register_investor, ADA, parties=parties)
    rate = PersonalRate(investor_id="ada", product_id="consumer", buy_ratio=Decimal("1.001"))
    for _ in range(2):
        does(set_personal_rate, rate, parties=parties)
    assert parties.rate("t1", "ada", "consumer") == rate
    assert parties.rate("t1", "ben", "consumer") is None
    with pytest.raises(Refused, match="RATE_BELOW_SELL"):
        does(set_personal_rate, rate.model_copy(update={"buy_ratio": Decimal("0.99")}), parties=parties)
    with pytest.raises(NotFound):
        does(set_personal_rate, rate.model_copy(update={"investor_id": "ben"}), parties=parties)


def test_a_status_changes_and_a_stranger_has_none(parties: PartyStore) -> None:
    does(publish_product, "consumer", TERMS, parties=parties)
    does(register_originator, PRAIRIE, parties=parties)
    does(register_investor, ADA, parties=parties)
    does(change_status, "ada", InvestorStatus.BLOCKED, parties=parties)
    does(change_status, "prairie", OriginatorStatus.SUSPENDED, parties=parties)
    assert parties.investors("t1")[0].status == "blocked"
    assert parties.originators("t1")[0].status == "suspended"
    with pytest.raises(NotFound):
        does(change_status, "ada", OriginatorStatus.ACTIVE, parties=parties)


def test_the_status_a_party_has_is_no_change(database: Database) -> None:
    for parties in (MemoryParties(lambda _investor, _product: ["income"]), AuroraParties(database)):
        does(register_investor, ADA, parties=parties)
        for _ in range(2):
            does(change_status, "ada", InvestorStatus.BLOCKED, parties=parties)
        if isinstance(parties, MemoryParties):
            assert [entry[2] for entry in parties.audit] == ["register", "status:blocked"]
            assert len(parties.outbox) == 1
    with database.transaction("t1") as cursor:
        assert cursor.execute("select count(*) from parties.audit where action like 'status:%'").fetchone() == (1,)


def test_a_change_of_what_plans_are_made_by_is_said_to_the_active_portfolios_it_concerns(database: Database) -> None:
    parties, portfolios = AuroraParties(database), AuroraPortfolios(database)
    for product_id in ("consumer", "business"):
        does(publish_product, product_id, TERMS, parties=parties)
    for investor_id in ("ada", "ben"):
        does(register_investor, Investor(investor_id=investor_id, name=investor_id), parties=parties)
    for portfolio_id, investor_id, product_id, status in (
        ("ada-consumer", "ada", "consumer", PortfolioStatus.ACTIVE),
        ("ada-business", "ada", "business", PortfolioStatus.ACTIVE),
        ("ada-draft", "ada", "consumer", PortfolioStatus.DRAFT),
        ("ben-consumer", "ben", "consumer", PortfolioStatus.ACTIVE),
    ):
        asked = terms("100").model_copy(update={"product_id": product_id})
        portfolios.add("t1", Portfolio(portfolio_id=portfolio_id, investor_id=investor_id, status=status, terms=asked), CLOCK.now())

    def said_by(verb: Any, *given: Any) -> list[str]:
        for _ in range(2):
            does(verb, *given, parties=parties)
        queues = MemoryQueues()
        relay(database, queues, "t1", 0)
        return sorted(message.portfolio_id for message in queues.said.values() if isinstance(message, BalancesChanged))

    assert said_by(change_status, "ada", InvestorStatus.BLOCKED) == ["ada-business", "ada-consumer"]
    assert said_by(set_personal_rate, PersonalRate(investor_id="ada", product_id="consumer", buy_ratio=Decimal(1))) == ["ada-consumer"]
    assert said_by(publish_product, "consumer", TERMS.model_copy(update={"lot_min": 100})) == ["ada-consumer", "ben-consumer"]


def test_a_change_killed_before_its_commit_leaves_neither_the_change_nor_its_audit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    parties = AuroraParties(database)
    does(register_investor, ADA, parties=parties)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for step in ("_audit", "_replan"):
        with monkeypatch.context() as patch:
            patch.setattr(f"bourse.parties.aurora.{step}", killed)
            with pytest.raises(KeyboardInterrupt):
                does(change_status, "ada", InvestorStatus.BLOCKED, parties=parties)
        assert parties.investors("t1")[0].status == "active"
    does(change_status, "ada", InvestorStatus.BLOCKED, parties=parties)
    with database.transaction("t1") as cursor:
        assert cursor.execute("select action from parties.audit order by audit_no").fetchall() == [("register",), ("status:blocked",)]


def test_a_tenant_sees_nothing_of_another(parties: PartyStore) -> None:
    does(publish_product, "consumer", TERMS, parties=parties)
    does(register_investor, ADA, parties=parties)
    assert list(parties.investors("t2")) == []
    assert parties.product("t2", "consumer") is None


@pytest.mark.parametrize(
    "wrong", [{"buy_ratio": "0.99"}, {"sell_ratio": "0"}, {"buy_ratio": "NaN"}, {"lot_min": 0}, {"step_percent": "101"}, {"currencies": []}]
)
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProductTerms.model_validate(TERMS.model_dump() | wrong)


@pytest.mark.parametrize("wrong", ["Ada", "a b", "", "a" * 41, "-a", "a\n", "ä"])
def test_an_id_is_lower_case_letters_digits_and_hyphens(wrong: str) -> None:
    with pytest.raises(ValidationError):
        Investor(investor_id=wrong, name="x")


def test_every_change_is_in_the_audit_and_the_audit_is_only_added_to(database: Database) -> None:
    parties = AuroraParties(database)
    does(publish_product, "consumer", TERMS, parties=parties)
    does(register_investor, ADA, parties=parties)
    does(change_status, "ada", InvestorStatus.BLOCKED, parties=parties)
    with database.transaction("t1") as cursor:
        rows = cursor.execute("select actor, action, subject from parties.audit order by audit_no").fetchall()
    assert rows == [("op", "publish", "product/consumer"), ("op", "register", "investor/ada"), ("op", "status:blocked", "investor/ada")]
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.transaction("t1") as cursor:
        cursor.execute("update parties.audit set actor = 'nobody'")
