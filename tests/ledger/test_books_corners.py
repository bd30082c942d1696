"""Corners of the promise that the plainest model, cut connections and reading found, and what is no request at all. On both books."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused, Unavailable
from bourse.ledger.actions import Account, Action, Distribute, Expect, Flavor, Issue, PostHold, ReleaseHold, Reserve, Spending, Transfer
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.books import Books, Question
from bourse.ledger.memory_books import MemoryBooks

from tests.conftest import FreshDatabase
from tests.ledger.books_builders import CLOCK, DAY, T, day, held, issue, lots, opened, picture, post, refused, retire, transfer, txn
from tests.ledger.cutting_proxy import CuttingProxy


@pytest.fixture(params=["memory", "aurora"])
def books(request: pytest.FixtureRequest) -> Iterator[Books]:
    """Books with dollars and a loan; ann, ben and cat, line with a credit line of 40, and maker who may issue."""
    names = ("ann", "ben", "cat", Account("line", floor=-40), Account("maker", floor=None))
    if request.param == "memory":
        yield opened(MemoryBooks(CLOCK), *names, flavors=("usd", "loan"))
        return
    with closing(Database(request.getfixturevalue("fresh_database").app_dsn)) as database:
        yield opened(AuroraBooks(database), *names, flavors=("usd", "loan"))


# Credit lines


def test_a_credit_line_is_drawn_on_when_all_else_is_spent(books: Books) -> None:
    post(books, issue(10, "line"))
    post(books, issue(10, "line", token_tags={"n": 1}))
    post(books, transfer(11, "line", "ann"))
    assert lots(books, "line") == {"n=1": 9}
    books.post(T, [txn(transfer(10, "line", "ann")), txn(transfer(5, "line", "ann"))], DAY)
    assert (lots(books, "line"), held(books, "ann")) == ({}, 26)


def test_what_is_held_of_a_credit_line_takes_nothing_from_the_other_tokens(books: Books) -> None:
    post(books, issue(10, "line"), Reserve("h", "usd", 30, "line"), issue(50, "line", token_tags={"n": 1}))
    assert refused(lambda: post(books, transfer(71, "line", "ann")))[0] == "RESERVED"
    assert refused(lambda: post(books, transfer(101, "line", "ann")))[0] == "INSUFFICIENT_FUNDS"
    post(books, transfer(55, "line", "ann"))
    assert (lots(books, "line"), lots(books, "ann")) == ({"": 5}, {"": 55})
    post(books, PostHold("h", "ben"))
    assert refused(lambda: post(books, transfer(16, "line", "ann")))[0] == "INSUFFICIENT_FUNDS"
    post(books, transfer(15, "line", "ann"))


def test_an_overdrawn_lot_is_as_old_as_the_tokens_that_paid_what_was_owed(books: Books) -> None:
    post(books, transfer(30, "line", "ann"))
    post(books, issue(20, "line"), issue(5, "line", token_tags={"n": 1}), issue(20, "line"))
    post(books, retire(5, "line"))
    assert lots(books, "line") == {"": 10}


def test_a_lot_opened_first_is_the_oldest_however_much_came_to_it_later(books: Books) -> None:
    post(books, issue(5, "ann", token_tags={"n": 1}), issue(5, "ann", token_tags={"n": 2}), issue(5, "ann", token_tags={"n": 1}))
    post(books, retire(5, "ann"))
    assert lots(books, "ann") == {"n=1": 5, "n=2": 5}


# Floors of issuers


def test_an_issue_is_checked_at_every_later_instant_against_the_issuers_floor(books: Books) -> None:
    post(books, issue(60, "ann", "loan", source="maker", source_floor=-100), at=day(1))
    post(books, retire(50, "ann", "loan", destination="maker"), at=day(5))
    assert refused(lambda: post(books, issue(41, "ben", "loan", source="maker"), at=day(2))) == ("BACKDATED", "actions.0.amount")
    post(books, issue(40, "ben", "loan", source="maker"), at=day(2))
    post(books, issue(50, "ben", "loan", source="maker"), at=day(5))


def test_a_floor_is_given_by_an_issue_before_others(books: Books) -> None:
    """PostgreSQL let an error of its own through here: the lot was not among those the decision stood on."""
    post(books, issue(60, "ann", "loan", source="maker"), at=day(5))
    post(books, issue(10, "ann", "loan", source="maker", source_floor=-100), at=day(1))
    assert refused(lambda: post(books, issue(31, "ann", "loan", source="maker"), at=day(1)))[0] == "INSUFFICIENT_FUNDS"


def test_what_many_write_to_at_once_is_given_no_floor(books: Books) -> None:
    """`world` has a lot for each who writes, and a floor of one of them would bind nobody else."""
    assert refused(lambda: post(books, issue(5, "ann", source_floor=-10))) == ("FLOOR_INVALID", "actions.0.source_floor")
    assert refused(lambda: post(books, issue(5, "ann", source_floor=-10), issue(1, "ben"))) == ("FLOOR_INVALID", "actions.0.source_floor")


# Back-dating


def test_a_lot_that_was_emptied_is_remembered_where_the_past_is_checked(books: Books) -> None:
    one = {"n": 1}
    post(books, issue(10, "ann", token_tags=one), at=day(0))
    post(books, transfer(10, "ann", "ben", where="tags.n = 1"), at=day(5))
    books.post(T, [txn(issue(5, "ann", token_tags=one), at=day(4)), txn(transfer(5, "ann", "cat", where="tags.n = 1"), at=day(2))], DAY)
    ask = [txn(issue(5, "ann", token_tags=one), at=day(6)), txn(transfer(5, "ann", "cat", where="tags.n = 1"), at=day(2))]
    with pytest.raises(Refused, match=f"BACKDATED.*{day(5).date()}"):
        books.post(T, ask, DAY)
    assert held(books, "cat") == 5


# Accounts and tags


def test_an_account_with_a_hold_is_not_closed(books: Books) -> None:
    post(books, Reserve("h", "usd", 40, "line"))
    assert refused(lambda: books.close_account(T, "line")) == ("ACCOUNT_NOT_EMPTY", "account_id")
    post(books, ReleaseHold("h"))
    books.close_account(T, "line")


def test_one_and_true_are_two_requests(books: Books) -> None:
    with pytest.raises(Conflict, match="TRANSACTION_DIFFERS"):
        books.post(T, [txn(issue(1, "ann", token_tags={"n": 1}), id="same"), txn(issue(1, "ann", token_tags={"n": True}), id="same")], DAY)


def test_sums_come_in_the_order_of_their_groups_values(books: Books) -> None:
    for value in (None, True, 2, "b", 1, False, "a", -1):
        post(books, issue(1, "ann", token_tags={"n": value} if value is not None else {}))
    found = [row.group["tags.n"] for row in books.sum_tokens(T, Question(group_by=("tags.n",)))]
    assert list(map(repr, found)) == ["'a'", "'b'", "-1", "1", "2", "False", "True", "None"]


def test_who_holds_what_is_read_with_the_tags_of_now_in_every_environment(fresh_database: FreshDatabase) -> None:
    """An environment that had seen an account before another one tagged it distributed by the tags it remembered."""
    with closing(Database(fresh_database.app_dsn)) as one, closing(Database(fresh_database.app_dsn)) as other:
        mine, others = AuroraBooks(one), AuroraBooks(other)
        opened(mine, "ann", "ben", "payer", flavors=("usd", "loan"))
        post(mine, issue(1, "ann", "loan"), issue(1, "ben", "loan"), issue(100, "payer"))
        share = Distribute("usd", 10, "payer", "loan", Spending("account_tags.type = 'investor'"), retire=False)
        assert refused(lambda: post(mine, share))[0] == "NOTHING_TO_DISTRIBUTE"
        others.tag_account(T, "ben", {"type": "investor"})
        post(mine, share)
        assert (held(mine, "ann"), held(mine, "ben")) == (0, 10)


def test_tags_numbered_in_a_commit_that_was_lost_are_numbered_again(fresh_database: FreshDatabase) -> None:
    """The environment went on with a number nobody has, and the tokens lost their tags for ever."""
    proxy = CuttingProxy(fresh_database.app_dsn)
    try:
        with closing(Database(proxy.dsn)) as database:
            books = opened(AuroraBooks(database), "ann", "ben")
            for at in range(1, 9):
                proxy.arm(at, "request")
                try:
                    post(books, issue(1, "ann", token_tags={"at": at}), id=f"cut{at}")
                except Unavailable:
                    post(books, issue(1, "ann", token_tags={"at": at}), id=f"cut{at}")
            proxy.disarm()
            assert lots(books, "ann") == {f"at={at}": 1 for at in range(1, 9)}
    finally:
        proxy.close()


# What is no request


@pytest.mark.parametrize(
    ("action", "code", "field"),
    [
        (transfer(0, "ann", "ben"), "AMOUNT_INVALID", "actions.0.amount"),
        (retire(-5, "ann"), "AMOUNT_INVALID", "actions.0.amount"),
        (Transfer("usd", 1.0, "ann", "ben"), "AMOUNT_INVALID", "actions.0.amount"),
        (Transfer("usd", True, "ann", "ben"), "AMOUNT_INVALID", "actions.0.amount"),
        (Reserve("h", "usd", 2**63, "ann"), "AMOUNT_INVALID", "actions.0.amount"),
        (PostHold("h", "ann", 0), "AMOUNT_INVALID", "actions.0.amount"),
        (PostHold("h", "ann", 1.5), "AMOUNT_INVALID", "actions.0.amount"),
        (Distribute("usd", -1, "ann", "loan"), "AMOUNT_INVALID", "actions.0.amount"),
        (Distribute("usd", 1, "ann", "loan", fee=(0.01, 1)), "FEE_INVALID", "actions.0.fee"),
        (Distribute("usd", 1, "ann", "loan", rule="largest"), "RULE_INVALID", "actions.0.rule"),
        (Issue("usd", 1, "ann", source="maker", source_floor=1), "FLOOR_INVALID", "actions.0.source_floor"),
        (Issue("usd", 1, "ann", source="maker", source_floor=-1.5), "FLOOR_INVALID", "actions.0.source_floor"),
        (Issue("usd", 1, "ann", source="maker", source_floor=-(2**63)), "FLOOR_INVALID", "actions.0.source_floor"),
        (Transfer("usd", 1, "ann", "ben", carry_tags="n"), "TAGS_INVALID", "actions.0.carry_tags"),
        (Reserve("h", "usd", 1, "ann", expires_at=datetime(2030, 1, 1)), "TIME_INVALID", "actions.0.expires_at"),
        (transfer(1, "ann", "ben", "gold"), "FLAVOR_UNKNOWN", "actions.0.flavor_id"),
        (Distribute("usd", 1, "ann", "gold"), "FLAVOR_UNKNOWN", "actions.0.over_flavor_id"),
        (Distribute("usd", 1, "nobody", "loan"), "ACCOUNT_UNKNOWN", "actions.0.source"),
        (Reserve("h", "usd", 1, "nobody"), "ACCOUNT_UNKNOWN", "actions.0.source"),
        (transfer(1, "ann", "ann"), "SAME_ACCOUNT", "actions.0.destination"),
        (transfer(1, "ann", "ann", where="amount > 0"), "SAME_ACCOUNT", "actions.0.destination"),
        (Issue("usd", 1, "maker", source="maker"), "SAME_ACCOUNT", "actions.0.destination"),
        (transfer(1, "ann", "ben", "loan"), "INSUFFICIENT_FUNDS", "actions.0.amount"),
        (transfer(1, "ann", "gone"), "ACCOUNT_CLOSED", "actions.0.destination"),
        (Reserve("h", "usd", 1, "gone"), "ACCOUNT_CLOSED", "actions.0.source"),
        (Reserve("h", "usd", 1, "maker"), "FLOOR_INVALID", "actions.0.source"),
    ],
)
def test_what_is_no_action_is_refused_with_its_place_and_changes_nothing(books: Books, action: Action, code: str, field: str) -> None:
    opened(books, "gone")
    books.close_account(T, "gone")
    post(books, issue(100, "ann"))
    before = picture(books)
    for dry_run in (True, False):
        assert refused(lambda dry_run=dry_run: books.post(T, [txn(action)], DAY, dry_run=dry_run)) == (code, field)
    assert picture(books) == before


@pytest.mark.parametrize(
    ("guard", "code", "field"),
    [
        (Expect("account_id = 'ann'", amount=99), "GUARD_FAILED", "expect.0.amount"),
        (Expect("account_id = 'ann'", amount=100, count=0), "GUARD_FAILED", "expect.0.count"),
        (Expect("account_id = 'ann'", amount=100.0), "AMOUNT_INVALID", "expect.0.amount"),
        (Expect("account_id = 'ann'", count=-1), "AMOUNT_INVALID", "expect.0.count"),
    ],
)
def test_a_guard_that_is_stale_or_none_is_refused_with_its_place(books: Books, guard: Expect, code: str, field: str) -> None:
    post(books, issue(100, "ann"))
    assert refused(lambda: post(books, retire(1, "ann"), expect=(guard,))) == (code, field)
    assert held(books, "ann") == 100


def test_a_lot_never_holds_two_to_the_sixty_third(books: Books) -> None:
    post(books, issue(2**63 - 1, "ann"))
    for where in ("", "amount > 0"):
        assert refused(lambda: post(books, issue(1, "ann", source="maker")))[0] == "AMOUNT_INVALID"
        post(books, issue(1, "ben", source="maker"))
        assert refused(lambda where=where: post(books, transfer(1, "ben", "ann", where=where)))[0] == "AMOUNT_INVALID"
        post(books, retire(1, "ben", destination="maker"))
    assert held(books, "ann") == 2**63 - 1


def test_ten_thousand_actions_are_posted_by_every_way_and_one_more_by_none(books: Books) -> None:
    transfers = [transfer(1, "ann", "ben", where="tags.n >= 0") for _ in range(4_999)]
    made = [issue(5_000, "ann", token_tags={"n": 1}), *transfers, *(transfer(1, "ben", "cat") for _ in range(4_999)), retire(1, "cat")]
    assert refused(lambda: post(books, *made, issue(1, "ann"))) == ("TOO_MANY_ACTIONS", "actions")
    half = len(made) // 2
    with pytest.raises(Refused, match="TOO_MANY_ACTIONS"):
        books.post(T, [txn(*made[:half]), txn(*made[half:], issue(1, "ann"))], DAY)
    books.post(T, [txn(*made)], DAY, dry_run=True)
    assert picture(books)[0].items == []
    post(books, *made)
    assert [held(books, name) for name in ("ann", "ben", "cat")] == [1, 0, 4_998]


@pytest.mark.parametrize(
    "actions",
    [
        [Reserve("h", "usd", 10, "ann")],
        [PostHold("g", "ben")],
        [ReleaseHold("g")],
        [Distribute("usd", 3, "ann", "loan", fee=(1, 7))],
        [issue(5, "ann", "loan", source="maker", source_floor=-500)],
        [transfer(5, "ann", "ben", token_tags={"never": "seen"}, action_tags={"nor": "this"})],
    ],
)
def test_a_dry_run_of_anything_leaves_all_to_be_done(books: Books, actions: list[Action]) -> None:
    post(books, issue(100, "ann"), issue(2, "ben", "loan"), issue(1, "cat", "loan"), Reserve("g", "usd", 20, "ann"))
    before = picture(books)
    ask = txn(*actions, id="dry", expect=(Expect("account_id = 'ann' AND flavor_id = 'usd'", amount=100),))
    for one in (ask, replace(ask, expect=()), ask):
        [told] = books.post(T, [one], DAY, dry_run=True)
        assert not told.before
        assert picture(books) == before
    [done] = books.post(T, [ask], DAY)
    assert (done.before, books.post(T, [ask], DAY)[0].before) == (False, True)


def test_the_flavor_of_a_tag_is_not_the_tag_of_a_flavor(books: Books) -> None:
    """Wrong currency: tokens of two flavors never pay for each other."""
    books.tag_flavor(T, "loan", {"type": "usd"})
    post(books, issue(10, "ann", "loan"), issue(3, "ann"))
    assert refused(lambda: post(books, transfer(4, "ann", "ben")))[0] == "INSUFFICIENT_FUNDS"
    assert refused(lambda: post(books, transfer(1, "ann", "ben", where="flavor_id = 'loan'")))[0] == "INSUFFICIENT_FUNDS"
    with pytest.raises(Conflict, match="FLAVOR_DIFFERS"):
        books.open_flavor(T, Flavor("loan", {"type": "eur"}))
