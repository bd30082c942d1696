"""The signatures of a posting to PostgreSQL: held against the names it has, and kept with it in one round trip."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, LiteralString

from bourse.ledger.actions import Account, Flavor, Posted, Transaction, canonical
from bourse.ledger.aurora_keys import KEEP_SIGNATURES
from bourse.ledger.aurora_names import Names
from bourse.ledger.authority import AccountOf, FlavorOf, Trusting, Warrant, verified
from bourse.ledger.execute import Executed
from bourse.ledger.keys import Signature

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_KEEP: Final[LiteralString] = "books.keep_signatures"


class Signed:
    """What came with one attempt to post `transactions`; `known` are those of them that were posted before."""

    def __init__(
        self,
        keys: Trusting,
        tenant_id: str,
        transactions: Sequence[Transaction],
        signatures: Sequence[Signature],
        at: datetime,
        known: Mapping[str, Posted] | None = None,
    ) -> None:
        self._keys: Final = keys
        self.tenant_id: Final = tenant_id
        self._transactions: Final = transactions
        self._signatures: Final = signatures
        self._at: Final = at
        self._known: Final = known or {}
        self._warrant: Warrant | None = None

    def verify(self) -> Warrant:
        """The warrant, made once; never first inside a transaction of the database, for it may read. Raises NotSigned."""
        if self._warrant is None:
            self._warrant = verified(self._keys, self.tenant_id, self._transactions, self._signatures, self._at)
        return self._warrant

    def require(self, new: Sequence[Transaction], names: Names) -> None:
        """As `Warrant.require`, once all names are learnt. No action is looked at where no account, flavor or default names keys."""
        warrant = self.verify()
        if warrant.asks_for_keys or names.of(self.tenant_id).names_keys:
            warrant.require(new, *self._lookups(names))

    def require_done(self, done: Sequence[Executed], names: Names) -> None:
        """As `Warrant.require_done`."""
        warrant = self.verify()
        if warrant.asks_for_keys or names.of(self.tenant_id).names_keys:
            warrant.require_done(done, *self._lookups(names))

    def within(self, new: Sequence[Transaction]) -> tuple[LiteralString, str] | None:
        """The function that keeps the signatures with what is posted, see `Database.call`; None where there are none."""
        return (_KEEP, self._document(new)) if self._signatures else None

    def keep(self, cursor: "Cursor", new: Sequence[Transaction], numbers: Sequence[int]) -> None:
        """Keep the signatures of what was posted in the transaction of `cursor`; `numbers` as `books.post` returns them."""
        if self._signatures:
            cursor.execute(KEEP_SIGNATURES, [self._document(new), list(numbers)])

    def _document(self, new: Sequence[Transaction]) -> str:
        return canonical(self.verify().document(self._known, new)).decode()

    def _lookups(self, names: Names) -> tuple[AccountOf, FlavorOf]:
        known = names.of(self.tenant_id)

        def account_of(account_id: str) -> Account | None:
            return found.what if (found := known.accounts.get(account_id)) else None

        def flavor_of(flavor_id: str) -> Flavor | None:
            return found.what if (found := known.flavors.get(flavor_id)) else None

        return account_of, flavor_of
