"""What the ledger's routes reach, and the paths whose last step is an id that may hold slashes, as `cash/ada` does."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

from bourse.aws.postgres import Database
from bourse.clock import Clock, SystemClock
from bourse.errors import NotFound
from bourse.ledger.actions import Account, Flavor
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_journal import AuroraJournal
from bourse.ledger.aurora_records import AuroraRecords
from bourse.ledger.books import Books, Page, Question
from bourse.ledger.filters.bind import PARAM_LENGTH_MAX
from bourse.ledger.filters.fields import half_characters
from bourse.ledger.records import Records
from bourse.ledger.trial_balance import TrialBalances

T = TypeVar("T")
WHOLES: Final = tuple([f"/v1/ledger/{noun}/" for noun in ("transactions", "accounts", "flavors", "holds", "statements")])


@dataclass(frozen=True)
class LedgerPorts:
    """Each opened at first use. The clock is the books': holds expire by it."""

    books: Callable[[], Books]
    records: Callable[[], Records]
    balances: Callable[[], TrialBalances]
    clock: Callable[[], Clock] = SystemClock

    def account(self, tenant_id: str, account_id: str) -> Account:
        """Raises NotFound ACCOUNT_UNKNOWN."""
        return _one(self.books().accounts(tenant_id, _named(account_id)), "account", account_id)

    def flavor(self, tenant_id: str, flavor_id: str) -> Flavor:
        """Raises NotFound FLAVOR_UNKNOWN."""
        return _one(self.books().flavors(tenant_id, _named(flavor_id)), "flavor", flavor_id)

    @classmethod
    def of(cls, database: Callable[[], Database]) -> "LedgerPorts":
        """All of them in this database."""
        return cls(cache(lambda: AuroraBooks(database())), cache(lambda: AuroraRecords(database())), cache(lambda: AuroraJournal(database())))


def _named(name: str) -> Question:
    """Raises NotFound PATH for what no store takes as a text."""
    if "\0" in name or half_characters(name):
        raise NotFound("PATH", "there is no such path")
    return Question("id = $1", (name[:PARAM_LENGTH_MAX],))


def _one(page: Page[T], noun: str, name: str) -> T:
    if not page.items:
        raise NotFound(f"{noun.upper()}_UNKNOWN", f"there is no {noun} {name}", f"{noun}_id")
    return page.items[0]
