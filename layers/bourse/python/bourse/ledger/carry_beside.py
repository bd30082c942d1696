"""What books have beside their journal and is carried with them: refusals, the order of spending, feeds and declared sums, as records. Pure."""

from dataclasses import dataclass
from typing import Any, Final

from bourse.errors import Refused
from bourse.ledger.actions import Tags
from bourse.ledger.books import DeclaredSum
from bourse.ledger.feeds import WHOLE, Feed, check_feed
from bourse.ledger.json_text import jsonb_text
from bourse.ledger.sums import check_sum


@dataclass(frozen=True, slots=True)
class Block:
    """The entries since the block before are sealed; the hash is of journal.py's `block_hash`."""

    block_no: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class SpendingOrder:
    """The tags of an account's lots of a flavor that are not empty, the oldest first; told where there are several."""

    account_id: str
    flavor_id: str
    lots: tuple[Tags, ...]


@dataclass(frozen=True, slots=True)
class FeedStands:
    """A feed, and the last transaction of the journal that its consumer has; `seq` is the last action, where he has not all of its actions.

    Whatever comes after it is handed out. So is, once more, what was already there when the feed was opened and comes after a transaction
    that was still being written then: nothing is lost, and something may come again.
    """

    feed: Feed
    after: str | None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class SumDeclared:
    """A materialised sum; what it comes to is counted again."""

    declared: DeclaredSum


@dataclass(frozen=True, slots=True)
class End:
    """Nothing comes after it. `state` is what `Journal.state_hash` said when the books were exported."""

    state: str


BesideEntries = Block | SpendingOrder | FeedStands | SumDeclared | End
"""Records that are no entries of the journal."""


def record_text(record: BesideEntries) -> str:
    """The one text of a record that is no entry."""
    match record:
        case Block():
            return f'{{"entry":"block","block_no":{record.block_no},"hash":"{record.hash.hex()}"}}'
        case SpendingOrder():
            lots = ",".join(map(jsonb_text, record.lots))
            return f'{{"entry":"order","account_id":"{record.account_id}","flavor_id":"{record.flavor_id}","lots":[{lots}]}}'
        case FeedStands():
            feed, after = record.feed, "null" if record.after is None else f'"{record.after}"'
            return (
                f'{{"entry":"feed","feed_id":"{feed.feed_id}","kind":"{feed.kind}","filter":{jsonb_text(feed.filter)},"params":{jsonb_text(feed.params)},'
                f'"start":"{feed.start}","after":{after},"seq":{jsonb_text(record.seq)}}}'
            )
        case SumDeclared():
            one = record.declared
            return (
                f'{{"entry":"sum","name":"{one.name}","filter":{jsonb_text(one.filter)},"params":{jsonb_text(one.params)},'
                f'"group_by":{jsonb_text(one.group_by)}}}'
            )
        case End():
            return f'{{"entry":"end","state":"{record.state}"}}'


def feed_state(record: FeedStands) -> str:
    """The line of the state that a feed is."""
    feed = record.feed
    return jsonb_text({"feed": [feed.feed_id, feed.kind, feed.filter, feed.params, feed.start, record.after, record.seq]})


def sum_state(one: DeclaredSum) -> str:
    """The line of the state that a declared sum is."""
    return jsonb_text({"sum": [one.name, one.filter, one.params, one.group_by]})


def _feed(said: dict[str, Any]) -> FeedStands:
    after, seq = said.pop("after"), said.pop("seq")
    feed = Feed(**{**said, "params": tuple(said["params"])})
    check_feed(feed)
    if not (seq is None or (type(seq) is int and 0 < seq < WHOLE and after is not None and feed.kind == "actions")):
        raise Refused("LINE_INVALID", "a feed stands in a transaction or between two", "seq")
    return FeedStands(feed, after, seq)


def _sum(said: dict[str, Any]) -> SumDeclared:
    declared = DeclaredSum(**{**said, "params": tuple(said["params"]), "group_by": tuple(said["group_by"])})
    check_sum(declared)
    return SumDeclared(declared)


BESIDE: Final[dict[str, Any]] = {
    "block": lambda said: Block(said["block_no"], bytes.fromhex(said["hash"])),
    "order": lambda said: SpendingOrder(said["account_id"], said["flavor_id"], tuple(said["lots"])),
    "feed": _feed,
    "sum": _sum,
    "end": lambda said: End(said["state"]),
}
"""Each kind of record, made of what its text says. They raise Refused for a question that cannot be asked."""
