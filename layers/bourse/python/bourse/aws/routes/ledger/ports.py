"""What the ledger's routes reach, and the paths whose last step is an id that may hold slashes, as `cash/ada` does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

from bourse.aws.door import parameter
from bourse.aws.postgres import Database
from bourse.clock import Clock, SystemClock
from bourse.errors import NotFound, Refused
from bourse.ledger.actions import Account, Flavor
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_explain import AuroraExplains
from bourse.ledger.aurora_journal import AuroraJournal
from bourse.ledger.aurora_records import AuroraRecords
from bourse.ledger.aurora_templates import AuroraTemplates
from bourse.ledger.books import Books, Page, Question
from bourse.ledger.explain import Explains
from bourse.ledger.filters.bind import PARAM_LENGTH_MAX
from bourse.ledger.filters.fields import half_characters
from bourse.ledger.records import Records
from bourse.ledger.templates import Templates
from bourse.ledger.trial_balance import TrialBalances

T = TypeVar("T")
WHOLES: Final = tuple([f"/v1/ledger/{noun}/" for noun in ("transactions", "accounts", "flavors", "holds", "statements", "feeds", "sums", "keys", "templates")])


@dataclass(frozen=True)
class LedgerPorts:
    """Each opened at first use. The clock is the books': holds expire by it."""

    books: Callable[[], Books]
    records: Callable[[], Records]
    balances: Callable[[], TrialBalances]
    templates: Callable[[], Templates]
    explains: Callable[[], Explains]
    clock: Callable[[], Clock] = SystemClock

    def account(self, tenant_id: str, account_id: str) -> Account:
        """Raises NotFound ACCOUNT_UNKNOWN."""
        return _one(self.books().accounts(tenant_id, _asked(account_id)), "account", account_id)

    def flavor(self, tenant_id: str, flavor_id: str) -> Flavor:
        """Raises NotFound FLAVOR_UNKNOWN."""
        return _one(self.books().flavors(tenant_id, _asked(flavor_id)), "flavor", flavor_id)

    @classmethod
    def of(cls, database: Callable[[], Database]) -> "LedgerPorts":
        """All of them in this database."""
        return cls(
            books=cache(lambda: AuroraBooks(database())),
            records=cache(lambda: AuroraRecords(database())),
            balances=cache(lambda: AuroraJournal(database())),
            templates=cache(lambda: AuroraTemplates(database())),
            explains=cache(lambda: AuroraExplains(database())),
        )


def named(step: str) -> str:
    """The id that a step of the path is. Raises NotFound PATH for what no store takes as a text."""
    name = parameter(step)
    if "\0" in name or half_characters(name):
        raise NotFound("PATH", "there is no such path")
    return name


@contextmanager
def or_not_found(code: str) -> Iterator[None]:
    """What a path names is not there: a port that also hears of it elsewhere refuses it with this code. Raises NotFound in its place."""
    try:
        yield
    except Refused as refused:
        if refused.code == code:
            raise NotFound(refused.code, refused.detail, refused.field) from None
        raise


def _asked(name: str) -> Question:
    return Question("id = $1", (named(name)[:PARAM_LENGTH_MAX],))


def _one(page: Page[T], noun: str, name: str) -> T:
    if not page.items:
        raise NotFound(f"{noun.upper()}_UNKNOWN", f"there is no {noun} {name}", f"{noun}_id")
    return page.items[0]
