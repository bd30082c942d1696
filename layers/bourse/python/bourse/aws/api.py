"""Makes a Lambda handler of routes: one HTTP API per audience, described by OpenAPI, with problem documents for what goes wrong.

Routes are functions with typed arguments; powertools validates and documents them. Who calls comes from the authorizer and
never from the request.
"""

import re
from http import HTTPStatus
from typing import Annotated, Any, Final

import orjson
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, ValidationError

from bourse.aws.door import Event, TurnedAway, admitted, read_json
from bourse.aws.problems import MEDIA, with_problems
from bourse.aws.report import Report
from bourse.aws.tokens import Caller
from bourse.errors import BourseError, Conflict, NotFound, Refused, Unavailable

VERSION: Final = "1.0.0"
_DOCS: Final = "/docs"
_OPENAPI: Final = "/openapi.json"
_NO_PATH: Final = "(no such path)"
_NOT_LOOKED_AT: Final = "(not looked at)"
_WHOLE: Final = re.compile(r"-?[0-9]+", re.ASCII)
_DESCRIBED: Final = ("get", "post", "put", "patch", "delete")
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def _digits(value: Any) -> Any:
    """Raises ValueError for a text that is no whole number by its letters, such as 1.0, which a lenient reader would round."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError("a whole number, in digits")
    return value


Whole = Annotated[int, BeforeValidator(_digits)]
"""A whole number in a query: `limit=100`."""


class _Resolver(APIGatewayHttpResolver):
    """The resolver, which remembers the template of the path it found: what a log may say, where the path itself names people's things."""

    template: str | None = None

    def append_context(self, **additional_context: Any) -> None:
        if route := additional_context.get("_route"):
            self.template = route.openapi_path
        super().append_context(**additional_context)  # type: ignore[no-untyped-call]  # the library's own has no types

    def get_openapi_schema(self, **facts: Any) -> Any:
        """The description of all routes, each with the errors every request can get."""
        found = super().get_openapi_schema(**facts)
        for item in (found.paths or {}).values():
            for method in _DESCRIBED:
                if one := getattr(item, method):
                    said = {status: answer.model_dump(by_alias=True, exclude_none=True) for status, answer in one.responses.items()}
                    one.responses = with_problems(said, body=one.requestBody is not None, command=method != "get")
        for framework in ("HTTPValidationError", "ValidationError"):
            ((found.components and found.components.schemas) or {}).pop(framework, None)
        return found


class Api:
    """Routes of one audience. `app` takes them: `@api.app.get("/v1/home")`; `api.caller()` is who calls now.

    What follows a path of `wholes` is one parameter, which `door.parameter` reads.
    """

    def __init__(self, audience: str, wholes: tuple[str, ...] = ()) -> None:
        self.audience: Final = audience
        self.app: Final = _Resolver(enable_validation=True, json_body_deserializer=read_json)
        self._wholes: Final = wholes
        self._title: Final = f"Bourse for {audience}s"
        self._documented = False
        for error in (BourseError, RequestValidationError, ValidationError, Exception):
            self.app.exception_handler(error)(problem_of)
        self.app.not_found(self._no_such_path)

    def caller(self) -> Caller:
        """Tenant and party of the running request, as the authorizer found them in the token."""
        context = self.app.current_event["requestContext"]["authorizer"]["lambda"]
        if context.get("audience") != self.audience:
            raise NotFound("PATH", "there is no such path")
        return Caller(context["tenant"], context["party"], self.audience)

    def request_id(self) -> str:
        """The running request, as our logs name it."""
        return str(self.app.lambda_context.aws_request_id)

    def __call__(self, event: Event, context: Any) -> Event:
        """Answer one request, and write one line about it."""
        report = Report(context.function_name, context.aws_request_id)
        try:
            answer = self._answer(event, context)
        except Exception as error:  # the last resort: the caller learns nothing of our insides, the log where it rose
            report.note(error=f"{type(error).__name__} at {_where(error)}")
            answer = _plain(problem(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL", "Something went wrong on our side; the request id names it in our logs."))
        answer.setdefault("headers", {})["x-request-id"] = context.aws_request_id
        method = event["requestContext"]["http"]["method"]
        report.note(route=f"{method if method in _METHODS else '?'} {self.app.template or _NO_PATH}", status=answer["statusCode"])
        report.count([("requests", 1), (f"status_{answer['statusCode'] // 100}xx", 1)])
        report.write(failed=answer["statusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR)
        return answer

    def _answer(self, event: Event, context: Any) -> Event:
        self.app.template = None
        self._document(event)
        try:
            answer: Event = self.app.resolve(admitted(event, self._wholes), context)
        except TurnedAway as refused:
            self.app.template = _NOT_LOOKED_AT
            return _plain(problem(refused.status, refused.code, refused.detail))
        except RecursionError:
            return _plain(problem(HTTPStatus.BAD_REQUEST, "BODY_TOO_DEEP", "the body is nested too deeply"))
        return answer

    def _document(self, event: Event) -> None:
        """Add the pages that describe the API when one of them is first asked for: they cost 60 ms of a start, and few ask."""
        if not self._documented and event.get("rawPath", "") in {_DOCS, _OPENAPI}:
            self.app.enable_swagger(path=_DOCS, title=self._title, version=VERSION, description=_DESCRIPTION)
            self.app.get(_OPENAPI, include_in_schema=False)(self._openapi)
            self._documented = True

    def _no_such_path(self, _error: NotFoundError) -> Response[str]:
        self.app.template = None
        return problem(HTTPStatus.NOT_FOUND, "PATH", "there is no such path")

    def _openapi(self) -> Response[str]:
        return Response(HTTPStatus.OK, "application/json", self.app.get_openapi_json_schema(title=self._title, version=VERSION, description=_DESCRIPTION))


def problem(status: HTTPStatus, code: str, detail: str, field: str | None = None, errors: list[dict[str, str]] | None = None) -> Response[str]:
    """A problem document (RFC 9457): `code` is stable and for machines, `detail` for people, `field` what is at fault."""
    document: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value, "code": code, "detail": detail}
    document |= ({"field": field} if field else {}) | ({"errors": errors} if errors else {})
    headers: dict[str, str | list[str]] = {"Retry-After": "2"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(status.value, MEDIA, orjson.dumps(document).decode(), headers=headers)


def problem_of(error: Exception) -> Response[str]:
    """What the caller is told of an error he can do something about."""
    match error:
        case NotFound():
            return problem(HTTPStatus.NOT_FOUND, error.code, error.detail, error.field)
        case Conflict():
            return problem(HTTPStatus.CONFLICT, error.code, error.detail, error.field)
        case Refused():
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, error.detail, error.field)
        case Unavailable():
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE", "Try again in a moment; doing it twice changes nothing.")
        case RequestValidationError() | ValidationError():
            found = [_field_error(one) for one in error.errors()]
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID", found[0]["detail"], found[0]["field"], found)
        case _:
            raise error  # from here and not from powertools, which would write it to the log with all it says


def _field_error(error: Any) -> dict[str, str]:
    """One refused field: its path without the word body, and why. What was sent is not repeated."""
    if error["type"] == "json_invalid":
        return {"field": "body", "code": "JSON_INVALID", "detail": "the body is not one JSON object"}
    path = [str(part) for part in error["loc"] if part not in ("body", "query", "path")]
    return {"field": ".".join(path), "code": str(error["type"]).upper(), "detail": str(error["msg"])}


def _plain(response: Response[str]) -> Event:
    return {"statusCode": response.status_code, "headers": {"content-type": MEDIA}, "body": response.body}


def _where(error: Exception) -> str:
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return f"{step.tb_frame.f_code.co_name}:{step.tb_lineno}" if step else "?"


_DESCRIPTION: Final = (
    "Send `Authorization: Bearer <token>`. Amounts are whole minor units (cents) with an ISO 4217 currency; ratios and percents are decimal strings. "
    "What goes wrong is a problem document (RFC 9457) with a stable `code`."
)
