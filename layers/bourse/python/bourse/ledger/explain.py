"""Explain an amount: the chain of actions that made it, from whoever holds it back to where it was issued; and the port that does it.

Tokens of a lot are alike, so which of those that came are still there is a rule: **first in, first out**, by when things happened. Units leave
a lot in the order in which they came, an instant's arrivals before its departures. It is the rule because it looks at nothing but the lot's own
moves: it needs no choice of anybody's, no later posting changes what an earlier one is explained by (but one that is back-dated before it), what is
there now is always the newest units that came, and every unit that left is one that came, so amounts add up to the unit at every step. A lot that
may stand below zero gives what it does not have on credit, and what comes pays that first.

No chain goes in a circle, whatever is dated back: a unit that came leaves once, so none that still lies somewhere is one that goes round.

Where an account without a floor gives untagged tokens, or an action issues them, they were made: the chain ends. It ends too at a limit, with the amount
that is left unexplained, so that the sources of an amount always add up to it.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from bourse.errors import Refused
from bourse.ledger.actions import PostedMove, Tags, Token, canonical
from bourse.ledger.books import Question

End = Literal["issued", "contra", "credit", "depth", "steps", "moves"]
"""Why a chain ends: the action issued the tokens; its source may stand below zero without end; the source gave on credit what it did not have; so many
actions lie behind already; so many were told already; or too many moves of one lot would have to be read."""
CUT: Final = frozenset({"depth", "steps", "moves"})
"""Ends that leave something unexplained."""
MoveKey = tuple[int, int]
"""Sequence number of the transaction, place of the move in it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far to look: actions behind each other (1 to 64), actions in all (1 to 5,000), moves to read of a lot at a time (1 to 100,000; about 50 times as
    many of all), lots (1 to 100)."""

    depth: int = 20
    steps: int = 100
    moves: int = 2_000
    lots: int = 20

    def __post_init__(self) -> None:
        """Raises Refused LIMIT_INVALID."""
        for name, most in (("depth", 64), ("steps", 5_000), ("moves", 100_000), ("lots", 100)):
            if not 1 <= getattr(self, name) <= most:
                raise Refused("LIMIT_INVALID", f"{name} is 1 to {most}", name)


LIMITS: Final = Limits()
LOTS_LONG: Final = 50
"""So many times as many moves are read of all lots as of one at a time."""


@dataclass(frozen=True, slots=True)
class Source:
    """`amount` units of an explained amount: the action they came by, None where what is left is not told by action; and either where they had been
    before it, newest first, which adds up to the amount, or why nothing is told of that."""

    amount: int
    action: PostedMove | None
    end: End | None
    sources: tuple["Source", ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """A lot and its sources, newest first; they add up to its amount."""

    token: Token
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Lots, explained. `left_out` is what matches and lies in lots beyond the limit; `cut` is what of the explained lots ends at a limit."""

    lots: tuple[Explained, ...]
    left_out: int

    @property
    def cut(self) -> int:
        return sum(_cut(source) for lot in self.lots for source in lot.sources)


class Explains(Protocol):
    """Explains amounts of the books as they are now, in one snapshot."""

    def explain(self, tenant_id: str, question: Question, limits: Limits = LIMITS) -> Explanation:
        """The tokens that match, by lot in the order of `Books.tokens`. Raises Refused FILTER_INVALID, FILTER_PARAMS."""
        ...

    def explain_lot(self, tenant_id: str, account_id: str, flavor_id: str, tags: Tags, limits: Limits = LIMITS) -> Explanation:
        """The one lot of an account with exactly these tags; nothing where it is empty."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """Units whose arrival is asked for: the newest `amount` in a lot; or of those that a move took from it, `amount` after the `first` ones."""

    lot: Hashable
    amount: int
    spent: tuple[datetime, MoveKey] | None = None
    first: int = 0


@dataclass(frozen=True, slots=True)
class Came:
    """Units that came to a lot by one move: `amount` of its units after the `first` ones. `end`: issued, contra, or None where its source says more."""

    move: MoveKey
    at: datetime
    source: Hashable
    first: int
    amount: int
    end: End | None


@dataclass(frozen=True, slots=True)
class Missing:
    """Units of which no arrival is told."""

    amount: int
    end: End


class Flows(Protocol):
    """The moves of the books, read by lot."""

    def came(self, asked: Sequence[Asked], limits: Limits, steps: int) -> Sequence[Sequence[Came | Missing]]:
        """For each what it came by, newest first, adding up to its amount. More than `steps` arrivals of all are not used."""
        ...

    def actions(self, moves: Sequence[MoveKey]) -> Mapping[MoveKey, PostedMove]: ...


@dataclass(slots=True)
class _Node:
    amount: int
    asked: Asked | None = None
    move: MoveKey | None = None
    end: End | None = None
    below: "list[_Node]" = field(default_factory=list)


def explain_lots(flows: Flows, lots: Sequence[tuple[Token, Hashable]], limits: Limits) -> tuple[Explained, ...]:
    """Explain each token of a lot: level by level, so that a level is one question to the books."""
    roots = [_Node(token.amount, Asked(lot, token.amount)) for token, lot in lots]
    level, left, found = roots, limits.steps, list[_Node]()
    for depth in range(limits.depth + 1):
        asked = [node.asked for node in level if node.asked]
        if depth == limits.depth or not asked:
            break
        below: list[_Node] = []
        for node, parts in zip(level, flows.came(asked, limits, left), strict=True):
            node.below = [_node(part) for part in _first(parts, left)]
            left -= sum(one.move is not None for one in node.below)
            below += node.below
        found += below
        level = [node for node in below if node.end is None]
    for node in level:
        node.end = "depth"
    actions = flows.actions([node.move for node in found if node.move])
    return tuple([Explained(token, _sources(root, actions)) for (token, _), root in zip(lots, roots, strict=True)])


def _first(parts: Sequence[Came | Missing], steps: int) -> Iterator[Came | Missing]:
    """As many arrivals as there are steps left, and the rest in one."""
    over = 0 if steps else sum(part.amount for part in parts)
    for part in parts if steps else ():
        if isinstance(part, Missing) and not over:
            yield part
        elif steps and not isinstance(part, Missing):
            steps -= 1
            yield part
        else:
            over += part.amount
    if over:
        yield Missing(over, "steps")


def _node(part: Came | Missing) -> _Node:
    if isinstance(part, Missing):
        return _Node(part.amount, end=part.end)
    return _Node(part.amount, Asked(part.source, part.amount, (part.at, part.move), part.first), part.move, part.end)


def _sources(node: _Node, actions: Mapping[MoveKey, PostedMove]) -> tuple[Source, ...]:
    return tuple([Source(one.amount, actions[one.move] if one.move else None, one.end, _sources(one, actions)) for one in node.below])


def _cut(source: Source) -> int:
    return source.amount if source.end in CUT else sum(_cut(one) for one in source.sources)


_ENDS: Final[Mapping[str, str]] = {
    "issued": "made by it",
    "contra": "made by its source, which may stand below zero",
    "credit": "given on credit",
    "depth": "not followed further: so many actions lie behind already",
    "steps": "not told: so many actions were told already",
    "moves": "not told: the lot has too many moves",
}


def explained_text(explanation: Explanation) -> str:
    """The explanation for a person: a line a source, indented under what came from it."""
    lines: list[str] = []
    for lot in explanation.lots:
        token = lot.token
        lines.append(f"{token.account_id} has {token.amount} {token.flavor_id}{_tags(token.tags)}")
        _write(lot.sources, 1, lines)
    if explanation.left_out:
        lines.append(f"{explanation.left_out} more in other lots")
    return "\n".join(lines or ["nothing"]) + "\n"


def _write(sources: Sequence[Source], depth: int, lines: list[str]) -> None:
    for source in sources:
        said = f"{'  ' * depth}{source.amount} "
        if source.action is None:
            lines.append(said + _ENDS[source.end or "moves"])
            continue
        action = source.action
        at = action.effective_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        said += f"from {action.source} by {action.type} {action.txn_id}/{action.action_no} of {action.amount} at {at}{_tags(action.action_tags)}"
        lines.append(said + (f": {_ENDS[source.end]}" if source.end else ""))
        _write(source.sources, depth + 1, lines)


def _tags(tags: Tags) -> str:
    return " " + canonical(dict(tags)).decode() if tags else ""
