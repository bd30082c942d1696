"""Money is a whole number of minor units with a currency; dividing it is `split`, and loses nothing. No float enters."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bourse.errors import Refused

MINOR_MAX: Final = 2**63 - 1
"""The largest amount a ledger row (int64) holds."""

# ISO 4217: the currencies whose minor unit is not a hundredth; all others in CURRENCIES have two decimals.
_EXPONENTS: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
_TWO_DECIMALS: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD "
    "EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD "
    "MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK "
    "SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG"
)
EXPONENTS: Final[dict[str, int]] = {**dict.fromkeys(_TWO_DECIMALS.split(), 2), **_EXPONENTS}
"""ISO 4217 code -> number of decimals of its minor unit. A code that is not here is not a currency we book."""


def exponent(currency: str) -> int:
    """Decimals of the currency's minor unit. Raises Refused CURRENCY_UNKNOWN."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise Refused("CURRENCY_UNKNOWN", f"{currency!r} is not an ISO 4217 currency code", "currency") from None


def to_minor(amount: Decimal, currency: str) -> int:
    """Exact minor units of a decimal amount. Raises Refused MONEY_PRECISION when the currency has fewer decimals, MONEY_RANGE beyond int64."""
    scale = exponent(currency)
    if not amount.is_finite() or amount.adjusted() > 18:
        raise Refused("MONEY_RANGE", "the amount is not a finite number below 2^63 minor units")
    minor = amount.scaleb(scale)
    if minor != minor.to_integral_value():
        raise Refused("MONEY_PRECISION", f"{currency} has {scale} decimals")
    if abs(minor) > MINOR_MAX:
        raise Refused("MONEY_RANGE", "the amount is beyond 2^63 minor units")
    return int(minor)


def from_minor(minor: int, currency: str) -> Decimal:
    """The decimal amount, with exactly the currency's decimals: 1050 USD -> Decimal('10.50')."""
    return Decimal(minor).scaleb(-exponent(currency))


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """`minor` whole minor units of `currency`. Adding two currencies is an error, not a sum."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        exponent(self.currency)
        if abs(self.minor) > MINOR_MAX:
            raise Refused("MONEY_RANGE", "the amount is beyond 2^63 minor units")

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + other._same(self).minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - other._same(self).minor, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.currency)

    def __str__(self) -> str:
        return f"{from_minor(self.minor, self.currency):,f} {self.currency}"

    def _same(self, other: "Money") -> "Money":
        if self.currency != other.currency:
            raise Refused("CURRENCY_MISMATCH", f"{self.currency} and {other.currency} do not add up")
        return self


def split(amount: int, weights: Sequence[int]) -> list[int]:
    """Split `amount` (>= 0) in proportion to `weights` (>= 0, not all 0) by largest remainder; ties go to the earlier share.

    The parts are in the order of the weights and sum to `amount` exactly; a weight of 0 gets 0.
    """
    total = sum(weights)
    assert amount >= 0, "split takes a non-negative amount"
    assert total > 0, "split needs a weight above zero"
    assert min(weights) >= 0, "split takes non-negative weights"
    parts = [amount * weight // total for weight in weights]
    left = amount - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % total), i))
    for i in by_remainder[:left]:
        parts[i] += 1
    return parts


def floor_share(amount: int, ratio: Decimal) -> int:
    """amount x ratio in whole minor units, rounded down. Exact: the product is taken before rounding."""
    numerator, denominator = ratio.as_integer_ratio()
    return amount * numerator // denominator


def ceil_share(amount: int, ratio: Decimal) -> int:
    """amount x ratio in whole minor units, rounded up."""
    numerator, denominator = ratio.as_integer_ratio()
    return -(-amount * numerator // denominator)
