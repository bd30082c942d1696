"""The originator's record as tables: each field with its canonical name, and how it is read from each BSON type it may have."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from bourse.assets import fields
from bourse.assets.bson_walk import ARRAY, BINARY, BOOLEAN, DATE, DECIMAL, DOCUMENT, DOUBLE, INT32, INT64, NULL, OBJECT_ID, TEXT, Element, elements
from bourse.assets.fields import Reader, pattern_reader, text_reader, whole_reader, word_reader
from bourse.assets.model import LoanStatus
from bourse.errors import Refused
from bourse.money import EXPONENTS

ROWS_MAX: Final = 600


class Known(NamedTuple):
    """A field of the originator's record: its canonical name, and how to read it from each BSON type it may have.

    `readers` takes the number of the currency's decimals, on which only money depends.
    """

    name: str
    readers: Callable[[int], Mapping[int, Reader]]
    money: bool = False


def _known(name: str, readers: Mapping[int, Reader]) -> Known:
    return Known(name, lambda _scale: readers)


def _text(name: str, reader: Reader) -> Known:
    return _known(name, {TEXT: reader})


def _whole(name: str, least: int, most: int) -> Known:
    return _known(name, dict.fromkeys((INT32, INT64), whole_reader(least, most)))


def _rate(name: str, most: int) -> Known:
    decimal128, text, double, integer = fields.rate_readers(most)
    return _known(name, {DECIMAL: decimal128, TEXT: text, DOUBLE: double, INT32: integer, INT64: integer})


def _day(name: str) -> Known:
    return _known(name, {TEXT: fields.day_of_text, DATE: fields.day_of_date})


def _money(name: str, least: int = 0) -> dict[str, Known]:
    """Both ways to write an amount: a decimal under its name, or whole minor units under its name with `_minor`."""

    def decimals(scale: int) -> Mapping[int, Reader]:
        return dict(zip((DECIMAL, TEXT, DOUBLE), fields.money_readers(scale, least), strict=True))

    minor = dict.fromkeys((INT32, INT64), fields.minor_reader(least))
    return {name: Known(f"{name}_minor", decimals, money=True), f"{name}_minor": Known(f"{name}_minor", lambda _scale: minor, money=True)}


def bson_text(word: str) -> bytes:
    """A text's value as it stands in BSON."""
    octets = word.encode() + b"\0"
    return len(octets).to_bytes(4, "little") + octets


def _one_of(words: Iterable[str], code: str, what: str) -> Reader:
    taken = {bson_text(word): b'"%b"' % word.encode() for word in words}

    @lru_cache(1_024)
    def read(raw: bytes) -> bytes:
        if (word := taken.get(raw)) is None:
            raise Refused(code, what)
        return word

    return read


_loan_id: Final = pattern_reader(rb"[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}", "LOAN_ID_INVALID", "1 to 64 letters, digits or . _ : / -, first a letter or digit")
_status: Final = _one_of(LoanStatus, "STATUS_UNKNOWN", "the status is active, repaid, withdrawn or defaulted")
_currency: Final = _one_of(EXPONENTS, "CURRENCY_UNKNOWN", "the currency is an ISO 4217 code in capitals")
_country: Final = lru_cache(1_024)(pattern_reader(rb"[A-Z]{2}", "COUNTRY_INVALID", "the country is an ISO 3166 code of two capitals"))
_url: Final = pattern_reader(rb"https://[!#-\[\]-~]{1,492}", "URL_INVALID", "the address begins with https:// and has at most 500 ASCII characters")

TOP: Final[dict[str, Known]] = {
    "loan_id": _text("loan_id", _loan_id),
    "originator_id": _text("originator_id", fields.verbatim),
    "updated_at": _known("updated_at", {DATE: fields.time_of_date, TEXT: fields.time_of_text}),
    "status": _text("status", _status),
    "currency": _text("currency", _currency),
    **_money("principal", least=1),
    **_money("outstanding_principal"),
    "interest_rate": _rate("interest_rate", 1_000),
    "term_months": _whole("term_months", 1, 1_200),
    "issued_on": _day("issued_on"),
    "grade": _text("grade", word_reader(64)),
    "country": _text("country", _country),
    "next_due_on": _day("next_due_on"),
    "days_past_due": _whole("days_past_due", 0, 36_500),
    "partial_sale": _known("partial_sale", {BOOLEAN: fields.truth}),
    "sellable_share": _rate("sellable_share", 100),
    "callback_url": _text("callback_url", _url),
}
BORROWER: Final[dict[str, Known]] = {
    "id": _text("id", text_reader(128)),
    "birth_year": _whole("birth_year", 1900, 2200),
    **_money("income_month"),
    "employment": _text("employment", word_reader(64)),
}
ROW: Final[dict[str, Known]] = {"due_on": _day("due_on"), **_money("principal"), **_money("interest")}
REQUIRED: Final = ("loan_id", "status", "currency", "principal_minor", "outstanding_principal_minor", "interest_rate", "term_months")
ROW_REQUIRED: Final = ("due_on", "principal_minor", "interest_minor")
ENVELOPE: Final = frozenset({"updated_at", "originator_id"})
"""Read, but no part of the loan."""
UNKNOWN: Final[dict[int, Reader]] = {
    DOUBLE: fields.number_of_double,
    TEXT: fields.verbatim,
    DOCUMENT: lambda raw: _dump(Element(DOCUMENT, "", raw, elements(raw, 2))),
    ARRAY: lambda raw: _dump(Element(ARRAY, "", raw, elements(raw, 2, array=True))),
    BINARY: fields.binary,
    OBJECT_ID: fields.hexadecimal,
    BOOLEAN: fields.truth,
    DATE: fields.iso_time,
    INT32: fields.number_of_integer,
    INT64: fields.number_of_integer,
    DECIMAL: fields.number_of_decimal128,
}
"""How a field we do not know is kept: words as text, numbers as numbers with all their digits."""


def _dump(element: Element) -> bytes:
    return orjson.dumps(_json(element), option=orjson.OPT_SORT_KEYS)


def _json(element: Element) -> Any:
    if element.kind == DOCUMENT:
        return {one.name: _json(one) for one in element.inside if one.kind != NULL}
    if element.kind == ARRAY:
        return [_json(one) for one in element.inside]
    return None if element.kind == NULL else orjson.Fragment(UNKNOWN[element.kind](element.raw))
