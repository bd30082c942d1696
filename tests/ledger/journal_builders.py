"""Books of either kind with their journals, for the tests of what is sealed, exported, restored and added up."""

from collections.abc import Sequence
from dataclasses import dataclass

from bourse.aws.postgres import Database
from bourse.ledger.actions import Account, Distribute, PostHold, Reserve, Reverse
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_journal import AuroraJournal
from bourse.ledger.aurora_seal import AuroraSeals
from bourse.ledger.books import Books
from bourse.ledger.carry import Journal, Restored, export_lines, import_lines
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_journal import MemoryJournal
from bourse.ledger.seal import Seals
from bourse.ledger.trial_balance import TrialBalances

from tests.ledger.books_builders import CLOCK, T, day, issue, opened, post, retire, transfer


@dataclass
class Store:
    """Books, and all that is asked of their journal."""

    books: Books
    journal: Journal
    seals: Seals
    balances: TrialBalances


def in_memory() -> Store:
    books = MemoryBooks(CLOCK)
    journal = MemoryJournal(books)
    return Store(books, journal, journal, journal)


def in_postgresql(database: Database) -> Store:
    journal = AuroraJournal(database)
    return Store(AuroraBooks(database), journal, AuroraSeals(database), journal)


def seal_all(store: Store, tenant: str = T, most: int = 1_000) -> None:
    while store.seals.seal(tenant, most):
        pass


def exported(store: Store, tenant: str = T) -> list[str]:
    return list(export_lines(store.journal, tenant))


def restored(store: Store, lines: Sequence[str], tenant: str = T) -> Restored:
    return import_lines(store.journal, tenant, lines)


def something_of_everything(store: Store) -> None:
    """Tags told twice, a floor an issue set, holds in all their states, a distribution, a closed account, a refusal, blocks and a rest."""
    books = store.books
    opened(books, "ann", "ben", "cat", "gone", Account("line", floor=-50), Account("loans", {"type": "company"}, floor=None), flavors=("usd", "loan"))
    post(books, issue(100, "ann", token_tags={"n": 1, "due": 'a "day"\n'}), issue(50, "ann", token_tags={"n": 2}), id="first", kind='k"ind')
    post(books, issue(500, "ben", "loan", source="loans", source_floor=-900), issue(101, "cat", "loan", source="loans"), id="loans", at=day(1))
    seal_all(store)
    books.tag_account(T, "ann", {"type": "investör", "deep": {"b": [1, True, None], "aa": {}}})
    books.tag_flavor(T, "loan", {"x": "\x7f\u2028"})
    post(books, Reserve("h1", "usd", 120, "ann"), Reserve("h2", "usd", 5, "ann", expires_at=day(30)), id="held", at=day(1), correlation_id="c\\d")
    post(books, PostHold("h1", "line", 60, keep_rest=True), Reserve("h3", "usd", 2, "line", expires_at=day(2)), id="posted", at=day(1), tags={"t": "ü"})
    post(books, transfer(10, "line", "ben", where="tags.n = $1 OR account_id = $2", params=(1, "line"), order="lifo"), now=day(3), at=day(3), id="filtered")
    seal_all(store)
    post(books, Distribute("usd", 40, "line", "loan", fee=(1, 30)), id="paid", at=day(4), now=day(3))
    post(books, Reverse("filtered", (2, 5)), Reverse("paid"), id="back", at=day(4), now=day(3))
    post(books, Distribute("usd", 11, "line", "loan"), id="paid-again", at=day(4), now=day(3))
    post(books, retire(3, "ben"), issue(2, "ann", token_tags={"n": 1}), id="last", at=day(4), now=day(3))
    books.close_account(T, "gone")
