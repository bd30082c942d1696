"""From versions to offers: what is assessed and kept, what is for sale at which terms, what is not, and doing it twice."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from bourse.assessment.assess_assets import sellable_volume
from bourse.assessment.attributes import EXTRAS_MAX, attributes_of
from bourse.assessment.events import SellOffer, SellOffersPlaced
from bourse.assessment.local import KeptTables, TableClassifier, TableForecaster
from bourse.assessment.memory import MemoryAssessments, MemoryTerms
from bourse.assessment.model import OriginatorTerms
from bourse.assessment.publish_table import publish_table
from bourse.assets.events import OffersWithdrawn, offer_id_of
from bourse.clock import FixedClock
from bourse.errors import Unavailable
from bourse.message import BODY_BYTES_MAX, Message, Outcome, encode

from tests.assessment.builders import NOON, TERMS, Stage, loan, memory_tables, versioned
from tests.matching import builders as make
from tests.matching.builders import book_after, hear

M = TypeVar("M", bound=Message)


def said(outcome: Outcome, kind: type[M]) -> M:
    [message] = [message for message in outcome.says if isinstance(message, kind)]
    return message


def offer(**facts: Any) -> SellOffer:
    [placed] = said(Stage().hear(versioned(facts)), SellOffersPlaced).offers
    return placed


def test_a_version_becomes_an_offer_at_the_originators_terms() -> None:
    outcome = Stage().hear(versioned({"sellable_share": "90"}, version=3))
    message = said(outcome, SellOffersPlaced)
    assert (message.group(), message.correlation_id, message.said_at) == ("demo/USD/loan", "upl_1", NOON)
    [placed] = message.offers
    assert (placed.offer_id, placed.version, placed.loan_id) == (offer_id_of("demo", "acme", "L-1"), 3, "L-1")
    assert (placed.product_id, placed.sell_ratio, placed.lot_min, placed.borrower_id) == ("consumer", Decimal("0.995"), 2_500, "B-1")
    assert placed.volume == 1_035_049, "90% of 11,500.55, rounded down"
    assert (placed.partial_sale, placed.expires_at) == (True, None)
    assert outcome.counts == {"assets_assessed": 1, "assets_not_assessed": 0, "offers_placed": 1, "offers_not_eligible": 0}


def test_an_offer_carries_what_criteria_ask_for_words_and_numbers_apart() -> None:
    placed = offer(days_past_due=3, extras={"sub_grade": "C2", "zip": "01234", "verified": True, "score": 690, "ratio": 0.35, "deep": {"a": 1}})
    assert placed.labels == {
        "grade": "C",
        "risk_class": "C",
        "country": "US",
        "employment": "employed",
        "status": "active",
        "currency": "USD",
        "originator": "acme",
        "partial_sale": "true",
        "sub_grade": "C2",
        "zip": "01234",
        "verified": "true",
    }
    assert {name: str(number) for name, number in placed.numbers.items()} == {
        "interest_rate": "12.99",
        "term_months": "36",
        "principal": "12000.00",
        "outstanding_principal": "11500.55",
        "income_month": "4000.00",
        "age": "36",
        "days_past_due": "3",
        "expected_return": "8.6366",
        "expected_loss": "4.2754",
        "score": "690",
        "ratio": "0.35",
    }


def test_what_is_not_known_of_a_loan_is_missing() -> None:
    placed = offer(grade=None, country=None, borrower=None, extras=None)
    assert not {"grade", "country", "employment"} & placed.labels.keys()
    assert not {"age", "income_month", "days_past_due"} & placed.numbers.keys()
    assert placed.borrower_id is None


def test_unknown_fields_never_replace_known_ones_nor_flood_an_offer() -> None:
    hostile = {"grade": "A", "risk_class": "A", "originator": "bank", "expected_loss": 0, "long": "x" * 201, "n" * 201: "x", "big": 10**18, "huge": 1e300}
    known = attributes_of(loan(grade=None, extras=hostile), NOON.date())
    assert known.labels.keys() & hostile.keys() == set()
    assert known.numbers.keys() & hostile.keys() == {"big"}
    many = attributes_of(loan(extras={f"x{number}": "y" for number in range(1_000)}), NOON.date())
    assert sum(name.startswith("x") for name in many.labels) == EXTRAS_MAX


@pytest.mark.parametrize(
    ("facts", "terms"),
    [
        ({"outstanding_principal_minor": 0}, TERMS),
        ({"sellable_share": "0"}, TERMS),
        ({"outstanding_principal_minor": 1, "sellable_share": "99"}, TERMS),
        ({"currency": "GBP"}, TERMS),
        ({"days_past_due": 61}, TERMS),
        ({}, replace(TERMS, active=False)),
        ({}, None),
    ],
    ids=["nothing outstanding", "all retained", "less than a cent", "no product in the currency", "too late", "originator not active", "no terms"],
)
def test_what_may_not_be_sold_is_withdrawn_so_that_no_older_offer_outlives_it(facts: dict[str, Any], terms: OriginatorTerms | None) -> None:
    stage = Stage(terms=MemoryTerms({("demo", "acme"): terms} if terms else {}))
    [message] = stage.hear(versioned(facts, version=4)).says
    assert isinstance(message, OffersWithdrawn)
    [withdrawal] = message.withdrawals
    assert (withdrawal.offer_id, withdrawal.version, withdrawal.reason) == (offer_id_of("demo", "acme", "L-1"), 4, "not_eligible")
    assert message.book_id == f"demo/{facts.get('currency', 'USD')}/loan"


def test_at_the_limits_a_loan_is_still_for_sale() -> None:
    assert sellable_volume(loan(days_past_due=60), TERMS) == 1_150_055
    assert sellable_volume(loan(days_past_due=10_000), replace(TERMS, days_past_due_max=None)) == 1_150_055
    assert sellable_volume(loan(currency="JPY"), replace(TERMS, currencies=None)) == 1_150_055
    assert sellable_volume(loan(sellable_share="100.5"), TERMS) == 1_150_055
    assert sellable_volume(loan(outstanding_principal_minor=101, sellable_share="33.333"), TERMS) == 33


def test_a_loan_sold_as_a_whole_only_gives_its_reservations_up_in_time() -> None:
    placed = offer(partial_sale=False)
    assert (placed.partial_sale, placed.expires_at) == (False, NOON + timedelta(days=30))
    assert placed.labels["partial_sale"] == "false"


def test_a_loan_smaller_than_a_lot_is_one_lot() -> None:
    assert offer(outstanding_principal_minor=700).lot_min == 700


def test_the_originators_grade_and_our_class_are_kept_side_by_side_with_the_models_versions() -> None:
    stage = Stage()
    stage.hear(versioned({"grade": "A"}))
    assert isinstance(stage.assessments, MemoryAssessments)
    [(key, facts)] = stage.assessments.kept.items()
    assert key == ("demo", "acme", "L-1", 1, "default_rates-default-1+risk_classes-default-1")
    assert (facts["grade"], facts["risk_class"], facts["version"], facts["upload_seq"]) == ("A", "A", 1, 1)
    assert facts["forecast"]["pd"] == "0.019"
    flows = facts["forecast"]["cash_flow"]
    assert flows[0].keys() == {"due_on", "principal_minor", "interest_minor", "recovery_minor"}
    assert sum(flow["principal_minor"] + flow["recovery_minor"] for flow in flows) + facts["forecast"]["expected_loss_minor"] == 1_150_055


LENDINGCLUB = [("A", "6.89", "A"), ("B", "9.98", "B"), ("C", "13.26", "C"), ("D", "16.69", "D"), ("E", "19.05", "E"), ("G", "26.88", "F")]


@pytest.mark.parametrize(("grade", "rate", "expected"), LENDINGCLUB)
def test_the_tables_we_ship_tell_the_grades_apart(grade: str, rate: str, expected: str) -> None:
    assert offer(grade=grade, interest_rate=rate).labels["risk_class"] == expected


def test_a_loan_that_is_late_or_expected_to_lose_money_is_in_the_last_class() -> None:
    assert offer(grade="A", days_past_due=45).labels["risk_class"] == "F"
    assert offer(grade="C", interest_rate="2").labels["risk_class"] == "F"


def test_a_table_published_by_business_changes_the_class_without_any_deployment() -> None:
    store, clock = memory_tables(), FixedClock(NOON)
    tables = KeptTables(store, clock)
    stage = Stage(forecaster=TableForecaster(tables), classifier=TableClassifier(tables))
    stage.hear(versioned({}))
    rows = [{"when": [{"field": "sub_grade", "op": "in", "labels": ["C2"]}], "then": {"risk_class": "B"}}, {"then": {"risk_class": "F"}}]
    publish_table("demo", "risk_classes", rows, active_from=None, author="ann", reason="C2 pays better than we thought", tables=store, clock=clock)
    clock.at = NOON + timedelta(seconds=60)
    [placed] = said(stage.hear(versioned({}, version=2)), SellOffersPlaced).offers
    assert placed.labels["risk_class"] == "B"
    assert isinstance(stage.assessments, MemoryAssessments)
    assert [(key[3], facts["risk_class"], facts["class_model_version"]) for key, facts in stage.assessments.kept.items()] == [
        (1, "C", "risk_classes-default-1"),
        (2, "B", "risk_classes-demo-1"),
    ]


def test_a_class_is_a_function_of_forecast_data_and_table_version_only() -> None:
    days = (NOON, NOON + timedelta(days=400))
    classes = {at: said(Stage().hear(versioned({}, said_at=at)), SellOffersPlaced).offers[0].labels["risk_class"] for at in days}
    assert set(classes.values()) == {"C"}


def test_a_loan_that_cannot_be_assessed_is_not_for_sale_and_stops_no_other() -> None:
    class Picky(TableForecaster):
        def forecast(self, tenant_id: str, as_of: Any, loans: Any) -> Any:
            return [None if one.loan_id == "L-2" else found for one, found in zip(loans, super().forecast(tenant_id, as_of, loans), strict=True)]

    stage = Stage(forecaster=Picky(KeptTables(memory_tables(), FixedClock(NOON))))
    outcome = stage.hear(versioned({"loan_id": "L-1"}, {"loan_id": "L-2"}, {"loan_id": "L-3"}))
    assert [placed.loan_id for placed in said(outcome, SellOffersPlaced).offers] == ["L-1", "L-3"]
    assert [one.loan_id for one in said(outcome, OffersWithdrawn).withdrawals] == ["L-2"]
    assert outcome.counts["assets_not_assessed"] == 1


def test_offers_are_said_per_book_in_messages_a_queue_can_carry() -> None:
    extras = {f"field_{number}": f"{number * 7919 % 100_003:05d}" * 30 for number in range(64)}
    loans = [{"loan_id": f"L-{number}", "currency": "EUR" if number % 2 else "USD", "extras": extras} for number in range(200)]
    messages = [message for message in Stage().hear(versioned(*loans)).says if isinstance(message, SellOffersPlaced)]
    assert {message.book_id for message in messages} == {"demo/EUR/loan", "demo/USD/loan"}
    assert sum(len(message.offers) for message in messages) == 200
    assert all(len(encode(message)) < BODY_BYTES_MAX for message in messages)
    assert len({message.message_id for message in messages}) == len(messages) > 2


def test_hearing_it_twice_says_the_same_and_keeps_nothing_new() -> None:
    stage = Stage()
    heard = versioned({"loan_id": "L-1"}, {"loan_id": "L-2", "currency": "GBP"}, {"loan_id": "L-3", "partial_sale": False})
    first = stage.hear(heard)
    assert isinstance(stage.assessments, MemoryAssessments)
    kept = dict(stage.assessments.kept)
    stage.clock.at = NOON + timedelta(days=3)
    assert [encode(message) for message in stage.hear(heard).says] == [encode(message) for message in first.says]
    assert stage.assessments.kept == kept


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_worker_killed_while_it_keeps_loses_and_doubles_nothing(after: bool) -> None:
    class Killed(MemoryAssessments):
        burning = True

        def keep(self, tenant_id: str, originator_id: str, assessments: Any) -> None:
            half = len(assessments) // 2 if self.burning and not after else len(assessments)
            super().keep(tenant_id, originator_id, assessments[:half])
            if self.burning:
                self.burning = False
                raise Unavailable("killed")

    heard = versioned({"loan_id": "L-1"}, {"loan_id": "L-2"})
    undisturbed = Stage()
    expected = undisturbed.hear(heard)
    stage = Stage(assessments=Killed())
    with pytest.raises(Unavailable):
        stage.hear(heard)
    assert stage.hear(heard) == expected
    assert isinstance(stage.assessments, MemoryAssessments)
    assert isinstance(undisturbed.assessments, MemoryAssessments)
    assert stage.assessments.kept == undisturbed.assessments.kept


def test_a_second_kind_of_asset_takes_a_field_a_product_and_rows_of_a_table_and_no_code() -> None:
    """Invoices: sent with a field of the originator's own, sold by a product of their own, classed and bought by what asks for that field."""
    store, clock = memory_tables(), FixedClock(NOON)
    rows = [
        {"when": [{"field": "asset_type", "op": "in", "labels": ["invoice"]}], "then": {"risk_class": "A"}},
        {"then": {"risk_class": "F"}},
    ]
    publish_table("demo", "risk_classes", rows, active_from=None, author="ann", reason="invoices of the state", tables=store, clock=clock)
    tables = KeptTables(store, clock)
    terms = MemoryTerms({("demo", "acme"): TERMS, ("demo", "factor"): replace(TERMS, product_id="invoices", sell_ratio=Decimal("0.98"))})
    stage = Stage(forecaster=TableForecaster(tables), classifier=TableClassifier(tables), terms=terms)
    invoice = {"loan_id": "I-1", "term_months": 1, "grade": None, "extras": {"asset_type": "invoice", "days_to_pay": 45}}
    [sold] = said(stage.hear(versioned(invoice, originator="factor")), SellOffersPlaced).offers
    assert (sold.product_id, sold.sell_ratio, sold.labels["risk_class"], sold.numbers["days_to_pay"]) == ("invoices", Decimal("0.98"), "A", Decimal(45))
    wants = (make.label_in("asset_type", "invoice"), make.number("days_to_pay", "lte", 60))
    [loans] = said(stage.hear(versioned({})), SellOffersPlaced).offers
    book = book_after(make.buys(make.buy("b1", volume=10**9, product_id="invoices", criteria=wants, per_loan_max=10**9)))
    assert hear(book, make.sells(sold, loans)) == [(sold.offer_id, "b1", sold.volume)]
