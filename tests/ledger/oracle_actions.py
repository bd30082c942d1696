"""What each action adds to the facts of the plainest of ledgers, or the code it is refused with."""

import json
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from bourse.ledger.actions import (
    Account,
    Action,
    Distribute,
    Issue,
    PostHold,
    ReleaseHold,
    Reserve,
    Retire,
    Spending,
    Transaction,
    Transfer,
)

from tests.ledger.oracle_facts import Doubtful, Facts, Floored, Held, Lot, Made, Moved, No, Owed, text

LEAST = Fraction(1, 10**9)


class Doing:
    """One action at its place."""

    def __init__(self, books: Facts, asked: Transaction, number: int, place: int) -> None:
        self.books, self.asked, self.number, self.place = books, asked, number, place
        self.at = asked.effective_at

    def do(self, action: Action) -> None:
        if not isinstance(action, PostHold | ReleaseHold) and action.flavor_id not in self.books.flavors:
            raise No("FLAVOR_UNKNOWN")
        match action:
            case Issue():
                self.issue(action)
            case Transfer():
                self.open(action.source, action.destination)
                for lot, part in self.spend(action.source, action.flavor_id, action.amount, action.spending):
                    self.move("transfer", lot, (action.destination, action.flavor_id, carried(lot, action)), part)
            case Retire():
                self.retire(action)
            case Reserve():
                self.reserve(action)
            case PostHold():
                self.post_hold(action)
            case ReleaseHold():
                self.books.facts.append(replace(self.held(action.hold_id), over=True))
            case Distribute():
                self.distribute(action)

    def issue(self, action: Issue) -> None:
        if action.source == action.destination:
            raise No("SAME_ACCOUNT")
        source, _ = self.open(action.source, action.destination)
        lot = (action.source, action.flavor_id, "{}")
        if source.floor is not None or (source.hot and action.source_floor is not None):
            raise No("FLOOR_INVALID")
        if action.source_floor is not None:
            self.books.facts.append(Floored(lot, action.source_floor))
        floor = self.books.floor(lot)
        if floor is not None and self.books.stands(lot) - action.amount < floor:
            raise No("INSUFFICIENT_FUNDS")
        self.check_past(lot, action.amount)
        self.move("issue", lot, (action.destination, action.flavor_id, text(action.token_tags)), action.amount)

    def retire(self, action: Retire) -> None:
        if action.source == action.destination:
            raise No("SAME_ACCOUNT")
        _, destination = self.open(action.source, action.destination)
        if destination.floor is not None:
            raise No("FLOOR_INVALID")
        for lot, part in self.spend(action.source, action.flavor_id, action.amount, action.spending):
            self.move("retire", lot, (action.destination, action.flavor_id, "{}"), part)

    def reserve(self, action: Reserve) -> None:
        if self.books.hold(action.hold_id):
            raise No("HOLD_EXISTS")
        [source] = self.open(action.source)
        if source.floor is None:
            raise No("FLOOR_INVALID")
        if action.expires_at is not None and action.expires_at <= self.books.now:
            raise No("HOLD_EXPIRED")
        takes = self.spend(action.source, action.flavor_id, action.amount, action.spending)
        self.books.facts.append(Made(action.hold_id, action.source, action.flavor_id, action.expires_at))
        self.books.facts += [Held(action.hold_id, lot, part) for lot, part in takes]

    def held(self, hold_id: str) -> Made:
        hold = self.books.hold(hold_id)
        if hold is None:
            raise No("HOLD_UNKNOWN")
        if hold.over:
            raise No("HOLD_OVER")
        if hold.expires_at is not None and hold.expires_at <= self.books.now:
            raise No("HOLD_EXPIRED")
        return hold

    def post_hold(self, action: PostHold) -> None:
        hold = self.held(action.hold_id)
        self.open(action.destination)
        left: dict[Lot, int] = {}
        for one in self.books.facts:
            if isinstance(one, Held) and one.hold_id == action.hold_id:
                left[one.lot] = left.get(one.lot, 0) + one.amount
        wanted = sum(left.values()) if action.amount is None else action.amount
        if wanted > sum(left.values()):
            raise No("HOLD_AMOUNT")
        rest = sum(left.values()) - wanted
        for lot, amount in left.items():
            if part := min(amount, wanted):
                wanted -= part
                self.check_past(lot, part)
                self.books.facts.append(Held(action.hold_id, lot, -part))
                self.move("transfer", lot, (action.destination, hold.flavor_id, carried(lot, action)), part)
        if not rest or not action.keep_rest:
            self.books.facts.append(replace(hold, over=True))

    def distribute(self, action: Distribute) -> None:
        if action.over_flavor_id not in self.books.flavors:
            raise No("FLAVOR_UNKNOWN")
        self.open(action.source, *([action.rest_to] if action.rest_to else []))
        held = self.holdings(action)
        if not held:
            raise No("NOTHING_TO_DISTRIBUTE")
        held = self.with_rest(action, held)
        if action.retire and action.amount > sum(held.values()):
            raise No("DISTRIBUTION_TOO_LARGE")
        rate = Fraction(*action.fee)
        if action.rule == "seed_floor":
            pays = {one: int((1 - rate) * action.amount * tokens / sum(held.values())) for one, tokens in held.items()}
            retires = {one: int(Fraction(action.amount * tokens, sum(held.values()))) for one, tokens in held.items()}
            fee = action.amount - sum(pays.values())
        elif action.rule == "par":
            fee, pays = 0, self.share(action.amount, held, action.over_flavor_id, action.over_flavor_id)
            retires = dict(pays)
        else:
            fee = int(rate * action.amount + Fraction(1, 2))
            pays = self.share(action.amount - fee, held, action.over_flavor_id, action.flavor_id)
            retires = self.share(action.amount, held, action.over_flavor_id, action.over_flavor_id) if action.retire else {}
        for one in sorted(one for one in retires if action.retire and retires[one] and one != action.rest_to):
            self.retire(Retire(action.over_flavor_id, retires[one], one, action.over, destination=action.retire_to))
        if fee:
            self.pay(action, action.fee_destination, fee)
        for one, part in pays.items():
            if part:
                self.pay(action, self.payee(action, one), part)

    def with_rest(self, action: Distribute, held: dict[str, int]) -> dict[str, int]:
        """Who gets what nobody holds is a holder of it."""
        if action.out_of is None or action.rest_to is None:
            return held
        rest = action.out_of - sum(held.values())
        if rest < 0 or action.rest_to in held:
            raise No("OUT_OF_INVALID")
        return dict(sorted({**held, action.rest_to: rest}.items())) if rest else held

    def payee(self, action: Distribute, holder: str) -> str:
        """The histories ask for one pattern only: the account that the holder's tag `pays` names."""
        if not action.pay_to or holder == action.rest_to:
            return holder
        if "pays" not in self.books.accounts[holder].tags:
            raise No("TAG_MISSING")
        return str(self.books.accounts[holder].tags["pays"])

    def holdings(self, action: Distribute) -> dict[str, int]:
        held: dict[str, int] = {}
        for lot, amount in self.books.tokens(action.over.filter).items():
            if lot[1] == action.over_flavor_id and self.books.accounts[lot[0]].floor is not None:
                held[lot[0]] = held.get(lot[0], 0) + amount
        return held

    def pay(self, action: Distribute, account_id: str, amount: int) -> None:
        [to] = self.open(account_id)
        for lot, part in self.spend(action.source, action.flavor_id, amount, Spending()):
            self.move("retire" if to.floor is None else "transfer", lot, (account_id, action.flavor_id, "{}"), part)

    def share(self, pool: int, held: Mapping[str, int], over: str, flavor: str) -> dict[str, int]:
        """Everybody the floor of his exact share, and the units that are left to those who are owed most, ties to the first name."""
        whole = sum(held.values())
        exact = {one: Fraction(pool * tokens, whole) for one, tokens in sorted(held.items())}
        paid = {one: int(part) for one, part in exact.items()}
        old = {one: self.books.owed(over, flavor, one) for one in exact}
        owed = {one: old[one] + exact[one] - paid[one] for one in exact}
        left = pool - sum(paid.values())
        line = sorted(exact, key=lambda one: (-owed[one], one))
        if 0 < left < len(line):
            last, first = line[left - 1], line[left]
            if owed[last] - owed[first] < LEAST and (old[last] or old[first]):
                raise Doubtful
        for one in line[:left]:
            paid[one] += 1
        self.books.facts += [Owed(over, flavor, one, exact[one] - paid[one]) for one in exact]
        return paid

    # What the actions have in common

    def open(self, *names: str) -> list[Account]:
        for name in names:
            if name not in self.books.accounts:
                raise No("ACCOUNT_UNKNOWN")
            if self.books.accounts[name].closed:
                raise No("ACCOUNT_CLOSED")
        return [self.books.accounts[name] for name in names]

    def move(self, type_: str, src: Lot, dst: Lot, amount: int) -> None:
        if src == dst:
            raise No("SAME_ACCOUNT")
        self.books.facts.append(Moved(self.asked.txn_id, self.number, self.at, self.place, type_, src, dst, amount))

    def spend(self, account_id: str, flavor_id: str, amount: int, spending: Spending) -> list[tuple[Lot, int]]:
        """Which lots give how much. An account without a floor gives untagged tokens, without end or down to what an issue said; one with a
        credit line goes below zero when everything else is spent. A filter reaches only what is there."""
        books, untagged = self.books, (account_id, flavor_id, "{}")
        floor = books.floor(untagged)
        if floor is None and not spending.filter:
            return [(untagged, amount)]
        mine = {lot: books.stands(lot) for lot in books.lots() if lot[:2] == (account_id, flavor_id)}
        if books.accounts[account_id].floor is None and not spending.filter:
            mine = {untagged: books.stands(untagged)}
        mine = {lot: stands for lot, stands in mine.items() if stands > 0 and books.asks(spending.filter, lot, stands)}
        free = {lot: max(0, stands - books.held(lot)) for lot, stands in mine.items()}
        below = whole = 0
        if floor and not spending.filter:
            stands = books.stands(untagged)
            below = min(0, stands - books.held(untagged)) - floor
            whole = min(0, stands) - floor
        if sum(free.values()) + below < amount:
            raise No("RESERVED" if sum(mine.values()) + whole >= amount else "INSUFFICIENT_FUNDS")
        takes = self.in_order(free, min(amount, sum(free.values())), spending.order)
        if over := amount - sum(takes.values()):
            takes[untagged] = takes.get(untagged, 0) + over
        for lot, part in takes.items():
            self.check_past(lot, part)
        return list(takes.items())

    def in_order(self, free: dict[Lot, int], amount: int, order: str) -> dict[Lot, int]:
        oldest = sorted((lot for lot in free if free[lot]), key=self.books.opened)
        if order == "pro_rata":
            exact = {lot: Fraction(amount * free[lot], sum(free.values())) for lot in oldest}
            parts = {lot: int(part) for lot, part in exact.items()}
            left = amount - sum(parts.values())
            for lot in sorted(oldest, key=lambda lot: (parts[lot] - exact[lot], oldest.index(lot)))[:left]:
                parts[lot] += 1
            return {lot: part for lot, part in parts.items() if part}
        if order == "lifo":
            oldest.reverse()
        elif order.startswith("tags."):
            name, _, direction = order.removeprefix("tags.").partition(" ")
            value = {lot: json.loads(lot[2]).get(name) for lot in oldest}
            with_it = sorted((lot for lot in oldest if value[lot] is not None), key=lambda lot: value[lot], reverse=direction == "desc")
            oldest = with_it + [lot for lot in oldest if value[lot] is None]
        takes: dict[Lot, int] = {}
        for lot in oldest:
            if part := min(free[lot], amount):
                takes[lot] = part
                amount -= part
        return takes

    def check_past(self, lot: Lot, amount: int) -> None:
        """At no instant from this transaction's time on may the lot stand below its floor with so much less."""
        floor = self.books.floor(lot)
        instants = {self.at, *(one.at for one in self.books.moves() if lot in {one.src, one.dst} and one.at > self.at)}
        if floor is not None and any(self.books.stands(lot, instant) - amount < floor for instant in instants):
            raise No("BACKDATED")


def carried(lot: Lot, action: Transfer | PostHold) -> str:
    old = json.loads(lot[2])
    names = old if action.carry_tags is True else action.carry_tags or ()
    return text({**{name: old[name] for name in names if name in old}, **action.token_tags})
