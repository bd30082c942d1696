"""What people ask of the marketplace, as deeds that are begun when they may be and asked again until they are answered."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bourse.assets.issue_upload import UploadAsked, issue_upload
from bourse.assets.uploads import Slot
from bourse.aws.outbox import flusher
from bourse.aws.sqs import SqsQueues
from bourse.errors import Conflict, Refused
from bourse.ledger.transfers import deposit, withdraw
from bourse.money import Money
from bourse.trading.model import PortfolioStatus
from bourse.trading.portfolios import change_status, change_terms, create_portfolio

from tests.simulation.people import CURRENCY, File, Investor
from tests.simulation.stores import PRODUCT

if TYPE_CHECKING:
    from tests.simulation.world import World

WINDOW = 30


@dataclass
class Deed:
    """`do` raises Unavailable or Crash when it was not answered."""

    name: str
    do: Callable[[], object]
    may_begin: Callable[[], bool] = lambda: True
    done: bool = False


def deeds_of(world: "World") -> list[Deed]:
    """Everything everybody wants. An originator uploads his files one slot after the other; an investor pays in, opens a portfolio, changes his mind."""
    deeds: list[Deed] = []
    before: dict[str, Deed] = {}
    for one in world.people.files:
        upload = Upload(world, one)
        last = before.get(one.originator_id)
        slot = Deed(f"slot {one.originator_id}/{one.number}", upload.ask, _after(last))
        deeds += [slot, Deed(f"file {one.originator_id}/{one.number}", upload.put, _after(slot))]
        before[one.originator_id] = slot
    for investor in world.people.investors:
        deeds += _of_investor(world, investor)
    return deeds


def _after(deed: Deed | None) -> Callable[[], bool]:
    return lambda: deed is None or deed.done


class Upload:
    """A file on its way: a slot is asked for, and filled while its request is valid; else the next one is."""

    def __init__(self, world: "World", file: File) -> None:
        self.world, self.file, self.tries, self.key, self.until = world, file, 0, "", datetime.min

    def ask(self) -> None:
        world, one = self.world, self.file
        request = f"{one.originator_id}/{one.number}/{self.tries}"
        try:
            ticket = issue_upload(
                one.tenant_id,
                one.originator_id,
                UploadAsked(),
                uploads=world.port("uploads"),
                objects=world.port("objects"),
                clock=world.clock,
                request_key=request,
            )
        except Conflict as conflict:
            if conflict.code != "UPLOAD_CLOSED" or self.key:  # he has his slot, and asks once more out of impatience
                if self.key:
                    return
                raise
            self.tries += 1  # the slot expired before its request was answered
            self.ask()
            return
        slots: list[Slot] = [slot for slot in world.stores.uploads.slots.values() if slot.ref.upload_id == ticket.upload_id]
        self.key, self.until = slots[0].key, ticket.expires_at

    def put(self) -> None:
        world = self.world
        if world.clock.now() > self.until:
            if any(world.stores.objects.exists(self.key) for _ in (0,)):
                return
            self.tries, self.key = self.tries + 1, ""
            self.ask()
        if not world.stores.objects.exists(self.key):
            world.put(self.key, self.file, self.file.octets)
        elif world._strikes("overwritten"):
            world.put(self.key, self.file, self.file.octets[: len(self.file.octets) // 2])


def _of_investor(world: "World", one: Investor) -> list[Deed]:
    tenant, name = one.tenant_id, one.investor_id
    ledger, portfolios = world.port("ledger"), world.port("portfolios")
    flush = flusher(lambda: world.port("database"), SqsQueues.from_env)
    at: Any = {"clock": world.clock, "window_seconds": WINDOW}

    def told(does: Callable[[], object]) -> Callable[[], object]:
        def do() -> None:
            does()
            flush(tenant)

        return do

    def pay_in(number: int, amount: int) -> Callable[[], object]:
        return told(lambda: deposit(tenant, name, Money(amount, CURRENCY), "wire", f"{name}.{number}", ledger=ledger, **at))

    def take_back() -> None:
        try:
            withdraw(tenant, name, Money(one.takes_back, CURRENCY), "wire", f"{name}.out", ledger=ledger, **at)
        except Refused as refused:
            if refused.code != "INSUFFICIENT_CASH":
                raise

    def become(status: PortfolioStatus) -> object:
        return change_status(tenant, name, one.portfolio_id, status, portfolios=portfolios, **at)

    made = Deed(f"draft {name}", lambda: create_portfolio(tenant, name, one.portfolio_id, one.terms, PRODUCT, portfolios=portfolios, clock=world.clock))
    active = Deed(f"activate {name}", told(lambda: become(PortfolioStatus.ACTIVE)), _after(made))
    deeds = [Deed(f"deposit {name}/{number}", pay_in(number, amount)) for number, amount in enumerate(one.deposits)]
    deeds += [made, active]
    if one.later is not None:
        later = one.later
        deeds.append(
            Deed(
                f"change {name}",
                told(lambda: change_terms(tenant, name, one.portfolio_id, later, PRODUCT, portfolios=portfolios, **at)),
                _after(active),
            )
        )
    if one.takes_back:
        deeds.append(Deed(f"withdraw {name}", told(take_back), _after(active)))
    return deeds
