"""What an originator may not write in a record: the code and the field of every way to get it wrong."""

import math
from datetime import UTC, datetime, timedelta, timezone
from struct import pack
from typing import Any

import bson
import pytest
from bourse.assets.codes import RECORD_CODES
from bourse.assets.record import loan_id_in
from bson.code import Code
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.regex import Regex
from bson.timestamp import Timestamp

from tests.assets.intake_builders import LOAN, element, loan, raw, text, with_element
from tests.assets.record_builders import facts, refusal

PLAIN: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "no loan id": ({"loan_id": ...}, "FIELD_MISSING", "loan_id"),
    "null status": ({"status": None}, "FIELD_MISSING", "status"),
    "no principal": ({"principal": ...}, "FIELD_MISSING", "principal"),
    "no currency": ({"currency": ...}, "FIELD_MISSING", "currency"),
    "both amounts": ({"principal_minor": 1}, "FIELD_TWICE", "principal_minor"),
    "loan id with a space": ({"loan_id": "L 1"}, "LOAN_ID_INVALID", "loan_id"),
    "loan id with a line end": ({"loan_id": "L-1\n"}, "LOAN_ID_INVALID", "loan_id"),
    "loan id of full-width digits": ({"loan_id": "L-\uff11"}, "LOAN_ID_INVALID", "loan_id"),
    "loan id of 65 letters": ({"loan_id": "L" * 65}, "LOAN_ID_INVALID", "loan_id"),
    "empty loan id": ({"loan_id": ""}, "LOAN_ID_INVALID", "loan_id"),
    "number as loan id": ({"loan_id": 17}, "WRONG_TYPE", "loan_id"),
    "somebody else's record": ({"originator_id": "bank"}, "FOREIGN_RECORD", "originator_id"),
    "unknown status": ({"status": "Active"}, "STATUS_UNKNOWN", "status"),
    "unknown currency": ({"currency": "EURO"}, "CURRENCY_UNKNOWN", "currency"),
    "small currency": ({"currency": "eur"}, "CURRENCY_UNKNOWN", "currency"),
    "country name": ({"country": "Spain"}, "COUNTRY_INVALID", "country"),
    "double with three decimals": ({"principal": 1250.005}, "MONEY_DOUBLE", "principal"),
    "double of a sum": ({"principal": 0.1 + 0.2}, "MONEY_DOUBLE", "principal"),
    "double in scientific notation": ({"outstanding_principal": -5.1e-09}, "MONEY_DOUBLE", "outstanding_principal"),
    "double in minor units": ({"principal": ..., "principal_minor": 100.0}, "MONEY_DOUBLE", "principal_minor"),
    "text in minor units": ({"principal": ..., "principal_minor": "100"}, "WRONG_TYPE", "principal_minor"),
    "integer in a decimal field": ({"principal": 1000}, "MONEY_INTEGER", "principal"),
    "long integer in a decimal field": ({"principal": Int64(1000)}, "MONEY_INTEGER", "principal"),
    "boolean money": ({"principal": True}, "WRONG_TYPE", "principal"),
    "money with a comma": ({"principal": "1,250.00"}, "MONEY_TEXT", "principal"),
    "money with its currency": ({"principal": "1250 EUR"}, "MONEY_TEXT", "principal"),
    "money with an exponent": ({"principal": "1e3"}, "MONEY_TEXT", "principal"),
    "money with a line end": ({"principal": "1250\n"}, "MONEY_TEXT", "principal"),
    "money in Arabic digits": ({"principal": "\u0661\u0662"}, "MONEY_TEXT", "principal"),
    "empty money": ({"principal": ""}, "MONEY_TEXT", "principal"),
    "three decimals of euros": ({"principal": Decimal128("1.005")}, "MONEY_PRECISION", "principal"),
    "text with three decimals": ({"principal": "1.005"}, "MONEY_PRECISION", "principal"),
    "a tenth of a yen": ({"currency": "JPY", "principal": Decimal128("0.1"), "outstanding_principal": "0"}, "MONEY_PRECISION", "principal"),
    "tiny decimal": ({"principal": Decimal128("1E-6176")}, "MONEY_PRECISION", "principal"),
    "negative money": ({"outstanding_principal": Decimal128("-1.00")}, "MONEY_NEGATIVE", "outstanding_principal"),
    "negative minor units": ({"principal": ..., "principal_minor": -1}, "MONEY_NEGATIVE", "principal_minor"),
    "zero principal": ({"principal": Decimal128("0.00")}, "MONEY_RANGE", "principal"),
    "10^18": ({"principal": Decimal128("1E+18")}, "MONEY_RANGE", "principal"),
    "huge decimal": ({"principal": Decimal128("9.999E+6144")}, "MONEY_RANGE", "principal"),
    "huge double": ({"principal": 1e300}, "MONEY_RANGE", "principal"),
    "huge minor units": ({"principal": ..., "principal_minor": Int64(2**63 - 1)}, "MONEY_RANGE", "principal_minor"),
    "NaN decimal": ({"principal": Decimal128("NaN")}, "NOT_FINITE", "principal"),
    "signalling NaN": ({"interest_rate": Decimal128("sNaN")}, "NOT_FINITE", "interest_rate"),
    "infinite decimal": ({"outstanding_principal": Decimal128("-Infinity")}, "NOT_FINITE", "outstanding_principal"),
    "NaN double": ({"principal": math.nan}, "NOT_FINITE", "principal"),
    "infinite double": ({"interest_rate": math.inf}, "NOT_FINITE", "interest_rate"),
    "NaN in an unknown field": ({"score": math.nan}, "NOT_FINITE", "score"),
    "infinity deep in an unknown field": ({"deep": {"list": [1, -math.inf]}}, "NOT_FINITE", "deep"),
    "NaN decimal in an unknown field": ({"score": Decimal128("NaN")}, "NOT_FINITE", "score"),
    "huge decimal in an unknown field": ({"score": Decimal128("1E+6144")}, "NUMBER_RANGE", "score"),
    "negative rate": ({"interest_rate": Decimal128("-1")}, "NUMBER_RANGE", "interest_rate"),
    "rate of a wrong unit": ({"interest_rate": Decimal128("1299")}, "NUMBER_RANGE", "interest_rate"),
    "rate as words": ({"interest_rate": "12,99"}, "NUMBER_INVALID", "interest_rate"),
    "rate with a percent sign": ({"interest_rate": "12.99%"}, "NUMBER_INVALID", "interest_rate"),
    "share above 100": ({"sellable_share": 101}, "NUMBER_RANGE", "sellable_share"),
    "term of nothing": ({"term_months": 0}, "NUMBER_RANGE", "term_months"),
    "term as double": ({"term_months": 36.0}, "WRONG_TYPE", "term_months"),
    "term as text": ({"term_months": "36"}, "WRONG_TYPE", "term_months"),
    "negative days": ({"days_past_due": -1}, "NUMBER_RANGE", "days_past_due"),
    "no such day": ({"issued_on": "2026-02-30"}, "DATE_INVALID", "issued_on"),
    "a day in words": ({"issued_on": "31.01.2026"}, "DATE_INVALID", "issued_on"),
    "a day of another age": ({"issued_on": "1066-10-14"}, "DATE_RANGE", "issued_on"),
    "a day with a time": ({"issued_on": datetime(2026, 1, 31, 1, tzinfo=UTC)}, "DATE_WITH_TIME", "issued_on"),
    "a day at midnight elsewhere": ({"issued_on": datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=2)))}, "DATE_WITH_TIME", "issued_on"),
    "a time without offset": ({"updated_at": "2026-01-31T08:15:00"}, "DATE_INVALID", "updated_at"),
    "no such time": ({"updated_at": "2026-01-31T25:15:00Z"}, "DATE_INVALID", "updated_at"),
    "a time before time": ({"updated_at": "0001-01-01T00:00:00+10:00"}, "DATE_INVALID", "updated_at"),
    "a time of next year": ({"updated_at": datetime(2027, 1, 31, tzinfo=UTC)}, "DATE_RANGE", "updated_at"),
    "number as time": ({"updated_at": 1_700_000_000}, "WRONG_TYPE", "updated_at"),
    "text as boolean": ({"partial_sale": "yes"}, "WRONG_TYPE", "partial_sale"),
    "number as boolean": ({"partial_sale": 1}, "WRONG_TYPE", "partial_sale"),
    "long grade": ({"grade": "x" * 65}, "TEXT_TOO_LONG", "grade"),
    "plain http": ({"callback_url": "http://acme.example"}, "URL_INVALID", "callback_url"),
    "an address with a line end": ({"callback_url": "https://acme.example\n"}, "URL_INVALID", "callback_url"),
    "borrower as text": ({"borrower": "B-1"}, "WRONG_TYPE", "borrower"),
    "borrower's income as double": ({"borrower": {"income_month": 2500.001}}, "MONEY_DOUBLE", "borrower.income_month"),
    "borrower from the future": ({"borrower": {"birth_year": 20_000}}, "NUMBER_RANGE", "borrower.birth_year"),
    "schedule as text": ({"schedule": "monthly"}, "WRONG_TYPE", "schedule"),
    "schedule as document": ({"schedule": {}}, "WRONG_TYPE", "schedule"),
    "schedule of numbers": ({"schedule": [1, 2]}, "WRONG_TYPE", "schedule"),
    "row with a list": ({"schedule": [{"due_on": "2026-02-01", "principal": "1", "interest": "1", "x": [1]}]}, "WRONG_TYPE", "schedule"),
    "row without a day": ({"schedule": [{"principal": "1", "interest": "1"}]}, "FIELD_MISSING", "schedule.due_on"),
    "row without interest": ({"schedule": [{"due_on": "2026-02-01", "principal": "1"}]}, "FIELD_MISSING", "schedule.interest"),
    "row with a fraction": ({"schedule": [{"due_on": "2026-02-01", "principal": "1.001", "interest": "1"}]}, "MONEY_PRECISION", "schedule.principal"),
    "601 rows": ({"schedule": [{"due_on": "2026-02-01", "principal_minor": 1, "interest_minor": 1}] * 601}, "SCHEDULE_TOO_LONG", "schedule"),
    "2,000 rows": ({"schedule": [{"a": 1}] * 2000}, "TOO_MANY_FIELDS", "schedule"),
    "300 fields": ({f"f{number}": 1 for number in range(300)}, "TOO_MANY_FIELDS", None),
    "a long list": ({"list": [1] * 1001}, "TOO_MANY_FIELDS", "list"),
    "empty name": ({"": 1}, "BAD_NAME", ""),
    "operator name": ({"$set": 1}, "BAD_NAME", "$set"),
    "dotted name": ({"a.b": 1}, "BAD_NAME", "a.b"),
    "dunder name": ({"__class__": 1}, "BAD_NAME", "__class__"),
    "name with Cyrillic letters": ({"\u0440rincipal": 1}, "BAD_NAME", "\u0440rincipal"),
    "10 KB name": ({"x" * 10_000: 1}, "BAD_NAME", "x" * 64),
    "code": ({"x": Code("function() {}")}, "TYPE_FORBIDDEN", "x"),
    "code with scope": ({"x": Code("x", {"a": 1})}, "TYPE_FORBIDDEN", "x"),
    "regular expression": ({"x": Regex("(a+)+$")}, "TYPE_FORBIDDEN", "x"),
    "reference": ({"x": DBRef("loans", 1)}, "TYPE_FORBIDDEN", "x.$ref"),
    "timestamp": ({"x": Timestamp(1, 1)}, "TYPE_FORBIDDEN", "x"),
    "min key": ({"x": MinKey()}, "TYPE_FORBIDDEN", "x"),
    "max key": ({"deep": [MaxKey()]}, "TYPE_FORBIDDEN", "deep.0"),
    "binary as loan id": ({"loan_id": b"L-1"}, "WRONG_TYPE", "loan_id"),
}


@pytest.mark.parametrize(("wrong", "code", "field"), PLAIN.values(), ids=PLAIN.keys())
def test_a_wrong_field_is_refused_with_its_code_and_name(wrong: dict[str, Any], code: str, field: str | None) -> None:
    assert refusal(loan(**wrong)) == (code, field)


def nest(depth: int) -> bytes:
    document = raw()
    for _ in range(depth):
        document = raw(element(3, "a", document))
    return document


def decimal_bits(high: int) -> bytes:
    return pack("<QQ", 1, high)


RAW: dict[str, tuple[bytes, str, str | None]] = {
    "duplicate key": (with_element(element(0x13, "principal", Decimal128("1").bid)), "DUPLICATE_KEY", "principal"),
    "duplicate of an unknown key": (with_element(text("x", b"1"), text("x", b"1")), "DUPLICATE_KEY", "x"),
    "duplicate in the borrower": (with_element(element(3, "borrower", raw(text("id", b"1"), text("id", b"2")))), "DUPLICATE_KEY", "borrower.id"),
    "undefined": (with_element(element(6, "grade", b"")), "TYPE_FORBIDDEN", "grade"),
    "symbol": (with_element(element(0x0E, "grade", pack("<i", 2) + b"A\0")), "TYPE_FORBIDDEN", "grade"),
    "DBPointer": (with_element(element(0x0C, "x", pack("<i", 2) + b"a\0" + b"\0" * 12)), "TYPE_FORBIDDEN", "x"),
    "unknown type": (with_element(element(0x77, "x", b"")), "TYPE_FORBIDDEN", "x"),
    "boolean 2": (with_element(element(8, "partial_sale", b"\2")), "BAD_BSON", "partial_sale"),
    "boolean cut off": (raw(element(8, "x", b"")), "BAD_BSON", "x"),
    "invalid UTF-8": (with_element(text("grade", b"\xff")), "BAD_TEXT", "grade"),
    "surrogate": (with_element(text("grade", b"\xed\xa0\x80")), "BAD_TEXT", "grade"),
    "overlong": (with_element(text("grade", b"\xc0\xaf")), "BAD_TEXT", "grade"),
    "invalid UTF-8 in a name": (with_element(element(10, b"\xff", b"")), "BAD_TEXT", None),
    "NUL in a text": (with_element(text("grade", b"A\0B")), "NUL_IN_TEXT", "grade"),
    "text without its end": (with_element(element(2, "grade", pack("<i", 1) + b"A")), "BAD_BSON", "grade"),
    "text of no length": (with_element(element(2, "grade", pack("<i", 0))), "BAD_BSON", "grade"),
    "text of negative length": (with_element(element(2, "grade", pack("<i", -5) + b"A\0")), "BAD_BSON", "grade"),
    "text of 2 GB": (with_element(element(2, "grade", pack("<i", 2**31 - 1) + b"A\0")), "BAD_BSON", "grade"),
    "document longer than its parent": (with_element(element(3, "borrower", pack("<i", 4000) + b"\0")), "BAD_BSON", "borrower"),
    "document shorter than one": (with_element(element(3, "borrower", pack("<i", 4))), "BAD_BSON", "borrower"),
    "document of no end": (with_element(element(3, "x", pack("<i", 6) + b"\1\1")), "BAD_BSON", "x"),
    "array out of order": (with_element(element(4, "list", raw(element(10, "1", b""), element(10, "0", b"")))), "BAD_ARRAY", "list"),
    "array with names": (with_element(element(4, "list", raw(element(10, "a", b"")))), "BAD_ARRAY", "list"),
    "schedule out of order": (with_element(element(4, "schedule", raw(element(3, "1", raw())))), "BAD_ARRAY", "schedule"),
    "malformed UUID": (with_element(element(5, "x", pack("<i", 3) + b"\4abc")), "BAD_BSON", "x"),
    "malformed old binary": (with_element(element(5, "x", pack("<i", 5) + b"\2" + pack("<i", 9) + b"a")), "BAD_BSON", "x"),
    "non-canonical decimal": (with_element(element(0x13, "score", decimal_bits(3 << 61))), "NOT_FINITE", "score"),
    "coefficient above 34 digits": (with_element(element(0x13, "score", decimal_bits((6176 << 49) | (2**49 - 1)))), "NOT_FINITE", "score"),
    "date beyond the year 9999": (with_element(element(9, "updated_at", pack("<q", 2**62)), without="updated_at"), "DATE_RANGE", "updated_at"),
    "day beyond the year 9999": (with_element(element(9, "issued_on", pack("<q", 2**62))), "DATE_RANGE", "issued_on"),
    "unknown date beyond the year 9999": (with_element(element(9, "x", pack("<q", 2**62))), "DATE_RANGE", "x"),
    "depth 9": (with_element(element(3, "a", nest(8))), "TOO_DEEP", "a.a.a.a.a.a.a.a"),
    "depth 1,000": (nest(1000), "TOO_DEEP", ".".join("a" * 8)),
    "depth 5,000": (nest(5000), "TOO_DEEP", ".".join("a" * 8)),
    "an empty document": (raw(), "FIELD_MISSING", "loan_id"),
    "a length that is not its own": (pack("<i", 20) + b"\0" * 10, "BAD_BSON", None),
    "no terminator": (bson.encode(LOAN)[:-1] + b"\1", "BAD_BSON", None),
    "nothing": (b"", "BAD_BSON", None),
}


@pytest.mark.parametrize(("octets", "code", "field"), RAW.values(), ids=RAW.keys())
def test_what_no_encoder_should_write_is_refused_with_its_code(octets: bytes, code: str, field: str | None) -> None:
    assert refusal(octets) == (code, field)


def test_depth_eight_is_taken() -> None:
    deep: Any = "x"
    for _ in range(7):
        deep = {"a": deep}
    assert "extras" in facts(loan(**deep))


def test_a_record_that_grows_beyond_measure_in_canonical_form_is_refused() -> None:
    assert refusal(loan(note="\1" * 60_000)) == ("RECORD_TOO_LARGE", None)


def test_the_loan_of_a_refused_record_is_named_where_it_can_be_read() -> None:
    assert loan_id_in(bson.encode(loan("L-77", status="odd"))) == "L-77"
    assert loan_id_in(bson.encode(loan("L 77"))) is None
    assert loan_id_in(b"garbage") is None


def test_every_code_of_a_record_has_a_test() -> None:
    tested = {code for _, code, _ in (*PLAIN.values(), *RAW.values())} | {"RECORD_TOO_LARGE", "DUPLICATE_LOAN"}
    assert set(RECORD_CODES) == tested
