"""What holds in every world: after each step, and in the end, when everything has come to rest. Each is worked out anew from what was recorded."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import orjson
from bourse import flow
from bourse.assets.events import offer_id_of
from bourse.assets.model import LoanStatus, UploadState
from bourse.assets.upload_status import upload_status
from bourse.clock import FixedClock
from bourse.ledger.carry import export_lines, import_lines
from bourse.ledger.memory_books import MemoryBooks
from bourse.ledger.memory_journal import MemoryJournal
from bourse.matching.apply import apply
from bourse.matching.book import Book
from bourse.matching.codec import state_hash
from bourse.matching.events import Bid, BidsPublished
from bourse.matching.match_offers import _KINDS, _messages, open_book
from bourse.matching.model import OFFER, OfferState, OfferView
from bourse.matching.offers import merge, read_outputs, shown_by
from bourse.message import Envelope
from bourse.trading.events import BalancesChanged
from bourse.trading.gap import deviation_bound
from bourse.trading.plan_purchases import plan_purchases

from tests.simulation.people import PERSONAL
from tests.simulation.stores import PRODUCT

if TYPE_CHECKING:
    from tests.simulation.world import World

_ON_OFFER = {OfferState.OPEN, OfferState.PARTIALLY_FILLED}
AccountFlavor = tuple[str, str, str]


class Broken(BaseException):
    """A promise of the marketplace does not hold in this world. Not an Exception: no function may take it for a failure of its own."""


class Promises:
    """`evaluated` counts how often each promise was looked at. Every method that is a promise raises Broken."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.evaluated: Counter[str] = Counter()
        self.published: dict[str, Bid] = {}
        self._heard: set[str] = set()
        self._balances: dict[AccountFlavor, int] = defaultdict(int)
        self._moves: dict[str, int] = {}
        self._versions: dict[Any, int] = {}
        self._results: dict[Any, Any] = {}
        self._blocks: dict[str, tuple[Any, ...]] = {}
        self._seen: tuple[int, int] = (0, 0)

    def after_step(self) -> None:
        """Those that are cheap: they look at what is new."""
        self.money_moves_and_is_never_made()
        self.versions_only_grow()
        self.a_chunk_is_applied_once()
        self.the_chain_only_grows()
        self.structures_hold()

    def at_the_end(self) -> None:
        self.every_record_is_accounted_for()
        self.deposits_are_booked_once()
        self.books_are_what_they_heard()
        self.dead_letters_are_gone()
        self.what_a_chunk_made_is_there()
        self.what_is_known_of_a_loan_is_of_its_latest_version()
        self.nobody_was_forgotten()
        self.versions_are_those_of_the_files_in_their_order()
        if self.world.seed % 8 == 0:
            self.the_ledger_is_what_its_journal_says()

    def hold(self, fact: bool, promise: str, detail: object = "") -> None:
        if not fact:
            raise Broken(f"{promise}: {detail}")

    # --- after each step

    def money_moves_and_is_never_made(self) -> None:
        """What lots hold is what moves add up to, and nobody's falls below his floor, holds included."""
        for tenant_id, ledger in self.world.stores.ledger.books._ledgers.items():
            seen = self._moves.get(tenant_id, 0)
            if seen == len(ledger.moves):
                continue
            self.evaluated["money"] += 1
            touched = set()
            for move in ledger.moves[seen:]:
                shown = move.shown
                for account, amount in ((shown.source, -shown.amount), (shown.destination, shown.amount)):
                    self._balances[tenant_id, account, shown.flavor_id] += amount
                    touched.add((account, shown.flavor_id))
            self._moves[tenant_id] = len(ledger.moves)
            for account, flavor in touched:
                lots = list(ledger.lots_of(account, flavor))
                self.hold(sum(lot.amount for lot in lots) == self._balances[tenant_id, account, flavor], "lots are what moves add up to", (account, flavor))
                self.hold(all(lot.floor is None or lot.amount - lot.held >= lot.floor for lot in lots), "nothing is overdrawn", (account, flavor))
            by_flavor: Counter[str] = Counter()
            for (of, _, flavor), amount in self._balances.items():
                if of == tenant_id:
                    by_flavor[flavor] += amount
            self.hold(not any(by_flavor.values()), "every flavor sums to zero", by_flavor)

    def versions_only_grow(self) -> None:
        for loan, heads in self.world.stores.versions.stored.items():
            known = self._versions.get(loan, 0)
            if known == len(heads):
                continue
            self.evaluated["versions"] += 1
            self.hold(len(heads) > known, "no version is lost", loan)
            self.hold([head.version for head in heads] == list(range(1, len(heads) + 1)), "versions have no gap", loan)
            causes = [(head.cause.upload_seq, head.cause.record_no) for head in heads]
            self.hold(causes == sorted(set(causes)), "versions follow the files in their order, each record once", (loan, causes))
            self.hold(all(one.content_hash != other.content_hash for one, other in pairwise(heads)), "a version differs", loan)
            self._versions[loan] = len(heads)

    def a_chunk_is_applied_once(self) -> None:
        kept = self.world.stores.chunks.kept
        if len(kept) == len(self._results):
            return
        self.evaluated["chunks"] += 1
        for chunk, result in self._results.items():
            self.hold(kept.get(chunk) is result, "what came of a chunk stays", chunk)
        self._results = dict(kept)

    def the_chain_only_grows(self) -> None:
        for tenant_id, ledger in self.world.stores.ledger.books._ledgers.items():
            before = self._blocks.get(tenant_id, ())
            if len(before) != len(ledger.blocks):
                self.evaluated["chain"] += 1
                self.hold(tuple(ledger.blocks[: len(before)]) == before, "sealed blocks stay", tenant_id)
                self._blocks[tenant_id] = tuple(ledger.blocks)

    def structures_hold(self) -> None:
        """No bucket is over its target or further from its share than the bound, bids under way included."""
        stores = self.world.stores
        seen = (len(self.published), len(stores.ledger._bids))
        if seen == self._seen:
            return
        self._seen = seen
        for one in self.world.people.investors:
            if one.later is not None or not (portfolio := stores.trading.portfolio(one.tenant_id, one.portfolio_id)):
                continue
            self.evaluated["structures"] += 1
            terms = portfolio.terms
            decided = {bid.bid.bid_id: bid.reason for bid in stores.bids(one.tenant_id)}
            held: Counter[str] = Counter()
            for bid in self.published.values():
                if bid.portfolio_id == one.portfolio_id and decided.get(bid.bid_id) is None:
                    held[bid.bucket_id] += bid.principal
            targets, whole = terms.bucket_volumes(), terms.target_volume
            bound = deviation_bound(targets, PRODUCT.lot_min, Decimal(PRODUCT.step_percent)) * whole
            exposures = [held[bucket.bucket_id] for bucket in terms.buckets]
            fits = all(amount <= target for amount, target in zip(exposures, targets, strict=True))
            self.hold(fits, "no bucket is over its target", (one.portfolio_id, exposures, targets))
            near = all(abs(amount - Fraction(target, whole) * sum(exposures)) <= bound for amount, target in zip(exposures, targets, strict=True))
            self.hold(near, "the structure holds", (one.portfolio_id, exposures, targets))

    def hear(self, body: str) -> None:
        """A message that was taken by the queue of settlements."""
        envelope = Envelope(body)
        if envelope.kind.startswith("bids_published") and envelope.message_id not in self._heard:
            self._heard.add(envelope.message_id)
            self.published |= {bid.bid_id: bid for bid in envelope.read(cast("dict[str, type[BidsPublished]]", flow.messages())).bids}

    def nothing_personal_is_logged(self, line: dict[str, Any]) -> None:
        self.evaluated["logged"] += 1
        self.hold(PERSONAL.lower() not in str(line).lower(), "nothing personal is logged", line)

    # --- in the end

    def every_record_is_accounted_for(self) -> None:
        """Each record of each file was accepted or refused with a reason, unless it was overwritten before it was read."""
        uploads, files = self.world.stores.uploads, self.world.files
        for slot in uploads.slots.values():
            if slot.arrival is None:
                continue
            self.evaluated["records"] += 1
            status = upload_status(slot.ref, uploads=uploads)
            self.hold(status.pending == 0, "no record waits", status)
            file, etag = files[slot.key]
            if etag != slot.arrival.etag:
                continue
            if file.broken:
                self.hold(status.state is UploadState.FAILED or status.received >= file.records - 1, "a broken file is told", status)
            else:
                self.hold(status.received == file.records, "every record is accepted or refused", (status, file.records))
        taken = {slot.key for slot in uploads.slots.values() if slot.arrival}
        self.hold(self.world.stores.objects.kept.keys() == taken, "every object that came in time was taken", self.world.stores.objects.kept.keys() ^ taken)

    def what_a_chunk_made_is_there(self) -> None:
        stored = {
            (tenant, originator, head.cause.upload_seq, head.cause.record_no, head.version)
            for (tenant, originator, _), heads in self.world.stores.versions.stored.items()
            for head in heads
        }
        for chunk, result in self.world.stores.chunks.kept.items():
            self.evaluated["made"] += 1
            made = {(chunk.tenant_id, chunk.originator_id, chunk.upload_seq, one.record_no, one.version) for one in result.made}
            self.hold(made <= stored, "what a chunk says it made is there", (chunk, made - stored))

    def what_is_known_of_a_loan_is_of_its_latest_version(self) -> None:
        """The latest version of each loan was assessed; what is not for sale any more is not on offer."""
        stores = self.world.stores
        assessed = {key[:4] for key in stores.assessments.kept}
        for loan, heads in stores.versions.stored.items():
            self.evaluated["assessed"] += 1
            if heads[-1].status is not LoanStatus.ACTIVE:
                view = stores.offers.view(offer_id_of(*loan))
                self.hold(view is None or view.state not in _ON_OFFER, "what is repaid is not on offer", (loan, view))
            else:
                self.hold((*loan, heads[-1].version) in assessed, "the latest version is assessed", loan)

    def nobody_was_forgotten(self) -> None:
        """Planning every portfolio once more has nothing new to say."""
        stores = self.world.stores
        for one in self.world.people.investors:
            self.evaluated["plans"] += 1
            nudge = BalancesChanged(
                message_id=f"msg_again_{one.portfolio_id}", tenant_id=one.tenant_id, correlation_id="c", portfolio_id=one.portfolio_id, window=0
            )
            said = plan_purchases(nudge, plans=stores.trading, clock=self.world.clock).says
            self.hold(not said, "everybody was told of what he can buy", said)

    def versions_are_those_of_the_files_in_their_order(self) -> None:
        """A model of two lines: a loan has a version for each record that differs from the one before. Where files were taken as they were meant, in order."""
        world = self.world
        taken: dict[str, list[int]] = defaultdict(list)
        for slot in sorted(world.stores.uploads.slots.values(), key=lambda slot: slot.upload_seq):
            if slot.arrival is not None:
                file, etag = world.files[slot.key]
                taken[file.originator_id].append(file.number if etag == slot.arrival.etag else -1)
        meant: dict[str, list[int]] = defaultdict(list)
        model: dict[tuple[str, str, str], list[tuple[int, str]]] = defaultdict(list)
        for one in world.people.files:
            meant[one.originator_id].append(one.number)
            for loan_id, outstanding, status in one.facts:
                fact = (outstanding, status)
                versions = model[one.tenant_id, one.originator_id, loan_id]
                if versions[-1:] != [fact]:
                    versions.append(fact)
        if taken != meant or world.redriven:
            return  # what comes back from the dead letters comes after what followed it: a record is stale by then, and told so
        self.evaluated["model"] += 1
        found = {loan: [_fact(head) for head in heads] for loan, heads in world.stores.versions.stored.items()}
        self.hold(
            found == model,
            "versions are those of the files in their order",
            [loan for loan in found.keys() | model.keys() if found.get(loan) != model.get(loan)],
        )

    def deposits_are_booked_once(self) -> None:
        self.evaluated["deposits"] += 1
        for tenant_id in self.world.stores.tenant_ids:
            ledger = self.world.stores.ledger.books._of(tenant_id)
            booked = sum(asked.kind == "deposit" for asked, _ in ledger.transactions)
            asked_for = sum(len(one.deposits) for one in self.world.people.investors if one.tenant_id == tenant_id)
            self.hold(booked == asked_for, "a deposit is booked once", (tenant_id, booked, asked_for))

    def books_are_what_they_heard(self) -> None:
        """A book from its snapshot is the book of all it ever heard; readers see all of what it said; and every bid it said was decided."""
        books, offers = self.world.stores.books, self.world.stores.offers
        for book_id in books._journals:
            self.evaluated["books"] += 1
            whole, rows = Book(book_id), dict[str, OfferView]()
            for entry in books.load(book_id, ()).journal:
                self._hears_again(whole, Envelope(entry.decode()).read(_KINDS), rows)
            self.hold(state_hash(open_book(book_id, books).book) == state_hash(whole), "a book is what it heard", book_id)
            self.evaluated["offers"] += len(rows)
            unseen = [offer_id for offer_id, row in rows.items() if offers.view(offer_id) != row]
            self.hold(not unseen, "readers see what the book said", unseen)
        decided = {bid_id for _, bid_id in self.world.stores.ledger._bids}
        self.hold(self.published.keys() == decided, "every bid is decided once", self.published.keys() ^ decided)

    def _hears_again(self, book: Book, message: Any, rows: dict[str, OfferView]) -> None:
        """A book says again what it said, and the rows for readers are made of it."""
        step = apply(book, message)
        said = self.world.stores.books.said(book.book_id, message.message_id)
        self.hold(said is not None, "what a book heard it answered", message.message_id)
        assert said is not None, "just held"
        changes, says = read_outputs(said.outputs)
        again = tuple(_messages(message, step, book.version))
        same = changes == tuple(step.changes) and _bids(says) == _bids(again) and said.version == book.version
        self.hold(same, "what a book said is what it says again", message.message_id)
        for shown in shown_by(changes, says, book.version):
            before, after = rows.get(shown.change.offer_id), shown.change.state
            self.hold(before is None or OFFER.may(before.state, after), "offers become what they may", (before, shown))
            rows[shown.change.offer_id] = merge(before, shown)

    def dead_letters_are_gone(self) -> None:
        self.hold(all(queue.is_empty() and not queue.lost for queue in self.world.dead.values()), "dead letters were heard in the end")

    def the_ledger_is_what_its_journal_says(self) -> None:
        for tenant_id, ledger in self.world.stores.ledger.books._ledgers.items():
            if not ledger.flavors:
                continue
            self.evaluated["journal"] += 1
            lines = list(export_lines(MemoryJournal(self.world.stores.ledger.books), tenant_id))
            again = MemoryBooks(FixedClock(self.world.clock.now()))
            restored = import_lines(MemoryJournal(again), tenant_id, lines)
            self.hold(restored.state == MemoryJournal(self.world.stores.ledger.books).state_hash(tenant_id), "the books are what their journal says", tenant_id)


def _fact(head: Any) -> tuple[int, str]:
    document = orjson.loads(head.document)
    return document["outstanding_principal_minor"], document["status"]


def _bids(says: Iterable[BidsPublished]) -> list[tuple[str, tuple[Bid, ...]]]:
    """What messages say, whichever kind of it they are: another release may say the same in another."""
    return [(message.message_id, message.bids) for message in says]
