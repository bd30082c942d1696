"""`Seals` kept in PostgreSQL: a block is one call of `books.seal` (migrations/0053_chain.sql), which is a transaction of its own."""

from collections.abc import Sequence
from typing import Final, LiteralString

from bourse.aws.postgres import Database
from bourse.ledger.seal import Sealed

_EVERYBODY: Final = "*"
_TENANTS: Final[LiteralString] = "select tenant_id from books.chain order by tenant_id"
_NOTE_NEW: Final[LiteralString] = "select books.note_new_transactions()"
_LAST: Final[LiteralString] = """
    select block_no, cardinality(numbers), hash from books.block where tenant_id = %s order by block_no desc limit 1"""
_SEAL: Final[LiteralString] = "select block_no, entries, hash from books.seal(%s, %s)"


class AuroraSeals:
    """A `Seals`."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    @classmethod
    def from_env(cls) -> "AuroraSeals":
        return cls(Database.from_env())

    def tenants(self) -> Sequence[str]:
        with self._database.transaction(_EVERYBODY) as cursor:
            cursor.execute(_NOTE_NEW)
        with self._database.transaction(_EVERYBODY) as cursor:
            return [row[0] for row in cursor.execute(_TENANTS)]

    def seal(self, tenant_id: str, entries_max: int) -> Sealed | None:
        with self._database.transaction(tenant_id) as cursor:
            row = cursor.execute(_SEAL, [tenant_id, entries_max]).fetchone()
        return Sealed(row[0], row[1], bytes(row[2])) if row else None

    def last(self, tenant_id: str) -> Sealed | None:
        """The last block there is."""
        with self._database.transaction(tenant_id) as cursor:
            row = cursor.execute(_LAST, [tenant_id]).fetchone()
        return Sealed(row[0], row[1], bytes(row[2])) if row else None
