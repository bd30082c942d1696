"""An investor whose cash account is closed never stops the others' money; his own waits for him and is paid out once. On both stores."""

from contextlib import closing

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused
from bourse.ledger.actions import Account, Issue, Transaction, Transfer
from bourse.ledger.aurora import AuroraLedger
from bourse.ledger.books import Question
from bourse.ledger.model import Receipt
from bourse.ledger.store import LedgerStore
from bourse.ledger.unclaimed import pay_unclaimed
from bourse.money import Money

from tests.ledger.builders import NOON, TENANT, AuroraKeeper, Keeper, assert_sound, bid, chunk, pay_in, pay_out, settle
from tests.ledger.flow_builders import HOUR, bounce, ports, repay


@pytest.fixture
def left(keeper: Keeper) -> Keeper:
    """ivy and sam hold 600 and 400 of the loan; ivy has closed her cash account."""
    lend(keeper)
    keeper.books.close_account(TENANT, "cash/ivy")
    return keeper


def lend(keeper: Keeper) -> None:
    for name, part in (("ivy", 600), ("sam", 400)):
        pay_in(keeper.ledger, name, part)
        keeper.open_portfolio(name, f"{name}-pension")
    at_par = [bid(name, investor_id=name, principal=part, sell_amount=part, buy_amount=part, offer_volume=1000) for name, part in (("ivy", 600), ("sam", 400))]
    settle(keeper.ledger, chunk(*at_par))


def claim(ledger: LedgerStore, amount: int, external_id: str = "u1", account: str = "unclaimed/ivy", hour: int = 5) -> Receipt:
    return pay_unclaimed(TENANT, account, Money(amount, "EUR"), "bank", external_id, **ports(ledger, hour))


def money(keeper: Keeper) -> dict[str, int]:
    return {account: amount for (account, flavor), amount in keeper.balances().items() if flavor == "EUR" and account.startswith(("cash", "unclaimed"))}


def test_the_others_are_paid_and_hers_waits_for_her_to_the_unit(left: Keeper) -> None:
    receipt = repay(left.ledger, principal=101, interest=53, fee=2)
    assert money(left) == {"unclaimed/ivy": 61 + 32, "cash/sam": 40 + 21}
    assert (receipt.to_investors, receipt.principal_repaid, receipt.claims) == (154, 101, 2)
    assert_sound(left)


def test_told_again_it_is_the_same_and_the_next_payment_finds_its_way_at_once(left: Keeper) -> None:
    first = repay(left.ledger, interest=50)
    assert repay(left.ledger, interest=50, hour=2) == first.model_copy(update={"booked_before": True})
    [claims] = left.books.accounts(TENANT, Question("id = 'claims/ivy-pension/safe'")).items
    assert (claims.tags["paid_to"], claims.tags["investor_id"]) == ("unclaimed/ivy", "ivy")
    repay(left.ledger, "p2", interest=50, hour=3)
    assert money(left) == {"unclaimed/ivy": 60, "cash/sam": 40}


def test_it_is_paid_out_once_and_never_more_than_there_is(left: Keeper) -> None:
    repay(left.ledger, interest=100)
    for before in (False, True):
        paid = claim(left.ledger, 45)
        assert (paid.investor_id, paid.amount, paid.booked_before) == ("ivy", 45, before)
    assert money(left) == {"unclaimed/ivy": 15, "cash/sam": 40}
    with pytest.raises(Refused, match="INSUFFICIENT_CASH"):
        claim(left.ledger, 16, "u2")
    assert claim(left.ledger, 15, "u2").booked_before is False
    assert_sound(left)


def test_a_payment_that_left_is_booked_once_from_whichever_account(left: Keeper) -> None:
    repay(left.ledger, interest=100)
    claim(left.ledger, 45)
    with pytest.raises(Conflict, match="TRANSFER_DIFFERS"):
        claim(left.ledger, 44)
    with pytest.raises(Conflict, match="TRANSFER_DIFFERS"):
        pay_out(left.ledger, "sam", 40, "u1", hour=6)
    pay_out(left.ledger, "sam", 40, "s1", hour=6)
    with pytest.raises(Conflict, match="TRANSFER_DIFFERS"):
        claim(left.ledger, 15, "s1", hour=7)
    bounce(left.ledger, "withdrawal", "u1", hour=8)
    assert money(left) == {"unclaimed/ivy": 60}


@pytest.mark.parametrize(
    ("amount", "account", "code"), [(0, "unclaimed/ivy", "AMOUNT"), (1, "cash/sam", "ACCOUNT_UNKNOWN"), (1, "unclaimed/tom", "ACCOUNT_UNKNOWN")]
)
def test_only_unclaimed_money_is_paid_out_so(left: Keeper, amount: int, account: str, code: str) -> None:
    repay(left.ledger, interest=100)
    with pytest.raises(Refused, match=code):
        claim(left.ledger, amount, account=account)


def test_what_waits_is_taken_back_with_the_payment_that_bounced_or_owed(left: Keeper) -> None:
    repay(left.ledger, interest=100)
    claim(left.ledger, 45)
    assert bounce(left.ledger, "distribution", "p1", hour=6, receivable=True).receivable == 45
    assert left.balances()["receivable/unclaimed/ivy", "EUR"] == -45
    repay(left.ledger, "p2", interest=100, hour=7)
    assert money(left) == {"unclaimed/ivy": 15, "cash/sam": 40}, "what she owes is kept back from what waits for her"


def test_also_the_account_that_waits_may_be_closed(left: Keeper) -> None:
    repay(left.ledger, interest=100)
    claim(left.ledger, 60)
    left.books.close_account(TENANT, "unclaimed/ivy")
    repay(left.ledger, "p2", interest=100, hour=6)
    assert money(left) == {"unclaimed/ivy/2": 60, "cash/sam": 80}
    assert claim(left.ledger, 60, "u2", "unclaimed/ivy/2", hour=7).amount == 60


def test_a_claim_of_whom_nothing_is_said_is_paid_to_an_account_of_its_name_and_one_without_the_tag_to_his_cash(keeper: Keeper) -> None:
    lend(keeper)
    keeper.books.open_missing(TENANT, [Account("claims/found"), Account("claims/old", {"investor_id": "tom"})], ())
    more = tuple(Issue("loan/acme/L1", 500, account, source="loans/acme", source_floor=-2000) for account in ("claims/found", "claims/old"))
    keeper.books.post(TENANT, [Transaction("more", more, NOON)], NOON)
    repay(keeper.ledger, interest=200)
    assert money(keeper) == {"cash/ivy": 60, "cash/sam": 40, "cash/tom": 50, "unclaimed/claims/found": 50}
    assert_sound(keeper)


def test_an_originator_whose_account_is_closed_is_refused(keeper: Keeper) -> None:
    lend(keeper)
    keeper.books.post(TENANT, [Transaction("out", (Transfer("EUR", 1000, "proceeds/acme", "world"),), NOON + HOUR)], NOON + HOUR)
    keeper.books.close_account(TENANT, "proceeds/acme")
    with pytest.raises(Refused, match="ACCOUNT_CLOSED"):
        repay(keeper.ledger, interest=100, outstanding=2000, hour=2)
    repay(keeper.ledger, interest=100, hour=2)
    assert money(keeper) == {"cash/ivy": 60, "cash/sam": 40}


def test_who_read_the_names_before_they_were_closed_and_told_finds_the_way_too(aurora: AuroraKeeper) -> None:
    lend(aurora)
    with closing(Database(aurora.app_dsn)) as database:
        other = AuroraLedger(database)
        repay(other, "p0", interest=100)
        pay_out(aurora.ledger, "ivy", 60, hour=2)
        aurora.books.close_account(TENANT, "cash/ivy")
        repay(aurora.ledger, "p1", interest=100, hour=3)
        repay(other, "p2", interest=100, hour=3)
    assert money(aurora) == {"unclaimed/ivy": 120, "cash/sam": 120}
    assert_sound(aurora)
