"""What principal that was repaid opens again: the bucket buys anew. What it does not open yet in the book is shown too, so that who mends it sees it here."""

from decimal import Decimal
from random import Random

import pytest
from bourse.errors import Refused
from bourse.parties.model import ProductTerms

from tests.ledger.builders import NOON, MemoryKeeper, bid, chunk, pay_in, settle
from tests.ledger.flow_builders import HOUR, repay
from tests.matching.builders import book_after, buy, buys, hear, sell, sells
from tests.trading.builders import terms
from tests.trading.market import Market, T

PRODUCT = ProductTerms(currencies=("USD",), sell_ratio=Decimal(1), buy_ratio=Decimal(1), lot_min=25)


def held(one: Market) -> list[int]:
    return [one.bucket("income", bucket.bucket_id).principal for bucket in one.portfolio("income").terms.buckets]


def test_a_bucket_whose_principal_was_repaid_is_filled_again_to_the_unit_and_no_further() -> None:
    one = Market(PRODUCT, Random(1))
    one.deposit("ada", 10_000)
    one.open("income", terms("75", "25", volume=10_000))
    for _ in range(100):
        one.offer(one.random.choice("AB"), 1_000)
    one.run()
    assert held(one) == [7_500, 2_500]
    loans = {bid.loan_id: bid.principal for bid in one.published.values() if one.decided[bid.bid_id] is None}
    for loan_id, principal in sorted(loans.items())[:4]:
        one.repay(loan_id, principal // 2)
    assert sum(held(one)) < 10_000
    one.run()
    assert held(one) == [7_500, 2_500]
    assert (one.cash(), one.reasons()) == (0, [])
    assert sum(row.total for row in one.ledger.trial_balance(T, NOON)) == 0


def test_as_yet_the_book_counts_what_was_repaid_in_part_as_sold() -> None:
    """Of 1000 investors hold 400; half of the loan is repaid, so they hold 200 and the originator offers 500 of which 300 are his: 100 are open."""
    book = book_after(sells(sell(volume=1_000)), buys(buy(volume=400)))
    assert hear(book, sells(sell(version=2, volume=500))) == []
    assert book.sells["s1"].open == 500 - 400


@pytest.mark.parametrize("limit", ["per_loan_max", "per_borrower_max", "per_originator_max"])
def test_as_yet_room_in_a_limit_is_given_back_only_when_the_whole_loan_is_repaid(limit: str) -> None:
    """Half of the 400 a portfolio holds is repaid, so its bucket asks for 200 more; its limit of 400 still counts the whole."""
    book = book_after(buys(buy(volume=1_000, **{limit: 400})), sells(sell(volume=1_000, borrower_id="x")))
    assert hear(book, buys(buy(version=2, volume=200, settled_total=400, **{limit: 400}))) == []
    assert book.buys["b1"].open == 200
    assert book.sells["s1"].held == {"portfolio-b1": 400}


def test_as_yet_a_bid_of_the_offer_before_a_repayment_is_held_to_its_whole_volume() -> None:
    """Half of a loan of 1000 is repaid, so 500 are outstanding; until the next version of the offer investors can come to hold 1000 again."""
    keeper = MemoryKeeper()
    for name in ("ivy", "sam"):
        pay_in(keeper.ledger, name, 800)
    par = {"sell_amount": 800, "buy_amount": 800, "principal": 800, "offer_volume": 1_000}
    settle(keeper.ledger, chunk(bid(1, **par)))
    repay(keeper.ledger, principal=500, outstanding=1_000)
    late = {name: 600 if name != "offer_volume" else amount for name, amount in par.items()}
    settle(keeper.ledger, chunk(bid(2, investor_id="sam", **late), number=2), NOON + 2 * HOUR)
    assert keeper.balances()["loans/acme", "loan/acme/L1"] == -(400 + 600)
    with pytest.raises(Refused, match="OUTSTANDING_TOO_SMALL"):
        repay(keeper.ledger, "p2", principal=100, outstanding=500, hour=3)
