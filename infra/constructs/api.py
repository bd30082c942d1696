"""The HTTP API of one audience: every route asks the authorizer, but for the pages that describe the API."""

import json
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.acknowledge import acknowledge
from infra.constructs.alarm import alarm
from infra.constructs.site import Site

_OPEN_PATHS: Final = ("/docs", "/openapi.json")
_LOGGED: Final = {
    "request_id": "$context.requestId",
    "at": "$context.requestTimeEpoch",
    "tenant": "$context.authorizer.tenant",
    "party": "$context.authorizer.party",
    "address": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "status": "$context.status",
    "latency_ms": "$context.responseLatency",
    "error": "$context.error.message",
    "authorizer_error": "$context.authorizer.error",
}
"""A line of the access log: who asked for what, and nothing of what was sent or answered."""
_REQUESTS_PER_SECOND: Final = 200
_BURST: Final = 400
_BROKEN_MAX: Final = 5
"""Answers of 5xx a minute that nobody is woken for."""


class AudienceApi(Construct):
    """All of /v1 goes to one function, which routes; the gateway limits, logs and refuses strangers."""

    def __init__(self, scope: Construct, audience: str, *, function: lambda_.IFunction, authorizer: lambda_.IFunction, site: Site) -> None:
        super().__init__(scope, f"{audience.title()}Gateway")
        self._site: Final = site
        name = site.stage.called(audience, "api")
        self.api: Final = apigateway.HttpApi(self, "Api", api_name=name, description=f"Bourse, for {audience}s", create_default_stage=False)
        integration = integrations.HttpLambdaIntegration("Function", function)
        guard = authorizers.HttpLambdaAuthorizer(
            "Authorizer",
            authorizer,
            authorizer_name=site.stage.called("authorize", audience),
            identity_source=["$request.header.Authorization"],
            response_types=[authorizers.HttpLambdaResponseType.SIMPLE],
            results_cache_ttl=cdk.Duration.minutes(1),  # a token that is called back works at most this much longer
        )
        methods = [apigateway.HttpMethod.ANY]
        self.api.add_routes(path="/v1/{proxy+}", methods=methods, integration=integration, authorizer=guard)
        for path in _OPEN_PATHS:
            for route in self.api.add_routes(path=path, methods=[apigateway.HttpMethod.GET], integration=integration):
                acknowledge(route, "APIG4", "the description of the API is for everybody to read; it answers with no data of anybody")
        self._open_stage(name)
        broken = self.api.metric_server_error()
        alarm(self, "BrokenAlarm", broken, above=_BROKEN_MAX, says=f"the API of {audience}s answers with 5xx", topic=site.alarms, statistic="Sum")
        cdk.CfnOutput(cdk.Stack.of(self), f"{audience.title()}ApiUrl", value=self.api.api_endpoint)
        cdk.CfnOutput(cdk.Stack.of(self), f"{audience.title()}ApiId", value=self.api.api_id)

    def _open_stage(self, name: str) -> None:
        access = logs.LogGroup(
            self,
            "AccessLogs",
            log_group_name=f"/aws/http-api/{name}",
            retention=logs.RetentionDays.ONE_YEAR,
            encryption_key=self._site.key,
            removal_policy=self._site.stage.removal,
        )
        served = apigateway.HttpStage(
            self,
            "Stage",
            http_api=self.api,
            stage_name="$default",
            auto_deploy=True,
            throttle=apigateway.ThrottleSettings(rate_limit=_REQUESTS_PER_SECOND, burst_limit=_BURST),
        )
        bare = served.node.default_child
        assert isinstance(bare, apigateway.CfnStage)
        bare.access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(destination_arn=access.log_group_arn, format=json.dumps(_LOGGED))
