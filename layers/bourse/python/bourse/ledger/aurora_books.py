"""The general ledger kept in PostgreSQL: accounts and flavors, reading, and posting (aurora_posting.py)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused
from bourse.ledger.actions import WORLD, Account, Flavor, PostedMove, Token, Transaction, canonical
from bourse.ledger.aurora_batches import AuroraBatches
from bourse.ledger.aurora_feeds import AuroraFeeds
from bourse.ledger.aurora_keys import refuse_unknown
from bourse.ledger.aurora_lists import AuroraLists
from bourse.ledger.aurora_names import OPEN_WORLD
from bourse.ledger.aurora_pins import Pinned
from bourse.ledger.aurora_posting import ALONE
from bourse.ledger.aurora_reads import read_action_sums, read_actions, read_token_sums, read_tokens
from bourse.ledger.aurora_state import Owed, load
from bourse.ledger.aurora_sums import AuroraSums, resort_sums
from bourse.ledger.books import NOW, AsOf, Page, Question, Sum
from bourse.ledger.check import check_account, check_flavor, check_tags
from bourse.ledger.paging import asking
from bourse.ledger.state import LoadedState

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_OPEN_FLAVOR: Final[LiteralString] = (
    "insert into books.flavor (tenant_id, flavor_id, tags, key_ids, quorum) values (%s, %s, %s, %s, %s) on conflict do nothing returning flavor_no"
)
_OPEN_ACCOUNT: Final[LiteralString] = """
    insert into books.account (tenant_id, account_id, tags, floor, hot, key_ids, quorum) values (%s, %s, %s, %s, %s, %s, %s)
    on conflict do nothing returning account_no"""
_TELL_TAGS: Final[LiteralString] = """
    insert into books.tags_told (tenant_id, what, no, since_no, tags) values (%s, %s, %s, nextval('books.txn_no'), %s)"""
_TAG_FLAVOR: Final[LiteralString] = "update books.flavor set tags = %s where tenant_id = %s and flavor_id = %s returning flavor_no"
_TAG_ACCOUNT: Final[LiteralString] = "update books.account set tags = %s where tenant_id = %s and account_id = %s returning account_no"
_CLOSE_ACCOUNT: Final[LiteralString] = """
    update books.account a set closed_at = coalesce(a.closed_at, now()) from books.account before
    where a.tenant_id = %s and a.account_id = %s and before.account_no = a.account_no returning a.account_no, before.closed_at is null"""
_TELL_CLOSED: Final[LiteralString] = "insert into books.told (tenant_id, what, no) values (%s, 'c', %s)"
_CLOSE_LOTS: Final[LiteralString] = "update books.lot set closed = true, version = version + 1 where account_no = %s returning amount, held"


class AuroraBooks(AuroraBatches, AuroraLists, AuroraFeeds, AuroraSums):
    """A `Books`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._pinned: Final = Pinned()

    def open_flavor(self, tenant_id: str, flavor: Flavor) -> None:
        check_flavor(flavor)
        tags = canonical(dict(flavor.tags)).decode()
        with self._database.transaction(tenant_id) as cursor:
            refuse_unknown(cursor, tenant_id, flavor.key_ids)
            if row := cursor.execute(_OPEN_FLAVOR, [tenant_id, flavor.flavor_id, tags, list(flavor.key_ids), flavor.quorum]).fetchone():
                cursor.execute(_TELL_TAGS, [tenant_id, "f", row[0], tags])
                return
            self._names.learn(cursor, tenant_id, (), [flavor.flavor_id])
        found = self._names.flavor(tenant_id, flavor.flavor_id)
        if found is None or found.what != flavor:
            field = "key_ids" if found and found.what.tags == flavor.tags else "tags"
            raise Conflict("FLAVOR_DIFFERS", f"there is a flavor {flavor.flavor_id} with other {field}", field)

    def open_account(self, tenant_id: str, account: Account) -> None:
        check_account(account)
        tags = canonical(dict(account.tags)).decode()
        with self._database.transaction(tenant_id) as cursor:
            _open_world(cursor, tenant_id, account.account_id)
            refuse_unknown(cursor, tenant_id, account.key_ids)
            terms = [account.floor, account.hot, list(account.key_ids), account.quorum]
            if row := cursor.execute(_OPEN_ACCOUNT, [tenant_id, account.account_id, tags, *terms]).fetchone():
                cursor.execute(_TELL_TAGS, [tenant_id, "a", row[0], tags])
                return
            self._names.learn(cursor, tenant_id, [account.account_id], ())
        found = self._names.account(tenant_id, account.account_id)
        if found is None or found.what != account:
            raise Conflict("ACCOUNT_DIFFERS", f"there is an account {account.account_id} with other terms", "account_id")

    def tag_flavor(self, tenant_id: str, flavor_id: str, tags: Mapping[str, Any]) -> None:
        self._tag(tenant_id, "f", _TAG_FLAVOR, flavor_id, tags)

    def tag_account(self, tenant_id: str, account_id: str, tags: Mapping[str, Any]) -> None:
        self._tag(tenant_id, "a", _TAG_ACCOUNT, account_id, tags)

    def _tag(self, tenant_id: str, what: str, statement: LiteralString, name: str, tags: Mapping[str, Any]) -> None:
        check_tags(tags, "tags")
        text = canonical(dict(tags)).decode()
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(ALONE, [tenant_id])
            _open_world(cursor, tenant_id, name if what == "a" else "")
            row = cursor.execute(statement, [text, tenant_id, name]).fetchone()
            if row is None:
                noun = "account" if what == "a" else "flavor"
                raise Refused(f"{noun.upper()}_UNKNOWN", f"there is no {noun} {name}", f"{noun}_id")
            cursor.execute(_TELL_TAGS, [tenant_id, what, row[0], text])
            resort_sums(cursor, tenant_id, what, row[0])
        self._names.forget()

    def rehearsal(self, cursor: "Cursor", tenant_id: str, transactions: Sequence[Transaction]) -> tuple[LoadedState, Owed]:
        """What an execution of these would work on, to be used up by a trial, and what rounding has left owed. Alone in the tenant from now on until the
        commit, so that it stays so."""
        cursor.execute(ALONE, [tenant_id])
        loaded = load(cursor, tenant_id, transactions, self._names, self._slot)
        return loaded.state, loaded.owed

    def forget(self) -> None:
        """Read anew what others may have changed of names: their tags, and which are closed."""
        self._names.forget()

    def close_account(self, tenant_id: str, account_id: str) -> None:
        try:
            with self._database.transaction(tenant_id) as cursor:
                cursor.execute(ALONE, [tenant_id])
                row = cursor.execute(_CLOSE_ACCOUNT, [tenant_id, account_id]).fetchone()
                if row is None or account_id == WORLD:
                    raise Refused("ACCOUNT_UNKNOWN", f"there is no account {account_id} to close", "account_id")
                if any(amount or held for amount, held in cursor.execute(_CLOSE_LOTS, [row[0]])):
                    raise Refused("ACCOUNT_NOT_EMPTY", f"the account {account_id} holds something", "account_id")
                if row[1]:
                    cursor.execute(_TELL_CLOSED, [tenant_id, row[0]])
        finally:
            self._names.forget()

    def tokens(self, tenant_id: str, question: Question, as_of: AsOf = NOW, *, cursor: str | None = None, limit: int = 100) -> Page[Token]:
        asked = asking(tenant_id, "tokens", question, cursor, limit, as_of)
        with self._database.transaction(tenant_id, one_snapshot=True) as reading:
            return read_tokens(reading, self._pinned.of(tenant_id), asked)

    def sum_tokens(self, tenant_id: str, question: Question, as_of: AsOf = NOW) -> Sequence[Sum]:
        return self._database.read(tenant_id, lambda reading: read_token_sums(reading, self._pinned.of(tenant_id), question, as_of))

    def actions(self, tenant_id: str, question: Question, *, cursor: str | None = None, limit: int = 100) -> Page[PostedMove]:
        asked = asking(tenant_id, "actions", question, cursor, limit)
        with self._database.transaction(tenant_id, one_snapshot=True) as reading:
            return read_actions(reading, self._pinned.of(tenant_id), asked)

    def sum_actions(self, tenant_id: str, question: Question) -> Sequence[Sum]:
        return self._database.read(tenant_id, lambda reading: read_action_sums(reading, self._pinned.of(tenant_id), question))


def _open_world(cursor: "Cursor", tenant_id: str, account_id: str) -> None:
    """It is there from the beginning, though nobody has opened it: who names it first finds it, hot and without a floor."""
    if account_id == WORLD:
        cursor.execute(OPEN_WORLD, [tenant_id, WORLD])
