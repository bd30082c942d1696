"""A deployment of the product and the names of what it consists of: `local` on the emulator, any other name on AWS.

What crosses from one stack to another by reference becomes a CloudFormation export, and an export cannot be removed or
replaced while another stack imports it. Facts travel in a circle (matching says to the ledger, the ledger says to matching),
so queues as references would even be impossible. Therefore functions, queues, tables and buckets have names that follow from
the stage and from flow.py, and whoever needs one of them says its name. Exported is only what lives as long as the product
and whose name AWS draws: the key, the secrets, the network and the database.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aws_cdk as cdk

ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Stage:
    """One deployment. Everything the local one does otherwise asks `local`, and nothing else does."""

    name: str

    @property
    def local(self) -> bool:
        """On the emulator: no network, no database stack, no TLS policies, nothing to keep after the stack is gone."""
        return self.name == "local"

    @property
    def removal(self) -> cdk.RemovalPolicy:
        """What happens to data when its resource is removed from a template."""
        return cdk.RemovalPolicy.DESTROY if self.local else cdk.RemovalPolicy.RETAIN

    @property
    def collect_seconds(self) -> int:
        """How long balance changes are collected before a bucket is planned anew."""
        return 1 if self.local else 30

    def called(self, *words: str) -> str:
        """The name of a thing of this deployment: bourse-production-version-assets."""
        return "-".join(("bourse", self.name, *words)).replace("_", "-")

    def queue(self, name: str) -> str:
        return self.called(name) + ".fifo"

    def dead_letters(self, name: str) -> str:
        return self.called(name, "dlq") + ".fifo"

    def queue_arn(self, name: str) -> str:
        return _arn("sqs", self.queue(name))

    def queue_url(self, name: str) -> str:
        """SDKs send the URL as a parameter; the request itself goes to the endpoint of the environment."""
        return f"https://sqs.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}/{cdk.Aws.ACCOUNT_ID}/{self.queue(name)}"

    def table(self, name: str) -> str:
        return self.called(name)

    def table_arn(self, name: str) -> str:
        return _arn("dynamodb", f"table/{self.table(name)}")

    def bucket(self, name: str) -> str:
        """Bucket names are shared by all accounts of the world, so account and region are part of it."""
        return f"{self.called(name)}-{cdk.Aws.ACCOUNT_ID}-{cdk.Aws.REGION}"

    def bucket_arn(self, name: str) -> str:
        return f"arn:{cdk.Aws.PARTITION}:s3:::{self.bucket(name)}"

    def topic_arn(self, name: str) -> str:
        return _arn("sns", self.called(name))


def _arn(service: str, resource: str) -> str:
    return f"arn:{cdk.Aws.PARTITION}:{service}:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{resource}"
