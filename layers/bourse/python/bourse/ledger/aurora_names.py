"""The numbers behind names in PostgreSQL: of accounts, flavors and tag sets, remembered, because they never change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Generic, LiteralString, TypeVar

from bourse.ledger.actions import WORLD, Account, Flavor, Tags, Transaction, canonical
from bourse.ledger.lots import UNTAGGED
from bourse.ledger.needs import needs_of

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

T = TypeVar("T")
_REMEMBERED_MAX: Final = 200_000
_LOTS_MAX: Final = 100_000
LotKey = tuple[int, int, int, int]
"""Account, flavor, tag set (AUTO: the oldest lot that is not empty), slot."""
_ACCOUNTS: Final[LiteralString] = """
    select account_id, account_no, tags, floor, hot, closed_at is not null, key_ids, quorum from books.account
    where tenant_id = %s and account_id = any(%s)"""
_FLAVORS: Final[LiteralString] = "select flavor_id, flavor_no, tags, key_ids, quorum from books.flavor where tenant_id = %s and flavor_id = any(%s)"
OPEN_WORLD: Final[LiteralString] = """
    insert into books.account (tenant_id, account_id, floor, hot) values (%s, %s, null, true) on conflict do nothing"""
_TAGSETS: Final[LiteralString] = "select digest, tagset_no from books.tagset where tenant_id = %s and digest = any(%s)"
_NEW_TAGSETS: Final[LiteralString] = """
    insert into books.tagset (tenant_id, digest, tags) select %s, u.* from unnest(%s::bytea[], %s::jsonb[]) u(digest, tags) order by 2 on conflict do nothing"""


@dataclass(frozen=True, slots=True)
class Numbered(Generic[T]):
    """An account or flavor with its number. Tags, and whether it is closed, are as of when it was read."""

    no: int
    what: T


class Known:
    """What is known of one tenant's names: of accounts and flavors by their name, of tag sets by their canonical text, of lots by their key.

    `names_keys`: one of these accounts and flavors names keys, so what is posted is held against them.
    """

    __slots__ = ("accounts", "flavors", "lots", "names_keys", "tagsets")

    def __init__(self) -> None:
        self.accounts: dict[str, Numbered[Account]] = {}
        self.flavors: dict[str, Numbered[Flavor]] = {}
        self.tagsets: dict[bytes, int] = {UNTAGGED: 0}
        self.lots: dict[LotKey, int] = {}
        self.names_keys = False


class Names:
    """What one environment knows of the names of its tenants."""

    def __init__(self) -> None:
        self._tenants: dict[str, Known] = {}
        self._count = 0
        self._lots = 0

    def bound(self) -> None:
        """Called between postings, of which each needs all its names to the end: forgets everything where that became too much."""
        if self._count > _REMEMBERED_MAX:
            self.forget()
        if self._lots > _LOTS_MAX:
            self._lots = 0
            for known in self._tenants.values():
                known.lots.clear()

    def of(self, tenant_id: str) -> Known:
        return self._tenants.setdefault(tenant_id, Known())

    def account(self, tenant_id: str, account_id: str) -> Numbered[Account] | None:
        return self.of(tenant_id).accounts.get(account_id)

    def flavor(self, tenant_id: str, flavor_id: str) -> Numbered[Flavor] | None:
        return self.of(tenant_id).flavors.get(flavor_id)

    def learn(self, cursor: "Cursor", tenant_id: str, accounts: Iterable[str], flavors: Iterable[str]) -> None:
        """Read what these names are now, in the transaction of `cursor`; names there are not stay unknown."""
        known = self.of(tenant_id)
        accounts = sorted(set(accounts))
        rows = cursor.execute(_ACCOUNTS, [tenant_id, accounts]).fetchall()
        if WORLD in accounts and WORLD not in {row[0] for row in rows}:
            cursor.execute(OPEN_WORLD, [tenant_id, WORLD])
            rows = cursor.execute(_ACCOUNTS, [tenant_id, accounts]).fetchall()
        self._keep(known, [(no, Account(name, tags, floor, hot, closed, tuple(keys), quorum)) for name, no, tags, floor, hot, closed, keys, quorum in rows])
        rows = cursor.execute(_FLAVORS, [tenant_id, sorted(set(flavors))]).fetchall()
        self._keep(known, [(no, Flavor(name, tags, tuple(key_ids), quorum)) for name, no, tags, key_ids, quorum in rows])

    def unopened(self, tenant_id: str, groups: Sequence[Sequence[Transaction]]) -> frozenset[tuple[str, str]]:
        """The accounts and flavors these groups of transactions name and this environment does not know: ("account" | "flavor", name)."""
        needs, known = needs_of([one for group in groups for one in group]), self.of(tenant_id)
        accounts = {("account", one) for one in needs.accounts - known.accounts.keys()}
        return frozenset(accounts | {("flavor", one) for one in needs.flavors - known.flavors.keys()})

    def tagsets(self, cursor_of: Any, tenant_id: str, sets: Iterable[Tags]) -> Mapping[bytes, int]:
        """Canonical text -> number of these tag sets, numbered where they are new. `cursor_of()` opens a transaction when one is needed."""
        wanted = {canonical(dict(one)) for one in sets if one}
        known = self.of(tenant_id)
        if unknown := [text for text in wanted if text not in known.tagsets]:
            self._count += len(unknown)
            digests = {blake2b(text, digest_size=16).digest(): text for text in unknown}
            with cursor_of() as cursor:
                cursor.execute(_NEW_TAGSETS, [tenant_id, list(digests), [text.decode() for text in digests.values()]])
                found = cursor.execute(_TAGSETS, [tenant_id, list(digests)]).fetchall()
            known.tagsets |= {digests[bytes(digest)]: no for digest, no in found}  # not before the commit: a number that was lost with it is nobody's
        return known.tagsets

    def unknown_sets(self, tenant_id: str, sets: Iterable[Tags]) -> Mapping[str, bytes]:
        """Digest in hexadecimal -> canonical text, of the tag sets that this environment has no number for."""
        known = self.of(tenant_id).tagsets
        unknown = {text for one in sets if one and (text := canonical(dict(one))) not in known}
        return {blake2b(text, digest_size=16).hexdigest(): text for text in unknown}

    def remember(self, tenant_id: str, found: Mapping[str, Any], sets: Mapping[str, bytes]) -> None:
        """What `books.open_missing` answered: rows of accounts, flavors, and of these tag sets."""
        known = self.of(tenant_id)
        self._keep(
            known,
            [(no, Account(name, tags, floor, hot, closed, tuple(keys), quorum)) for no, name, tags, floor, hot, closed, keys, quorum in found["accounts"]],
        )
        self._keep(known, [(no, Flavor(name, tags, tuple(key_ids), quorum)) for no, name, tags, key_ids, quorum in found["flavors"]])
        for digest, no in found["tagsets"]:
            known.tagsets[sets[digest]] = no
        self._count += len(sets)

    def meet(self, known: Known, asked: Sequence[LotKey], told: Sequence[int]) -> None:
        """Remember the lots with these keys by what `books.post` told of them, after a commit: their numbers, below zero."""
        known.lots |= {key: -no for key, no in zip(asked, told, strict=True)}
        self._lots += len(asked)

    def _keep(self, known: Known, found: Iterable[tuple[int, Account | Flavor]]) -> None:
        for no, what in found:
            if isinstance(what, Account):
                known.accounts[what.account_id] = Numbered(no, what)
            else:
                known.flavors[what.flavor_id] = Numbered(no, what)
            known.names_keys |= bool(what.key_ids)
            self._count += 1

    def forget(self) -> None:
        """Of a transaction that was rolled back nothing is remembered: what it numbered was never there."""
        self._tenants.clear()
        self._count = self._lots = 0
