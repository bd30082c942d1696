"""What people ask of the marketplace, as deeds that are begun when they may be and asked again until they are answered."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from bourse.errors import Conflict, Refused, Unavailable

from tests.simulation.desks import Https
from tests.simulation.people import File, Investor

if TYPE_CHECKING:
    from tests.simulation.world import World


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
        if isinstance(desk := world.desk, Https):
            deeds.append(Deed(f"looks {one.originator_id}/{one.number}", partial(_looks, desk, upload), _after(slot)))
    for investor in world.people.investors:
        deeds += _of_investor(world, investor)
        if isinstance(desk := world.desk, Https):
            deeds.append(Deed(f"looks {investor.investor_id}", partial(desk.looks_of_investor, investor)))
    return deeds


def _looks(desk: Https, upload: "Upload") -> None:
    desk.looks_of_originator(upload.file, upload.key)


def _after(deed: Deed | None) -> Callable[[], bool]:
    return lambda: deed is None or deed.done


class Upload:
    """A file on its way: a slot is asked for, and filled while its request is valid; else the next one is."""

    def __init__(self, world: "World", file: File) -> None:
        self.world, self.file, self.tries, self.key, self.until = world, file, 0, "", datetime.min

    def ask(self) -> None:
        world, one = self.world, self.file
        try:
            self.key, self.until = world.desk.slot(one, f"{one.originator_id}/{one.number}/{self.tries}")
        except Conflict as conflict:
            if conflict.code != "UPLOAD_CLOSED":
                raise
            if not self.key:  # the slot expired before its request was answered
                self.tries += 1
                self.ask()

    def put(self) -> None:
        world = self.world
        if world.clock.now() > self.until:
            if world.stores.objects.exists(self.key):
                return
            self.tries, self.key = self.tries + 1, ""
            self.ask()
            if world.clock.now() > self.until:
                raise Unavailable("the slot he was given was over before he could use it")
        if not world.stores.objects.exists(self.key):
            world.put(self.key, self.file, self.file.octets)
        elif world._strikes("overwritten"):
            world.put(self.key, self.file, self.file.octets[: len(self.file.octets) // 2])


def _of_investor(world: "World", one: Investor) -> list[Deed]:
    name, desk = one.investor_id, world.desk

    def pay_in(number: int, amount: int) -> Callable[[], object]:
        return lambda: desk.pay_in(one, number, amount)

    def pay_out() -> None:
        try:
            desk.pay_out(one)
        except Refused as refused:
            if refused.code != "INSUFFICIENT_CASH":
                raise

    made = Deed(f"draft {name}", lambda: desk.draft(one))
    active = Deed(f"activate {name}", lambda: desk.activate(one), _after(made))
    deeds = [Deed(f"deposit {name}/{number}", pay_in(number, amount)) for number, amount in enumerate(one.deposits)]
    deeds += [made, active]
    if (later := one.later) is not None:
        deeds.append(Deed(f"change {name}", lambda: desk.change(one, later), _after(active)))
    if one.takes_back:
        deeds.append(Deed(f"withdraw {name}", pay_out, _after(active)))
    return deeds
