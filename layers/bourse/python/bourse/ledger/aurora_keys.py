"""The register of keys kept in PostgreSQL, and remembered for a while, so that a signed posting needs no reading first."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, LiteralString

from bourse.aws.postgres import Database
from bourse.errors import Conflict, Refused
from bourse.ledger.check import check_quorum
from bourse.ledger.cursors import check_limit, cursor_of, decode_cursor
from bourse.ledger.key_rules import checked_key, checked_time
from bourse.ledger.keys import OPEN, KeptSignature, Key, KeyVersion, Quorum, make_quorum

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bourse.aws.postgres import Cursor

KEEP: Final = timedelta(seconds=60)
"""For how long a default that another environment set may not be seen here. A key that has ended is noticed at once, by the posting itself."""
KEEP_SIGNATURES: Final[LiteralString] = "select books.keep_signatures(%s, %s)"
_REMEMBERED_MAX: Final = 10_000
# Waits for the tenant's postings and lets none begin until the commit (ALONE of aurora_posting.py).
_ALONE: Final[LiteralString] = "select pg_advisory_xact_lock(hashtextextended(%s, 7))"
_EVERY_VERSION: Final[LiteralString] = """
    select k.key_id, k.version, k.algorithm, k.public_key, k.valid_from,
      (select min(n.previous_until) from books.key n where (n.tenant_id, n.key_id) = (k.tenant_id, k.key_id) and n.version > k.version),
      (select min(r.revoked_at) from books.key_revocation r where (r.tenant_id, r.key_id) = (k.tenant_id, k.key_id) and r.version >= k.version)
    from books.key k where k.tenant_id = %s"""
_ORDERED: Final[LiteralString] = " order by k.key_id, k.version"
_DEFAULT: Final[LiteralString] = "select key_ids, quorum from books.default_quorum where tenant_id = %s order by default_no desc limit 1"
_SET_DEFAULT: Final[LiteralString] = "insert into books.default_quorum (tenant_id, key_ids, quorum, since) values (%s, %s, %s, %s)"
_OPEN: Final[LiteralString] = """
    insert into books.key (tenant_id, key_id, version, algorithm, public_key, valid_from, previous_until) values (%s, %s, %s, %s, %s, %s, %s)
    on conflict (tenant_id, key_id, version) do nothing"""
_REVOKE: Final[LiteralString] = """
    insert into books.key_revocation (tenant_id, key_id, version, revoked_at, reason)
    select tenant_id, key_id, max(version), %s, %s from books.key where tenant_id = %s and key_id = %s group by tenant_id, key_id
    on conflict (tenant_id, key_id, version) do nothing returning version"""
_NAMES: Final[LiteralString] = """
    select key_id from books.key where tenant_id = %s and version = 1 and key_id collate "C" > %s order by key_id collate "C" limit %s"""
_KNOWN: Final[LiteralString] = "select distinct key_id from books.key where tenant_id = %s and key_id = any(%s)"
_COLUMNS: Final[LiteralString] = """
    select s.posting_no, s.place, s.key_id, s.version, s.scope, s.digest, s.signature, s.accepted_at,
      array(select t.txn_id from unnest(s.txn_nos) with ordinality u(no, n) left join books.txn t on t.txn_no = u.no order by u.n),
      array(select t.digest from unnest(s.txn_nos) with ordinality u(no, n) left join books.txn t on t.txn_no = u.no order by u.n)"""
_ALL_KEPT: Final[LiteralString] = (
    _COLUMNS + ", x.txn_id from books.signature s left join books.txn x on x.txn_no = s.posting_no where s.tenant_id = %s order by s.posting_no, s.place"
)
_KEPT: Final[LiteralString] = (
    _COLUMNS + " from books.signature s where s.tenant_id = %s and (s.posting_no, s.place) > (%s, %s) order by s.posting_no, s.place limit %s"
)


class AuroraKeys:
    """A `Keys`. `clock_ns` is a clock that only runs forward, for the age of what is remembered."""

    def __init__(self, database: Database, keep: timedelta = KEEP, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._database: Final = database
        self._keep_ns: Final = keep // timedelta(microseconds=1) * 1_000
        self._clock_ns: Final = clock_ns
        self._versions: Final[dict[tuple[str, str], tuple[int, Sequence[KeyVersion]]]] = {}
        self._defaults: Final[dict[str, tuple[int, Quorum]]] = {}

    def open_key(self, tenant_id: str, key: Key) -> None:
        key = checked_key(key)
        with self._one_holder(), self._database.transaction(tenant_id) as cursor:
            if not self._read(cursor, tenant_id, [key.key_id]):
                cursor.execute(_OPEN, [tenant_id, key.key_id, 1, key.algorithm, key.public_key, key.valid_from, None])
            first = self._read(cursor, tenant_id, [key.key_id])[key.key_id][0]
        if (first.algorithm, first.public_key, first.valid_from) != (key.algorithm, key.public_key, key.valid_from):
            raise Conflict("KEY_DIFFERS", f"there is a key {key.key_id} with other terms", "key_id")

    def rotate_key(self, tenant_id: str, key: Key, previous_until: datetime) -> int:
        key = checked_key(key)
        checked_time(previous_until, "previous_until")
        with self._one_holder(), self._database.transaction(tenant_id) as cursor:
            cursor.execute(_ALONE, [tenant_id])
            latest = self._of(cursor, tenant_id, key.key_id)[-1]
            if latest.public_key == key.public_key:
                return latest.version
            cursor.execute(_OPEN, [tenant_id, key.key_id, latest.version + 1, key.algorithm, key.public_key, key.valid_from, previous_until])
        self.forget()
        return latest.version + 1

    def revoke_key(self, tenant_id: str, key_id: str, at: datetime, reason: str = "") -> None:
        checked_time(at, "at")
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(_ALONE, [tenant_id])
            self._of(cursor, tenant_id, key_id)
            cursor.execute(_REVOKE, [at, reason, tenant_id, key_id])
        self.forget()

    def set_default(self, tenant_id: str, key_ids: Sequence[str], quorum: int | None, at: datetime) -> None:
        checked_time(at, "at")
        check_quorum(key_ids, quorum)
        with self._database.transaction(tenant_id) as cursor:
            cursor.execute(_ALONE, [tenant_id])
            refuse_unknown(cursor, tenant_id, key_ids)
            cursor.execute(_SET_DEFAULT, [tenant_id, list(key_ids), quorum, at])
        self.forget()

    def versions(self, tenant_id: str, key_id: str) -> Sequence[KeyVersion]:
        with self._database.transaction(tenant_id) as cursor:
            return self._of(cursor, tenant_id, key_id)

    def listed(self, tenant_id: str, *, cursor: str | None = None, limit: int = 100) -> tuple[Sequence[KeyVersion], str | None]:
        check_limit(limit)
        after = decode_cursor(cursor, 1)[0] if cursor else ""
        with self._database.transaction(tenant_id) as reading:
            names = [row[0] for row in reading.execute(_NAMES, [tenant_id, after, limit + 1])]
            found = self._read(reading, tenant_id, names[:limit])
        return [found[name][-1] for name in names[:limit]], cursor_of(names[limit - 1]) if len(names) > limit else None

    def default(self, tenant_id: str) -> Quorum:
        with self._database.transaction(tenant_id) as cursor:
            return _quorum(cursor, tenant_id)

    def trusted(self, tenant_id: str, key_ids: Sequence[str]) -> tuple[Quorum, Mapping[str, Sequence[KeyVersion]]]:
        """As `Keys.trusted`: what was read at most `keep` ago. What there is not is asked for each time."""
        now = self._clock_ns()
        stale = [one for one in key_ids if not self._is_fresh(self._versions.get((tenant_id, one)), now)]
        if stale or not self._is_fresh(self._defaults.get(tenant_id), now):
            self._bound()
            with self._database.transaction(tenant_id) as cursor:
                default = _quorum(cursor, tenant_id)
                found = self._read(cursor, tenant_id, stale) if stale else {}
            self._defaults[tenant_id] = now, default
            self._versions.update({(tenant_id, one): (now, versions) for one, versions in found.items()})
        return self._defaults[tenant_id][1], {one: self._versions[tenant_id, one][1] for one in key_ids if (tenant_id, one) in self._versions}

    def kept(self, tenant_id: str, *, after: tuple[int, int] = (0, 0), limit: int = 100) -> Sequence[KeptSignature]:
        with self._database.transaction(tenant_id) as cursor:
            rows = cursor.execute(_KEPT, [tenant_id, *after, limit]).fetchall()
        return [_kept(*row) for row in rows]

    def forget(self) -> None:
        """What is remembered may be no longer so."""
        self._versions.clear()
        self._defaults.clear()

    def _is_fresh(self, remembered: tuple[int, object] | None, now: int) -> bool:
        return remembered is not None and now - remembered[0] < self._keep_ns

    def _bound(self) -> None:
        for remembered in (self._versions, self._defaults):
            if len(remembered) > _REMEMBERED_MAX:
                remembered.clear()

    @staticmethod
    def _read(cursor: "Cursor", tenant_id: str, key_ids: Sequence[str]) -> dict[str, list[KeyVersion]]:
        return read_versions(cursor, tenant_id, key_ids)

    def _of(self, cursor: "Cursor", tenant_id: str, key_id: str) -> list[KeyVersion]:
        if not (found := self._read(cursor, tenant_id, [key_id])):
            raise Refused("KEY_UNKNOWN", f"there is no key {key_id}", "key_id")
        return found[key_id]

    @contextmanager
    def _one_holder(self) -> "Iterator[None]":
        import psycopg

        try:
            yield
        except psycopg.errors.UniqueViolation:
            raise Conflict("KEY_DIFFERS", "another key, or an older version of this one, has this public key", "public_key") from None


def read_versions(cursor: "Cursor", tenant_id: str, key_ids: Sequence[str] | None = None) -> dict[str, list[KeyVersion]]:
    """The versions of these keys, or of all there are."""
    found: dict[str, list[KeyVersion]] = {}
    rows = (
        cursor.execute(_EVERY_VERSION + _ORDERED, [tenant_id])
        if key_ids is None
        else cursor.execute(_EVERY_VERSION + " and k.key_id = any(%s)" + _ORDERED, [tenant_id, list(key_ids)])
    )
    for key_id, version, algorithm, public_key, *times in rows:
        found.setdefault(key_id, []).append(KeyVersion(key_id, version, algorithm, bytes(public_key), *times))
    return found


def signatures(cursor: "Cursor", tenant_id: str) -> "Iterator[tuple[str | None, KeptSignature]]":
    """All that are kept, a few at a time, each with the id of its posting's first transaction."""
    with cursor.connection.cursor("signatures") as rows:
        for row in rows.execute(_ALL_KEPT, [tenant_id]):
            yield row[-1], _kept(*row[:-1])


def _kept(
    posting_no: int,
    place: int,
    key_id: str,
    version: int,
    scope: Literal["transaction", "batch"],
    digest: bytes,
    signature: bytes,
    accepted_at: datetime,
    txn_ids: Sequence[str | None],
    digests: Sequence[bytes | None],
) -> KeptSignature:
    """A row of _KEPT. A transaction that is not in the journal shows as one without a name."""
    signed = tuple((txn_id or "", bytes(one or b"")) for txn_id, one in zip(txn_ids, digests, strict=True))
    return KeptSignature(posting_no, place, key_id, version, scope, bytes(digest), bytes(signature), signed, accepted_at)


def _quorum(cursor: "Cursor", tenant_id: str) -> Quorum:
    row = cursor.execute(_DEFAULT, [tenant_id]).fetchone()
    return make_quorum(tuple(row[0]), row[1]) if row else OPEN


def refuse_unknown(cursor: "Cursor", tenant_id: str, key_ids: Sequence[str]) -> None:
    """Raises Refused KEY_UNKNOWN for the first that there is not."""
    known = {row[0] for row in cursor.execute(_KNOWN, [tenant_id, list(key_ids)])} if key_ids else set()
    for number, key_id in enumerate(key_ids):
        if key_id not in known:
            raise Refused("KEY_UNKNOWN", f"there is no key {key_id}", f"key_ids.{number}")
