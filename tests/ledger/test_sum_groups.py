"""What sums say of each group, alike in both kinds of books: amount, count, least and greatest, bounds on them, and groups by the day, week, month or year."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from bourse.errors import Refused
from bourse.ledger.actions import Account, Flavor
from bourse.ledger.books import Books, DeclaredSum, Question, Sum
from bourse.ledger.filters import Having

from tests.ledger.books_builders import DAY, T, day, issue, opened, post, refused, retire, transfer, txn

TIMES: tuple[Any, ...] = (
    "2018-01-01T00:30:00+01:00",
    "2018-12-31T12:00:00Z",
    "2021-01-03T23:59:59.999999Z",
    "2020-02-29T00:00:00-11:59",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2018-02-30T00:00:00Z",
    "2018-01-01",
    17,
    None,
    True,
    {"n": 1},
)
"""Tags: the first six are times."""
BUCKETS = ("day", "week", "month", "year")


@pytest.fixture
def books(empty_books: Books) -> Books:
    people = (Account("ann", {"type": "investor"}), Account("ben", {"type": "company", "since": TIMES[0]}), Account("fees", floor=None, hot=True))
    return opened(empty_books, *people, flavors=("usd", Flavor("loan", {"type": "loan"})))


def told(rows: Sequence[Sum]) -> list[tuple[Any, ...]]:
    return [(*one.group.values(), one.amount, one.count, one.min, one.max) for one in rows]


def ask(books: Books, kind: str, text: str = "", *group_by: str, params: tuple[Any, ...] = (), having: tuple[Having, ...] = ()) -> list[tuple[Any, ...]]:
    return told(getattr(books, f"sum_{kind}")(T, Question(text, params, group_by, having)))


def test_without_groups_there_is_one_sum_also_of_nothing(books: Books) -> None:
    assert ask(books, "tokens") == ask(books, "actions") == [(0, 0, None, None)]
    post(books, issue(95, "ann"), issue(10, "ann", token_tags={"one": "fish"}, action_tags={"one": "fish"}))
    assert ask(books, "tokens", "account_id='ann'") == ask(books, "actions") == [(105, 2, 10, 95)]
    assert ask(books, "tokens", "account_id='nobody'", "flavor_id") == [], "with groups there is none of nothing"


def test_what_lacks_the_tag_is_a_group_of_its_own(books: Books) -> None:
    post(books, issue(95, "ann"), issue(10, "ann", token_tags={"one": "fish"}, action_tags={"one": "fish"}), issue(3, "ben", token_tags={"one": "fish"}))
    assert ask(books, "actions", "", "tags.one") == [("fish", 10, 1, 10, 10), (None, 98, 2, 3, 95)]
    assert ask(books, "tokens", "", "tags.one") == [("fish", 13, 2, 3, 10), (None, 95, 1, 95, 95)]
    assert ask(books, "tokens", "", "tags") == [({}, 95, 1, 95, 95), ({"one": "fish"}, 13, 2, 3, 10)]


def test_lots_are_counted_as_they_are_listed(books: Books) -> None:
    """A hot account's tokens are one, whatever slots they lie in; an action that spent two lots is two."""
    post(books, issue(5, "ann", token_tags={"n": 1}), issue(6, "ann", token_tags={"n": 2}), at=day(1))
    post(books, transfer(9, "ann", "fees"), at=day(2))
    assert ask(books, "tokens", "", "account_id") == [("ann", 2, 1, 2, 2), ("fees", 9, 1, 9, 9)]
    assert ask(books, "actions", "type='transfer'", "destination_account_id") == [("fees", 9, 2, 4, 5)]
    for kind, text in (("tokens", ""), ("actions", "type='transfer'")):
        assert ask(books, kind, text)[0][1] == len(getattr(books, kind)(T, Question(text)).items)


def test_bounds_leave_groups_out(books: Books) -> None:
    post(books, *(issue(amount, to, token_tags={"n": amount}) for to, amounts in (("ann", (1, 2, 9)), ("ben", (4, 8)), ("fees", (20,))) for amount in amounts))
    each = {"ann": (12, 3, 1, 9), "ben": (12, 2, 4, 8), "fees": (20, 1, 20, 20)}
    for number, of in enumerate(("amount", "count", "min", "max")):
        for op, holds in (("=", int.__eq__), ("!=", int.__ne__), ("<", int.__lt__), ("<=", int.__le__), (">", int.__gt__), (">=", int.__ge__)):
            for value in (-1, 1, 2, 9, 12, 20, 2**100):
                wanted = [(name, *row) for name, row in each.items() if holds(row[number], value)]
                assert ask(books, "tokens", "", "account_id", having=(Having(of, op, value),)) == wanted, (of, op, value)
                assert ask(books, "actions", "", "destination_account_id", having=(Having(of, op, value),)) == wanted
    both = (Having("amount", "=", 12), Having("count", ">", 2))
    assert ask(books, "tokens", "", "account_id", having=both) == [("ann", *each["ann"])]
    assert ask(books, "tokens", having=(Having("amount", ">", 44),)) == [], "the one sum of all is left out as any other"
    assert ask(books, "tokens", "account_id='nobody'", having=(Having("count", "=", 0),)) == [(0, 0, None, None)]
    assert ask(books, "tokens", "account_id='nobody'", having=(Having("min", "<", 9),)) == [], "of nothing there is no least"


@pytest.mark.parametrize(
    ("time", "day_", "week", "month", "year"),
    [
        (datetime(2018, 1, 1, tzinfo=UTC), "2018-01-01", "2018-W01", "2018-01", "2018"),
        (datetime(2018, 12, 31, 23, 59, tzinfo=UTC), "2018-12-31", "2019-W01", "2018-12", "2018"),
        (datetime(2021, 1, 3, tzinfo=UTC), "2021-01-03", "2020-W53", "2021-01", "2021"),
        (datetime(2024, 2, 29, tzinfo=UTC), "2024-02-29", "2024-W09", "2024-02", "2024"),
    ],
)
def test_actions_are_summed_by_day_week_month_and_year(books: Books, time: datetime, day_: str, week: str, month: str, year: str) -> None:
    post(books, issue(3, "ann"), issue(4, "ann"), at=time)
    groups = [f"{bucket}(timestamp)" for bucket in BUCKETS]
    assert ask(books, "actions", "", *groups) == [(day_, week, month, year, 7, 2, 3, 4)]


def test_a_tag_is_summed_by_its_month_where_it_is_a_time(books: Books) -> None:
    post(books, *(issue(number, "ann", token_tags={"due": due}, action_tags={"due": due}) for number, due in enumerate(TIMES, 1)))
    months = [
        ("0001-01", 5, 1, 5, 5),
        ("2017-12", 1, 1, 1, 1),
        ("2018-12", 2, 1, 2, 2),
        ("2020-02", 4, 1, 4, 4),
        ("2021-01", 3, 1, 3, 3),
        ("9999-12", 6, 1, 6, 6),
    ]
    none = (None, sum(range(7, 13)), 6, 7, 12)
    assert ask(books, "tokens", "", "month(tags.due)") == [*months, none]
    assert ask(books, "actions", "", "month(tags.due)") == ask(books, "actions", "", "month(snapshot.tokenTags.due)") == [*months, none]
    assert ask(books, "tokens", "", "week(account_tags.since)", "year(tags.none)") == [(None, None, 78, 12, 1, 12)]


@pytest.mark.parametrize(
    "path", ["month(account_id)", "month(tags)", "month()", "month(amount)", "hour(tags.n)", "month(month(tags.n))", "month(tags.n) ", "day(tags.)"]
)
def test_what_is_no_time_has_no_months(books: Books, path: str) -> None:
    assert refused(lambda: ask(books, "tokens", "", path)) == ("GROUP_BY_INVALID", "group_by")


def test_a_snapshot_has_months_only_below_its_tags(books: Books) -> None:
    assert refused(lambda: ask(books, "actions", "", "month(snapshot.action_tags)")) == ("GROUP_BY_INVALID", "group_by")


@pytest.mark.parametrize(
    "bound", [("sum", ">", 1), ("amount", "~", 1), ("amount", ">", True), ("amount", ">", "1"), ("amount", ">", 2**127), ("count(*) > 0 or amount", ">", 1)]
)
def test_a_bound_is_of_a_measure_and_a_whole_number(books: Books, bound: Any) -> None:
    for kind in ("tokens", "actions"):
        assert refused(lambda kind=kind: ask(books, kind, having=(Having("count", ">", 0), Having(*bound)))) == ("HAVING_INVALID", "having.1")
    assert refused(lambda: ask(books, "tokens", having=(Having("count", ">", 0),) * 17)) == ("HAVING_INVALID", "having")


def test_a_materialised_sum_is_not_by_month(books: Books) -> None:
    assert refused(lambda: books.declare_sum(T, DeclaredSum("due", group_by=("month(tags.due)",)))) == ("GROUP_BY_INVALID", "group_by")


# Against lists, added up


def value(row: Any, path: str) -> Any:
    """The value of a path in a token or an action as it is listed."""
    bucket, _, inner = path.rstrip(")").rpartition("(")
    root, _, name = inner.partition(".")
    found = getattr(row, {"timestamp": "effective_at", "destination_account_id": "destination"}.get(root, root))
    found = found.get(name) if name else found
    if not bucket:
        return found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if isinstance(found, datetime) else found
    if not isinstance(found, datetime):
        if found not in TIMES[:6] or found is True:
            return None
        found = datetime.fromisoformat(found)
    at = found.astimezone(UTC)
    week = "{:04}-W{:02}".format(*at.isocalendar())
    return {"day": f"{at.year:04}-{at.month:02}-{at.day:02}", "week": week, "month": f"{at.year:04}-{at.month:02}", "year": f"{at.year:04}"}[bucket]


def added_up(rows: Sequence[Any], paths: Sequence[str], having: Sequence[Having]) -> list[str]:
    groups: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        mine = [path.replace("tags.", "action_tags.") if hasattr(row, "txn_id") else path for path in paths]
        groups[str([value(row, path) for path in mine])].append(row.amount)
    sums = [(group, sum(amounts), len(amounts), min(amounts), max(amounts)) for group, amounts in groups.items()]
    ops, measures = {"<": int.__lt__, ">=": int.__ge__, "!=": int.__ne__}, ("amount", "count", "min", "max")
    return sorted(str(one) for one in sums if all(ops[bound.op](one[1 + measures.index(bound.of)], bound.value) for bound in having))


@pytest.mark.parametrize("seed", range(2))
def test_any_sum_is_what_the_list_adds_up_to(books: Books, seed: int) -> None:
    random = Random(seed)
    for number in range(60):
        one, other = random.sample(("ann", "ben", "fees"), 2)
        due, flavor = random.choice(TIMES), random.choice(("usd", "loan"))
        actions: list[Any] = [issue(random.randrange(1, 40), one, flavor, token_tags={"due": due}, action_tags={"due": due})]
        if number % 3:
            actions.append(
                transfer(random.randrange(1, 20), one, other, flavor, where="amount > 0", carry_tags=True, action_tags={"due": random.choice(TIMES)})
            )
        if number % 4 == 0:
            actions.append(retire(1, one, flavor, where="amount > 0"))
        with suppress(Refused):
            books.post(T, [txn(*actions, at=day(random.randrange(-400, 400)))], DAY)
    assert books.sum_actions(T, Question())[0].count > 40
    own = {
        "tokens": ["account_id", "flavor_id", "amount", "tags", "tags.due", *(f"{bucket}(tags.due)" for bucket in BUCKETS)],
        "actions": [
            "type",
            "flavor_id",
            "destination_account_id",
            "timestamp",
            "tags.due",
            *(f"{bucket}({of})" for bucket in BUCKETS for of in ("timestamp", "tags.due")),
        ],
    }
    wheres = {"tokens": ["", "flavor_id='usd'", "EXISTS(tags.due)", "amount > 20"], "actions": ["", "type='issue'", "amount > 10", "flavor_id='loan'"]}
    for _ in range(150):
        kind = random.choice(("tokens", "actions"))
        paths, where = random.sample(own[kind], random.randrange(1, 4)), random.choice(wheres[kind])
        having = tuple(
            Having(random.choice(("amount", "count", "min", "max")), random.choice(("<", ">=", "!=")), random.randrange(60)) for _ in range(random.randrange(3))
        )
        rows = getattr(books, kind)(T, Question(where), limit=1_000).items
        found = getattr(books, f"sum_{kind}")(T, Question(where, (), tuple(paths), having))
        assert sorted(str((str([*one.group.values()]), one.amount, one.count, one.min, one.max)) for one in found) == added_up(rows, paths, having), (
            kind,
            where,
            paths,
        )
