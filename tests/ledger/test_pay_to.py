"""A distribution pays whom the holders' accounts name, gives the part nobody holds to one account, and its fee has tags of its own; what a reversal
finds spent, an account that follows from the spender's can advance. On both stores."""

from collections import Counter
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from bourse.errors import Refused
from bourse.ledger.actions import Account, Action, Distribute, Reserve, Reverse
from bourse.ledger.books import Books, Question

from tests.ledger.books_builders import DAY, T, day, held, issue, opened, post, retire, transfer

CASH = "cash/{account_tags.investor_id}"
OWED = "receivable/{account_id}"


@pytest.fixture
def books(empty_books: Books) -> Books:
    """ivy holds 30 and 20 of the loan in two buckets, sam 50; maker sold them."""
    claims = [Account(f"claims/{name}/{n}", {"investor_id": name}) for name, n in (("ivy", 1), ("ivy", 2), ("sam", 1))]
    cash = [Account(f"cash/{name}") for name in ("ivy", "sam")]
    made = opened(empty_books, *claims, *cash, "payer", "own", Account("fee", floor=None), Account("maker", floor=None), flavors=("usd", "loan"))
    for account, tokens in (("claims/ivy/1", 30), ("claims/ivy/2", 20), ("claims/sam/1", 50)):
        post(made, issue(tokens, account, "loan", source="maker"))
    post(made, issue(100_000, "payer"))
    return made


def pay(amount: int, **more: Any) -> Distribute:
    return Distribute("usd", amount, "payer", "loan", **({"pay_to": CASH, "fee_destination": "fee", "retire_to": "maker"} | more))


def balances(books: Books, *names: str, flavor: str = "usd") -> list[int]:
    return [held(books, name, flavor) for name in names]


def test_holders_are_paid_into_the_accounts_their_tags_name_and_their_own_tokens_are_retired(books: Books) -> None:
    post(books, pay(60, fee=(1, 10)))
    assert balances(books, "cash/ivy", "cash/sam", "fee") == [27, 27, 6]
    assert balances(books, "claims/ivy/1", "claims/ivy/2", "claims/sam/1", flavor="loan") == [12, 8, 20]
    assert balances(books, "claims/ivy/1", "claims/ivy/2", "claims/sam/1") == [0, 0, 0]
    [made] = books.sum_tokens(T, Question("account_id = 'world' AND flavor_id = 'loan'"))
    assert made.amount == 0, "what is retired goes back to where it was issued from"


def test_the_fee_has_tags_of_its_own_and_without_them_those_of_the_action(books: Books) -> None:
    post(books, pay(50, fee=(1, 10), action_tags={"type": "interest"}, fee_tags={"type": "fee"}, retire=False))
    post(books, pay(50, fee=(1, 10), action_tags={"type": "payment"}, retire=False))
    found = books.sum_actions(T, Question("destination_account_id = 'fee'", (), ("tags.type",)))
    assert [(one.group["tags.type"], one.amount) for one in found] == [("fee", 5), ("payment", 5)]
    assert [one.amount for one in books.sum_actions(T, Question("tags.type = 'fee'"))] == [5]
    assert [one.amount for one in books.sum_actions(T, Question("tags.type = 'interest'"))] == [45]


def test_tags_that_were_changed_name_another_account_from_then_on(books: Books) -> None:
    books.tag_account(T, "claims/ivy/2", {"investor_id": "sam"})
    post(books, pay(100))
    assert balances(books, "cash/ivy", "cash/sam") == [30, 70]


@pytest.mark.parametrize(
    ("tags", "code"),
    [({}, "TAG_MISSING"), ({"investor_id": 7}, "TAG_MISSING"), ({"investor_id": "nobody"}, "ACCOUNT_UNKNOWN"), ({"investor_id": "a b"}, "ACCOUNT")],
)
def test_a_holder_whose_account_names_nobody_stops_all_of_it(books: Books, tags: dict[str, Any], code: str) -> None:
    books.tag_account(T, "claims/sam/1", tags)
    with pytest.raises(Refused, match=code):
        post(books, pay(60))
    assert balances(books, "cash/ivy", "cash/sam", "payer") == [0, 0, 100_000]


@pytest.mark.parametrize("pattern", ["cash", "{}", "{investor_id}", "cash/{account_tags.}", "cash/{account_id", "a b/{account_id}", "x" * 300, 7])
def test_a_pattern_that_names_no_account_is_refused(books: Books, pattern: Any) -> None:
    with pytest.raises(Refused) as wrong:
        post(books, pay(1, pay_to=pattern))
    assert (wrong.value.code, wrong.value.field) == ("PATTERN_INVALID", "actions.0.pay_to")


# What nobody holds


def test_the_part_of_the_tokens_that_nobody_holds_is_paid_to_the_rest(books: Books) -> None:
    post(books, pay(100, out_of=400, rest_to="own"))
    assert balances(books, "cash/ivy", "cash/sam", "own") == [13, 12, 75]
    assert sum(balances(books, "claims/ivy/1", "claims/ivy/2", "claims/sam/1", flavor="loan")) == 75, "a quarter of the 100 is retired of the 100 that are held"


def test_over_a_loans_life_everybody_and_the_rest_get_their_exact_part_to_less_than_a_unit(books: Books) -> None:
    left, exact = 300, Counter[str]()
    tokens = {"claims/ivy/1": 30, "claims/ivy/2": 20, "claims/sam/1": 50}
    for number in range(60):
        now = {name: held(books, name, "loan") for name in tokens}
        for name, mine in now.items():
            exact[f"cash/{name.split('/')[1]}"] += Fraction(7 * mine, left)
        exact["own"] += 7 - sum(Fraction(7 * mine, left) for mine in now.values())
        post(books, pay(7, out_of=left, rest_to="own", retire=False), pay(5, out_of=left, rest_to="own", pay_to="", rule="par"), at=day(number))
        left -= 5
    assert left == 0
    assert [held(books, name, "loan") for name in tokens] == [0, 0, 0], "after the last payment nobody holds anything"
    principal = {name: held(books, name) for name in tokens}
    assert principal == tokens, "everybody got back what he lent"
    assert sum(balances(books, "cash/ivy", "cash/sam", "own")) == 60 * 7 + 200
    assert all(abs(held(books, name) - 200 * (name == "own") - exact[name]) < 1 for name in ("cash/ivy", "cash/sam", "own"))


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"out_of": 99, "rest_to": "own"}, "OUT_OF_INVALID"),
        ({"out_of": 200, "rest_to": "claims/sam/1"}, "OUT_OF_INVALID"),
        ({"rest_to": "own"}, "OUT_OF_INVALID"),
        ({"out_of": 200}, "NAME_INVALID"),
        ({"out_of": 200, "rest_to": "nobody"}, "ACCOUNT_UNKNOWN"),
        ({"out_of": 0, "rest_to": "own"}, "AMOUNT_INVALID"),
        ({"rule": "par", "fee": (1, 10)}, "RULE_INVALID"),
        ({"rule": "par", "retire": False}, "RULE_INVALID"),
        ({"out_of": 109, "rest_to": "own"}, "DISTRIBUTION_TOO_LARGE"),
    ],
)
def test_a_rest_that_cannot_be_is_refused(books: Books, more: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused, match=code):
        post(books, pay(110, **more))


def test_when_all_is_held_the_rest_gets_nothing(books: Books) -> None:
    post(books, pay(100, out_of=100, rest_to="own"))
    assert balances(books, "cash/ivy", "cash/sam", "own") == [50, 50, 0]


def test_such_a_distribution_is_taken_back_to_the_unit(books: Books) -> None:
    before = books.tokens(T, Question(), limit=1_000)
    owed: list[Action] = [pay(7, out_of=333, rest_to="own", fee=(1, 9), fee_tags={"type": "fee"})]
    for number in (1, 2):
        post(books, *owed, id=f"p{number}")
    for number in (2, 1):
        post(books, Reverse(f"p{number}"))
    assert books.tokens(T, Question(), limit=1_000) == before
    post(books, pay(100, retire=False))
    assert balances(books, "cash/ivy", "cash/sam") == [50, 50], "nobody is owed anything from what was taken back"


def test_eleven_hundred_holders_of_one_token_get_their_cent(empty_books: Books) -> None:
    names = [f"i{number:04}" for number in range(1_100)]
    claims = [Account(f"claims/{name}", {"investor_id": name}) for name in names]
    cash = [Account(f"cash/{name}") for name in names]
    opened(empty_books, "payer", flavors=("usd", "loan"))
    empty_books.open_missing(T, [*claims, *cash], ())
    post(empty_books, *(issue(1, one.account_id, "loan") for one in claims), issue(1_100 + 550, "payer"))
    post(empty_books, Distribute("usd", 550, "payer", "loan", pay_to=CASH, retire=False))
    post(empty_books, Distribute("usd", 1_100, "payer", "loan", pay_to=CASH))
    got = Counter(token.amount for token in _all(empty_books, "account_id != 'world' AND flavor_id = 'usd'"))
    assert got == {1: 550, 2: 550}
    assert [token for token in _all(empty_books, "flavor_id = 'loan'") if token.account_id != "world"] == []


def _all(books: Books, text: str) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while page := books.tokens(T, Question(text), cursor=cursor, limit=1_000):
        found += page.items
        if (cursor := page.cursor) is None:
            break
    return found


# What a reversal finds spent


@pytest.fixture
def spent(books: Books) -> Books:
    """ivy was given 100 by mistake, and has 30 of it."""
    books.open_account(T, Account("receivable/cash/ivy", floor=None))
    post(books, issue(100, "cash/ivy"), id="wrong")
    post(books, transfer(70, "cash/ivy", "cash/sam"))
    return books


def test_what_was_spent_is_advanced_by_the_account_that_follows_from_the_spenders(spent: Books) -> None:
    with pytest.raises(Refused, match="TOKENS_SPENT"):
        post(spent, Reverse("wrong"))
    post(spent, Reverse("wrong", advance_from=OWED), id="back")
    assert balances(spent, "cash/ivy", "cash/sam") == [0, 70]
    [owes] = spent.actions(T, Question("source_account_id = 'receivable/cash/ivy'")).items
    assert (owes.amount, owes.destination, owes.type) == (70, "cash/ivy", "transfer")
    with pytest.raises(Refused, match="REVERSED_BEFORE"):
        post(spent, Reverse("wrong", advance_from=OWED))


def test_a_reversal_that_was_advanced_is_reversed_with_what_it_advanced(spent: Books) -> None:
    before = spent.tokens(T, Question(), limit=1_000)
    post(spent, Reverse("wrong", advance_from=OWED), id="back")
    post(spent, Reverse("back"))
    assert spent.tokens(T, Question(), limit=1_000) == before


def test_what_is_held_back_is_advanced_and_stays_held(books: Books) -> None:
    books.open_account(T, Account("receivable/cash/ivy", floor=None))
    post(books, issue(100, "cash/ivy"), id="wrong")
    post(books, Reserve("h", "usd", 60, "cash/ivy"), Reserve("over", "usd", 40, "cash/ivy", expires_at=DAY + timedelta(hours=1)))
    post(books, Reverse("wrong", advance_from=OWED), now=day(1))
    [token] = books.tokens(T, Question("account_id = 'cash/ivy'")).items
    assert (token.amount, token.held) == (60, 60), "the hold that is over gave its 40 back"


@pytest.mark.parametrize(("open_", "code"), [(None, "ACCOUNT_UNKNOWN"), (Account("receivable/cash/sam"), "FLOOR_INVALID")])
def test_who_cannot_advance_stops_all_of_it(spent: Books, open_: Account | None, code: str) -> None:
    post(spent, issue(5, "cash/sam"), id="sams")
    post(spent, retire(75, "cash/sam"))
    if open_:
        spent.open_account(T, open_)
    with pytest.raises(Refused, match=code):
        post(spent, Reverse("sams", advance_from=OWED))


def test_an_advance_pattern_that_names_no_account_is_refused(spent: Books) -> None:
    with pytest.raises(Refused) as wrong:
        post(spent, Reverse("wrong", advance_from="receivable"))
    assert (wrong.value.code, wrong.value.field) == ("PATTERN_INVALID", "actions.0.advance_from")
