"""Books of either kind with their journals, for the tests of what is sealed, exported, restored and added up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from bourse.aws.postgres import Database
from bourse.errors import Refused
from bourse.ledger.actions import Account, Distribute, Flavor, PostHold, Reserve, Reverse
from bourse.ledger.aurora_books import AuroraBooks
from bourse.ledger.aurora_journal import AuroraJournal
from bourse.ledger.aurora_seal import AuroraSeals
from bourse.ledger.aurora_templates import AuroraTemplates
from bourse.ledger.books import Books, DeclaredSum
from bourse.ledger.carry import Journal, Restored, export_lines, import_lines
from bourse.ledger.feeds import Feed
from bourse.ledger.keys import sign_batch, sign_transaction
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_journal import MemoryJournal
from bourse.ledger.memory_templates import MemoryTemplates
from bourse.ledger.seal import Seals
from bourse.ledger.signing import Ed25519Signer
from bourse.ledger.templates import Template, Templates
from bourse.ledger.trial_balance import TrialBalances

from tests.ledger.books_builders import CLOCK, DAY, T, day, issue, opened, post, retire, transfer, txn
from tests.ledger.keys_builders import key_of, registered, signed, signer


@dataclass
class Store:
    """Books, and all that is asked of their journal."""

    books: Books
    journal: Journal
    seals: Seals
    balances: TrialBalances
    templates: Templates


def in_memory() -> Store:
    books = MemoryBooks(CLOCK)
    journal = MemoryJournal(books)
    return Store(books, journal, journal, journal, MemoryTemplates(books))


def in_postgresql(database: Database) -> Store:
    journal = AuroraJournal(database)
    return Store(AuroraBooks(database), journal, AuroraSeals(database), journal, AuroraTemplates(database))


def seal_all(store: Store, tenant: str = T, most: int = 1_000) -> None:
    while store.seals.seal(tenant, most):
        pass


def exported(store: Store, tenant: str = T) -> list[str]:
    return list(export_lines(store.journal, tenant))


def restored(store: Store, lines: Sequence[str], tenant: str = T) -> Restored:
    return import_lines(store.journal, tenant, lines)


def pay(version: int = 1, **more: Any) -> Template:
    """A template with a parameter and letters that JSON escapes."""
    action = {"type": "issue", "flavor_id": "usd", "amount": {"$": "price"}, "destination": "ann", "action_tags": {"note": 'a "dãy"\n', "aa": [1, True, None]}}
    return Template("pay", version, {"price": "amount"}, {"actions": [action], **more})


def something_of_everything(store: Store) -> None:
    """Tags told twice, a floor an issue set, holds in all their states, a distribution, a closed account, feeds, sums, templates, blocks and a rest."""
    books = store.books
    books.open_feed(T, Feed("all", "actions", start="beginning"))
    books.declare_sum(T, DeclaredSum("by-account", "flavor_id = $1", ("usd",), ("account_id", "tags.n")))
    opened(books, "ann", "ben", "cat", "gone", Account("line", floor=-50), Account("loans", {"type": "company"}, floor=None), flavors=("usd", "loan"))
    post(books, issue(100, "ann", token_tags={"n": 1, "due": 'a "day"\n'}), issue(50, "ann", token_tags={"n": 2}), id="first", kind='k"ind')
    post(books, issue(500, "ben", "loan", source="loans", source_floor=-900), issue(101, "cat", "loan", source="loans"), id="loans", at=day(1))
    seal_all(store)
    store.templates.save(T, pay())
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
    for template in (pay(2, kind="pay-again"), Template("empty", 1, {}, {"actions": [{"type": "release_hold", "hold_id": "h"}]})):
        store.templates.save(T, template)
    books.open_feed(T, Feed("payments", "transactions", "kind = $1", ('k"ind',), start="beginning"))
    books.open_feed(T, Feed("from-now", "actions"))
    books.declare_sum(T, DeclaredSum("loans", "flavor_id = 'loan'"))
    page = books.feed_page(T, "all", limit=4)
    books.ack_feed(T, "all", page.cursor, page.cursors[2])


def with_keys(store: Store, tenant: str = T) -> tuple[Ed25519Signer, ...]:
    """Keys in all their states, blocks and a rest, with signatures over batches and single transactions. The signers of `operations`, before and after."""
    books, keys = store.books, store.books.keys
    operations, old, mint = registered(books, "operations", "old", "mint", tenant_id=tenant)
    keys.set_default(tenant, ["operations", "old"], 1, DAY)
    books.open_flavor(tenant, Flavor("eur", key_ids=("mint", "operations"), quorum=2))
    books.open_account(tenant, Account("dan", key_ids=("mint",)))
    signed(books, txn(issue(70, "dan", "eur"), id="made"), operations, mint, tenant_id=tenant)
    seal_all(store, tenant)
    both = [txn(transfer(5, "dan", "dan2", "eur"), id="both-1"), txn(transfer(6, "dan", "dan2", "eur", where="flavor_id = 'eur'"), id="both-2")]
    books.open_account(tenant, Account("dan2"))
    books.post(tenant, both, DAY, signatures=[sign_batch(mint, tenant, both), sign_transaction(operations, tenant, both[1])])
    signed(books, txn(transfer(1, "dan2", "dan", "eur"), id="by-old"), old, tenant_id=tenant)
    seal_all(store, tenant, 4)
    newer = signer("operations", "newer")
    keys.rotate_key(tenant, key_of(newer, valid_from=day(1)), day(2))
    keys.revoke_key(tenant, "old", day(1), 'lost "it"\n')
    keys.set_default(tenant, ["operations"], None, day(1))
    signed(books, txn(transfer(2, "dan2", "dan", "eur"), id="by-newer"), newer, now=day(2), tenant_id=tenant)
    return operations, newer


def everything(store: Store) -> None:
    """All of that, a refusal, a lot with a history long enough to be summed up, and all of it sealed."""
    books = store.books
    something_of_everything(store)
    opened(books, "old-timer")
    books.post(T, [txn(issue(10, "old-timer"), id=f"t{n}", at=day(9) + timedelta(minutes=n)) for n in range(600)], day(20), signatures=())
    books.post(T, [txn(transfer(1, "old-timer", "ben"), id="late", at=day(9) + timedelta(minutes=9))], day(20))
    with pytest.raises(Refused):
        post(books, retire(10**6, "ben"), id="refused")
    with_keys(store)
    seal_all(store)
