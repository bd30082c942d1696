"""Many postings one after another over one connection: while the database works on one, the next is made ready here."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from bourse.ledger.actions import Posted, Transaction
from bourse.ledger.aurora_decided import MovedOn
from bourse.ledger.aurora_names import Known
from bourse.ledger.aurora_plain import Call, CloserLook, arguments_of
from bourse.ledger.aurora_posting import LongHistory
from bourse.ledger.aurora_rows import POST
from bourse.ledger.aurora_signed import Signed
from bourse.ledger.aurora_within import AuroraWithin
from bourse.ledger.authority import NotSigned
from bourse.ledger.books import Sign


@dataclass(frozen=True, slots=True)
class _Ready:
    """What `books.post` needs of a batch (None: it takes a closer look), made with what was known then."""

    known: Known
    call: Call | None


@dataclass(frozen=True, slots=True)
class _Underway:
    """A batch that was begun; `end` waits for what came of it. Not `sent`: it is not plain, and is posted when it ends."""

    end: Callable[[], tuple[Posted, ...]]
    sent: bool


class AuroraBatches(AuroraWithin):
    """The part of `AuroraBooks` that posts batch after batch."""

    def post_batches(self, tenant_id: str, batches: Iterable[Sequence[Transaction]], at: datetime, *, sign: Sign | None = None) -> Iterator[tuple[Posted, ...]]:
        """As `Books.post_batches`. No batch is sent before the answer to the one before it, so what is refused stops what comes after."""
        underway: _Underway | None = None
        try:
            for batch in batches:
                ready = self._made_ready(tenant_id, batch)
                before, underway = underway, None
                found = before.end() if before else None
                underway = self._begun(tenant_id, batch, ready, sign, at)
                if found is not None:
                    yield found
            if underway:
                before, underway = underway, None
                yield before.end()
        finally:
            if underway and underway.sent:
                underway.end()  # nobody waits for the answer any more, but the connection is busy until it is there

    def _made_ready(self, tenant_id: str, batch: Sequence[Transaction]) -> _Ready:
        """Reads nothing, because the connection may be busy."""
        self._names.bound()
        known = self._names.of(tenant_id)
        try:
            return _Ready(known, arguments_of(batch, tenant_id, known, self._slot, one=False, checked=False) if batch else None)
        except CloserLook:
            return _Ready(known, None)

    def _begun(self, tenant_id: str, batch: Sequence[Transaction], ready: _Ready, sign: Sign | None, at: datetime) -> _Underway:
        signatures = sign(batch) if sign else ()

        def post() -> tuple[Posted, ...]:
            return self.post(tenant_id, batch, at, signatures=signatures)

        if ready.call is None or self._names.of(tenant_id) is not ready.known:  # forgotten meanwhile, and with it whether signatures are asked for
            return _Underway(post, sent=False)
        signed = Signed(self.keys, tenant_id, batch, signatures, at)
        try:
            signed.require(batch, self._names)
        except NotSigned:
            return _Underway(post, sent=False)
        call = ready.call
        answer = self._database.begin_call(POST, call.arguments, within=signed.within(batch))

        def end() -> tuple[Posted, ...]:
            try:
                with self._refusals():
                    return self._settled(batch, ready.known, call, answer())
            except (CloserLook, MovedOn, NotSigned, LongHistory):
                return post()

        return _Underway(end, sent=True)
