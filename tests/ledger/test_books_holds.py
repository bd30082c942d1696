"""What is held back, shared and guarded: the promise of the general ledger, kept in memory and in PostgreSQL alike."""

from dataclasses import replace
from datetime import timedelta

import pytest
from bourse.ledger.actions import Distribute, Expect, PostHold, ReleaseHold, Reserve
from bourse.ledger.books import Books, Question

from tests.ledger.books_builders import DAY, T, day, held, issue, lots, opened, post, refused, retire, transfer


@pytest.fixture
def books(empty_books: Books) -> Books:
    """Books with dollars and a loan, and ann, ben and cat who may hold them."""
    return opened(empty_books, "ann", "ben", "cat", flavors=("usd", "loan"))


# Holds


def test_what_is_held_is_not_spent_and_posting_the_hold_spends_it(books: Books) -> None:
    post(books, issue(100, "ann", token_tags={"n": 1}))
    post(books, Reserve("h", "usd", 70, "ann"))
    assert refused(lambda: post(books, transfer(31, "ann", "ben"))) == ("RESERVED", "actions.0.amount")
    assert refused(lambda: post(books, transfer(101, "ann", "ben")))[0] == "INSUFFICIENT_FUNDS"
    post(books, transfer(30, "ann", "ben"))
    post(books, PostHold("h", "cat", carry_tags=True))
    assert (lots(books, "cat"), held(books, "ann")) == ({"n=1": 70}, 0)
    assert refused(lambda: post(books, PostHold("h", "cat"))) == ("HOLD_OVER", "actions.0.hold_id")


def test_a_hold_is_posted_in_part_and_the_rest_kept_or_released(books: Books) -> None:
    post(books, issue(100, "ann"))
    post(books, Reserve("h", "usd", 60, "ann"))
    post(books, PostHold("h", "ben", amount=20, keep_rest=True))
    assert refused(lambda: post(books, PostHold("h", "ben", amount=41))) == ("HOLD_AMOUNT", "actions.0.amount")
    assert refused(lambda: post(books, retire(41, "ann")))[0] == "RESERVED"
    post(books, PostHold("h", "ben", amount=10))
    post(books, retire(70, "ann"))
    assert held(books, "ben") == 30


def test_a_released_hold_gives_back_once(books: Books) -> None:
    post(books, issue(100, "ann"), Reserve("h", "usd", 100, "ann"))
    post(books, ReleaseHold("h"))
    assert refused(lambda: post(books, ReleaseHold("h")))[0] == "HOLD_OVER"
    assert refused(lambda: post(books, Reserve("h", "usd", 1, "ann"))) == ("HOLD_EXISTS", "actions.0.hold_id")
    post(books, retire(100, "ann"))


def test_a_hold_expires_by_the_books_clock(books: Books) -> None:
    post(books, issue(100, "ann"))
    post(books, Reserve("h", "usd", 100, "ann", expires_at=day(1)))
    assert refused(lambda: post(books, retire(1, "ann"), now=day(1) - timedelta(seconds=1)))[0] == "RESERVED"
    assert refused(lambda: post(books, PostHold("h", "ben"), now=day(1))) == ("HOLD_EXPIRED", "actions.0.hold_id")
    post(books, retire(100, "ann"), now=day(1))
    assert refused(lambda: post(books, Reserve("i", "usd", 1, "ann", expires_at=DAY), now=DAY)) == ("HOLD_EXPIRED", "actions.0.expires_at")


def test_six_holds_of_a_thousand_on_five_thousand_are_five(books: Books) -> None:
    """Blnk #181: the sixth hold was let in, because holds in flight were not counted."""
    post(books, issue(5_000, "ann"))
    for number in range(5):
        post(books, Reserve(f"h{number}", "usd", 1_000, "ann"))
    assert refused(lambda: post(books, Reserve("h5", "usd", 1_000, "ann")))[0] == "RESERVED"
    assert refused(lambda: post(books, PostHold("h5", "ben")))[0] == "HOLD_UNKNOWN", "Blnk #182: a hold that was refused was committed"


# Distribution and guards


def test_a_payment_is_shared_among_the_holders_of_a_loan_and_their_claims_end_with_it(books: Books) -> None:
    opened(books, "processing")
    post(books, issue(3_666, "ann", "loan", token_tags={"installment": 1}), issue(7_334, "ben", "loan", token_tags={"installment": 1}))
    post(books, issue(5, "ann", "loan", token_tags={"installment": 2}))
    post(books, issue(11_000, "processing"))
    share = Distribute("usd", 11_000, "processing", "loan", over=transfer(1, "a", "b", where="tags.installment = 1").spending, fee=(1, 100))
    post(books, share)
    assert [held(books, one) for one in ("ann", "ben", "processing")] == [3_629, 7_261, 0]
    assert (lots(books, "ann", "loan"), lots(books, "ben", "loan")) == ({"installment=2": 5}, {})
    assert books.sum_actions(T, Question("flavor_id = 'usd' AND type = 'retire'"))[0].amount == 110


def test_over_three_installments_a_holder_is_owed_less_than_a_cent(books: Books) -> None:
    opened(books, "processing")
    post(books, issue(1, "ann", "loan"), issue(1, "ben", "loan"), issue(1, "cat", "loan"), issue(3, "processing"))
    for _ in range(3):
        post(books, Distribute("usd", 1, "processing", "loan", retire=False))
    assert [held(books, one) for one in ("ann", "ben", "cat")] == [1, 1, 1]


def test_a_guard_holds_what_was_decided_against_what_is_there(books: Books) -> None:
    post(books, issue(100, "ann"))
    ok = Expect("account_id = 'ann'", amount=100, count=1)
    assert refused(lambda: post(books, retire(1, "ann"), expect=(replace(ok, amount=99),))) == ("GUARD_FAILED", "expect.0.amount")
    assert refused(lambda: post(books, retire(1, "ann"), expect=(replace(ok, count=2),))) == ("GUARD_FAILED", "expect.0.count")
    post(books, retire(1, "ann"), expect=(ok,))
    assert refused(lambda: post(books, retire(1, "ann"), expect=(ok,)))[0] == "GUARD_FAILED"
