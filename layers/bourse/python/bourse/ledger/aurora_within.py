"""Posting inside a transaction of the database that writes more than the books: what is written with a posting stands or falls with it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, LiteralString

import orjson

from bourse.errors import Conflict
from bourse.ledger.actions import WORLD, Account, Flavor, Posted, Tags, Transaction
from bourse.ledger.aurora_decided import MovedOn
from bourse.ledger.aurora_plain import CloserLook, arguments_of
from bourse.ledger.aurora_posting import AuroraPosting, LongHistory, call_of, posted
from bourse.ledger.aurora_rows import POST
from bourse.ledger.aurora_signed import Signed
from bourse.ledger.authority import Trust
from bourse.ledger.check import check_account, check_flavor
from bourse.ledger.keys import Key, Signer, sign_batch

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_OPEN_MISSING: Final[LiteralString] = "books.open_missing"
_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WORLD: Final = Account(WORLD, floor=None, hot=True)


class AuroraWithin(AuroraPosting):
    """The half of `AuroraBooks` that posts together with a caller's own writes."""

    _numbered = False
    """Whether the running transaction has numbered tag sets, which are not there when it is rolled back."""

    def open_missing(self, tenant_id: str, accounts: Iterable[Account], flavors: Iterable[Flavor]) -> None:
        """As `Books.open_missing`: one round trip, and none when this environment knows all of them."""
        self.prepare(tenant_id, accounts, flavors, ())

    def prepare(self, tenant_id: str, accounts: Iterable[Account], flavors: Iterable[Flavor], sets: Iterable[Tags]) -> frozenset[str]:
        """Open what is missing, and number these tag sets of tokens and actions, so that `post_in` finds every name known.

        It is a commit of its own: names outlive a posting that is rolled back, and nobody waits for them while lots are locked.
        The answer is which of the accounts are closed, as far as this environment has heard; `post_in` refuses the others.
        """
        self._names.bound()
        known = self._names.of(tenant_id)
        wanted = [*accounts, _WORLD]
        new = {one.account_id: one for one in reversed(wanted) if one.account_id not in known.accounts}
        new_flavors = {one.flavor_id: one for one in flavors if one.flavor_id not in known.flavors}
        new_sets = self._names.unknown_sets(tenant_id, sets)
        if new or new_flavors or new_sets:
            answer = self._database.call(_OPEN_MISSING, [tenant_id, _asked(new.values(), new_flavors.values(), new_sets)], again=True)
            self._names.remember(tenant_id, orjson.loads(answer), new_sets)
        closed = []
        for one in wanted:
            found = known.accounts[one.account_id].what
            if found.floor != one.floor or found.hot != one.hot:
                raise Conflict("ACCOUNT_DIFFERS", f"there is an account {one.account_id} with another floor", "floor")
            if found.closed:
                closed.append(one.account_id)
        return frozenset(closed)

    @contextmanager
    def transaction(self, tenant_id: str) -> "Iterator[Cursor]":
        """A transaction of the database for `post_in` and what is written with it: all of it or nothing.

        Raises MovedOn when another writer changed what it was decided by: then all of it is to be decided again.
        """
        self._numbered = False
        try:
            with self._refusals(), self._database.transaction(tenant_id) as cursor:
                yield cursor
        except BaseException as error:
            if self._numbered:
                self._names.forget()
            if isinstance(error, LongHistory):
                self._sum_up(tenant_id, error.lot_no)
            if isinstance(error, CloserLook | LongHistory):
                raise MovedOn from None
            raise

    def post_in(self, cursor: "Cursor", transactions: Sequence[Transaction], signed: Signed, at: datetime, *, closely: bool = False) -> tuple[Posted, ...]:
        """As `Books.post`, in the transaction of `cursor`, which `transaction` made; the names were opened by `prepare`.

        Nothing is written in that transaction before it: what writes has its place in the journal, before all that is opened later.
        The transactions are well-formed and differ in their ids: who takes them from outside checks them (check.py). A refusal is
        not remembered, as it is rolled back with the rest. `closely` reads and decides what else one call of the database settles
        by itself: for the caller whom MovedOn told twice that this is not enough. `signed` was made by `signed_by`. Raises Refused, MovedOn.
        """
        tenant_id = signed.tenant_id
        if closely:
            self._numbered = True
            found = self._decide(cursor, tenant_id, transactions, signed, at)
            signed.keep(cursor, transactions, [*(one.sequence_number for one in found), 0])
            return found
        signed.require(transactions, self._names)
        arguments = arguments_of(transactions, tenant_id, self._names.of(tenant_id), self._slot, one=False, checked=True).arguments
        row = cursor.execute(call_of(POST, arguments), arguments).fetchone()
        assert row is not None, "books.post answers"
        signed.keep(cursor, transactions, row[0])
        return posted(transactions, row[0])

    def trust(self, tenant_id: str, signer: Signer | None) -> Trust:
        """What `signed_by` has to know of the tenant's keys, to be asked before `transaction`. A signer nobody has registered yet is registered."""
        if signer is None:
            return Trust(*self.keys.trusted(tenant_id, []))
        default, known = self.keys.trusted(tenant_id, [signer.key_id])
        if signer.key_id not in known:
            self.keys.open_key(tenant_id, Key(signer.key_id, signer.algorithm, signer.public_key(), _ALWAYS))
            default, known = self.keys.trusted(tenant_id, [signer.key_id])
        return Trust(default, known)


def signed_by(signer: Signer | None, trust: Trust, tenant_id: str, transactions: Sequence[Transaction], at: datetime) -> Signed:
    """These transactions with one signature over all of them, where there is a signer."""
    signatures = [sign_batch(signer, tenant_id, transactions)] if signer else []
    return Signed(trust, tenant_id, transactions, signatures, at)


def _asked(accounts: Iterable[Account], flavors: Iterable[Flavor], sets: Mapping[str, bytes]) -> str:
    """The argument of `books.open_missing`. Raises Refused for what is not well-formed."""
    for account in accounts:
        check_account(account)
    for flavor in flavors:
        check_flavor(flavor)
    asked = {
        "accounts": [[one.account_id, dict(one.tags), one.floor, one.hot, one.key_ids, one.quorum] for one in accounts],
        "flavors": [[one.flavor_id, dict(one.tags), one.key_ids, one.quorum] for one in flavors],
        "tagsets": [[digest, orjson.Fragment(text)] for digest, text in sets.items()],
    }
    return orjson.dumps(asked).decode()
