"""The general ledger kept in PostgreSQL. A posting of plain moves is one round trip; any other is read, decided, and posted on condition.

Plain: every action takes any tokens of its source, the oldest first, and carries no tags. `books.post` settles such a posting by
itself, or says that it takes a closer look. Then, as for all others, lots are read without locks, `execute.py` decides, and
`books.post` keeps it if every lot that was decided by is still of the same version; if not, all of it is done again.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused, Unavailable
from bourse.ledger.actions import NO_TAGS, WORLD, Issue, Posted, Retire, Tags, Transaction, Transfer
from bourse.ledger.aurora_decided import Decided, MovedOn, Unnumbered, keep_owed
from bourse.ledger.aurora_keys import AuroraKeys
from bourse.ledger.aurora_names import Known, Names
from bourse.ledger.aurora_plain import Call, CloserLook, arguments_of, is_one
from bourse.ledger.aurora_reads import read_tokens_total
from bourse.ledger.aurora_reversal import keep_reversals
from bourse.ledger.aurora_rows import POST, POST_ONE
from bourse.ledger.aurora_signed import Signed
from bourse.ledger.aurora_state import load
from bourse.ledger.authority import NotSigned
from bourse.ledger.books import Question
from bourse.ledger.check import check
from bourse.ledger.execute import Execution
from bourse.ledger.keys import Signature
from bourse.ledger.matching_tokens import matcher
from bourse.ledger.needs import needs_of, tag_sets
from bourse.ledger.sharing import Sharing

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_TRIES: Final = 20
_SLOTS: Final = 16
_FINAL: Final = frozenset({"INSUFFICIENT_FUNDS"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KNOWN: Final[LiteralString] = "select txn_id, digest, txn_no, recorded_at from books.txn where tenant_id = %s and txn_id = any(%s)"
_REFUSED: Final[LiteralString] = "select digest, code, detail, field from books.refusal where tenant_id = %s and txn_id = %s"
_REFUSE: Final[LiteralString] = """
    insert into books.refusal (tenant_id, txn_id, digest, code, detail, field) values (%s, %s, %s, %s, %s, %s) on conflict do nothing"""
_HEAD: Final[LiteralString] = "select kind, effective_at, tags from books.txn where txn_no = %s"
_BODY: Final[LiteralString] = """
    select m.action_no, min(m.type::text), sum(m.amount)::bigint, min(f.flavor_id) from books.move m join books.lot l on l.lot_no = m.src
    join books.flavor f using (flavor_no) where m.txn_no = %s group by m.action_no"""


ALONE: Final[LiteralString] = "select pg_advisory_xact_lock(hashtextextended(%s, 7))"
"""Waits for every posting of the tenant and lets none begin until the commit; `books.post` takes the same lock shared."""


class _ToOpen(Exception):
    """`books.post_one` found no lot where tokens are to come to or leave, and `books.post` will open it."""


_SUM_UP: Final[LiteralString] = "books.sum_up"
_STEP_MOVES: Final = 65_536
_PATIENT: Final[LiteralString] = "select set_config('app.patient', 'on', true)"


class LongHistory(Exception):
    """A lot's later instants are to be checked, and its moves are too many to read one by one."""

    def __init__(self, lot_no: int) -> None:
        self.lot_no: Final = lot_no


class _Undo(Exception):
    """Rolls a dry run back."""


_MEANINGS: Final[dict[str, type[Exception]]] = {"BK001": CloserLook, "BK002": MovedOn, "BK003": CloserLook, "BK005": _ToOpen, "BK010": MovedOn}
"""What the functions of migrations/0050_books.sql raise."""


class AuroraPosting:
    """The posting half of `Books`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: Final = Names()
        self.keys: Final = AuroraKeys(database)
        self._slot: Final = int.from_bytes(os.urandom(2), "big") % _SLOTS

    def post(
        self, tenant_id: str, transactions: Sequence[Transaction], at: datetime, *, signatures: Sequence[Signature] = (), dry_run: bool = False
    ) -> tuple[Posted, ...]:
        """As `Books.post`."""
        if not transactions:
            return ()
        self._names.bound()
        try:
            signed = Signed(self.keys, tenant_id, transactions, signatures, at)
            return self._post_plain(tenant_id, transactions, signed, checked=False, dry_run=dry_run)
        except (CloserLook, MovedOn, NotSigned, LongHistory):
            return self._post_any(tenant_id, transactions, signatures, at, dry_run=dry_run)

    def _post_any(
        self, tenant_id: str, transactions: Sequence[Transaction], signatures: Sequence[Signature], at: datetime, *, dry_run: bool
    ) -> tuple[Posted, ...]:
        asked = check(transactions)
        known: dict[str, Posted] = {}
        patient = False
        for _ in range(_TRIES):
            new = [one for one in asked if one.txn_id not in known]
            try:
                signed = Signed(self.keys, tenant_id, transactions, signatures, at, known)
                fresh = self._post_new(tenant_id, new, signed, at, dry_run=dry_run, patient=patient) if new else ()
            except (CloserLook, MovedOn):  # the closer look may be one at a lot that another opened, or gave a floor, since it was decided
                known = self._posted_before(tenant_id, asked)
                continue
            except NotSigned:
                if (before := self._before(tenant_id, asked)).keys() == known.keys():
                    raise
                known = before
                continue
            except LongHistory as long:
                patient = not self._sum_up(tenant_id, long.lot_no)
                continue
            except Refused as refused:
                if self._refuse(tenant_id, new, refused, dry_run=dry_run):
                    raise
                known = self._posted_before(tenant_id, asked)
                continue
            found = {**known, **{one.txn_id: one for one in fresh}}
            return tuple(found[one.txn_id] for one in transactions)
        raise Unavailable("others kept changing what this posting was decided by")

    def _sum_up(self, tenant_id: str, lot_no: int) -> bool:
        """Sum a lot's moves up, in steps that are each a transaction of its own: what an interrupted one has done stays done. False when there was nothing
        to do, because what is long is the posting itself."""
        done = 0
        while self._database.call(_SUM_UP, [tenant_id, str(lot_no), str(_STEP_MOVES)]) == "t":
            done += 1
        return done > 0

    def _post_new(self, tenant_id: str, new: Sequence[Transaction], signed: Signed, at: datetime, *, dry_run: bool, patient: bool) -> tuple[Posted, ...]:
        guarded = any(one.expect for one in new)
        if not guarded and not patient:
            with suppress(CloserLook):
                self._learn(tenant_id, new)
                return self._post_plain(tenant_id, new, signed, checked=True, dry_run=dry_run)
        if not guarded or len(new) == 1:
            return self._post_decided(tenant_id, [new], signed, at, dry_run=dry_run, patient=patient)
        # A later group holds the lots of those before it: it must wait for nobody who numbers a set of tags, so all are numbered before, and what
        # only the execution can tell, the tags that tokens carry, before all of it is done again.
        sets = [tags for one in new for tags in tag_sets(one)]
        while True:
            self._number(tenant_id, new, sets)
            try:
                return self._post_decided(tenant_id, [[one] for one in new], signed, at, dry_run=dry_run, patient=patient)
            except Unnumbered as unnumbered:
                sets += unnumbered.sets

    def _number(self, tenant_id: str, new: Sequence[Transaction], sets: Sequence[Tags]) -> None:
        """Open `world` where it is named first, and number tag sets, in a commit of their own."""
        needs = needs_of(new)
        try:
            with self._database.transaction(tenant_id) as cursor:
                self._names.learn(cursor, tenant_id, needs.accounts, needs.flavors)
        except Unavailable:
            self._names.forget()
            raise
        self._names.tagsets(lambda: self._database.transaction(tenant_id), tenant_id, sets)

    # Plain postings

    def _learn(self, tenant_id: str, new: Sequence[Transaction]) -> None:
        """All names and tag sets of plain transactions. Raises CloserLook for others."""
        actions = [action for one in new for action in one.actions if isinstance(action, Issue | Transfer | Retire)]
        if len(actions) < sum(len(one.actions) for one in new):
            raise CloserLook
        accounts = {name for action in actions for name in (action.source, action.destination)}
        flavors = {action.flavor_id for action in actions}
        known = self._names.of(tenant_id)
        if not (accounts <= known.accounts.keys() and flavors <= known.flavors.keys()):
            try:
                with self._database.transaction(tenant_id) as cursor:
                    self._names.learn(cursor, tenant_id, accounts, flavors)
            except Unavailable:
                self._names.forget()
                raise
        sets = [tags for action in actions for tags in (action.action_tags, NO_TAGS if isinstance(action, Retire) else action.token_tags)]
        self._names.tagsets(lambda: self._database.transaction(tenant_id), tenant_id, sets)

    def _post_plain(self, tenant_id: str, new: Sequence[Transaction], signed: Signed, *, checked: bool, dry_run: bool) -> tuple[Posted, ...]:
        if is_one(new):
            with suppress(_ToOpen):
                return self._call(tenant_id, POST_ONE, new, signed, checked=checked, dry_run=dry_run)
        return self._call(tenant_id, POST, new, signed, checked=checked, dry_run=dry_run)

    def _call(self, tenant_id: str, function: LiteralString, new: Sequence[Transaction], signed: Signed, *, checked: bool, dry_run: bool) -> tuple[Posted, ...]:
        known = self._names.of(tenant_id)
        call = arguments_of(new, tenant_id, known, self._slot, one=function is POST_ONE, checked=checked)
        signed.require(new, self._names)
        with self._refusals():
            if not dry_run:
                return self._settled(new, known, call, self._database.call(function, call.arguments, within=signed.within(new)))
            try:
                with self._database.transaction(tenant_id) as cursor:
                    row = cursor.execute(call_of(function, call.arguments), call.arguments).fetchone()
                    assert row is not None, "a posting answers"
                    numbers = list(row[0])
                    signed.keep(cursor, new, numbers)
                    raise _Undo
            except _Undo:
                return posted(new, numbers)

    def _settled(self, new: Sequence[Transaction], known: Known, call: Call, answer: str) -> tuple[Posted, ...]:
        """What was posted and committed, by the answer; the lots it tells are met."""
        numbers = list(map(int, answer[1:-1].split(",")))
        if call.asked:
            self._names.meet(known, call.asked, numbers[len(new) : -1])
        return posted(new, numbers)

    # Postings that are decided here

    def _post_decided(
        self, tenant_id: str, groups: Sequence[Sequence[Transaction]], signed: Signed, at: datetime, *, dry_run: bool, patient: bool
    ) -> tuple[Posted, ...]:
        """Each group is decided on the state the one before it left; all of them are one transaction of the database."""
        found: tuple[Posted, ...] = ()
        signed.verify()
        self._open_world(tenant_id)
        try:
            with self._refusals(), self._database.transaction(tenant_id) as cursor:
                if any(one.expect for group in groups for one in group):
                    cursor.execute(ALONE, [tenant_id])  # so that what a guard sums stays as it is until the commit
                if patient:
                    cursor.execute(_PATIENT)
                unknown = self._unopened(cursor, tenant_id, groups) if len(groups) > 1 else frozenset()
                for group in groups:
                    found += self._decide(cursor, tenant_id, group, signed, at, numbering=len(groups) == 1)
                if not unknown <= self._names.unopened(tenant_id, groups):
                    raise MovedOn  # what was opened meanwhile comes after this transaction in the journal, so all of it is done again, after that
                signed.keep(cursor, [one for group in groups for one in group], [*(one.sequence_number for one in found), 0])
                if dry_run:
                    raise _Undo
        except _Undo:
            self._names.forget()
        except BaseException:
            self._names.forget()
            raise
        return found

    def _unopened(self, cursor: "Cursor", tenant_id: str, groups: Sequence[Sequence[Transaction]]) -> frozenset[tuple[str, str]]:
        """The names that nobody has opened, before anything is written."""
        needs = needs_of([one for group in groups for one in group])
        self._names.learn(cursor, tenant_id, needs.accounts, needs.flavors)
        return self._names.unopened(tenant_id, groups)

    def _open_world(self, tenant_id: str) -> None:
        """What writes before it reads has its place in the journal before what it read, so `world` is opened beforehand."""
        if self._names.account(tenant_id, WORLD) is None:
            with self._database.transaction(tenant_id) as cursor:
                self._names.learn(cursor, tenant_id, [WORLD], ())

    def _decide(
        self, cursor: "Cursor", tenant_id: str, group: Sequence[Transaction], signed: Signed, at: datetime, *, numbering: bool = True
    ) -> tuple[Posted, ...]:
        self._refuse_known(cursor, tenant_id, group)
        loaded = load(cursor, tenant_id, group, self._names, self._slot)
        signed.require(group, self._names)
        for one in group:
            self._check_guards(cursor, one)
        sharing = Sharing(loaded.owed)
        execution = Execution(loaded.state, at, lambda spending: matcher(spending, loaded.state.accounts, self._flavors(tenant_id)), sharing)
        done = [execution.run(one) for one in group]
        signed.require_done(done, self._names)
        decided = Decided(cursor, tenant_id, self._names, loaded, numbering=numbering)
        arguments = decided.columns(group, done).arguments(tenant_id)
        row = cursor.execute(call_of(POST, arguments), arguments).fetchone()
        assert row is not None, "books.post answers"
        numbers = row[0]
        decided.keep_holds(done, numbers)
        decided.keep_asked(group, numbers)
        keep_reversals(cursor, tenant_id, self._names, done, numbers)
        keep_owed(cursor, tenant_id, self._names, sharing.changed)
        return posted(group, numbers)

    def _flavors(self, tenant_id: str) -> Any:
        return lambda flavor_id: found.what if (found := self._names.flavor(tenant_id, flavor_id)) else None

    def _check_guards(self, cursor: "Cursor", transaction: Transaction) -> None:
        """Raises Refused GUARD_FAILED. Nobody else is posting now."""
        for number, guard in enumerate(transaction.expect):
            try:
                found = read_tokens_total(cursor, Question(guard.filter, guard.params))
            except Refused as refused:
                raise Refused(refused.code, refused.detail, f"expect.{number}.{refused.field}") from None
            for name, wanted, is_ in (("amount", guard.amount, found[0]), ("count", guard.count, found[1])):
                if wanted is not None and wanted != is_:
                    raise Refused("GUARD_FAILED", f"{wanted} were expected and {is_} are there", f"expect.{number}.{name}")

    # What was posted or refused before

    def _posted_before(self, tenant_id: str, asked: Sequence[Transaction]) -> dict[str, Posted]:
        """Those that are posted already. Raises Conflict TRANSACTION_DIFFERS."""
        with self._database.transaction(tenant_id) as cursor:
            rows = cursor.execute(_KNOWN, [tenant_id, [one.txn_id for one in asked]]).fetchall()
            wanted = {one.txn_id: one for one in asked}
            for txn_id, digest, number, _ in rows:
                if bytes(digest) != wanted[txn_id].digest():
                    raise Conflict("TRANSACTION_DIFFERS", f"{txn_id} was posted with another request", self._difference(cursor, wanted[txn_id], number))
        return {txn_id: Posted(txn_id, number, recorded_at, before=True) for txn_id, _, number, recorded_at in rows}

    @staticmethod
    def _difference(cursor: "Cursor", transaction: Transaction, number: int) -> str:
        """The first field in which a request differs from the one that was posted under its id, as far as the journal tells."""
        row = cursor.execute(_HEAD, [number]).fetchone()
        assert row is not None, "it was posted"
        for name, was, is_ in (
            ("kind", row[0], transaction.kind),
            ("effective_at", row[1], transaction.effective_at),
            ("tags", row[2], dict(transaction.tags)),
        ):
            if was != is_:
                return name
        posted = {action: (type_, amount, flavor) for action, type_, amount, flavor in cursor.execute(_BODY, [number])}
        for place, action in enumerate(transaction.actions):
            kind, amount, flavor = posted.get(place, (None, None, None))
            if kind is None and isinstance(action, Issue | Transfer | Retire):
                return f"actions.{place}"
            if isinstance(action, Issue | Transfer | Retire) and (amount != action.amount or flavor != action.flavor_id):
                return f"actions.{place}.{'amount' if amount != action.amount else 'flavor_id'}"
        return "actions"

    def _before(self, tenant_id: str, asked: Sequence[Transaction]) -> dict[str, Posted]:
        """Those that are posted already; when none is, raises the old refusal of one that was refused for good."""
        if not (known := self._posted_before(tenant_id, asked)):
            with self._database.transaction(tenant_id) as cursor:
                self._refuse_known(cursor, tenant_id, asked)
        return known

    def _refuse_known(self, cursor: "Cursor", tenant_id: str, group: Sequence[Transaction]) -> None:
        """Raises MovedOn when one is posted already, the old refusal when one was refused for good."""
        if cursor.execute(_KNOWN, [tenant_id, [one.txn_id for one in group]]).fetchone():
            raise MovedOn
        for one in group:
            if row := cursor.execute(_REFUSED, [tenant_id, one.txn_id]).fetchone():
                if bytes(row[0]) != one.digest():
                    raise Conflict("TRANSACTION_DIFFERS", f"{one.txn_id} was refused with another request", "txn_id")
                raise Refused(row[1], row[2], row[3])

    def _refuse(self, tenant_id: str, new: Sequence[Transaction], refused: Refused, *, dry_run: bool) -> bool:
        """Remember a refusal that stays one. Of several transactions it is not known here which was at fault, so none is remembered.

        False: it was posted meanwhile. What is being posted is waited for, and nothing is posted until the refusal is there: never both of an id."""
        if refused.code not in _FINAL or len(new) != 1 or dry_run:
            return True
        kept = [tenant_id, new[0].txn_id, new[0].digest(), refused.code, refused.detail, refused.field]
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(ALONE, [tenant_id])
            if cursor.execute(_KNOWN, [tenant_id, [new[0].txn_id]]).fetchone():
                return False
            cursor.execute(_REFUSE, kept)
        return True

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """What the database refuses, in our terms."""
        import psycopg

        try:
            yield
        except psycopg.errors.UniqueViolation:
            raise MovedOn from None
        except psycopg.errors.InsufficientPrivilege as error:
            if "overdraft" in str(error):  # the policy of that name: what was decided by is not so any more
                raise MovedOn from None
            raise
        except psycopg.errors.NumericValueOutOfRange:
            raise Refused("AMOUNT_INVALID", "a lot would stand at 2^63 or more, or as far below zero", "actions") from None
        except psycopg.errors.DatabaseError as error:
            if error.sqlstate == "BK010":
                self.keys.forget()
            if error.sqlstate == "BK004":
                self._names.forget()
                raise Refused("ACCOUNT_CLOSED", "an account of this posting was closed meanwhile", "actions") from None
            if error.sqlstate == "BK006":
                raise LongHistory(int(error.diag.message_detail or 0)) from None
            if meaning := _MEANINGS.get(error.sqlstate or ""):
                raise meaning from None
            raise


def call_of(function: LiteralString, arguments: Sequence[Any]) -> LiteralString:
    """The statement that calls it, for a cursor."""
    return "select " + function + "(" + ", ".join(["%s" for _ in arguments]) + ")"


def posted(transactions: Sequence[Transaction], numbers: Sequence[int]) -> tuple[Posted, ...]:
    """From what `books.post` answers."""
    recorded_at = _EPOCH + timedelta(microseconds=numbers[-1])
    return tuple([Posted(one.txn_id, number, recorded_at) for one, number in zip(transactions, numbers, strict=False)])
