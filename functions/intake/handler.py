"""ObjectCreated | UploadReady -> [uploads, pipeline] -> RecordsRead | UploadReady"""

from bourse.assets.dynamodb_uploads import DynamoUploads
from bourse.assets.events import UploadReady
from bourse.assets.read_upload import read_upload
from bourse.assets.s3 import S3Objects
from bourse.assets.take_object import take_object
from bourse.aws.arrivals import Timer, either, object_worker
from bourse.aws.secrets import secret
from bourse.aws.sqs import SqsQueues
from bourse.aws.worker import queue_worker

timer = Timer()
handler = timer.times(
    either(
        objects=object_worker(take_object, "BUCKET_UPLOADS", uploads=DynamoUploads.from_env, objects=S3Objects.from_env),
        messages=queue_worker(
            {UploadReady: read_upload},
            uploads=DynamoUploads.from_env,
            objects=S3Objects.from_env,
            chunk_queue=SqsQueues.from_env,
            hash_secret=lambda: secret("HASH_KEY_SECRET").encode(),
            remaining_ms=lambda: timer.remaining_ms,
        ),
    )
)
