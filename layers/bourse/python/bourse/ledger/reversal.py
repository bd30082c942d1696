"""Takes posted transactions back: how much of which move returns to the very lot it came from. Pure.

A transaction is reversed once only, in whole or in parts that add up to the whole. The moves return newest first, so what its later
actions spent is back before its earlier ones are undone. Part of an action takes back that part of each of its moves: the units
of a move of n are spread evenly over the action (the j-th at (2j - 1) / 2n) and the first of all units return first, so nothing that
one part took back is taken back by another, and the last part ends where the whole would have. A reversal is a transaction as any
other: reversing it, once only too, does again what it took back; what it had reversed stays reversed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from heapq import heapify, heapreplace
from typing import Final

from bourse.errors import Refused
from bourse.ledger.actions import Account, MoveType, Reverse
from bourse.ledger.lots import Lot, Take
from bourse.ledger.sharing import OwedChange

OPPOSITE: Final[Mapping[MoveType, MoveType]] = {"issue": "retire", "retire": "issue", "transfer": "transfer"}
"""What is reversed is journalled as the action that undoes it."""


@dataclass(slots=True, eq=False)
class ReversibleMove:
    """A move that was posted, and how much of it is reversed."""

    seq: int
    action_no: int
    type: MoveType
    src: Lot
    dst: Lot
    amount: int
    reversed: int = 0


@dataclass(slots=True, eq=False)
class Reversible:
    """A posted transaction as an execution finds and changes it. `parts` is how often something of it was reversed, `share` what part of it
    by those that named one; `owed` what its actions left owed, by their places; `went_to` who got tokens from a lot since, the most first."""

    txn_id: str
    number: int
    effective_at: datetime
    moves: Sequence[ReversibleMove]
    went_to: Callable[[Lot], Sequence[tuple[str, int]]]
    owed: Mapping[int, Sequence[OwedChange]] = field(default_factory=dict)
    share: Fraction = Fraction(0)
    parts: int = 0


@dataclass(frozen=True, slots=True)
class Reversal:
    """An action that reversed something: the `part_no`-th time (from 1) of that transaction; `moves` are (place in the journal from 1, the reversed
    move's place, amount)."""

    action_no: int
    reversed: Reversible
    part_no: int
    part: tuple[int, int] | None
    moves: list[tuple[int, int, int]] = field(default_factory=list)


def take_back(found: Reversible, action: Reverse, effective_at: datetime) -> list[tuple[ReversibleMove, int]]:
    """What returns of which move, newest first; counted as reversed from now on. Raises Refused NOTHING_TO_REVERSE, REVERSED_BEFORE,
    REVERSAL_AMOUNT, REVERSAL_TOO_EARLY."""
    if effective_at < found.effective_at:
        raise Refused("REVERSAL_TOO_EARLY", f"{found.txn_id} happened at {found.effective_at.isoformat()}", "effective_at")
    if not found.moves:
        raise Refused("NOTHING_TO_REVERSE", f"{found.txn_id} moved nothing", "txn_id")
    if all(move.reversed == move.amount for move in found.moves):
        raise Refused("REVERSED_BEFORE", f"{found.txn_id} is reversed already", "txn_id")
    by_action: dict[int, list[ReversibleMove]] = {}
    for move in found.moves:
        by_action.setdefault(move.action_no, []).append(move)
    returns = [one for place, units in _units_of(found, action, by_action).items() for one in _returns(by_action[place], units)]
    for move, amount in returns:
        move.reversed += amount
    found.parts += 1
    if action.part is not None:
        found.share += Fraction(*action.part)
    return sorted(returns, key=lambda one: -one[0].seq)


def ended(found: Reversible, returns: Sequence[tuple[ReversibleMove, int]]) -> list[OwedChange]:
    """What was owed by the actions of which these returns were the last, to be owed no more."""
    places = {move.action_no for move, _ in returns}
    whole = {place for place in places if all(move.reversed == move.amount for move in found.moves if move.action_no == place)}
    return [one._replace(change=-one.change) for place in sorted(whole) for one in found.owed.get(place, ())]


def takes(move: ReversibleMove, amount: int, holder: Account, untagged: Lot, found: Reversible) -> list[Take]:
    """Which lots of the holder give an amount back: the one it went to, and what is gone from there, where the account may go below zero, its
    untagged tokens. What came back to whom it was issued by can always return: a floor that an issue set gives way, as it binds what is issued
    anew, and this was issued before. Raises Refused TOKENS_SPENT with who got them, RESERVED."""
    lot = move.dst
    if lot.floor is None or lot.room >= amount:
        return [(lot, amount)]
    if holder.floor is None and untagged is lot:
        lot.floor = lot.amount - amount
        return [(lot, amount)]
    there = max(0, lot.room)
    if holder.floor != 0 and untagged is not lot and untagged is not move.src and (untagged.floor is None or untagged.room >= amount - there):
        return [(lot, there), (untagged, amount - there)] if there else [(untagged, amount)]
    said = f"{amount} would go back from {holder.account_id}, and {there} of them are free there"
    if lot.room + lot.held >= amount:
        raise Refused("RESERVED", f"{said}; the rest is held back", "txn_id")
    went = ", ".join(f"{some} to {account}" for account, some in found.went_to(lot))
    raise Refused("TOKENS_SPENT", f"{said}; since then went {went or 'none'}", "txn_id")


def first_units(amounts: Sequence[int], units: int) -> list[int]:
    """How many of each amount's units are among the first `units` of all, when the j-th of n comes at (2j - 1) / 2n, ties to the first amount.

    More units are never fewer of any amount, and all units are all amounts. 0 <= units <= the sum of the amounts, each above 0.
    """
    whole = sum(amounts)
    counts = [(2 * units * one + whole) // (2 * whole) for one in amounts]
    if missing := units - sum(counts):
        step = 1 if missing > 0 else -1
        places = [(Fraction(2 * counts[n] + step, 2 * one) * step, n * step) for n, one in enumerate(amounts)]
        heapify(places)
        for _ in range(abs(missing)):
            n = places[0][1] * step
            counts[n] += step
            heapreplace(places, (Fraction(2 * counts[n] + step, 2 * amounts[n]) * step, n * step))
    return counts


def _units_of(found: Reversible, action: Reverse, by_action: Mapping[int, Sequence[ReversibleMove]]) -> dict[int, int]:
    """How many units of which action are reversed after this. An action's units are those of the flavor of its last move: of a
    distribution what it paid."""
    whole = {place: _whole(moves) for place, moves in by_action.items()}
    if action.amounts:
        return {place: _units_by_amount(by_action, whole, place, amount) for place, amount in action.amounts}
    if action.part is None:
        return {place: units for place, (units, _) in whole.items()}
    after = found.share + Fraction(*action.part)
    units = {place: done + int(of * after) - int(of * found.share) for place, (of, done) in whole.items()}
    if after > 1 or any(units[place] > of for place, (of, _) in whole.items()):
        raise Refused("REVERSAL_AMOUNT", f"that is more than what is left of {found.txn_id}: {1 - found.share} of it, less what was reversed by amount", "part")
    return units


def _units_by_amount(by_action: Mapping[int, Sequence[ReversibleMove]], whole: Mapping[int, tuple[int, int]], place: int, amount: int | None) -> int:
    if place not in by_action:
        raise Refused("REVERSAL_AMOUNT", f"no action {place} moved anything", "amounts")
    of, done = whole[place]
    if of == done:
        raise Refused("REVERSED_BEFORE", f"action {place} is reversed already", "amounts")
    if amount is not None and amount > of - done:
        raise Refused("REVERSAL_AMOUNT", f"{amount} of action {place} are wanted and {of - done} are left", "amounts")
    return of if amount is None else done + amount


def _whole(moves: Sequence[ReversibleMove]) -> tuple[int, int]:
    """An action's units, and how many of them are reversed."""
    main = [move for move in moves if move.dst.flavor_id == moves[-1].dst.flavor_id]
    return sum(move.amount for move in main), sum(move.reversed for move in main)


def _returns(moves: Sequence[ReversibleMove], units: int) -> list[tuple[ReversibleMove, int]]:
    of, _ = _whole(moves)
    found: list[tuple[ReversibleMove, int]] = []
    for flavor in dict.fromkeys(move.dst.flavor_id for move in moves):
        mine = [move for move in moves if move.dst.flavor_id == flavor]
        amounts = [move.amount for move in mine]
        counts = first_units(amounts, sum(amounts) * units // of)
        found += [(move, count - move.reversed) for move, count in zip(mine, counts, strict=True) if count > move.reversed]
    return found
