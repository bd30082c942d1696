"""HTTPS requests of originators -> [slots, versions, offers, ledger] -> answers; nothing is said to other functions"""

from functools import cache

from bourse.assets.dynamodb_uploads import DynamoUploads
from bourse.assets.dynamodb_versions import DynamoVersions
from bourse.assets.s3 import S3Objects
from bourse.aws.api import Api
from bourse.aws.health import with_health
from bourse.aws.postgres import Database
from bourse.aws.routes.originator import WHOLES, OriginatorPorts, add_originator_routes
from bourse.clock import SystemClock
from bourse.ledger.aurora import AuroraLedger
from bourse.matching.dynamodb import DynamoOffers

database = cache(Database.from_env)
ports = OriginatorPorts(
    uploads=cache(DynamoUploads.from_env),
    objects=cache(S3Objects.from_env),
    versions=cache(DynamoVersions.from_env),
    offers=cache(DynamoOffers.from_env),
    ledger=cache(lambda: AuroraLedger(database())),
    clock=SystemClock,
)
handler = with_health(add_originator_routes(Api("originator", WHOLES), ports), database)
