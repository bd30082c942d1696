"""Reversal: what was posted is taken back once only, in whole or in parts, into the very lots it came from; in memory and in PostgreSQL alike."""

from itertools import pairwise
from typing import Any

import pytest
from bourse.errors import Refused
from bourse.ledger.actions import Account, Distribute, Issue, Reserve, Reverse
from bourse.ledger.books import AsOf, Books, Question
from bourse.ledger.reversal import first_units
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.books_builders import DAY, T, day, held, issue, lots, opened, picture, post, refused, retire, transfer, txn

HOLDERS = ("ann", "ben", "cat")


@pytest.fixture
def books(empty_books: Books) -> Books:
    """Books with dollars and a loan, and ann, ben and cat who may hold them."""
    return opened(empty_books, *HOLDERS, flavors=("usd", "loan"))


def stands(books: Books, *names: str, flavor: str = "usd") -> list[int]:
    return [held(books, name, flavor) for name in names or HOLDERS]


# The whole


def test_what_was_posted_returns_to_the_lots_it_came_from(books: Books) -> None:
    post(books, issue(60, "ann", token_tags={"n": 1}), issue(40, "ann", token_tags={"n": 2}))
    before = lots(books, "ann")
    post(books, transfer(75, "ann", "ben", token_tags={"bought": True}), id="sale")
    assert (lots(books, "ann"), lots(books, "ben")) == ({"n=2": 25}, {"bought=True": 75})
    post(books, Reverse("sale"))
    assert (lots(books, "ann"), lots(books, "ben")) == (before, {})


def test_a_lot_that_was_emptied_is_as_old_as_it_was(books: Books) -> None:
    post(books, issue(10, "ann", token_tags={"n": 1}))
    post(books, issue(10, "ann", token_tags={"n": 2}))
    post(books, retire(10, "ann"), id="r")
    post(books, Reverse("r"))
    post(books, retire(10, "ann"))
    assert lots(books, "ann") == {"n=2": 10}


def test_the_actions_of_a_transaction_are_undone_from_the_last_to_the_first(books: Books) -> None:
    post(books, issue(100, "ann"), transfer(60, "ann", "ben"), transfer(50, "ben", "cat"), retire(20, "cat"), id="chain")
    assert stands(books) == [40, 10, 30]
    post(books, Reverse("chain"))
    assert stands(books) == [0, 0, 0]
    assert books.sum_tokens(T, Question())[0].amount == 0


def test_a_transaction_is_reversed_once_and_the_same_request_again_changes_nothing(books: Books) -> None:
    post(books, issue(100, "ann"), id="i")
    once = post(books, Reverse("i"), id="back")
    again = post(books, Reverse("i"), id="back")
    assert (once.before, again.before, again.sequence_number) == (False, True, once.sequence_number)
    assert refused(lambda: post(books, Reverse("i"), id="back2")) == ("REVERSED_BEFORE", "actions.0.txn_id")
    assert stands(books, "ann") == [0]


def test_a_reversal_is_a_transaction_with_its_own_journal_time_and_guard(books: Books) -> None:
    post(books, issue(100, "ann", token_tags={"n": 1}), id="i")
    post(books, Reverse("i", action_tags={"why": "nsf"}), issue(5, "ben"), id="back", at=day(3))
    rows = [(one.txn_id, one.action_no, one.type, one.amount, one.effective_at) for one in books.actions(T, Question("transaction_id = 'back'")).items]
    assert rows == [("back", 1, "issue", 5, day(3)), ("back", 0, "retire", 100, day(3))]
    assert books.sum_actions(T, Question("tags.why = 'nsf'"))[0].amount == 100
    assert [held(books, "ann", as_of=AsOf(day(number))) for number in (0, 2, 3)] == [100, 100, 0]


def test_a_dry_run_of_a_reversal_answers_and_leaves_nothing(books: Books) -> None:
    post(books, issue(100, "ann"), id="i")
    before = picture(books)
    books.post(T, [txn(Reverse("i"), id="dry")], DAY, dry_run=True)
    assert picture(books) == before
    post(books, Reverse("i"), id="dry")
    assert refused(lambda: books.post(T, [txn(Reverse("i"))], DAY, dry_run=True))[0] == "REVERSED_BEFORE"


def test_a_reversal_is_reversed_once_and_then_what_it_took_back_stands_again(books: Books) -> None:
    post(books, issue(60, "ann", token_tags={"n": 1}), issue(40, "ann", token_tags={"n": 2}))
    post(books, transfer(75, "ann", "ben", carry_tags=True), id="sale")
    sold = [lots(books, name) for name in HOLDERS]
    post(books, Reverse("sale"), id="back")
    post(books, Reverse("back"), id="again")
    assert [lots(books, name) for name in HOLDERS] == sold
    assert refused(lambda: post(books, Reverse("sale")))[0] == "REVERSED_BEFORE"
    assert refused(lambda: post(books, Reverse("back")))[0] == "REVERSED_BEFORE"
    post(books, Reverse("again"))
    assert stands(books) == [100, 0, 0]


# Parts


def test_amounts_of_actions_are_reversed_until_nothing_is_left(books: Books) -> None:
    post(books, issue(100, "ann"), issue(50, "ben"), id="two")
    post(books, Reverse("two", amounts=((0, 30), (1, None))))
    assert stands(books, "ann", "ben") == [70, 0]
    assert refused(lambda: post(books, Reverse("two", amounts=((0, 71),)))) == ("REVERSAL_AMOUNT", "actions.0.amounts")
    assert refused(lambda: post(books, Reverse("two", amounts=((1, 1),)))) == ("REVERSED_BEFORE", "actions.0.amounts")
    assert refused(lambda: post(books, Reverse("two", amounts=((2, 1),)))) == ("REVERSAL_AMOUNT", "actions.0.amounts")
    post(books, Reverse("two"))
    assert stands(books, "ann", "ben") == [0, 0]
    assert refused(lambda: post(books, Reverse("two")))[0] == "REVERSED_BEFORE"


@pytest.mark.parametrize("parts", [((1, 3),) * 3, ((1, 2), (1, 3), (1, 6)), ((1, 7),) * 7, ((2, 5), (3, 5)), ((99, 100), (1, 100))])
def test_parts_add_up_to_the_whole_to_the_unit(books: Books, parts: tuple[tuple[int, int], ...]) -> None:
    post(books, issue(61, "ann", token_tags={"n": 1}), issue(40, "ann", token_tags={"n": 2}))
    before = lots(books, "ann")
    post(books, transfer(83, "ann", "ben", carry_tags=True), transfer(7, "ann", "cat"), id="sale")
    for part in parts:
        post(books, Reverse("sale", part=part))
    assert (lots(books, "ann"), stands(books, "ben", "cat")) == (before, [0, 0])
    assert refused(lambda: post(books, Reverse("sale", part=(1, 100))))[0] == "REVERSED_BEFORE"


def test_a_part_is_rounded_down_and_of_each_lot_alike(books: Books) -> None:
    post(books, issue(60, "ann", token_tags={"n": 1}), issue(30, "ann", token_tags={"n": 2}))
    post(books, transfer(90, "ann", "ben", carry_tags=True), id="sale")
    post(books, Reverse("sale", part=(1, 4)))
    assert lots(books, "ann") == {"n=1": 15, "n=2": 7}
    assert refused(lambda: post(books, Reverse("sale", part=(76, 100)))) == ("REVERSAL_AMOUNT", "actions.0.part")


def test_parts_and_amounts_of_one_transaction_never_exceed_it(books: Books) -> None:
    post(books, issue(100, "ann"), id="i")
    post(books, Reverse("i", amounts=((0, 60),)))
    post(books, Reverse("i", part=(3, 10)))
    assert refused(lambda: post(books, Reverse("i", part=(2, 10)))) == ("REVERSAL_AMOUNT", "actions.0.part")
    post(books, Reverse("i", part=(1, 10)))
    assert stands(books, "ann") == [0]


@given(amounts=st.lists(st.one_of(st.integers(1, 9), st.integers(1, 10**15)), min_size=1, max_size=7), cuts=st.lists(st.integers(0, 10**6), max_size=8))
def test_more_units_are_never_fewer_of_any_amount(amounts: list[int], cuts: list[int]) -> None:
    whole = sum(amounts)
    stops = sorted({0, *(whole * cut // 10**6 for cut in cuts), whole})
    found = [first_units(amounts, stop) for stop in stops]
    assert [sum(one) for one in found] == stops
    assert all(one <= other for fewer, more in pairwise(found) for one, other in zip(fewer, more, strict=True))
    assert (found[0], found[-1]) == ([0] * len(amounts), amounts)
    for stop, counts in zip(stops, found, strict=True):
        assert all(abs(count * whole - stop * one) <= whole * (len(amounts) + 1) // 2 for count, one in zip(counts, amounts, strict=True))


# What has moved on meanwhile


def test_spent_tokens_do_not_return_and_the_refusal_says_who_got_them(books: Books) -> None:
    post(books, issue(100, "ann"), id="i")
    post(books, transfer(70, "ann", "ben"), transfer(10, "ann", "cat"))
    before = picture(books)
    with pytest.raises(Refused, match="100 would go back from ann, and 20 of them are free there; since then went 70 to ben, 10 to cat") as caught:
        post(books, Reverse("i"))
    assert (caught.value.code, caught.value.field) == ("TOKENS_SPENT", "actions.0.txn_id")
    assert picture(books) == before
    post(books, Reverse("i", amounts=((0, 20),)))
    assert stands(books) == [0, 70, 10]


def test_other_tokens_of_the_account_do_not_stand_in_for_spent_ones(books: Books) -> None:
    post(books, issue(10, "ann", token_tags={"n": 1}), id="i")
    post(books, retire(10, "ann"), issue(500, "ann"))
    assert refused(lambda: post(books, Reverse("i")))[0] == "TOKENS_SPENT"


def test_an_account_that_may_stand_below_zero_owes_what_it_spent(books: Books) -> None:
    opened(books, Account("line", floor=-50))
    post(books, issue(60, "line", token_tags={"n": 1}), id="i")
    post(books, transfer(50, "line", "ann"))
    post(books, Reverse("i"))
    assert stands(books, "line", "ann") == [0, 50]
    assert books.sum_actions(T, Question("type = 'retire'"))[0].amount == 60
    assert refused(lambda: post(books, transfer(1, "line", "ann")))[0] == "INSUFFICIENT_FUNDS", "all of its credit is used"


def test_held_tokens_return_when_the_hold_is_over(books: Books) -> None:
    post(books, issue(100, "ann"), id="i")
    post(books, Reserve("h", "usd", 30, "ann", expires_at=day(2)))
    assert refused(lambda: post(books, Reverse("i"))) == ("RESERVED", "actions.0.txn_id")
    post(books, Reverse("i"), now=day(2))
    assert stands(books, "ann") == [0]


def test_an_account_closed_meanwhile_gives_nothing_back(books: Books) -> None:
    post(books, issue(10, "ann"))
    post(books, transfer(10, "ann", "ben"), id="t")
    books.close_account(T, "ann")
    assert refused(lambda: post(books, Reverse("t"))) == ("ACCOUNT_CLOSED", "actions.0.txn_id")


def test_a_reversal_does_not_happen_before_what_it_reverses_nor_where_the_tokens_were_not(books: Books) -> None:
    post(books, issue(100, "ann"), id="i", at=day(2))
    assert refused(lambda: post(books, Reverse("i"), at=day(1))) == ("REVERSAL_TOO_EARLY", "actions.0.effective_at")
    post(books, transfer(100, "ann", "ben"), at=day(3))
    post(books, transfer(100, "ben", "ann"), at=day(5))
    assert refused(lambda: post(books, Reverse("i"), at=day(4)))[0] == "BACKDATED"
    post(books, Reverse("i"), at=day(5))
    assert held(books, "ann", as_of=AsOf(day(4))) == 0


@pytest.mark.parametrize(
    ("action", "code", "field"),
    [
        (Reverse("nothing"), "TRANSACTION_UNKNOWN", "actions.0.txn_id"),
        (Reverse("held"), "NOTHING_TO_REVERSE", "actions.0.txn_id"),
        (Reverse("'; drop"), "NAME_INVALID", "actions.0.txn_id"),
        (Reverse("i", part=(0, 1)), "REVERSAL_INVALID", "actions.0.part"),
        (Reverse("i", part=(2, 1)), "REVERSAL_INVALID", "actions.0.part"),
        (Reverse("i", part=(1, 2.0)), "REVERSAL_INVALID", "actions.0.part"),
        (Reverse("i", part=(1, 2), amounts=((0, 1),)), "REVERSAL_INVALID", "actions.0.part"),
        (Reverse("i", amounts=((0, 1), (0, 1))), "REVERSAL_INVALID", "actions.0.amounts"),
        (Reverse("i", amounts=((0,),)), "REVERSAL_INVALID", "actions.0.amounts"),
        (Reverse("i", amounts=((0, 0),)), "AMOUNT_INVALID", "actions.0.amounts"),
        (Reverse("i", amounts=((-1, 1),)), "REVERSAL_AMOUNT", "actions.0.amounts"),
        (Reverse("i", action_tags={"x": 1.5}), "TAGS_INVALID", "actions.0.action_tags"),
    ],
)
def test_a_wrong_reversal_is_refused_with_its_place(books: Books, action: Reverse, code: str, field: str) -> None:
    post(books, issue(100, "ann"), id="i")
    post(books, Reserve("h", "usd", 1, "ann"), id="held")
    before = picture(books)
    assert refused(lambda: post(books, action)) == (code, field)
    assert picture(books) == before


def test_what_a_posting_makes_a_later_one_reverses(books: Books) -> None:
    one, back = txn(issue(1, "ann"), id="one"), txn(Reverse("one"), id="back")
    assert refused(lambda: books.post(T, [one, back], DAY)) == ("TRANSACTION_UNKNOWN", "actions.0.txn_id")
    books.post(T, [one], DAY)
    books.post(T, [back, txn(issue(2, "ann"))], DAY)
    assert stands(books, "ann") == [2]


def test_two_parts_in_one_posting_are_two_parts(books: Books) -> None:
    post(books, issue(100, "ann"), id="i")
    books.post(T, [txn(Reverse("i", part=(1, 4)), Reverse("i", part=(1, 4))), txn(Reverse("i", amounts=((0, 20),)))], DAY)
    assert stands(books, "ann") == [30]
    assert refused(lambda: books.post(T, [txn(Reverse("i", amounts=((0, 20),))), txn(Reverse("i", amounts=((0, 20),)))], DAY))[0] == "REVERSAL_AMOUNT"
    assert stands(books, "ann") == [30]


def test_anothers_transaction_is_not_there(books: Books) -> None:
    post(books, issue(1, "ann"), id="mine")
    assert refused(lambda: books.post("t2", [txn(Reverse("mine"))], DAY))[0] == "TRANSACTION_UNKNOWN"


# Distributions


def repay(books: Books, amount: int, **more: Any) -> Distribute:
    post(books, issue(amount, "processing"))
    return Distribute("usd", amount, "processing", "loan", fee=(1, 10), **more)


@pytest.fixture
def lent(books: Books) -> Books:
    """Seven units of the loan: ann has three, ben three, cat one."""
    opened(books, "processing")
    post(books, issue(300, "ann", "loan", token_tags={"n": 1}), issue(300, "ben", "loan", token_tags={"n": 1}), issue(100, "cat", "loan"))
    return books


def test_a_distribution_is_taken_back_with_what_rounding_left_owed(lent: Books) -> None:
    """Ten payments of one unit, each of which goes to whom most is owed: reversed and paid again they go to the same."""
    claims = [lots(lent, name, "loan") for name in HOLDERS]
    paid = []
    for turn in range(10):
        share = repay(lent, 1, retire=turn % 2 == 0)
        before = stands(lent)
        post(lent, share, id=f"wrong{turn}")
        first = stands(lent)
        post(lent, Reverse(f"wrong{turn}"))
        assert stands(lent) == before
        post(lent, share, id=f"right{turn}")
        assert stands(lent) == first
        paid.append(first)
    assert all(abs(7 * units - 10 * share) < 7 for units, share in zip(paid[-1], (3, 3, 1), strict=True)), "nobody is off by a unit after ten"
    for turn in range(10):
        post(lent, Reverse(f"right{turn}"))
    assert (stands(lent), [lots(lent, name, "loan") for name in HOLDERS]) == ([0, 0, 0], claims)
    assert held(lent, "processing") == 10


def test_half_a_distribution_and_the_other_half_are_all_of_it(lent: Books) -> None:
    share = repay(lent, 101)
    claims = [lots(lent, name, "loan") for name in HOLDERS]
    post(lent, share, id="d")
    post(lent, Reverse("d", amounts=((0, 50),)))
    assert (held(lent, "processing"), sum(stands(lent, flavor="loan"))) == (50, 700 - 51)
    post(lent, Reverse("d", part=(51, 101)))
    assert (held(lent, "processing"), [lots(lent, name, "loan") for name in HOLDERS]) == (101, claims)
    assert refused(lambda: post(lent, Reverse("d")))[0] == "REVERSED_BEFORE"


def test_the_reversal_of_a_reversed_distribution_owes_again_what_it_owed(lent: Books) -> None:
    share = repay(lent, 1)
    post(lent, share, id="d1")
    first = stands(lent)
    post(lent, Reverse("d1"), id="b1")
    post(lent, Reverse("b1"), id="b2")
    assert stands(lent) == first
    assert [taken_by(lent, number) for number in range(2)] == ["ben", "cat"], "ann had the first, so the next are the others'"


def taken_by(books: Books, number: int) -> str:
    before = stands(books)
    post(books, repay(books, 1, retire=False), id=f"next{number}")
    return next(name for name, was, is_ in zip(HOLDERS, before, stands(books), strict=True) if is_ > was)


def test_a_holder_who_spent_his_share_stops_the_reversal_of_all(lent: Books) -> None:
    post(lent, repay(lent, 70), id="d")
    post(lent, retire(1, "ben"))
    before = picture(lent)
    assert refused(lambda: post(lent, Reverse("d")))[0] == "TOKENS_SPENT"
    assert picture(lent) == before


def test_hot_accounts_give_back_from_the_very_slots(books: Books) -> None:
    opened(books, Account("fees", floor=None, hot=True))
    post(books, issue(100, "ann"), transfer(30, "ann", "fees"), Issue("usd", 5, "ben", source="fees"), id="i")
    post(books, Reverse("i"))
    assert stands(books, "ann", "ben", "fees") == [0, 0, 0]
