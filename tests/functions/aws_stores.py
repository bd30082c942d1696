"""What the APIs keep in DynamoDB and S3, on moto."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bourse.assets.dynamodb_uploads import DynamoUploads
from bourse.assets.dynamodb_versions import DynamoVersions
from bourse.assets.s3 import S3Objects
from bourse.aws import clients
from bourse.matching.dynamodb import DynamoOffers
from moto import mock_aws

from tests.assets.version_builders import make_tables

_ACCOUNT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}


@contextmanager
def aws_stores() -> Iterator[dict[str, Any]]:
    """The stores by the names `Apis` has for them, empty."""
    clients.client.cache_clear()
    with patch.dict(os.environ, _ACCOUNT), mock_aws():
        dynamodb, s3 = clients.client("dynamodb"), clients.client("s3")
        make_tables(dynamodb, "pipeline", "versions")
        keys = {"KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}], "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}]}
        dynamodb.create_table(TableName="offers", BillingMode="PAY_PER_REQUEST", **keys)
        s3.create_bucket(Bucket="uploads", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield {
            "uploads": DynamoUploads(dynamodb, "pipeline"),
            "objects": S3Objects(s3, "uploads"),
            "versions": DynamoVersions(dynamodb, "pipeline", "versions"),
            "offers": DynamoOffers(dynamodb, "offers"),
        }
    clients.client.cache_clear()
