"""What a book does when offers change, are withdrawn, expire, are told late or twice, and when bids return."""

from itertools import permutations
from typing import Any

import pytest
from bourse.matching.apply import apply
from bourse.matching.model import OfferState

from tests.matching import builders as make
from tests.matching.builders import book_after, hear


def test_m8_an_update_before_publishing_rolls_back_and_matches_again() -> None:
    book = book_after(make.sells(make.whole(volume=100)), make.buys(make.buy(volume=60)))
    assert hear(book, make.sells(make.whole(version=2, volume=60))) == [("s1", "b1", 60)]


def test_m8_an_update_after_publishing_counts_what_was_published_and_clamps_below_it() -> None:
    book = book_after(make.sells(make.sell(volume=100)), make.buys(make.buy(volume=60)))
    step = apply(book, make.sells(make.sell(version=2, volume=40)))
    assert step.counts["volumes_clamped"] == 1
    assert book.sells["s1"].state is OfferState.FILLED
    assert hear(book, make.buys(make.buy("b2", volume=100))) == []
    assert hear(book, make.sells(make.sell(version=3, volume=70))) == [("s1", "b2", 10)]


def test_m9_an_update_of_a_buy_offer_frees_what_it_reserved_and_others_take_it() -> None:
    book = book_after(make.sells(make.whole(volume=100)), make.buys(make.buy("b1", volume=60)), make.buys(make.buy("b2", volume=30)))
    assert hear(book, make.buys(make.buy("b1", 2, volume=10))) == []
    assert {buy_id: one.principal for buy_id, one in book.sells["s1"].placed.items()} == {"b2": 30, "b1": 10}
    assert hear(book, make.buys(make.buy("b3", volume=60))) == [("s1", "b2", 30), ("s1", "b1", 10), ("s1", "b3", 60)]


def test_what_was_only_made_because_of_a_replaced_version_is_made_again_without_it() -> None:
    """b1 filled s1, so b2 found s1 the fullest; without b1, b2 would have taken s2, on which b0 had begun."""
    s1, s2 = make.whole("s1", volume=100, labels={"r": "1"}), make.whole("s2", volume=100, labels={"r": "2"})
    b0 = make.buy("b0", volume=20, criteria=(make.label_in("r", "2"),))
    b1 = make.buy("b1", volume=50, criteria=(make.label_in("r", "1"),))
    b2 = make.buy("b2", volume=30)
    history = [make.sells(s1, s2), make.buys(b0), make.buys(b1), make.buys(b2)]
    saw = book_after(*history)
    assert "b2" in saw.sells["s1"].placed
    gone = make.buys(make.buy("b1", 2, volume=0))
    apply(saw, gone)
    never = book_after(history[0], history[1], history[3], gone)
    assert make.picture(saw) == make.picture(never)
    assert list(saw.sells["s2"].placed) == ["b0", "b2"]


def test_m10_an_old_version_that_comes_late_changes_nothing() -> None:
    book = book_after(make.sells(make.sell(version=3, volume=100)), make.buys(make.buy(version=5, volume=0)))
    before = make.picture(book)
    assert apply(book, make.sells(make.sell(version=2, volume=900))).counts["offers_ignored"] == 1
    assert apply(book, make.buys(make.buy(version=4, volume=900))).counts["offers_ignored"] == 1
    assert make.picture(book) == before


def test_m11_the_same_offers_again_change_nothing() -> None:
    book = book_after(make.sells(make.whole(volume=100)), make.buys(make.buy(volume=40)))
    before = make.picture(book)
    assert hear(book, make.sells(make.whole(volume=100), cause="again")) == hear(book, make.buys(make.buy(volume=40), cause="again")) == []
    assert make.picture(book) == before


def test_the_newest_of_several_versions_in_one_message_counts() -> None:
    book = book_after(make.buys(make.buy(volume=500)))
    assert hear(book, make.sells(make.sell(version=1, volume=100), make.sell(version=3, volume=300), make.sell(version=2, volume=200))) == [("s1", "b1", 300)]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_offers_and_withdrawals_of_one_loan_come_to_the_same_in_any_order(order: tuple[int, ...]) -> None:
    told: list[Any] = [
        make.sells(make.sell(version=1, volume=100)),
        make.withdrawn(version=2),
        make.sells(make.sell(version=3, volume=300)),
        make.withdrawn(version=4),
    ]
    book = book_after(*(told[i] for i in order))
    assert (book.sells, book.void) == ({}, {"s1": 4})
    assert hear(book, make.buys(make.buy())) == []
    assert hear(book, make.sells(make.sell(version=5, volume=50))) == [("s1", "b1", 50)]


def test_a_withdrawal_takes_the_offer_of_its_own_version_with_it_whichever_comes_first() -> None:
    offer, withdrawal = make.sells(make.sell(version=2)), make.withdrawn(version=2)
    assert hear(book_after(offer, withdrawal), make.buys(make.buy())) == []
    assert hear(book_after(withdrawal, offer), make.buys(make.buy())) == []


def test_m12_a_withdrawal_after_publishing_leaves_the_bids_and_sells_no_more() -> None:
    book = book_after(make.sells(make.sell(volume=100)), make.buys(make.buy(volume=60)))
    step = apply(book, make.withdrawn(version=2))
    assert [(one.state, one.published) for one in step.changes] == [(OfferState.WITHDRAWN, 60)]
    assert hear(book, make.buys(make.buy("b2"))) == []


def test_m13_an_all_or_nothing_offer_that_is_not_complete_in_time_releases_its_money() -> None:
    book = book_after(make.sells(make.whole(volume=100, expires_at=make.later(10))), make.buys(make.buy(volume=60)))
    assert hear(book, make.sells(make.sell("s2", volume=60), at=make.later(9))) == []
    assert hear(book, make.buys(make.buy("b2", volume=0), at=make.later(10))) == [("s2", "b1", 60)]
    assert hear(book, make.buys(make.buy("b3", volume=100), at=make.later(11))) == []
    assert hear(book, make.sells(make.whole(version=2, volume=100, expires_at=make.later(60)), at=make.later(12))) == [("s1", "b3", 100)]


def test_an_offer_sold_in_parts_and_a_complete_one_do_not_expire() -> None:
    book = book_after(make.sells(make.sell("s1", expires_at=make.later(1)), make.whole("s2", volume=10, expires_at=make.later(1))))
    apply(book, make.buys(make.buy("b1", volume=10, per_loan_max=10)))
    apply(book, make.buys(make.buy("b2", volume=0), at=make.later(5)))
    assert book.sells["s1"].state is not OfferState.EXPIRED


def test_an_offer_that_comes_after_its_time_is_expired() -> None:
    book = book_after(make.buys(make.buy(), at=make.later(30)))
    assert hear(book, make.sells(make.whole(expires_at=make.later(29)), at=make.later(2))) == []


def test_m19_a_returned_bid_reopens_a_whole_offer_and_the_others_keep_their_place() -> None:
    book = book_after(make.sells(make.whole(volume=100)), make.buys(make.buy("b1", volume=60)))
    bids = apply(book, make.buys(make.buy("b2", volume=40))).bids
    back = make.returned(*bids, reasons={bids[0].bid_id: "insufficient_cash", bids[1].bid_id: "offer_incomplete"})
    assert hear(book, back) == []
    assert {buy_id: one.principal for buy_id, one in book.sells["s1"].placed.items()} == {"b2": 40}
    assert book.buys["b1"].open == 0
    step = apply(book, make.buys(make.buy("b3", volume=60)))
    assert make.brief(step) == [("s1", "b2", 40), ("s1", "b3", 60)]
    assert not {bid.bid_id for bid in step.bids} & {bid.bid_id for bid in bids}


def test_an_investor_without_cash_does_not_bid_the_same_again_before_his_next_plan() -> None:
    book = book_after(make.sells(make.sell(volume=100)))
    bids = apply(book, make.buys(make.buy(volume=60))).bids
    assert hear(book, make.returned(*bids)) == []
    assert (book.sells["s1"].open, book.buys["b1"].published) == (100, 0)
    assert hear(book, make.sells(make.sell("s2"))) == []
    assert hear(book, make.buys(make.buy(version=2, volume=30))) == [("s1", "b1", 30)]


def test_returned_volume_goes_to_whoever_waits_for_it() -> None:
    book = book_after(make.sells(make.sell(volume=100)))
    bids = apply(book, make.buys(make.buy("b1", volume=100))).bids
    apply(book, make.buys(make.buy("b2", volume=70)))
    assert hear(book, make.returned(*bids)) == [("s1", "b2", 70)]


@pytest.mark.parametrize(("reason", "state"), [("loan_closed", "withdrawn"), ("oversold", "suspended")])
def test_m23_a_loan_that_cannot_be_settled_is_not_sold_before_its_next_version(reason: str, state: str) -> None:
    book = book_after(make.sells(make.sell("s1", volume=100)))
    bids = apply(book, make.buys(make.buy("b1", volume=60))).bids
    step = apply(book, make.returned(*bids, reason=reason))
    assert make.brief(step) == []
    assert [one.state for one in step.changes] == [state]
    assert hear(book, make.sells(make.sell("s2", volume=500))) == [("s2", "b1", 60)]
    assert hear(book, make.sells(make.sell("s1", 1, volume=100), cause="again")) == []
    apply(book, make.buys(make.buy("b2", volume=10)))
    assert book.buys["b2"].published == 10  # of s2


def test_a_bid_returns_once_and_an_unknown_one_never() -> None:
    book = book_after(make.sells(make.sell(volume=100)))
    bids = apply(book, make.buys(make.buy(volume=60))).bids
    apply(book, make.returned(*bids))
    before = make.picture(book)
    assert apply(book, make.returned(*bids, at=make.later(1))).counts["returns_ignored"] == 1
    stranger = bids[0].model_copy(update={"bid_id": "bid_other", "principal": 1})
    assert apply(book, make.returned(stranger, at=make.later(2))).counts["returns_ignored"] == 1
    assert make.picture(book) == before


def test_what_is_published_and_not_settled_comes_off_the_next_plans_volume() -> None:
    book = book_after(make.buys(make.buy(volume=100)), make.sells(make.sell(volume=1_000)))
    assert hear(book, make.buys(make.buy(version=2, volume=150, settled_total=0))) == [("s1", "b1", 50)]
    assert hear(book, make.buys(make.buy(version=3, volume=30, settled_total=120))) == []
    assert hear(book, make.buys(make.buy(version=4, volume=30, settled_total=150))) == [("s1", "b1", 30)]


def test_m25_a_withdrawn_half_filled_offer_frees_what_was_reserved_on_it() -> None:
    book = book_after(make.sells(make.whole("s1", volume=100)), make.buys(make.buy(volume=60)), make.sells(make.sell("s2", volume=60)))
    assert hear(book, make.withdrawn("s1")) == [("s2", "b1", 60)]
