"""Least privilege, told by the flow: a function may say what its hops say, reach what they reach, and nothing else."""

import fnmatch

import pytest
from bourse import flow

from tests.infra.templates import Templates, as_list, text

HOPS = {name: [hop for hop in flow.FLOW if hop.function == name] for name in flow.functions()}
AUTHORIZERS = {f"authorize_{hop.source.audience}" for hop in flow.FLOW if isinstance(hop.source, flow.Http)}


def _queues(aws: Templates, function: str, action: str) -> set[str]:
    allowed = aws.allowed(aws.functions()[function])
    return {resource.rsplit(":", 1)[1] for what, resource in allowed if what == action}


def _stores(function: str) -> set[str]:
    return {store for hop in HOPS[function] for store in hop.reaches}


@pytest.mark.parametrize("function", flow.functions())
def test_a_function_may_send_to_exactly_the_queues_that_hear_what_it_says(aws: Templates, function: str) -> None:
    hearing = {flow.queue_hearing(message).name for hop in HOPS[function] for message in hop.says}
    assert _queues(aws, function, "sqs:SendMessage") == {f"bourse-production-{name}.fifo" for name in hearing}
    named = {key for key in aws.functions()[function].properties["Environment"]["Variables"] if key.startswith("QUEUE_")}
    assert named == {f"QUEUE_{name.upper()}_URL" for name in hearing}


@pytest.mark.parametrize("function", flow.functions())
def test_a_function_may_receive_from_exactly_the_queues_it_hears(aws: Templates, function: str) -> None:
    heard = {hop.source.name for hop in HOPS[function] if isinstance(hop.source, flow.Queue)}
    assert _queues(aws, function, "sqs:ReceiveMessage") == {f"bourse-production-{name}.fifo" for name in heard}


def test_functions_that_are_not_on_the_page_say_nothing(aws: Templates) -> None:
    for name in (*AUTHORIZERS, "migrate"):
        assert not [action for action, _ in aws.allowed(aws.functions()[name]) if action.startswith(("sqs:", "s3:", "dynamodb:"))], name


def test_a_version_once_written_is_out_of_every_functions_reach(aws: Templates) -> None:
    changing = {"dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "dynamodb:PartiQLUpdate", "dynamodb:PartiQLDelete"}
    found = [
        (name, action)
        for name, function in aws.functions().items()
        for action, resource in aws.allowed(function)
        if action in changing and resource.endswith("/bourse-production-versions")
    ]
    assert found == []


def test_no_function_deletes_anything_but_the_mark_of_an_open_upload(aws: Templates) -> None:
    patterns = ("dynamodb:BatchWrite*", "dynamodb:PartiQL*", "s3:Delete*", "s3:Put*Policy", "kms:ScheduleKeyDeletion")
    allowed = [(name, action) for name, function in aws.functions().items() for action, _ in aws.allowed(function)]
    assert [(name, action) for name, action in allowed if any(fnmatch.fnmatch(action, pattern) for pattern in patterns)] == []
    for name, function in aws.functions().items():
        for statement in aws.statements(function):
            if "dynamodb:DeleteItem" in as_list(statement["Action"]):
                assert text(statement["Resource"]).endswith("/bourse-production-pipeline"), name
                assert statement["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["OPEN#*"]}}, name


@pytest.mark.parametrize("table", ["pipeline", "versions", "books", "offers"])
def test_a_table_is_reached_by_the_functions_of_the_flow_only(aws: Templates, table: str) -> None:
    store = "book" if table == "books" else table
    expected = {name for name in HOPS if any(reached.split(":")[0] == store for reached in _stores(name))}
    reaching = {
        name
        for name, function in aws.functions().items()
        if any(action.startswith("dynamodb:") and resource.endswith(f"/bourse-production-{table}") for action, resource in aws.allowed(function))
    }
    assert reaching == expected
    assert {name for name, function in aws.functions().items() if f"TABLE_{table.upper()}" in function.properties["Environment"]["Variables"]} == expected


def test_only_intake_reads_uploaded_files_and_only_the_originators_api_signs_them(aws: Templates) -> None:
    reached = {
        (name, action)
        for name, function in aws.functions().items()
        for action, resource in aws.allowed(function)
        if action.startswith("s3:") and "bourse-production-uploads" in resource
    }
    reading = {("intake", action) for action in ("s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket")}
    assert reached == reading | {("originator_api", "s3:PutObject"), ("sweep_uploads", "s3:ListBucket")}


def test_no_action_is_a_wildcard(aws: Templates) -> None:
    for name, function in aws.functions().items():
        assert [action for action, _ in aws.allowed(function) if "*" in action] == [], name


def test_a_wildcard_resource_is_the_objects_of_a_bucket_or_a_network_interface(aws: Templates) -> None:
    for name, function in aws.functions().items():
        wide = {(action, resource) for action, resource in aws.allowed(function) if "*" in resource}
        assert all(
            (resource == "*" and action.startswith("ec2:")) or (resource.startswith("arn:<Partition>:s3:::bourse-") and resource.endswith("/*"))
            for action, resource in wide
        ), name


def test_each_function_has_a_role_of_its_own_without_managed_policies(aws: Templates) -> None:
    roles = [aws.target(function, function.properties["Role"]) for function in aws.functions().values()]
    assert len({(role.stack, role.logical_id) for role in roles}) == len(roles)
    assert [str(role) for role in roles if role.properties.get("ManagedPolicyArns")] == []


def test_no_function_that_reads_uploads_knows_a_secret_of_ours_but_the_hash_key(aws: Templates) -> None:
    for name, function in aws.functions().items():
        allowed = list(aws.allowed(function))
        if any(action == "s3:GetObject" and "uploads" in resource for action, resource in allowed):
            secrets = {resource for action, resource in allowed if action == "secretsmanager:GetSecretValue"}
            assert all("HashKey" in secret for secret in secrets), name


def test_the_token_key_is_read_by_the_authorizers_and_who_issues_tokens(aws: Templates) -> None:
    readers = {
        name
        for name, function in aws.functions().items()
        if any(action == "secretsmanager:GetSecretValue" and "TokenKey" in resource for action, resource in aws.allowed(function))
    }
    assert readers == AUTHORIZERS | {name for name in HOPS if "token_key" in _stores(name)}


def test_the_database_is_reached_as_the_apps_role_by_the_functions_of_the_flow_only(aws: Templates) -> None:
    expected = {name for name in HOPS if "postgres" in _stores(name)}
    users = {name: text for name, function in aws.functions().items() for action, text in aws.allowed(function) if action == "rds-db:connect"}
    assert set(users) == expected
    assert all(user.endswith("/bourse_app") for user in users.values())


def test_what_a_service_may_do_to_us_names_whose_service_it_is(aws: Templates) -> None:
    for permission in aws.of("Lambda::Permission"):
        assert "SourceArn" in permission.properties or "SourceAccount" in permission.properties, str(permission)
    [told_by_s3] = [permission for permission in aws.of("Lambda::Permission") if permission.properties["Principal"] == "s3.amazonaws.com"]
    assert text(told_by_s3.properties["SourceAccount"]) == "<AccountId>"
    assert "bourse-production-uploads" in text(told_by_s3.properties["SourceArn"])


def test_no_queue_bucket_or_topic_is_open_to_another_account(aws: Templates) -> None:
    kinds = ("SQS::QueuePolicy", "S3::BucketPolicy", "SNS::TopicPolicy")
    for policy in (policy for kind in kinds for policy in aws.of(kind)):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                assert "Service" in statement["Principal"], str(policy)
                assert {"aws:SourceAccount"} <= {key for test in statement["Condition"].values() for key in test}, str(policy)
