"""The numbers behind names in PostgreSQL: of accounts, flavors and tag sets, remembered, because they never change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, LiteralString

from bourse.errors import Refused
from bourse.ledger.actions import WORLD, Account, Flavor, Tags, canonical

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_REMEMBERED_MAX: Final = 200_000
_ACCOUNTS: Final[LiteralString] = """
    select account_id, account_no, tags, floor, hot, closed_at is not null from books.account
    where tenant_id = %s and account_id = any(%s)"""
_FLAVORS: Final[LiteralString] = "select flavor_id, flavor_no, tags from books.flavor where tenant_id = %s and flavor_id = any(%s)"
_WORLD: Final[LiteralString] = """
    insert into books.account (tenant_id, account_id, floor, hot) values (%s, %s, null, true) on conflict do nothing"""
_TAGSETS: Final[LiteralString] = "select digest, tagset_no from books.tagset where tenant_id = %s and digest = any(%s)"
_NEW_TAGSETS: Final[LiteralString] = """
    insert into books.tagset (tenant_id, digest, tags) select %s, u.* from unnest(%s::bytea[], %s::jsonb[]) u(digest, tags) order by 2 on conflict do nothing"""


@dataclass(frozen=True, slots=True)
class Numbered:
    """An account or flavor with its number. Tags, and whether it is closed, are as of when it was read."""

    no: int
    what: Any


class Names:
    """What one environment knows of the names of its tenants."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, str], Numbered] = {}
        self._flavors: dict[tuple[str, str], Numbered] = {}
        self._tagsets: dict[tuple[str, bytes], int] = {}

    def account(self, tenant_id: str, account_id: str) -> Numbered | None:
        return self._accounts.get((tenant_id, account_id))

    def flavor(self, tenant_id: str, flavor_id: str) -> Numbered | None:
        return self._flavors.get((tenant_id, flavor_id))

    def knows(self, tenant_id: str, accounts: Iterable[str], flavors: Iterable[str]) -> bool:
        return all((tenant_id, one) in self._accounts for one in accounts) and all((tenant_id, one) in self._flavors for one in flavors)

    def learn(self, cursor: "Cursor", tenant_id: str, accounts: Iterable[str], flavors: Iterable[str]) -> None:
        """Read what these names are now, in the transaction of `cursor`; names there are not stay unknown."""
        self._bound()
        accounts = sorted(set(accounts))
        rows = cursor.execute(_ACCOUNTS, [tenant_id, accounts]).fetchall()
        if WORLD in accounts and WORLD not in {row[0] for row in rows}:
            cursor.execute(_WORLD, [tenant_id, WORLD])
            rows = cursor.execute(_ACCOUNTS, [tenant_id, accounts]).fetchall()
        for name, no, tags, floor, hot, closed in rows:
            self._accounts[tenant_id, name] = Numbered(no, Account(name, tags, floor, hot, closed))
        for name, no, tags in cursor.execute(_FLAVORS, [tenant_id, sorted(set(flavors))]):
            self._flavors[tenant_id, name] = Numbered(no, Flavor(name, tags))

    def tagsets(self, cursor_of: Any, tenant_id: str, sets: Iterable[Tags]) -> Mapping[bytes, int]:
        """Canonical text -> number of these tag sets, numbered where they are new. `cursor_of()` opens a transaction when one is needed."""
        wanted = {canonical(dict(one)): one for one in sets if one}
        unknown = [text for text in wanted if (tenant_id, text) not in self._tagsets]
        if unknown:
            self._bound()
            digests = {blake2b(text, digest_size=16).digest(): text for text in unknown}
            with cursor_of() as cursor:
                cursor.execute(_NEW_TAGSETS, [tenant_id, list(digests), [text.decode() for text in digests.values()]])
                for digest, no in cursor.execute(_TAGSETS, [tenant_id, list(digests)]):
                    self._tagsets[tenant_id, digests[bytes(digest)]] = no
        return {b"{}": 0, **{text: self._tagsets[tenant_id, text] for text in wanted}}

    def forget(self) -> None:
        """Of a transaction that was rolled back nothing is remembered: what it numbered was never there."""
        self._accounts.clear()
        self._flavors.clear()
        self._tagsets.clear()

    def _bound(self) -> None:
        for remembered in (self._accounts, self._flavors, self._tagsets):
            if len(remembered) > _REMEMBERED_MAX:
                remembered.clear()


def known_account(found: Numbered | None, account_id: str, field: str) -> Numbered:
    """Raises Refused ACCOUNT_UNKNOWN."""
    if found is None:
        raise Refused("ACCOUNT_UNKNOWN", f"there is no account {account_id}", field)
    return found
