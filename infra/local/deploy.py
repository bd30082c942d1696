"""A small deployer of cdk.out for the emulator: uploads the assets, creates the stacks in their order, gives their outputs.

What `cdk deploy` does, without node and in a few seconds; the templates are deployed as they were synthesised.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from infra.local.stack import REGION, client

ACCOUNT: Final = "000000000000"
_BOOTSTRAP_VERSION: Final = "30"
_WAIT_SECONDS: Final = 180
_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
Tell = Callable[[str], object]


class DeployError(Exception):
    """A stack could not be created; the text names the first resource that failed and why."""


def deploy(assembly: Path, endpoint: str, parameters: dict[str, str], tell: Tell) -> dict[str, dict[str, str]]:
    """Create every stack of the assembly, in the order of their dependencies; stack name -> its outputs.

    `parameters` are handed to the stacks that declare them. Raises DeployError.
    """
    artifacts: dict[str, Any] = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    _bootstrap(endpoint)
    outputs: dict[str, dict[str, str]] = {}
    cloudformation = client("cloudformation", endpoint)
    for name in _in_order(artifacts):
        artifact = artifacts[name]
        _publish_assets(assembly, artifacts, artifact, client("s3", endpoint))
        properties = artifact["properties"]
        stack_name = properties.get("stackName", name)
        began = time.monotonic()
        declared: dict[str, Any] = json.loads((assembly / properties["templateFile"]).read_text()).get("Parameters", {})
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items() if key in declared]
        # By its address, for a template in the request itself may have 51,200 bytes only.
        address = f"{endpoint}/{_filled(properties['stackTemplateAssetObjectUrl']).removeprefix('s3://')}"
        outputs[stack_name] = _create(cloudformation, stack_name, address, given)
        tell(f"  {stack_name}: {time.monotonic() - began:.1f} s")
    return outputs


def _bootstrap(endpoint: str) -> None:
    """What `cdk bootstrap` leaves that a template asks for: its version."""
    ssm = client("ssm", endpoint)
    ssm.put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value=_BOOTSTRAP_VERSION, Type="String", Overwrite=True)


def _in_order(artifacts: dict[str, Any]) -> Iterator[str]:
    """The ids of the stacks, each after those it depends on."""
    done: set[str] = set()

    def visit(name: str) -> Iterator[str]:
        if name in done:
            return
        done.add(name)
        for dependency in artifacts[name].get("dependencies", ()):
            yield from visit(dependency)
        if artifacts[name]["type"] == "aws:cloudformation:stack":
            yield name

    for name in artifacts:
        yield from visit(name)


def _publish_assets(assembly: Path, artifacts: dict[str, Any], stack: dict[str, Any], s3: Any) -> None:
    """Upload what the stack's asset manifests list, folders as zip files, each once."""
    manifests = [artifacts[name] for name in stack.get("dependencies", ()) if artifacts[name]["type"] == "cdk:asset-manifest"]
    for manifest in manifests:
        files: dict[str, Any] = json.loads((assembly / manifest["properties"]["file"]).read_text()).get("files", {})
        for file in files.values():
            for destination in file["destinations"].values():
                bucket = _filled(destination["bucketName"])
                if not _uploaded(s3, bucket, destination["objectKey"]):
                    s3.put_object(Bucket=bucket, Key=destination["objectKey"], Body=_packed(assembly / file["source"]["path"], file["source"]["packaging"]))


def _uploaded(s3: Any, bucket: str, key: str) -> bool:
    """Whether the object is there; makes the bucket if that is not."""
    known = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    if bucket not in known:
        s3.create_bucket(Bucket=bucket)
        return False
    found = s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", ())
    return any(entry["Key"] == key for entry in found)


def _filled(name: str) -> str:
    return name.replace("${AWS::AccountId}", ACCOUNT).replace("${AWS::Region}", REGION).replace("${AWS::Partition}", "aws")


def _packed(path: Path, packaging: str) -> bytes:
    """The file, or the folder as a zip with fixed times. Stored, not deflated: it is unpacked on this machine a moment later."""
    if packaging == "file":
        return path.read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                entry = zipfile.ZipInfo(str(file.relative_to(path)), _ZIP_EPOCH)
                entry.external_attr = (file.stat().st_mode & 0o777) << 16
                archive.writestr(entry, file.read_bytes())
    return packed.getvalue()


def _create(cloudformation: Any, name: str, address: str, given: list[dict[str, str]]) -> dict[str, str]:
    """Create one stack and wait for it; its outputs. Raises DeployError."""
    capabilities = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
    cloudformation.create_stack(StackName=name, TemplateURL=address, Parameters=given, Capabilities=capabilities, OnFailure="DO_NOTHING")
    give_up = time.monotonic() + _WAIT_SECONDS
    while True:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
        if not stack["StackStatus"].endswith("_IN_PROGRESS") or time.monotonic() > give_up:
            raise DeployError(f"stack {name} is {stack['StackStatus']}: {_why(cloudformation, name, stack)}")
        time.sleep(0.1)


def _why(cloudformation: Any, name: str, stack: dict[str, Any]) -> str:
    events: list[dict[str, Any]] = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [event for event in reversed(events) if event["ResourceStatus"].endswith("_FAILED")]
    reasons = [f"{event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason')}" for event in failed]
    return "; ".join(reasons[:3]) or str(stack.get("StackStatusReason"))
