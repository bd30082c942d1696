"""The promise of the general ledger, kept in memory and in PostgreSQL alike."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from bourse.errors import BourseError, Conflict
from bourse.ledger.actions import Account, Action, Distribute, Flavor, Issue, PostHold, ReleaseHold, Transaction
from bourse.ledger.books import AsOf, Books, Question

from tests.ledger.books_builders import DAY, T, day, held, issue, lots, opened, picture, post, refused, retire, transfer, txn


@pytest.fixture
def books(empty_books: Books) -> Books:
    """Books with dollars, and ann, ben and cat who may hold them."""
    return opened(empty_books, "ann", "ben", "cat", flavors=("usd", "loan"))


# Names


def test_what_is_missing_is_opened_and_what_is_there_stays_as_it_is(books: Books) -> None:
    post(books, issue(5, "ann"))
    books.tag_account(T, "ann", {"type": "investor"})
    wanted = [Account("ann", {"type": "company"}), Account("dan", {"type": "company"}), Account("dan"), Account("pool", floor=None, hot=True)]
    for _ in range(2):
        books.open_missing(T, wanted, [Flavor("usd", {"type": "currency"}), Flavor("loan9", {"type": "loan"})])
    post(books, issue(7, "dan", "loan9", source="pool"))
    assert books.sum_tokens(T, Question("account_tags.type = 'company' AND flavor_tags.type = 'loan'"))[0].amount == 7
    assert books.sum_tokens(T, Question("account_tags.type = 'investor'"))[0].amount == 5
    books.open_missing(T, (), ())


def test_an_account_is_not_opened_again_with_another_floor(books: Books) -> None:
    for other in (Account("ann", floor=None), Account("ann", floor=-5), Account("world")):
        with pytest.raises(Conflict, match="ACCOUNT_DIFFERS"):
            books.open_missing(T, [other], ())


# Actions


def test_later_actions_spend_what_earlier_ones_made(books: Books) -> None:
    post(books, issue(100, "ann"), transfer(60, "ann", "ben"), retire(10, "ben"))
    assert (held(books, "ann"), held(books, "ben")) == (40, 50)


def test_all_actions_happen_or_none(books: Books) -> None:
    before = picture(books)
    assert refused(lambda: post(books, issue(100, "ann"), transfer(101, "ann", "ben"))) == ("INSUFFICIENT_FUNDS", "actions.1.amount")
    assert picture(books) == before


def test_every_flavor_sums_to_zero_with_what_stands_below_zero_at_its_issuer(books: Books) -> None:
    post(books, issue(100, "ann"), issue(70, "ben", "loan"), retire(30, "ann"))
    sums = {row.group["type"]: row.amount for row in books.sum_actions(T, Question("flavor_id = 'usd'", group_by=("type",)))}
    assert sums["issue"] - sums["retire"] == books.sum_tokens(T, Question("flavor_id = 'usd'"))[0].amount == 70


def test_a_transfer_drops_tags_unless_it_carries_them(books: Books) -> None:
    post(books, issue(90, "ann", token_tags={"a": 1, "b": "x"}))
    post(books, transfer(30, "ann", "ben", token_tags={"c": True}))
    post(books, transfer(30, "ann", "cat", carry_tags=True))
    post(books, transfer(30, "ann", "cat", carry_tags=("b",), token_tags={"d": "y"}))
    assert (lots(books, "ben"), lots(books, "cat")) == ({"c=True": 30}, {"a=1,b=x": 30, "b=x,d=y": 30})


def test_a_filter_says_which_tokens_are_spent_and_change_keeps_its_tags(books: Books) -> None:
    for installment in (1, 2):
        post(books, issue(100, "ann", token_tags={"installment": installment}))
    post(books, retire(5, "ann", where="tags.installment = $1", params=(2,)))
    assert lots(books, "ann") == {"installment=1": 100, "installment=2": 95}
    assert refused(lambda: post(books, retire(96, "ann", where="tags.installment = 2")))[0] == "INSUFFICIENT_FUNDS"
    assert refused(lambda: post(books, retire(1, "ann", where="tags.installment = '2'")))[0] == "INSUFFICIENT_FUNDS"


@pytest.mark.parametrize(
    ("order", "left"),
    [
        ("fifo", {"n=2": 5, "n=3": 10}),
        ("lifo", {"n=1": 10, "n=2": 5}),
        ("pro_rata", {"n=1": 5, "n=2": 5, "n=3": 5}),
        ("tags.n desc", {"n=1": 10, "n=2": 5}),
        ("tags.n asc", {"n=2": 5, "n=3": 10}),
        ("tags.n", {"n=2": 5, "n=3": 10}),
        ("tags.other", {"n=2": 5, "n=3": 10}),
    ],
)
def test_lots_are_spent_in_the_order_that_is_asked_for(books: Books, order: str, left: dict[str, int]) -> None:
    post(books, *(issue(10, "ann", token_tags={"n": number}) for number in (1, 2, 3)))
    post(books, transfer(15, "ann", "ben", order=order))
    assert lots(books, "ann") == left


def test_a_lot_that_was_empty_is_as_young_as_its_newest_tokens(books: Books) -> None:
    post(books, issue(10, "ann", token_tags={"n": 1}))
    post(books, issue(10, "ann", token_tags={"n": 2}))
    post(books, retire(10, "ann"))
    post(books, issue(10, "ann", token_tags={"n": 1}))
    post(books, retire(10, "ann"))
    assert lots(books, "ann") == {"n=1": 10}


def test_what_spends_the_oldest_lot_in_one_call_takes_the_next_when_that_is_empty(books: Books) -> None:
    post(books, issue(10, "ann", token_tags={"n": 1}), issue(10, "ann", token_tags={"n": 2}))
    books.post(T, [txn(retire(6, "ann")), txn(retire(6, "ann"))], DAY)
    assert lots(books, "ann") == {"n=2": 8}


@pytest.mark.parametrize("amount", [0, -1, 2**63, 1.0, True, "5", None])
def test_an_amount_is_a_whole_number_above_zero(books: Books, amount: Any) -> None:
    assert refused(lambda: post(books, issue(amount, "ann"))) == ("AMOUNT_INVALID", "actions.0.amount")


def test_amounts_reach_to_the_last_number_of_sixty_three_bits(books: Books) -> None:
    post(books, issue(2**63 - 1, "ann"))
    assert held(books, "ann") == 2**63 - 1


@pytest.mark.parametrize(
    ("action", "code", "field"),
    [
        (issue(1, "nobody"), "ACCOUNT_UNKNOWN", "actions.0.destination"),
        (issue(1, "ann", "gold"), "FLAVOR_UNKNOWN", "actions.0.flavor_id"),
        (transfer(1, "nobody", "ann"), "ACCOUNT_UNKNOWN", "actions.0.source"),
        (transfer(1, "ann", "ben"), "INSUFFICIENT_FUNDS", "actions.0.amount"),
        (transfer(1, "ann", "ben", where="tags.x ="), "FILTER_INVALID", "actions.0.filter"),
        (transfer(1, "ann", "ben", where="tags.x = $1"), "FILTER_PARAMS", "actions.0.params"),
        (transfer(1, "ann", "ben", order="sideways"), "ORDER_INVALID", "actions.0.order"),
        (issue(1, "ann", source="ben"), "FLOOR_INVALID", "actions.0.source"),
        (retire(1, "ann", destination="ann"), "SAME_ACCOUNT", "actions.0.destination"),
        (issue(1, "ann", token_tags={"x": 1.5}), "TAGS_INVALID", "actions.0.token_tags"),
        (issue(1, "ann", token_tags={"": 1}), "TAGS_INVALID", "actions.0.token_tags"),
        (issue(1, "ann", action_tags={"x": "y" * 9_000}), "TAGS_INVALID", "actions.0.action_tags"),
        (issue(1, "'; drop table books.move; --"), "NAME_INVALID", "actions.0.destination"),
        (ReleaseHold("h"), "HOLD_UNKNOWN", "actions.0.hold_id"),
        (PostHold("h", "ann"), "HOLD_UNKNOWN", "actions.0.hold_id"),
        (Distribute("usd", 1, "ann", "loan"), "NOTHING_TO_DISTRIBUTE", "actions.0.over"),
        (Distribute("usd", 1, "ann", "loan", fee=(2, 1)), "FEE_INVALID", "actions.0.fee"),
    ],
)
def test_a_wrong_action_is_refused_with_its_place(books: Books, action: Action, code: str, field: str) -> None:
    before = picture(books)
    assert refused(lambda: post(books, action)) == (code, field)
    assert picture(books) == before


def test_nothing_is_no_transaction_and_ten_thousand_actions_are_one(books: Books) -> None:
    assert refused(lambda: post(books))[0] == "NO_ACTIONS"
    assert refused(lambda: post(books, *(issue(1, "ann") for _ in range(10_001))))[0] == "TOO_MANY_ACTIONS"
    post(books, *(issue(1, "ann", token_tags={"n": number % 7}) for number in range(10_000)))
    assert held(books, "ann") == 10_000


def test_a_time_has_a_time_zone(books: Books) -> None:
    assert refused(lambda: post(books, issue(1, "ann"), at=datetime(2026, 1, 1)))[0] == "TIME_INVALID"


def test_an_account_may_have_a_credit_line_and_no_more(books: Books) -> None:
    opened(books, Account("line", floor=-50))
    post(books, issue(10, "line", token_tags={"n": 1}))
    post(books, transfer(40, "line", "ann"))
    assert refused(lambda: post(books, transfer(21, "line", "ann"))) == ("INSUFFICIENT_FUNDS", "actions.0.amount")
    post(books, transfer(20, "line", "ann"))
    assert held(books, "ann") == 60


def test_an_issuer_may_be_given_a_floor_below_which_it_never_issues(books: Books) -> None:
    opened(books, Account("originator", floor=None))
    post(books, issue(60, "ann", "loan", source="originator", source_floor=-100))
    assert refused(lambda: post(books, issue(41, "ben", "loan", source="originator")))[0] == "INSUFFICIENT_FUNDS"
    post(books, issue(40, "ben", "loan", source="originator"))
    post(books, issue(10, "ben", "loan", source="originator", source_floor=-110))
    assert held(books, "ben", "loan") == 50


def test_a_closed_account_takes_and_gives_nothing(books: Books) -> None:
    post(books, issue(5, "ann"))
    assert refused(lambda: books.close_account(T, "ann")) == ("ACCOUNT_NOT_EMPTY", "account_id")
    post(books, retire(5, "ann"))
    books.close_account(T, "ann")
    books.close_account(T, "ann")
    assert refused(lambda: post(books, issue(5, "ann")))[0] == "ACCOUNT_CLOSED"
    assert refused(lambda: post(books, transfer(5, "ann", "ben")))[0] == "ACCOUNT_CLOSED"
    assert refused(lambda: books.close_account(T, "world"))[0] == "ACCOUNT_UNKNOWN"


# Doing it twice


def test_a_transaction_is_posted_once_for_ever(books: Books) -> None:
    first = post(books, issue(100, "ann"), id="once")
    again = post(books, issue(100, "ann"), id="once", correlation_id="another cause")
    assert (first.before, again.before, replace(again, before=False)) == (False, True, first)
    assert held(books, "ann") == 100


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (txn(issue(101, "ann"), id="once"), "actions.0.amount"),
        (txn(issue(100, "ann", "loan"), id="once"), "actions.0.flavor_id"),
        (txn(issue(100, "ann"), id="once", at=day(1)), "effective_at"),
        (txn(issue(100, "ann"), id="once", tags={"a": 1}), "tags"),
        (txn(issue(100, "ann"), id="once", kind="other"), "kind"),
        (txn(issue(100, "ann"), issue(1, "ann"), id="once"), "actions.1"),
        (txn(issue(100, "ben"), id="once"), "actions"),
    ],
)
def test_another_request_under_a_used_id_is_a_conflict_that_names_the_field(books: Books, other: Transaction, field: str) -> None:
    post(books, issue(100, "ann"), id="once")
    with pytest.raises(Conflict) as caught:
        books.post(T, [other], DAY)
    assert (caught.value.code, caught.value.field) == ("TRANSACTION_DIFFERS", field)
    assert held(books, "ann") == 100


def test_the_same_id_twice_in_a_call_is_one_transaction_or_a_conflict(books: Books) -> None:
    one = txn(issue(5, "ann"), id="once")
    assert len({posted.sequence_number for posted in books.post(T, [one, one], DAY)}) == 1
    with pytest.raises(Conflict):
        books.post(T, [txn(issue(1, "ann"), id="two"), txn(issue(2, "ann"), id="two")], DAY)


def test_what_was_refused_for_want_of_money_stays_refused_under_its_id(books: Books) -> None:
    ask = txn(transfer(10, "ann", "ben"), id="poor")
    assert refused(lambda: books.post(T, [ask], DAY))[0] == "INSUFFICIENT_FUNDS"
    post(books, issue(100, "ann"))
    assert refused(lambda: books.post(T, [ask], DAY))[0] == "INSUFFICIENT_FUNDS"
    assert refused(lambda: books.post(T, [replace(ask, kind="other")], DAY)) == ("TRANSACTION_DIFFERS", "txn_id")
    post(books, transfer(10, "ann", "ben"))


def test_of_a_call_that_was_posted_in_part_the_rest_is_posted(books: Books) -> None:
    one, two = txn(issue(1, "ann"), id="one"), txn(issue(2, "ann"), id="two")
    books.post(T, [one], DAY)
    assert [posted.before for posted in books.post(T, [one, two], DAY)] == [True, False]
    assert held(books, "ann") == 3


@pytest.mark.parametrize("actions", [(issue(5, "ben"),), (issue(5, "ben"), transfer(3, "ben", "cat", where="amount > 0")), (transfer(101, "ann", "ben"),)])
def test_a_dry_run_answers_as_the_posting_would_and_changes_nothing(books: Books, actions: tuple[Action, ...]) -> None:
    post(books, issue(100, "ann"))
    before = picture(books)

    def outcome(*, dry_run: bool) -> object:
        try:
            return [posted.before for posted in books.post(T, [txn(*actions, id="dry")], DAY, dry_run=dry_run)]
        except BourseError as error:
            return str(error)

    dry = outcome(dry_run=True)
    assert picture(books) == before
    assert outcome(dry_run=False) == dry


# Two times


def test_sums_are_told_as_of_any_instant(books: Books) -> None:
    post(books, issue(100, "ann"), at=day(0))
    post(books, transfer(40, "ann", "ben"), at=day(10))
    post(books, issue(7, "ann"), at=day(5))
    expected = {-1: (0, 0), 0: (100, 0), 4: (100, 0), 5: (107, 0), 9: (107, 0), 10: (67, 40), 20: (67, 40)}
    assert {number: (held(books, "ann", as_of=AsOf(day(number))), held(books, "ben", as_of=AsOf(day(number)))) for number in expected} == expected


def test_sums_are_told_as_far_as_they_were_known(books: Books) -> None:
    known = post(books, issue(100, "ann"), at=day(0)).recorded_at
    before_all = known - timedelta(seconds=1)
    assert held(books, "ann", as_of=AsOf(day(1), before_all)) == 0
    assert held(books, "ann", as_of=AsOf(day(-1), known)) == 0
    assert held(books, "ann", as_of=AsOf(day(1), known)) == 100


def test_money_is_not_spent_before_it_came(books: Books) -> None:
    post(books, issue(100, "ann"), at=day(10))
    code, field = refused(lambda: post(books, transfer(1, "ann", "ben"), at=day(9)))
    assert (code, field) == ("BACKDATED", "actions.0.amount")
    assert held(books, "ben", as_of=AsOf(day(20))) == 0
    post(books, transfer(100, "ann", "ben"), at=day(10))


def test_a_back_dated_payment_is_checked_at_every_later_instant(books: Books) -> None:
    post(books, issue(100, "ann"), at=day(0))
    post(books, transfer(90, "ann", "ben"), at=day(5))
    post(books, issue(200, "ann"), at=day(6))
    assert refused(lambda: post(books, transfer(11, "ann", "cat"), at=day(1)))[0] == "BACKDATED"
    post(books, transfer(10, "ann", "cat"), at=day(1))
    assert refused(lambda: post(books, transfer(1, "ann", "cat"), at=day(4)))[0] == "BACKDATED"
    post(books, transfer(200, "ann", "cat"), at=day(6))
    assert [held(books, "ann", as_of=AsOf(day(number))) for number in range(8)] == [100, 90, 90, 90, 90, 0, 0, 0]


def test_the_check_sees_what_the_same_transaction_does_at_its_own_time(books: Books) -> None:
    post(books, issue(10, "ann"), at=day(5))
    books.post(T, [txn(issue(10, "ann"), at=day(1)), txn(transfer(10, "ann", "ben"), at=day(2))], DAY)
    assert [held(books, "ann", as_of=AsOf(day(number))) for number in (0, 1, 2, 5)] == [0, 10, 0, 10]


# Accounts, flavors, tags


def test_the_same_account_again_changes_nothing_and_another_under_its_name_is_a_conflict(books: Books) -> None:
    books.open_account(T, Account("ann"))
    with pytest.raises(Conflict, match="ACCOUNT_DIFFERS"):
        books.open_account(T, Account("ann", floor=-1))
    with pytest.raises(Conflict, match="FLAVOR_DIFFERS"):
        books.open_flavor(T, Flavor("usd", {"type": "currency"}))
    assert refused(lambda: books.open_account(T, Account("x", floor=1)))[0] == "FLOOR_INVALID"
    assert refused(lambda: books.open_account(T, Account("x", hot=True)))[0] == "FLOOR_INVALID"


def test_tags_are_replaced_as_a_whole_and_snapshots_keep_what_was(books: Books) -> None:
    books.tag_account(T, "ann", {"type": "investor", "city": "Riga"})
    post(books, issue(10, "ann"))
    books.tag_account(T, "ann", {"type": "former"})
    post(books, retire(4, "ann"))
    assert held_by(books, "former") == 6
    assert held_by(books, "investor") == 0
    assert books.sum_actions(T, Question("snapshot.destination_account_tags.city = 'Riga'"))[0].amount == 10
    assert books.sum_actions(T, Question("snapshot.sourceAccountTags.type = 'former'"))[0].amount == 4
    assert refused(lambda: books.tag_account(T, "nobody", {}))[0] == "ACCOUNT_UNKNOWN"


def held_by(books: Books, type_: str) -> int:
    return books.sum_tokens(T, Question("account_tags.type = $1", (type_,)))[0].amount


def test_sums_are_grouped_and_what_lacks_the_tag_is_a_group_of_its_own(books: Books) -> None:
    post(books, issue(95, "ann"), issue(10, "ann", token_tags={"one": "fish"}))
    groups = [(row.group["tags.one"], row.amount) for row in books.sum_tokens(T, Question("account_id = 'ann'", group_by=("tags.one",)))]
    assert sorted(groups, key=str) == [("fish", 10), (None, 95)]
    assert books.sum_tokens(T, Question("account_id = 'nobody'", group_by=("tags.one",))) == []
    assert [row.amount for row in books.sum_tokens(T, Question("account_id = 'nobody'"))] == [0]
    assert refused(lambda: books.sum_tokens(T, Question(group_by=("nothing",))))[0] == "GROUP_BY_INVALID"


def test_pages_show_each_row_once_while_others_write(books: Books) -> None:
    for number in range(12):
        post(books, issue(number + 1, "ann", token_tags={"n": number}))
    for read in (books.tokens, books.actions):
        seen: list[Any] = []
        cursor = None
        for _ in range(10):
            page = read(T, Question("flavor_id = 'usd'"), cursor=cursor, limit=5)
            seen += page.items
            post(books, issue(1, "ben"))
            cursor = page.cursor
            if cursor is None:
                break
        amounts = [one.amount for one in seen if getattr(one, "account_id", None) == "ann" or getattr(one, "destination", None) == "ann"]
        assert sorted(amounts) == list(range(1, 13))


@pytest.mark.parametrize("cursor", ["x", "AAAA", "bnVsbA", "WyJhIiwiYiJd", "é", "[" * 100])
def test_a_cursor_that_was_made_up_is_refused(books: Books, cursor: str) -> None:
    assert refused(lambda: books.actions(T, Question(), cursor=cursor))[0] == "CURSOR_INVALID"


def test_one_tenants_books_are_nobody_elses(books: Books) -> None:
    post(books, issue(10, "ann"), id="mine")
    books.open_flavor("t2", Flavor("usd"))
    books.open_account("t2", Account("ann"))
    assert books.tokens("t2", Question()).items == []
    books.post("t2", [txn(Issue("usd", 5, "ann"), id="mine")], DAY)
    assert (books.sum_tokens("t2", Question())[0].amount, held(books, "ann")) == (5, 10)
