"""The register of keys checked for what it promises, and every kept signature verified again."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, LiteralString

from bourse.errors import Refused
from bourse.ledger.aurora_keys import read_versions, signatures
from bourse.ledger.aurora_quorum_checks import IN_TIME
from bourse.ledger.checker import Difference, Progress
from bourse.ledger.keys import KeptSignature, KeyVersion
from bourse.ledger.signing import canonical_public_key, recheck

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_EVERY: Final = 10_000
# A query of differences: rows of (code, place, expected, found), all of them text.
KEYS: Final[LiteralString] = """
    select 'KEY_TWICE', string_agg(distinct 'key ' || key_id, ' and '), 'a public key of its own', 'one public key' from books.key
    where tenant_id = %(tenant)s group by public_key having count(*) > 1
    union all
    select 'KEY_DIFFERS', 'key ' || key_id, 'versions 1 to ' || count(*), 'versions ' || min(version) || ' to ' || max(version) from books.key
    where tenant_id = %(tenant)s group by key_id having min(version) <> 1 or max(version) <> count(*) or count(distinct version) <> count(*)
    union all
    select 'KEY_DIFFERS', concat('key ', key_id, ', version ', version), 'an end of the versions before it just where there are some',
      coalesce(previous_until::text, 'none') from books.key where tenant_id = %(tenant)s and (previous_until is null) <> (version = 1)
    union all
    select 'KEY_DIFFERS', concat('revocation of key ', r.key_id, ', version ', r.version), 'such a version', 'none' from books.key_revocation r
    where r.tenant_id = %(tenant)s
      and not exists (select from books.key k where (k.tenant_id, k.key_id, k.version) = (r.tenant_id, r.key_id, r.version))
    union all
    select 'KEY_DIFFERS', 'default since ' || since, 'told as number ' || by_entry, 'kept as number ' || by_no from (
      select since, rank() over (order by entry_no) as by_entry, rank() over (order by default_no) as by_no
      from books.default_quorum where tenant_id = %(tenant)s) d where by_entry <> by_no
    union all
    select 'KEY_DIFFERS', n.what, 'a key ' || n.key_id, 'none' from (
      select 'account ' || account_id as what, unnest(key_ids) as key_id from books.account where tenant_id = %(tenant)s and key_ids <> '{}'
      union all select 'flavor ' || flavor_id, unnest(key_ids) from books.flavor where tenant_id = %(tenant)s and key_ids <> '{}'
      union all select 'default since ' || since, unnest(key_ids) from books.default_quorum where tenant_id = %(tenant)s) n
    where exists (select from books.key where tenant_id = %(tenant)s)
      and not exists (select from books.key k where k.tenant_id = %(tenant)s and k.key_id = n.key_id)
    union all
    select 'KEY_DIFFERS', concat('signature ', s.place, ' of ', coalesce(x.txn_id, s.posting_no::text), ' by key ', s.key_id), d.expected, 'none'
    from books.signature s left join books.txn x on x.tenant_id = s.tenant_id and x.txn_no = s.posting_no
    left join books.key k on (k.tenant_id, k.key_id, k.version) = (s.tenant_id, s.key_id, s.version)
    cross join lateral (values (x.txn_no is null, 'its posting'), (k.key_id is null, 'version ' || s.version || ' of the key')) d(missing, expected)
    where s.tenant_id = %(tenant)s and d.missing"""

_IN_TIME: Final[LiteralString] = """
    select {in_time} from books.signature s join books.key k using (tenant_id, key_id, version) where s.posting_no = %s and s.place = %s""".replace(
    "{in_time}", IN_TIME
)


def check_keys(cursor: "Cursor", tenant_id: str, progress: Progress) -> Iterator[Difference]:
    """Public keys that are not what they are said to be, and signatures that cannot be verified: over the transactions they cover as those are told, by
    the key they name, within its time."""
    good: dict[tuple[str, int], KeyVersion] = {}
    progress("signatures", 0)
    for one in (version for versions in read_versions(cursor, tenant_id).values() for version in versions):
        if (found := _written(one)) == one.public_key.hex():
            good[one.key_id, one.version] = one
        else:
            yield Difference("KEY_DIFFERS", f"key {one.key_id}, version {one.version}", f"a public key of {one.algorithm}", found)
    for count, (posting, kept) in enumerate(signatures(cursor, tenant_id), 1):
        if count % _EVERY == 0:
            progress("signatures", count)
        version = good.get((kept.key_id, kept.version))
        wrong = recheck(tenant_id, kept, version) if version else None
        if wrong and not (wrong == "KEY_NOT_VALID" and _was_in_time(cursor, kept)):
            place = f"signature {kept.place} of {posting or kept.posting_no} by key {kept.key_id}, version {kept.version}"
            yield Difference(wrong, place, "one that can be verified", f"{kept.signature.hex()} at {kept.accepted_at.isoformat()}")


def _was_in_time(cursor: "Cursor", kept: KeptSignature) -> bool:
    """What was told of a key afterwards, and dated back, ends nothing that had been posted."""
    row = cursor.execute(_IN_TIME, [kept.posting_no, kept.place]).fetchone()
    return bool(row and row[0])


def _written(one: KeyVersion) -> str:
    """The public key as it would be registered, or why it would not be."""
    try:
        return canonical_public_key(one.algorithm, one.public_key).hex()
    except Refused as refused:
        return refused.detail
