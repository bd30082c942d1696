"""An alarm that rings when the worst value of a minute is above a bound, and tells the topic people listen to."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct


def alarm(scope: Construct, construct_id: str, metric: cloudwatch.Metric, *, above: int, says: str, topic: sns.ITopic, statistic: str = "Maximum") -> None:
    """`says` is what a person reads who was woken by it."""
    made = cloudwatch.Alarm(
        scope,
        construct_id,
        alarm_description=f"{cdk.Stack.of(scope).stack_name}: {says}",
        metric=metric.with_(statistic=statistic, period=cdk.Duration.minutes(1)),
        threshold=above,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        evaluation_periods=1,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
    )
    made.add_alarm_action(actions.SnsAction(topic))
