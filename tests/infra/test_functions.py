"""Every function of the flow is deployed, on arm64, with its layers, its log, its place, and no secret in its environment."""

import json
import re

import pytest
from bourse import flow

from infra.layers import target_of
from infra.sizes import SIZES
from infra.stage import Stage
from tests.infra.templates import ROOT, Resource, Templates, text

AUDIENCES = [hop.source.audience for hop in flow.FLOW if isinstance(hop.source, flow.Http)]
DEPLOYED = {**{name: name for name in flow.functions()}, **{f"authorize_{audience}": "authorize" for audience in AUDIENCES}, "migrate": "migrate"}
"""Deployed name -> folder in functions/."""


def test_the_functions_are_those_of_the_flow_and_the_two_beside_it(aws: Templates) -> None:
    assert set(aws.functions()) == set(DEPLOYED)


@pytest.mark.parametrize("domain", dict.fromkeys(hop.domain for hop in flow.FLOW))
def test_a_hop_is_deployed_in_the_stack_of_its_domain(aws: Templates, domain: str) -> None:
    deployed = {name for name, function in aws.functions().items() if function.stack == f"bourse-production-{domain}"} & set(flow.functions())
    assert deployed == {hop.function for hop in flow.hops_of(domain)}


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_function_runs_on_arm64_with_its_size_its_layers_and_its_log(aws: Templates, name: str) -> None:
    function = aws.functions()[name]
    assert function.properties["Architectures"] == ["arm64"]
    assert function.properties["Runtime"] == "python3.13"
    assert function.properties["Handler"] == "handler.handler"
    size = SIZES[DEPLOYED[name]]
    assert (function.properties["MemorySize"], function.properties["Timeout"]) == (size.memory_mb, size.timeout_s)
    layers = [aws.target(function, layer) for layer in function.properties["Layers"]]
    assert {layer.properties["LayerName"] for layer in layers} == {"bourse-production-dependencies", "bourse-production-bourse"}
    logging = function.properties["LoggingConfig"]
    assert logging["LogFormat"] == "JSON"
    assert aws.target(function, logging["LogGroup"]).properties["LogGroupName"] == f"/aws/lambda/{function.properties['FunctionName']}"


def test_a_layer_is_never_handed_from_stack_to_stack(aws: Templates) -> None:
    exported = [name for template in aws.stacks.values() for name in template.get("Outputs", {}) if "Layer" in name]
    assert exported == []


def test_only_what_lives_as_long_as_the_product_is_exported(aws: Templates) -> None:
    exporting = {stack for stack, template in aws.stacks.items() if any("Export" in output for output in template.get("Outputs", {}).values())}
    assert exporting == {"bourse-production-foundation", "bourse-production-database"}


@pytest.mark.parametrize("name", DEPLOYED)
def test_no_environment_holds_a_secret(aws: Templates, name: str) -> None:
    variables = aws.functions()[name].properties["Environment"]["Variables"]
    assert not [key for key in variables if re.search("PASSWORD|DATABASE_URL|TOKEN$|PRIVATE", key)]
    assert "{{resolve:" not in json.dumps(variables)
    for key, value in variables.items():
        if key.endswith("_SECRET"):
            assert re.fullmatch(r"<import .*(Key|Secret).*>", text(value)), f"{key} names a secret and is none"


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_function_that_reaches_the_database_stands_in_its_network_and_no_other_does(aws: Templates, name: str) -> None:
    function = aws.functions()[name]
    reaches = name == "migrate" or any("postgres" in hop.reaches for hop in flow.FLOW if hop.function == name)
    assert ("VpcConfig" in function.properties) == reaches
    variables = function.properties["Environment"]["Variables"]
    assert ({"DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_USER"} <= set(variables)) == reaches
    assert ("DATABASE_SECRET" in variables) == (name == "migrate"), "only the migration logs in as owner"


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_function_knows_its_stage_and_how_long_changes_are_collected(aws: Templates, name: str) -> None:
    variables = aws.functions()[name].properties["Environment"]["Variables"]
    assert variables["BOURSE_STAGE"] == "production"
    assert variables["COLLECT_SECONDS"] == "30"
    assert variables["POWERTOOLS_SERVICE_NAME"] == DEPLOYED[name]


def test_the_code_of_a_function_is_its_python_and_nothing_else(aws: Templates) -> None:
    for name, function in aws.functions().items():
        asset = aws.folder / f"asset.{function.properties['Code']['S3Key'].removesuffix('.zip')}"
        shipped = {path.relative_to(asset).as_posix() for path in asset.rglob("*") if path.is_file()}
        wanted = {path.name for path in (ROOT / "functions" / DEPLOYED[name]).glob("*.py")}
        assert shipped == wanted, name


def _apis(aws: Templates) -> dict[str, Resource]:
    return {api.properties["Name"].split("-")[2]: api for api in aws.of("ApiGatewayV2::Api")}


def test_each_audience_has_an_api_of_its_own(aws: Templates) -> None:
    assert sorted(_apis(aws)) == sorted(AUDIENCES)


@pytest.mark.parametrize("audience", AUDIENCES)
def test_every_route_with_data_asks_the_authorizer_of_its_audience(aws: Templates, audience: str) -> None:
    api = _apis(aws)[audience]
    routes = {route.properties["RouteKey"]: route for route in aws.of("ApiGatewayV2::Route") if aws.target(route, route.properties["ApiId"]) == api}
    assert {key for key, route in routes.items() if route.properties["AuthorizationType"] == "NONE"} == {"GET /docs", "GET /openapi.json"}
    guarded = routes["ANY /v1/{proxy+}"]
    authorizer = aws.target(guarded, guarded.properties["AuthorizerId"])
    assert authorizer.properties["IdentitySource"] == ["$request.header.Authorization"]
    assert authorizer.properties["EnableSimpleResponses"] is True
    assert authorizer.properties["AuthorizerPayloadFormatVersion"] == "2.0"
    asked = aws.functions()[f"authorize_{audience}"]
    assert f"<{asked.logical_id}.Arn>" in text(authorizer.properties["AuthorizerUri"])
    assert asked.properties["Environment"]["Variables"]["AUDIENCE"] == audience


@pytest.mark.parametrize("audience", AUDIENCES)
def test_an_api_is_limited_and_logged_without_what_was_sent(aws: Templates, audience: str) -> None:
    api = _apis(aws)[audience]
    [stage] = [stage for stage in aws.of("ApiGatewayV2::Stage") if aws.target(stage, stage.properties["ApiId"]) == api]
    limits = stage.properties["DefaultRouteSettings"]
    assert 0 < limits["ThrottlingRateLimit"] <= limits["ThrottlingBurstLimit"]
    logged = json.loads(stage.properties["AccessLogSettings"]["Format"])
    assert logged["tenant"] == "$context.authorizer.tenant"
    assert not [value for value in logged.values() if "header" in value.lower() or "body" in value.lower()]


def test_an_api_gives_up_after_its_function(aws: Templates) -> None:
    for audience in AUDIENCES:
        assert aws.functions()[f"{audience}_api"].properties["Timeout"] < 30


def test_the_clock_starts_what_the_flow_says_and_repeats_no_missed_run(aws: Templates) -> None:
    started = {}
    for rule in aws.of("Events::Rule"):
        [target] = rule.properties["Targets"]
        started[aws.target(rule, target["Arn"]).properties["FunctionName"]] = rule.properties["ScheduleExpression"]
        assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0
    wanted = {hop.function: hop.source.minutes for hop in flow.FLOW if isinstance(hop.source, flow.Every)}
    assert started == {
        f"bourse-production-{name.replace('_', '-')}": f"rate({minutes} minute{'' if minutes == 1 else 's'})" for name, minutes in wanted.items()
    }


def test_the_schema_is_migrated_after_the_database_and_before_any_domain(aws: Templates) -> None:
    artifacts = json.loads((aws.folder / "manifest.json").read_text())["artifacts"]
    assert "bourse-production-database" in artifacts["bourse-production-schema"]["dependencies"]
    for domain in dict.fromkeys(hop.domain for hop in flow.FLOW):
        assert {"bourse-production-foundation", "bourse-production-schema"} <= set(artifacts[f"bourse-production-{domain}"]["dependencies"])
    [trigger] = [resource for resource in aws.resources if resource.type == "Custom::Trigger"]
    assert trigger.stack == "bourse-production-schema"
    assert "<Migrate" in text(trigger.properties["HandlerArn"])


def test_a_functions_code_is_one_artifact_in_every_stage(aws: Templates, local: Templates) -> None:
    """The asset's name is the hash of what is in it. The layers differ only where the emulator runs on another Python."""

    def code(templates: Templates) -> dict[str, str]:
        ours = [function.properties for function in templates.of("Lambda::Function") if "FunctionName" in function.properties]  # CDK has one of its own
        return {function["FunctionName"].split("-", 2)[2]: function["Code"]["S3Key"] for function in ours}

    shared = code(local)
    assert {name: key for name, key in code(aws).items() if name in shared} == shared
    assert target_of(Stage("staging")) == target_of(Stage("production"))


# "LEAST({DBInstanceClassMemory/9531392}, 5000)", and 2,000 for a cluster that may shrink below 1 ACU; an ACU has 2 GiB.
_CONNECTION_BYTES, _CONNECTIONS_MAX, _KEPT_FOR_APIS = 9_531_392, 2_000, 400


def test_the_workers_together_never_open_more_connections_than_the_database_takes(aws: Templates) -> None:
    """An environment holds one connection, and there are no more environments than the queue's mapping lets run at once."""
    workers = {hop.function for hop in flow.FLOW if isinstance(hop.source, flow.Queue) and "postgres" in hop.reaches}
    opened = sum(SIZES[worker].concurrency_max for worker in workers)
    [cluster] = aws.of("RDS::DBCluster")
    least_memory = cluster.properties["ServerlessV2ScalingConfiguration"]["MaxCapacity"] * 2 * 1024**3
    assert opened <= min(least_memory // _CONNECTION_BYTES, _CONNECTIONS_MAX) - _KEPT_FOR_APIS
