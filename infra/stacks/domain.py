"""The stack of a domain, whichever it is: it reads the domain's hops in flow.py and builds what each of them needs."""

from collections.abc import Mapping
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from bourse import flow
from constructs import Construct

from infra.constructs.api import AudienceApi
from infra.constructs.arrivals import Arrivals
from infra.constructs.daily import Clock
from infra.constructs.function import Function
from infra.constructs.site import Site
from infra.constructs.worker import Worker
from infra.database import DatabaseAccess
from infra.foundation import ALARMS, Foundation
from infra.layers import Layers
from infra.reach import reach, read_secret, use_of
from infra.stage import Stage


class DomainStack(cdk.Stack):
    """Functions, queues, APIs and schedules of one domain."""

    def __init__(self, scope: Construct, domain: str, *, stage: Stage, foundation: Foundation, layers: Layers, database: DatabaseAccess) -> None:
        super().__init__(scope, stage.called(domain), description=f"Bourse: {domain}", termination_protection=not stage.local)
        self._stage: Final = stage
        self._foundation: Final = foundation
        self._database: Final = database
        alarms = sns.Topic.from_topic_arn(self, "Alarms", stage.topic_arn(ALARMS))
        self._site: Final = Site(stage, foundation.key, alarms)
        # Each stack makes its own versions of the layers from the same assets: a layer handed from stack to stack would be an
        # export, and an export that is in use cannot be replaced, so the second deployment would stop there.
        self._layers: Final = layers.of(self)
        hops = flow.hops_of(domain)
        by_function: Mapping[str, list[flow.Hop]] = {name: [hop for hop in hops if hop.function == name] for name in dict.fromkeys(h.function for h in hops)}
        for name, own in by_function.items():
            function = self._function(name, own)
            for hop in own:
                self._connect(hop, function)

    def _function(self, name: str, hops: list[flow.Hop]) -> lambda_.Function:
        needs = reach(hops, self._stage, self._foundation)
        environment, statements, network = dict(needs.environment), list(needs.statements), None
        if needs.in_network:
            environment |= self._database.variables(self)
            statements += self._database.statements()
            network = self._database.network
        made = Function(
            self,
            name,
            stage=self._stage,
            key=self._foundation.key,
            layers=self._layers,
            environment=environment,
            statements=statements,
            network=network,
            buckets=needs.buckets,
        )
        return made.function

    def _connect(self, hop: flow.Hop, function: lambda_.Function) -> None:
        """Let the hop's source reach its function."""
        match hop.source:
            case flow.Queue():
                Worker(self, hop.source, function=function, hears=hop.function, site=self._site)
            case flow.ObjectCreated(bucket):
                Arrivals(self, bucket, function=function, site=self._site)
            case flow.Every(minutes):
                Clock(self, f"{hop.function.title().replace('_', '')}Clock", function=function, minutes=minutes, site=self._site)
            case flow.Http(audience):
                authorizer = self._authorizer(audience)
                AudienceApi(self, audience, function=function, authorizer=authorizer, site=self._site)

    def _authorizer(self, audience: str) -> lambda_.Function:
        """One for each audience: it knows whom it lets in, so a token of one audience opens no door of another."""
        variables, may_read = read_secret("token_key", self._foundation)
        made = Function(
            self,
            "authorize",
            deployed_as=f"authorize_{audience}",
            stage=self._stage,
            key=self._foundation.key,
            layers=self._layers,
            environment=variables | {"AUDIENCE": audience},
            statements=[may_read, use_of(self._foundation.key)],
        )
        return made.function
