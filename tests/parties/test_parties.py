"""Parties on memory and on PostgreSQL: registered once, versions never changed, every change in the audit."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from bourse.aws.postgres import Database
from bourse.clock import FixedClock
from bourse.errors import Conflict, NotFound, Refused
from bourse.parties.aurora import AuroraParties
from bourse.parties.memory import MemoryParties
from bourse.parties.model import Investor, InvestorStatus, Originator, OriginatorStatus, PersonalRate, ProductTerms
from bourse.parties.register import change_status, publish_product, register_investor, register_originator, set_personal_rate
from bourse.parties.store import PartyStore
from pydantic import ValidationError

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
