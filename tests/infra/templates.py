"""The synthesised templates as the tests read them: every resource of a stage, and values as text."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Properties = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One resource of a template."""

    stack: str
    logical_id: str
    type: str
    properties: Properties
    whole: Properties

    def __str__(self) -> str:
        return f"{self.stack}/{self.logical_id}"


class Templates:
    """All stacks of one cloud assembly."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def stacks(self) -> dict[str, Properties]:
        return {path.name.removesuffix(".template.json"): json.loads(path.read_text()) for path in sorted(self.folder.glob("*.template.json"))}

    @cached_property
    def resources(self) -> list[Resource]:
        return [
            Resource(stack, logical_id, resource["Type"], resource.get("Properties", {}), resource)
            for stack, template in self.stacks.items()
            for logical_id, resource in template["Resources"].items()
        ]

    def of(self, kind: str) -> list[Resource]:
        """Every resource of a type; there is at least one, or the test would show nothing."""
        found = [resource for resource in self.resources if resource.type == f"AWS::{kind}"]
        assert found, f"no {kind} in {self.folder}"
        return found

    def named(self, kind: str, attribute: str, name: str) -> Resource:
        """The one resource of a type with this name."""
        [found] = [resource for resource in self.of(kind) if resource.properties.get(attribute) == name]
        return found

    def target(self, source: Resource, reference: Any) -> Resource:
        """The resource a Ref or GetAtt of `source` points to, in the same stack."""
        logical_id = reference.get("Ref") or reference["Fn::GetAtt"][0]
        [found] = [resource for resource in self.resources if (resource.stack, resource.logical_id) == (source.stack, logical_id)]
        return found

    def functions(self) -> dict[str, Resource]:
        """Our functions by their deployed name without the stage; CDK's own for the migration has none."""
        ours = (resource for resource in self.of("Lambda::Function") if "FunctionName" in resource.properties)
        return {resource.properties["FunctionName"].split("-", 2)[2].replace("-", "_"): resource for resource in ours}

    def statements(self, function: Resource) -> list[Properties]:
        """What the function's role allows; a role of ours has its policies in itself."""
        role = self.target(function, function.properties["Role"])
        return [statement for policy in role.properties["Policies"] for statement in policy["PolicyDocument"]["Statement"]]

    def allowed(self, function: Resource) -> Iterator[tuple[str, str]]:
        """Each action with each resource that a function may do it on."""
        for statement in self.statements(function):
            assert statement["Effect"] == "Allow"
            for action in as_list(statement["Action"]):
                for resource in as_list(statement["Resource"]):
                    yield action, text(resource)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """A value with its functions written out: arn:<Partition>:sqs:<Region>:<AccountId>:name."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"<{name.removeprefix('AWS::')}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::ImportValue": name}:
            return f"<import {text(name)}>"
        case {"Fn::Join": [separator, parts]}:
            return str(separator.join(text(part) for part in parts))
    raise AssertionError(f"unknown value {value}")


def synthesise(stage: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the app as `make synth` does, for a stage, without account or credentials."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "JSII_", "PYTHON"))}
    environment = {**mine, "CDK_OUTDIR": str(folder), "CDK_CONTEXT_JSON": json.dumps({"stage": stage}), **variables}
    return subprocess.run([sys.executable, ROOT / "infra" / "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
