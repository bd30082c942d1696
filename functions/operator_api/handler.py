"""HTTPS requests of operators -> [parties, risk tables, ledger] -> BalancesChanged"""

from functools import cache, partial

from bourse.assessment.aurora import AuroraTables
from bourse.assets.dynamodb_uploads import DynamoUploads
from bourse.aws.api import Api
from bourse.aws.health import with_health
from bourse.aws.outbox import flusher
from bourse.aws.postgres import Database
from bourse.aws.routes.operator import OperatorPorts, add_operator_routes
from bourse.aws.secrets import secret
from bourse.aws.settings import collect_seconds
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
    window_seconds=collect_seconds,
    flush=flusher(database, cache(SqsQueues.from_env)),
)
handler = with_health(add_operator_routes(Api("operator"), ports), database)
