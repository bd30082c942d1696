"""A function that runs by the clock, with an alarm for when it fails."""

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.alarm import alarm
from infra.constructs.site import Site


class Clock(Construct):
    """Every so many minutes. A run that could not start is not made up for: the next one finds all that the missed one would have."""

    def __init__(self, scope: Construct, construct_id: str, *, function: lambda_.IFunction, minutes: int, site: Site) -> None:
        super().__init__(scope, construct_id)
        target = targets.LambdaFunction(function, retry_attempts=0, max_event_age=cdk.Duration.minutes(max(1, minutes)))
        events.Rule(self, "Rule", schedule=events.Schedule.rate(cdk.Duration.minutes(minutes)), targets=[target])
        alarm(self, "FailedAlarm", function.metric_errors(), above=0, says=f"{construct_id} failed", topic=site.alarms, statistic="Sum")
