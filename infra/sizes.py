"""How much memory and time each function gets, and how many of it run at once: the numbers to turn when load changes."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Size:
    """1,769 MB is one whole CPU; a function that computes gets that, one that waits gets less."""

    memory_mb: int
    timeout_s: int
    concurrency_max: int = 50
    """Most batches of its queue handled at once; 2 to 1,000."""


SIZES: Final = {
    # Reads a file as a stream and hashes every record: one whole CPU. A file that needs longer goes on from its checkpoint.
    "intake": Size(1769, 120, concurrency_max=50),
    "version_assets": Size(1769, 60, concurrency_max=100),
    "assess_assets": Size(1769, 60, concurrency_max=100),
    # Keeps the books it writes in memory.
    "match_offers": Size(3008, 60, concurrency_max=50),
    # As many as the database takes connections and commits of at 16 capacity units, with room for the APIs.
    "settle_investments": Size(1024, 60, concurrency_max=20),
    "plan_purchases": Size(1024, 60, concurrency_max=20),
    "sweep_uploads": Size(512, 50),
    "relay_outbox": Size(512, 50),
    "seal_ledger": Size(512, 50),
    # An HTTP API gives up after 30 seconds; the function gives up first, so that its log says why.
    "originator_api": Size(1024, 25),
    "investor_api": Size(1024, 25),
    "operator_api": Size(1024, 25),
    "authorize": Size(512, 5),
    "migrate": Size(512, 840),
}


def visibility_seconds(function: str, *, local: bool) -> int:
    """How long a received message stays hidden: six times the function's time-out, as AWS asks for.

    On the emulator once is enough: it hands a FIFO queue's batches to a function one at a time, and a developer waits for the retry.
    """
    return (1 if local else 6) * SIZES[function].timeout_s
