"""Books carried from a store to a store by their journal, as lines of JSON: every line is chained to the one before, and the last says the state.

    {"digest":"<64 hex digits>","entry":{"entry":"transaction",...}}

An entry is as journal.py writes it, in the order of the journal, with a `block` after the last entry of each sealed block. Then come
what books have beside their journal (carry_beside.py) and `end` with the hash of the state. `digest` is the hash of the digest before and the
entry's text, so a line that was changed, left out or moved is found as that line.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import Final, Protocol

from bourse.errors import Conflict, Refused
from bourse.ledger.carry_beside import BESIDE, BesideEntries, Block, End, record_text
from bourse.ledger.journal import GENESIS, Entry, block_hash, entry_of, leaf
from bourse.ledger.journal_keys import SignatureTold
from bourse.ledger.json_text import exact_json

_LINE: Final = re.compile(r'\{"digest":"([0-9a-f]{64})","entry":(\{.*\})\}', re.DOTALL)
BEGIN: Final = '{"entry":"books","version":1}'


Record = Entry | BesideEntries


@dataclass(frozen=True, slots=True)
class Restored:
    """How many entries were imported now; none when all of them were there before."""

    entries: int
    state: str


class Journal(Protocol):
    """Gives and takes whole books."""

    def records(self, tenant_id: str) -> Iterator[str]:
        """The texts of all records, in their order, as the books are at one moment; the last is the end."""
        ...

    def state_hash(self, tenant_id: str) -> str:
        """A hash of what can be seen: accounts, flavors, tokens by account, flavor and tags with what is held, floors, holds, what is owed, refusals, keys
        and signatures, templates, declared sums, and feeds with where they stand.

        Two stores say the same if and only if they are in the same state; numbers a store gives do not go into it.
        """
        ...

    def restore(self, tenant_id: str, records: Iterable[tuple[int, Record]]) -> Restored:
        """Make a tenant's books of records (with their line numbers), all or nothing; the same again changes nothing.

        Raises Conflict BOOKS_DIFFER where there are other books, or the state is not what the end says, TENANT_DIFFERS for signatures of another
        tenant's books; what `records` raises; Unavailable.
        """
        ...


def other_tenant(record: SignatureTold, number: int) -> Conflict:
    """Why signed books are made of a file only under the name they were exported from: signatures would verify under no other."""
    return Conflict("TENANT_DIFFERS", f"the signature in line {number} is of the books of {record.tenant_id}", f"lines.{number}")


def export_lines(journal: Journal, tenant_id: str) -> Iterator[str]:
    """A tenant's books, line by line, without line ends."""
    digest = GENESIS.hex()
    for text in chain((BEGIN,), journal.records(tenant_id)):
        digest = _next(digest, text)
        yield _line(digest, text)


def import_lines(journal: Journal, tenant_id: str, lines: Iterable[str]) -> Restored:
    """Make a tenant's books of what was exported, here or from any other store.

    Raises Refused LINE_CHANGED, LINE_INVALID, BLOCK_INVALID, LINES_MISSING with the line number (`lines.7`, from 1); and as `Journal.restore`.
    """
    return journal.restore(tenant_id, read_lines(lines))


def read_lines(lines: Iterable[str]) -> Iterator[tuple[int, Record]]:
    """Records with their line numbers, each checked against the line before it, blocks against their entries."""
    digest, blocks, number, ended = GENESIS.hex(), _Chain(), 0, False
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line.rstrip("\r\n"))
        if found is None or ended:
            raise Refused("LINE_INVALID", f"line {number} is no line of exported books" + (", they have ended" if ended else ""), f"lines.{number}")
        digest = _next(digest, found[2])
        if found[1] != digest:
            raise Refused("LINE_CHANGED", f"line {number} is not as it was exported, or not after the line it came after", f"lines.{number}")
        if number == 1:
            if found[2] != BEGIN:
                raise Refused("LINE_INVALID", "these are no exported books of a version that is known here", "lines.1")
            continue
        record = _record(found[2], number)
        blocks.check(record, found[2], number)
        ended = isinstance(record, End)
        yield number, record
    if not ended:
        raise Refused("LINES_MISSING", f"the books do not end: there is nothing after line {number}", f"lines.{number}")


class _Chain:
    """The blocks as they are read."""

    def __init__(self) -> None:
        self._previous = GENESIS
        self._block_no = 0
        self._leaves = bytearray()

    def check(self, record: Record, text: str, number: int) -> None:
        """Raises Refused BLOCK_INVALID for a block that does not follow or is not of the entries before it."""
        if isinstance(record, Block):
            self._block_no += 1
            self._previous = block_hash(self._previous, self._block_no, bytes(self._leaves))
            self._leaves.clear()
            if (record.block_no, record.hash) != (self._block_no, self._previous):
                raise Refused("BLOCK_INVALID", f"the block in line {number} is not of the entries before it", f"lines.{number}")
        elif not isinstance(record, BesideEntries):
            self._leaves += leaf(text)


def _record(text: str, number: int) -> Record:
    try:
        said = exact_json(text)
        kind = said.pop("entry")
        if kind not in BESIDE:
            return entry_of(text)
        record: BesideEntries = BESIDE[kind](said)
        if record_text(record) == text:
            return record
    except (Refused, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise Refused("LINE_INVALID", f"line {number} says nothing that books are made of", f"lines.{number}") from None


def _next(digest: str, text: str) -> str:
    return sha256((digest + text).encode()).hexdigest()


def _line(digest: str, text: str) -> str:
    return f'{{"digest":"{digest}","entry":{text}}}'
