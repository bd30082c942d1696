"""The ports of trading: portfolios with every version, plans made under a lock, and what the investor's home shows."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from bourse.message import Message
from bourse.trading.events import BalancesChanged, BuyOffersPlaced
from bourse.trading.model import Home, PlanFacts, PlannedBucket, Portfolio, PortfolioFacts

Decide = Callable[[PlanFacts], tuple[PlannedBucket, ...]]
Say = Callable[[PlanFacts, Sequence[PlannedBucket], Sequence[int]], BuyOffersPlaced | None]
"""Makes the message of a plan from its facts, the buckets that changed, and the version of each one's offer."""


class PortfolioStore(Protocol):
    """Keeps portfolios per tenant. What a command says is written with it, in one write."""

    def add(self, tenant_id: str, portfolio: Portfolio, at: datetime) -> Portfolio:
        """The portfolio as kept: the one given, or the one of that id that was there before."""
        ...

    def change(self, tenant_id: str, was: Portfolio, becomes: Portfolio, at: datetime, says: Sequence[Message]) -> None:
        """Replace what was read by what it becomes; a higher version keeps its terms beside the old ones.

        Raises Conflict PORTFOLIO_VERSION, and changes and says nothing, when it is no longer what was read.
        """
        ...

    def portfolio(self, tenant_id: str, portfolio_id: str) -> Portfolio | None: ...

    def portfolios(self, tenant_id: str, investor_id: str) -> Sequence[Portfolio]:
        """The investor's portfolios, by id."""
        ...

    def versions(self, tenant_id: str, portfolio_id: str) -> Sequence[Portfolio]:
        """Every version of the terms, oldest first, each with the status of now."""
        ...

    def facts(self, tenant_id: str, portfolio_id: str) -> PortfolioFacts | None:
        """All that is kept of the portfolio, read at one moment; None when there is none. Offers are those of any bucket it ever had."""
        ...

    def home(self, tenant_id: str, investor_id: str, positions_max: int) -> Home:
        """All that the investor's home shows, read at one moment, with at most so many positions, largest first."""
        ...


class PlanStore(Protocol):
    """Makes plans: one at a time per investor, each once per cause."""

    def plan(self, cause: BalancesChanged, at: datetime, decide: Decide, say: Say) -> tuple[BuyOffersPlaced, ...]:
        """Read the facts, decide, and keep the plan and the offers that changed in one transaction; returns what is to be said.

        The investor's other active portfolios of the currency whose last plan waits for cash are planned after it, in the same
        transaction: what this one gives back is theirs, and nothing else would tell them. The same cause again returns what
        was said then, whatever has changed since. Nothing is said of a plan that changes nothing, or when the portfolio does
        not exist. Versions of a bucket's offer start at 1 and grow by 1 with each change.
        """
        ...
