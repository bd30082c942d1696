"""What holds data is encrypted with our key, restorable, kept when its stack goes, and closed to the world."""

import json

from infra.foundation import TABLES
from tests.infra.templates import Templates, text


def _key(value: object) -> bool:
    """Whether this is our key, made here or imported."""
    return "Key" in text(value) and ("<Key" in text(value) or "ExportsOutputFnGetAttKey" in text(value))


def test_every_table_is_there_with_its_keys(aws: Templates) -> None:
    found = {table.properties["TableName"]: [key["AttributeName"] for key in table.properties["KeySchema"]] for table in aws.of("DynamoDB::Table")}
    assert found == {f"bourse-production-{name}": list(keys) for name, keys in TABLES.items()}
    assert not [resource for resource in aws.resources if resource.type == "AWS::DynamoDB::GlobalTable"], "cdk-nag does not see those"


def test_every_table_can_be_restored_to_any_second_and_not_be_deleted(aws: Templates) -> None:
    for table in aws.of("DynamoDB::Table"):
        assert table.properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True, str(table)
        assert table.properties["SSESpecification"]["SSEEnabled"] is True, str(table)
        assert _key(table.properties["SSESpecification"]["KMSMasterKeyId"]), str(table)
        assert table.properties["DeletionProtectionEnabled"] is True, str(table)
        assert table.properties["BillingMode"] == "PAY_PER_REQUEST", str(table)


def test_what_holds_data_outlives_its_stack(aws: Templates) -> None:
    kinds = ("DynamoDB::Table", "S3::Bucket", "KMS::Key", "SecretsManager::Secret", "RDS::DBCluster")
    for resource in (resource for kind in kinds for resource in aws.of(kind)):
        assert resource.whole["DeletionPolicy"] == "Retain", str(resource)
        assert resource.whole["UpdateReplacePolicy"] == "Retain", str(resource)


def test_every_bucket_is_closed_and_owned_by_us(aws: Templates) -> None:
    closed = {"BlockPublicAcls": True, "BlockPublicPolicy": True, "IgnorePublicAcls": True, "RestrictPublicBuckets": True}
    policies = [policy for policy in aws.of("S3::BucketPolicy") if "aws:SecureTransport" in json.dumps(policy.whole)]
    guarded = {aws.target(policy, policy.properties["Bucket"]).logical_id for policy in policies}
    for bucket in aws.of("S3::Bucket"):
        assert bucket.properties["PublicAccessBlockConfiguration"] == closed, str(bucket)
        assert bucket.properties["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}], str(bucket)
        assert bucket.logical_id in guarded, str(bucket)
        rules = bucket.properties["LifecycleConfiguration"]["Rules"]
        assert any("AbortIncompleteMultipartUpload" in rule for rule in rules), str(bucket)


def test_buckets_with_data_are_versioned_logged_and_encrypted_with_our_key(aws: Templates) -> None:
    for bucket in aws.of("S3::Bucket"):
        [rule] = bucket.properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        if "access-logs" in text(bucket.properties["BucketName"]):
            assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256", "S3 delivers access logs to no other"
            continue
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms", str(bucket)
        assert _key(rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"]), str(bucket)
        assert rule["BucketKeyEnabled"] is True, str(bucket)
        assert bucket.properties["VersioningConfiguration"] == {"Status": "Enabled"}, str(bucket)
        assert "access-logs" in text(bucket.properties["LoggingConfiguration"]["DestinationBucketName"]), str(bucket)


def test_a_raw_upload_is_kept_for_ever_in_colder_storage(aws: Templates) -> None:
    [uploads] = [bucket for bucket in aws.of("S3::Bucket") if "uploads" in text(bucket.properties["BucketName"])]
    rules = uploads.properties["LifecycleConfiguration"]["Rules"]
    assert not [rule for rule in rules if "ExpirationInDays" in rule or "NoncurrentVersionExpiration" in rule]
    assert [step["StorageClass"] for rule in rules for step in rule.get("Transitions", ())] == ["GLACIER_IR", "DEEP_ARCHIVE"]


def test_an_arriving_object_is_told_to_intake_which_may_be_told(aws: Templates) -> None:
    [uploads] = [bucket for bucket in aws.of("S3::Bucket") if "uploads" in text(bucket.properties["BucketName"])]
    [told] = uploads.properties["NotificationConfiguration"]["LambdaConfigurations"]
    assert told["Event"] == "s3:ObjectCreated:*"
    assert aws.target(uploads, told["Function"]).properties["FunctionName"] == "bourse-production-intake"
    permissions = [aws.target(uploads, {"Ref": name}).type for name in uploads.whole["DependsOn"]]
    assert "AWS::Lambda::Permission" in permissions, "S3 refuses a notification to a function that does not let it in"


def test_the_key_rotates(aws: Templates) -> None:
    signing = {"ECC_NIST_EDWARDS25519"}  # KMS rotates no key that signs: the register of keys does, by versions
    kept = [key for key in aws.of("KMS::Key") if key.properties.get("KeySpec") not in signing]
    assert [key.properties["EnableKeyRotation"] for key in kept] == [True]


def test_what_signs_for_the_marketplace_never_leaves_kms_and_is_used_by_those_who_post(aws: Templates) -> None:
    [key] = [one for one in aws.of("KMS::Key") if one.properties.get("KeySpec") == "ECC_NIST_EDWARDS25519"]
    assert key.properties["KeyUsage"] == "SIGN_VERIFY"
    signers = {name for name, one in aws.functions().items() if "OPERATIONS_KMS_KEY" in one.properties["Environment"]["Variables"]}
    assert signers == {"settle_investments", "operator_api"}


def test_a_secret_is_made_by_aws_and_never_written_down(aws: Templates) -> None:
    for secret in aws.of("SecretsManager::Secret"):
        assert "SecretString" not in secret.properties, str(secret)
        assert secret.properties["GenerateSecretString"]["PasswordLength"] >= 32, str(secret)
        assert _key(secret.properties["KmsKeyId"]), str(secret)


def test_every_log_forgets_and_is_encrypted_with_our_key(aws: Templates) -> None:
    for group in aws.of("Logs::LogGroup"):
        assert 30 <= group.properties["RetentionInDays"] <= 400, str(group)
        assert _key(group.properties["KmsKeyId"]), str(group)


def test_aurora_is_encrypted_protected_backed_up_and_entered_with_tokens_over_tls(aws: Templates) -> None:
    [cluster] = aws.of("RDS::DBCluster")
    assert cluster.properties["StorageEncrypted"] is True
    assert _key(cluster.properties["KmsKeyId"])
    assert cluster.properties["EnableIAMDatabaseAuthentication"] is True
    assert cluster.properties["DeletionProtection"] is True
    assert cluster.properties["BackupRetentionPeriod"] == 35
    assert cluster.properties["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 0.5, "MaxCapacity": 16}
    assert cluster.properties["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in cluster.properties
    parameters = aws.target(cluster, cluster.properties["DBClusterParameterGroupName"]).properties["Parameters"]
    assert parameters["rds.force_ssl"] == "1"
    assert parameters["log_parameter_max_length"] == "0", "what statements carry would be in the log"
    assert {instance.properties["PubliclyAccessible"] for instance in aws.of("RDS::DBInstance")} == {False}
    assert len(aws.of("RDS::DBInstance")) == 2, "one takes over when the other fails"


def test_the_network_leads_nowhere_but_to_services_of_aws(aws: Templates) -> None:
    types = {resource.type for resource in aws.resources}
    assert not types & {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route"}
    services = {text(endpoint.properties["ServiceName"]).split(".")[-1] for endpoint in aws.of("EC2::VPCEndpoint")}
    assert services == {"s3", "dynamodb", "sqs", "secretsmanager", "kms"}
    inline = [str(group) for group in aws.of("EC2::SecurityGroup") if "SecurityGroupIngress" in group.properties]
    assert inline == [], "who comes in is named by group, never by address"
    assert all("CidrIp" not in rule.properties for rule in aws.of("EC2::SecurityGroupIngress"))


def test_an_upload_is_written_once_and_kept_for_ever_whoever_asks(aws: Templates) -> None:
    [policy] = [one for one in aws.of("S3::BucketPolicy") if "WrittenOnce" in json.dumps(one.whole)]
    assert "uploads" in text(aws.target(policy, policy.properties["Bucket"]).properties["BucketName"])
    denied = {one["Sid"]: one for one in policy.properties["PolicyDocument"]["Statement"] if "Sid" in one}
    assert denied["WrittenOnce"]["Effect"] == denied["KeptForEver"]["Effect"] == "Deny"
    assert denied["WrittenOnce"]["Principal"] == denied["KeptForEver"]["Principal"] == {"AWS": "*"}
    assert denied["WrittenOnce"]["Action"] == "s3:PutObject"
    assert denied["WrittenOnce"]["Condition"]["Null"] == {"s3:if-none-match": "true"}
    assert set(denied["KeptForEver"]["Action"]) == {"s3:DeleteObject", "s3:DeleteObjectVersion"}
    assert "Condition" not in denied["KeptForEver"]
