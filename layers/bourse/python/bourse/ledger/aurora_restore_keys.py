"""Keys and signatures made in PostgreSQL of the records of a journal: as they were told, with numbers of this store's own."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, LiteralString

from bourse.errors import Conflict
from bourse.ledger.carry import other_tenant
from bourse.ledger.journal import Entry
from bourse.ledger.journal_keys import DefaultTold, KeyTold, RevocationTold, SignatureTold
from bourse.ledger.json_text import jsonb_text

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_KEY: Final[LiteralString] = """
    insert into books.key (tenant_id, entry_no, key_id, version, algorithm, public_key, valid_from, previous_until, told_at)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"""
_REVOCATION: Final[LiteralString] = """
    insert into books.key_revocation (tenant_id, entry_no, key_id, version, revoked_at, reason, told_at)
    select tenant_id, %s, key_id, version, %s, %s, %s from books.key where tenant_id = %s and key_id = %s and version = %s"""
_DEFAULT: Final[LiteralString] = "insert into books.default_quorum (tenant_id, entry_no, key_ids, quorum, since, told_at) values (%s, %s, %s, %s, %s, %s)"
_SIGNATURES: Final[LiteralString] = """
    insert into books.signature (tenant_id, posting_no, place, key_id, version, scope, digest, signature, accepted_at, txn_nos)
    select %(tenant)s, x.txn_no, u.place, u.key_id, u.version, u.scope, u.digest, u.signature, u.accepted_at, array(
      select t.txn_no from jsonb_array_elements_text(u.signed) with ordinality c(txn_id, n)
      join books.txn t on t.tenant_id = %(tenant)s and t.txn_id = c.txn_id order by c.n)
    from unnest(%(posting)s::text[], %(place)s::smallint[], %(key)s::text[], %(version)s::int[], %(scope)s::text[], %(digest)s::bytea[],
      %(signature)s::bytea[], %(accepted)s::timestamptz[], %(signed)s::jsonb[])
      u(posting, place, key_id, version, scope, digest, signature, accepted_at, signed)
    join books.txn x on x.tenant_id = %(tenant)s and x.txn_id = u.posting
    join books.key k on k.tenant_id = %(tenant)s and k.key_id = u.key_id and k.version = u.version
    returning posting_no, place, cardinality(txn_nos)"""
_NUMBERS: Final[LiteralString] = """
    select (select books.signature_entry(x.txn_no, u.place) from books.txn x where x.tenant_id = %s and x.txn_id = u.posting)
    from unnest(%s::text[], %s::smallint[]) with ordinality u(posting, place, n) order by u.n"""


def write_keys(cursor: "Cursor", tenant_id: str, entries: Iterable[tuple[int, int, Entry]]) -> None:
    """Those of these (number, line, entry) that are of keys. Raises Conflict BOOKS_DIFFER for a key that was not told before."""
    import psycopg

    for no, line, entry in entries:
        try:
            if isinstance(entry, KeyTold):
                terms = [entry.version, entry.algorithm, entry.public_key, entry.valid_from, entry.previous_until, entry.recorded_at]
                cursor.execute(_KEY, [tenant_id, no, entry.key_id, *terms])
            elif isinstance(entry, DefaultTold):
                cursor.execute(_DEFAULT, [tenant_id, no, list(entry.key_ids), entry.quorum, entry.since, entry.recorded_at])
            elif isinstance(entry, RevocationTold):
                asked = [no, entry.revoked_at, entry.reason, entry.recorded_at, tenant_id, entry.key_id, entry.version]
                if cursor.execute(_REVOCATION, asked).rowcount != 1:
                    raise _unknown(line, f"the key {entry.key_id}")
        except psycopg.errors.UniqueViolation:
            raise Conflict("BOOKS_DIFFER", f"line {line} tells a key again, or another key with the same public key", f"lines.{line}") from None


def write_signatures(cursor: "Cursor", tenant_id: str, entries: Sequence[tuple[int, Entry]]) -> dict[int, int]:
    """Those of these (line, entry) that are signatures, whose transactions are written. Line -> number in the journal.

    Raises Conflict TENANT_DIFFERS, and BOOKS_DIFFER for what was not told before.
    """
    told = [(line, entry) for line, entry in entries if isinstance(entry, SignatureTold)]
    if not told:
        return {}
    for line, entry in told:
        if entry.tenant_id != tenant_id:
            raise other_tenant(entry, line)
    one = [entry for _, entry in told]
    asked = {
        "tenant": tenant_id,
        "posting": [entry.posting for entry in one],
        "place": [entry.place for entry in one],
        "key": [entry.key_id for entry in one],
        "version": [entry.version for entry in one],
        "scope": [entry.scope for entry in one],
        "digest": [entry.digest for entry in one],
        "signature": [entry.signature for entry in one],
        "accepted": [entry.accepted_at for entry in one],
        "signed": [jsonb_text(entry.signed) for entry in one],
    }
    written = cursor.execute(_SIGNATURES, asked).fetchall()
    if len(written) != len(told) or sum(row[2] for row in written) != sum(len(entry.signed) for entry in one):
        raise _unknown(told[0][0], "a transaction or a key, here or in one of the next signatures,")
    numbers = cursor.execute(_NUMBERS, [tenant_id, asked["posting"], asked["place"]]).fetchall()
    return {line: row[0] for (line, _), row in zip(told, numbers, strict=True)}


def _unknown(line: int, what: str) -> Conflict:
    return Conflict("BOOKS_DIFFER", f"line {line} speaks of {what}, which no line before told of", f"lines.{line}")
