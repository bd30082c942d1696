"""The database stack: its network without a way to the internet, Aurora PostgreSQL, and how functions reach it; and the schema stack.

Not deployed on the emulator, which has no network and whose PostgreSQL runs beside it: there a parameter says where.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import triggers
from constructs import Construct

from infra.constructs.function import Function, Network
from infra.foundation import Foundation
from infra.layers import Layers
from infra.reach import use_of
from infra.stage import Stage

_NAME: Final = "bourse"
_USER: Final = "bourse_app"
"""The role functions log in as, made by migration 0001: no owner of tables, so row-level security holds for it."""
_PORT: Final = 5433  # not the usual one: what scans for databases finds less
_ENGINE: Final = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_7)
_PARAMETERS: Final = {
    "rds.force_ssl": "1",
    "log_min_duration_statement": "1000",
    # What a statement carries is people's data and does not belong into a log.
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
_CAPACITY_LEAST, _CAPACITY_MOST = 0.5, 16


class DatabaseAccess(Protocol):
    """What a function that reaches PostgreSQL is given."""

    @property
    def network(self) -> Network | None:
        """Where it runs."""
        ...

    def variables(self, stack: cdk.Stack) -> dict[str, str]:
        """The variables that name the database, in this stack."""
        ...

    def statements(self) -> Sequence[iam.PolicyStatement]:
        """What it may do."""
        ...


class LocalDatabase:
    """On the emulator: each stack has a parameter with the connection string."""

    network: Final = None

    def variables(self, stack: cdk.Stack) -> dict[str, str]:
        parameter = stack.node.try_find_child("DatabaseUrl")
        if parameter is None:
            parameter = cdk.CfnParameter(stack, "DatabaseUrl", type="String", no_echo=True, description="The local PostgreSQL, as the role bourse_app")
        assert isinstance(parameter, cdk.CfnParameter)
        return {"DATABASE_URL": parameter.value_as_string}

    def statements(self) -> Sequence[iam.PolicyStatement]:
        return ()


class DatabaseStack(cdk.Stack):
    """Network and Aurora. Functions log in with a token of their role: there is no password to steal, rotate or forget."""

    def __init__(self, scope: Construct, stage: Stage, foundation: Foundation) -> None:
        super().__init__(scope, stage.called("database"), description="Bourse: network and Aurora PostgreSQL", termination_protection=True)
        self._stage: Final = stage
        self._foundation: Final = foundation
        self.vpc: Final = self._vpc()
        self.functions: Final = ec2.SecurityGroup(self, "Functions", vpc=self.vpc, description="Functions that reach the database", allow_all_outbound=False)
        self.cluster: Final = self._cluster()
        self.cluster.connections.allow_from(self.functions, ec2.Port.tcp(_PORT), "functions to the database")
        self._endpoints()
        cdk.CfnOutput(self, "Endpoint", value=self.cluster.cluster_endpoint.hostname)
        cdk.CfnOutput(self, "OwnerSecret", value=self._owner_secret_arn)

    @property
    def network(self) -> Network:
        return Network(self.vpc, self.functions)

    def variables(self, stack: cdk.Stack) -> dict[str, str]:  # noqa: ARG002  # the emulator's needs it
        endpoint = self.cluster.cluster_endpoint
        return {"DATABASE_HOST": endpoint.hostname, "DATABASE_PORT": str(_PORT), "DATABASE_NAME": _NAME, "DATABASE_USER": _USER}

    def statements(self) -> Sequence[iam.PolicyStatement]:
        user = f"arn:{cdk.Aws.PARTITION}:rds-db:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:dbuser:{self.cluster.cluster_resource_identifier}/{_USER}"
        return (iam.PolicyStatement(sid="Database", actions=["rds-db:connect"], resources=[user]),)

    def owner(self) -> tuple[dict[str, str], Sequence[iam.PolicyStatement]]:
        """How the migration logs in: as the owner of all tables, with the password that RDS makes and changes."""
        allow = iam.PolicyStatement(sid="Owner", actions=["secretsmanager:GetSecretValue"], resources=[self._owner_secret_arn])
        return {"DATABASE_SECRET": self._owner_secret_arn}, (allow,)

    @property
    def _owner_secret_arn(self) -> str:
        secret = self.cluster.secret
        assert secret is not None, "RDS keeps the owner's password in a secret"
        return secret.secret_arn

    def _vpc(self) -> ec2.Vpc:
        vpc = ec2.Vpc(
            self,
            "Network",
            max_azs=2,
            nat_gateways=0,
            restrict_default_security_group=False,  # CDK does it with a Lambda function that has rights on all groups; nothing is in that group
            subnet_configuration=[ec2.SubnetConfiguration(name="isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=22)],
        )
        flow_logs = logs.LogGroup(
            self,
            "FlowLogs",
            retention=logs.RetentionDays.THREE_MONTHS,
            encryption_key=self._foundation.key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        vpc.add_flow_log("FlowLog", destination=ec2.FlowLogDestination.to_cloud_watch_logs(flow_logs))
        return vpc

    def _endpoints(self) -> None:
        """The services that functions in the network call, without a way to anything else.

        KMS for those who sign. Not CloudWatch Logs: Lambda ships a function's log from outside of the network. An endpoint costs about
        8 dollars a month in each zone.
        """
        self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        self.vpc.add_gateway_endpoint("DynamoDb", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        doors = ec2.SecurityGroup(self, "Endpoints", vpc=self.vpc, description="Endpoints of AWS services", allow_all_outbound=False)
        doors.add_ingress_rule(self.functions, ec2.Port.tcp(443), "functions to AWS services")
        services = {
            "Sqs": ec2.InterfaceVpcEndpointAwsService.SQS,
            "Secrets": ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
            "Kms": ec2.InterfaceVpcEndpointAwsService.KMS,
        }
        for name, service in services.items():
            self.vpc.add_interface_endpoint(name, service=service, security_groups=[doors], open=False)
        # The gateway endpoints are reached at public addresses of the region, which differ; no route leads to any other.
        self.functions.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "to the endpoints of AWS services")

    def _cluster(self) -> rds.DatabaseCluster:
        name = self._stage.called("database")
        log_group = logs.LogGroup(
            self,
            "PostgresqlLog",
            log_group_name=f"/aws/rds/cluster/{name}/postgresql",  # made here, so that it has a retention before RDS writes to it
            retention=logs.RetentionDays.ONE_YEAR,
            encryption_key=self._foundation.key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        cluster = rds.DatabaseCluster(
            self,
            "Aurora",
            cluster_identifier=name,
            engine=_ENGINE,
            default_database_name=_NAME,
            port=_PORT,
            credentials=rds.Credentials.from_username("bourse_owner", encryption_key=self._foundation.key),
            manage_master_user_password=True,
            iam_authentication=True,
            storage_encrypted=True,
            storage_encryption_key=self._foundation.key,
            serverless_v2_min_capacity=_CAPACITY_LEAST,
            serverless_v2_max_capacity=_CAPACITY_MOST,
            writer=self._instance("Writer"),
            readers=[self._instance("Standby", scale_with_writer=True)],  # takes over within a minute, from another zone
            parameters=_PARAMETERS,
            vpc=self.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[ec2.SecurityGroup(self, "Database", vpc=self.vpc, description="The database", allow_all_outbound=False)],
            backup=rds.BackupProps(retention=cdk.Duration.days(35), preferred_window="02:00-03:00"),
            preferred_maintenance_window="sun:03:30-sun:04:30",
            copy_tags_to_snapshot=True,
            cloudwatch_logs_exports=["postgresql"],
            deletion_protection=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        cluster.node.add_dependency(log_group)
        return cluster

    def _instance(self, name: str, *, scale_with_writer: bool | None = None) -> rds.IClusterInstance:
        return rds.ClusterInstance.serverless_v2(
            name,
            enable_performance_insights=True,
            performance_insight_encryption_key=self._foundation.key,
            auto_minor_version_upgrade=True,
            publicly_accessible=False,
            scale_with_writer=scale_with_writer,
        )


class SchemaStack(cdk.Stack):
    """The migration: a stack of its own between the database and the domains, so new code never meets an old schema."""

    def __init__(self, scope: Construct, stage: Stage, *, foundation: Foundation, database: DatabaseStack, layers: Layers) -> None:
        super().__init__(scope, stage.called("schema"), description="Bourse: migrations of the database", termination_protection=True)
        owner, may_log_in = database.owner()
        migrate = Function(
            self,
            "migrate",
            stage=stage,
            key=foundation.key,
            layers=layers.of(self),
            environment=database.variables(self) | owner,
            statements=[*may_log_in, use_of(foundation.key)],
            network=database.network,
        )
        # Runs when the function's code, layers or settings have changed, and fails the deployment when a migration fails.
        trigger = triggers.Trigger(self, "OnDeployment", handler=migrate.function, timeout=cdk.Duration.minutes(14))
        trigger.node.add_dependency(migrate)
