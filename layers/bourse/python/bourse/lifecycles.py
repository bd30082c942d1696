"""THE OTHER PAGE: what becomes of an upload, an offer, a bid and a portfolio. ARCHITECTURE.md has it as diagrams, printed by `python -m bourse.lifecycles`."""

import sys
from typing import Final

from bourse.assets.uploads import UPLOAD
from bourse.lifecycle import Lifecycle
from bourse.matching.model import BID, OFFER
from bourse.trading.model import PORTFOLIO

LIFECYCLES: Final[tuple[Lifecycle, ...]] = (UPLOAD, OFFER, BID, PORTFOLIO)
"""In the order in which a loan meets them."""


def page() -> str:
    """Every lifecycle as Markdown, a diagram each."""
    return "\n\n".join(f"**{one.name}**\n\n{one.diagram()}" for one in LIFECYCLES)


if __name__ == "__main__":
    sys.stdout.write(page() + "\n")
