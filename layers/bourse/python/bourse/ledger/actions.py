"""Nouns of the books: flavors and accounts, the actions a transaction is made of, and what was posted.

A token is one unit of a flavor; tokens of an account with the same flavor and tags are a lot. Amounts are whole units in
(0, 2^63); tags are JSON objects without fractions. Everything here is checked where it is made, so what exists is well-formed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, Literal

import orjson

from bourse.errors import Refused

AMOUNT_MAX: Final = 2**63 - 1
ACTIONS_MAX: Final = 10_000
TAGS_BYTES_MAX: Final = 8_192
NAME_MAX: Final = 200
WORLD: Final = "world"
"""The account that issued tokens come from and retired ones go to where an action names none: every flavor sums to zero."""

Tags = Mapping[str, Any]


class _NoTags(dict[str, Any]):
    """The empty tags, which nobody writes to: so they can be a default."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict says that it has none
        return 0


NO_TAGS: Final[Tags] = _NoTags()
MoveType = Literal["issue", "transfer", "retire"]
Order = str
"""Which of the matching lots is spent first: `fifo` (by when the lot was opened), `lifo`, `pro_rata` (all of them, exactly in
proportion), or a tag's path with `asc` or `desc`, such as `tags.due_date asc` (lots without the tag last)."""


def canonical(value: Any) -> bytes:
    """The one way to write JSON: sorted names, no spaces. Raises Refused TAGS_INVALID for what is no JSON or has fractions."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, orjson.JSONEncodeError):
        raise Refused("TAGS_INVALID", "tags are JSON objects of texts, whole numbers, truths and objects") from None


@dataclass(frozen=True, slots=True)
class Flavor:
    """A kind of token: a currency, or the claims on one loan.

    `key_ids` are the keys that sign what makes tokens of it, `quorum` of them at least (None: all); see authority.py.
    """

    flavor_id: str
    tags: Tags = NO_TAGS
    key_ids: tuple[str, ...] = ()
    quorum: int | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A holder of tokens.

    `floor` is how low its untagged tokens of a flavor may stand (<= 0; None: no bound, as for accounts tokens are issued from).
    A `hot` account, which must have no floor, is written by many at once without waiting. `key_ids` are the keys that sign what leaves
    it, `quorum` of them at least (None: all); see authority.py.
    """

    account_id: str
    tags: Tags = NO_TAGS
    floor: int | None = 0
    hot: bool = False
    closed: bool = False
    key_ids: tuple[str, ...] = ()
    quorum: int | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """Which tokens of an account an action takes: those that match the filter, in the order. The default takes any, the oldest first."""

    filter: str = ""
    params: tuple[Any, ...] = ()
    order: Order = "fifo"


ANY: Final = Spending()


@dataclass(frozen=True, slots=True)
class Issue:
    """Make `amount` tokens: they come from `source`, which has no floor."""

    flavor_id: str
    amount: int
    destination: str
    token_tags: Tags = NO_TAGS
    action_tags: Tags = NO_TAGS
    source: str = WORLD
    source_floor: int | None = None
    """From now on the source may not stand lower than this in this flavor: no more can ever be issued."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move tokens. They lose their tags and get `token_tags`, unless they carry the old ones: all (True), or those named."""

    flavor_id: str
    amount: int
    source: str
    destination: str
    spending: Spending = ANY
    token_tags: Tags = NO_TAGS
    carry_tags: bool | tuple[str, ...] = False
    action_tags: Tags = NO_TAGS


@dataclass(frozen=True, slots=True)
class Retire:
    """Take tokens out of circulation: they go to `destination`, which has no floor."""

    flavor_id: str
    amount: int
    source: str
    spending: Spending = ANY
    action_tags: Tags = NO_TAGS
    destination: str = WORLD


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold tokens back: they stay where they are and nothing else can spend them, until the hold is posted, released, or expires."""

    hold_id: str
    flavor_id: str
    amount: int
    source: str
    spending: Spending = ANY
    expires_at: datetime | None = None
    action_tags: Tags = NO_TAGS


@dataclass(frozen=True, slots=True)
class PostHold:
    """Transfer what a hold reserved, in whole (amount None) or part; the rest is released unless `keep_rest`. Carries tags like a transfer."""

    hold_id: str
    destination: str
    amount: int | None = None
    keep_rest: bool = False
    token_tags: Tags = NO_TAGS
    carry_tags: bool | tuple[str, ...] = False
    action_tags: Tags = NO_TAGS


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    """Give back what a hold still reserves."""

    hold_id: str
    action_tags: Tags = NO_TAGS


@dataclass(frozen=True, slots=True)
class Distribute:
    """Pay `amount` of `flavor_id` from `source` to the holders of tokens of another flavor, in proportion to what they hold, and retire
    those tokens by the gross amount: one exact action, decided and booked in one commit.

    `fee` (numerator, denominator) of the amount goes to `fee_destination` first; the pool is the rest. `over` selects the
    holders' tokens of `over_flavor_id`. `rule`: `deficit` (no unit is lost, and rounding is made good later), or `seed_floor`
    (each share rounded down, what is left goes to the fee), or `par` (without a fee, everybody is paid a unit for each token that is retired
    of his, to the unit). `retire` takes the holders' tokens out of circulation by their share of
    `amount`, to `retire_to`; False only pays. `fee_tags` tag the fee, `action_tags` all else; None: the fee too.

    A holder is paid where he holds, or, with `pay_to`, into an account that follows from his, such as
    `cash/{account_tags.investor_id}` (account_names.py). With `out_of`, holders together have so many tokens' part of the amount as they
    hold, and the part of the tokens up to `out_of` that nobody holds is paid to `rest_to`.
    """

    flavor_id: str
    amount: int
    source: str
    over_flavor_id: str
    over: Spending = ANY
    fee: tuple[int, int] = (0, 1)
    fee_destination: str = WORLD
    rule: Literal["deficit", "seed_floor", "par"] = "deficit"
    retire: bool = True
    action_tags: Tags = NO_TAGS
    fee_tags: Tags | None = None
    retire_to: str = WORLD
    pay_to: str = ""
    out_of: int | None = None
    rest_to: str | None = None


@dataclass(frozen=True, slots=True)
class Reverse:
    """Take back a transaction of an earlier posting, once only: its tokens return to the very lots they came from.

    All that is left of it; or `part` (numerator, denominator) of each of its actions, rounded down so that parts add up to the whole;
    or `amounts`: pairs of an action's place and how much of it, None for all that is left of it. Part of an action is that part of each of its
    moves. Tokens that were spent meanwhile are given by the account's untagged tokens if it may stand below zero, or by the account without a
    floor that follows from its name by `advance_from` (`receivable/{account_id}`, see account_names.py), else nothing returns.
    What had come back to whom it was issued by returns whatever was issued since: the floor that an issue set there gives way.
    It happens not before what it takes back. Holds are not taken back (release them), what rounding left owed is with the last part.
    """

    txn_id: str
    part: tuple[int, int] | None = None
    amounts: tuple[tuple[int, int | None], ...] = ()
    action_tags: Tags = NO_TAGS
    advance_from: str = ""


Action = Issue | Transfer | Retire | Reserve | PostHold | ReleaseHold | Distribute | Reverse


@dataclass(frozen=True, slots=True)
class Expect:
    """A guard: at the commit the tokens that match must add up to `amount` (or be `count` lots), or nothing is posted."""

    filter: str
    params: tuple[Any, ...] = ()
    amount: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """Actions that happen together or not at all, each seeing what those before it did.

    `txn_id` is the idempotency key, for ever. `effective_at` is when it happened; when it was recorded, the books say.
    """

    txn_id: str
    actions: tuple[Action, ...]
    effective_at: datetime
    kind: str = "transaction"
    tags: Tags = NO_TAGS
    correlation_id: str = ""
    expect: tuple[Expect, ...] = ()
    _digest: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def document(self) -> dict[str, Any]:
        """What was asked, as JSON. The correlation id is not part of it: it says who asked, not for what."""
        return {
            "txn_id": self.txn_id,
            "kind": self.kind,
            "effective_at": _in_utc(self.effective_at),
            "tags": dict(self.tags),
            "actions": [action_document(action) for action in self.actions],
            **({"expect": [_plain(one) for one in self.expect]} if self.expect else {}),
        }

    def digest(self) -> bytes:
        """32 bytes that differ where the request differs; the same id with another digest is a conflict. It is what signatures stand on."""
        if self._digest is None:
            object.__setattr__(self, "_digest", blake2b(_written(self) or canonical(self.document()), digest_size=32).digest())
        assert self._digest is not None, "it was just made"
        return self._digest


@lru_cache(256)
def _in_utc(time: datetime) -> str:
    """Remembered because a batch has few times. Equal times are one instant, and that has one text."""
    return time.astimezone(UTC).isoformat()


TYPE_OF: Final[dict[type, str]] = {
    Issue: "issue",
    Transfer: "transfer",
    Retire: "retire",
    Reserve: "reserve",
    PostHold: "post_hold",
    ReleaseHold: "release_hold",
    Distribute: "distribute",
    Reverse: "reverse",
}


def action_document(action: Action) -> dict[str, Any]:
    """An action as JSON: its type, and its fields where they are not the default."""
    return {"type": TYPE_OF[type(action)], **_plain(action)}


def _plain(value: Any) -> dict[str, Any]:
    """The fields of a noun that differ from their default, spending flattened into its own names."""
    found: dict[str, Any] = {}
    for name, default in _DEFAULTS[type(value)]:
        held = getattr(value, name)
        if held is default:
            continue
        kind = type(held)
        if kind is str or kind is int or kind is dict:  # most are
            if held != default:
                found[name] = held
        elif held == default:
            continue
        elif isinstance(held, Spending):
            prefix = "" if name == "spending" else f"{name}_"
            found |= {f"{prefix}{inner}": one for inner, one in _plain(held).items()}
        elif isinstance(held, datetime):
            found[name] = held.isoformat()
        else:
            found[name] = dict(held) if isinstance(held, Mapping) else list(held) if isinstance(held, tuple) else held
    return found


_DEFAULTS: Final = {noun: tuple((one.name, one.default) for one in fields(noun)) for noun in (*TYPE_OF, Spending, Expect)}


def _written(one: Transaction) -> bytes | None:
    """The canonical form in a third of the time, as every posting needs it; None of all but plain transfers and issues with names as they must be."""
    txn_id, kind, actions = one.txn_id, one.kind, []
    bare = txn_id + kind if type(txn_id) is type(kind) is str and not one.expect else '"'
    for action in one.actions:
        floor = ""
        if isinstance(action, Issue):
            if action.source_floor is not None:
                if type(action.source_floor) is not int or abs(action.source_floor) > AMOUNT_MAX:
                    return None
                floor = f'"source_floor":{action.source_floor},'
        elif not isinstance(action, Transfer) or action.spending is not ANY or action.carry_tags is not False:
            return None
        amount, flavor, source, destination, noun = action.amount, action.flavor_id, action.source, action.destination, type(action)
        if type(amount) is not int or abs(amount) > AMOUNT_MAX or not type(flavor) is type(source) is type(destination) is str:
            return None
        bare += flavor + source + destination
        of = f'"source":"{source}",{floor}' if source != WORLD or noun is Transfer else floor
        of += f'"token_tags":{canonical(dict(action.token_tags)).decode()},' if action.token_tags else ""
        by = f'"action_tags":{canonical(dict(action.action_tags)).decode()},' if action.action_tags else ""
        actions.append(f'{{{by}"amount":{amount},"destination":"{destination}","flavor_id":"{flavor}",{of}"type":"{TYPE_OF[noun]}"}}')
    tags = canonical(dict(one.tags)).decode() if one.tags else "{}"
    head = f'"effective_at":"{_in_utc(one.effective_at)}","kind":"{kind}","tags":{tags},"txn_id":"{txn_id}"'
    return f'{{"actions":[{",".join(actions)}],{head}}}'.encode() if _BARE(bare) else None


_BARE: Final = re.compile(r"[A-Za-z0-9._:/@+=-]*").fullmatch
"""JSON writes these as they are."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A transaction as it was posted. `before` says that an earlier call had posted it: nothing was done again."""

    txn_id: str
    sequence_number: int
    recorded_at: datetime
    before: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """A lot: `amount` tokens of an account with the same flavor and tags, `held` of which are reserved."""

    account_id: str
    flavor_id: str
    tags: Tags
    amount: int
    held: int = 0


@dataclass(frozen=True, slots=True)
class PostedMove:
    """An action as it was posted, by lot: its snapshot never changes. `source_tags` and `token_tags` are those of the tokens before and after."""

    txn_id: str
    sequence_number: int
    action_no: int
    type: MoveType
    flavor_id: str
    amount: int
    source: str
    destination: str
    source_tags: Tags
    token_tags: Tags
    action_tags: Tags
    effective_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class PostedTransaction:
    """A transaction as it was posted, with its actions by lot; whom it reverses, and by whom it was reversed so far, in that order."""

    txn_id: str
    sequence_number: int
    kind: str
    effective_at: datetime
    recorded_at: datetime
    tags: Tags
    correlation_id: str
    actions: tuple[PostedMove, ...]
    reverses: tuple[str, ...] = ()
    reversed_by: tuple[str, ...] = ()
