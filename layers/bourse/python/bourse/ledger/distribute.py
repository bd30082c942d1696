"""Exact pro-rata sharing: no unit is ever lost, and what rounding takes from a holder today it gives back later. Pure.

The deficit rule: everybody gets the floor of his exact share, and the units that are left go to those who are owed most, counting
what earlier roundings left them (ties to the first id). What all holders together are owed is always zero.

How far off one can be: in random lives of 360 payments less than a unit (tests). Not for every life: whoever chooses the pools and
who sells when can leave one of four holders 13/12 of a unit behind under any rule that pays whole units and cannot see what comes, and
one of n about ln n (one unit to n equal holders, each selling out when it is his). Nor do unchanging holders prevent it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Final

from bourse.errors import Refused
from bourse.ledger.actions import Distribute

GRID: Final = 10**12
"""What is owed is a whole number of parts of a unit this small. Exact rationals would grow with every change of holdings; on the grid
a payment moves what one is owed by less than one part more or less than exactly, and the parts still sum to zero."""

Owed = Mapping[str, Fraction]


def share(pool: int, holdings: Mapping[str, int], owed: Owed) -> tuple[dict[str, int], dict[str, Fraction]]:
    """What each holder of at least one token gets of `pool` (sums to it, none negative), and what he is owed afterwards.

    `owed` is what earlier sharings returned; the caller keeps it for holders that are not here now. Everybody gets
    the floor of his exact share or one more. Raises Refused NOTHING_TO_DISTRIBUTE.
    """
    held, whole = _held(holdings)
    floors: dict[str, int] = {}
    parts: dict[str, int] = {}
    between: list[str] = []
    for holder, tokens in held:
        floors[holder], rest = divmod(pool * tokens, whole)
        parts[holder], off = divmod(rest * GRID, whole)
        if off:
            between.append(holder)
    left = pool - sum(floors.values())
    # More holders than missing parts are off the grid, so each of the first is rounded up by one part and the sum is exact.
    for holder in islice(between, left * GRID - sum(parts.values())):
        parts[holder] += 1
    for holder in parts.keys() & owed.keys():
        parts[holder] += owed[holder].numerator * GRID // owed[holder].denominator
    for holder in sorted(parts, key=parts.__getitem__, reverse=True)[:left]:
        floors[holder] += 1
        parts[holder] -= GRID
    return floors, {holder: Fraction(part, GRID) for holder, part in parts.items()}


def share_floor(pool: int, holdings: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Every exact share rounded down, and what is left. Raises Refused NOTHING_TO_DISTRIBUTE."""
    held, whole = _held(holdings)
    floors = {holder: pool * tokens // whole for holder, tokens in held}
    return floors, pool - sum(floors.values())


def _held(holdings: Mapping[str, int]) -> tuple[list[tuple[str, int]], int]:
    held = sorted((holder, tokens) for holder, tokens in holdings.items() if tokens > 0)
    if not held:
        raise Refused("NOTHING_TO_DISTRIBUTE", "nobody holds what is distributed over", "over")
    return held, sum(tokens for _, tokens in held)


@dataclass(frozen=True, slots=True)
class Shares:
    """What a distribution does: the fee, who is paid, whose tokens are retired, and what rounding leaves them owed of both."""

    fee: int
    pays: dict[str, int]
    retires: dict[str, int]
    owed_paid: dict[str, Fraction]
    owed_retired: dict[str, Fraction]


def distribution(action: Distribute, holdings: Mapping[str, int], owed_paid: Owed, owed_retired: Owed) -> Shares:
    """Fee first, rounded half up; then the pool to the holders, and to `rest_to` for the tokens nobody holds; and the holders' tokens
    retired by the gross amount.

    Raises Refused NOTHING_TO_DISTRIBUTE, DISTRIBUTION_TOO_LARGE when more would be retired than there is, OUT_OF_INVALID when more is held.
    """
    holdings = with_rest(action, holdings)
    _, whole = _held(holdings)
    if action.retire and action.amount > whole:
        raise Refused("DISTRIBUTION_TOO_LARGE", f"{action.amount} would be retired of {whole}", "amount")
    shares = _seed_floor(action, holdings) if action.rule == "seed_floor" else _deficit(action, holdings, owed_paid, owed_retired)
    if action.rest_to is not None:
        shares.retires.pop(action.rest_to, None)
    return shares


def with_rest(action: Distribute, holdings: Mapping[str, int]) -> Mapping[str, int]:
    """The holdings, with `rest_to` for a holder of the tokens nobody holds. Raises Refused NOTHING_TO_DISTRIBUTE, OUT_OF_INVALID."""
    if action.out_of is None or action.rest_to is None:
        return holdings
    _, held = _held(holdings)
    if held > action.out_of or action.rest_to in holdings:
        said = f"{held} of {action.out_of} are held" if held > action.out_of else f"{action.rest_to} holds some itself"
        raise Refused("OUT_OF_INVALID", said, "out_of")
    return {**holdings, action.rest_to: action.out_of - held} if held < action.out_of else holdings


def _deficit(action: Distribute, holdings: Mapping[str, int], owed_paid: Owed, owed_retired: Owed) -> Shares:
    if action.rule == "par":
        retires, retired = share(action.amount, holdings, owed_retired)
        return Shares(0, dict(retires), retires, {}, retired)
    numerator, denominator = action.fee
    fee = (2 * action.amount * numerator + denominator) // (2 * denominator)
    pays, owes = share(action.amount - fee, holdings, owed_paid)
    # Nobody retires more than he has: of less than all tokens his exact share is below what he has, of all no unit is left over.
    retires, retired = share(action.amount, holdings, owed_retired) if action.retire else ({}, {})
    return Shares(fee, pays, retires, owes, retired)


def _seed_floor(action: Distribute, holdings: Mapping[str, int]) -> Shares:
    """The rule of the lending guide: each share rounded down, what is left is the fee. It remembers nothing."""
    numerator, denominator = action.fee
    net, _ = share_floor(action.amount * (denominator - numerator), holdings)
    pays = {holder: part // denominator for holder, part in net.items()}
    retires = share_floor(action.amount, holdings)[0] if action.retire else {}
    return Shares(action.amount - sum(pays.values()), pays, retires, {}, {})
