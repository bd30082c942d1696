"""The bucket of a hop that hears arriving objects: what comes in is written once, kept, and told to the function."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.alarm import alarm
from infra.constructs.site import Site
from infra.foundation import ACCESS_LOGS


class Arrivals(Construct):
    """A bucket that tells a function of every object created.

    The notification is a property of the bucket, not CDK's custom resource for it: that one is a Lambda function of its own with
    rights on all buckets, and the emulator would need it too. So the permission must come first, and names the bucket by its name.
    """

    def __init__(self, scope: Construct, name: str, *, function: lambda_.Function, site: Site) -> None:
        super().__init__(scope, f"{name.title()}Bucket")
        self._site: Final = site
        permission = lambda_.CfnPermission(
            self,
            "MayTell",
            action="lambda:InvokeFunction",
            function_name=function.function_name,
            principal="s3.amazonaws.com",
            source_account=cdk.Aws.ACCOUNT_ID,
            source_arn=site.stage.bucket_arn(name),
        )
        self.bucket: Final = self._bucket(name)
        self._write_once()
        self.bucket.node.add_dependency(permission)
        bare = self.bucket.node.default_child
        assert isinstance(bare, s3.CfnBucket)
        bare.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            lambda_configurations=[s3.CfnBucket.LambdaConfigurationProperty(event="s3:ObjectCreated:*", function=function.function_arn)]
        )
        alarm(self, "FailedAlarm", function.metric_errors(), above=0, says=f"an object of {name} could not be read", topic=site.alarms, statistic="Sum")
        cdk.CfnOutput(cdk.Stack.of(self), f"{name.title()}BucketName", value=self.bucket.bucket_name)

    def _write_once(self) -> None:
        """What is there is not written again and not removed, whoever asks and whatever a role of his allows.

        A form (POST) cannot say If-None-Match; should one write a key again, the object that was claimed is still there as its
        version, and that one is read. Object Lock is not used: it would refuse every presigned request without a checksum.
        """
        everything, anybody = [self.bucket.arn_for_objects("*")], [iam.AnyPrincipal()]
        unconditional = {
            "Null": {"s3:if-none-match": "true"},
            "StringNotEquals": {"s3:authType": "POST"},
            "Bool": {"s3:ObjectCreationOperation": "true"},  # parts of a multipart upload take no such header, their completion does
        }
        for sid, actions, conditions in (
            ("WrittenOnce", ["s3:PutObject"], unconditional),
            ("KeptForEver", ["s3:DeleteObject", "s3:DeleteObjectVersion"], {}),
        ):
            self.bucket.add_to_resource_policy(
                iam.PolicyStatement(sid=sid, effect=iam.Effect.DENY, principals=anybody, actions=actions, resources=everything, conditions=conditions)
            )

    def _bucket(self, name: str) -> s3.Bucket:
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
            bucket_name=self._site.stage.bucket(name),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._site.key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=not self._site.stage.local,
            versioned=True,
            server_access_logs_bucket=s3.Bucket.from_bucket_name(self, "AccessLogs", self._site.stage.bucket(ACCESS_LOGS)),
            server_access_logs_prefix=f"{name}/",
            lifecycle_rules=[rule],  # a raw file is the backup and is kept for ever, in colder and colder storage
            removal_policy=self._site.stage.removal,
        )
