"""Bearer tokens: signed statements of who calls (tenant, party) and which API may believe it (audience).

The library is imported at the first token: an API that only reads who calls need not wait for it (40 ms).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

import orjson

from bourse.errors import Refused

Audience = Literal["originator", "investor", "operator"]
AUDIENCES: Final[tuple[str, ...]] = get_args(Audience)
_ISSUER: Final = "bourse"
_ALGORITHM: Final = "HS256"
_LEEWAY: Final = timedelta(seconds=10)
_KEY_BYTES_MIN: Final = 32


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the tenant, and the party of the audience (originator, investor, or the operator's name)."""

    tenant_id: str
    party_id: str
    audience: str


def issue(keys: str, caller: Caller, now: datetime, lifetime: timedelta) -> str:
    """A token that lets the caller in until `now + lifetime`, signed with the current key."""
    import jwt

    claims = {"iss": _ISSUER, "aud": caller.audience, "tenant": caller.tenant_id, "party": caller.party_id, "iat": now, "exp": now + lifetime}
    return jwt.encode(claims, _live_keys(keys)[0], algorithm=_ALGORITHM)


def verify(keys: str, token: str, audience: str) -> Caller:
    """Who the token says is calling. Raises Refused TOKEN for anything but a live token for this audience; why is not told."""
    import jwt

    for key in _live_keys(keys):
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                audience=audience,
                issuer=_ISSUER,
                leeway=_LEEWAY,
                options={"require": ["exp", "iat", "aud", "iss"], "strict_aud": True},
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidTokenError:
            break
        if isinstance(tenant := claims.get("tenant"), str) and tenant and isinstance(party := claims.get("party"), str) and party:
            return Caller(tenant, party, audience)
        break
    raise Refused("TOKEN", "the token is not valid here")


def _live_keys(keys: str) -> list[str]:
    """The current key first, then the previous one: a secret is the key itself, or {"current": ..., "previous": ...}."""
    if keys.startswith("{"):
        both = orjson.loads(keys)
        live = [both["current"], *([both["previous"]] if both.get("previous") else [])]
    else:
        live = [keys]
    assert all(len(key.encode()) >= _KEY_BYTES_MIN for key in live), f"a token key has at least {_KEY_BYTES_MIN} bytes"
    return live
