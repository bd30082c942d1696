"""HTTPS requests of investors -> [portfolios, ledger] -> BalancesChanged"""

from functools import cache

from bourse.aws.api import Api
from bourse.aws.health import with_health
from bourse.aws.outbox import flusher
from bourse.aws.postgres import Database
from bourse.aws.routes.investor import InvestorPorts, add_investor_routes
from bourse.aws.settings import collect_seconds
from bourse.aws.sqs import SqsQueues
from bourse.clock import SystemClock
from bourse.ledger.aurora import AuroraLedger
from bourse.parties.aurora import AuroraParties
from bourse.trading.aurora import AuroraPortfolios

database = cache(Database.from_env)
ports = InvestorPorts(
    portfolios=cache(lambda: AuroraPortfolios(database())),
    parties=cache(lambda: AuroraParties(database())),
    ledger=cache(lambda: AuroraLedger(database())),
    clock=SystemClock,
    window_seconds=collect_seconds,
    flush=flusher(database, cache(SqsQueues.from_env)),
)
handler = with_health(add_investor_routes(Api("investor"), ports), database)
