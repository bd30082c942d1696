"""What every construct of a domain's stack stands on."""

from dataclasses import dataclass

from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns

from infra.stage import Stage


@dataclass(frozen=True, slots=True)
class Site:
    """The stage, the key that encrypts everything of it, and the topic its alarms go to."""

    stage: Stage
    key: kms.IKey
    alarms: sns.ITopic
