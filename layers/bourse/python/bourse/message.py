"""What travels between functions: frozen, versioned facts about a chunk of one ordering group, as text a queue can carry.

The envelope is JSON with a readable head and the facts either as JSON or, above COMPRESS_ABOVE bytes, as zlib + base64,
because SQS takes text only and bills per 64 KB.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from bourse.errors import Refused
from bourse.ids import derive

RECORDS_MAX: Final = 200
"""The most facts one message carries."""
BODY_BYTES_MAX: Final = 1_000_000
"""SQS takes 1 MiB for a message and for a whole batch call; the rest is room for the envelope and attributes."""
PART_BYTES_MAX: Final = 600_000
"""Bytes of facts in one message before compression: base64 of them fits a queue even if nothing can be compressed."""
COMPRESS_ABOVE: Final = 4_096
_INFLATED_BYTES_MAX: Final = 64 * 1024 * 1024


class Facts(BaseModel):
    """A frozen, strict part of a message; unknown fields are refused, so a contract cannot drift unseen."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, defer_build=True, ser_json_bytes="base64", val_json_bytes="base64")


class Message(Facts):
    """One chunk of facts. Subclasses set `kind` (name and version), and say which ordering group they belong to.

    `correlation_id` runs from the upload slot (or the API call) through every message to the ledger transaction.
    `message_id` is derived from the cause by the sender, so saying the same thing twice is the same message.
    """

    kind: ClassVar[str]
    compresses: ClassVar[bool] = True
    """False where the facts carry bytes that are compressed already."""

    message_id: str
    tenant_id: str
    correlation_id: str

    def group(self) -> str:
        """The ordering group: messages of one group are heard one after the other, in the order they were said."""
        raise NotImplementedError(f"{type(self).__name__} must name its ordering group")


M = TypeVar("M", bound=Message)
T = TypeVar("T")


def message_id(kind: str, *cause: str | int) -> str:
    """The id of the message of this kind that this cause makes."""
    return derive("msg", kind, *cause)


def encode(message: Message) -> str:
    """The queue body of a message. Raises AssertionError when the sender made a chunk too large for a queue."""
    facts = message.model_dump_json(exclude_none=True).encode()
    head: dict[str, Any] = {"kind": message.kind, "message_id": message.message_id, "correlation_id": message.correlation_id}
    if message.compresses and len(facts) > COMPRESS_ABOVE:
        head |= {"encoding": "zlib+base64", "facts": b64encode(zlib.compress(facts, 1)).decode()}
    else:
        head |= {"encoding": "json", "facts": orjson.Fragment(facts)}
    body = orjson.dumps(head).decode()
    assert len(body) <= BODY_BYTES_MAX, f"{message.kind} of {len(body)} bytes is too large for a queue: chunk it"
    return body


class Envelope:
    """A queue body, opened far enough to know its kind and correlation id before its facts are read."""

    def __init__(self, body: str) -> None:
        try:
            head = orjson.loads(body)
            self.kind: Final[str] = head["kind"]
            self.message_id: Final[str] = head["message_id"]
            self.correlation_id: Final[str] = head["correlation_id"]
            self._encoding: Final[str] = head["encoding"]
            self._facts: Final[Any] = head["facts"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise Refused("MESSAGE_MALFORMED", f"not an envelope: {error}") from error

    def read(self, kinds: dict[str, type[M]]) -> M:
        """The typed facts. Raises Refused MESSAGE_UNKNOWN for a kind not in `kinds`, MESSAGE_MALFORMED for wrong facts."""
        if (expected := kinds.get(self.kind)) is None:
            raise Refused("MESSAGE_UNKNOWN", f"{self.kind} is not heard here; heard are {sorted(kinds)}")
        try:
            if self._encoding == "zlib+base64":
                return expected.model_validate_json(_inflate(b64decode(self._facts)))
            return expected.model_validate_json(orjson.dumps(self._facts))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise Refused("MESSAGE_MALFORMED", f"{self.kind} cannot be read: {first['type']} at {first['loc']}") from error
        except (ValueError, zlib.error) as error:
            raise Refused("MESSAGE_MALFORMED", f"{self.kind} cannot be inflated") from error


def _inflate(octets: bytes) -> bytes:
    inflater = zlib.decompressobj()
    facts = inflater.decompress(octets, _INFLATED_BYTES_MAX)
    if inflater.unconsumed_tail:
        raise ValueError("the facts inflate beyond all measure")
    return facts


def decode(body: str, expected: type[M]) -> M:
    """The message of one expected type in a queue body. Raises Refused as `Envelope.read` does."""
    return Envelope(body).read({expected.kind: expected})


def parts(facts: Sequence[T], size: Callable[[T], int], bytes_max: int = PART_BYTES_MAX) -> Iterator[tuple[T, ...]]:
    """Cut facts into messages' worths, in order: at most RECORDS_MAX facts and `bytes_max` by `size` each; never an empty one."""
    part: list[T] = []
    octets = 0
    for fact in facts:
        more = size(fact)
        if part and (len(part) == RECORDS_MAX or octets + more > bytes_max):
            yield tuple(part)
            part, octets = [], 0
        part.append(fact)
        octets += more
    if part:
        yield tuple(part)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a use case did: the messages it says, in order, and what it counted (metric name -> number) for the operator."""

    says: tuple[Message, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
