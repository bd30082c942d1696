"""Exact money: decimal texts to whole minor units and back. A binary fraction such as 0.1 is not exact and is refused."""

from decimal import Decimal, InvalidOperation
from typing import Any, Final

AMOUNT_MAX: Final = 2**63 - 1


def minor_units(amount: str | int | Decimal, digits: int = 2) -> int:
    """ "110.00" -> 11000. `digits` are the currency's after the point (2 for USD, 0 for JPY, 3 for KWD).

    Raises TypeError for what is no text, whole number or Decimal, ValueError for what is no number or finer than a minor unit.
    """
    if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
        raise TypeError(f"an amount is a text, a whole number or a Decimal, and this is {type(amount).__name__}: fractions of two are not exact")
    try:
        exact = Decimal(amount)
    except InvalidOperation:
        raise ValueError(f"{amount!r} is no number") from None
    if not exact.is_finite():
        raise ValueError(f"{amount!r} is no amount")
    sign, figures, exponent = exact.as_tuple()
    assert isinstance(exponent, int), "a finite number has an exponent"
    places = exponent + digits
    if abs(places) + len(figures) > 60:
        raise ValueError(f"{amount!r} is beyond what the ledger counts")
    figures_of = int("".join(map(str, figures)))
    minor, rest = divmod(figures_of * 10 ** max(places, 0), 10 ** max(-places, 0))
    if rest:
        raise ValueError(f"{amount!r} is finer than a minor unit of {digits} digits")
    if minor > AMOUNT_MAX:
        raise ValueError(f"{amount!r} is beyond what the ledger counts")
    return int(-minor if sign else minor)


def major_units(minor: int, digits: int = 2) -> Decimal:
    """11000 -> Decimal("110.00")."""
    if type(minor) is not int:
        raise TypeError(f"minor units are a whole number, and this is {type(minor).__name__}")
    return Decimal((minor < 0, tuple(int(figure) for figure in str(abs(minor))), -digits))


def whole(amount: Any, name: str = "amount") -> int:
    """An amount of minor units, as it is. Raises TypeError for anything but a whole number."""
    if type(amount) is not int:
        raise TypeError(f"{name} is a whole number of minor units, and this is {type(amount).__name__}: see minor_units()")
    return amount
