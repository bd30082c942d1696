"""What has to be loaded before transactions are executed. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from bourse.ledger.actions import Distribute, PostHold, ReleaseHold, Reserve, Reverse, Tags, Transaction

_ACCOUNTS: Final = ("source", "destination", "fee_destination", "retire_to", "rest_to")


class Needs(NamedTuple):
    """What a state must have for these transactions."""

    accounts: frozenset[str]
    flavors: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    """Accounts with the flavor they spend: all their lots of it. Of other lots the execution needs to know nothing."""
    whole_flavors: frozenset[str]
    """Flavors of which all lots are needed: they are distributed over."""
    holds: frozenset[str]
    """Whose account and flavor are a pair too."""
    reversed: frozenset[str]
    """Transactions that are taken back: with all lots of their moves."""
    patterns: frozenset[str]
    """By which accounts follow from those of whole flavors and of reversed moves."""


def needs_of(transactions: Sequence[Transaction]) -> Needs:
    """What to load before these are executed."""
    accounts: set[str] = set()
    flavors: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    whole: set[str] = set()
    holds: set[str] = set()
    taken_back: set[str] = set()
    patterns: set[str] = set()
    for action in (one for transaction in transactions for one in transaction.actions):
        accounts.update(name for field in _ACCOUNTS if (name := getattr(action, field, None)))
        patterns.update(pattern for field in ("pay_to", "advance_from") if (pattern := getattr(action, field, None)))
        if isinstance(action, Reverse):
            taken_back.add(action.txn_id)
        if isinstance(action, PostHold | ReleaseHold | Reserve):
            holds.add(action.hold_id)
        if not isinstance(action, PostHold | ReleaseHold | Reverse):
            flavors.add(action.flavor_id)
            pairs.add((action.source, action.flavor_id))
        if isinstance(action, Distribute):
            flavors.add(action.over_flavor_id)
            whole.add(action.over_flavor_id)
    return Needs(frozenset(accounts), frozenset(flavors), frozenset(pairs), frozenset(whole), frozenset(holds), frozenset(taken_back), frozenset(patterns))


def tag_sets(transaction: Transaction) -> Iterator[Tags]:
    """The tag sets of a transaction's actions and tokens."""
    for action in transaction.actions:
        yield action.action_tags
        yield getattr(action, "fee_tags", None) or {}
        yield getattr(action, "token_tags", {})
