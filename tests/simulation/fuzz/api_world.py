"""A marketplace that has something of everything, on the stores of AWS: what the requests of the fuzzer meet."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bourse.assessment.aurora import AuroraTables
from bourse.assets.memory_versions import MemoryChunks
from bourse.assets.version_assets import version_assets
from bourse.aws.postgres import Database
from bourse.ledger.aurora import AuroraLedger
from bourse.parties.aurora import AuroraParties
from bourse.trading.aurora import AuroraPortfolios

from tests.assets.version_builders import chunk, loan
from tests.functions.api import CLOCK, Apis
from tests.functions.aws_stores import aws_stores
from tests.functions.test_apis import DEPOSIT, PORTFOLIO, PRODUCT
from tests.simulation.fuzz.aim import Names

DUE = "2018-02-01T00:00:00Z"
_ACCOUNTS = ["ada", "cash/ben", "desk"]
_FLAVORS = ["usd", "loan1"]
_FILTERS = ["", "account_id = 'ada'", "tags.due_date:time <= '2018-03-01T00:00:00Z'", "tags.n = $1", "actions(amount > 1)"]
_PARAMS: list[Any] = [[], [1], ["ada"], [True]]
_TIMES = [DUE, "2026-01-04T00:00:00Z"]
NAMES: Names = {
    **dict.fromkeys(("account_id", "source", "destination", "advance_from", "fee_destination", "retire_to", "pay_to", "rest_to"), _ACCOUNTS),
    **dict.fromkeys(("effective_at", "known_at", "from", "to", "since", "until", "at", "valid_from", "previous_until"), _TIMES),
    "flavor_id": _FLAVORS,
    "over_flavor_id": _FLAVORS,
    "filter": _FILTERS,
    "over_filter": _FILTERS,
    "params": _PARAMS,
    "over_params": _PARAMS,
    "investor_id": ["ada"],
    "originator_id": ["ada"],
    "amount": [1, 10, 2**63 - 1],
    "group_by": [["account_id"], ["flavor_id", "tags.due_date"], ["month(timestamp)"], ["tags"]],
    "order": ["fifo", "lifo", "pro_rata", "tags.due_date"],
    "having": [[{"of": "count", "op": ">", "value": 0}]],
    "txn_id": ["t-1", "t-2", "new"],
    "hold_id": ["h-1", "h-2"],
    "feed_id": ["all"],
    "name": ["owed", "Ada"],
    "template_id": ["deposit"],
    "values": [{"note": "n", "amount": 5}],
    "key_id": ["treasurer"],
    "key_ids": [[], ["treasurer"]],
    "portfolio_id": ["income"],
    "loan_id": ["L-1"],
    "product_id": ["consumer"],
    "currency": ["USD"],
    "kind": ["risk_classes"],
    "rows": [[{"when": [{"field": "grade", "op": "in", "labels": ["C2"]}], "then": {"risk_class": "B"}}, {"then": {"risk_class": "F"}}]],
}
"""What is there, and what is nearly there."""

_KEY = {
    "key_id": "treasurer",
    "algorithm": "ed25519",
    "public_key": "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
    "valid_from": "2018-01-01T00:00:00Z",
}
_ISSUE: dict[str, Any] = {
    "type": "issue",
    "flavor_id": "usd",
    "amount": 1_000,
    "destination": "ada",
    "token_tags": {"n": 1},
    "action_tags": {"type": "deposit"},
}
_TRANSACTIONS: tuple[dict[str, Any], ...] = (
    {
        "txn_id": "t-1",
        "effective_at": "2018-01-01T00:00:00Z",
        "actions": [_ISSUE, {**_ISSUE, "flavor_id": "loan1", "token_tags": {"n": 1, "due_date": DUE}}],
    },
    {
        "txn_id": "t-2",
        "effective_at": "2018-01-02T00:00:00Z",
        "actions": [
            {"type": "transfer", "flavor_id": "usd", "amount": 10, "source": "ada", "destination": "cash/ben"},
            {"type": "reserve", "hold_id": "h-1", "flavor_id": "usd", "amount": 5, "source": "ada", "expires_at": "2030-01-01T00:00:00Z"},
        ],
    },
)
_TEMPLATE = {
    "template_id": "deposit",
    "version": 1,
    "parameters": {"note": "text", "amount": "amount"},
    "document": {
        "actions": [{"type": "issue", "flavor_id": "usd", "amount": {"$": "amount"}, "destination": "ada", "action_tags": {"note": {"$": "note"}}}],
    },
}


@contextmanager
def market(database: Database, audience: str, *, on_aws: bool) -> Iterator[Apis]:
    """The three APIs over what this audience can ask for. `on_aws`: uploads, loans and offers are in DynamoDB and S3, else in memory."""
    stores: dict[str, Any] = {
        "parties": AuroraParties(database),
        "ledger": AuroraLedger(database),
        "tables": AuroraTables(database),
        "trading": AuroraPortfolios(database),
    }
    with aws_stores() if on_aws else _nothing() as more:
        apis = Apis.on(database, **stores, **more)
        _furnish(apis, audience)
        yield apis


@contextmanager
def _nothing() -> Iterator[dict[str, Any]]:
    yield {}


def _furnish(apis: Apis, audience: str) -> None:
    def asked(who: str, method: str, path: str, body: object = None) -> Any:
        answer = apis.call(who, method, path, body)
        assert answer.status == 200, (path, answer)
        return answer.body

    asked("operator", "POST", "/v1/products/consumer/versions", PRODUCT)
    asked("operator", "POST", "/v1/investors", {"investor_id": "ada", "name": "Ada"})
    asked("operator", "POST", "/v1/originators", {"originator_id": "ada", "name": "Ada", "product_id": "consumer"})
    if audience == "originator":
        asked("originator", "POST", "/v1/uploads", {})
        version_assets(chunk(loan("L-1"), tenant="t1", originator="ada"), versions=apis.versions, chunks=MemoryChunks(), clock=CLOCK)
        return
    asked("operator", "POST", "/v1/deposits", DEPOSIT)
    if audience == "investor":
        asked("investor", "POST", "/v1/portfolios", PORTFOLIO)
        return
    books = "/v1/ledger"
    asked("operator", "POST", f"{books}/keys", _KEY)
    for flavor in ("usd", "loan1"):
        asked("operator", "POST", f"{books}/flavors", {"flavor_id": flavor, "tags": {"type": flavor}})
    for account in ("ada", "cash/ben", "desk"):
        asked("operator", "POST", f"{books}/accounts", {"account_id": account, "tags": {"type": "investor"}})
    for transaction in _TRANSACTIONS:
        asked("operator", "POST", f"{books}/transactions", transaction)
    asked("operator", "PUT", f"{books}/feeds/all", {"kind": "actions", "start": "beginning"})
    asked("operator", "PUT", f"{books}/sums/owed", {"filter": "flavor_id = 'loan1'", "group_by": ["account_id"]})
    asked("operator", "POST", f"{books}/templates", _TEMPLATE)
