"""The general ledger kept in lists and dicts: for tests and the simulation, with the same promise as PostgreSQL's."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from bourse.clock import Clock
from bourse.errors import Conflict, Refused
from bourse.ledger.actions import WORLD, Account, Flavor, Posted, PostedMove, PostedTransaction, Token, Transaction
from bourse.ledger.authority import Warrant, verified
from bourse.ledger.books import NOW, AsOf, Page, Question, Sign, Sum
from bourse.ledger.check import check, check_account, check_flavor, check_tags
from bourse.ledger.feeds import Feed, FeedPage, Position
from bourse.ledger.journal import AccountClosed, account_told, flavor_told
from bourse.ledger.keys import Signature
from bourse.ledger.memory_found import action_object, found_moves, found_tokens, found_transactions, token_object, told_since, walked
from bourse.ledger.memory_keys import MemoryKeys
from bourse.ledger.memory_lists import MemoryFeeds, by_name, by_place, first_difference, seen_by, snapshot_at, token_places
from bourse.ledger.memory_posting import post_one
from bourse.ledger.memory_state import Ledger
from bourse.ledger.memory_sums import MemorySums, summed
from bourse.ledger.memory_undo import Undo
from bourse.ledger.paging import asking, token_key


class MemoryBooks(MemorySums):
    """A `Books`. `clock` says when a posting is recorded."""

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._ledgers: Final[dict[str, Ledger]] = {}
        self._feeds: Final[dict[str, MemoryFeeds]] = {}
        self.keys: Final = MemoryKeys(clock, lambda tenant_id, entry: self._of(tenant_id).journal.append(entry))
        super().__init__(self.sum_tokens)

    def _of(self, tenant_id: str) -> Ledger:
        if tenant_id not in self._ledgers:
            self._ledgers[tenant_id] = Ledger()
        return self._ledgers[tenant_id]

    def open_flavor(self, tenant_id: str, flavor: Flavor) -> None:
        check_flavor(flavor)
        self.keys.refuse_unknown(tenant_id, flavor.key_ids)
        ledger = self._of(tenant_id)
        if flavor.flavor_id not in ledger.flavors:
            ledger.journal.append(flavor_told(flavor))
        if (found := ledger.flavors.setdefault(flavor.flavor_id, flavor)) != flavor:
            field = "key_ids" if found.tags == flavor.tags else "tags"
            raise Conflict("FLAVOR_DIFFERS", f"there is a flavor {flavor.flavor_id} with other {field}", field)

    def open_account(self, tenant_id: str, account: Account) -> None:
        check_account(account)
        self.keys.refuse_unknown(tenant_id, account.key_ids)
        ledger = self._of(tenant_id)
        if account.account_id not in ledger.accounts:
            ledger.journal.append(account_told(account))
        if ledger.accounts.setdefault(account.account_id, account) != account:
            raise Conflict("ACCOUNT_DIFFERS", f"there is an account {account.account_id} with other terms", "account_id")

    def open_missing(self, tenant_id: str, accounts: Iterable[Account], flavors: Iterable[Flavor]) -> None:
        ledger = self._of(tenant_id)
        for account in accounts:
            if account.account_id not in ledger.accounts:
                self.open_account(tenant_id, account)
            found = ledger.accounts[account.account_id]
            if (found.floor, found.hot) != (account.floor, account.hot):
                raise Conflict("ACCOUNT_DIFFERS", f"there is an account {account.account_id} with another floor", "floor")
        for flavor in flavors:
            if flavor.flavor_id not in ledger.flavors:
                self.open_flavor(tenant_id, flavor)

    def tag_flavor(self, tenant_id: str, flavor_id: str, tags: Mapping[str, Any]) -> None:
        check_tags(tags, "tags")
        flavors = self._of(tenant_id).flavors
        if flavor_id not in flavors:
            raise Refused("FLAVOR_UNKNOWN", f"there is no flavor {flavor_id}", "flavor_id")
        flavors[flavor_id] = replace(flavors[flavor_id], tags=dict(tags))
        self._of(tenant_id).journal.append(flavor_told(flavors[flavor_id]))

    def tag_account(self, tenant_id: str, account_id: str, tags: Mapping[str, Any]) -> None:
        check_tags(tags, "tags")
        accounts = self._of(tenant_id).accounts
        if account_id not in accounts:
            raise Refused("ACCOUNT_UNKNOWN", f"there is no account {account_id}", "account_id")
        found = accounts[account_id] = replace(accounts[account_id], tags=dict(tags))
        self._of(tenant_id).journal.append(account_told(found))

    def close_account(self, tenant_id: str, account_id: str) -> None:
        ledger = self._of(tenant_id)
        if account_id not in ledger.accounts or account_id == WORLD:
            raise Refused("ACCOUNT_UNKNOWN", f"there is no account {account_id} to close", "account_id")
        if any(lot.amount or lot.held for lot in ledger.lots_of(account_id)):
            raise Refused("ACCOUNT_NOT_EMPTY", f"the account {account_id} holds something", "account_id")
        if not ledger.accounts[account_id].closed:
            ledger.journal.append(AccountClosed(account_id))
        ledger.accounts[account_id] = replace(ledger.accounts[account_id], closed=True)

    def post(
        self, tenant_id: str, transactions: Sequence[Transaction], at: datetime, *, signatures: Sequence[Signature] = (), dry_run: bool = False
    ) -> tuple[Posted, ...]:
        return self._post(tenant_id, transactions, at, signatures, dry_run=dry_run, remembers=not dry_run)

    def _post(
        self, tenant_id: str, transactions: Sequence[Transaction], at: datetime, signatures: Sequence[Signature], *, dry_run: bool, remembers: bool
    ) -> tuple[Posted, ...]:
        asked = check(transactions)
        ledger = self._of(tenant_id)
        for one in asked:
            self._refuse_other(ledger, one)
        new = [one for one in asked if one.txn_id not in ledger.posted]
        warrant = verified(self.keys, tenant_id, transactions, signatures, at) if new else None
        if warrant:
            warrant.require(new, ledger.accounts.get, ledger.flavors.get)
        try:
            return self._post_new(tenant_id, transactions, new, at, warrant, dry_run=dry_run)
        except Refused as refused:
            if refused.code == "INSUFFICIENT_FUNDS" and len(new) == 1 and remembers:
                ledger.refuse(new[0], refused, self._clock.now())
            raise

    def _post_new(
        self, tenant_id: str, transactions: Sequence[Transaction], new: Sequence[Transaction], at: datetime, warrant: Warrant | None, *, dry_run: bool
    ) -> tuple[Posted, ...]:
        """Whatever is raised, also at the last step, and after a dry run, the books are as they were found."""
        ledger = self._of(tenant_id)
        undo, fresh = Undo(ledger), {one.txn_id for one in new}
        try:
            for one in new:
                self._check_guards(ledger, one)
                post_one(ledger, one, at, self._clock, warrant, undo)
            if warrant and not dry_run:
                self.keys.keep(tenant_id, warrant, [ledger.posted[one.txn_id] for one in new], ledger.posted, undo)
            answer = tuple(replace(ledger.posted[one.txn_id][1], before=one.txn_id not in fresh) for one in transactions)
            if dry_run:
                undo.back()
            return answer
        except BaseException:
            undo.back()
            raise

    def post_batches(self, tenant_id: str, batches: Iterable[Sequence[Transaction]], at: datetime, *, sign: Sign | None = None) -> Iterator[tuple[Posted, ...]]:
        for batch in batches:
            yield self.post(tenant_id, batch, at, signatures=sign(batch) if sign else ()) if batch else ()

    @staticmethod
    def _refuse_other(ledger: Ledger, asked: Transaction) -> None:
        if (found := ledger.posted.get(asked.txn_id)) and found[0].digest() != asked.digest():
            raise Conflict("TRANSACTION_DIFFERS", f"{asked.txn_id} was posted with another request", first_difference(found[0], asked))
        if refused := ledger.refused.get(asked.txn_id):
            if refused[0] != asked.digest():
                raise Conflict("TRANSACTION_DIFFERS", f"{asked.txn_id} was refused with another request", "txn_id")
            raise Refused(*refused[1:])

    def _check_guards(self, ledger: Ledger, asked: Transaction) -> None:
        for number, guard in enumerate(asked.expect):
            try:
                found = found_tokens(ledger, Question(guard.filter, guard.params), NOW, ledger.numbers)
            except Refused as refused:
                raise Refused(refused.code, refused.detail, f"expect.{number}.{refused.field}") from None
            for name, wanted, is_ in (("amount", guard.amount, sum(one.amount for one in found)), ("count", guard.count, len(found))):
                if wanted is not None and wanted != is_:
                    raise Refused("GUARD_FAILED", f"{wanted} were expected and {is_} are there", f"expect.{number}.{name}")

    def tokens(self, tenant_id: str, question: Question, as_of: AsOf = NOW, *, cursor: str | None = None, limit: int = 100) -> Page[Token]:
        asked, ledger = asking(tenant_id, "tokens", question, cursor, limit, as_of), self._of(tenant_id)
        seen = seen_by(asked, ledger.numbers)
        found = [(token_key(one), one) for one in found_tokens(ledger, question, as_of, seen)]
        ever = (lot.tags for lot in ledger.lots.values()) if asked.place else (one.tags for _, one in found)
        return by_place(asked, found, token_places(ever), snapshot_at(seen))

    def sum_tokens(self, tenant_id: str, question: Question, as_of: AsOf = NOW) -> Sequence[Sum]:
        ledger = self._of(tenant_id)
        return summed(question, "tokens", [(token_object(ledger, one), one.amount) for one in found_tokens(ledger, question, as_of, ledger.numbers)])

    def actions(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[PostedMove]:
        asked = asking(tenant_id, "actions", question, cursor, limit)
        return walked(asked, found_moves(self._of(tenant_id), question), self._of(tenant_id).numbers)

    def sum_actions(self, tenant_id: str, question: Question) -> Sequence[Sum]:
        found = found_moves(self._of(tenant_id), question)
        return summed(question, "actions", [(action_object(one), one.shown.amount) for one in found.items if found.fits(one)])

    def transactions(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[PostedTransaction]:
        asked = asking(tenant_id, "transactions", question, cursor, limit)
        return walked(asked, found_transactions(self._of(tenant_id), question), self._of(tenant_id).numbers)

    def accounts(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[Account]:
        return by_name(asking(tenant_id, "accounts", question, cursor, limit), self._of(tenant_id).accounts)

    def flavors(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[Flavor]:
        return by_name(asking(tenant_id, "flavors", question, cursor, limit), self._of(tenant_id).flavors)

    def open_feed(self, tenant_id: str, feed: Feed) -> None:
        self._feeds_of(tenant_id).open(feed)

    def drop_feed(self, tenant_id: str, feed_id: str) -> None:
        self._feeds_of(tenant_id).drop(feed_id)

    def feeds(self, tenant_id: str) -> Sequence[Feed]:
        return self._feeds_of(tenant_id).all()

    def feed_page(self, tenant_id: str, feed_id: str, *, limit: int = 100) -> FeedPage[Any]:
        return self._feeds_of(tenant_id).page(feed_id, limit)

    def ack_feed(self, tenant_id: str, feed_id: str, old_cursor: str, new_cursor: str) -> None:
        self._feeds_of(tenant_id).ack(feed_id, old_cursor, new_cursor)

    def _feeds_of(self, tenant_id: str) -> MemoryFeeds:
        def ends() -> Position:
            return self._of(tenant_id).numbers + 1, 0, 0

        return self._feeds.setdefault(tenant_id, MemoryFeeds(lambda kind, number: told_since(self._of(tenant_id), kind, number), ends))

    def adopt_beside(self, tenant_id: str, other: "MemoryBooks") -> None:
        """The feeds and declared sums that the other has of a tenant, in place of these."""
        for feed, stands in other._feeds_of(tenant_id).stands():
            self._feeds_of(tenant_id).put(feed, stands)
        for declared in other.declared_sums(tenant_id):
            self.declare_sum(tenant_id, declared)
