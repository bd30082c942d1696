"""The terms an originator's loans are offered at are those of his product's latest version, as they are at that moment."""

from decimal import Decimal
from typing import Any

import pytest
from bourse.assessment.aurora import AuroraTerms
from bourse.assessment.model import OriginatorTerms
from bourse.aws.postgres import Database
from bourse.parties.aurora import AuroraParties
from bourse.parties.model import Originator, OriginatorStatus, ProductTerms

from tests.assessment.builders import NOON

pytestmark = pytest.mark.postgres


def terms(sell_ratio: str = "0.995", **facts: Any) -> ProductTerms:
    return ProductTerms(currencies=("USD", "EUR"), sell_ratio=Decimal(sell_ratio), buy_ratio=Decimal(1), **facts)


@pytest.fixture
def parties(database: Database) -> AuroraParties:
    kept = AuroraParties(database)
    kept.publish_product("demo", "consumer", terms(), "ann", NOON)
    kept.add_originator("demo", Originator(originator_id="acme", name="Acme", product_id="consumer"), "ann", NOON)
    return kept


def test_terms_are_those_of_the_originators_product(database: Database, parties: AuroraParties) -> None:
    assert AuroraTerms(database).terms("demo", "acme") == OriginatorTerms("consumer", True, Decimal("0.995"), 2_500, 30, 30, frozenset({"USD", "EUR"}))


def test_the_latest_version_of_the_product_counts(database: Database, parties: AuroraParties) -> None:
    parties.publish_product("demo", "consumer", terms("0.98", lot_min=100, offer_days=7, days_past_due_max=None), "ann", NOON)
    found = AuroraTerms(database).terms("demo", "acme")
    assert found is not None
    assert (found.sell_ratio, found.lot_min, found.offer_days, found.days_past_due_max) == (Decimal("0.98"), 100, 7, None)


@pytest.mark.parametrize("status", [status for status in OriginatorStatus if status is not OriginatorStatus.ACTIVE])
def test_an_originator_who_is_not_active_sells_nothing(database: Database, parties: AuroraParties, status: OriginatorStatus) -> None:
    parties.set_status("demo", "acme", status, "ann", NOON)
    found = AuroraTerms(database).terms("demo", "acme")
    assert found is not None
    assert found.active is False


def test_nobody_has_terms_whom_this_tenant_does_not_know(database: Database, parties: AuroraParties) -> None:
    assert AuroraTerms(database).terms("demo", "bank") is None
    assert AuroraTerms(database).terms("other", "acme") is None
    parties.add_originator("demo", Originator(originator_id="bare", name="No product", product_id="none"), "ann", NOON)
    assert AuroraTerms(database).terms("demo", "bare") is None
