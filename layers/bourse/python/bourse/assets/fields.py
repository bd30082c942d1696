"""Single values, from BSON's octets to canonical form: money to whole minor units, rates to plain decimals, days and times.

A reader takes the raw octets of one value (bson_walk.py) and returns what stands for it in canonical JSON, as octets (money: as
int), or raises Refused. Doubles are met here, and only to be refused or to be taken as the decimal that their shortest form is.
Source of the Decimal128 layout: IEEE 754-2008, binary integer encoding.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from struct import Struct
from typing import Any, Final
from uuid import UUID

import orjson

from bourse.errors import Refused

AMOUNT_MAX: Final = 10**15
"""Minor units: far above any loan, and so far below int64 that sums of ten thousand still fit."""
YEARS: Final = (1900, 2200)

Reader = Callable[[bytes], Any]
Number = tuple[bool, int, int]
"""Negative, coefficient >= 0, exponent: the number is coefficient x 10^exponent."""

_halves: Final = Struct("<QQ").unpack
_double: Final = Struct("<d").unpack
_BIAS: Final = 6176
_COEFFICIENT_MAX: Final = 10**34 - 1
_PLAIN: Final = re.compile(rb"(-?)([0-9]{1,34})(?:\.([0-9]{1,34}))?")
_DAY: Final = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_at: Final = datetime.fromtimestamp
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS: Final = 86_400_000
_MS: Final = timedelta(milliseconds=1)
_OURS_MS: Final = tuple((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH) // _MS for year in (YEARS[0], YEARS[1] + 1))
_ANY_MS: Final = ((datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MS, (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MS)
_REMEMBERED: Final = 2_048
"""Answers kept by readers whose values repeat from record to record: days, rates, grades, terms."""
_DIGITS_MAX: Final = 34  # of a number in an unknown field, before and after the point


def text_of(raw: bytes) -> bytes:
    """The octets of a text. Raises Refused BAD_BSON when its length is not its own."""
    if int.from_bytes(raw[:4], "little") != len(raw) - 4:
        raise Refused("BAD_BSON", "a text's length does not fit")
    return raw[4:-1]


# Numbers


def of_decimal128(raw: bytes) -> Number:
    """The number of a Decimal128. Raises Refused NOT_FINITE for NaN, infinities, and forms that are not canonical."""
    low, high = _halves(raw)
    coefficient = (high & ((1 << 49) - 1)) << 64 | low
    if (high >> 61) & 3 == 3 or coefficient > _COEFFICIENT_MAX:
        raise Refused("NOT_FINITE", "the Decimal128 is NaN, infinite, or in no canonical form")
    return bool(high >> 63), coefficient, ((high >> 49) & 0x3FFF) - _BIAS


def of_double(raw: bytes) -> Number:
    """The number that the double's shortest decimal form is. Raises Refused NOT_FINITE."""
    sign, digits, exponent = Decimal(repr(_double(raw)[0])).as_tuple()
    if not isinstance(exponent, int):
        raise Refused("NOT_FINITE", "the double is NaN or infinite")
    return bool(sign), int("".join(map(str, digits))), exponent


def of_text(raw: bytes, code: str) -> Number:
    """The number a plain decimal text is. Raises Refused with `code` for any other text."""
    if not (found := _PLAIN.fullmatch(text_of(raw))):
        raise Refused(code, "the text is not a plain decimal number such as 1250.00")
    sign, whole, decimals = found.groups(b"")
    return bool(sign), int(whole + decimals), -len(decimals)


def of_integer(raw: bytes) -> int:
    """An int32 or int64."""
    return int.from_bytes(raw, "little", signed=True)


def plain(number: Number, decimals_max: int = _DIGITS_MAX) -> str:
    """The number in canonical form: no exponent, no zero that could be left out, no minus before zero. Raises Refused NUMBER_RANGE."""
    negative, coefficient, exponent = number
    if coefficient == 0:
        return "0"
    digits = str(coefficient).rstrip("0")
    exponent += len(str(coefficient)) - len(digits)
    if not -decimals_max <= exponent <= _DIGITS_MAX:
        raise Refused("NUMBER_RANGE", f"a number may have {_DIGITS_MAX} digits before the point and {decimals_max} after it")
    if exponent >= 0:
        text = digits + "0" * exponent
    else:
        digits = digits.rjust(1 - exponent, "0")
        text = f"{digits[:exponent]}.{digits[exponent:]}"
    return f"-{text}" if negative else text


# Money


@lru_cache(64)
def money_readers(scale: int, least: int = 0) -> tuple[Reader, Reader, Reader]:
    """Readers of an amount of at least so many minor units, for a currency with so many decimals: of a Decimal128, a text, a double.

    A double is taken only where its shortest decimal form has no more decimals than the currency: then it is that amount.
    """
    exact = (_BIAS - scale) << 49  # upper half of a positive Decimal128 below 2^64 with so many decimals: the lower half is the amount

    def decimal128(raw: bytes) -> int:
        low, high = _halves(raw)
        if high == exact and least <= low <= AMOUNT_MAX:
            return int(low)
        return _minor(of_decimal128(raw), scale, least, "MONEY_PRECISION")

    def text(raw: bytes) -> int:
        return _minor(of_text(raw, "MONEY_TEXT"), scale, least, "MONEY_PRECISION")

    def double(raw: bytes) -> int:
        return _minor(of_double(raw), scale, least, "MONEY_DOUBLE")

    return decimal128, text, double


def minor_reader(least: int = 0) -> Reader:
    """A reader of whole minor units, from an int32 or int64."""

    def read(raw: bytes) -> int:
        return _in_range(int.from_bytes(raw, "little", signed=True), least)

    return read


def _minor(number: Number, scale: int, least: int, finer: str) -> int:
    """Whole minor units, exactly. Raises Refused `finer` when there are parts of one, and the refusals of the range."""
    negative, coefficient, exponent = number
    shift = exponent + scale
    if coefficient == 0:
        minor, rest = 0, 0
    elif shift >= 0:
        minor, rest = coefficient * 10 ** min(shift, _DIGITS_MAX), 0
    else:
        minor, rest = divmod(coefficient, 10**-shift) if shift >= -_DIGITS_MAX else (0, 1)  # below that, no coefficient reaches a unit
    if rest:
        raise Refused(finer, f"the amount has more than the currency's {scale} decimals")
    return _in_range(-minor if negative else minor, least)


def _in_range(minor: int, least: int) -> int:
    if minor < 0:
        raise Refused("MONEY_NEGATIVE", "the amount is below zero")
    if not least <= minor <= AMOUNT_MAX:
        raise Refused("MONEY_RANGE", f"the amount must be from {least} to {AMOUNT_MAX} minor units")
    return minor


# Rates and counts


def rate_readers(most: int) -> tuple[Reader, Reader, Reader, Reader]:
    """Readers of a percentage in [0, most], as canonical text: of a Decimal128, a text, a double, an integer. Rates repeat, so they are remembered."""

    def checked(number: Number) -> bytes:
        text = plain(number, decimals_max=10)
        if not 0 <= Decimal(text) <= most:
            raise Refused("NUMBER_RANGE", f"the percentage must be from 0 to {most}")
        return b'"%b"' % text.encode()

    @lru_cache(_REMEMBERED)
    def decimal128(raw: bytes) -> bytes:
        return checked(of_decimal128(raw))

    @lru_cache(_REMEMBERED)
    def text(raw: bytes) -> bytes:
        return checked(of_text(raw, "NUMBER_INVALID"))

    @lru_cache(_REMEMBERED)
    def double(raw: bytes) -> bytes:
        return checked(of_double(raw))

    def integer(raw: bytes) -> bytes:
        value = of_integer(raw)
        return checked((value < 0, abs(value), 0))

    return decimal128, text, double, integer


def whole_reader(least: int, most: int) -> Reader:
    """A reader of a whole number in [least, most]."""

    @lru_cache(_REMEMBERED)
    def read(raw: bytes) -> bytes:
        value = of_integer(raw)
        if not least <= value <= most:
            raise Refused("NUMBER_RANGE", f"the number must be from {least} to {most}")
        return b"%d" % value

    return read


@lru_cache(2)
def truth(raw: bytes) -> bytes:
    return b"true" if raw == b"\1" else b"false"


# Days and times


@lru_cache(_REMEMBERED)
def day_of_text(raw: bytes) -> bytes:
    """An ISO day, as it is."""
    text = text_of(raw)
    if not _DAY.fullmatch(text):
        raise Refused("DATE_INVALID", "the text is not a day such as 2026-01-31")
    try:
        year = date.fromisoformat(text.decode()).year
    except ValueError:
        raise Refused("DATE_INVALID", "there is no such day") from None
    if not YEARS[0] <= year <= YEARS[1]:
        raise Refused("DATE_RANGE", f"the day must be in the years {YEARS[0]} to {YEARS[1]}")
    return b'"%b"' % text


@lru_cache(_REMEMBERED)
def day_of_date(raw: bytes) -> bytes:
    """The day of a BSON date that is midnight UTC."""
    milliseconds = _milliseconds(raw)
    if milliseconds % _DAY_MS:
        raise Refused("DATE_WITH_TIME", "the date is not midnight UTC: send the day as text, 2026-01-31")
    return orjson.dumps((_EPOCH + milliseconds * _MS).date())


def time_of_date(raw: bytes) -> datetime:
    return _at(_milliseconds(raw) / 1000, UTC)  # exact: a double holds these milliseconds, and rounds to microseconds


def time_of_text(raw: bytes) -> datetime:
    """An ISO time with its offset, in UTC."""
    text = text_of(raw)
    if not _TIME.fullmatch(text):
        raise Refused("DATE_INVALID", "the text is not a time with its offset such as 2026-01-31T08:15:00Z")
    try:
        time = datetime.fromisoformat(text.decode()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused("DATE_INVALID", "there is no such time") from None
    if not YEARS[0] <= time.year <= YEARS[1]:
        raise Refused("DATE_RANGE", f"the time must be in the years {YEARS[0]} to {YEARS[1]}")
    return time


def _milliseconds(raw: bytes, bounds: tuple[int, ...] = _OURS_MS) -> int:
    milliseconds = int.from_bytes(raw, "little", signed=True)
    if not bounds[0] <= milliseconds < bounds[1]:
        raise Refused("DATE_RANGE", f"the date must be in the years {YEARS[0]} to {YEARS[1]}, and in an unknown field in 1 to 9999")
    return milliseconds


# Texts


def word_reader(most: int) -> Reader:
    """A reader of a text that repeats from record to record."""
    return lru_cache(_REMEMBERED)(text_reader(most))


def text_reader(most: int) -> Reader:
    """A reader of a text of at most so many characters, kept verbatim."""

    def read(raw: bytes) -> bytes:
        text = str(text_of(raw), "utf-8")
        if len(text) > most:
            raise Refused("TEXT_TOO_LONG", f"the text may have {most} characters")
        return orjson.dumps(text)

    return read


def pattern_reader(pattern: bytes, code: str, what: str) -> Reader:
    """A reader of a text that matches the pattern as a whole; the pattern takes ASCII only, and nothing that JSON escapes."""
    matches = re.compile(pattern).fullmatch

    def read(raw: bytes) -> bytes:
        text = raw[4:-1]
        if not matches(text) or int.from_bytes(raw[:4], "little") != len(raw) - 4:
            raise Refused(code, what)
        return b'"%b"' % text

    return read


# Fields we do not know: words stay words, and numbers keep all their digits


def number_of_decimal128(raw: bytes) -> bytes:
    return plain(of_decimal128(raw)).encode()


def number_of_double(raw: bytes) -> bytes:
    return plain(of_double(raw)).encode()


def number_of_integer(raw: bytes) -> bytes:
    return b"%d" % of_integer(raw)


@lru_cache(_REMEMBERED)
def verbatim(raw: bytes) -> bytes:
    return orjson.dumps(str(text_of(raw), "utf-8"))


def iso_time(raw: bytes) -> bytes:
    """`2026-01-31T08:15:00Z`, with milliseconds where there are any."""
    milliseconds = _milliseconds(raw, _ANY_MS)
    spec = "milliseconds" if milliseconds % 1000 else "seconds"
    text = (_EPOCH + milliseconds * _MS).isoformat(timespec=spec).replace("+00:00", "Z")
    return b'"%b"' % text.encode()


def hexadecimal(raw: bytes) -> bytes:
    return b'"%b"' % raw.hex().encode()


def binary(raw: bytes) -> bytes:
    """A UUID as its usual text, other octets as base64."""
    text = str(UUID(bytes=raw[1:])).encode() if raw[0] == 4 and len(raw) == 17 else b64encode(raw[1:])
    return b'"%b"' % text
