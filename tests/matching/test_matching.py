"""What a book does with offers, sentence by sentence; M1 to M28 are the edge cases of the matcher."""

from decimal import Decimal
from typing import Any

import pytest
from bourse.matching.apply import apply
from bourse.matching.codec import SnapshotUnreadable, dump, load, state_hash
from bourse.matching.model import OfferState
from bourse.matching.offers import merge, shown_by, why

from tests.matching import builders as make
from tests.matching.builders import book_after, hear


def test_m1_a_sell_offer_and_a_buy_offer_match_in_either_order_with_the_same_result() -> None:
    sell, buy = make.sells(make.sell(volume=300)), make.buys(make.buy(volume=200))
    assert hear(book_after(sell), buy) == hear(book_after(buy), sell) == [("s1", "b1", 200)]


def test_a_sell_offer_serves_the_buy_offers_in_order_of_their_arrival() -> None:
    book = book_after(make.buys(make.buy("b2", volume=100)), make.buys(make.buy("b1", volume=100), make.buy("b3", volume=100)))
    assert hear(book, make.sells(make.sell(volume=250))) == [("s1", "b2", 100), ("s1", "b1", 100), ("s1", "b3", 50)]


def test_m2_of_two_begun_offers_the_one_at_eighty_percent_is_completed() -> None:
    only = {"s1": "one", "s2": "two"}
    book = book_after(
        make.sells(*(make.whole(offer_id, volume=100, labels={"risk_class": name}) for offer_id, name in only.items())),
        make.buys(make.buy("b1", volume=10, criteria=(make.label_in("risk_class", "one"),))),
        make.buys(make.buy("b2", volume=80, criteria=(make.label_in("risk_class", "two"),))),
    )
    assert hear(book, make.buys(make.buy("b3", volume=20))) == [("s2", "b2", 80), ("s2", "b3", 20)]


def test_begun_all_or_nothing_offers_come_before_fuller_ones_sold_in_parts() -> None:
    book = book_after(make.sells(make.sell("s1", volume=100, labels={"risk_class": "x"})), make.sells(make.whole("s2", volume=100, labels={"risk_class": "y"})))
    apply(book, make.buys(make.buy("b1", volume=90, criteria=(make.label_in("risk_class", "x"),))))
    apply(book, make.buys(make.buy("b2", volume=5, criteria=(make.label_in("risk_class", "y"),))))
    assert hear(book, make.buys(make.buy("b3", volume=97))) == [("s2", "b2", 5), ("s2", "b3", 95), ("s1", "b3", 2)]


def test_m3_ties_go_to_the_earlier_offer() -> None:
    book = book_after(make.sells(make.sell("s2", volume=100)), make.sells(make.sell("s1", volume=100)))
    assert hear(book, make.buys(make.buy(volume=150))) == [("s2", "b1", 100), ("s1", "b1", 50)]


def test_fill_ratios_that_differ_in_the_last_place_are_told_apart() -> None:
    huge = 10**15
    book = book_after(make.sells(make.whole("s1", volume=huge, labels={"r": "1"}), make.whole("s2", volume=huge - 1, labels={"r": "2"})))
    for offer_id, label in (("b1", "1"), ("b2", "2")):
        apply(book, make.buys(make.buy(offer_id, volume=huge // 2, per_loan_max=huge, criteria=(make.label_in("r", label),))))
    apply(book, make.buys(make.buy("b3", volume=huge // 100, per_loan_max=huge)))
    assert list(book.sells["s2"].placed) == ["b2", "b3"]


def test_m4_one_minor_unit_short_an_all_or_nothing_offer_has_no_investment() -> None:
    book = book_after(make.sells(make.whole(volume=10_000)))
    assert hear(book, make.buys(make.buy("b1", volume=9_999))) == []
    sell = book.sells["s1"]
    assert (sell.state, sell.lot, sell.reserved, sell.open) == (OfferState.PARTIALLY_FILLED, 50, 9_950, 50)
    assert hear(book, make.buys(make.buy("b2", volume=49))) == []


def test_m4_the_last_minor_unit_completes_it_and_all_bids_are_one_block() -> None:
    book = book_after(make.sells(make.whole(volume=100)), make.buys(make.buy("b1", volume=99)))
    step = apply(book, make.buys(make.buy("b2", volume=1)))
    assert [[bid.principal for bid in block] for block in step.blocks] == [[99, 1]]
    assert all(bid.completes for bid in step.bids)
    assert book.sells["s1"].state is OfferState.FILLED


def test_m5_no_rest_below_the_lot_is_left_and_the_last_bid_closes_an_odd_one() -> None:
    book = book_after(make.sells(make.sell(volume=130, lot_min=50)))
    assert hear(book, make.buys(make.buy("b1", volume=100))) == [("s1", "b1", 80)]
    assert hear(book, make.buys(make.buy("b2", volume=49))) == []
    assert hear(book, make.buys(make.buy("b3", volume=60))) == [("s1", "b3", 50)]
    odd = book_after(make.sells(make.sell(volume=30, lot_min=50)))
    assert hear(odd, make.buys(make.buy("b1", volume=29))) == []
    assert hear(odd, make.buys(make.buy("b2", volume=30))) == [("s1", "b2", 30)]


def test_an_all_or_nothing_offer_never_has_more_bids_than_a_message_carries() -> None:
    book = book_after(make.sells(make.whole(volume=1_000_000, lot_min=1)))
    assert book.sells["s1"].lot == 5_000
    for n in range(200):
        bids = hear(book, make.buys(make.buy(f"b{n}", volume=5_000)))
    assert len(bids) == 200
    assert hear(book, make.buys(make.buy("late", volume=4_999))) == []


def test_m6_an_exact_fill_closes_both_sides() -> None:
    book = book_after(make.sells(make.sell(volume=100)), make.buys(make.buy(volume=100)))
    assert (len(book.index.sells), len(book.index.buys)) == (0, 0)


def test_m7_a_buy_offer_that_is_used_up_does_not_match_and_one_with_a_rest_does() -> None:
    book = book_after(make.buys(make.buy("b1", volume=100), make.buy("b2", volume=150)), make.sells(make.sell("s1", volume=220)))
    assert hear(book, make.sells(make.sell("s2", volume=500))) == [("s2", "b2", 30)]


def test_m14_two_buckets_of_a_portfolio_share_its_room_in_a_loan() -> None:
    shared = {"portfolio_id": "p", "per_loan_max": 70}
    book = book_after(make.buys(make.buy("b1", volume=50, **shared), make.buy("b2", volume=50, **shared)))
    assert hear(book, make.sells(make.sell(volume=500))) == [("s1", "b1", 50), ("s1", "b2", 20)]


@pytest.mark.parametrize(("limit", "borrowers"), [("per_borrower_max", ("x", "x")), ("per_originator_max", ("x", "y"))])
def test_room_per_borrower_and_originator_spans_loans(limit: str, borrowers: tuple[str, str]) -> None:
    book = book_after(make.buys(make.buy(volume=500, **{limit: 120})))
    assert hear(book, make.sells(make.sell("s1", volume=100, borrower_id=borrowers[0]))) == [("s1", "b1", 100)]
    assert hear(book, make.sells(make.sell("s2", volume=100, borrower_id=borrowers[1]))) == [("s2", "b1", 20)]


def test_the_same_borrower_id_of_another_originator_is_another_person() -> None:
    book = book_after(make.buys(make.buy(volume=500, per_borrower_max=100)))
    apply(book, make.sells(make.sell("s1", volume=100, borrower_id="x")))
    assert hear(book, make.sells(make.sell("s2", volume=100, borrower_id="x", originator_id="bank"))) == [("s2", "b1", 100)]


def test_a_repaid_loan_gives_back_its_room_with_the_originator() -> None:
    book = book_after(make.buys(make.buy(volume=500, per_originator_max=100)), make.sells(make.sell("s1", volume=100), make.sell("s2", volume=100)))
    assert hear(book, make.withdrawn("s1", reason="repaid")) == [("s2", "b1", 100)]
    other = book_after(make.buys(make.buy(volume=500, per_originator_max=100)), make.sells(make.sell("s1", volume=100), make.sell("s2", volume=100)))
    assert hear(other, make.withdrawn("s1", reason="withdrawn")) == []


def test_a_loan_whose_borrower_is_corrected_counts_for_the_right_one() -> None:
    book = book_after(make.buys(make.buy(volume=500, per_borrower_max=100)), make.sells(make.sell("s1", volume=100, borrower_id="x")))
    apply(book, make.sells(make.sell("s1", 2, volume=100, borrower_id="y")))
    assert hear(book, make.sells(make.sell("s2", volume=100, borrower_id="y"))) == []
    assert hear(book, make.sells(make.sell("s3", volume=100, borrower_id="x"))) == [("s3", "b1", 100)]


def test_room_that_a_correction_of_the_borrower_frees_is_used_at_once() -> None:
    book = book_after(make.buys(make.buy(volume=500, per_borrower_max=100)), make.sells(make.sell("s1", volume=100, borrower_id="x")))
    assert hear(book, make.sells(make.sell("s2", volume=60, borrower_id="x"))) == []
    assert hear(book, make.sells(make.sell("s1", 2, volume=100, borrower_id="y"))) == [("s2", "b1", 60)]


def test_a_bid_that_returns_after_its_loan_was_repaid_frees_no_room_twice() -> None:
    book = book_after(make.buys(make.buy(volume=500, per_originator_max=100)))
    bids = apply(book, make.sells(make.sell("s1", volume=100), make.sell("s2", volume=100))).bids
    apply(book, make.withdrawn("s1", reason="repaid"))
    apply(book, make.returned(*bids, reason="loan_closed"))
    assert book.portfolios["portfolio-b1"].originators == {"acme": 100}
    assert book.sells["s2"].held == {"portfolio-b1": 100}


def test_m15_an_originator_does_not_buy_his_own_loan() -> None:
    book = book_after(make.buys(make.buy(investor_id="acme")))
    assert hear(book, make.sells(make.sell("s1"), make.sell("s2", originator_id="bank"))) == [("s2", "b1", 1_000)]


def test_m16_a_personal_rate_below_the_sell_ratio_is_refused_and_counted() -> None:
    book = book_after(make.buys(make.buy("b1", buy_ratio=Decimal("0.999")), make.buy("b2", buy_ratio=Decimal(1))))
    step = apply(book, make.sells(make.sell(volume=100)))
    assert make.brief(step) == [("s1", "b2", 100)]
    assert step.counts["bad_prices"] == 1
    assert [bid.buy_amount - bid.sell_amount for bid in step.bids] == [0]


def test_m17_the_sell_amounts_of_a_completed_offer_sum_to_its_price() -> None:
    book = book_after(make.sells(make.whole(volume=100, sell_ratio=Decimal("0.985"))))
    for n in range(3):
        step = apply(book, make.buys(make.buy(f"b{n}", volume=34, buy_ratio=Decimal("0.985"))))
    assert [(bid.principal, bid.sell_amount, bid.buy_amount) for bid in step.bids] == [(34, 33, 34), (34, 33, 34), (32, 32, 32)]
    assert sum(bid.sell_amount for bid in step.bids) == 98


def test_prices_are_rounded_down_for_the_seller_and_up_for_the_buyer() -> None:
    book = book_after(make.buys(make.buy(volume=333, buy_ratio=Decimal("1.005"))))
    (bid,) = apply(book, make.sells(make.sell(volume=1_000, sell_ratio=Decimal("0.995")))).bids
    assert (bid.principal, bid.sell_amount, bid.buy_amount, bid.offer_volume) == (333, 331, 335, 1_000)


def test_m18_a_book_rebuilt_from_its_journal_or_a_snapshot_has_the_same_hash() -> None:
    journal: list[Any] = [make.sells(make.whole(volume=100), make.sell("s2")), make.buys(make.buy(volume=60)), make.withdrawn("s9")]
    book = book_after(*journal)
    assert state_hash(book) == state_hash(book_after(*journal)) == state_hash(load(make.BOOK, dump(book)))
    assert state_hash(book) != state_hash(book_after(*journal[:2]))


def test_bytes_that_are_no_snapshot_are_refused() -> None:
    for octets in (b"", b"{}", b"x\x9c", dump(book_after())[:-6]):
        with pytest.raises(SnapshotUnreadable):
            load(make.BOOK, octets)


def test_another_product_is_another_market() -> None:
    assert hear(book_after(make.buys(make.buy(product_id="car"))), make.sells(make.sell())) == []


@pytest.mark.parametrize(
    "criterion",
    [make.label_in("grade", "A"), make.label_in("grade").model_copy(update={"op": "not_in"}), make.number("income", "gte", 0), make.number("income", "lte", 9)],
)
def test_m26_a_condition_on_a_missing_attribute_does_not_match(criterion: Any) -> None:
    assert hear(book_after(make.buys(make.buy(criteria=(criterion,)))), make.sells(make.sell())) == []


@pytest.mark.parametrize(("age", "matches"), [("27.999", False), ("28", True), ("31.5", True), ("35.0", True), ("35.001", False)])
def test_m27_both_ends_of_an_age_range_are_in_it(age: str, matches: bool) -> None:
    book = book_after(make.buys(make.buy(criteria=(make.number("age", "between", 28, 35),))))
    assert bool(hear(book, make.sells(make.sell(numbers={"age": Decimal(age)})))) is matches


def test_a_condition_that_makes_no_sense_matches_nothing() -> None:
    for criterion in (make.number("age", "between", 28), make.number("age", "gte"), make.label_in("risk_class"), make.number("age", "between", 35, 28)):
        assert hear(book_after(make.buys(make.buy(criteria=(criterion,)))), make.sells(make.sell())) == []


def test_criteria_that_say_the_same_in_other_words_are_one_group() -> None:
    a, b = make.label_in("risk_class", "A", "B"), make.number("age", "gte", "28.0")
    book = book_after(make.buys(make.buy("b1", criteria=(a, b)), make.buy("b2", criteria=(b.model_copy(update={"numbers": (Decimal(28),)}), a, a))))
    assert book.buys["b1"].group is book.buys["b2"].group


def test_groups_nobody_uses_are_forgotten_and_matching_goes_on() -> None:
    book = book_after(make.sells(make.sell(volume=10_000)))
    for version in range(1, 200):
        bids = hear(book, make.buys(make.buy(version=version, volume=version, criteria=(make.number("age", "lte", 30 + version),))))
    assert bids == [("s1", "b1", 1)]
    assert len(book.index._groups) < 100


@pytest.mark.parametrize(
    "terms",
    [{"volume": -1}, {"volume": 10**30}, {"sell_ratio": Decimal(0)}, {"sell_ratio": Decimal(-1)}, {"sell_ratio": Decimal("1E-999999")}, {"version": 2**70}],
)
def test_a_sell_offer_of_senseless_terms_is_not_for_sale_and_breaks_nothing(terms: dict[str, Any]) -> None:
    book = book_after(make.sells(make.sell(volume=100)))
    step = apply(book, make.sells(make.sell(**({"version": 2, "volume": 50} | terms)), cause="bad"))
    assert step.counts["offers_refused"] + step.counts["offers_ignored"] == 1
    assert hear(book, make.buys(make.buy(volume=1))) == ([("s1", "b1", 1)] if "version" in terms else [])
    assert state_hash(load(make.BOOK, dump(book))) == state_hash(book)


@pytest.mark.parametrize(
    "terms", [{"volume": -1}, {"volume": 10**30}, {"buy_ratio": Decimal(0)}, {"per_loan_max": -5}, {"settled_total": -(10**30), "per_loan_max": 0}]
)
def test_a_buy_offer_of_senseless_terms_buys_nothing_and_breaks_nothing(terms: dict[str, Any]) -> None:
    book = book_after(make.sells(make.sell(volume=100)))
    assert hear(book, make.buys(make.buy(**({"volume": 50} | terms)))) == []
    assert state_hash(load(make.BOOK, dump(book))) == state_hash(book)


def test_numbers_of_any_size_are_kept_and_compared() -> None:
    book = book_after(make.buys(make.buy(per_loan_max=10**40, per_borrower_max=10**40, criteria=(make.number("age", "lte", "1E+999999"),))))
    assert hear(book, make.sells(make.sell(lot_min=10**40, volume=5, numbers={"age": Decimal("-9E+9999")}))) == [("s1", "b1", 5)]
    assert state_hash(load(make.BOOK, dump(book))) == state_hash(book)


def test_readers_are_told_why_an_offer_is_not_sold() -> None:
    book = book_after(make.sells(make.whole(volume=100)))
    step = apply(book, make.buys(make.buy(volume=80)))
    (shown,) = shown_by(step.changes, (), 2)
    assert "80 %" in why(merge(None, shown))
    assert why(None).startswith("No buy offer")
