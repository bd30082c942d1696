"""RecordsRead -> [versions, pipeline] -> AssetsVersioned | OffersWithdrawn | LoansClosed"""

from bourse.assets.dynamodb_versions import DynamoChunks, DynamoVersions
from bourse.assets.events import RecordsRead
from bourse.assets.version_assets import version_assets
from bourse.aws.worker import queue_worker

handler = queue_worker({RecordsRead: version_assets}, versions=DynamoVersions.from_env, chunks=DynamoChunks.from_env)
