"""The lending guide through the client, as it is written: its five shapes and its four queries, for any ledger behind any address."""

from typing import Any, Literal

from functions.operator_api.client.bourse_ledger_client import Ledger, Posted

DUE = ("2018-01-01T00:00:00Z", "2018-02-01T00:00:00Z", "2018-03-01T00:00:00Z")
TYPES = {"alice": "borrower", "investor1": "investor", "investor2": "investor", "processing": "company", "lending": "company", "fees": "company"}
JANUARY = (DUE[0], DUE[1])
Rule = Literal["deficit", "seed_floor"]


def setup(ledger: Ledger) -> None:
    for name, kind in TYPES.items():
        ledger.accounts.open(name, {"type": kind})
    ledger.flavors.open("usd", {"type": "currency"})
    ledger.flavors.open("loan1", {"type": "loan", "loan_id": "1", "borrower_id": "alice", "issue_date": "2017-12-01T00:00:00Z"})


def issue_loan(ledger: Ledger) -> Posted:
    loan = ledger.transaction("loan-1/issue", "2017-12-01T00:00:00Z")
    loan.issue("usd", 30_000, destination="alice", action_tags={"type": "distribute_loan_amount"})
    loan.retire("usd", 30_000, source="alice", action_tags={"type": "receive_loan_amount", "system": "wire", "wire_transaction_id": "11111"})
    for number, due in enumerate(DUE, 1):
        tags = {"installment": number, "due_date": due}
        loan.issue("loan1", 11_000, destination="lending", token_tags=tags, action_tags={"type": "create_installment"})
    return loan.transact()


def deposit(ledger: Ledger, investor: str, wire: str) -> Posted:
    tags = {"type": "deposit", "system": "wire", "wire_transaction_id": wire}
    return ledger.transaction(f"wire-{wire}", "2017-12-02T00:00:00Z").issue("usd", 100_000, destination=investor, action_tags=tags).transact()


def sell(ledger: Ledger, investor: str, price: int, part: int) -> Posted:
    sale = ledger.transaction(f"loan-1/sale/{investor}", "2017-12-03T00:00:00Z")
    sale.retire("usd", price, source=investor, action_tags={"type": "loan_purchase_proceeds"})
    for number, due in enumerate(DUE, 1):
        sale.transfer(
            "loan1",
            part,
            source="lending",
            destination=investor,
            where="tags.due_date=$1",
            params=[due],
            token_tags={"due_date": due, "installment": number},
            action_tags={"type": "loan_purchase"},
        )
    return sale.transact()


def lend_and_sell(ledger: Ledger) -> None:
    """The first three shapes."""
    setup(ledger)
    issue_loan(ledger)
    deposit(ledger, "investor1", "22222")
    deposit(ledger, "investor2", "33333")
    sell(ledger, "investor1", 10_100, 3_666)
    sell(ledger, "investor2", 20_200, 7_334)


def pay(ledger: Ledger, rule: Rule) -> Posted:
    """The fourth, as one exact action; the fee is collected, and retired under its own name, so that its report finds it."""
    payment = ledger.transaction("loan-1/payment/1", "2018-01-01T12:00:00Z")
    payment.issue("usd", 11_000, destination="alice", action_tags={"type": "loan_payment_funds"})
    payment.transfer("usd", 11_000, source="alice", destination="processing", action_tags={"type": "loan_payment"})
    payment.distribute(
        "usd",
        11_000,
        source="processing",
        over_flavor_id="loan1",
        over_where="tags.installment=$1",
        over_params=[1],
        fee=(1, 100),
        fee_destination="fees",
        rule=rule,
        action_tags={"type": "loan_repayment"},
    )
    payment.retire("usd", 111 if rule == "seed_floor" else 110, source="fees", action_tags={"type": "company_fee"})
    return payment.transact()


def pay_by_hand(ledger: Ledger) -> Posted:
    """The fourth, action by action as the guide has it: in whole numbers, and guarded, so that a sale in between pays nobody wrong."""
    owned = ledger.tokens.sum("flavorId=$1 AND tags.installment=$2", ["loan1", 1], group_by=["accountId"])
    total = sum(row.amount for row in owned)
    payment = ledger.transaction("loan-1/payment/1", "2018-01-01T12:00:00Z")
    payment.issue("usd", 11_000, destination="alice", action_tags={"type": "loan_payment_funds"})
    payment.transfer("usd", 11_000, source="alice", destination="processing", action_tags={"type": "loan_payment"})
    fee = 11_000
    for row in owned:
        owner, net = row.group["accountId"], row.amount * 11_000 * 99 // (total * 100)
        fee -= net
        gross = row.amount * 11_000 // total
        payment.expect("flavorId=$1 AND tags.installment=$2 AND accountId=$3", ["loan1", 1, owner], amount=row.amount)
        payment.retire("loan1", gross, source=owner, where="tags.installment=$1", params=[1], action_tags={"type": "loan_repayment"})
        payment.transfer("usd", net, source="processing", destination=owner, action_tags={"type": "loan_repayment"})
    payment.retire("usd", fee, source="processing", action_tags={"type": "company_fee"})
    return payment.transact()


def withdraw(ledger: Ledger, amount: int = 5_000, wire: str = "44444") -> Posted:
    tags = {"type": "investor_withdrawal"}
    return ledger.transaction(f"wire-{wire}", "2018-01-02T00:00:00Z").retire("usd", amount, source="investor1", action_tags=tags).transact()


# The four queries


def portfolio(ledger: Ledger, investor: str) -> dict[str, int]:
    rows = ledger.tokens.sum("accountId=$1 AND flavorTags.type=$2", [investor, "loan"], ["flavorId"])
    return {row.group["flavorId"]: row.amount for row in rows}


def owed(ledger: Ledger, borrower: str) -> dict[tuple[str, str], int]:
    rows = ledger.tokens.sum("flavorTags.borrower_id=$1", [borrower], ["flavorId", "tags.due_date"])
    return {(row.group["flavorId"], row.group["tags.due_date"]): row.amount for row in rows}


def cash(ledger: Ledger) -> dict[str, int]:
    rows = ledger.tokens.sum("accountTags.type=$1 AND flavorTags.type=$2", ["investor", "currency"], ["accountId", "flavorId"])
    return {row.group["accountId"]: row.amount for row in rows}


def fees(ledger: Ledger, window: tuple[str, str] = JANUARY) -> int:
    [row] = ledger.actions.sum("tags.type=$1 AND timestamp >= $2 AND timestamp < $3", ["company_fee", *window])
    return row.amount


def held(ledger: Ledger, account: str, flavor: str = "usd", **more: Any) -> int:
    [row] = ledger.tokens.sum("accountId=$1 AND flavorId=$2", [account, flavor], **more)
    return row.amount
