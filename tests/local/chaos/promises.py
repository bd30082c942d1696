"""What holds in every run by itself, whatever was killed: nothing is left over, nothing happened twice, and all that is derived is derived the same again."""

from collections.abc import Iterator

from bourse.assets.events import book_of
from bourse.aws.postgres import Database
from bourse.ledger.aurora_checker import AuroraChecker
from bourse.matching.apply import Heard, apply
from bourse.matching.book import Book
from bourse.matching.codec import state_hash
from bourse.matching.match_offers import _KINDS
from bourse.message import Envelope

from demo.parties import CURRENCY
from demo.watch import waiting
from infra.local.stack import client
from tests.local.builders import World
from tests.local.chaos.facts import book_as_stored, stored_books


def broken(world: World) -> Iterator[str]:
    """The promises that do not hold, as an operator reads them; nothing when all do."""
    if left := waiting(world.stack, client("sqs", world.stack.aws_endpoint)):
        yield f"messages are left in queues: {left}"
    balance = world.market.trial_balance()
    if [row["what"] for row in balance if row["total"] == 0] != ["cash", "claims"]:
        yield f"the trial balance is not zero: {balance}"
    yield from (f"the ledger's checker finds {one}" for one in AuroraChecker(Database(world.stack.postgres)).differences(world.tenant_id))
    if (held := world.query("select count(*) from books.lot where tenant_id = %(tenant)s and (held <> 0 or amount < floor)")) != [(0,)]:
        yield f"reserved or overdrawn lots: {held}"
    if (waits := world.query("select kind, count(*) from foundation.outbox where tenant_id = %(tenant)s group by 1")) != []:
        yield f"messages of commands were never sent: {waits}"
    yield from _of_the_book(world)


def _of_the_book(world: World) -> Iterator[str]:
    """The book is what it heard, holds nothing back, and each bid it said was decided once and as it was said."""
    kept, heard = book_as_stored(world.stack, world.tenant_id), Book(book_of(world.tenant_id, CURRENCY))
    said: dict[str, int] = {}
    for entry in stored_books(world.stack).load(heard.book_id, ()).journal:
        message = Envelope(entry.decode()).read(_KINDS)
        assert isinstance(message, Heard), "a book's journal holds what it heard"
        said |= {bid.bid_id: bid.principal for bid in apply(heard, message).bids}
    if state_hash(kept) != state_hash(heard):
        yield "the book is not what it heard"
    if reserved := [sell.loan_id for sell in kept.sells.values() if sell.reserved]:
        yield f"reservations are left over: {reserved}"
    decided = dict(world.query("select bid_id, principal from ledger.bid where tenant_id = %(tenant)s"))
    if said != decided:
        yield f"bids that were not decided as they were said: {sorted(said.items() ^ decided.items())}"
