"""The general ledger kept in lists and dicts: for tests and the simulation, with the same promise as PostgreSQL's."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from bourse.clock import Clock
from bourse.errors import Conflict, Refused
from bourse.ledger.actions import WORLD, Account, Flavor, Posted, PostedMove, PostedTransaction, Token, Transaction, canonical
from bourse.ledger.authority import Warrant, verified
from bourse.ledger.books import NOW, AsOf, Page, Question, Sign, Sum
from bourse.ledger.check import check, check_account, check_flavor, check_tags
from bourse.ledger.execute import Executed, Execution, State
from bourse.ledger.feeds import WHOLE, Feed, FeedPage, Position
from bourse.ledger.filters import bind, matches, parse
from bourse.ledger.journal import AccountClosed, FloorTold, TransactionTold, account_told, flavor_told, told_of
from bourse.ledger.keys import Signature
from bourse.ledger.matching_tokens import matcher
from bourse.ledger.memory_keys import MemoryKeys
from bourse.ledger.memory_lists import MemoryFeeds, Told, backwards, by_name, by_place, first_difference, newest_first, seen_by, snapshot_at, token_places
from bourse.ledger.memory_reversal import reversible_of
from bourse.ledger.memory_state import History, Ledger, LotKey, Move, key_of
from bourse.ledger.memory_sums import MemorySums, summed
from bourse.ledger.needs import needs_of
from bourse.ledger.paging import asking, token_key
from bourse.ledger.sharing import Sharing


class MemoryBooks(MemorySums):
    """A `Books`. `clock` says when a posting is recorded."""

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._ledgers: Final[dict[str, Ledger]] = {}
        self._feeds: Final[dict[str, MemoryFeeds]] = {}
        self.keys: Final = MemoryKeys(clock, lambda tenant_id, entry: self._of(tenant_id).journal.append(entry))
        super().__init__(self.sum_tokens)

    def _of(self, tenant_id: str) -> Ledger:
        return self._ledgers.setdefault(tenant_id, Ledger())

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
        if any(lot.amount or lot.held for lot in ledger.lots.values() if lot.account_id == account_id):
            raise Refused("ACCOUNT_NOT_EMPTY", f"the account {account_id} holds something", "account_id")
        if not ledger.accounts[account_id].closed:
            ledger.journal.append(AccountClosed(account_id))
        ledger.accounts[account_id] = replace(ledger.accounts[account_id], closed=True)

    def post(
        self, tenant_id: str, transactions: Sequence[Transaction], at: datetime, *, signatures: Sequence[Signature] = (), dry_run: bool = False
    ) -> tuple[Posted, ...]:
        asked = check(transactions)
        ledger = self._of(tenant_id)
        for one in asked:
            self._refuse_other(ledger, one)
        new = [one for one in asked if one.txn_id not in ledger.posted]
        warrant = verified(self.keys, tenant_id, transactions, signatures, at) if new else None
        if warrant:
            warrant.require(new, ledger.accounts.get, ledger.flavors.get)
        working = ledger.copy()
        try:
            for one in new:
                self._post_one(working, one, at, warrant)
        except Refused as refused:
            if refused.code == "INSUFFICIENT_FUNDS" and len(new) == 1 and not dry_run:
                ledger.refuse(new[0], refused, self._clock.now())
            raise
        fresh = {one.txn_id for one in new}
        if not dry_run:
            self._ledgers[tenant_id] = working
            if warrant:
                self.keys.keep(tenant_id, warrant, [working.posted[one.txn_id] for one in new], working.posted)
        return tuple(replace(working.posted[one.txn_id][1], before=one.txn_id not in fresh) for one in transactions)

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

    def _post_one(self, ledger: Ledger, asked: Transaction, at: datetime, warrant: Warrant | None) -> None:
        self._check_guards(ledger, asked)
        before = {id(lot): lot.floor for lot in ledger.lots.values()}
        for number, lot in enumerate(ledger.lots.values()):
            lot.no, lot.timeline, lot.touched = number, [], False
        taken_back = [reversible_of(ledger, name) for name in needs_of([asked]).reversed if name in ledger.posted]
        state = State(ledger.accounts, ledger.flavors, ledger.lots.values(), (), History(ledger.moves), lambda _account: 0, taken_back)
        state.holds.update(ledger.holds)
        sharing = Sharing(ledger.owed)
        done = Execution(state, at, lambda spending: matcher(spending, ledger.accounts, ledger.flavors.get), sharing).run(asked)
        if warrant:
            warrant.require_done([done], ledger.accounts.get, ledger.flavors.get)
        ledger.holds = state.holds
        ledger.owed.update(sharing.changed)
        ledger.lots = {key_of(lot): lot for mine in state.lots.values() for lot in mine.values() if id(lot) in before or lot.touched}
        self._keep(ledger, asked, done)
        for lot in ledger.lots.values():
            if lot.floor is not None and not lot.tags and lot.floor != before.get(id(lot), ledger.accounts[lot.account_id].floor):
                ledger.journal.append(FloorTold(lot.account_id, lot.flavor_id, lot.floor))

    def _keep(self, ledger: Ledger, asked: Transaction, done: Executed) -> None:
        ledger.numbers += 1
        posted = Posted(asked.txn_id, ledger.numbers, self._clock.now())
        ledger.posted[asked.txn_id] = (asked, posted)
        ledger.reversals.keep(ledger.numbers, done)
        ledger.journal.append(told_of(done, posted.recorded_at))
        for seq, move in enumerate(done.moves, 1):
            for lot in (move.src, move.dst):
                lot.latest_at = asked.effective_at if lot.latest_at is None else max(lot.latest_at, asked.effective_at)
            shown = PostedMove(
                asked.txn_id,
                ledger.numbers,
                move.action_no,
                move.type,
                move.src.flavor_id,
                move.amount,
                move.src.account_id,
                move.dst.account_id,
                dict(move.src.tags),
                dict(move.dst.tags),
                dict(move.action_tags),
                asked.effective_at,
                posted.recorded_at,
            )
            snapshot = {
                "action_tags": dict(move.action_tags),
                "token_tags": dict(move.src.tags if move.type == "retire" else move.dst.tags),
                "transaction_tags": dict(asked.tags),
                "flavor_tags": ledger.flavors[move.src.flavor_id].tags,
                "source_account_tags": ledger.accounts[move.src.account_id].tags,
                "destination_account_tags": ledger.accounts[move.dst.account_id].tags,
            }
            ledger.moves.append(Move(ledger.numbers, seq, shown, key_of(move.src), key_of(move.dst), snapshot))

    def _check_guards(self, ledger: Ledger, asked: Transaction) -> None:
        for number, guard in enumerate(asked.expect):
            try:
                found = _tokens(ledger, Question(guard.filter, guard.params), NOW, ledger.numbers)
            except Refused as refused:
                raise Refused(refused.code, refused.detail, f"expect.{number}.{refused.field}") from None
            for name, wanted, is_ in (("amount", guard.amount, sum(one.amount for one in found)), ("count", guard.count, len(found))):
                if wanted is not None and wanted != is_:
                    raise Refused("GUARD_FAILED", f"{wanted} were expected and {is_} are there", f"expect.{number}.{name}")

    def tokens(self, tenant_id: str, question: Question, as_of: AsOf = NOW, *, cursor: str | None = None, limit: int = 100) -> Page[Token]:
        asked, ledger = asking(tenant_id, "tokens", question, cursor, limit, as_of), self._of(tenant_id)
        seen = seen_by(asked, ledger.numbers)
        found = [(token_key(one), one) for one in _tokens(ledger, question, as_of, seen)]
        return by_place(asked, found, token_places(lot.tags for lot in ledger.lots.values()), snapshot_at(seen))

    def sum_tokens(self, tenant_id: str, question: Question, as_of: AsOf = NOW) -> Sequence[Sum]:
        ledger = self._of(tenant_id)
        return summed(question, "tokens", [(_token_object(ledger, one), one.amount) for one in _tokens(ledger, question, as_of, ledger.numbers)])

    def actions(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[PostedMove]:
        asked, ledger = asking(tenant_id, "actions", question, cursor, limit), self._of(tenant_id)
        seen = seen_by(asked, ledger.numbers)
        found = [one for one in _moves(ledger, question) if one.number <= seen]
        return by_place(asked, [((str(one.number), str(one.seq)), one.shown) for one in found], backwards, snapshot_at(seen))

    def sum_actions(self, tenant_id: str, question: Question) -> Sequence[Sum]:
        return summed(question, "actions", [(_action_object(one), one.shown.amount) for one in _moves(self._of(tenant_id), question)])

    def transactions(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[PostedTransaction]:
        asked = asking(tenant_id, "transactions", question, cursor, limit)
        return newest_first(asked, self._told(tenant_id, "transactions"), self._of(tenant_id).numbers)

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

        return self._feeds.setdefault(tenant_id, MemoryFeeds(lambda kind: self._told(tenant_id, kind), ends))

    def adopt_beside(self, tenant_id: str, other: "MemoryBooks") -> None:
        """The feeds and declared sums that the other has of a tenant, in place of these."""
        for feed, stands in other._feeds_of(tenant_id).stands():
            self._feeds_of(tenant_id).put(feed, stands)
        for declared in other.declared_sums(tenant_id):
            self.declare_sum(tenant_id, declared)

    def _told(self, tenant_id: str, kind: str) -> list[Told]:
        """The journal, oldest first."""
        ledger = self._of(tenant_id)
        if kind == "actions":
            return [((one.number, one.number, one.seq), _action_object(one), one.shown) for one in ledger.moves]
        posted = sorted(ledger.posted.values(), key=lambda one: one[1].sequence_number)
        return [_transaction_told(ledger, asked, one) for asked, one in posted]


def _tokens(ledger: Ledger, question: Question, as_of: AsOf, seen: int) -> list[Token]:
    """Those of the transactions up to number `seen`."""
    bound = bind(parse(question.filter), "tokens", question.params)
    amounts = {key: lot.amount for key, lot in ledger.lots.items()} if as_of == NOW and seen == ledger.numbers else _amounts(ledger, as_of, seen)
    held = _held(ledger, seen) if as_of == NOW else {}
    found = [Token(key[0], key[1], ledger.lots[key].tags, amount, held.get(key, 0)) for key, amount in amounts.items() if amount > 0]
    return [one for one in found if matches(bound, _token_object(ledger, one))]


def _held(ledger: Ledger, seen: int) -> dict[LotKey, int]:
    """What is held now, less what later transactions did."""
    held = {key: lot.held for key, lot in ledger.lots.items()}
    later = {name for name, (_, posted) in ledger.posted.items() if posted.sequence_number > seen}
    for told in ledger.journal if later else ():
        for one in told.holds if isinstance(told, TransactionTold) and told.txn_id in later else ():
            held[one.account_id, one.flavor_id, canonical(dict(one.tags))] -= one.amount
    return held


def _amounts(ledger: Ledger, as_of: AsOf, seen: int) -> dict[LotKey, int]:
    amounts = dict.fromkeys(ledger.lots, 0)
    for one in (each for each in ledger.moves if each.number <= seen):
        happened = as_of.effective_at is None or one.shown.effective_at <= as_of.effective_at
        if happened and (as_of.known_at is None or one.shown.recorded_at <= as_of.known_at):
            amounts[one.src] -= one.shown.amount
            amounts[one.dst] += one.shown.amount
    return amounts


def _token_object(ledger: Ledger, one: Token) -> dict[str, Any]:
    tags = {"account_tags": ledger.accounts[one.account_id].tags, "flavor_tags": ledger.flavors[one.flavor_id].tags, "tags": one.tags}
    return {"account_id": one.account_id, "flavor_id": one.flavor_id, "amount": one.amount, **tags}


def _moves(ledger: Ledger, question: Question) -> list[Move]:
    bound = bind(parse(question.filter), "actions", question.params)
    return [one for one in ledger.moves if matches(bound, _action_object(one))]


def _action_object(one: Move) -> dict[str, Any]:
    shown = one.shown
    return {
        "id": f"{shown.txn_id}/{shown.action_no}",
        "transaction_id": shown.txn_id,
        "timestamp": shown.effective_at,
        "recorded_at": shown.recorded_at,
        "type": shown.type,
        "amount": shown.amount,
        "flavor_id": shown.flavor_id,
        "source_account_id": shown.source,
        "destination_account_id": shown.destination,
        "tags": shown.action_tags,
        "snapshot": one.snapshot,
    }


def _transaction_told(ledger: Ledger, asked: Transaction, posted: Posted) -> Told:
    number, kept = posted.sequence_number, ledger.reversals
    moves = [one for one in ledger.moves if one.number == number]
    told = {
        "id": asked.txn_id,
        "timestamp": asked.effective_at,
        "recorded_at": posted.recorded_at,
        "sequence_number": number,
        "kind": asked.kind,
        "tags": asked.tags,
        "actions": [_action_object(one) for one in moves],
    }
    shown = PostedTransaction(
        asked.txn_id,
        number,
        asked.kind,
        asked.effective_at,
        posted.recorded_at,
        dict(asked.tags),
        asked.correlation_id,
        tuple(one.shown for one in moves),
        tuple(kept.of.get(number, ())),
        tuple(name for name, _ in kept.parts.get(number, ())),
    )
    return (number, number, WHOLE), told, shown
