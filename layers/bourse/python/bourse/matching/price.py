"""The price of a bid: the originator gets floor(principal x sell ratio), the investor pays ceil(principal x buy ratio), the fee is between.

A pair may trade when buy_ratio >= sell_ratio. That is asked of the ratios and not of the rounded amounts, because then the
answer does not depend on the size of a bid, and no rounding at completion can turn a fee negative:
floor(q x sell) + 1 is given only where q x sell is not whole, and so is at most ceil(q x buy).
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

_RATIO_MAX: Final = Decimal(10)


def is_ratio(ratio: Decimal) -> bool:
    """True for a price ratio we trade at: above 0, at most 10, with at most 18 decimals, so that arithmetic on it stays small."""
    exponent = ratio.as_tuple().exponent
    return isinstance(exponent, int) and 0 < ratio <= _RATIO_MAX and exponent >= -18  # a letter in place of the exponent: not finite


def completed_sell_amounts(principals: Sequence[int], sell_ratio: Decimal) -> list[int]:
    """Sell amounts of the bids that complete an offer: they sum to floor(sum of principals x ratio), by largest remainder, ties to the earlier bid."""
    numerator, denominator = sell_ratio.as_integer_ratio()
    parts = [principal * numerator // denominator for principal in principals]
    left = sum(principals) * numerator // denominator - sum(parts)
    by_remainder = sorted(range(len(parts)), key=lambda i: (-(principals[i] * numerator % denominator), i))
    for i in by_remainder[:left]:
        parts[i] += 1
    return parts
