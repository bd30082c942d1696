"""The main job on the deployed stack: a file in, investments booked, every sum zero; and again, and a month later."""

import pytest

from demo.book import FOUR_WEEKS_LATER, Loan
from demo.market import Upload
from demo.parties import INVESTORS
from demo.run import supply_of
from infra.local.lines import lines_of
from tests.local.builders import HARBOR, PRAIRIE, World, book, documents

pytestmark = pytest.mark.local

LOANS = 300


def test_a_file_becomes_investments_and_the_same_file_again_changes_nothing_and_the_next_month_only_what_changed(world: World) -> None:
    loans = book(LOANS)
    world.market.open(supply_of(loans))
    first = [world.send(originator, documents(loans, originator)) for originator in (HARBOR, PRAIRIE)]
    world.settle(*first)
    counts = world.market.counts(first)
    assert counts["received"] == LOANS
    assert counts["created"] + counts["rejected"] == LOANS
    assert counts["state:processed"] == 2
    _every_rejection_says_where_and_why(world, first, counts["rejected"])
    _money_and_claims_are_whole(world)
    before = (world.versions(), world.sold())
    assert before[0].total() == counts["created"]

    again = [world.send(originator, documents(loans, originator)) for originator in (HARBOR, PRAIRIE)]
    world.settle(*again)
    counts = world.market.counts(again)
    assert counts["unchanged"] + counts["rejected"] == LOANS
    assert (world.versions(), world.sold()) == before

    month = [world.send(originator, documents(loans, originator, FOUR_WEEKS_LATER)) for originator in (HARBOR, PRAIRIE)]
    world.settle(*month)
    counts = world.market.counts(month)
    assert counts["received"] == sum(counts[name] for name in ("created", "changed", "unchanged", "withdrawn", "stale", "rejected"))
    assert counts["changed"] > LOANS // 2
    assert counts["unchanged"] > 0
    assert counts["withdrawn"] > 0
    assert (world.versions() - before[0]).total() == counts["changed"] + counts["withdrawn"] + counts["created"]
    _money_and_claims_are_whole(world)
    _the_trail_of_a_sold_loan_is_whole(world, loans, first)
    _no_borrower_is_in_a_log(world, [loan.loan_id.removeprefix("LC-") for loan in loans])


def _every_rejection_says_where_and_why(world: World, sent: list[Upload], expected: int) -> None:
    found = [one for upload in sent for one in world.market.rejections(upload)]
    assert len(found) == expected > 0
    assert all(one["code"] and one["message"] and one["byte_offset"] >= 0 and one["record_no"] >= 0 for one in found)


def _money_and_claims_are_whole(world: World) -> None:
    balance = world.market.trial_balance()
    assert {row["what"] for row in balance} == {"cash", "claims"}
    assert [row["total"] for row in balance] == [0, 0]
    assert world.query("select count(*) from books.lot where tenant_id = %(tenant)s and amount - held < floor") == [(0,)]
    totals = world.market.totals()
    assert sum(row["principal"] for row in totals) == sum(world.sold().values()) > 0
    assert all(row["fees"] >= 0 for row in totals)
    _an_investors_statement_ends_in_his_cash(world)
    for investor in INVESTORS:
        for view in world.market.home(investor.investor_id)["portfolios"]:
            bound = abs(float(view["deviation_bound_percent"]))
            assert all(abs(float(bucket["deviation_percent"])) <= bound for bucket in view["buckets"])


def _an_investors_statement_ends_in_his_cash(world: World) -> None:
    [investor] = INVESTORS[:1]
    [cash] = world.market.home(investor.investor_id)["cash"]
    lines = world.api("investor", investor.investor_id).get("/v1/statement?currency=USD&since=2020-01-01T00:00:00Z&until=2100-01-01T00:00:00Z")
    assert lines[-1]["balance"] == sum(line["amount"] for line in lines) == cash["available"] + cash["reserved"]


def _the_trail_of_a_sold_loan_is_whole(world: World, loans: list[Loan], sent: list[Upload]) -> None:
    """From the record in the file to the bid in the ledger, in one call."""
    loan_id = max(world.sold().items(), key=lambda pair: pair[1])[0]
    [originator] = {loan.originator.originator_id for loan in loans if loan.loan_id == loan_id}
    trail = world.market.asset(originator, loan_id)
    first = trail["history"]["versions"][0]
    assert (first["change"], first["upload_id"]) in {("created", one.upload_id) for one in sent}
    assert trail["history"]["assessments"][0]["facts"]
    assert trail["offer"]["offer_id"]
    assert sum(bid["principal"] for bid in trail["bids"] if bid["outcome"] == "settled") == world.sold()[loan_id]


def _no_borrower_is_in_a_log(world: World, numbers: list[str]) -> None:
    said = "\n".join(map(str, lines_of(world.stack)))
    assert said
    assert not [number for number in numbers if f"B-{number}" in said]
