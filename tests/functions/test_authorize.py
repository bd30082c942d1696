"""The authorizer: a live token for this audience, signed by a live key, and nothing else."""

import base64
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import jwt
import pytest
from bourse.aws.authorizer import token_authorizer
from bourse.aws.tokens import Caller, issue

KEY = "a key of at least thirty-two bytes, for tests, and long enough for a longer hash"
OLD = "the key before it, also thirty-two bytes long"
ADA = Caller("t1", "ada", "investor")
CONTEXT = SimpleNamespace(function_name="authorize", aws_request_id="r-1")
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def asked(authorization: str | None, keys: str = KEY, audience: str = "investor") -> dict[str, object]:
    headers = {} if authorization is None else {"authorization": authorization}
    return token_authorizer(lambda: keys, lambda: audience)({"headers": headers}, CONTEXT)


def unsigned(claims: dict[str, object]) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def test_a_live_token_lets_its_party_in() -> None:
    answer = asked(f"Bearer {issue(KEY, ADA, NOW, HOUR)}")
    assert answer == {"isAuthorized": True, "context": {"tenant": "t1", "party": "ada", "audience": "investor"}}


def test_after_a_rotation_both_live_keys_are_believed() -> None:
    both = json.dumps({"current": KEY, "previous": OLD})
    assert asked(f"Bearer {issue(OLD, ADA, NOW, HOUR)}", keys=both)["isAuthorized"]
    assert asked(f"Bearer {issue(both, ADA, NOW, HOUR)}", keys=KEY)["isAuthorized"]
    assert not asked(f"Bearer {issue(OLD, ADA, NOW, HOUR)}", keys=json.dumps({"current": KEY}))["isAuthorized"]


CLAIMS = {"iss": "bourse", "aud": "investor", "tenant": "t1", "party": "ada", "iat": NOW, "exp": NOW + HOUR}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer x.y.z",
        "Basic YTpi",
        f"Bearer {issue(KEY, ADA, NOW - 2 * HOUR, HOUR)}",
        f"Bearer {issue(KEY, Caller('t1', 'ada', 'operator'), NOW, HOUR)}",
        f"Bearer {issue('x' * 40, ADA, NOW, HOUR)}",
        "Bearer " + unsigned({**CLAIMS, "iat": 0, "exp": 9_999_999_999}),
        "Bearer " + jwt.encode({**CLAIMS, "aud": ["investor", "operator"]}, KEY),
        "Bearer " + jwt.encode({**CLAIMS, "iss": "somebody"}, KEY),
        "Bearer " + jwt.encode({key: value for key, value in CLAIMS.items() if key != "exp"}, KEY),
        "Bearer " + jwt.encode({**CLAIMS, "tenant": ""}, KEY),
        "Bearer " + jwt.encode({**CLAIMS, "party": 7}, KEY),
        "Bearer " + jwt.encode(CLAIMS, KEY, algorithm="HS512"),
        f"Bearer {issue(KEY, ADA, NOW, HOUR)}x",
    ],
    ids=lambda value: None,
)
def test_anything_else_is_refused(authorization: str | None) -> None:
    assert asked(authorization) == {"isAuthorized": False}
