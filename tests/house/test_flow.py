"""flow.py is the page: every hop has its function, its sample and its schema, and every function its hop."""

import importlib.util
import json
from enum import StrEnum
from types import ModuleType

import pytest
from bourse import flow, lifecycles
from bourse.assets.model import UploadState
from bourse.assets.uploads import UPLOAD
from bourse.lifecycle import Lifecycle
from bourse.matching.model import OFFER, OfferState
from bourse.message import Envelope, Message, encode
from bourse.trading.model import PORTFOLIO, PortfolioStatus

from tests.house.source import ROOT

NOT_ON_THE_PAGE = {"authorize", "migrate"}
"""Functions that carry no facts of the business: who may call, and the deployment step."""
SAMPLES = ROOT / "events"


def _handler(function: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"handler_of_{function}", ROOT / "functions" / function / "handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_folder_of_functions_is_the_list_of_deployables() -> None:
    folders = {path.name for path in (ROOT / "functions").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(flow.functions()) | NOT_ON_THE_PAGE


@pytest.mark.parametrize("function", [*flow.functions(), *sorted(NOT_ON_THE_PAGE)])
def test_a_handler_imports_without_environment_or_credentials(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    assert callable(_handler(function).handler)


@pytest.mark.parametrize("hop", [hop for hop in flow.FLOW if isinstance(hop.source, flow.Queue)], ids=lambda hop: hop.function)
def test_the_sentence_of_a_handler_is_the_hop(hop: flow.Hop) -> None:
    sentence = _handler(hop.function).__doc__ or ""
    assert isinstance(hop.source, flow.Queue)
    assert [message.__name__ for message in (*hop.source.hears, *hop.says) if message.__name__ not in sentence] == []


def test_every_message_said_is_heard_by_one_queue() -> None:
    for hop in flow.FLOW:
        for message in hop.says:
            assert message in flow.queue_hearing(message).hears


def test_a_message_nobody_hears_is_refused() -> None:
    with pytest.raises(LookupError, match=r"flow\.py"):
        flow.queue_hearing(Message)


@pytest.mark.parametrize("kind", sorted(flow.messages()))
def test_every_message_has_a_sample_that_is_what_travels(kind: str) -> None:
    sample = json.loads((SAMPLES / f"{kind}.json").read_text())
    message = Envelope(json.dumps(sample)).read(flow.messages())
    assert message.kind == kind
    assert json.loads(message.model_dump_json(exclude_none=True)) == sample["facts"]
    assert Envelope(encode(message)).read(flow.messages()) == message


@pytest.mark.parametrize("function", [*flow.functions(), *sorted(NOT_ON_THE_PAGE)])
def test_every_function_has_an_event_it_can_be_invoked_with(function: str) -> None:
    """A raw event of AWS for each source that is no queue, and for a queue the sample of each message it hears."""
    sources = [hop.source for hop in flow.FLOW if hop.function == function]
    raw = [json.loads(path.read_text()) for path in sorted((SAMPLES / "aws").glob(f"{function}.*.json"))]
    assert raw or all(isinstance(source, flow.Queue) for source in sources)
    for source in sources:
        match source:
            case flow.Http(audience):
                assert any(one["requestContext"]["authorizer"]["lambda"]["audience"] == audience for one in raw)
            case flow.ObjectCreated():
                assert any(record["eventSource"] == "aws:s3" for one in raw for record in one.get("Records", ()))
            case flow.Every():
                assert any(one["detail-type"] == "Scheduled Event" for one in raw)
            case flow.Queue():
                assert all((SAMPLES / f"{message.kind}.json").is_file() for message in source.hears)


def test_every_raw_event_belongs_to_a_function() -> None:
    assert {path.name.split(".")[0] for path in (SAMPLES / "aws").iterdir()} <= {*flow.functions(), *NOT_ON_THE_PAGE}


@pytest.mark.parametrize("kind", sorted(flow.messages()))
def test_every_message_has_its_schema(kind: str) -> None:
    schema = json.loads((SAMPLES / "schemas" / f"{kind}.json").read_text())
    assert schema == flow.messages()[kind].model_json_schema(), (
        "the type changed: run `make schemas`, and give the kind a new version if the change breaks readers"
    )


def test_the_page_is_printed_in_the_architecture() -> None:
    assert flow.table() in (ROOT / "ARCHITECTURE.md").read_text(), "print it anew: python -m bourse.flow"


def test_what_becomes_of_things_is_printed_in_the_architecture() -> None:
    assert lifecycles.page() in (ROOT / "ARCHITECTURE.md").read_text(), "print it anew: python -m bourse.lifecycles"


@pytest.mark.parametrize("one", lifecycles.LIFECYCLES, ids=lambda one: one.name)
def test_every_state_is_reached_and_no_step_is_told_twice(one: Lifecycle) -> None:
    reached, steps = set(one.begins), [(before, after) for before, after, _ in one.steps]
    while new := {after for before, after in steps if before in reached} - reached:
        reached |= new
    assert set(one.states()) == reached
    assert len(steps) == len(set(steps))


@pytest.mark.parametrize(("one", "states"), [(UPLOAD, UploadState), (OFFER, OfferState), (PORTFOLIO, PortfolioStatus)])
def test_every_state_of_the_code_is_in_its_lifecycle(one: Lifecycle, states: type[StrEnum]) -> None:
    assert set(one.states()) == set(states)


def test_a_step_that_is_not_declared_is_an_error_where_it_is_taken() -> None:
    with pytest.raises(AssertionError, match="Upload: there is no step from failed to reading"):
        UPLOAD.after(UploadState.FAILED, UploadState.READING)
