"""Every minute: what was written to the journals since the last time is sealed in blocks, each with the hash of the one before."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from bourse.clock import Clock
from bourse.errors import Unavailable
from bourse.message import Outcome

ENTRIES_MAX: Final = 10_000
"""About so many entries are one block: a sealing is short, and a difference is found among few."""
BUDGET: Final = timedelta(seconds=40)
_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A block that was added to a chain: its number from 1, how many entries it has, and its hash (32 octets)."""

    block_no: int
    entries: int
    hash: bytes


class Seals(Protocol):
    """Adds blocks to the chains of journals.

    Promise: every entry comes into one block, once, and none comes into a block after the fact; blocks follow each other without a gap,
    whoever seals, however many at once, and wherever they are killed. Posting waits for none of it.
    """

    def tenants(self) -> Sequence[str]:
        """Those who have books. Asked at the begin of a run: what came since the last one is made ready to be found."""
        ...

    def seal(self, tenant_id: str, entries_max: int) -> Sealed | None:
        """Seal the next entries, about so many; None when all that may be sealed is. What is still being written is left for later."""
        ...


def seal_ledger(*, seals: Seals, clock: Clock) -> Outcome:
    """Seal all that can be in the time of a run; what is left is the next run's. Done again it seals what came meanwhile, or nothing.

    One tenant's failure keeps no other from being sealed. Raises Unavailable in the end when some failed.
    """
    until, blocks, entries, failed = clock.now() + BUDGET, 0, 0, 0
    for tenant_id in seals.tenants():
        try:
            while clock.now() < until and (sealed := seals.seal(tenant_id, ENTRIES_MAX)):
                blocks, entries = blocks + 1, entries + sealed.entries
                _logger.info("sealed block %d of %s: %s", sealed.block_no, tenant_id, sealed.hash.hex())
                if sealed.entries < ENTRIES_MAX:
                    break  # that was all there was; what comes while it is sealed would be many small blocks, and is one of the next run
        except Unavailable:
            failed += 1
    if failed:
        raise Unavailable(f"the journals of {failed} tenants could not be sealed")
    return Outcome(counts={"ledger_blocks": blocks, "ledger_entries_sealed": entries})
