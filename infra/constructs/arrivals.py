"""The bucket of a hop that hears arriving objects: what comes in is written once, kept, and told to the function."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.foundation import ACCESS_LOGS
from infra.stage import Stage


class Arrivals(Construct):
    """A bucket that tells a function of every object created.

    The notification is a property of the bucket, not CDK's custom resource for it: that one is a Lambda function of its own with
    rights on all buckets, and the emulator would need it too. So the permission must come first, and names the bucket by its name.
    """

    def __init__(self, scope: Construct, name: str, *, function: lambda_.Function, stage: Stage, key: kms.IKey) -> None:
        super().__init__(scope, f"{name.title()}Bucket")
        self._stage: Final = stage
        permission = lambda_.CfnPermission(
            self,
            "MayTell",
            action="lambda:InvokeFunction",
            function_name=function.function_name,
            principal="s3.amazonaws.com",
            source_account=cdk.Aws.ACCOUNT_ID,
            source_arn=stage.bucket_arn(name),
        )
        self.bucket: Final = self._bucket(name, key)
        self.bucket.node.add_dependency(permission)
        bare = self.bucket.node.default_child
        assert isinstance(bare, s3.CfnBucket)
        bare.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            lambda_configurations=[s3.CfnBucket.LambdaConfigurationProperty(event="s3:ObjectCreated:*", function=function.function_arn)]
        )
        cdk.CfnOutput(self, "Name", value=self.bucket.bucket_name)

    def _bucket(self, name: str, key: kms.IKey) -> s3.Bucket:
        rule = s3.LifecycleRule(
            abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
            transitions=[
                s3.Transition(storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL, transition_after=cdk.Duration.days(90)),
                s3.Transition(storage_class=s3.StorageClass.DEEP_ARCHIVE, transition_after=cdk.Duration.days(365)),
            ],
            noncurrent_version_transitions=[
                s3.NoncurrentVersionTransition(storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL, transition_after=cdk.Duration.days(30))
            ],
        )
        return s3.Bucket(
            self,
            "Bucket",
            bucket_name=self._stage.bucket(name),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=not self._stage.local,
            versioned=True,
            server_access_logs_bucket=s3.Bucket.from_bucket_name(self, "AccessLogs", self._stage.bucket(ACCESS_LOGS)),
            server_access_logs_prefix=f"{name}/",
            lifecycle_rules=[rule],  # a raw file is the backup and is kept for ever, in colder and colder storage
            removal_policy=self._stage.removal,
        )
