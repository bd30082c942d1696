"""A forecaster or classifier that is somebody else's REST service: bounded in time, retried with care, cut off when it is down.

    POST <url>  {"kind": "forecast.v1", "tenant_id", "as_of", "loans": [...]}  ->  {"model_version", "forecasts": [... or null]}
    POST <url>  {"kind": "classify.v1", "tenant_id", "loans": [...]}           ->  {"model_version", "classes": [... or null]}

One answer per loan, in order; null for a loan the service cannot assess. 400, 413 and 422 say that a loan of the question is at
fault: the question is halved until the loan is found. Everything else but 200 is the service's fault, and asked again later.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bourse.assessment.aurora import tables_from_env
from bourse.assessment.local import TableClassifier, TableForecaster
from bourse.assessment.model import Attributes, CashFlow, Forecast, RiskClass
from bourse.assessment.provider import CashFlowForecaster, RiskClassifier
from bourse.assets.model import LoanRecord
from bourse.aws import settings
from bourse.errors import Refused, Unavailable
from bourse.ids import shard

if TYPE_CHECKING:
    import urllib3

_AT_FAULT: Final = frozenset({400, 413, 422})
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
_PIECE: Final = 64 * 1024
_WITHHELD: Final[dict[str, Any]] = {"callback_url": True, "borrower": {"id": True}}  # a model needs neither a person's id nor a way to the originator

T = TypeVar("T")
F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a service may take, and how often it is asked; together less than a function's time."""

    connect_ms: int = 2_000
    read_ms: int = 8_000
    whole_ms: int = 30_000
    """After this no further attempt begins, and no answer is read on."""
    attempts_max: int = 3
    pause_ms: int = 200
    """Before the second attempt; it doubles, and up to half of it is taken off, so that callers do not come back in step."""
    pause_ms_max: int = 5_000
    """A service that asks for a longer pause (Retry-After) is left to the queue."""
    failures_max: int = 5
    """So many failures in a row open the breaker: nothing is asked for `open_ms`, then one question tries."""
    open_ms: int = 30_000


class RestService:
    """One URL that answers questions. Raises Refused when the question is at fault, Unavailable for all else."""

    def __init__(self, url: str, patience: Patience, sleep: Callable[..., object] = time.sleep) -> None:
        """`sleep` takes seconds."""
        import pybreaker
        import urllib3

        place = urllib3.util.parse_url(url)
        if place.scheme != "https" and place.host not in ("127.0.0.1", "localhost"):
            raise settings.SettingError("the URL of a forecaster or classifier must begin with https://")
        self._url: Final = url
        self._patience: Final = patience
        self._sleep: Final = sleep
        timeout = urllib3.Timeout(connect=patience.connect_ms / 1000, read=patience.read_ms / 1000)
        self._pool: Final = urllib3.PoolManager(timeout=timeout, retries=False, maxsize=1)
        self._breaker: Final = pybreaker.CircuitBreaker(patience.failures_max, patience.open_ms / 1000, exclude=[Refused])

    def ask(self, question: bytes, understand: Callable[[bytes], T]) -> T:
        """What `understand` makes of the answer; an answer it raises `_Again` for is the service's failure like any other."""
        ends_at = time.monotonic() + self._patience.whole_ms / 1000
        attempt = 1
        while True:
            try:
                return self._guarded(question, understand, ends_at)
            except _Again as failed:
                pause_ms = self._pause_ms(question, attempt, failed.retry_after)
                late = time.monotonic() + pause_ms / 1000 > ends_at
                if late or attempt == self._patience.attempts_max or pause_ms > self._patience.pause_ms_max:
                    raise Unavailable(f"a service of assessment did not answer as promised: {failed}") from failed
                self._sleep(pause_ms / 1000)
                attempt += 1

    def _guarded(self, question: bytes, understand: Callable[[bytes], T], ends_at: Any) -> T:
        import pybreaker

        try:
            return self._breaker.call(lambda: understand(self._once(question, ends_at)))
        except pybreaker.CircuitBreakerError as opened:
            raise Unavailable("a service of assessment is down: its breaker is open") from opened

    def _once(self, question: bytes, ends_at: Any) -> bytes:
        import urllib3

        headers = {"content-type": "application/json", "accept": "application/json"}
        try:
            response = self._pool.request("POST", self._url, body=question, headers=headers, redirect=False, preload_content=False)
            try:
                return _read(response, ends_at)
            except BaseException:
                response.close()  # what is left of the answer must not be taken for the next one's
                raise
        except urllib3.exceptions.HTTPError as error:
            raise _Again(type(error).__name__) from error

    def _pause_ms(self, question: bytes, attempt: int, retry_after: str | None) -> int:
        """Doubling, less a part that depends on the question: no two callers' questions are the same. A given Retry-After is honoured."""
        if retry_after is not None:
            known = retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 6
            return int(retry_after) * 1000 if known else self._patience.pause_ms_max + 1
        whole = self._patience.pause_ms << (attempt - 1)
        return whole - shard(f"{attempt}:{hash(question)}", whole // 2 + 1)


def _read(response: "urllib3.BaseHTTPResponse", ends_at: Any) -> bytes:
    if response.status in _AT_FAULT:
        raise Refused("QUESTION_REFUSED", f"the service answered {response.status}")
    if response.status in _AGAIN:
        raise _Again(f"status {response.status}", response.headers.get("retry-after"))
    if response.status != 200:
        raise _Again(f"status {response.status}", "never")
    answer = bytearray()
    for piece in response.stream(_PIECE):
        answer += piece
        if len(answer) > _ANSWER_BYTES_MAX or time.monotonic() > ends_at:
            raise _Again("the answer has no end")
    return bytes(answer)


class _Again(Exception):
    """The service failed; it may answer another time, not before `retry_after` (seconds as text) where it says so."""

    def __init__(self, what: str, retry_after: str | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class _Answer(BaseModel):
    """What comes in from outside; what we do not know in it is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


_Minor = Annotated[int, Field(ge=0, le=2**63 - 1)]
_Share = Annotated[Decimal, Field(ge=0, le=1)]
_Percent = Annotated[Decimal, Field(ge=-100_000, le=100_000, max_digits=20)]
_Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
_ClassName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9+-]{0,7}$")]


class _CashFlow(_Answer):
    due_on: date
    principal_minor: _Minor
    interest_minor: _Minor
    recovery_minor: _Minor = 0


class _Forecast(_Answer):
    expected_return: _Percent
    expected_loss: _Percent
    expected_loss_minor: _Minor
    cash_flow: Annotated[tuple[_CashFlow, ...], Field(max_length=1_200)]
    pd: _Share | None = None
    lgd: _Share | None = None


class _Forecasts(_Answer):
    model_version: _Version
    forecasts: tuple[_Forecast | None, ...]


class _Classes(_Answer):
    model_version: _Version
    classes: tuple[_ClassName | None, ...]


class RestForecaster:
    """A `CashFlowForecaster` over a service."""

    def __init__(self, service: RestService) -> None:
        self._service = service

    def forecast(self, tenant_id: str, as_of: date, loans: Sequence[LoanRecord]) -> list[Forecast | None]:
        def ask(part: Sequence[LoanRecord]) -> list[Forecast | None]:
            told = [loan.model_dump(mode="json", exclude_none=True, exclude=_WITHHELD) for loan in part]
            body = orjson.dumps({"kind": "forecast.v1", "tenant_id": tenant_id, "as_of": as_of, "loans": told}, default=str)
            answer = self._service.ask(body, lambda octets: _understood(_Forecasts, octets, len(part)))
            return [_forecast(one, answer.model_version) if one else None for one in answer.forecasts]

        return _ask_in_halves(ask, loans)


class RestClassifier:
    """A `RiskClassifier` over a service."""

    def __init__(self, service: RestService) -> None:
        self._service = service

    def classify(self, tenant_id: str, loans: Sequence[Attributes]) -> list[RiskClass | None]:
        def ask(part: Sequence[Attributes]) -> list[RiskClass | None]:
            body = orjson.dumps({"kind": "classify.v1", "tenant_id": tenant_id, "loans": list(part)}, default=str)
            answer = self._service.ask(body, lambda octets: _understood(_Classes, octets, len(part)))
            return [RiskClass(one, answer.model_version) if one else None for one in answer.classes]

        return _ask_in_halves(ask, loans)


def forecaster_from_env() -> CashFlowForecaster:
    """The service at FORECASTER_URL, or without it our own rules."""
    url = settings.text("FORECASTER_URL", "")
    return RestForecaster(RestService(url, Patience())) if url else TableForecaster(tables_from_env())


def classifier_from_env() -> RiskClassifier:
    """The service at CLASSIFIER_URL, or without it our own table."""
    url = settings.text("CLASSIFIER_URL", "")
    return RestClassifier(RestService(url, Patience())) if url else TableClassifier(tables_from_env())


def _ask_in_halves(ask: Callable[[Sequence[T]], list[F | None]], loans: Sequence[T]) -> list[F | None]:
    """Ask for all; when the question is refused, for each half, until the loan at fault stands alone: it has no answer."""
    try:
        return ask(loans)
    except Refused:
        if len(loans) == 1:
            return [None]
    middle = len(loans) // 2
    return _ask_in_halves(ask, loans[:middle]) + _ask_in_halves(ask, loans[middle:])


A = TypeVar("A", _Forecasts, _Classes)


def _understood(expected: type[A], octets: bytes, loans: int) -> A:
    """The answer, checked: its shape, and that it has one for each loan."""
    try:
        answer = expected.model_validate_json(octets)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise _Again(f"an answer that cannot be read: {first['type']} at {first['loc'][:3]}") from error
    given = len(answer.forecasts if isinstance(answer, _Forecasts) else answer.classes)
    if given != loans:
        raise _Again(f"{given} answers to {loans} loans")
    return answer


def _forecast(one: _Forecast, model_version: str) -> Forecast:
    flows = tuple(CashFlow(row.due_on, row.principal_minor, row.interest_minor, row.recovery_minor) for row in one.cash_flow)
    return Forecast(model_version, one.expected_return, one.expected_loss, one.expected_loss_minor, flows, one.pd, one.lgd)
