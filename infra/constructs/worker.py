"""The queue of a hop: FIFO with its dead letters, alarms on both, and the mapping that hands its batches to the function."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from bourse import flow
from constructs import Construct

from infra.constructs.alarm import alarm
from infra.constructs.site import Site
from infra.sizes import SIZES, visibility_seconds

_RECEIVES_MAX: Final = 5
_AGE_SECONDS_MAX: Final = 900
_BATCH_MAX: Final = 10
"""The most a FIFO mapping takes; each message is a chunk of up to 200 facts."""


class Worker(Construct):
    """A queue heard by a function. A group that keeps failing ends in the dead letters and lets the alarm ring."""

    def __init__(self, scope: Construct, heard: flow.Queue, *, function: lambda_.IFunction, hears: str, site: Site) -> None:
        """`hears` is the function's name in flow.py; its time-out and concurrency are in sizes.py."""
        super().__init__(scope, f"{heard.name.title()}Queue")
        self._site: Final = site
        self.dead_letters: Final = self._queue("DeadLetters", site.stage.dead_letters(heard.name))
        self.queue: Final = self._queue(
            "Queue",
            site.stage.queue(heard.name),
            visibility_timeout=cdk.Duration.seconds(visibility_seconds(hears, local=site.stage.local)),
            delivery_delay=cdk.Duration.seconds(site.stage.collect_seconds if heard.collect else 0),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=_RECEIVES_MAX),
        )
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=function,
            event_source_arn=self.queue.queue_arn,
            batch_size=_BATCH_MAX,
            report_batch_item_failures=True,
            max_concurrency=SIZES[hears].concurrency_max,
        )
        dead = self.dead_letters.metric_approximate_number_of_messages_visible()
        alarm(self, "DeadLettersAlarm", dead, above=0, says=f"{heard.name}.fifo has dead letters: a group of it stands still", topic=site.alarms)
        age = self.queue.metric_approximate_age_of_oldest_message()
        alarm(self, "AgeAlarm", age, above=_AGE_SECONDS_MAX, says=f"messages of {heard.name}.fifo wait too long (seconds)", topic=site.alarms)
        cdk.CfnOutput(cdk.Stack.of(self), f"{heard.name.title()}QueueUrl", value=self.queue.queue_url)

    def _queue(
        self,
        construct_id: str,
        name: str,
        visibility_timeout: cdk.Duration | None = None,
        delivery_delay: cdk.Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        return sqs.Queue(
            self,
            construct_id,
            queue_name=name,
            fifo=True,
            retention_period=cdk.Duration.days(14),  # a long week-end with a broken consumer must not lose a fact
            # High throughput: the limits hold for each message group and not for the queue.
            deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP,
            fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=self._site.key,
            enforce_ssl=not self._site.stage.local,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            visibility_timeout=visibility_timeout,
            delivery_delay=delivery_delay,
            dead_letter_queue=dead_letter_queue,
        )
