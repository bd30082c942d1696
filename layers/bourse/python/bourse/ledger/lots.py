"""Lots, and the rule which of them an action spends. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cmp_to_key
from hashlib import blake2b
from typing import Any, Final

from bourse.errors import Refused
from bourse.ledger.actions import NO_TAGS, Spending, Tags, canonical

UNTAGGED: Final = b"{}"
Take = tuple["Lot", int]


@dataclass(slots=True, eq=False)
class Lot:
    """Tokens of an account with the same flavor and tags, as an execution finds and changes them.

    `no` is the store's number, None for one that is not stored; `opened` orders lots by when their amount last rose above zero.
    `timeline` is what this execution has done to it so far: (effective time, change); what follows at the same time the same way is one change.
    """

    account_id: str
    flavor_id: str
    tags: Tags = NO_TAGS
    amount: int = 0
    held: int = 0
    floor: int | None = 0
    opened: int = 0
    no: int | None = None
    version: int = 0
    latest_at: datetime | None = None
    slot: int = 0
    timeline: list[tuple[datetime, int]] = field(default_factory=list)
    low: int = 0
    touched: bool = False
    _tags_key: bytes | None = None

    @property
    def tags_key(self) -> bytes:
        """The tags in their canonical text, which never change."""
        if self._tags_key is None:
            self._tags_key = canonical(dict(self.tags)) if self.tags else UNTAGGED
        return self._tags_key

    @property
    def free(self) -> int:
        """What can be spent now of what is there; what is held may be more than that where there is a credit line."""
        return max(0, self.amount - self.held)

    @property
    def room(self) -> int:
        """How much an account's untagged tokens may still give, down to the floor."""
        assert self.floor is not None, "a lot without a floor always has room"
        return self.amount - self.held - self.floor

    def note(self, at: datetime, change: int) -> None:
        """A change of the timeline."""
        if self.timeline and self.timeline[-1][0] == at and (self.timeline[-1][1] > 0) == (change > 0):
            change += self.timeline.pop()[1]
        self.timeline.append((at, change))


def tagset_digest(tags: Tags) -> bytes:
    """16 octets that differ where sets of tags differ."""
    return blake2b(canonical(dict(tags)), digest_size=16).digest()


def stretches(lot: Lot, since: datetime) -> Iterator[tuple[datetime, datetime | None, int]]:
    """The times from `since` on between changes that an execution made to the lot, each with what they come to by then."""
    edges = [since, *sorted({at for at, _ in lot.timeline if at > since})]
    for begin, end in zip(edges, [*edges[1:], None], strict=True):
        yield begin, end, sum(change for at, change in lot.timeline if at <= begin)


def carried(tags: Tags, carry: bool | tuple[str, ...], new: Tags) -> dict[str, Any]:
    """The tags of tokens after a transfer."""
    kept = dict(tags) if carry is True else {name: tags[name] for name in carry or () if name in tags}
    return {**kept, **new}


Matches = Callable[[Lot], bool]


def choose(lots: Sequence[Lot], amount: int, spending: Spending, matches: Matches, untagged: Lot | None) -> list[Take]:
    """How much of which lot: all of `amount`, in the order the spending names.

    `untagged` is the account's lot that may go below zero, if there is one and the spending has no filter. Raises Refused
    INSUFFICIENT_FUNDS, or RESERVED when it would be enough without holds.
    """
    if untagged is not None and untagged.floor is None:
        return [(untagged, amount)]
    found = [lot for lot in lots if lot.amount > 0 and matches(lot)]
    overdraft = below = 0
    if untagged is not None and untagged.floor:
        overdraft, below = untagged.room - untagged.free, min(0, untagged.amount) - untagged.floor
    free = sum(lot.free for lot in found)
    if free + overdraft < amount:
        whole = sum(lot.amount for lot in found) + below
        if whole >= amount:
            raise Refused("RESERVED", f"{amount} are wanted and {free + overdraft} are free; the rest is held back", "amount")
        raise Refused("INSUFFICIENT_FUNDS", f"{amount} are wanted and {whole} match", "amount")
    if spending.order == "pro_rata" and free >= amount:
        return _pro_rata(_ordered(found, "fifo"), amount, free)
    takes: list[Take] = []
    for lot in _ordered(found, spending.order):
        if part := min(lot.free, amount):
            takes.append((lot, part))
            amount -= part
    if amount:
        assert untagged is not None, "what free lots do not cover, an overdraft does"
        return _with_overdraft(takes, untagged, amount)
    return takes


def _with_overdraft(takes: list[Take], untagged: Lot, amount: int) -> list[Take]:
    if any(lot is untagged for lot, _ in takes):
        return [(lot, part + amount if lot is untagged else part) for lot, part in takes]
    return [*takes, (untagged, amount)]


def _pro_rata(lots: Sequence[Lot], amount: int, free: int) -> list[Take]:
    """Exactly in proportion; what rounding leaves goes to the largest remainders, ties to the older lot."""
    parts = [divmod(amount * lot.free, free) for lot in lots]
    left = amount - sum(whole for whole, _ in parts)
    favoured = set(sorted(range(len(lots)), key=lambda n: -parts[n][1])[:left])
    takes = [(lot, parts[n][0] + (n in favoured)) for n, lot in enumerate(lots)]
    return [(lot, part) for lot, part in takes if part]


def _ordered(lots: Sequence[Lot], order: str) -> list[Lot]:
    oldest_first = sorted(lots, key=lambda lot: lot.opened)
    if order in {"fifo", "pro_rata"}:
        return oldest_first
    if order == "lifo":
        return oldest_first[::-1]
    path, descending = order_path(order)
    with_tag = [lot for lot in oldest_first if tag_at(lot.tags, path) is not None]
    with_tag.sort(key=cmp_to_key(lambda one, other: _compare(tag_at(one.tags, path), tag_at(other.tags, path))), reverse=descending)
    return with_tag + [lot for lot in oldest_first if tag_at(lot.tags, path) is None]


def order_path(order: str) -> tuple[tuple[str, ...], bool]:
    """The tag's path of an order, and whether it descends. Raises Refused ORDER_INVALID."""
    path, _, direction = order.partition(" ")
    names = path.split(".")
    if direction not in {"", "asc", "desc"} or names[0] != "tags" or len(names) < 2 or not all(names):
        raise Refused("ORDER_INVALID", "the order is fifo, lifo, pro_rata, or a tag such as `tags.due_date asc`", "order")
    return tuple(names[1:]), direction == "desc"


def tag_at(tags: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The value of a tag by its path, or None."""
    value: Any = tags
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _compare(one: Any, other: Any) -> int:
    """Numbers before texts, each by their own order; anything else by its canonical text."""
    keys = [(0, value, "") if isinstance(value, int) else (1, 0, value if isinstance(value, str) else canonical(value).decode()) for value in (one, other)]
    return (keys[0] > keys[1]) - (keys[0] < keys[1])
