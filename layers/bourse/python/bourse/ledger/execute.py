"""Executes transactions on lots: which tokens move where. Pure: stores load the state before, and keep what was done after.

Actions see what those before them did. Nothing is undone on a refusal: the state is then of no more use.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from bourse.errors import Refused
from bourse.ledger.account_names import name_from
from bourse.ledger.actions import (
    AMOUNT_MAX,
    Account,
    Action,
    Distribute,
    Issue,
    MoveType,
    PostHold,
    ReleaseHold,
    Reserve,
    Retire,
    Reverse,
    Spending,
    Tags,
    Transaction,
    Transfer,
)
from bourse.ledger.distribute import Shares
from bourse.ledger.lots import Lot, Matches, Take, carried, choose, stretches
from bourse.ledger.reversal import OPPOSITE, Reversal, ended, take_back, takes
from bourse.ledger.sharing import OwedChange, Sharing
from bourse.ledger.state import State


@dataclass(slots=True, eq=False)
class Hold:
    """A hold as an execution finds and changes it: what it has left of which lots, in the order they were reserved."""

    hold_id: str
    account_id: str
    flavor_id: str
    expires_at: datetime | None
    left: dict[Lot, int] = field(default_factory=dict)
    over: bool = False
    expired: bool = False
    no: int | None = None
    version: int = 0
    used: bool = False
    """Whether this execution decided by it."""


class Move(NamedTuple):
    """Tokens that go from a lot to a lot."""

    action_no: int
    type: MoveType
    src: Lot
    dst: Lot
    amount: int
    action_tags: Tags


class HoldMove(NamedTuple):
    """Tokens of a lot that a hold begins (> 0) or ceases (< 0) to reserve; type reserve, post, release or expire."""

    action_no: int
    type: str
    hold: Hold
    lot: Lot
    amount: int


@dataclass(slots=True)
class Executed:
    """What a transaction did, in its order."""

    transaction: Transaction
    moves: list[Move] = field(default_factory=list)
    hold_moves: list[HoldMove] = field(default_factory=list)
    reversals: list[Reversal] = field(default_factory=list)
    owed: list[tuple[int, OwedChange]] = field(default_factory=list)
    """(action, what it changed of what rounding left owed)"""


MatchOf = Callable[[Spending], Matches]


class Execution:
    """Runs transactions one after the other on a state, at the books' clock `at`.

    `matches_of` compiles a filter for lots; `sharing` knows what rounding left owed.
    """

    def __init__(self, state: State, at: datetime, matches_of: MatchOf, sharing: Sharing) -> None:
        self._state: Final = state
        self._at: Final = at
        self._matches_of: Final = matches_of
        self._sharing: Final = sharing

    def run(self, transaction: Transaction) -> Executed:
        """Do a transaction's actions. Raises Refused with the place in the transaction as its field."""
        done = Executed(transaction)
        for number, action in enumerate(transaction.actions):
            try:
                self._do(number, action, done)
            except Refused as refused:
                where = f"actions.{number}" + (f".{refused.field}" if refused.field else "")
                raise Refused(refused.code, refused.detail, where) from None
        return done

    def _do(self, number: int, action: Action, done: Executed) -> None:
        match action:
            case Issue():
                self._issue(number, action, done)
            case Transfer():
                self._transfer(number, action, done)
            case Retire():
                self._retire(number, action, done)
            case Reserve():
                self._reserve(number, action, done)
            case PostHold():
                self._post_hold(number, action, done)
            case ReleaseHold():
                self._release(number, "release", self._open_hold(action.hold_id), done)
            case Distribute():
                self._distribute(number, action, done)
            case Reverse():
                self._reverse(number, action, done)

    def _issue(self, number: int, action: Issue, done: Executed) -> None:
        self._flavor(action.flavor_id)
        source, destination = self._two(action.source, action.destination)
        if source.floor is not None:
            raise Refused("FLOOR_INVALID", f"tokens are issued from an account without a floor, and {source.account_id} has one", "source")
        if source.hot and action.source_floor is not None:
            raise Refused("FLOOR_INVALID", f"{source.account_id} is hot, and what many write at once has no floor", "source_floor")
        lot = self._state.lot(source, action.flavor_id, {})
        if action.source_floor is not None:
            lot.floor, lot.touched = action.source_floor, True
        if lot.floor is not None and lot.amount - lot.held - action.amount < lot.floor:
            raise Refused("INSUFFICIENT_FUNDS", f"{action.amount} are wanted and {lot.room} may still be issued", "amount")
        self._check_past(lot, action.amount, done.transaction.effective_at)
        self._move(Move(number, "issue", lot, self._state.lot(destination, action.flavor_id, action.token_tags), action.amount, action.action_tags), done)

    def _transfer(self, number: int, action: Transfer, done: Executed) -> None:
        self._flavor(action.flavor_id)
        source, destination = (self._state.account(one, name) for one, name in ((action.source, "source"), (action.destination, "destination")))
        for lot, part in self._spend(source, action.flavor_id, action.amount, action.spending, done):
            tags = carried(lot.tags, action.carry_tags, action.token_tags)
            self._move(Move(number, "transfer", lot, self._state.lot(destination, action.flavor_id, tags), part, action.action_tags), done)

    def _retire(self, number: int, action: Retire, done: Executed) -> None:
        self._flavor(action.flavor_id)
        source, destination = self._two(action.source, action.destination)
        if destination.floor is not None:
            raise Refused("FLOOR_INVALID", f"tokens are retired to an account without a floor, and {destination.account_id} has one", "destination")
        for lot, part in self._spend(source, action.flavor_id, action.amount, action.spending, done):
            self._move(Move(number, "retire", lot, self._state.lot(destination, action.flavor_id, {}), part, action.action_tags), done)

    def _reserve(self, number: int, action: Reserve, done: Executed) -> None:
        self._flavor(action.flavor_id)
        if self._state.hold(action.hold_id) is not None:
            raise Refused("HOLD_EXISTS", f"there is a hold {action.hold_id} already", "hold_id")
        source = self._state.account(action.source, "source")
        if source.floor is None:
            raise Refused("FLOOR_INVALID", "what has no floor cannot be reserved", "source")
        hold = Hold(action.hold_id, action.source, action.flavor_id, action.expires_at)
        if action.expires_at is not None and action.expires_at <= self._at:
            raise Refused("HOLD_EXPIRED", "the hold would be over before it begins", "expires_at")
        for lot, part in self._spend(source, action.flavor_id, action.amount, action.spending, done):
            lot.held += part
            lot.touched = True
            hold.left[lot] = part
            done.hold_moves.append(HoldMove(number, "reserve", hold, lot, part))
        self._state.keep(hold)

    def _post_hold(self, number: int, action: PostHold, done: Executed) -> None:
        hold = self._open_hold(action.hold_id)
        self._state.account(hold.account_id, "hold_id")
        destination = self._state.account(action.destination, "destination")
        wanted = sum(hold.left.values()) if action.amount is None else action.amount
        if wanted > sum(hold.left.values()):
            raise Refused("HOLD_AMOUNT", f"{wanted} are wanted and the hold has {sum(hold.left.values())} left", "amount")
        for lot, held in list(hold.left.items()):
            if part := min(held, wanted):
                wanted -= part
                self._unhold(number, "post", hold, lot, part, done)
                self._check_past(lot, part, done.transaction.effective_at)
                tags = carried(lot.tags, action.carry_tags, action.token_tags)
                self._move(Move(number, "transfer", lot, self._state.lot(destination, hold.flavor_id, tags), part, action.action_tags), done)
        hold.over = not hold.left
        if not action.keep_rest:
            self._release(number, "release", hold, done)

    def _distribute(self, number: int, action: Distribute, done: Executed) -> None:
        self._flavor(action.flavor_id)
        self._flavor(action.over_flavor_id, "over_flavor_id")
        source = self._state.account(action.source, "source")
        if action.rest_to is not None:
            self._state.account(action.rest_to, "rest_to")
        matches, holdings = self._matches_of(action.over), dict[str, int]()
        for holder, mine in self._state.holders(action.over_flavor_id):
            found = [lot.amount for lot in mine if lot.amount > 0 and matches(lot)]
            if found and self._state.account(holder, "over").floor is not None:
                holdings[holder] = sum(found)
        shares, owed = self._sharing.share(action, holdings)
        done.owed += [(number, one) for one in owed]
        for holder, amount in shares.retires.items():
            if amount:
                self._retire(number, Retire(action.over_flavor_id, amount, holder, action.over, action.action_tags, action.retire_to), done)
        for destination, amount, tags in self._payments(action, shares):
            kind: MoveType = "retire" if self._state.account(destination, "fee_destination").floor is None else "transfer"
            for lot, part in self._spend(source, action.flavor_id, amount, Spending(), done):
                to = self._state.lot(self._state.accounts[destination], action.flavor_id, {})
                self._move(Move(number, kind, lot, to, part, tags), done)

    def _payments(self, action: Distribute, shares: Shares) -> Iterator[tuple[str, int, Tags]]:
        """Which account gets how much with which tags of the action: the fee first, then everybody's share."""
        if shares.fee:
            yield action.fee_destination, shares.fee, action.action_tags if action.fee_tags is None else action.fee_tags
        for holder, amount in shares.pays.items():
            if amount:
                follows = action.pay_to and holder != action.rest_to
                yield name_from(action.pay_to, self._state.accounts[holder], "pay_to") if follows else holder, amount, action.action_tags

    def _reverse(self, number: int, action: Reverse, done: Executed) -> None:
        if (found := self._state.reversible.get(action.txn_id)) is None:
            raise Refused("TRANSACTION_UNKNOWN", f"there is no transaction {action.txn_id}", "txn_id")
        at = done.transaction.effective_at
        returns = take_back(found, action, at)
        made = Reversal(number, found, found.parts, action.part)
        for move, amount in returns:
            holder, _ = (self._state.account(lot.account_id, "txn_id") for lot in (move.dst, move.src))
            self._expire(holder.account_id, move.dst.flavor_id, done)
            untagged = self._state.lot(holder, move.dst.flavor_id, {}) if holder.floor != 0 else move.dst
            self._advance(number, action, holder, move.dst, amount, done)
            for lot, part in takes(move, amount, holder, untagged, found):
                self._check_past(lot, part, at)
                self._move(Move(number, OPPOSITE[move.type], lot, move.src, part, action.action_tags), done, returns=True)
                made.moves.append((len(done.moves), move.seq, part))
        done.reversals.append(made)
        for one in ended(found, returns):
            self._sharing.owe(one)
            done.owed.append((number, one))

    def _advance(self, number: int, action: Reverse, holder: Account, lot: Lot, amount: int, done: Executed) -> None:
        """What is gone from a lot that is to give an amount back comes from the account that follows from its holder's, if it is asked."""
        if not action.advance_from or holder.floor != 0 or (missing := amount - max(0, lot.room)) <= 0:
            return
        source = self._state.account(name_from(action.advance_from, holder, "advance_from"), "advance_from")
        if source.floor is not None:
            raise Refused("FLOOR_INVALID", f"what is missing comes from an account without a floor, and {source.account_id} has one", "advance_from")
        self._move(Move(number, "transfer", self._state.lot(source, lot.flavor_id, {}), lot, missing, action.action_tags), done, returns=True)

    def _spend(self, account: Account, flavor_id: str, amount: int, spending: Spending, done: Executed) -> list[Take]:
        self._expire(account.account_id, flavor_id, done)
        untagged = self._state.lot(account, flavor_id, {}) if account.floor != 0 and not spending.filter else None
        # Tagged tokens of an account without a floor are reached by a filter only, whatever floor an issue gave it.
        lots = [untagged] if untagged and account.floor is None else self._state.of(account.account_id, flavor_id)
        takes = choose(lots, amount, spending, self._matches_of(spending), untagged)
        for lot, part in takes:
            self._check_past(lot, part, done.transaction.effective_at)
        return takes

    def _expire(self, account_id: str, flavor_id: str, done: Executed) -> None:
        """Holds that are over give back what they had, before anything is spent."""
        for hold in self._state.expired(account_id, flavor_id, self._at):
            hold.expired = True
            self._release(0, "expire", hold, done)

    def _is_expired(self, hold: Hold) -> bool:
        return hold.expires_at is not None and hold.expires_at <= self._at

    def _open_hold(self, hold_id: str) -> Hold:
        if (hold := self._state.hold(hold_id)) is None:
            raise Refused("HOLD_UNKNOWN", f"there is no hold {hold_id}", "hold_id")
        hold.used = True
        if hold.expired or (not hold.over and self._is_expired(hold)):
            raise Refused("HOLD_EXPIRED", f"the hold {hold_id} has expired", "hold_id")
        if hold.over:
            raise Refused("HOLD_OVER", f"the hold {hold_id} is over", "hold_id")
        return hold

    def _release(self, number: int, kind: str, hold: Hold, done: Executed) -> None:
        for lot, part in list(hold.left.items()):
            self._unhold(number, kind, hold, lot, part, done)
        hold.over = True

    def _unhold(self, number: int, kind: str, hold: Hold, lot: Lot, part: int, done: Executed) -> None:
        lot.held -= part
        lot.touched = True
        hold.left[lot] -= part
        if not hold.left[lot]:
            del hold.left[lot]
        done.hold_moves.append(HoldMove(number, kind, hold, lot, -part))

    def _check_past(self, lot: Lot, amount: int, effective_at: datetime) -> None:
        """No instant from `effective_at` on may stand below the floor once `amount` is gone. Raises Refused BACKDATED with the first."""
        if lot.floor is None:
            return
        if (lot.latest_at is None or lot.latest_at <= effective_at) and all(at <= effective_at for at, _ in lot.timeline):
            return
        for begin, end, mine in stretches(lot, effective_at):
            stood = self._state.history.lowest(lot, begin, end)
            if (stood[0] if stood else 0) + mine - amount < lot.floor:
                first = self._state.history.first_below(lot, begin, end, lot.floor + amount - mine) if stood else begin
                short = f"{amount} fewer tokens at {effective_at.isoformat()} would leave less than {lot.floor} at {first.isoformat()}"
                raise Refused("BACKDATED", short, "amount")

    def _move(self, move: Move, done: Executed, *, returns: bool = False) -> None:
        """Tokens that return to an empty lot leave it as old as it was."""
        at = done.transaction.effective_at
        if move.src is move.dst:
            raise Refused("SAME_ACCOUNT", "the tokens would stay where they are", "destination")
        if move.dst.amount <= 0 < move.dst.amount + move.amount and not (returns and move.dst.opened):
            move.dst.opened = self._state.opens()
        if max(move.dst.amount, -move.src.amount) + move.amount > AMOUNT_MAX:
            raise Refused("AMOUNT_INVALID", "a lot would stand at 2^63 or more, or as far below zero", "amount")
        for lot, change in ((move.src, -move.amount), (move.dst, move.amount)):
            lot.amount += change
            lot.touched = True
            lot.note(at, change)
        done.moves.append(move)

    def _flavor(self, flavor_id: str, field: str = "flavor_id") -> None:
        if flavor_id not in self._state.flavors:
            raise Refused("FLAVOR_UNKNOWN", f"there is no flavor {flavor_id}", field)

    def _two(self, source: str, destination: str) -> tuple[Account, Account]:
        if source == destination:
            raise Refused("SAME_ACCOUNT", "source and destination are the same account", "destination")
        return self._state.account(source, "source"), self._state.account(destination, "destination")
