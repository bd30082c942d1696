"""The lending guide over HTTP, through the client, with its exact figures; and the client's own README, run as it is."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.operator_api.client.bourse_ledger_client import Conflict, GuardFailed, InsufficientFunds, Ledger
from tests.functions import lending_guide as guide
from tests.functions.ledger_server import Server, token

CLIENT = Path(__file__).resolve().parents[2] / "functions/operator_api/client"
FEBRUARY = (guide.DUE[1], guide.DUE[2])


@pytest.fixture
def ledger(server: Server) -> Iterator[Ledger]:
    with Ledger(server.url, token()) as made:
        yield made


# The shapes


def test_a_loan_is_issued_in_five_actions_or_not_at_all(ledger: Ledger) -> None:
    guide.setup(ledger)
    broken = ledger.transaction("loan-1/issue", "2017-12-01T00:00:00Z").issue("usd", 30_000, destination="alice").retire("usd", 30_001, source="alice")
    with pytest.raises(InsufficientFunds) as caught:
        broken.transact(dry_run=True)
    assert (caught.value.code, caught.value.field, caught.value.status) == ("INSUFFICIENT_FUNDS", "actions.1.amount", 422)
    assert guide.held(ledger, "alice") == 0
    guide.issue_loan(ledger)
    assert [(one.type, one.amount) for one in ledger.transactions.get("loan-1/issue").actions] == [
        ("issue", 30_000),
        ("retire", 30_000),
        *[("issue", 11_000)] * 3,
    ]
    assert guide.owed(ledger, "alice") == {("loan1", due): 11_000 for due in guide.DUE}
    [lent] = ledger.actions.sum("tags.type=$1", ["receive_loan_amount"])
    [wired] = ledger.actions.list("tags.wire_transaction_id=$1 AND tags.system='wire'", ["11111"])
    assert (lent.amount, wired.amount, wired.type) == (30_000, 30_000, "retire")


def test_three_installments_are_three_holdings_with_their_due_dates(ledger: Ledger) -> None:
    guide.setup(ledger)
    guide.issue_loan(ledger)
    assert sorted((one.tags["installment"], one.tags["due_date"], one.amount) for one in ledger.tokens.list("accountId='lending'")) == [
        (number, due, 11_000) for number, due in enumerate(guide.DUE, 1)
    ]


def test_a_deposit_told_twice_is_one_deposit(ledger: Ledger) -> None:
    guide.setup(ledger)
    assert [guide.deposit(ledger, "investor1", "22222").before for _ in range(2)] == [False, True]
    with pytest.raises(Conflict) as caught:
        ledger.transaction("wire-22222", "2017-12-02T00:00:00Z").issue("usd", 100_001, destination="investor1").transact()
    assert (caught.value.code, caught.value.field) == ("TRANSACTION_DIFFERS", "actions.0.amount")
    assert guide.held(ledger, "investor1") == 100_000


def test_a_third_and_two_thirds_of_a_loan_are_sold_to_the_last_token(ledger: Ledger) -> None:
    guide.lend_and_sell(ledger)
    assert [guide.held(ledger, one, "loan1") for one in ("investor1", "investor2", "lending")] == [3 * 3_666, 3 * 7_334, 0]
    assert guide.cash(ledger) == {"investor1": 89_900, "investor2": 79_800}
    by_due = ledger.tokens.sum("accountId='investor1'", [], ["tags.installment", "tags.due_date"])
    sold = sorted((row.group["tags.installment"], row.group["tags.due_date"], row.amount) for row in by_due if row.group["tags.installment"])
    assert sold == [(number, due, 3_666) for number, due in enumerate(guide.DUE, 1)]


def test_price_and_tokens_move_together_or_not_at_all(ledger: Ledger) -> None:
    guide.setup(ledger)
    guide.issue_loan(ledger)
    guide.deposit(ledger, "investor1", "22222")
    with pytest.raises(InsufficientFunds):
        guide.sell(ledger, "investor1", 10_100, 11_001)
    assert (guide.held(ledger, "investor1"), guide.held(ledger, "lending", "loan1")) == (100_000, 33_000)


def test_one_installment_alone_is_sold_and_sales_of_one_deal_are_one_transaction(ledger: Ledger) -> None:
    guide.setup(ledger)
    guide.issue_loan(ledger)
    deal = ledger.transaction("deal", "2017-12-03T00:00:00Z")
    for investor, part in (("investor1", 3_666), ("investor2", 7_334)):
        deal.transfer("loan1", part, source="lending", destination=investor, where="tags.installment=$1", params=[2], carry_tags=True)
    deal.transact()
    assert [(one.account_id, one.amount, one.tags["installment"]) for one in ledger.tokens.list("flavorId='loan1' AND accountTags.type='investor'")] == [
        ("investor1", 3_666, 2),
        ("investor2", 7_334, 2),
    ]
    assert guide.owed(ledger, "alice") == {("loan1", due): 11_000 for due in guide.DUE}


@pytest.mark.parametrize(("rule", "cash", "fee"), [("seed_floor", (93_529, 87_060), 111), ("deficit", (93_529, 87_061), 110)])
def test_a_payment_ends_in_the_guides_figures(ledger: Ledger, rule: guide.Rule, cash: tuple[int, int], fee: int) -> None:
    guide.lend_and_sell(ledger)
    guide.pay(ledger, rule)
    assert guide.cash(ledger) == dict(zip(("investor1", "investor2"), cash, strict=True))
    assert [guide.held(ledger, one, "loan1") for one in ("lending", "investor1", "investor2")] == [0, 7_332, 14_668]
    assert guide.fees(ledger) == fee
    assert [guide.held(ledger, one) for one in ("processing", "fees", "alice")] == [0, 0, 0]
    guide.withdraw(ledger)
    assert guide.held(ledger, "investor1") == 88_529


def test_a_payment_action_by_action_ends_in_the_guides_figures(ledger: Ledger) -> None:
    guide.lend_and_sell(ledger)
    guide.pay_by_hand(ledger)
    paid = ledger.actions.list("tags.type='loan_repayment' AND flavorId='usd'")
    assert sorted((one.destination, one.amount) for one in paid) == [("investor1", 3_629), ("investor2", 7_260)]
    assert (guide.cash(ledger), guide.fees(ledger)) == ({"investor1": 93_529, "investor2": 87_060}, 111)
    assert guide.held(ledger, "processing") == 0
    assert guide.portfolio(ledger, "investor1") == {"loan1": 7_332}


def test_a_sale_between_the_sum_and_the_payment_pays_nobody_wrong(ledger: Ledger) -> None:
    guide.lend_and_sell(ledger)
    payment = ledger.transaction("loan-1/payment/1", "2018-01-01T12:00:00Z").issue("usd", 11_000, destination="processing")
    payment.expect("flavorId='loan1' AND tags.installment=1 AND accountId='investor1'", amount=3_666)
    payment.transfer("usd", 3_629, source="processing", destination="investor1")
    resale = ledger.transaction("resale", "2017-12-31T00:00:00Z")
    resale.transfer("loan1", 1_000, source="investor1", destination="investor2", where="tags.installment=1", carry_tags=True).transact()
    with pytest.raises(GuardFailed) as caught:
        payment.transact()
    assert (caught.value.field, guide.held(ledger, "investor1"), guide.held(ledger, "processing")) == ("expect.0.amount", 89_900, 0)


def test_an_owner_of_another_installment_gets_nothing_and_the_platforms_own_part_is_paid_to_it(ledger: Ledger) -> None:
    guide.setup(ledger)
    guide.issue_loan(ledger)
    for number, investor, part in ((1, "investor1", 4_000), (2, "investor2", 11_000)):
        sale = ledger.transaction(f"sale-{number}", "2017-12-03T00:00:00Z")
        sale.transfer("loan1", part, source="lending", destination=investor, where="tags.installment=$1", params=[number], carry_tags=True).transact()
    guide.pay(ledger, "deficit")
    assert [guide.held(ledger, one) for one in ("investor1", "investor2", "lending")] == [3_960, 0, 6_930]
    assert [guide.held(ledger, one, "loan1") for one in ("investor1", "investor2", "lending")] == [0, 11_000, 11_000]


def test_more_than_there_is_cannot_be_withdrawn_and_nothing_is_booked(ledger: Ledger) -> None:
    guide.lend_and_sell(ledger)
    with pytest.raises(InsufficientFunds):
        guide.withdraw(ledger, 89_901)
    assert guide.held(ledger, "investor1") == 89_900
    assert list(ledger.transactions.list("id='wire-44444'")) == []


# The queries


def test_the_four_queries(ledger: Ledger) -> None:
    guide.lend_and_sell(ledger)
    guide.pay(ledger, "seed_floor")
    guide.withdraw(ledger)
    assert guide.portfolio(ledger, "investor1") == {"loan1": 7_332}
    assert guide.portfolio(ledger, "investor2") == {"loan1": 14_668}
    assert guide.owed(ledger, "alice") == {("loan1", guide.DUE[1]): 11_000, ("loan1", guide.DUE[2]): 11_000}
    assert guide.cash(ledger) == {"investor1": 88_529, "investor2": 87_060}
    assert guide.fees(ledger) == 111


def test_what_is_held_back_is_not_cash_that_can_be_withdrawn(ledger: Ledger) -> None:
    guide.lend_and_sell(ledger)
    ledger.transaction("order-1", "2017-12-04T00:00:00Z").reserve("order-1", "usd", 80_000, source="investor1").transact()
    [token_] = ledger.tokens.list("accountId='investor1' AND flavorId='usd'")
    assert (token_.amount - token_.held, ledger.hold("order-1").left) == (9_900, 80_000)


def test_the_fee_report_sees_the_fee_that_was_just_booked(ledger: Ledger) -> None:
    """The guide tags it `company)fee` and asks for `company_fee`, and would have reported nothing."""
    guide.lend_and_sell(ledger)
    assert guide.fees(ledger) == 0
    guide.pay(ledger, "deficit")
    assert guide.fees(ledger) == 110


def test_windows_are_half_open(ledger: Ledger) -> None:
    guide.setup(ledger)
    for number, at in enumerate(("2018-01-31T23:59:59.999999Z", guide.DUE[1], "2018-02-15T00:00:00Z", guide.DUE[2])):
        made = ledger.transaction(f"fee-{number}", at).issue("usd", 10**number, destination="fees")
        made.retire("usd", 10**number, source="fees", action_tags={"type": "company_fee"}).transact()
    assert [guide.fees(ledger, window) for window in (guide.JANUARY, FEBRUARY, (guide.DUE[0], guide.DUE[2]))] == [1, 110, 111]
    assert [one.closing for one in ledger.statement("fees", *FEBRUARY).totals] == [0]
    assert [one.txn_id for one in ledger.statement("fees", *FEBRUARY, flavor_id="usd").entries] == ["fee-1", "fee-1", "fee-2", "fee-2"]


def test_times_of_ones_own_are_tags_that_are_asked_for_as_times(ledger: Ledger) -> None:
    guide.setup(ledger)
    made = ledger.transaction("fee-1", "2018-01-15T00:00:00Z").issue("usd", 110, destination="fees")
    made.retire("usd", 110, source="fees", action_tags={"type": "company_fee", "value_date": "2018-02-01T01:30:00+02:00"}).transact()
    by_value = "tags.type='company_fee' AND tags.value_date:time >= $1 AND tags.value_date:time < $2"
    assert [ledger.actions.sum(by_value, list(window))[0].amount for window in (guide.JANUARY, FEBRUARY)] == [110, 0]
    assert guide.fees(ledger) == 110


def test_a_statement_tells_the_same_as_the_queries(ledger: Ledger) -> None:
    guide.lend_and_sell(ledger)
    guide.pay(ledger, "deficit")
    guide.withdraw(ledger)
    statement = ledger.statement("investor1", "2018-01-01T00:00:00Z", "2018-02-01T00:00:00Z", flavor_id="usd", page=1)
    assert [(one.opening, one.closing) for one in statement.totals] == [(89_900, 88_529)]
    assert [(one.amount, one.balance, one.other_account_id) for one in statement.entries] == [(3_629, 93_529, "processing"), (-5_000, 88_529, "world")]
    assert [(one.flavor_id, one.debits - one.credits) for one in ledger.trial_balance()] == [("loan1", 0), ("usd", 0)]


# The README


def test_the_readme_is_a_program_that_prints_what_it_says(server: Server) -> None:
    text = (CLIENT / "README.md").read_text()
    program = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    [printed] = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CLIENT), "API": server.url, "TOKEN": token()}
    for _ in range(2):  # a program that was killed and is started anew
        done = subprocess.run([sys.executable, "-S", "-W", "error", "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert (done.stderr, done.stdout) == ("", printed)


def test_the_readmes_keys_sign_with_a_library_of_the_readers_choice(server: Server) -> None:
    text = (CLIENT / "README.md").read_text()
    with Ledger(server.url, token()) as ledger:
        guide.setup(ledger)
    [program] = re.findall(r"```py\n(.*?)```", text, re.DOTALL)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CLIENT), "API": server.url, "TOKEN": token()}
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.stderr, done.returncode) == ("", 0)
    with Ledger(server.url, token()) as ledger:
        assert guide.held(ledger, "vault") == 800
        assert ledger.keys.versions("treasurer")[0].revoked_at is not None


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "openssl"))), reason="the examples need a shell, curl and openssl")
def test_the_operators_examples_are_answered_as_they_stand(server: Server) -> None:
    text = (CLIENT.parent / "README.md").read_text()
    section = text[text.index("## The general ledger") :]
    lines = "".join(re.findall(r"```\n(.*?)```", section, re.DOTALL)).splitlines()
    assert sum(line.startswith("ask ") for line in lines) > 15
    script = "\n".join(["set -eu -o pipefail", *(line.replace("curl -sS", "curl -sS --fail-with-body") for line in lines if "<its cursor>" not in line)])
    environment = {"PATH": os.environ["PATH"], "API": server.url, "TOKEN": token()}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["bash", "-c", script],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    with Ledger(server.url, token()) as ledger:
        assert (guide.held(ledger, "ada"), guide.held(ledger, "vault")) == (2_500 + 700 + 100, 800)
        assert ledger.keys.versions("treasurer")[0].revoked_at is not None
