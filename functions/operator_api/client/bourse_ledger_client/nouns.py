"""What the ledger answers with. Times are aware datetimes; fields that a newer server adds are left out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Generic, Protocol, TypeVar


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Noun = TypeVar("Noun", bound=_Dataclass)
_TIMES = ("_at", "valid_from")


@dataclass(frozen=True, slots=True)
class Account:
    """A holder of tokens."""

    account_id: str
    tags: Mapping[str, Any]
    floor: int | None
    hot: bool
    closed: bool
    key_ids: Sequence[str] = ()
    quorum: int | None = None


@dataclass(frozen=True, slots=True)
class Flavor:
    """A kind of token."""

    flavor_id: str
    tags: Mapping[str, Any]
    key_ids: Sequence[str] = ()
    quorum: int | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """A transaction as it was posted; `before` says that an earlier call had posted it, be it an earlier try of this one."""

    txn_id: str
    sequence_number: int
    recorded_at: datetime
    before: bool


@dataclass(frozen=True, slots=True)
class Action:
    """Tokens that went from an account to another."""

    txn_id: str
    sequence_number: int
    action_no: int
    type: str
    flavor_id: str
    amount: int
    source: str
    destination: str
    source_tags: Mapping[str, Any]
    token_tags: Mapping[str, Any]
    action_tags: Mapping[str, Any]
    effective_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction; its actions where it was asked for by its id."""

    txn_id: str
    sequence_number: int
    kind: str
    effective_at: datetime
    recorded_at: datetime
    correlation_id: str
    tags: Mapping[str, Any]
    reverses: Sequence[str] = ()
    reversed_by: Sequence[str] = ()
    actions: Sequence[Action] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """Tokens of an account with the same flavor and tags; `held` of them are held back."""

    account_id: str
    flavor_id: str
    tags: Mapping[str, Any]
    amount: int
    held: int


@dataclass(frozen=True, slots=True)
class Source:
    """Units of an explained amount and the action they came by, None where what is left is not told by action. Where they had been before it are its own
    `sources`, newest first, which add up to the amount; or `end` says why nothing is told of that: issued, contra, credit, depth, steps or moves."""

    amount: int
    action: Action | None
    end: str | None
    sources: Sequence["Source"]


@dataclass(frozen=True, slots=True)
class Explained:
    """A lot and its sources, newest first; they add up to its amount."""

    token: Token
    sources: Sequence[Source]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Lots, explained; what matches and lies in more lots than were asked for; and what of the explained ends at a limit."""

    lots: Sequence[Explained]
    left_out: int
    cut: int


@dataclass(frozen=True, slots=True)
class Page(Generic[Noun]):
    """A page of a list: `cursor` is for the next one, None on the last; `previous` for the one before, None on the first."""

    items: Sequence[Noun]
    cursor: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class Sum:
    """An amount and the group it is the sum of: path -> value. How many it is the sum of, the least and the greatest of them, None of nothing; a
    declared sum has none of these, and is equal without them."""

    group: Mapping[str, Any]
    amount: int
    count: int | None = field(default=None, compare=False)
    min: int | None = field(default=None, compare=False)
    max: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed of the actions or transactions that match a filter."""

    feed_id: str
    kind: str
    filter: str
    params: Sequence[Any]
    start: str


@dataclass(frozen=True, slots=True)
class FeedPage:
    """What comes after the feed's position, oldest first, with the cursor after each item; `cursor` is that position, `next_cursor` the one after the page."""

    items: Sequence["Action | Transaction"]
    cursors: Sequence[str]
    cursor: str
    next_cursor: str


@dataclass(frozen=True, slots=True)
class DeclaredSum:
    """A sum of tokens that is kept with every posting."""

    name: str
    filter: str
    params: Sequence[Any]
    group_by: Sequence[str]


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """A version of a public key, in base64. It signs from `valid_from` on, and not from the earlier of `ends_at` and `revoked_at` on."""

    key_id: str
    version: int
    algorithm: str
    public_key: str
    valid_from: datetime
    ends_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class DefaultQuorum:
    """The keys of all accounts and flavors that name none themselves, and how many of them must sign."""

    key_ids: Sequence[str]
    quorum: int


@dataclass(frozen=True, slots=True)
class Template:
    """A version of a template: the types of its parameters, and its document, in which `{"$": name}` stands for one."""

    template_id: str
    version: int
    parameters: Mapping[str, str]
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold: reserved = posted + released + left."""

    hold_id: str
    account_id: str
    flavor_id: str
    state: str
    expires_at: datetime | None
    reserved: int
    posted: int
    released: int
    left: int


@dataclass(frozen=True, slots=True)
class StatementTotal:
    """What a statement opens and closes with, of one flavor."""

    flavor_id: str
    opening: int
    closing: int


@dataclass(frozen=True, slots=True)
class StatementEntry:
    """Tokens that came (amount > 0) or went (< 0), and the balance after that."""

    flavor_id: str
    effective_at: datetime
    recorded_at: datetime
    txn_id: str
    sequence_number: int
    action_no: int
    kind: str
    type: str
    amount: int
    balance: int
    other_account_id: str
    tags: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement: its totals, and its entries, which are fetched page by page as they are read, once."""

    account_id: str
    totals: Sequence[StatementTotal]
    entries: Iterator[StatementEntry]


@dataclass(frozen=True, slots=True)
class TrialBalanceRow:
    """A flavor over all accounts: what left them and what came to them, which is the same."""

    flavor_id: str
    accounts: int
    debits: int
    credits: int


def read(noun: type[Noun], answer: Mapping[str, Any]) -> Noun:
    """The noun that a JSON object shows."""
    known = {one.name: answer[one.name] for one in fields(noun) if one.name in answer}
    for name, value in known.items():
        if name.endswith(_TIMES) and value is not None:
            known[name] = datetime.fromisoformat(value)
    return noun(**known)


def explanation(answer: Mapping[str, Any]) -> Explanation:
    """An explanation that a JSON object shows, to the last of its sources."""
    lots = [Explained(read(Token, one["token"]), [_source(source) for source in one["sources"]]) for one in answer["lots"]]
    return Explanation(lots, answer["left_out"], answer["cut"])


def _source(answer: Mapping[str, Any]) -> Source:
    action = None if answer["action"] is None else read(Action, answer["action"])
    return Source(answer["amount"], action, answer["end"], [_source(one) for one in answer["sources"]])


def rfc3339(time: str | datetime) -> str:
    """A time as the ledger reads it. Raises ValueError for a datetime without its zone."""
    if isinstance(time, str):
        return time
    if time.tzinfo is None:
        raise ValueError("a time has its zone: datetime(..., tzinfo=UTC)")
    return time.isoformat()
