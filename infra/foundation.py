"""The foundation stack: the keys, the tables, the buckets for snapshots and access logs, the secrets, and the topic alarms go to.

The bucket for uploads is not here but with the function that hears it: S3 takes a notification only when its function is there.
"""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.acknowledge import acknowledge
from infra.stage import Stage

TABLES: Final = {"pipeline": ("pk", "sk"), "versions": ("pk", "sk"), "books": ("pk", "sk"), "offers": ("pk",)}
"""Name -> key attributes, all of them strings."""
ACCESS_LOGS: Final = "access-logs"
ALARMS: Final = "alarms"


class Foundation(cdk.Stack):
    """What every domain stands on and what outlives any of them."""

    def __init__(self, scope: Construct, stage: Stage) -> None:
        super().__init__(
            scope, stage.called("foundation"), description="Bourse: key, tables, snapshots, secrets, alarms", termination_protection=not stage.local
        )
        self._stage: Final = stage
        self.key: Final = self._key()
        self.access_logs: Final = self._access_logs()
        self.snapshots: Final = self._snapshots()
        for name, attributes in TABLES.items():
            self._table(name, attributes)
        self.hash_key: Final = self._secret("hash_key", "Keys the content hashes of loans")
        self.token_key: Final = self._secret("token_key", "Signs and verifies the tokens of callers")
        self.operations_key: Final = self._operations_key()
        self.alarms: Final = self._alarms()
        cdk.CfnOutput(self, "SnapshotsBucket", value=self.snapshots.bucket_name)

    def _key(self) -> kms.Key:
        key = kms.Key(self, "Key", alias=f"alias/{self._stage.called('data')}", enable_key_rotation=True, removal_policy=self._stage.removal)
        logs_of_this_account = f"arn:{cdk.Aws.PARTITION}:logs:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:log-group:*"
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LogGroups",
                principals=[iam.ServicePrincipal(f"logs.{cdk.Aws.REGION}.amazonaws.com")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs_of_this_account}},
            )
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsToTheTopic",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
            )
        )
        return key

    def _access_logs(self) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "AccessLogs",
            bucket_name=self._stage.bucket(ACCESS_LOGS),
            encryption=s3.BucketEncryption.S3_MANAGED,  # S3 delivers access logs to no bucket that asks for a key of ours
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=not self._stage.local,
            lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(400), abort_incomplete_multipart_upload_after=cdk.Duration.days(1))],
            removal_policy=self._stage.removal,
        )
        acknowledge(bucket, "S1", "it holds the access logs of the other buckets; logging itself into itself would never end")
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AccessLogsOfThisAccount",
                principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects("*")],
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
            )
        )
        return bucket

    def _snapshots(self) -> s3.Bucket:
        return s3.Bucket(
            self,
            "Snapshots",
            bucket_name=self._stage.bucket("snapshots"),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=not self._stage.local,
            versioned=True,
            server_access_logs_bucket=s3.Bucket.from_bucket_name(self, "AccessLogsByName", self._stage.bucket(ACCESS_LOGS)),
            server_access_logs_prefix="snapshots/",
            # A book is rebuilt from its journal, so an older snapshot is a shorter way and no record.
            lifecycle_rules=[
                s3.LifecycleRule(noncurrent_version_expiration=cdk.Duration.days(30), abort_incomplete_multipart_upload_after=cdk.Duration.days(1))
            ],
            removal_policy=self._stage.removal,
        )

    def _table(self, name: str, attributes: tuple[str, ...]) -> None:
        # `Table` and not `TableV2`: cdk-nag does not see the latter, and we have no replicas.
        keys = [dynamodb.Attribute(name=attribute, type=dynamodb.AttributeType.STRING) for attribute in attributes]
        dynamodb.Table(
            self,
            f"{name.title()}Table",
            table_name=self._stage.table(name),
            partition_key=keys[0],
            sort_key=keys[1] if len(keys) > 1 else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(point_in_time_recovery_enabled=True),
            deletion_protection=not self._stage.local,
            removal_policy=self._stage.removal,
        )

    def _secret(self, name: str, description: str) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            "".join(word.title() for word in name.split("_")),
            secret_name=self._stage.called(name),
            description=description,
            encryption_key=self.key,
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            removal_policy=self._stage.removal,
        )
        acknowledge(
            secret,
            "SMG4",
            "a new hash key would make every unchanged loan look changed, and a new token key ends every session: both are changed by hand, with a plan",
        )
        return secret

    def _operations_key(self) -> secretsmanager.Secret | kms.CfnKey:
        """What signs the marketplace's postings: a key that never leaves KMS; on the emulator, which has no such keys, one made of a secret."""
        if self._stage.local:
            return self._secret("operations_key", "Signs the marketplace's postings to the books")
        account = iam.PolicyStatement(sid="Account", principals=[iam.AccountRootPrincipal()], actions=["kms:*"], resources=["*"])
        key = kms.CfnKey(
            self,
            "OperationsKey",
            description="Signs the marketplace's postings to the books",
            key_spec="ECC_NIST_EDWARDS25519",
            key_usage="SIGN_VERIFY",
            key_policy=iam.PolicyDocument(statements=[account]),
            pending_window_in_days=30,
        )
        key.apply_removal_policy(self._stage.removal)
        return key

    def _alarms(self) -> sns.Topic:
        topic = sns.Topic(self, "Alarms", topic_name=self._stage.called(ALARMS), master_key=self.key, enforce_ssl=not self._stage.local)
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
            )
        )
        return topic
