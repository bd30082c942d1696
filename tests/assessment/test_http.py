"""A forecaster and a classifier that are services: asked over real sockets, with every fault a service can have."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from bourse.assessment import http
from bourse.assessment.attributes import attributes_of
from bourse.assessment.http import Patience, RestClassifier, RestForecaster, RestService
from bourse.assessment.local import TableClassifier, TableForecaster
from bourse.assessment.memory import MemoryAssessments
from bourse.assessment.model import Attributes
from bourse.aws.settings import SettingError
from bourse.errors import Unavailable
from bourse.message import encode

from tests.assessment.builders import NOON, Stage, loan, local_models, versioned

TODAY = date(2026, 1, 31)
QUICK = Patience(connect_ms=500, read_ms=150, whole_ms=5_000, pause_ms=100, failures_max=5, open_ms=60_000)
Behaviour = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]


def answer(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def well(handler: BaseHTTPRequestHandler, question: dict[str, Any]) -> None:
    """What a sound service answers: the rate of each loan as its return, the grade as its class."""
    flow = {"due_on": "2026-03-01", "principal_minor": 1, "interest_minor": 2, "recovery_minor": 3, "note": "not known to us"}
    numbers = {"expected_loss": "1.5", "expected_loss_minor": 7, "cash_flow": [flow]}
    forecasts = [{"expected_return": one["interest_rate"], **numbers} for one in question["loans"] if "loan_id" in one]
    classes = [one["labels"].get("grade", "F") for one in question["loans"] if "labels" in one]
    told = {"forecasts": forecasts} if question["kind"] == "forecast.v1" else {"classes": classes}
    answer(handler, json.dumps({"model_version": "their-model-7", **told}).encode())


def status(code: int, **headers: str) -> Behaviour:
    return lambda handler, question: answer(handler, b"no", code, **headers)


def saying(body: bytes) -> Behaviour:
    return lambda handler, question: answer(handler, body)


def hang_up(handler: BaseHTTPRequestHandler, question: dict[str, Any]) -> None:
    handler.connection.close()


def cut_off(handler: BaseHTTPRequestHandler, question: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"model_version": "their-')
    handler.close_connection = True


def endless(handler: BaseHTTPRequestHandler, question: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" " * 1_000_000)
    except OSError:
        handler.close_connection = True


@dataclass
class Service:
    """A real server on this machine. Each request takes the next behaviour of the script; after its end, the service is well."""

    url: str = ""
    script: list[Behaviour] = field(default_factory=list)
    questions: list[dict[str, Any]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    pauses: list[Any] = field(default_factory=list)

    def slow(self, handler: BaseHTTPRequestHandler, question: dict[str, Any]) -> None:
        """Does not answer before the test ends."""
        self.closing.wait(30)
        handler.close_connection = True

    def asked(self, patience: Patience = QUICK) -> RestService:
        return RestService(self.url, patience, self.pauses.append)


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that gave up is what the tests are about."""


@contextmanager
def serving(service: Service) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["content-length"])))
            service.questions.append(question)
            (service.script.pop(0) if service.script else well)(self, question)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
            """The tests say what they need to."""

    server = QuietServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield
    finally:
        service.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    one = Service()
    with serving(one):
        yield one


def forecast(service: Service, count: int = 2, patience: Patience = QUICK) -> list[Any]:
    loans = [loan(loan_id=f"L-{number}", callback_url="https://lender.example/ask") for number in range(count)]
    return RestForecaster(service.asked(patience)).forecast("demo", TODAY, loans)


def test_a_service_is_told_what_a_model_needs_and_no_more(service: Service) -> None:
    first, second = forecast(service)
    assert (first.model_version, first.expected_return, first.expected_loss_minor) == ("their-model-7", Decimal("12.99"), 7)
    assert (str(first.cash_flow[0].due_on), first.cash_flow[0].recovery_minor) == ("2026-03-01", 3)
    assert second == first
    [question] = service.questions
    assert (question["kind"], question["tenant_id"], question["as_of"]) == ("forecast.v1", "demo", "2026-01-31")
    told = question["loans"][0]
    assert (told["loan_id"], told["interest_rate"], told["borrower"]["birth_year"]) == ("L-0", "12.99", 1990)
    assert "callback_url" not in told
    assert "id" not in told["borrower"]


def test_a_classifier_is_told_words_and_exact_numbers(service: Service) -> None:
    known = [attributes_of(loan(grade="B"), TODAY), Attributes({}, {"age": Decimal(28)})]
    found = RestClassifier(service.asked()).classify("demo", known)
    assert [(one.risk_class, one.model_version) for one in found if one] == [("B", "their-model-7"), ("F", "their-model-7")]
    assert service.questions[0]["loans"][1] == {"labels": {}, "numbers": {"age": "28"}}


@pytest.mark.parametrize(
    "fault",
    [status(500), status(503), status(429), hang_up, cut_off, saying(b"<html>"), saying(b"{}"), saying(b'{"model_version": "m", "forecasts": []}')],
    ids=["500", "503", "429", "closed socket", "cut off", "garbage", "half an answer", "wrong length"],
)
def test_a_passing_fault_is_asked_through(service: Service, fault: Behaviour) -> None:
    service.script = [fault, fault]
    assert len(forecast(service)) == 2
    assert len(service.questions) == 3
    first, second = service.pauses
    assert 0.05 <= first <= 0.1 <= second <= 0.2


@pytest.mark.parametrize(
    "fault",
    [status(500), hang_up, cut_off, saying(b"null"), saying(b'{"model_version": "a b", "forecasts": [null, null]}')],
    ids=["500", "closed socket", "cut off", "garbage", "a version that is none"],
)
def test_a_fault_that_stays_is_left_to_the_queue_after_three_attempts(service: Service, fault: Behaviour) -> None:
    service.script = [fault] * 9
    with pytest.raises(Unavailable):
        forecast(service)
    assert len(service.questions) == 3


def test_a_slow_service_is_not_waited_for(service: Service) -> None:
    service.script = [service.slow, well]
    assert len(forecast(service)) == 2
    assert len(service.questions) == 2


def test_an_answer_without_end_is_not_read_to_its_end(service: Service) -> None:
    service.script = [endless, well]
    assert len(forecast(service, patience=Patience(read_ms=2_000, pause_ms=10))) == 2


@pytest.mark.parametrize("code", [301, 302, 401, 403, 404, 405, 501])
def test_a_service_that_is_set_up_wrongly_is_asked_once_and_withdraws_no_offer(service: Service, code: int) -> None:
    service.script = [status(code, location="http://127.0.0.1:9/elsewhere")] * 9
    with pytest.raises(Unavailable, match=str(code)):
        forecast(service)
    assert len(service.questions) == 1


def test_a_service_that_says_when_to_come_back_is_obeyed(service: Service) -> None:
    service.script = [status(429, retry_after="2"), status(503, retry_after="1")]
    assert len(forecast(service)) == 2
    assert service.pauses == [2, 1]


@pytest.mark.parametrize("when", ["3600", "999999999999", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "soon"])
def test_a_pause_too_long_or_not_understood_is_left_to_the_queue(service: Service, when: str) -> None:
    service.script = [status(503, retry_after=when)]
    with pytest.raises(Unavailable):
        forecast(service)
    assert (len(service.questions), service.pauses) == (1, [])


def test_no_attempt_begins_that_could_not_end_in_time(service: Service) -> None:
    service.script = [status(500)]
    with pytest.raises(Unavailable):
        forecast(service, patience=Patience(whole_ms=100, pause_ms=400))
    assert len(service.questions) == 1


def test_a_service_nobody_runs_is_unavailable() -> None:
    gone = Service(url="http://127.0.0.1:9/v1")
    with pytest.raises(Unavailable):
        forecast(gone)
    assert len(gone.pauses) == 2


def test_after_many_failures_the_breaker_opens_and_the_service_is_left_alone(service: Service) -> None:
    service.script = [status(500)] * 99
    forecaster = RestForecaster(service.asked())
    for _ in range(4):
        with pytest.raises(Unavailable):
            forecaster.forecast("demo", TODAY, [loan()])
    assert len(service.questions) == 5
    with pytest.raises(Unavailable, match="breaker is open"):
        forecaster.forecast("demo", TODAY, [loan()])


def test_a_breaker_closes_again_when_the_service_is_well(service: Service) -> None:
    service.script = [status(500)] * 2
    forecaster = RestForecaster(service.asked(Patience(pause_ms=1, failures_max=2, open_ms=0)))
    with pytest.raises(Unavailable):
        forecaster.forecast("demo", TODAY, [loan()])
    assert len(forecaster.forecast("demo", TODAY, [loan()])) == 1


@pytest.mark.parametrize("code", [400, 413, 422])
def test_the_loan_at_fault_is_found_and_the_others_are_forecast(service: Service, code: int) -> None:
    def picky(handler: BaseHTTPRequestHandler, question: dict[str, Any]) -> None:
        bad = any(one["loan_id"] == "L-5" for one in question["loans"])
        status(code)(handler, question) if bad else well(handler, question)

    service.script = [picky] * 99
    found = forecast(service, count=8)
    assert [place for place, one in enumerate(found) if one is None] == [5]
    assert len(service.questions) == 7
    assert service.pauses == []


def test_a_loan_the_service_cannot_assess_is_null(service: Service) -> None:
    service.script = [saying(b'{"model_version": "m", "classes": ["A", null]}')]
    found = RestClassifier(service.asked()).classify("demo", [attributes_of(loan(), TODAY)] * 2)
    assert [one and one.risk_class for one in found] == ["A", None]


@pytest.mark.parametrize(
    "wrong",
    [{"expected_return": "NaN"}, {"expected_loss_minor": -1}, {"expected_loss_minor": 2**63}, {"cash_flow": None}, {"pd": "1.1"}],
)
def test_numbers_that_cannot_be_are_not_taken(service: Service, wrong: dict[str, Any]) -> None:
    sound = {"expected_return": "5", "expected_loss": "1", "expected_loss_minor": 1, "cash_flow": []}
    service.script = [saying(json.dumps({"model_version": "m", "forecasts": [sound | wrong]}).encode())] * 3
    with pytest.raises(Unavailable):
        forecast(service, count=1)


@pytest.mark.parametrize("url", ["http://models.example/v1", "ftp://models.example", "models.example"])
def test_loans_are_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(SettingError, match="https"):
        RestService(url, QUICK)


def test_swapping_a_model_needs_configuration_only(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORECASTER_URL", raising=False)
    monkeypatch.delenv("CLASSIFIER_URL", raising=False)
    assert isinstance(http.forecaster_from_env(), TableForecaster)
    assert isinstance(http.classifier_from_env(), TableClassifier)
    monkeypatch.setenv("FORECASTER_URL", service.url)
    monkeypatch.setenv("CLASSIFIER_URL", service.url)
    stage = Stage(forecaster=http.forecaster_from_env(), classifier=http.classifier_from_env())
    theirs, ours = stage.hear(versioned({})), Stage().hear(versioned({}))
    assert [message.kind for message in theirs.says] == [message.kind for message in ours.says]
    assert isinstance(stage.assessments, MemoryAssessments)
    [facts] = stage.assessments.kept.values()
    assert (facts["risk_class"], facts["forecast"]["model_version"], facts["class_model_version"]) == ("C", "their-model-7", "their-model-7")


def test_one_model_of_theirs_goes_with_one_of_ours(service: Service) -> None:
    stage = Stage(forecaster=RestForecaster(service.asked()), classifier=local_models()[1])
    [message] = stage.hear(versioned({})).says
    assert '"risk_class":"A"' in encode(message), "1.5 percent of loss is class A in our table"
    assert message.kind == "sell_offers_placed.v1"


def test_a_service_that_is_down_leaves_the_message_in_the_queue_and_nothing_is_kept(service: Service) -> None:
    service.script = [status(500)] * 9
    stage = Stage(forecaster=RestForecaster(service.asked()))
    heard = versioned({}, said_at=NOON)
    with pytest.raises(Unavailable):
        stage.hear(heard)
    assert isinstance(stage.assessments, MemoryAssessments)
    assert stage.assessments.kept == {}
    service.script = []
    assert len(stage.hear(heard).says) == 1
