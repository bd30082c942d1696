"""Acknowledges a finding of cdk-nag beside the resource it is about; the reason goes into the template's metadata."""

import aws_cdk as cdk
from constructs import IConstruct


def acknowledge(construct: IConstruct, finding: str, reason: str) -> None:
    """Accept one finding of AwsSolutions (`IAM5[Resource::*]`) for this construct and all below it, and say why."""
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=f"AwsSolutions::AwsSolutions-{finding}", reason=reason))
