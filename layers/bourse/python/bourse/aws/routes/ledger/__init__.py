"""The general ledger's API for the operator, under /v1/ledger/: one module a noun."""

from bourse.aws.api import Api
from bourse.aws.routes.ledger.accounts import add_account_routes
from bourse.aws.routes.ledger.actions import add_action_routes
from bourse.aws.routes.ledger.explain import add_explain_routes
from bourse.aws.routes.ledger.feeds import add_feed_routes
from bourse.aws.routes.ledger.flavors import add_flavor_routes
from bourse.aws.routes.ledger.holds import add_hold_routes
from bourse.aws.routes.ledger.keys import add_key_routes
from bourse.aws.routes.ledger.ports import WHOLES, LedgerPorts
from bourse.aws.routes.ledger.statements import add_statement_routes
from bourse.aws.routes.ledger.sums import add_sum_routes
from bourse.aws.routes.ledger.templates import add_template_routes
from bourse.aws.routes.ledger.tokens import add_token_routes
from bourse.aws.routes.ledger.transactions import add_transaction_routes

__all__ = ["WHOLES", "LedgerPorts", "add_ledger_routes"]


def add_ledger_routes(api: Api, ports: LedgerPorts) -> Api:
    """All routes of the general ledger."""
    add_transaction_routes(api, ports)
    add_account_routes(api, ports)
    add_flavor_routes(api, ports)
    add_token_routes(api, ports)
    add_explain_routes(api, ports)
    add_action_routes(api, ports)
    add_hold_routes(api, ports)
    add_statement_routes(api, ports)
    add_feed_routes(api, ports)
    add_sum_routes(api, ports)
    add_key_routes(api, ports)
    add_template_routes(api, ports)
    return api
