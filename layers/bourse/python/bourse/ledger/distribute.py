"""Exact pro-rata sharing: no unit is lost, and over any number of payments nobody is ever off by a whole unit. Pure.

The deficit rule: everybody gets the floor of his exact share, and the units that are left go to those who are owed most, counting
what earlier roundings left them. What holders are owed sums to zero again, and while the holders stay the same nobody is owed or
ahead by a whole unit (shown by the tests over lives of 360 payments, and by random ones with changing holdings).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from bourse.errors import Refused
from bourse.ledger.actions import Distribute

OWED_DENOMINATOR_MAX: Final = 10**12
"""Debts with a larger denominator are rounded to the nearest with this one, and the sum of what that changes is put on the first:
changing holdings would let exact denominators grow for ever, and a millionth of a millionth of a cent decides nothing."""

Owed = Mapping[str, Fraction]


def share(pool: int, holdings: Mapping[str, int], owed: Owed) -> tuple[dict[str, int], dict[str, Fraction]]:
    """What each holder of at least one token gets of `pool`, and what he is owed afterwards. Raises Refused NOTHING_TO_DISTRIBUTE."""
    held = {holder: tokens for holder, tokens in sorted(holdings.items()) if tokens > 0}
    if not held:
        raise Refused("NOTHING_TO_DISTRIBUTE", "nobody holds what is distributed over", "over")
    whole = sum(held.values())
    parts = {holder: divmod(pool * tokens, whole) for holder, tokens in held.items()}
    debts = {holder: owed.get(holder, Fraction()) + Fraction(rest, whole) for holder, (_, rest) in parts.items()}
    left = pool - sum(floor for floor, _ in parts.values())
    favoured = set(sorted(debts, key=lambda holder: -debts[holder])[:left])
    shares = {holder: floor + (holder in favoured) for holder, (floor, _) in parts.items()}
    return shares, _bounded({holder: debt - (holder in favoured) for holder, debt in debts.items()})


def _bounded(debts: dict[str, Fraction]) -> dict[str, Fraction]:
    if all(debt.denominator <= OWED_DENOMINATOR_MAX for debt in debts.values()):
        return debts
    rounded = {holder: Fraction((debt * OWED_DENOMINATOR_MAX + Fraction(1, 2)).__floor__(), OWED_DENOMINATOR_MAX) for holder, debt in debts.items()}
    smallest = min(rounded, key=lambda holder: (abs(rounded[holder]), holder))
    rounded[smallest] += sum(debts.values()) - sum(rounded.values())
    return rounded


@dataclass(frozen=True, slots=True)
class Shares:
    """What a distribution does: the fee, who is paid, whose tokens are retired, and what rounding leaves them owed of both."""

    fee: int
    pays: dict[str, int]
    retires: dict[str, int]
    owed_paid: dict[str, Fraction]
    owed_retired: dict[str, Fraction]


def distribution(action: Distribute, holdings: Mapping[str, int], owed_paid: Owed, owed_retired: Owed) -> Shares:
    """Fee first, rounded half up; then the pool to the holders; and their tokens retired by the gross amount.

    Raises Refused NOTHING_TO_DISTRIBUTE, DISTRIBUTION_TOO_LARGE when more would be retired than is held.
    """
    numerator, denominator = action.fee
    fee = (2 * action.amount * numerator + denominator) // (2 * denominator)
    whole = sum(tokens for tokens in holdings.values() if tokens > 0)
    if not whole:
        raise Refused("NOTHING_TO_DISTRIBUTE", "nobody holds what is distributed over", "over")
    if action.retire and action.amount > whole:
        raise Refused("DISTRIBUTION_TOO_LARGE", f"{action.amount} would be retired and {whole} are held", "amount")
    if action.rule == "seed_floor":
        return _seed_floor(action, holdings)
    pays, owes = share(action.amount - fee, holdings, owed_paid)
    retires, retired = _retire(action.amount, holdings, owed_retired) if action.retire else ({}, {})
    return Shares(fee, pays, retires, owes, retired)


def _retire(amount: int, holdings: Mapping[str, int], owed: Owed) -> tuple[dict[str, int], dict[str, Fraction]]:
    """Shares of the gross amount; what rounding asks of a holder beyond what he has is asked of those who are owed least."""
    shares, debts = share(amount, holdings, owed)
    for holder in [one for one in shares if shares[one] > holdings[one]]:
        shares[holder] -= 1
        debts[holder] += 1
        other = max((one for one in shares if shares[one] < holdings[one]), key=lambda one: debts[one])
        shares[other] += 1
        debts[other] -= 1
    return shares, debts


def _seed_floor(action: Distribute, holdings: Mapping[str, int]) -> Shares:
    """The rule of the lending guide: each share rounded down, what is left is the fee. It remembers nothing."""
    numerator, denominator = action.fee
    whole = sum(holdings.values())
    net = action.amount * (denominator - numerator)
    pays = {holder: net * tokens // (whole * denominator) for holder, tokens in sorted(holdings.items()) if tokens > 0}
    retires = {holder: action.amount * tokens // whole for holder, tokens in sorted(holdings.items()) if tokens > 0} if action.retire else {}
    return Shares(action.amount - sum(pays.values()), pays, retires, {}, {})
