"""The synthesis itself: the same inputs give the same templates, the rules hold, and the emulator gets what AWS gets."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from infra import layers
from infra.layers import LayerError, refuse_without_byte_code
from infra.stage import Stage
from tests.infra.conftest import Assemblies
from tests.infra.templates import Templates, synthesise


def test_two_syntheses_are_the_same_to_the_byte(assemblies: Assemblies) -> None:
    first, second = assemblies.aws.folder, assemblies.aws_again.folder
    written = sorted(path.name for path in first.iterdir() if not path.name.startswith(("tree", "validation")))
    assert written == sorted(path.name for path in second.iterdir() if not path.name.startswith(("tree", "validation")))
    for name in (name for name in written if name.endswith((".template.json", ".assets.json"))):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def _report(aws: Templates) -> dict[str, Any]:
    [report] = json.loads((aws.folder / "validation-report.json").read_text())["pluginReports"]
    assert report["pluginName"] == "AwsSolutions"
    return dict(report)


def test_cdk_nag_finds_nothing_that_is_not_acknowledged(aws: Templates) -> None:
    report = _report(aws)
    assert report["conclusion"] == "success"
    assert report["violations"] == []


def test_what_is_acknowledged_are_these_rules_only_and_each_has_its_reason(aws: Templates) -> None:
    acknowledged = _report(aws)["suppressedViolations"]
    rules = {finding["ruleName"].split("[")[0] for finding in acknowledged}
    assert rules == {"AwsSolutions-S1", "AwsSolutions-SMG4", "AwsSolutions-L1", "AwsSolutions-APIG4", "AwsSolutions-IAM5"}
    reasons = Path(aws.folder / "validation-report.json").read_text()
    assert "cdk-nag" not in {finding.get("reason", "") for finding in acknowledged}
    for words in ("never end", "ends every session", "bound to one version", "for everybody to read", "key of its own", "network interfaces"):
        assert words in reasons, words


def test_stacks_and_templates_fit_what_cloudformation_takes(aws: Templates) -> None:
    for path in aws.folder.glob("*.template.json"):
        assert path.stat().st_size < 1_000_000, path.name
        assert len(aws.stacks[path.name.removesuffix(".template.json")]["Resources"]) <= 500, path.name


def test_no_stack_is_deleted_by_mistake(aws: Templates, local: Templates) -> None:
    def protected(templates: Templates) -> set[bool]:
        artifacts = json.loads((templates.folder / "manifest.json").read_text())["artifacts"].values()
        return {bool(one["properties"].get("terminationProtection")) for one in artifacts if one["type"] == "aws:cloudformation:stack"}

    assert protected(aws) == {True}
    assert protected(local) == {False}


def test_the_emulator_gets_the_same_resources_but_network_and_database(aws: Templates, local: Templates) -> None:
    apart = {"bourse-production-database", "bourse-production-schema"}
    of_aws = Counter((one.stack.replace("production", "local"), one.type) for one in aws.resources if one.stack not in apart)
    here = Counter((one.stack, one.type) for one in local.resources)
    assert here - of_aws == Counter({("bourse-local-foundation", "AWS::SecretsManager::Secret"): 1}), "it has no keys that sign, and makes one of a secret"
    of_aws[("bourse-local-foundation", "AWS::KMS::Key")] -= 1
    assert {kind for _, kind in of_aws - here} == {"AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"}, "they deny plain http, which the emulator speaks"


def test_the_emulator_is_told_of_its_database_by_a_parameter_and_collects_for_a_second(local: Templates) -> None:
    for function in local.functions().values():
        variables = function.properties["Environment"]["Variables"]
        assert "VpcConfig" not in function.properties
        assert variables["COLLECT_SECONDS"] == "1"
        assert variables.get("DATABASE_URL", {"Ref": "DatabaseUrl"}) == {"Ref": "DatabaseUrl"}
    with_database = {one.stack for one in local.functions().values() if "DATABASE_URL" in one.properties["Environment"]["Variables"]}
    assert {stack for stack, template in local.stacks.items() if "DatabaseUrl" in template.get("Parameters", {})} == with_database
    [delay] = {queue.properties["DelaySeconds"] for queue in local.of("SQS::Queue") if queue.properties.get("DelaySeconds")}
    assert delay == 1


def test_nothing_of_the_emulator_outlives_its_stack_or_refuses_plain_http(local: Templates) -> None:
    assert not [str(one) for one in local.resources if one.whole.get("DeletionPolicy") == "Retain"]
    assert "SecureTransport" not in json.dumps(local.stacks)
    assert not [one for one in local.resources if one.type.startswith(("Custom::", "AWS::EC2::", "AWS::RDS::"))]


def test_a_deployment_without_the_runtimes_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "python_of_runtime", lambda: None)
    with pytest.raises(LayerError, match=r"python3\.13 on PATH or set BOURSE_PYTHON_313"):
        refuse_without_byte_code(Stage("production"))
    refuse_without_byte_code(Stage("local"))


def test_the_command_line_of_cdk_is_refused_without_it_too(tmp_path: Path) -> None:
    done = synthesise("production", tmp_path / "out", CDK_CLI_VERSION="2", BOURSE_PYTHON_313="/nonexistent", PATH=str(tmp_path))
    assert done.returncode != 0
    assert "BOURSE_PYTHON_313" in done.stderr
