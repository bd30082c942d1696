"""HTTPS requests of operators -> [parties, risk tables, ledger] -> BalancesChanged"""

from functools import cache, partial

from bourse.assessment.aurora import AuroraTables
from bourse.assets.dynamodb_uploads import DynamoUploads
from bourse.aws.api import Api
from bourse.aws.health import with_health
from bourse.aws.outbox import flusher
from bourse.aws.postgres import Database
from bourse.aws.routes.ledger import WHOLES, LedgerPorts, add_ledger_routes
from bourse.aws.routes.operator import OperatorPorts, add_operator_routes
from bourse.aws.secrets import secret
from bourse.aws.sqs import SqsQueues
from bourse.clock import SystemClock
from bourse.ledger.aurora import AuroraLedger
from bourse.parties.aurora import AuroraParties

database = cache(Database.from_env)
ports = OperatorPorts(
    parties=cache(lambda: AuroraParties(database())),
    ledger=cache(lambda: AuroraLedger.signing(database())),
    tables=cache(lambda: AuroraTables(database())),
    uploads=cache(DynamoUploads.from_env),
    token_keys=partial(secret, "TOKEN_KEY_SECRET"),
    clock=SystemClock,
    flush=flusher(database, cache(SqsQueues.from_env)),
)
api = add_ledger_routes(add_operator_routes(Api("operator", WHOLES), ports), LedgerPorts.of(database))
handler = with_health(api, database)
