"""every minute -> [uploads, pipeline] -> UploadReady for what S3 did not tell, nobody used, or a lost reader left behind"""

from bourse.assets.dynamodb_uploads import DynamoUploads
from bourse.assets.s3 import S3Objects
from bourse.assets.sweep_uploads import sweep_uploads
from bourse.aws.schedule import schedule_worker

handler = schedule_worker(sweep_uploads, uploads=DynamoUploads.from_env, objects=S3Objects.from_env)
