"""The local stack itself: up twice is up once, what a developer asks of it works, and it says who it is."""

import json

import pytest

from infra.local import invoke, synth
from infra.local.stack import ROOT, Home, Stack
from infra.local.up import up
from tests.local.builders import get

pytestmark = pytest.mark.local


def test_up_twice_is_up_once(home: Home, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth, "digest", lambda: stack.assembly.removeprefix("local-"))  # whoever edits meanwhile must not restart it
    assert up(home, print) == stack


def test_stack_json_says_where_everything_is(home: Home, stack: Stack) -> None:
    said = json.loads(home.description.read_text())
    assert {"aws_endpoint", "region", "originator_api", "investor_api", "operator_api", "postgres", "tokens"} <= said.keys()
    assert {"operator", "harbor", "prairie", "acorn"} <= said["tokens"].keys()
    assert home.description.stat().st_mode & 0o077 == 0
    assert all("//127.0.0.1:" in said[name] for name in ("aws_endpoint", "originator_api", "investor_api", "operator_api"))


@pytest.mark.parametrize("audience", ["originator", "investor", "operator"])
def test_each_api_describes_itself_to_everybody(stack: Stack, audience: str) -> None:
    base = getattr(stack, f"{audience}_api")
    status, page = get(f"{base}/docs")
    assert (status, b"swagger" in page.lower()) == (200, True)
    status, document = get(f"{base}/openapi.json")
    assert status == 200
    assert any(path.startswith("/v1/") for path in json.loads(document)["paths"])


def test_a_function_runs_on_a_sample_event(home: Home, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("BOURSE_LOCAL", str(home.folder))
    assert invoke.main("version_assets", str(ROOT / "events" / "records_read.v1.json")) == 0
    assert json.loads(capsys.readouterr().out) == {"batchItemFailures": []}


# The local stack migrates its database before it is there, so that one function is not deployed to it.
@pytest.mark.parametrize("event", sorted(path.name for path in (ROOT / "events/aws").iterdir() if not path.name.startswith("migrate.")))
def test_a_function_runs_on_a_raw_event_of_aws(
    home: Home, stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], event: str
) -> None:
    monkeypatch.setenv("BOURSE_LOCAL", str(home.folder))
    functions = [name for name in stack.functions if name.startswith(event.split(".", maxsplit=1)[0])]
    assert functions
    for function in functions:
        assert invoke.main(function, str(ROOT / "events/aws" / event)) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer is None or (answer.get("statusCode", 200), answer.get("isAuthorized", True), answer.get("batchItemFailures", [])) == (200, True, [])
