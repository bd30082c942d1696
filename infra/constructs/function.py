"""One Lambda function of the folder functions/, with a role of its own and a log group that forgets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.acknowledge import acknowledge
from infra.sizes import SIZES
from infra.stage import ROOT, Stage

RUNTIME: Final = lambda_.Runtime.PYTHON_3_13
_RUNTIME_REASON: Final = "the layers' byte code is bound to one version of Python: a runtime is changed on purpose, with its layers and after its tests"
_NOT_SHIPPED: Final = ["*.md", "__pycache__", "samples", "client", "tests", "*.pyc"]
_NETWORK_ACTIONS: Final = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)


@dataclass(frozen=True, slots=True)
class Network:
    """Where functions that reach the database run."""

    vpc: ec2.IVpc
    group: ec2.ISecurityGroup


class Function(Construct):
    """`function`, in the domain's stack, with exactly the permissions of `statements` and those to log and to stand in a network."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: Stage,
        key: kms.IKey,
        layers: Sequence[lambda_.ILayerVersion],
        environment: dict[str, str],
        statements: Iterable[iam.PolicyStatement],
        network: Network | None = None,
        buckets: Sequence[str] = (),
        deployed_as: str | None = None,
    ) -> None:
        """`name` is the folder; `deployed_as` where one folder is deployed more than once."""
        super().__init__(scope, "".join(word.title() for word in (deployed_as or name).split("_")))
        self._stage: Final = stage
        self.deployed_name: Final = stage.called(deployed_as or name)
        self.logs: Final = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{self.deployed_name}",
            retention=logs.RetentionDays.THREE_MONTHS,
            encryption_key=key,
            removal_policy=cdk.RemovalPolicy.DESTROY,  # what must be kept is in the stores, never only in a log
        )
        self.role: Final = self._role(list(statements), network is not None, buckets)
        self.function: Final = lambda_.Function(
            self,
            "Function",
            function_name=self.deployed_name,
            description=_first_line(name),
            runtime=RUNTIME,
            architecture=lambda_.Architecture.ARM_64,
            handler="handler.handler",
            code=lambda_.Code.from_asset(str(ROOT / "functions" / name), exclude=_NOT_SHIPPED),
            layers=layers,
            memory_size=SIZES[name].memory_mb,
            timeout=cdk.Duration.seconds(SIZES[name].timeout_s),
            role=self.role.without_policy_updates(),
            log_group=self.logs,
            logging_format=lambda_.LoggingFormat.JSON,
            environment=self._shared(name) | environment,
            vpc=network.vpc if network else None,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED) if network else None,
            security_groups=[network.group] if network else None,
        )
        acknowledge(self.function, "L1", _RUNTIME_REASON)

    def _shared(self, name: str) -> dict[str, str]:
        """What every function is told."""
        return {
            "BOURSE_STAGE": self._stage.name,
            "COLLECT_SECONDS": str(self._stage.collect_seconds),
            "POWERTOOLS_SERVICE_NAME": name,
            "POWERTOOLS_METRICS_NAMESPACE": "Bourse",
            "POWERTOOLS_LOG_LEVEL": "INFO",
        }

    def _role(self, statements: list[iam.PolicyStatement], in_network: bool, buckets: Sequence[str]) -> iam.Role:
        statements.append(iam.PolicyStatement(sid="Logs", actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[self.logs.log_group_arn]))
        if in_network:
            statements.append(iam.PolicyStatement(sid="Network", actions=list(_NETWORK_ACTIONS), resources=["*"]))
        # Policies inside the role: they come and go with it, and it is never there without them.
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={"FromFlow": iam.PolicyDocument(statements=statements)},
        )
        for bucket in buckets:
            objects = f"arn:<AWS::Partition>:s3:::{self._stage.called(bucket)}-<AWS::AccountId>-<AWS::Region>/*"
            acknowledge(role, f"IAM5[Resource::{objects}]", "the objects of this one bucket: each has a key of its own, unknown at deployment")
        if in_network:
            acknowledge(role, "IAM5[Resource::*]", "the role makes its function's network interfaces, and EC2 knows no narrower resource for that")
        return role


def _first_line(name: str) -> str:
    """The sentence of the handler, as the description of its function; empty while there is none."""
    handler = ROOT / "functions" / name / "handler.py"
    first = handler.read_text().split("\n", 1)[0] if handler.exists() else ""
    return first.strip('"').strip()[:256]
