"""The register of keys kept in dicts: for tests and the simulation, with the same promise as PostgreSQL's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from bourse.clock import Clock
from bourse.errors import Conflict, Refused
from bourse.ledger.actions import Posted, Transaction
from bourse.ledger.authority import Warrant
from bourse.ledger.check import check_quorum
from bourse.ledger.cursors import check_limit, cursor_of, decode_cursor
from bourse.ledger.journal_keys import DefaultTold, KeyEntry, KeyTold, RevocationTold, SignatureTold
from bourse.ledger.key_rules import checked_key, checked_time
from bourse.ledger.keys import OPEN, KeptSignature, Key, KeyVersion, Quorum, make_quorum
from bourse.ledger.memory_undo import Undo


class MemoryKeys:
    """A `Keys`: what it holds follows from what was told, as `tell` hears it for the journal of a tenant."""

    def __init__(self, clock: Clock, tell: Callable[[str, KeyEntry], None]) -> None:
        self._clock: Final = clock
        self._tell: Final = tell
        self._versions: Final[dict[tuple[str, str], list[KeyVersion]]] = {}
        self._defaults: Final[dict[str, Quorum]] = {}
        self._kept: Final[dict[str, list[KeptSignature]]] = {}

    def open_key(self, tenant_id: str, key: Key) -> None:
        key = checked_key(key)
        if versions := self._versions.get((tenant_id, key.key_id)):
            first = versions[0]
            if (first.algorithm, first.public_key, first.valid_from) != (key.algorithm, key.public_key, key.valid_from):
                raise Conflict("KEY_DIFFERS", f"there is a key {key.key_id} with other terms", "key_id")
            return
        self._refuse_held(tenant_id, key)
        self._add(tenant_id, KeyTold(key.key_id, 1, key.algorithm, key.public_key, key.valid_from, None, self._clock.now()))

    def rotate_key(self, tenant_id: str, key: Key, previous_until: datetime) -> int:
        key = checked_key(key)
        checked_time(previous_until, "previous_until")
        versions = self._of(tenant_id, key.key_id)
        if versions[-1].public_key == key.public_key:
            return versions[-1].version
        self._refuse_held(tenant_id, key)
        version = len(versions) + 1
        self._add(tenant_id, KeyTold(key.key_id, version, key.algorithm, key.public_key, key.valid_from, previous_until, self._clock.now()))
        return version

    def revoke_key(self, tenant_id: str, key_id: str, at: datetime, reason: str = "") -> None:
        checked_time(at, "at")
        versions = self._of(tenant_id, key_id)
        if versions[-1].revoked_at is None:
            self._add(tenant_id, RevocationTold(key_id, len(versions), at, reason, self._clock.now()))

    def set_default(self, tenant_id: str, key_ids: Sequence[str], quorum: int | None, at: datetime) -> None:
        checked_time(at, "at")
        check_quorum(key_ids, quorum)
        self.refuse_unknown(tenant_id, key_ids)
        self._add(tenant_id, DefaultTold(tuple(key_ids), quorum, at, self._clock.now()))

    def _add(self, tenant_id: str, entry: KeyTold | RevocationTold | DefaultTold) -> None:
        self.take(tenant_id, entry)
        self._tell(tenant_id, entry)

    def take(self, tenant_id: str, entry: KeyTold | RevocationTold | DefaultTold) -> None:
        """What follows from an entry of the journal. Raises KeyError for a revocation of a key that was not told."""
        match entry:
            case KeyTold():
                versions = self._versions.setdefault((tenant_id, entry.key_id), [])
                if (until := entry.previous_until) is not None:
                    versions[:] = [replace(one, ends_at=min(one.ends_at or until, until)) for one in versions]
                versions.append(KeyVersion(entry.key_id, entry.version, entry.algorithm, entry.public_key, entry.valid_from))
            case RevocationTold():
                at, versions = entry.revoked_at, self._versions[tenant_id, entry.key_id]
                versions[:] = [replace(one, revoked_at=min(one.revoked_at or at, at)) if one.version <= entry.version else one for one in versions]
            case DefaultTold():
                self._defaults[tenant_id] = make_quorum(entry.key_ids, entry.quorum)

    def take_kept(self, tenant_id: str, kept: KeptSignature) -> None:
        """A signature that was kept."""
        self._kept.setdefault(tenant_id, []).append(kept)

    def adopt(self, tenant_id: str, other: "MemoryKeys") -> None:
        """All that the other has of a tenant, of whom this one has nothing."""
        for key, versions in other._versions.items():
            if key[0] == tenant_id:
                self._versions[key] = versions
        if tenant_id in other._defaults:
            self._defaults[tenant_id] = other._defaults[tenant_id]
        self._kept[tenant_id] = other._kept.get(tenant_id, [])

    def versions(self, tenant_id: str, key_id: str) -> Sequence[KeyVersion]:
        return tuple(self._of(tenant_id, key_id))

    def listed(self, tenant_id: str, *, cursor: str | None = None, limit: int = 100) -> tuple[Sequence[KeyVersion], str | None]:
        check_limit(limit)
        after = decode_cursor(cursor, 1)[0] if cursor else ""
        names = sorted(key_id for tenant, key_id in self._versions if tenant == tenant_id and key_id > after)
        return [self._versions[tenant_id, name][-1] for name in names[:limit]], cursor_of(names[limit - 1]) if len(names) > limit else None

    def default(self, tenant_id: str) -> Quorum:
        return self._defaults.get(tenant_id, OPEN)

    def trusted(self, tenant_id: str, key_ids: Sequence[str]) -> tuple[Quorum, Mapping[str, Sequence[KeyVersion]]]:
        return self._defaults.get(tenant_id, OPEN), {one: self._versions[tenant_id, one] for one in key_ids if (tenant_id, one) in self._versions}

    def kept(self, tenant_id: str, *, after: tuple[int, int] = (0, 0), limit: int = 100) -> Sequence[KeptSignature]:
        return [one for one in self._kept.get(tenant_id, ()) if (one.posting_no, one.place) > after][:limit]

    def keep(
        self, tenant_id: str, warrant: Warrant, new: Sequence[tuple[Transaction, Posted]], posted: Mapping[str, tuple[Transaction, Posted]], undo: Undo
    ) -> None:
        """Keep the signatures of a posting that was done, of which `new` was posted now."""
        if not warrant.signatures:
            return
        first = new[0][1]
        undo.end_of(self._kept.setdefault(tenant_id, []))
        for place, one in enumerate(warrant.signatures, 1):
            signed = tuple((txn_id, posted[txn_id][0].digest()) for txn_id in one.txn_ids)
            self.take_kept(
                tenant_id, KeptSignature(first.sequence_number, place, one.key_id, one.version, one.scope, one.digest, one.signature, signed, warrant.at)
            )
            told = (one.key_id, one.version, one.scope, one.digest, one.signature, one.txn_ids, warrant.at)
            self._tell(tenant_id, SignatureTold(tenant_id, first.txn_id, place, *told))

    def refuse_unknown(self, tenant_id: str, key_ids: Sequence[str]) -> None:
        """Raises Refused KEY_UNKNOWN for the first that there is not."""
        for number, key_id in enumerate(key_ids):
            if (tenant_id, key_id) not in self._versions:
                raise Refused("KEY_UNKNOWN", f"there is no key {key_id}", f"key_ids.{number}")

    def _of(self, tenant_id: str, key_id: str) -> list[KeyVersion]:
        if (tenant_id, key_id) not in self._versions:
            raise Refused("KEY_UNKNOWN", f"there is no key {key_id}", "key_id")
        return self._versions[tenant_id, key_id]

    def _refuse_held(self, tenant_id: str, key: Key) -> None:
        if any(one.public_key == key.public_key for (tenant, _), versions in self._versions.items() if tenant == tenant_id for one in versions):
            raise Conflict("KEY_DIFFERS", "another key, or an older version of this one, has this public key", "public_key")
