"""What can be wrong with kept books, and the port of who looks for it: everything derived is derived again from the journal and compared."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol

Code = Literal[
    "LOT_AMOUNT",  # a lot has another amount than its moves add up to
    "LOT_HELD",  # more or less of a lot is held than its holds have left
    "LOT_FLOOR",  # a lot may stand lower or less low than its account and the issues from it say
    "LOT_NEGATIVE",  # a lot stands below its floor, now or at an earlier instant
    "LOT_LATEST",  # what is checked before something back-dated is spent names another time than the latest move
    "LOT_OPENED",  # a lot that has tokens has no place in the order of spending that a posting gave it
    "LOT_CLOSED",  # a lot is open where its account is closed, or closed where it is open
    "LOT_SLOT",  # an account has the lots of a hot one, or more of them than those have
    "LOT_MISSING",  # there are moves of a lot and no lot
    "FLAVOR_NOT_ZERO",  # a move goes from one flavor to another, so neither sums to zero
    "TXN_WITHOUT_MOVES",
    "MOVE_WITHOUT_TXN",
    "MOVE_SEQUENCE",  # the moves of a transaction are not numbered from 1 without a gap
    "MOVE_TIME",  # a move happened at another time than its transaction
    "HOLD_DIFFERS",  # a hold is over, or expired, and its moves say otherwise; or it has left less than nothing
    "REVERSAL_DIFFERS",  # more of a move was taken back than it moved, or what was taken back is not what moved, or a part of it is missing
    "OWED_DIFFERS",  # what rounding left a holder owed is not what distributions and reversals changed of it
    "ACCOUNT_DIFFERS",  # an account or flavor was never told, or an account is closed where it was not told so
    "TAGS_DIFFER",  # an account or flavor has other tags than it was told last
    "TAGSET_DIFFERS",  # a set of tags is not the one it was numbered for
    "SUM_DIFFERS",  # a materialised sum has another total, group or lot than its filter and the lots say
    "STRETCH_DIFFERS",  # what sums up a stretch of a lot's history is not what its moves add up to, or there is a gap
    "TERM_DIFFERS",  # what tags are found by is not what they say
    "REFUSAL_DIFFERS",  # a request was refused for good and posted, or for a reason that may pass
    "FEED_DIFFERS",  # a feed stands at no place of the journal
    "TEMPLATE_DIFFERS",  # a version of a template is missing, or was told before the one it follows
    "KEY_TWICE",  # two keys, or versions, have one public key, so somebody counts twice
    "KEY_DIFFERS",  # a key, a version of it or what a signature stands on is missing, or is no public key
    "SIGNATURE_COVERS_OTHERS",  # the transactions a signature covers are not those that were signed
    "SIGNATURE_INVALID",  # a signature is not its key's over what it covers
    "KEY_NOT_VALID",  # a key signed before or after its time
    "QUORUM_NOT_MET",  # a transaction was posted without the signatures that an account, a flavor or the default asked for then
    "BLOCK_GAP",  # a block of the chain is missing
    "BLOCK_DIFFERS",  # a block does not follow the one before it, or is not what its hash is of
    "HASH_MISMATCH",  # an entry is not what was sealed
    "ENTRY_MISSING",  # a sealed entry is not there
    "ENTRY_UNSEALED",  # an entry is in no block where all is sealed: it was written after the fact
    "ENTRY_TWICE",  # an entry is in two blocks
    "ENTRY_MOVED",  # an entry stands at another place of the journal than its block
    "WITNESS_DIFFERS",  # a block has another hash than was noted of it elsewhere
]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it must be: what kind, where, and what was expected and found there, as text."""

    code: Code
    place: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Witness:
    """The hash a block had when it was noted outside the store. Who can write the store can write a whole new chain, but not this."""

    block_no: int
    hash: bytes


Progress = Callable[[str, int], None]
"""Told of each part of a check as it begins and goes on: its name, and how many things were looked at."""


def silent(_part: str, _count: int) -> None:
    """A progress nobody watches."""


class Checker(Protocol):
    """Looks through a tenant's books, as they are at one moment, while others may go on posting."""

    def differences(self, tenant_id: str, *, witness: Witness | None = None, progress: Progress = silent) -> Iterator[Difference]:
        """Every difference there is; none in books that are as they must be. What is in memory at a time does not grow with the books.

        Raises Unavailable.
        """
        ...


PARTS: Final = ("lots", "instants", "moves", "holds", "tags", "stretches", "terms", "refusals", "keys", "sums", "owed", "signatures", "quorums", "chain")
"""The parts of a check in their order, as `Progress` is told of them."""
