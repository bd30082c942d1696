"""The Lambda authorizer: a request goes on with the tenant and party its token names, or not at all."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from bourse.aws.report import Report
from bourse.aws.secrets import secret
from bourse.aws.settings import text
from bourse.aws.tokens import verify
from bourse.errors import Refused

Answer = dict[str, Any]


_KEYS: Final = partial(secret, "TOKEN_KEY_SECRET")
_AUDIENCE: Final = partial(text, "AUDIENCE")


def token_authorizer(keys: Callable[[], str] = _KEYS, audience: Callable[[], str] = _AUDIENCE) -> Callable[[Any, Any], Answer]:
    """A handler of HTTP API's authorizer requests (payload 2.0, simple answers)."""

    def handle(event: dict[str, Any], context: Any) -> Answer:
        report = Report(context.function_name, context.aws_request_id)
        scheme, _, token = (event.get("headers") or {}).get("authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise Refused("TOKEN", "no bearer token")
            caller = verify(keys(), token.strip(), audience())
        except Refused as refused:
            report.note(error_code=refused.code)
            report.count([("callers_refused", 1)])
            report.write()
            return {"isAuthorized": False}
        report.count([("callers_let_in", 1)])
        report.write()
        return {"isAuthorized": True, "context": {"tenant": caller.tenant_id, "party": caller.party_id, "audience": caller.audience}}

    return handle
