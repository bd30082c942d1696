"""The chain, checked against the journal it is of: block by block, each entry by its line as it is written today."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, LiteralString

from bourse.ledger.checker import Difference, Progress, Witness
from bourse.ledger.journal import GENESIS, block_hash

if TYPE_CHECKING:
    from bourse.aws.postgres import Cursor

_BLOCKS: Final[LiteralString] = "select block_no, numbers, hashes, previous, hash from books.block where tenant_id = %s order by block_no"
_ALL_LEAVES: Final[LiteralString] = """
    select string_agg(sha256(convert_to(l.line, 'UTF8')), '' order by u.n)
    from books.lines(%(numbers)s) l join unnest(%(numbers)s::bigint[]) with ordinality u(no, n) using (no)"""
_LEAVES: Final[LiteralString] = "select no, sha256(convert_to(line, 'UTF8')), left(line, 240) from books.lines(%s)"
_HEAD: Final[LiteralString] = "select block_no, until_xid, hash from books.chain where tenant_id = %s"
_UNSEALED: Final[LiteralString] = """
    select e.no from books.entry e where e.tenant_id = %(tenant)s and e.xid < %(until)s
      and not exists (select from (select unnest(numbers) as no from books.block where tenant_id = %(tenant)s) b where b.no = e.no) order by e.no"""
_TWICE: Final[LiteralString] = """
    select no from (select unnest(numbers) as no from books.block where tenant_id = %(tenant)s) b group by no having count(*) > 1 order by no"""

# Entries of a block have their places between its end and that of the block before; those of an import all have one.
_MOVED: Final[LiteralString] = """
    select e.no, b.block_no, b.since, b.until, e.xid from (
      select block_no, coalesce(nullif(lag(until_xid) over (order by block_no), until_xid), 0) as since, until_xid as until, unnest(numbers) as no
      from books.block where tenant_id = %(tenant)s) b
    join books.entry e on e.tenant_id = %(tenant)s and e.no = b.no where e.xid < b.since or e.xid >= b.until order by e.no"""
# The end of the chain is not before that of its last block, and not in the future.
_END: Final[LiteralString] = """
    select c.until_xid, max(b.until_xid), pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1 from books.chain c
    join books.block b using (tenant_id) where c.tenant_id = %s group by c.until_xid"""


def check_chain(cursor: "Cursor", tenant_id: str, witness: Witness | None, progress: Progress) -> Iterator[Difference]:
    """What is wrong with the blocks, and with the entries that are sealed in them."""
    previous, last, entries, gaps = GENESIS, 0, 0, False
    progress("chain", 0)
    with cursor.connection.cursor("blocks") as blocks:
        blocks.itersize = 10
        for block_no, numbers, hashes, before, hash_ in blocks.execute(_BLOCKS, [tenant_id]):
            if block_no != last + 1:
                gaps = True
                yield Difference("BLOCK_GAP", f"block {last + 1}", f"block {last + 1}", f"block {block_no}")
            elif before != previous:
                yield Difference("BLOCK_DIFFERS", f"block {block_no}, previous", previous.hex(), before.hex())
            if (expected := block_hash(before, block_no, hashes)) != hash_:
                yield Difference("BLOCK_DIFFERS", f"block {block_no}", expected.hex(), hash_.hex())
            if witness is not None and witness.block_no == block_no and witness.hash != hash_:
                yield Difference("WITNESS_DIFFERS", f"block {block_no}", witness.hash.hex(), hash_.hex())
            yield from _check_entries(cursor, block_no, numbers, hashes)
            previous, last, entries = hash_, block_no, entries + len(numbers)
            progress("chain", entries)
    yield from _check_end(cursor, tenant_id, last, previous, gaps=gaps)
    if witness is not None and witness.block_no > last:
        yield Difference("WITNESS_DIFFERS", f"block {witness.block_no}", witness.hash.hex(), "none")


def _check_entries(cursor: "Cursor", block_no: int, numbers: list[int], hashes: bytes) -> Iterator[Difference]:
    """All entries of a block together; one by one only where they are not what was sealed."""
    row = cursor.execute(_ALL_LEAVES, {"numbers": numbers}).fetchone()
    if row is not None and row[0] == hashes and len(hashes) == 32 * len(numbers):
        return
    found: Mapping[int, tuple[bytes, str]] = {no: (bytes(hash_), line) for no, hash_, line in cursor.execute(_LEAVES, [numbers])}
    for place, no in enumerate(numbers):
        sealed = hashes[32 * place : 32 * place + 32]
        if no not in found:
            yield Difference("ENTRY_MISSING", f"entry {no} of block {block_no}", sealed.hex(), "none")
        elif found[no][0] != sealed:
            yield Difference("HASH_MISMATCH", f"entry {no}: {found[no][1]}", sealed.hex(), found[no][0].hex())


def _check_end(cursor: "Cursor", tenant_id: str, last: int, previous: bytes, *, gaps: bool) -> Iterator[Difference]:
    """What comes after the last block, and what ought to be in one. Where a block is missing, its entries are not told one by one."""
    head = cursor.execute(_HEAD, [tenant_id]).fetchone() or (0, 0, GENESIS)
    if head[0] != last:
        gaps = True
        yield Difference("BLOCK_GAP", f"block {last + 1}", f"{head[0]} blocks", f"{last} blocks")
    elif bytes(head[2]) != previous:
        yield Difference("BLOCK_DIFFERS", "the end of the chain", previous.hex(), bytes(head[2]).hex())
    if not gaps:
        for (no,) in cursor.execute(_UNSEALED, {"tenant": tenant_id, "until": head[1]}).fetchall():
            yield Difference("ENTRY_UNSEALED", f"entry {no}", "in a block", "in none")
        for no, block_no, since, until, found in cursor.execute(_MOVED, {"tenant": tenant_id}).fetchall():
            yield Difference("ENTRY_MOVED", f"entry {no} of block {block_no}", f"{since} to {until}", str(found))
        for end, last_end, now in cursor.execute(_END, [tenant_id]).fetchall():
            if not last_end <= end <= now:
                yield Difference("BLOCK_DIFFERS", f"the end of the chain, after block {last}", f"{last_end} to {now}", str(end))
    for (no,) in cursor.execute(_TWICE, {"tenant": tenant_id}).fetchall():
        yield Difference("ENTRY_TWICE", f"entry {no}", "in one block", "in more")
