"""The journal of books in memory: sealed, added up, exported and restored, with the same promises as PostgreSQL's."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from itertools import chain, zip_longest
from typing import Any, Final

from bourse.errors import Conflict
from bourse.ledger.actions import WORLD, Account, Flavor, Posted, PostedMove, Tags, Transaction
from bourse.ledger.books import NOW, AsOf
from bourse.ledger.carry import Record, Restored, other_tenant
from bourse.ledger.carry_beside import BesideEntries, Block, End, FeedStands, SpendingOrder, SumDeclared, feed_state, record_text, sum_state
from bourse.ledger.execute import Hold
from bourse.ledger.journal import (
    GENESIS,
    AccountClosed,
    AccountTold,
    Entry,
    FlavorTold,
    FloorTold,
    TransactionTold,
    block_hash,
    hash_of_lines,
    leaf,
    line_of,
)
from bourse.ledger.journal_keys import DefaultTold, KeyTold, RevocationTold, SignatureTold
from bourse.ledger.journal_refusals import RefusalTold
from bourse.ledger.journal_templates import TemplateTold
from bourse.ledger.json_text import jsonb_text, time_text
from bourse.ledger.keys import KeptSignature
from bourse.ledger.lots import Lot
from bourse.ledger.memory_beside import beside, feeds_of, position
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_state import Ledger, Move, StoredLot
from bourse.ledger.memory_templates import versions_of
from bourse.ledger.seal import Sealed
from bourse.ledger.sharing import OwedChange
from bourse.ledger.trial_balance import Balance


@dataclass(frozen=True, slots=True)
class Journalled(Transaction):
    """A transaction that is known by its journal: its actions are not, but the digest of the request is."""

    asked_digest: bytes = b""

    def digest(self) -> bytes:
        return self.asked_digest


class MemoryJournal:
    """`Seals`, `TrialBalances` and `Journal` of books in memory."""

    def __init__(self, books: MemoryBooks) -> None:
        self._books: Final = books

    def tenants(self) -> Sequence[str]:
        return sorted(tenant_id for tenant_id, ledger in self._books._ledgers.items() if ledger.flavors)

    def seal(self, tenant_id: str, entries_max: int) -> Sealed | None:
        ledger = self._books._of(tenant_id)
        sealed, previous = ledger.blocks[-1] if ledger.blocks else (0, GENESIS)
        entries = ledger.journal[sealed : sealed + entries_max]
        if not entries or not ledger.flavors:
            return None
        made = block_hash(previous, len(ledger.blocks) + 1, b"".join(leaf(line_of(entry)) for entry in entries))
        ledger.blocks.append((sealed + len(entries), made))
        return Sealed(len(ledger.blocks), len(entries), made)

    def trial_balance(self, tenant_id: str, as_of: AsOf = NOW) -> Iterator[Balance]:
        sums: dict[tuple[str, str], list[int]] = {}
        for one in self._books._of(tenant_id).moves:
            shown = one.shown
            happened = as_of.effective_at is None or shown.effective_at <= as_of.effective_at
            if happened and (as_of.known_at is None or shown.recorded_at <= as_of.known_at):
                for place, account in enumerate((shown.source, shown.destination)):
                    sums.setdefault((shown.flavor_id, account), [0, 0])[place] += shown.amount
        for (flavor, account), (gone, come) in sorted(sums.items()):
            yield Balance(flavor, account, gone, come)

    def records(self, tenant_id: str) -> Iterator[str]:
        ledger = self._books._of(tenant_id)
        ends = {sealed: Block(number, hash_) for number, (sealed, hash_) in enumerate(ledger.blocks, 1)}
        for place, entry in enumerate(ledger.journal, 1):
            yield line_of(entry)
            if place in ends:
                yield record_text(ends[place])
        yield from map(record_text, beside(self._books, tenant_id))
        yield record_text(End(self.state_hash(tenant_id)))

    def state_hash(self, tenant_id: str) -> str:
        stands, declared = feeds_of(self._books, tenant_id), self._books.declared_sums(tenant_id)
        lines = chain(_state(self._books._of(tenant_id)), map(feed_state, stands), map(sum_state, declared))
        return hash_of_lines(sorted(lines, key=str.encode))

    def restore(self, tenant_id: str, records: Iterable[tuple[int, Record]]) -> Restored:
        ledger = self._books._of(tenant_id)
        if ledger.journal:
            return self._compare(tenant_id, [line_of(entry) for entry in ledger.journal], records)
        aside = MemoryBooks(self._books._clock)
        aside.adopt_beside(tenant_id, self._books)
        making = _Making(aside, tenant_id)
        for number, record in records:
            making.take(record, number)
        made = making.ledger
        state = MemoryJournal(aside).state_hash(tenant_id)
        if state != making.state:
            raise Conflict("BOOKS_DIFFER", "the books come to another state than the end of the file says", "state")
        self._books._ledgers[tenant_id] = made
        self._books.keys.adopt(tenant_id, aside.keys)
        self._books.adopt_beside(tenant_id, aside)
        return Restored(len(made.journal), state)

    def _compare(self, tenant_id: str, stored: Sequence[str], records: Iterable[tuple[int, Record]]) -> Restored:
        lines = ((number, line_of(one)) for number, one in records if not isinstance(one, BesideEntries))
        for line, is_ in zip_longest(lines, stored):
            if line is not None and line[1] != is_:
                raise Conflict("BOOKS_DIFFER", f"there are other books, the first difference is at line {line[0]}", f"lines.{line[0]}")
        return Restored(0, self.state_hash(tenant_id))


def _state(ledger: Ledger) -> Iterator[str]:
    """The lines of the state, as aurora_journal.py's query writes them."""
    for account in ledger.accounts.values():
        if account.account_id != WORLD or account.tags or account.closed:
            yield jsonb_text({"account": [account.account_id, account.floor, account.hot, account.closed, account.tags, account.key_ids, account.quorum]})
    for flavor in ledger.flavors.values():
        yield jsonb_text({"flavor": [flavor.flavor_id, flavor.tags, flavor.key_ids, flavor.quorum]})
    for lot in ledger.lots.values():
        if lot.amount or lot.held:
            yield jsonb_text({"tokens": [lot.account_id, lot.flavor_id, lot.tags, lot.amount, lot.held]})
        if not lot.tags and lot.floor != ledger.accounts[lot.account_id].floor:
            yield jsonb_text({"floor": [lot.account_id, lot.flavor_id, lot.floor]})
    yield from _promises(ledger)
    yield from _told(ledger.journal)


def _promises(ledger: Ledger) -> Iterator[str]:
    for hold in ledger.holds.values():
        left = sorted((jsonb_text(lot.tags), lot.tags, amount) for lot, amount in hold.left.items())
        expires_at = None if hold.expires_at is None else time_text(hold.expires_at)
        lots = [[tags, amount] for _, tags, amount in left]
        yield jsonb_text({"hold": [hold.hold_id, hold.account_id, hold.flavor_id, expires_at, hold.over, hold.expired, lots]})
    for (over, flavor_id, account_id), owed in (one for of_flavor in ledger.owed.values() for one in of_flavor.items()):
        if owed:
            yield jsonb_text({"owed": [over, flavor_id, account_id, str(owed)]})
    for (number, seq), amount in ledger.reversals.amounts.items():
        yield jsonb_text({"reversed": [ledger.transactions[number - 1][0].txn_id, seq, amount]})
    for txn_id, (digest, code, *_) in ledger.refused.items():
        yield jsonb_text({"refusal": [txn_id, digest.hex(), code]})


def _told(journal: Sequence[Entry]) -> Iterator[str]:
    for entry in journal:
        match entry:
            case TemplateTold():
                yield jsonb_text({"template": [entry.template_id, entry.version, entry.parameters, entry.document]})
            case KeyTold():
                until = None if entry.previous_until is None else time_text(entry.previous_until)
                terms = [entry.key_id, entry.version, entry.algorithm, entry.public_key.hex(), time_text(entry.valid_from), until]
                yield jsonb_text({"key": terms})
            case RevocationTold():
                yield jsonb_text({"revocation": [entry.key_id, entry.version, time_text(entry.revoked_at)]})
            case SignatureTold():
                signed = [entry.scope, entry.digest.hex(), entry.signature.hex(), list(entry.signed), time_text(entry.accepted_at)]
                yield jsonb_text({"signature": [entry.posting, entry.place, entry.key_id, entry.version, *signed]})
    if defaults := [entry for entry in journal if isinstance(entry, DefaultTold)]:
        yield jsonb_text({"default": [defaults[-1].key_ids, defaults[-1].quorum]})


class _Making:
    """Books in the making, from records."""

    def __init__(self, books: MemoryBooks, tenant_id: str) -> None:
        self._books: Final = books
        self._tenant: Final = tenant_id
        self.ledger: Final = books._of(tenant_id)
        self.state = ""

    def take(self, record: Record, number: int) -> None:
        """Raises Conflict BOOKS_DIFFER for an entry of what was not told before, TENANT_DIFFERS for a signature of another tenant's books."""
        if isinstance(record, SignatureTold) and record.tenant_id != self._tenant:
            raise other_tenant(record, number)
        try:
            self._take(record)
        except KeyError as missing:
            raise Conflict("BOOKS_DIFFER", f"line {number} speaks of {missing}, which no line before told of", f"lines.{number}") from None
        except Conflict as differs:
            raise Conflict("BOOKS_DIFFER", f"line {number}: {differs.detail}", f"lines.{number}") from None

    def _take(self, record: Record) -> None:
        ledger = self.ledger
        match record:
            case FlavorTold():
                ledger.flavors[record.flavor_id] = Flavor(record.flavor_id, record.tags, record.key_ids, record.quorum)
            case AccountTold():
                ledger.accounts[record.account_id] = Account(record.account_id, record.tags, record.floor, record.hot, False, record.key_ids, record.quorum)
            case AccountClosed():
                ledger.accounts[record.account_id] = replace(ledger.accounts[record.account_id], closed=True)
            case FloorTold():
                self._lot(record.account_id, record.flavor_id, {}).floor = record.floor
            case TransactionTold():
                self._transaction(record)
            case KeyTold() | RevocationTold() | DefaultTold():
                self._books.keys.take(self._tenant, record)
            case SignatureTold():
                self._signature(record)
            case RefusalTold() | TemplateTold():
                self._once(record)
            case _:
                self._rest(record)
                return
        ledger.journal.append(record)

    def _once(self, told: RefusalTold | TemplateTold) -> None:
        if isinstance(told, TemplateTold):
            if told.version != len(versions_of(self.ledger, told.template_id)) + 1:
                raise Conflict("BOOKS_DIFFER", f"there is such a version of the template {told.template_id}, or not the one before it")
        elif told.txn_id in self.ledger.refused:
            raise Conflict("BOOKS_DIFFER", f"it tells the refusal of {told.txn_id} again")
        else:
            self.ledger.refused[told.txn_id] = (told.digest, told.code, told.detail, told.field)

    def _signature(self, told: SignatureTold) -> None:
        posted = self.ledger.posted
        signed = tuple((txn_id, posted[txn_id][0].digest()) for txn_id in told.signed)
        number = posted[told.posting][1].sequence_number
        said = (told.key_id, told.version, told.scope, told.digest, told.signature, signed, told.accepted_at)
        self._books.keys.take_kept(self._tenant, KeptSignature(number, told.place, *said))

    def _rest(self, record: BesideEntries) -> None:
        match record:
            case Block():
                self.ledger.blocks.append((len(self.ledger.journal), record.hash))
            case SpendingOrder():
                for place, tags in enumerate(record.lots, 2):
                    self._lot(record.account_id, record.flavor_id, tags).opened = place
                    self.ledger.opened = max(self.ledger.opened, place)
            case FeedStands():
                self._books._feeds_of(self._tenant).put(record.feed, position(self.ledger, record))
            case SumDeclared():
                self._books.declare_sum(self._tenant, record.declared)
            case End():
                self.state = record.state

    def _lot(self, account_id: str, flavor_id: str, tags: Tags) -> StoredLot:
        account, flavor = self.ledger.accounts[account_id], self.ledger.flavors[flavor_id]
        lot = StoredLot(account_id, flavor.flavor_id, tags, floor=0 if tags else account.floor, opened=1)
        if lot.key not in self.ledger.lots:
            self.ledger.put(lot)
        return self.ledger.lots[lot.key]

    def _transaction(self, told: TransactionTold) -> None:
        ledger = self.ledger
        number = ledger.numbers + 1
        asked = Journalled(told.txn_id, (), told.effective_at, told.kind, told.tags, told.correlation_id, (), told.digest)
        ledger.starts.append(len(ledger.moves))
        ledger.transactions.append((asked, Posted(told.txn_id, number, told.recorded_at)))
        ledger.posted[told.txn_id] = ledger.transactions[-1]
        for seq, move in enumerate(told.moves, 1):
            src = self._lot(move.source, move.flavor_id, move.source_tags)
            dst = self._lot(move.destination, move.flavor_id, move.destination_tags)
            for lot, change in ((src, -move.amount), (dst, move.amount)):
                lot.amount += change
                lot.latest_at = told.effective_at if lot.latest_at is None else max(lot.latest_at, told.effective_at)
            shown = PostedMove(
                told.txn_id,
                number,
                move.action_no,
                move.type,
                move.flavor_id,
                move.amount,
                move.source,
                move.destination,
                move.source_tags,
                move.destination_tags,
                move.action_tags,
                told.effective_at,
                told.recorded_at,
            )
            made = Move(number, seq, shown, src.key, dst.key, _snapshot(ledger, told, shown))
            ledger.moves.append(made)
            for lot in (src, dst):
                lot.moves.insert(lot.place_of(made), made)
        for held in told.holds:
            self._hold(held.hold_id, held.expires_at, held.type, self._lot(held.account_id, held.flavor_id, held.tags), held.amount)
        self._taken_back(told)

    def _taken_back(self, told: TransactionTold) -> None:
        ledger, kept = self.ledger, self.ledger.reversals
        for one in told.reversals:
            of = ledger.posted[one.txn_id][1].sequence_number
            kept.parts.setdefault(of, []).append((told.txn_id, Fraction(*one.part) if one.part else Fraction(0)))
            kept.of.setdefault(ledger.numbers, []).append(one.txn_id)
            for _, of_seq, amount in one.moves:
                kept.amounts[of, of_seq] = kept.amounts.get((of, of_seq), 0) + amount
        for owed in told.owed:
            change = OwedChange(owed.over_flavor_id, owed.flavor_id, owed.account_id, owed.change)
            kept.owed.setdefault(ledger.numbers, {}).setdefault(owed.action_no, []).append(change)
            owes = ledger.owed.setdefault(change.over_flavor_id, {})
            owes[change.key] = owes.get(change.key, Fraction(0)) + change.change

    def _hold(self, hold_id: str, expires_at: datetime | None, kind: str, lot: Lot, amount: int) -> None:
        hold = self.ledger.holds.setdefault(hold_id, Hold(hold_id, lot.account_id, lot.flavor_id, expires_at, no=len(self.ledger.holds)))
        lot.held += amount
        hold.left[lot] = hold.left.get(lot, 0) + amount
        if not hold.left[lot]:
            del hold.left[lot]
        hold.over = not hold.left
        hold.expired = hold.expired or kind == "expire"
        if hold.over:
            self.ledger.expire_not(hold)
        else:
            self.ledger.expire(hold)


def _snapshot(ledger: Ledger, told: TransactionTold, shown: PostedMove) -> dict[str, Any]:
    return {
        "action_tags": shown.action_tags,
        "token_tags": shown.source_tags if shown.type == "retire" else shown.token_tags,
        "transaction_tags": told.tags,
        "flavor_tags": ledger.flavors[shown.flavor_id].tags,
        "source_account_tags": ledger.accounts[shown.source].tags,
        "destination_account_tags": ledger.accounts[shown.destination].tags,
    }
