"""Keys: the register of public keys, and what a key signs."""

from base64 import b64encode
from datetime import datetime
from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from pydantic import Field, StrictInt, StrictStr

from bourse.aws.api import Api
from bourse.aws.routes.ledger.asking import Answer, NextCursor, QueryCursor, QueryLimit, Request, answers
from bourse.aws.routes.ledger.ports import LedgerPorts, named, or_not_found
from bourse.ledger import codes
from bourse.ledger.check import check_name, check_text
from bourse.ledger.documents import instant
from bourse.ledger.keys import KEYS_MAX, Algorithm, Key, KeyVersion, Quorum
from bourse.ledger.signature_documents import octets_of

_PUBLIC_KEY: Final = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
_KEY: Final = {"key_id": "treasurer", "algorithm": "ed25519", "public_key": _PUBLIC_KEY, "valid_from": "2018-01-01T00:00:00Z"}
_VERSION: Final[dict[str, Any]] = {**_KEY, "version": 1, "ends_at": None, "revoked_at": None}
_DEFAULT: Final[dict[str, Any]] = {"key_ids": ["operations"], "quorum": 1}
_REFUSED: Final = ("NAME_INVALID", "KEY_INVALID", "TIME_INVALID")
KeyIds = Annotated[list[StrictStr], Field(max_length=KEYS_MAX, description="Keys that are registered; none: open to whoever may call")]
QuorumAsked = Annotated[StrictInt | None, Field(description="How many of them must sign; null: all")]


class KeyBody(Request):
    """A public key: DER SubjectPublicKeyInfo in base64, which is what `openssl pkey -pubout -outform DER | base64` writes."""

    key_id: StrictStr
    algorithm: Algorithm
    public_key: StrictStr
    valid_from: Annotated[StrictStr, Field(description="RFC 3339 with its offset")]

    def key(self) -> Key:
        """Raises Refused KEY_INVALID, TIME_INVALID."""
        octets = octets_of(self.public_key, "KEY_INVALID", "public_key")
        return Key(self.key_id, self.algorithm, octets, instant(self.valid_from, "valid_from"))


class Rotation(KeyBody):
    """The next version of a key. Earlier ones sign until `previous_until`: what was signed before is to be posted by then."""

    previous_until: StrictStr


class Revocation(Request):
    """From `at` on, now if it is not given, no version there is so far signs anything."""

    key_id: StrictStr
    at: StrictStr | None = None
    reason: StrictStr = ""


class DefaultQuorum(Request):
    """The keys of all accounts and flavors that name none themselves."""

    key_ids: KeyIds
    quorum: QuorumAsked = None


class KeyAnswer(Answer):
    """A version of a public key. It signs from `valid_from` on, and not from the earlier of `ends_at` and `revoked_at` on."""

    key_id: str
    version: int
    algorithm: str
    public_key: str
    valid_from: datetime
    ends_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, version: KeyVersion) -> "KeyAnswer":
        """A version as it is shown."""
        told = b64encode(version.public_key).decode()
        return cls(
            key_id=version.key_id,
            version=version.version,
            algorithm=version.algorithm,
            public_key=told,
            valid_from=version.valid_from,
            ends_at=version.ends_at,
            revoked_at=version.revoked_at,
        )


class KeyPage(Answer):
    """The newest version of each key, by their names."""

    items: list[KeyAnswer]
    cursor: NextCursor


class DefaultQuorumAnswer(Answer):
    """The keys of all accounts and flavors that name none themselves, and how many of them must sign."""

    key_ids: list[str]
    quorum: int

    @classmethod
    def of(cls, quorum: Quorum) -> "DefaultQuorumAnswer":
        """A quorum as it is shown."""
        return cls(key_ids=sorted(quorum.key_ids), quorum=quorum.needed)


def add_key_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of the register of keys."""
    _reading(api, ports)
    _registering(api, ports)
    _revoking(api, ports)
    _defaults(api, ports)


def _reading(api: Api, ports: LedgerPorts) -> None:
    @api.app.get(
        "/v1/ledger/keys",
        summary="The newest version of each key, by their names",
        tags=["ledger keys"],
        responses=answers(KeyPage, {"items": [_VERSION], "cursor": None}, refused=codes.PAGING),
    )
    def listed(cursor: QueryCursor = None, limit: QueryLimit = 100) -> KeyPage:
        found, more = ports.books().keys.listed(api.caller().tenant_id, cursor=cursor, limit=limit)
        return KeyPage(items=[KeyAnswer.of(one) for one in found], cursor=more)

    @api.app.get(
        "/v1/ledger/keys/<key_id>",
        summary="All versions of a key, oldest first",
        tags=["ledger keys"],
        responses=answers(list[KeyAnswer], [_VERSION], missing=("KEY_UNKNOWN",)),
    )
    def versions(key_id: Annotated[str, Path(examples=["treasurer"])]) -> list[KeyAnswer]:
        with or_not_found("KEY_UNKNOWN"):
            return [KeyAnswer.of(one) for one in ports.books().keys.versions(api.caller().tenant_id, named(key_id))]


def _registering(api: Api, ports: LedgerPorts) -> None:
    @api.app.post(
        "/v1/ledger/keys",
        summary="Register a key; the same again changes nothing",
        tags=["ledger keys"],
        responses=answers(KeyAnswer, _VERSION, refused=_REFUSED, conflicts=("KEY_DIFFERS",)),
    )
    def registered(body: Annotated[KeyBody, Body(examples=[_KEY])]) -> KeyAnswer:
        tenant_id, keys = api.caller().tenant_id, ports.books().keys
        keys.open_key(tenant_id, body.key())
        return KeyAnswer.of(keys.versions(tenant_id, body.key_id)[0])

    @api.app.post(
        "/v1/ledger/keys/rotate",
        summary="Register the next version of a key; with the newest one's public key it changes nothing",
        tags=["ledger keys"],
        responses=answers(KeyAnswer, {**_VERSION, "version": 2}, refused=(*_REFUSED, "KEY_UNKNOWN"), conflicts=("KEY_DIFFERS",)),
    )
    def rotated(body: Annotated[Rotation, Body(examples=[{**_KEY, "previous_until": "2018-01-08T00:00:00Z"}])]) -> KeyAnswer:
        tenant_id, keys = api.caller().tenant_id, ports.books().keys
        version = keys.rotate_key(tenant_id, body.key(), instant(body.previous_until, "previous_until"))
        return KeyAnswer.of(keys.versions(tenant_id, body.key_id)[version - 1])


def _revoking(api: Api, ports: LedgerPorts) -> None:
    @api.app.post(
        "/v1/ledger/keys/revoke",
        summary="Revoke every version of a key there is so far; once more changes nothing",
        tags=["ledger keys"],
        responses=answers(KeyAnswer, {**_VERSION, "revoked_at": "2018-03-01T00:00:00Z"}, refused=("NAME_INVALID", "TIME_INVALID", "KEY_UNKNOWN")),
    )
    def revoked(body: Annotated[Revocation, Body(examples=[{"key_id": "treasurer", "reason": "the laptop was lost"}])]) -> KeyAnswer:
        tenant_id, keys = api.caller().tenant_id, ports.books().keys
        check_name(body.key_id, "key_id")
        check_text(body.reason, "reason")
        keys.revoke_key(tenant_id, body.key_id, ports.clock().now() if body.at is None else instant(body.at, "at"), body.reason)
        return KeyAnswer.of(keys.versions(tenant_id, body.key_id)[-1])


def _defaults(api: Api, ports: LedgerPorts) -> None:
    @api.app.get(
        "/v1/ledger/default-quorum",
        summary="The keys of all accounts and flavors that name none themselves",
        tags=["ledger keys"],
        responses=answers(DefaultQuorumAnswer, _DEFAULT),
    )
    def default() -> DefaultQuorumAnswer:
        return DefaultQuorumAnswer.of(ports.books().keys.default(api.caller().tenant_id))

    @api.app.put(
        "/v1/ledger/default-quorum",
        summary="Set the keys of all accounts and flavors that name none themselves; seen everywhere within a minute",
        tags=["ledger keys"],
        responses=answers(DefaultQuorumAnswer, _DEFAULT, refused=("NAME_INVALID", "KEY_UNKNOWN", "QUORUM_INVALID")),
    )
    def defaulted(body: Annotated[DefaultQuorum, Body(examples=[_DEFAULT])]) -> DefaultQuorumAnswer:
        tenant_id, keys = api.caller().tenant_id, ports.books().keys
        keys.set_default(tenant_id, body.key_ids, body.quorum, ports.clock().now())
        return DefaultQuorumAnswer.of(keys.default(tenant_id))
